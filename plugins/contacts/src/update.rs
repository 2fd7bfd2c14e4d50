//! The action `update`.

use flowcell_sdk::{ActionError, Context, Input, contacts};
use serde_json::{Map, Value, json};

use crate::{Done, OnNotFound, Which, id_of};

#[derive(Input)]
pub(crate) struct Update {
    /// Its id, such as {{ contact.id }}.
    id: Option<String>,
    email: Option<String>,
    /// With its country, such as +4930901820.
    phone: Option<String>,
    external_id: Option<String>,
    /// Fields by their names, the workspace's own ones in `fields`; null removes one.
    set: Map<String, Value>,
    #[serde(default)]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
    /// Nothing is changed when the contact has another version: somebody else was first.
    if_version: Option<u64>,
    /// What happens when there is no such contact: "fail" fails the step, "continue" goes on with `found: false`.
    #[serde(default)]
    on_not_found: OnNotFound,
}

pub(crate) fn update(_: &Context, update: Update) -> Result<Done, ActionError> {
    let which = Which {
        id: update.id.as_deref(),
        email: update.email.as_deref(),
        phone: update.phone.as_deref(),
        external_id: update.external_id.as_deref(),
    };
    let Some(contact) = which.look(update.on_not_found)? else { return Ok(Done::default()) };
    let mut changes = Map::new();
    changes.insert("set".to_owned(), Value::Object(update.set));
    for (name, tags) in [("add_tags", update.add_tags), ("remove_tags", update.remove_tags)] {
        if !tags.is_empty() {
            changes.insert(name.to_owned(), json!(tags));
        }
    }
    changes.extend(update.if_version.map(|version| ("if_version".to_owned(), version.into())));
    Ok(Done::of(contacts::change(id_of(&contact)?, &Value::Object(changes))?))
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::update;

    #[test]
    fn fields_and_tags_change_and_another_version_does_not() {
        let host = Harness::new();
        host.add_contact(json!({"id": "con_1", "email": "ana@example.com", "tags": ["new"]}));
        let input =
            json!({"email": "ana@example.com", "set": {"city": "Lisbon"}, "add_tags": ["vip"], "remove_tags": ["new"]});
        let changed = host.call(update, input).unwrap();
        assert_eq!((&changed["contact"]["city"], &changed["contact"]["tags"]), (&json!("Lisbon"), &json!(["vip"])));
        let error = host.call(update, json!({"id": "con_1", "set": {}, "if_version": 77})).expect_err("moved on");
        assert_eq!(error.code, "conflict");
        let none = host.call(update, json!({"id": "con_2", "set": {}, "on_not_found": "continue"})).unwrap();
        assert_eq!(none["found"], json!(false));
    }
}
