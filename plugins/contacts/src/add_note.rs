//! The action `add-note`.

use flowcell_sdk::{ActionError, Context, Input, Output, contacts};
use serde_json::Value;

use crate::{OnNotFound, Which, id_of};

#[derive(Input)]
pub(crate) struct NewNote {
    /// Its id, such as {{ contact.id }}.
    id: Option<String>,
    email: Option<String>,
    /// With its country, such as +4930901820.
    phone: Option<String>,
    external_id: Option<String>,
    /// At most 32 KiB.
    text: String,
    /// What happens when there is no such contact: "fail" fails the step, "continue" goes on with `found: false`.
    #[serde(default)]
    on_not_found: OnNotFound,
}

#[derive(Output, Default)]
pub(crate) struct Noted {
    /// Whether there is such a contact.
    found: bool,
    /// The note's id, `note_…`.
    note_id: Option<String>,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn add_note(_: &Context, note: NewNote) -> Result<Noted, ActionError> {
    let which = Which {
        id: note.id.as_deref(),
        email: note.email.as_deref(),
        phone: note.phone.as_deref(),
        external_id: note.external_id.as_deref(),
    };
    let Some(contact) = which.look(note.on_not_found)? else { return Ok(Noted::default()) };
    let added = contacts::add_note(id_of(&contact)?, &note.text)?;
    Ok(Noted { found: true, note_id: added.pointer("/note/id").and_then(Value::as_str).map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::add_note;

    #[test]
    fn a_note_is_written_about_a_contact_that_is_there() {
        let host = Harness::new();
        host.add_contact(json!({"id": "con_1", "email": "ana@example.com"}));
        let noted = host.call(add_note, json!({"id": "con_1", "text": "called"})).unwrap();
        assert!(noted["note_id"].as_str().is_some_and(|id| id.starts_with("note_")), "{noted}");
        let none = host.call(add_note, json!({"id": "con_2", "text": "called", "on_not_found": "continue"})).unwrap();
        assert_eq!(none["found"], json!(false));
    }
}
