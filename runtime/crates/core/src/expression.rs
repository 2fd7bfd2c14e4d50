//! Expressions: `{{ … }}` in the texts of a step's input, compiled once per workflow version.

use serde_json::Value;

use crate::run::fold::Run;

/// A step's input with its expressions compiled.
#[derive(Debug)]
pub struct Program {}

/// What expressions can see: `trigger`, `steps.<id>.output`, `workflow`, `run`.
#[derive(Debug)]
pub struct Scope {}

/// One place of the input that cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// A JSON Pointer into the input.
    pub pointer: String,
    pub message: String,
}

impl Program {
    /// Compiles every text of `input`; reports each one that is not a template.
    pub fn compile(_input: &Value) -> Result<Self, Vec<ExpressionError>> {
        unimplemented!()
    }
    /// Renders the input. A text that is one whole `{{ … }}` keeps the type of its value.
    pub fn render(&self, _scope: &Scope) -> Result<Value, ExpressionError> {
        unimplemented!()
    }
}

impl Scope {
    pub fn of(_run: &Run) -> Self {
        unimplemented!()
    }
}
