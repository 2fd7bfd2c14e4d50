//! The manifest's JSON Schemas, compiled once per digest, and what does not fit them. What a schema may be is decided in
//! [`flowcell_core::manifest::schema`].

use std::collections::HashMap;

use flowcell_core::manifest::{Manifest, schema};
use jsonschema::Validator;
use serde_json::Value;

/// What goes into an action or trigger, and what comes out.
#[derive(Debug)]
pub(crate) struct Member {
    /// An action's input or a trigger's configuration.
    pub(crate) input: Validator,
    /// An action's output or an event's payload.
    pub(crate) output: Validator,
}

#[derive(Debug, Default)]
pub(crate) struct Schemas {
    pub(crate) actions: HashMap<String, Member>,
    pub(crate) triggers: HashMap<String, Member>,
}

/// Where and why a document does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// JSON Pointer to the value at fault; empty for the whole document.
    pub(crate) pointer: String,
    pub(crate) message: String,
}

impl Schemas {
    /// Compiles every schema of a manifest; the error names the one at fault.
    pub(crate) fn compile(manifest: &Manifest) -> Result<Self, String> {
        let member = |input: &Value, output: &Value, of: String| {
            let compile =
                |schema, part: &str| schema::compile(schema).map_err(|error| format!("{part} of {of}: {error}"));
            Ok::<_, String>(Member { input: compile(input, "input")?, output: compile(output, "output")? })
        };
        let mut schemas = Self::default();
        for action in &manifest.actions {
            let compiled = member(&action.input, &action.output, format!("action `{}`", action.id))?;
            schemas.actions.insert(action.id.clone(), compiled);
        }
        for trigger in &manifest.triggers {
            let compiled = member(&trigger.config, &trigger.output, format!("trigger `{}`", trigger.id))?;
            schemas.triggers.insert(trigger.id.clone(), compiled);
        }
        Ok(schemas)
    }
}

/// Says where `document` breaks `schema` first.
pub(crate) fn check(schema: &Validator, document: &Value) -> Result<(), Misfit> {
    schema.validate(document).map_err(|error| Misfit {
        pointer: error.instance_path().to_string(),
        // Values stay out of messages: they may be large, and may be secret.
        message: error.masked().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_misfit_says_where_and_not_what_the_value_was() {
        let schema = json!({"type": "object", "properties": {"urls": {"type": "array", "items": {"type": "string"}}}, "required": ["urls"]});
        let schema = schema::compile(&schema).expect("compiles");
        assert_eq!(check(&schema, &json!({"urls": ["a"]})), Ok(()));
        let misfit = check(&schema, &json!({"urls": ["a", 77]})).expect_err("77 is no string");
        assert_eq!(misfit.pointer, "/urls/1");
        assert!(misfit.message.contains("string") && !misfit.message.contains("77"), "{misfit:?}");
        let misfit = check(&schema, &json!({})).expect_err("urls is missing");
        assert!(misfit.pointer.is_empty() && misfit.message.contains("urls"), "{misfit:?}");
    }
}
