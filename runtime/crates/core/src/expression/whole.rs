//! One expression on its own, for conditions, loops and matches: not part of an input.

use serde_json::Value;

use super::path::{self, Path};
use super::{ExpressionError, INPUT_BYTES_MAX, Scope, Text, has_expression, template, value};

/// A text that is one whole expression, compiled: `{{ trigger.body.total > 100 }}`, or the same without the braces.
#[derive(Debug)]
pub struct Expression {
    source: String,
    text: Text,
}

impl Expression {
    /// Compiles the text. What is more than one expression is refused: its value would always be a text.
    pub fn compile(text: &str) -> Result<Self, ExpressionError> {
        Self::compile_with(text, &[])
    }

    /// The same where `locals` are known, too: the names of a loop, of an event.
    pub fn compile_with(text: &str, locals: &[&str]) -> Result<Self, ExpressionError> {
        let refuse = |message: String| ExpressionError { pointer: String::new(), message, missing: None };
        template::check_length(text).map_err(refuse)?;
        let text = text.trim();
        let inner = match path::whole_expression(text) {
            Some(inner) => inner,
            None if text.is_empty() => {
                return Err(refuse("an expression is needed here, such as `trigger.body.total > 100`".to_owned()));
            }
            None if has_expression(text) => return Err(refuse(several())),
            None => text,
        };
        let compiled = match Path::parse(inner) {
            Some(path) => super::scope::check_root(&path.root, locals).map(|()| Text::Path(path)),
            None => {
                template::Expression::compile(inner, locals).map(|expression| Text::Expression(Box::new(expression)))
            }
        };
        match compiled {
            Ok(text) => Ok(Self { source: inner.trim().to_owned(), text }),
            Err(_) if path::may_be_several(inner) => Err(refuse(several())),
            Err(message) => Err(refuse(message)),
        }
    }

    /// The value, with its type.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        let mut budget = INPUT_BYTES_MAX;
        self.text.render(scope, &mut budget).map_err(super::Failure::error)
    }

    /// Whether the value is true: anything but null, false, 0, and an empty text, array or object.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, ExpressionError> {
        self.evaluate(scope).map(|value| value::is_true(&value))
    }

    /// The expression without its braces.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The dotted paths it reads, in order.
    pub fn references(&self) -> Vec<String> {
        self.text.paths()
    }
}

fn several() -> String {
    "one whole expression is needed here, such as `{{ trigger.body.total > 100 }}`, without any text around it"
        .to_owned()
}
