//! The actions `add-tag` and `remove-tag`.

use flowcell_sdk::{ActionError, Context, Input, contacts};
use serde_json::json;

use crate::{Done, OnNotFound, Which, id_of};

#[derive(Input)]
pub(crate) struct Tagging {
    /// Its id, such as {{ contact.id }}.
    id: Option<String>,
    email: Option<String>,
    /// With its country, such as +4930901820.
    phone: Option<String>,
    external_id: Option<String>,
    /// The tags.
    tags: Vec<String>,
    /// What happens when there is no such contact: "fail" fails the step, "continue" goes on with `found: false`.
    #[serde(default)]
    on_not_found: OnNotFound,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn add(_: &Context, tagging: Tagging) -> Result<Done, ActionError> {
    change("add_tags", &tagging)
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn remove(_: &Context, tagging: Tagging) -> Result<Done, ActionError> {
    change("remove_tags", &tagging)
}

fn change(what: &str, tagging: &Tagging) -> Result<Done, ActionError> {
    if tagging.tags.is_empty() {
        return Err(ActionError::invalid_input("/tags", "names no tag"));
    }
    let which = Which {
        id: tagging.id.as_deref(),
        email: tagging.email.as_deref(),
        phone: tagging.phone.as_deref(),
        external_id: tagging.external_id.as_deref(),
    };
    let Some(contact) = which.look(tagging.on_not_found)? else { return Ok(Done::default()) };
    Ok(Done::of(contacts::change(id_of(&contact)?, &json!({ what: tagging.tags }))?))
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::{add, remove};

    #[test]
    fn tags_come_and_go() {
        let host = Harness::new();
        host.add_contact(json!({"id": "con_1", "email": "ana@example.com"}));
        let added = host.call(add, json!({"id": "con_1", "tags": ["vip", "new"]})).unwrap();
        assert_eq!(added["contact"]["tags"], json!(["vip", "new"]));
        let removed = host.call(remove, json!({"email": "ana@example.com", "tags": ["new"]})).unwrap();
        assert_eq!(removed["contact"]["tags"], json!(["vip"]));
        assert_eq!(host.call(add, json!({"id": "con_1", "tags": []})).expect_err("none").code, "invalid-input");
        assert_eq!(host.call(add, json!({"id": "con_9", "tags": ["a"]})).expect_err("nobody").code, "not-found");
    }
}
