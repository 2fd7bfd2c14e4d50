//! JSON Schemas that exist while the plugin is compiled: a constant tree for each type.
//!
//! The derives build [`Node`]s, [`line`] writes them as JSON at compile time, and `plugin!` puts the text into the section
//! `flowcell:schemas` (see SCHEMAS.md). At run time none of this is there.

pub(crate) mod line;
mod types;
mod write;

pub(crate) use write::equal;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an action takes as input or a trigger as config: decodable, with a schema. Derive it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be (a part of) an action's input or a trigger's config",
    label = "has no input schema",
    note = "put `#[derive(flowcell_sdk::Input)]` on it; of the standard library there are String, bool, numbers, Option, Vec, Box and maps with String keys; `serde_json::Value` takes anything"
)]
pub trait Input: DeserializeOwned {
    const SCHEMA: &'static Node;
}

/// What an action gives as output or a trigger as payload: encodable, with a schema. Derive it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be (a part of) an action's output or a trigger's payload",
    label = "has no output schema",
    note = "put `#[derive(flowcell_sdk::Output)]` on it; of the standard library there are String, bool, numbers, Option, Vec, Box and maps with String keys; `serde_json::Value` takes anything"
)]
pub trait Output: Serialize {
    const SCHEMA: &'static Node;
}

/// One JSON Schema.
#[derive(Debug, Clone, Copy)]
pub enum Node {
    /// Any JSON value.
    Any,
    Boolean,
    /// A whole number; the limits are those of the Rust type, where a double can hold them.
    Integer {
        minimum: Option<&'static str>,
        maximum: Option<&'static str>,
    },
    Number,
    Text,
    /// One of these strings.
    Choice {
        description: &'static str,
        values: &'static [&'static str],
        default: Option<&'static str>,
    },
    List(&'static Node),
    /// An object with any keys.
    Map(&'static Node),
    /// This, or `null`.
    Nullable(&'static Node),
    /// `closed`: no other fields than these.
    Object {
        description: &'static str,
        fields: &'static [Field],
        closed: bool,
    },
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub required: bool,
    pub default: Default,
    /// Further keywords with their values as JSON.
    pub keywords: &'static [(&'static str, &'static str)],
    pub node: &'static Node,
}

/// A field's default.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    None,
    /// The type's own.
    OfType,
    /// As JSON.
    Json(&'static str),
}

#[cfg(test)]
mod tests;
