//! What to do about values that are not there: by default it is an error; a step may say otherwise, field by field.
//!
//! Only an input that fails for a missing value is looked at twice: one that renders pays nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scope::Scope;
use super::template::{Expression, Template};
use super::{ExpressionError, Failure, INPUT_BYTES_MAX, Node, Piece, Program, Text, code, join_pointer, spend, value};

/// What a field does when an expression in it reads something that is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMissing {
    /// The step fails.
    Fail,
    /// The expression is an empty text.
    Empty,
    /// The expression is this value.
    Default(Value),
}

impl OnMissing {
    fn value(&self) -> Option<Value> {
        match self {
            Self::Fail => None,
            Self::Empty => Some(Value::String(String::new())),
            Self::Default(value) => Some(value.clone()),
        }
    }
}

/// What the fields of an input do about missing values: `fail`, `empty` or `{default: …}` for all, or an object of these by JSON Pointer
/// (or by the name of a field), with `*` for the others. A field without an entry of its own does as the nearest one around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct MissingPolicy {
    fields: BTreeMap<String, OnMissing>,
    others: OnMissing,
}

impl Default for MissingPolicy {
    fn default() -> Self {
        Self { fields: BTreeMap::new(), others: OnMissing::Fail }
    }
}

impl MissingPolicy {
    /// What each field does, by its JSON Pointer, and what the others do.
    pub fn new(fields: BTreeMap<String, OnMissing>, others: OnMissing) -> Self {
        Self { fields, others }
    }

    /// The same for every field.
    pub fn everywhere(on_missing: OnMissing) -> Self {
        Self { fields: BTreeMap::new(), others: on_missing }
    }

    /// Whether a missing value fails wherever it is read.
    pub fn is_strict(&self) -> bool {
        self.others == OnMissing::Fail && self.fields.values().all(|field| *field == OnMissing::Fail)
    }

    /// The fields that have an entry, as JSON Pointers into the input.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// What the field at a JSON Pointer does.
    pub fn at(&self, pointer: &str) -> &OnMissing {
        let mut around = pointer;
        loop {
            if let Some(field) = self.fields.get(around) {
                return field;
            }
            match around.rsplit_once('/') {
                Some((parent, _)) => around = parent,
                None => return &self.others,
            }
        }
    }
}

impl TryFrom<Value> for MissingPolicy {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let one = |value: Value, of: &str| {
            OnMissing::deserialize(value).map_err(|_| {
                format!(
                    "{of} is none of `fail`, `empty` and `default: …`, which say what is done about a missing value"
                )
            })
        };
        match value {
            Value::Object(fields) if !fields.contains_key("default") => {
                let mut policy = Self::default();
                for (name, value) in fields {
                    let on_missing = one(value, &format!("`{name}`"))?;
                    if name == "*" {
                        policy.others = on_missing;
                    } else {
                        let pointer = if name.starts_with('/') { name } else { join_pointer("", &name) };
                        policy.fields.insert(pointer, on_missing);
                    }
                }
                Ok(policy)
            }
            value => one(value, "`missing`").map(Self::everywhere),
        }
    }
}

impl From<MissingPolicy> for Value {
    fn from(policy: MissingPolicy) -> Self {
        let written = |on_missing: OnMissing| match on_missing {
            OnMissing::Fail => Self::from("fail"),
            OnMissing::Empty => Self::from("empty"),
            OnMissing::Default(value) => serde_json::json!({ "default": value }),
        };
        if policy.fields.is_empty() {
            return written(policy.others);
        }
        let fields = policy.fields.into_iter().map(|(pointer, field)| (pointer, written(field)));
        fields.chain([("*".to_owned(), written(policy.others))]).collect()
    }
}

/// An input with what was filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub value: Value,
    pub filled: Vec<Filled>,
}

/// A missing value, and what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// A JSON Pointer into the input.
    pub pointer: String,
    /// What is missing: the path, or the expression if it names none.
    pub path: String,
    pub with: Value,
}

impl Program {
    /// Renders the input; where `policy` says so, missing values are filled in and noted.
    pub fn render_with(&self, scope: &Scope<'_>, policy: &MissingPolicy) -> Result<Rendered, ExpressionError> {
        match self.render(scope) {
            Ok(value) => Ok(Rendered { value, filled: Vec::new() }),
            Err(error) if error.missing.is_none() || policy.is_strict() => Err(error),
            Err(_) => {
                let mut filling = Filling { scope, policy, budget: INPUT_BYTES_MAX, filled: Vec::new() };
                let value = filling.node(&self.root, "")?;
                Ok(Rendered { value, filled: filling.filled })
            }
        }
    }
}

struct Filling<'f> {
    scope: &'f Scope<'f>,
    policy: &'f MissingPolicy,
    budget: usize,
    filled: Vec<Filled>,
}

impl Filling<'_> {
    fn node(&mut self, node: &Node, pointer: &str) -> Result<Value, ExpressionError> {
        let refused = |failure: Failure| ExpressionError { pointer: pointer.to_owned(), ..failure.error() };
        match node {
            Node::Literal { value, bytes } => {
                spend(&mut self.budget, *bytes).map_err(refused)?;
                Ok(value.clone())
            }
            Node::Text(text) => match text.render(self.scope, &mut self.budget) {
                Err(failure) if failure.missing.is_some() => match self.policy.at(pointer).value() {
                    Some(with) => self.text(text, pointer, &with).map_err(refused),
                    None => Err(refused(failure)),
                },
                rendered => rendered.map_err(refused),
            },
            Node::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(index, item)| self.node(item, &join_pointer(pointer, &index.to_string()))).collect()
            }
            Node::Object(fields) => {
                let mut rendered = serde_json::Map::new();
                for (key, field) in fields {
                    spend(&mut self.budget, key.len()).map_err(refused)?;
                    rendered.insert(key.clone(), self.node(field, &join_pointer(pointer, key))?);
                }
                Ok(Value::Object(rendered))
            }
        }
    }

    /// Renders a text that reads something missing.
    fn text(&mut self, text: &Text, pointer: &str, with: &Value) -> Result<Value, Failure> {
        let note = |path: String| Filled { pointer: pointer.to_owned(), path, with: with.clone() };
        let rendered = match text {
            Text::Path(path) => {
                self.filled.push(note(path.to_string()));
                with.clone()
            }
            Text::Expression(expression) => {
                let path = self.missing_in(expression).unwrap_or_else(|| expression.source().to_owned());
                self.filled.push(note(path));
                with.clone()
            }
            Text::Joined(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Path(path) => {
                            if let Ok(found) = self.scope.resolve(path) {
                                value::write_text(&found, &mut text);
                            } else {
                                self.filled.push(note(path.to_string()));
                                value::write_text(with, &mut text);
                            }
                        }
                    }
                }
                Value::String(text)
            }
            Text::Template(template) => {
                let (text, missing) = self.template(template, with)?;
                self.filled.extend(missing.into_iter().map(note));
                text
            }
        };
        let bytes = value::approximate_bytes(&rendered);
        if rendered.is_string() && bytes > super::TEXT_BYTES_MAX {
            return Err(Failure::new(super::template::too_long()));
        }
        spend(&mut self.budget, bytes)?;
        Ok(rendered)
    }

    fn missing_in(&self, expression: &Expression) -> Option<String> {
        expression.evaluate(self.scope).err().and_then(|fault| fault.missing).filter(|path| !path.is_empty())
    }

    /// Fills each `{{ … }}` that misses something. Where statements make that impossible, the missing paths are given the value instead,
    /// as few of them as will do; and if that does not help either, the whole text is replaced.
    fn template(&self, template: &Template, with: &Value) -> Result<(Value, Vec<String>), Failure> {
        if let Some(pieces) = split(template.source()) {
            let mut text = String::new();
            let mut missing = Vec::new();
            for piece in pieces {
                let expression = match piece {
                    Part::Literal(literal) => {
                        text.push_str(literal);
                        continue;
                    }
                    Part::Code(code) => Expression::compile(code, &template.locals()).map_err(Failure::new)?,
                };
                match expression.evaluate(self.scope) {
                    Ok(value) => value::write_text(&value, &mut text),
                    Err(fault) => match fault.missing {
                        Some(path) => {
                            missing.push(if path.is_empty() { expression.source().to_owned() } else { path });
                            value::write_text(with, &mut text);
                        }
                        None => return Err(Failure::new(fault.message)),
                    },
                }
            }
            return Ok((Value::String(text), missing));
        }
        match template.render_filled(self.scope, with) {
            Some((text, missing)) => Ok((Value::String(text), missing)),
            None => Ok((with.clone(), vec![template.source().chars().take(80).collect()])),
        }
    }
}

enum Part<'t> {
    Literal(&'t str),
    Code(&'t str),
}

/// Splits a text at its expressions; `None` if there are statements, comments or trimmed white space, which only the engine understands.
fn split(text: &str) -> Option<Vec<Part<'_>>> {
    if text.contains("{%") || text.contains("{#") || text.contains("{{-") || text.contains("-}}") {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once("{{") {
        let end = code::code_end(after, "}}")?;
        parts.push(Part::Literal(literal));
        parts.push(Part::Code(after.get(..end)?));
        rest = after.get(end + 2..)?;
    }
    parts.push(Part::Literal(rest));
    Some(parts)
}
