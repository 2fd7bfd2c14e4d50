//! The action `find`.

use flowcell_sdk::{ActionError, Context, Input, Output, contacts};
use serde_json::{Map, Value};

use crate::create_or_update::yes;
use crate::{OnNotFound, Which, id_of};

#[derive(Input)]
pub(crate) struct Sought {
    /// Its id, such as {{ contact.id }}.
    id: Option<String>,
    email: Option<String>,
    /// With its country, such as +4930901820.
    phone: Option<String>,
    external_id: Option<String>,
    /// What happens when there is none: "continue" goes on with `found: false`, "fail" fails the step.
    #[serde(default = "go_on")]
    on_not_found: OnNotFound,
    /// Whether it becomes the run's contact, so that later steps read {{ contact.email }} and the rest.
    #[serde(default = "yes")]
    enroll: bool,
}

fn go_on() -> OnNotFound {
    OnNotFound::Continue
}

#[derive(Output)]
pub(crate) struct Found {
    /// Whether there is such a contact: `if: [{ when: steps.<id>.output.found, … }]`.
    found: bool,
    contact: Option<Map<String, Value>>,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn find(_: &Context, sought: Sought) -> Result<Found, ActionError> {
    let which = Which {
        id: sought.id.as_deref(),
        email: sought.email.as_deref(),
        phone: sought.phone.as_deref(),
        external_id: sought.external_id.as_deref(),
    };
    let contact = which.look(sought.on_not_found)?;
    if sought.enroll
        && let Some(contact) = &contact
    {
        contacts::enroll(id_of(contact)?)?;
    }
    Ok(Found { found: contact.is_some(), contact })
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::find;

    #[test]
    fn found_and_not_found_are_both_answers() {
        let host = Harness::new();
        host.add_contact(json!({"id": "con_1", "email": "ana@example.com"}));
        let found = host.call(find, json!({"email": "ana@example.com", "phone": ""})).unwrap();
        assert_eq!((&found["found"], &found["contact"]["id"]), (&json!(true), &json!("con_1")));
        let none = host.call(find, json!({"email": "ben@example.com"})).unwrap();
        assert_eq!(none["found"], json!(false));
        let error = host.call(find, json!({"id": "con_2", "on_not_found": "fail"})).expect_err("nobody");
        assert_eq!((error.code.as_ref(), error.retryable), ("not-found", false));
        assert!(error.message.contains("`con_2`") && error.message.contains("on_not_found"), "{}", error.message);
    }

    #[test]
    fn nobody_and_two_ways_at_once_are_refused() {
        let host = Harness::new();
        for (input, part) in [
            (json!({"email": " "}), "what was given is empty"),
            (json!({"id": "con_1", "email": "ana@example.com"}), "leave out the others"),
        ] {
            let error = host.call(find, input).expect_err("refused");
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}
