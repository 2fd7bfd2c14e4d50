//! The action `delete`.

use flowcell_sdk::{ActionError, Context, Input, Output, contacts};

use crate::{OnNotFound, Which, id_of};

#[derive(Input)]
pub(crate) struct Deletion {
    /// Its id, such as {{ contact.id }}.
    id: Option<String>,
    email: Option<String>,
    /// With its country, such as +4930901820.
    phone: Option<String>,
    external_id: Option<String>,
    /// What happens when there is no such contact: "continue" goes on with `deleted: false`, "fail" fails the step.
    #[serde(default = "go_on")]
    on_not_found: OnNotFound,
}

fn go_on() -> OnNotFound {
    OnNotFound::Continue
}

#[derive(Output)]
pub(crate) struct Deleted {
    /// Whether it was there.
    deleted: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn delete(_: &Context, deletion: Deletion) -> Result<Deleted, ActionError> {
    let which = Which {
        id: deletion.id.as_deref(),
        email: deletion.email.as_deref(),
        phone: deletion.phone.as_deref(),
        external_id: deletion.external_id.as_deref(),
    };
    if let (Some(id), OnNotFound::Continue) = (which.id.filter(|id| !id.is_empty()), deletion.on_not_found)
        && (which.email, which.phone, which.external_id) == (None, None, None)
    {
        // Without a look: a repeated attempt then hears what the first one did, although nothing is there any more.
        return Ok(Deleted { deleted: contacts::delete(id)? });
    }
    let Some(contact) = which.look(deletion.on_not_found)? else { return Ok(Deleted { deleted: false }) };
    Ok(Deleted { deleted: contacts::delete(id_of(&contact)?)? })
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::delete;

    #[test]
    fn what_is_gone_can_be_deleted_again() {
        let host = Harness::new();
        host.add_contact(json!({"id": "con_1", "external_id": "A-1"}));
        assert_eq!(host.call(delete, json!({"external_id": "A-1"})).unwrap(), json!({"deleted": true}));
        assert_eq!(host.call(delete, json!({"external_id": "A-1"})).unwrap(), json!({"deleted": false}));
        let error = host.call(delete, json!({"id": "con_1", "on_not_found": "fail"})).expect_err("nobody");
        assert_eq!(error.code, "not-found");
    }
}
