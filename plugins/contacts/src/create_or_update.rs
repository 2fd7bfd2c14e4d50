//! The action `create-or-update`.

use flowcell_sdk::{ActionError, Context, Input, contacts};
use serde_json::{Map, Value, json};

use crate::Done;

#[derive(Input)]
pub(crate) struct Wanted {
    /// E-mail address; one contact of the workspace has it.
    email: Option<String>,
    /// Telephone number with its country, such as +4930901820; one contact of the workspace has it.
    phone: Option<String>,
    /// The id that another system has for them; one contact of the workspace has it.
    external_id: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    company_name: Option<String>,
    address1: Option<String>,
    city: Option<String>,
    state: Option<String>,
    postal_code: Option<String>,
    country: Option<String>,
    website: Option<String>,
    /// Such as 1990-04-23.
    date_of_birth: Option<String>,
    timezone: Option<String>,
    /// Where they come from.
    source: Option<String>,
    /// The workspace's own fields, by their names; null removes one.
    #[serde(default)]
    fields: Map<String, Value>,
    /// Tags to add.
    #[serde(default)]
    tags: Vec<String>,
    /// Whether it becomes the run's contact, so that later steps read {{ contact.email }} and the rest.
    #[serde(default = "yes")]
    enroll: bool,
}

pub(crate) fn yes() -> bool {
    true
}

/// Finds the contact by external id, e-mail address and telephone number, which must all lead to one, and sets what is given. An empty text says
/// nothing, so that what a form was not told is not forgotten.
pub(crate) fn create_or_update(_: &Context, wanted: Wanted) -> Result<Done, ActionError> {
    let mut document = Map::new();
    for (name, value) in [
        ("email", wanted.email),
        ("phone", wanted.phone),
        ("external_id", wanted.external_id),
        ("first_name", wanted.first_name),
        ("last_name", wanted.last_name),
        ("company_name", wanted.company_name),
        ("address1", wanted.address1),
        ("city", wanted.city),
        ("state", wanted.state),
        ("postal_code", wanted.postal_code),
        ("country", wanted.country),
        ("website", wanted.website),
        ("date_of_birth", wanted.date_of_birth),
        ("timezone", wanted.timezone),
        ("source", wanted.source),
    ] {
        document.extend(value.filter(|value| !value.trim().is_empty()).map(|value| (name.to_owned(), value.into())));
    }
    if !wanted.fields.is_empty() {
        document.insert("fields".to_owned(), Value::Object(wanted.fields));
    }
    if !wanted.tags.is_empty() {
        document.insert("tags".to_owned(), json!(wanted.tags));
    }
    let changed = contacts::upsert(&Value::Object(document))?;
    if wanted.enroll
        && let Some(id) = changed.contact.get("id").and_then(Value::as_str)
    {
        contacts::enroll(id)?;
    }
    Ok(Done::of(changed))
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::create_or_update;

    #[test]
    fn a_contact_is_made_once_and_changed_after_that() {
        let host = Harness::new();
        let made =
            host.call(create_or_update, json!({"email": "ana@example.com", "first_name": "Ana", "phone": ""})).unwrap();
        assert_eq!((&made["created"], &made["contact"]["first_name"]), (&json!(true), &json!("Ana")));
        assert_eq!(made["contact"].get("phone"), None, "an empty text says nothing");
        let changed = host.call(create_or_update, json!({"email": "ana@example.com", "city": "Lisbon"})).unwrap();
        assert_eq!((&changed["created"], &changed["contact"]["id"]), (&json!(false), &made["contact"]["id"]));
        assert_eq!(changed["changed"], json!(["city"]));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let host = Harness::new();
        let error = host.call(create_or_update, json!({"emial": "ana@example.com"})).expect_err("a typo");
        assert!(error.message.contains("`emial`"), "{}", error.message);
    }
}
