//! The template engine, held on a short leash: strict about undefined values, with fuel, limits on text and depth, and nothing to
//! load or include. What it computes with is a copy of the run's data.

use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

use super::names::{self, FUNCTIONS};
use super::path::{Key, Path};
use super::scope::{ROOTS, Scope, check_root};
use super::value::{UNDEFINED_PART, from_engine, parts_to_engine, write_text};

/// The work one text may cost. One unit is one instruction of the engine or 64 bytes made or read: enough to write 1 MiB of JSON
/// (16 units a 64 bytes) with as much again to spare, and some tens of milliseconds at the worst.
pub const FUEL: u64 = 500_000;

/// The longest text that is computed. What is larger is better passed on whole, as `{{ trigger.body }}`.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// How deep blocks and calls may nest: more than a person writes, less than the stack holds.
const RECURSION_MAX: usize = 64;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// An environment shares its filters and tests with every other: it costs some pointers.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default());
    // Debug information holds the values of variables; errors must not.
    environment.set_debug(false);
    environment.remove_global("debug");
    // A value in the middle of a text reads as in JSON, not as in Python.
    environment.set_formatter(|out, _, value| {
        if value.is_undefined() {
            return Err(ErrorKind::UndefinedError.into());
        }
        if let Some(text) = value.as_str() {
            out.write_str(text)?;
            return Ok(());
        }
        let value = from_engine(value, TEXT_BYTES_MAX)
            .map_err(|message| minijinja::Error::new(ErrorKind::BadSerialization, message))?;
        let mut text = String::new();
        write_text(&value, &mut text);
        out.write_str(&text)?;
        Ok(())
    });
    environment
}

/// One whole `{{ … }}`.
pub(super) struct Expression {
    compiled: minijinja::Expression<'static, 'static>,
    reads: Reads,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("reads", &self.reads).finish_non_exhaustive()
    }
}

impl Expression {
    pub(super) fn compile(source: &str, locals: &[&str]) -> Result<Self, String> {
        let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| syntax(&error))?;
        names::check_expression(source, &ENVIRONMENT)?;
        let reads = Reads::new(source, compiled.undeclared_variables(true), locals)?;
        Ok(Self { compiled, reads })
    }

    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, String> {
        let value = self.compiled.eval(self.reads.context(scope)).map_err(|error| self.reads.explain(&error, scope))?;
        if value.is_undefined() {
            return Err(self.reads.undefined(scope));
        }
        from_engine(&value, TEXT_BYTES_MAX).map_err(|message| self.reads.name(message, scope))
    }

    pub(super) fn references(&self) -> &[String] {
        &self.reads.paths
    }
}

/// A text with expressions or statements in it.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    reads: Reads,
}

/// The one template of its environment.
const NAME: &str = "text";

impl Template {
    pub(super) fn compile(source: &str, locals: &[&str]) -> Result<Self, String> {
        let mut environment = ENVIRONMENT.clone();
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| syntax(&error))?;
        let template = environment.get_template(NAME).map_err(|error| syntax(&error))?;
        names::check_template(source, &environment)?;
        let reads = Reads::new(source, template.undeclared_variables(true), locals)?;
        Ok(Self { environment, reads })
    }

    pub(super) fn render(&self, scope: &Scope<'_>) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        let mut text = Bounded(Vec::new());
        template.render_captured_to(self.reads.context(scope), &mut text).map_err(|error| {
            if error.kind() == ErrorKind::WriteFailure { too_long() } else { self.reads.explain(&error, scope) }
        })?;
        String::from_utf8(text.0).map_err(|error| error.to_string())
    }

    pub(super) fn references(&self) -> &[String] {
        &self.reads.paths
    }
}

/// Collects output up to [`TEXT_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn too_long() -> String {
    format!(
        "the text becomes longer than {} KiB; pass large values on whole, as `{{{{ trigger.body }}}}`",
        TEXT_BYTES_MAX / 1024
    )
}

pub(super) fn too_much_work() -> &'static str {
    "the expression does too much work and was stopped; compute such things in a plugin"
}

/// What an expression reads.
#[derive(Debug)]
struct Reads {
    /// The dotted paths, in order.
    paths: Vec<String>,
    /// The same by root, for the copy: the keys below it.
    roots: Vec<(String, Vec<Vec<Key>>)>,
}

impl Reads {
    fn new(source: &str, paths: impl IntoIterator<Item = String>, locals: &[&str]) -> Result<Self, String> {
        let mut paths: Vec<String> = paths.into_iter().filter(|path| !FUNCTIONS.contains(&root_of(path))).collect();
        paths.sort_unstable();
        paths.iter().try_for_each(|path| check_root(root_of(path), locals))?;
        let names = locals.iter().copied().chain(ROOTS);
        let roots = names.filter(|root| source.contains(root)).map(|root| {
            let below = paths.iter().filter(|path| root_of(path) == root);
            let mut below: Vec<_> =
                below.map(|path| Path::parse(path).map(|path| path.keys).unwrap_or_default()).collect();
            if below.is_empty() {
                // The engine does not report `{% set trigger = trigger.body %}`.
                below.push(Vec::new());
            }
            (root.to_owned(), below)
        });
        Ok(Self { roots: roots.collect(), paths })
    }

    /// Copies what is read, and nothing else, into the engine.
    fn context(&self, scope: &Scope<'_>) -> minijinja::Value {
        let roots = self.roots.iter().filter_map(|(root, below)| {
            let below: Vec<&[Key]> = below.iter().map(Vec::as_slice).collect();
            if root == "steps" && below.iter().all(|keys| keys.len() >= 2) {
                return Some((root.as_str(), steps_to_engine(scope, &below)));
            }
            Some((root.as_str(), parts_to_engine(&*scope.whole(root)?, &below)))
        });
        minijinja::Value::from_object(roots.map(|(root, value)| (root.to_owned(), value)).collect::<BTreeMap<String, minijinja::Value>>())
    }

    fn explain(&self, error: &minijinja::Error, scope: &Scope<'_>) -> String {
        match error.kind() {
            ErrorKind::UndefinedError => self.undefined(scope),
            ErrorKind::OutOfFuel => too_much_work().to_owned(),
            // What the formatter says is a sentence already.
            ErrorKind::BadSerialization => self.name(error.detail().unwrap_or_default().to_owned(), scope),
            _ => syntax(error),
        }
    }

    fn undefined(&self, scope: &Scope<'_>) -> String {
        self.missing(scope).unwrap_or_else(|| {
            "the expression is undefined; give it a value for that case with `| default(…)`".to_owned()
        })
    }

    /// Names the path behind a part that is undefined.
    fn name(&self, message: String, scope: &Scope<'_>) -> String {
        if message != UNDEFINED_PART {
            return message;
        }
        self.missing(scope).unwrap_or_else(|| {
            "a part of the result is undefined: not every item has the attribute; choose the items with `| selectattr('name', 'defined')`, \
             or give it a value with `| map(attribute='name', default='')`"
                .to_owned()
        })
    }

    /// The first path that leads nowhere.
    fn missing(&self, scope: &Scope<'_>) -> Option<String> {
        self.paths.iter().filter_map(|path| Path::parse(path)).find_map(|path| scope.resolve(&path).err())
    }
}

/// The parts of the steps that are read: other steps' outputs may be large.
fn steps_to_engine(scope: &Scope<'_>, paths: &[&[Key]]) -> minijinja::Value {
    let mut steps: BTreeMap<String, BTreeMap<String, minijinja::Value>> = BTreeMap::new();
    for keys in paths {
        let [step @ Key::Name(id), part @ Key::Name(name), ..] = keys else { continue };
        let resolve = |keys: &[&Key]| {
            let keys = keys.iter().copied().cloned().collect();
            scope.resolve(&Path { root: "steps".to_owned(), keys }).ok()
        };
        if let Some(value) = resolve(&[step, part]) {
            let below = paths.iter().filter(|other| other.starts_with(&[step.clone(), part.clone()]));
            let below: Vec<&[Key]> = below.filter_map(|other| other.get(2..)).collect();
            steps.entry(id.clone()).or_default().insert(name.clone(), parts_to_engine(&value, &below));
        } else if resolve(&[step]).is_some() {
            steps.entry(id.clone()).or_default();
        }
    }
    let steps = steps.into_iter().map(|(id, parts)| (id, minijinja::Value::from_object(parts)));
    minijinja::Value::from_object(steps.collect::<BTreeMap<String, minijinja::Value>>())
}

fn root_of(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// The engine's words without its decoration.
fn syntax(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
