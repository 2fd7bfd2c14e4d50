//! The lines of the section `flowcell:schemas` (SCHEMAS.md), written while the plugin is compiled.

use super::Node;
use super::write::Writer;
use crate::register::{ActionSchemas, TriggerSchemas};

/// The line of an action; its length comes from [`action_line_length`].
pub const fn action_line<const N: usize>(id: &str, schemas: ActionSchemas) -> [u8; N] {
    write_action(id, schemas).finish()
}

pub const fn action_line_length(id: &str, schemas: ActionSchemas) -> usize {
    write_action::<0>(id, schemas).length()
}

/// The line of a trigger; its length comes from [`trigger_line_length`].
pub const fn trigger_line<const N: usize>(id: &str, schemas: TriggerSchemas) -> [u8; N] {
    write_trigger(id, schemas).finish()
}

pub const fn trigger_line_length(id: &str, schemas: TriggerSchemas) -> usize {
    write_trigger::<0>(id, schemas).length()
}

const fn write_action<const N: usize>(id: &str, schemas: ActionSchemas) -> Writer<N> {
    write("action", id, "input", schemas.input, schemas.output)
}

const fn write_trigger<const N: usize>(id: &str, schemas: TriggerSchemas) -> Writer<N> {
    write("trigger", id, "config", schemas.config, schemas.output)
}

const fn write<const N: usize>(kind: &str, id: &str, from: &str, taken: &Node, given: &Node) -> Writer<N> {
    assert!(is_id(id.as_bytes()), "an id is made of lower-case letters, digits and hyphens, and starts with a letter");
    assert!(
        matches!(taken, Node::Object { .. } | Node::Map(_) | Node::Any),
        "an action's input and a trigger's config are what stands under `with`: a struct with #[derive(Input)], or serde_json::Value"
    );
    let mut writer = Writer::new();
    writer.raw("{\"kind\":");
    writer.string(kind);
    writer.raw(",\"id\":");
    writer.string(id);
    writer.raw(",");
    writer.string(from);
    writer.raw(":");
    // What stands under `with` is always an object.
    writer.schema(if matches!(taken, Node::Any) { &Node::Map(&Node::Any) } else { taken });
    writer.raw(",\"output\":");
    writer.schema(given);
    writer.raw("}\n");
    writer
}

const fn is_id(id: &[u8]) -> bool {
    let [b'a'..=b'z', rest @ ..] = id else { return false };
    let mut rest = rest;
    while let [letter, others @ ..] = rest {
        if !matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        rest = others;
    }
    true
}
