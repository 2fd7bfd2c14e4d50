//! What a plugin's error says beside its code: which field it is about, and whether it is about rights.

use serde_json::Value;

use super::{ActionError, InvokeError};

/// The code of a plugin whose peer refused its credentials, or what it may do with them.
pub const UNAUTHORIZED: &str = "unauthorized";

impl ActionError {
    /// The field of the input that it is about, as a JSON Pointer: `details.field`.
    pub fn field(&self) -> Option<String> {
        let field = self.details.as_ref()?.get("field")?.as_str()?;
        // What a plugin says is shown to people and looked up in their text; a longer one is no pointer of any schema.
        let is_pointer = field.len() <= 512 && (field.is_empty() || field.starts_with('/'));
        is_pointer.then(|| field.to_owned())
    }
}

impl InvokeError {
    /// Whether the other side refused the credentials of the call, and would refuse the same again.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Action(error) if error.code == UNAUTHORIZED && !error.retryable)
    }

    /// The field of the input that it is about, as a JSON Pointer.
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Action(error) => error.field(),
            Self::InvalidInput { pointer, .. } => Some(pointer.clone()),
            _ => None,
        }
    }
}

/// The field that a stored error is about (see [`ActionError::field`]).
pub fn field_of(details: Option<&Value>) -> Option<&str> {
    details?.get("field")?.as_str().filter(|field| field.is_empty() || field.starts_with('/'))
}
