//! The plugin as the host sees it: JSON in, JSON out.

use flowcell_sdk::Plugin as _;
use flowcell_sdk::test::{context, schemas};
use hello_plugin::ThisPlugin;
use serde_json::{Value, json};

fn greet(input: &Value) -> Result<String, flowcell_sdk::ActionError> {
    ThisPlugin::invoke("greet", &context(), &input.to_string())
}

#[test]
fn a_name_is_greeted() {
    assert_eq!(greet(&json!({"name": "Zoë"})), Ok(r#"{"message":"Hello, Zoë!"}"#.to_owned()));
}

#[test]
fn a_missing_name_is_the_inputs_fault() {
    for (input, field) in [(json!({}), ""), (json!({"name": " "}), "/name")] {
        let error = greet(&input).expect_err("there is nobody to greet");
        assert_eq!((error.code.as_ref(), error.retryable), ("invalid-input", false));
        assert_eq!(error.details.get("field"), Some(&json!(field)));
    }
}

#[test]
fn hello_world_fits_on_a_page() {
    assert!(
        include_str!("../src/lib.rs").lines().count() <= 25,
        "the smallest plugin is the first thing an author reads"
    );
}

#[test]
fn the_form_has_one_field_with_its_description() {
    assert_eq!(
        schemas::<ThisPlugin>(),
        [json!({
            "kind": "action",
            "id": "greet",
            "input": {
                "type": "object",
                "properties": {"name": {"title": "Name", "description": "Who to greet.", "type": "string", "examples": ["Ada"]}},
                "required": ["name"],
                "additionalProperties": false,
            },
            "output": {"type": "object", "properties": {"message": {"title": "Message", "type": "string"}}, "required": ["message"]},
        })]
    );
}
