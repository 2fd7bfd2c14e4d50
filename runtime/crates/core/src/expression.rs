//! Expressions: `{{ … }}` in the texts of a step's input, compiled once per workflow version.
//!
//! A text that is one whole `{{ … }}` keeps the type of its value; any other text with expressions in it becomes a text.
//! Run data is only ever a value here: a text that arrives at run time is never read as a template.

mod names;
mod path;
mod scope;
mod template;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeSet;

use serde_json::Value;

pub use names::{FILTERS, FUNCTIONS, TESTS};
use path::Path;
pub use scope::{Local, ROOTS, Scope};
use template::{Expression, Template};
pub use template::{FUEL, TEXT_BYTES_MAX};

/// The largest rendered input: what the contract lets a plugin take (wit/1.0.0).
pub const INPUT_BYTES_MAX: usize = 1024 * 1024;

/// A step's input with its expressions compiled.
#[derive(Debug)]
pub struct Program {
    root: Node,
}

/// One place of the input that cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// A JSON Pointer into the input.
    pub pointer: String,
    pub message: String,
}

/// A dotted path that an expression reads, such as `steps.build.output.id`, and where it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// A JSON Pointer into the input.
    pub pointer: String,
    pub path: String,
}

/// A part of the input.
#[derive(Debug)]
enum Node {
    /// Without any expression: copied as it is.
    Literal {
        value: Value,
        bytes: usize,
    },
    Text(Text),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// A text with expressions in it. Plain paths, which are most of them, are looked up without starting the template engine.
#[derive(Debug)]
enum Text {
    /// `{{ trigger.body.id }}`
    Path(Path),
    /// `{{ anything | else }}`
    Expression(Box<Expression>),
    /// `order {{ trigger.body.id }} of {{ trigger.body.day }}`
    Joined(Vec<Piece>),
    /// Anything else: several expressions with filters, statements.
    Template(Box<Template>),
}

#[derive(Debug)]
enum Piece {
    Literal(String),
    Path(Path),
}

impl Program {
    /// Compiles every text of `input`; reports each one that is not a template.
    pub fn compile(input: &Value) -> Result<Self, Vec<ExpressionError>> {
        Self::compile_with(input, &[])
    }

    /// As [`Self::compile`], for a place where `locals` are known beside [`ROOTS`]: the item of a loop, `loop`, `event`.
    pub fn compile_with(input: &Value, locals: &[&str]) -> Result<Self, Vec<ExpressionError>> {
        let mut errors = Vec::new();
        let root = Node::compile(input, "", &Known { locals }, &mut errors);
        if errors.is_empty() { Ok(Self { root }) } else { Err(errors) }
    }

    /// Renders the input. A text that is one whole `{{ … }}` keeps the type of its value.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        let mut budget = INPUT_BYTES_MAX;
        self.root.render(scope, &mut budget).map_err(|failure| ExpressionError {
            pointer: failure.keys.iter().rev().fold(String::new(), |pointer, key| join_pointer(&pointer, key)),
            message: failure.message,
        })
    }

    /// Everything the expressions read, in order of place and path.
    pub fn references(&self) -> BTreeSet<Reference> {
        let mut references = BTreeSet::new();
        self.root.collect_references("", &mut references);
        references
    }
}

/// Whether a text has anything in it that would be evaluated.
pub fn has_expression(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Extends a JSON Pointer (RFC 6901) by one key.
pub fn join_pointer(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The names that a place may read.
struct Known<'l> {
    locals: &'l [&'l str],
}

/// Why a part could not be rendered; the keys on the way to it are collected from the inside out.
struct Failure {
    keys: Vec<String>,
    message: String,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { keys: Vec::new(), message: message.into() }
    }
    fn within(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }
}

impl Node {
    fn compile(input: &Value, pointer: &str, known: &Known<'_>, errors: &mut Vec<ExpressionError>) -> Self {
        let mut refuse = |message| errors.push(ExpressionError { pointer: pointer.to_owned(), message });
        match input {
            Value::String(text) if has_expression(text) => match Text::compile(text, known) {
                Ok(text) => Self::Text(text),
                Err(message) => {
                    refuse(message);
                    Self::literal(input)
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items =
                    items.map(|(index, item)| Self::compile(item, &join_pointer(pointer, &index.to_string()), known, errors));
                let items: Vec<_> = items.collect();
                if items.iter().all(Self::is_literal) { Self::literal(input) } else { Self::Array(items) }
            }
            Value::Object(fields) => {
                if let Some(key) = fields.keys().find(|key| has_expression(key)) {
                    refuse(format!("the key `{key}` has an expression in it; expressions are possible in values only"));
                }
                let fields = fields.iter();
                let fields =
                    fields.map(|(key, field)| (key.clone(), Self::compile(field, &join_pointer(pointer, key), known, errors)));
                let fields: Vec<_> = fields.collect();
                if fields.iter().all(|(_, field)| field.is_literal()) {
                    Self::literal(input)
                } else {
                    Self::Object(fields)
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Self::literal(input),
        }
    }

    fn literal(value: &Value) -> Self {
        Self::Literal { value: value.clone(), bytes: value::approximate_bytes(value) }
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::Literal { .. })
    }

    fn render(&self, scope: &Scope<'_>, budget: &mut usize) -> Result<Value, Failure> {
        match self {
            Self::Literal { value, bytes } => {
                spend(budget, *bytes)?;
                Ok(value.clone())
            }
            Self::Text(text) => text.render(scope, budget),
            Self::Array(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(index, item)| {
                        item.render(scope, budget).map_err(|failure| failure.within(index.to_string()))
                    })
                    .collect()
            }
            Self::Object(fields) => {
                let mut rendered = serde_json::Map::new();
                for (key, field) in fields {
                    spend(budget, key.len())?;
                    rendered.insert(
                        key.clone(),
                        field.render(scope, budget).map_err(|failure| failure.within(key.clone()))?,
                    );
                }
                Ok(Value::Object(rendered))
            }
        }
    }

    fn collect_references(&self, pointer: &str, references: &mut BTreeSet<Reference>) {
        match self {
            Self::Literal { .. } => {}
            Self::Text(text) => {
                references.extend(text.paths().into_iter().map(|path| Reference { pointer: pointer.to_owned(), path }));
            }
            Self::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_references(&join_pointer(pointer, &index.to_string()), references);
                }
            }
            Self::Object(fields) => {
                for (key, field) in fields {
                    field.collect_references(&join_pointer(pointer, key), references);
                }
            }
        }
    }
}

impl Text {
    fn compile(text: &str, known: &Known<'_>) -> Result<Self, String> {
        if let Some(inner) = path::whole_expression(text) {
            if let Some(path) = Path::parse(inner) {
                scope::check_root(&path.root, known.locals)?;
                return Ok(Self::Path(path));
            }
            // `{{ a }} and {{ b }}` also begins and ends like one expression; only a parser can tell.
            match Expression::compile(inner, known.locals) {
                Ok(expression) => return Ok(Self::Expression(Box::new(expression))),
                Err(error) if !path::may_be_several(inner) => return Err(error),
                Err(_) => {}
            }
        }
        if let Some(pieces) = path::split(text) {
            for piece in &pieces {
                if let Piece::Path(path) = piece {
                    scope::check_root(&path.root, known.locals)?;
                }
            }
            return Ok(Self::Joined(pieces));
        }
        Template::compile(text, known.locals).map(Box::new).map(Self::Template)
    }

    fn render(&self, scope: &Scope<'_>, budget: &mut usize) -> Result<Value, Failure> {
        match self {
            Self::Path(path) => {
                let found = scope.resolve(path).map_err(Failure::new)?;
                spend(budget, value::approximate_bytes(&found))?;
                Ok(found.into_owned())
            }
            Self::Expression(expression) => {
                let value = expression.evaluate(scope).map_err(Failure::new)?;
                spend(budget, value::approximate_bytes(&value))?;
                Ok(value)
            }
            Self::Joined(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Path(path) => {
                            let found = scope.resolve(path).map_err(Failure::new)?;
                            value::write_text(&found, &mut text);
                        }
                    }
                    if text.len() > TEXT_BYTES_MAX {
                        return Err(Failure::new(template::too_long()));
                    }
                }
                spend(budget, text.len())?;
                Ok(Value::String(text))
            }
            Self::Template(template) => {
                let text = template.render(scope).map_err(Failure::new)?;
                spend(budget, text.len())?;
                Ok(Value::String(text))
            }
        }
    }

    fn paths(&self) -> Vec<String> {
        match self {
            Self::Path(path) => vec![path.to_string()],
            Self::Expression(expression) => expression.references().to_vec(),
            Self::Joined(pieces) => {
                let paths = pieces.iter().filter_map(|piece| match piece {
                    Piece::Path(path) => Some(path.to_string()),
                    Piece::Literal(_) => None,
                });
                paths.collect()
            }
            Self::Template(template) => template.references().to_vec(),
        }
    }
}

fn spend(budget: &mut usize, bytes: usize) -> Result<(), Failure> {
    *budget = budget.checked_sub(bytes).ok_or_else(|| {
        Failure::new(format!(
            "the input becomes larger than {} MiB; pass on only the fields that the step needs",
            INPUT_BYTES_MAX / (1024 * 1024)
        ))
    })?;
    Ok(())
}
