//! The template engine, held on a short leash: strict about undefined values, with fuel, limits on text and depth, and nothing to
//! load or include. What it computes with is a copy of the run's data.

use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

use super::code;
use super::library::{self, CLOCK, Clock};
use super::names::{self, FUNCTIONS};
use super::path::{Key, Path};
use super::scope::{ROOTS, Scope, check_root};
use super::value::{UNDEFINED_PART, from_engine, parts_to_engine, put_at, write_text};

/// The work one text may cost. One unit is one instruction of the engine or 64 bytes made or read: enough to write 1 MiB of JSON
/// (16 units a 64 bytes) with as much again to spare, and some tens of milliseconds at the worst.
pub const FUEL: u64 = 500_000;

/// The longest text that is computed. What is larger is better passed on whole, as `{{ trigger.body }}`.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// The longest text with expressions in it: a large page of HTML. Texts without expressions are copied, and have no limit of their own.
pub const SOURCE_BYTES_MAX: usize = 256 * 1024;

/// How deep blocks and calls may nest: more than a person writes, less than the stack holds.
const RECURSION_MAX: usize = 64;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// An environment shares its filters and tests with every other: it costs some pointers.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default());
    // Debug information holds the values of variables; errors must not.
    environment.set_debug(false);
    environment.remove_global("debug");
    library::install(&mut environment);
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

/// Why an expression has no value.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    /// What is missing, if that is the reason: the path, or an empty text if the expression names none.
    pub(super) missing: Option<String>,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { message, missing: None }
    }
}

/// Refuses texts that are too long to be compiled.
pub(super) fn check_length(text: &str) -> Result<(), String> {
    if text.len() > SOURCE_BYTES_MAX {
        return Err(format!(
            "the text is longer than {} KiB, which is the most for one with expressions; take what is large from a value",
            SOURCE_BYTES_MAX / 1024
        ));
    }
    Ok(())
}

/// One whole `{{ … }}`.
pub(super) struct Expression {
    source: String,
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
        code::check_depth(source)?;
        let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| syntax(&error))?;
        names::check_expression(source, &ENVIRONMENT)?;
        let reads = Reads::new(source, compiled.undeclared_variables(true), locals)?;
        Ok(Self { source: source.trim().to_owned(), compiled, reads })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Fault> {
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
    source: String,
    environment: Environment<'static>,
    reads: Reads,
}

/// The one template of its environment.
const NAME: &str = "text";

impl Template {
    pub(super) fn compile(source: &str, locals: &[&str]) -> Result<Self, String> {
        code::check_depth_of_template(source)?;
        let mut environment = ENVIRONMENT.clone();
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| syntax(&error))?;
        let template = environment.get_template(NAME).map_err(|error| syntax(&error))?;
        names::check_template(source, &environment)?;
        let reads = Reads::new(source, template.undeclared_variables(true), locals)?;
        Ok(Self { source: source.to_owned(), environment, reads })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn render(&self, scope: &Scope<'_>) -> Result<String, Fault> {
        self.render_context(self.reads.context(scope), scope)
    }

    fn render_context(&self, context: minijinja::Value, scope: &Scope<'_>) -> Result<String, Fault> {
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        let mut text = Bounded::default();
        template.render_captured_to(context, &mut text).map_err(|error| match error.kind() {
            ErrorKind::WriteFailure => too_long().into(),
            _ => self.reads.explain(&error, scope),
        })?;
        String::from_utf8(text.0).map_err(|error| error.to_string().into())
    }

    /// Renders with the missing paths put to `with`, as few of them as will do; says which. `None` if that does not help.
    pub(super) fn render_filled(&self, scope: &Scope<'_>, with: &Value) -> Option<(String, Vec<String>)> {
        /// Each one costs a rendering more.
        const PATHS_MAX: usize = 16;
        let paths = self.reads.paths.iter().filter_map(|path| Path::parse(path));
        let missing: Vec<Path> = paths.filter(|path| scope.resolve(path).is_err()).take(PATHS_MAX + 1).collect();
        if missing.is_empty() || missing.len() > PATHS_MAX {
            return None;
        }
        // An empty text cannot be looped over; an empty array can.
        let nothing = Value::Array(Vec::new());
        let candidates = if with == "" { vec![with, &nothing] } else { vec![with] };
        candidates.into_iter().find_map(|with| {
            let rendered = |fill: &[Path]| self.render_context(self.reads.filled(scope, fill, with), scope).ok();
            let mut text = rendered(&missing)?;
            let mut needed = missing.clone();
            for path in &missing {
                let fewer: Vec<Path> = needed.iter().filter(|other| *other != path).cloned().collect();
                if let Some(without) = rendered(&fewer) {
                    (text, needed) = (without, fewer);
                }
            }
            Some((text, needed.iter().map(Path::to_string).collect()))
        })
    }

    /// The names of its place that it was compiled with.
    pub(super) fn locals(&self) -> Vec<&str> {
        self.reads.locals.iter().map(String::as_str).collect()
    }

    pub(super) fn references(&self) -> &[String] {
        &self.reads.paths
    }
}

/// Collects output up to [`TEXT_BYTES_MAX`].
#[derive(Default)]
pub(super) struct Bounded(pub(super) Vec<u8>);

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

/// What stands in the names of everything that goes by the clock: filters, tests and functions for dates.
const CLOCK_WORDS: [&str; 11] =
    ["date", "now", "today", "zone", "weekday", "start_of", "end_of", "unix_time", "workdays", "before", "after"];

/// What an expression reads.
#[derive(Debug)]
struct Reads {
    /// The dotted paths, in order.
    paths: Vec<String>,
    /// The same by root, for the copy: the keys below it.
    roots: Vec<(String, Vec<Vec<Key>>)>,
    /// Whether the code has a word in it that asks for the time or the zone.
    needs_clock: bool,
    /// The names of its place that it was compiled with.
    locals: Vec<String>,
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
        let needs_clock = CLOCK_WORDS.iter().any(|word| source.contains(word));
        let locals = locals.iter().map(|local| (*local).to_owned()).collect();
        Ok(Self { roots: roots.collect(), paths, needs_clock, locals })
    }

    /// Copies what is read, and nothing else, into the engine.
    fn context(&self, scope: &Scope<'_>) -> minijinja::Value {
        let roots = self.roots.iter().filter_map(|(root, below)| {
            let below: Vec<&[Key]> = below.iter().map(Vec::as_slice).collect();
            if root == "steps" && below.iter().all(|keys| keys.len() >= 2) {
                return Some((root.as_str(), steps_to_engine(scope, &below)));
            }
            if root == "inboundWebhookRequest" && below.iter().all(|keys| matches!(keys.first(), Some(Key::Name(_)))) {
                return Some((root.as_str(), fields_to_engine(scope, root, &below)));
            }
            Some((root.as_str(), parts_to_engine(&*scope.whole(root)?, &below)))
        });
        let mut context: BTreeMap<String, minijinja::Value> =
            roots.map(|(root, value)| (root.to_owned(), value)).collect();
        if self.needs_clock {
            context.insert(CLOCK.to_owned(), minijinja::Value::from_object(Clock::new(scope.now(), scope.zone())));
        }
        minijinja::Value::from_object(context)
    }

    /// The same with some paths put to a value. It is for what failed already, and takes its time.
    fn filled(&self, scope: &Scope<'_>, paths: &[Path], with: &Value) -> minijinja::Value {
        let roots = self.roots.iter().map(|(root, _)| {
            let mut whole = scope.whole(root).map(std::borrow::Cow::into_owned).unwrap_or_default();
            for path in paths.iter().filter(|path| path.root == *root) {
                put_at(&mut whole, &path.keys, with);
            }
            (root.clone(), super::value::to_engine(&whole))
        });
        let mut context: BTreeMap<String, minijinja::Value> = roots.collect();
        context.insert(CLOCK.to_owned(), minijinja::Value::from_object(Clock::new(scope.now(), scope.zone())));
        minijinja::Value::from_object(context)
    }

    fn explain(&self, error: &minijinja::Error, scope: &Scope<'_>) -> Fault {
        match error.kind() {
            ErrorKind::UndefinedError => self.undefined(scope),
            ErrorKind::OutOfFuel => too_much_work().to_owned().into(),
            // What the formatter says is a sentence already.
            ErrorKind::BadSerialization => self.name(error.detail().unwrap_or_default().to_owned(), scope),
            _ if library::is_sentence(error) => self.name(error.detail().unwrap_or_default().to_owned(), scope),
            _ => syntax(error).into(),
        }
    }

    fn undefined(&self, scope: &Scope<'_>) -> Fault {
        self.missing(scope).unwrap_or_else(|| Fault {
            message: "the expression is undefined; give it a value for that case with `| default(…)`".to_owned(),
            missing: Some(String::new()),
        })
    }

    /// Names the path behind a part that is undefined.
    fn name(&self, message: String, scope: &Scope<'_>) -> Fault {
        if message != UNDEFINED_PART {
            return message.into();
        }
        self.missing(scope).unwrap_or_else(|| Fault {
            message: "a part of the result is undefined: not every item has the attribute; choose the items with \
                      `| selectattr('name', 'defined')`, or give it a value with `| map(attribute='name', default='')`"
                .to_owned(),
            missing: Some(String::new()),
        })
    }

    /// The first path that leads nowhere.
    fn missing(&self, scope: &Scope<'_>) -> Option<Fault> {
        let mut paths = self.paths.iter().filter_map(|path| Path::parse(path));
        paths.find_map(|path| {
            let message = scope.resolve(&path).err()?;
            Some(Fault { message, missing: Some(path.to_string()) })
        })
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

/// The fields of a root that are read, one by one: the whole would have to be put together first.
fn fields_to_engine(scope: &Scope<'_>, root: &str, paths: &[&[Key]]) -> minijinja::Value {
    let mut fields: BTreeMap<String, minijinja::Value> = BTreeMap::new();
    for first in paths.iter().filter_map(|keys| keys.first()) {
        let Key::Name(name) = first else { continue };
        let Ok(value) = scope.resolve(&Path { root: root.to_owned(), keys: vec![first.clone()] }) else { continue };
        let below = paths.iter().filter(|keys| keys.first() == Some(first));
        let below: Vec<&[Key]> = below.filter_map(|keys| keys.get(1..)).collect();
        fields.insert(name.clone(), parts_to_engine(&value, &below));
    }
    minijinja::Value::from_object(fields)
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
