//! The examples of `docs/workflows.md` are workflows, and nothing is wrong with them.

use super::*;
use crate::workflow::check::others::{Callee, Found, Others};
use std::collections::HashMap;

const REFERENCE: &str = include_str!("../../../../../../docs/workflows.md");

struct Documented(HashMap<String, Callee>);

impl Others for Documented {
    fn find(&self, id: &crate::id::WorkflowId, _: Option<u32>) -> Found {
        self.0
            .get(id.as_str())
            .map_or(Found::Missing { known: Vec::new() }, |callee| Found::There(Box::new(callee.clone())))
    }
}

#[test]
fn every_example_of_the_reference_is_good() {
    let examples: Vec<&str> =
        REFERENCE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 10, "the reference has examples");
    let parsed =
        examples.iter().map(|text| Authored::parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}")));
    let others = Documented(parsed.map(|it| (it.workflow.id.to_string(), Callee::of(&it.workflow, 1))).collect());
    assert_eq!(others.0.len(), examples.len(), "each example has an id of its own");
    let plugins = Plugins::new();
    for text in examples {
        let examined =
            examine(text, &Surroundings { catalog: &plugins, grants: &[], others: &others, reference: None });
        let problems: String = examined.findings.problems.iter().map(|problem| format!("{problem}\n")).collect();
        assert_eq!(problems, "", "{text}");
    }
}

#[test]
fn every_key_of_the_schema_stands_in_the_reference() {
    fn keys(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                for (key, field) in fields {
                    if key == "properties" {
                        found.extend(field.as_object().into_iter().flatten().map(|(key, _)| key.clone()));
                    }
                    keys(field, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    keys(&serde_json::from_str(schema::WORKFLOW).expect("JSON"), &mut found);
    let undocumented: Vec<_> =
        found.iter().filter(|key| *key != "$schema" && !REFERENCE.contains(key.as_str())).collect();
    assert_eq!(undocumented, Vec::<&String>::new());
}
