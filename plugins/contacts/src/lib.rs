//! Contacts: each action asks the host for one thing, says what became of it, and fails with words that say what to do.

mod add_note;
mod create_or_update;
mod delete;
mod find;
mod tags;
mod update;

use flowcell_sdk::contacts::{self, By, Changed, Outcome};
use flowcell_sdk::{ActionError, Input, Output};
use serde_json::{Map, Value};

flowcell_sdk::plugin! {
    actions: {
        "create-or-update" => create_or_update::create_or_update,
        "find" => find::find,
        "update" => update::update,
        "add-tag" => tags::add,
        "remove-tag" => tags::remove,
        "add-note" => add_note::add_note,
        "delete" => delete::delete,
    },
}

/// What a step does when there is no such contact.
#[derive(Input, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnNotFound {
    /// The step succeeds and says `found: false`.
    Continue,
    #[default]
    Fail,
}

/// Which contact is meant: exactly one of these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which<'w> {
    pub(crate) id: Option<&'w str>,
    pub(crate) email: Option<&'w str>,
    pub(crate) phone: Option<&'w str>,
    pub(crate) external_id: Option<&'w str>,
}

impl<'w> Which<'w> {
    /// By what it is looked for; an empty text says nothing.
    fn by(self) -> Result<By<'w>, ActionError> {
        let given = |text: Option<&'w str>| text.map(str::trim).filter(|text| !text.is_empty());
        let ways = [
            given(self.id).map(By::Id),
            given(self.email).map(By::Email),
            given(self.phone).map(By::Phone),
            given(self.external_id).map(By::ExternalId),
        ];
        let mut ways = ways.into_iter().flatten();
        match (ways.next(), ways.next()) {
            (Some(by), None) => Ok(by),
            (None, _) => Err(ActionError::invalid_input(
                "/id",
                "which contact is meant? Give its `id`, as in {{ contact.id }}, or `email`, `phone` or `external_id`; what was given is empty",
            )),
            (Some(_), Some(_)) => Err(ActionError::invalid_input(
                "/id",
                "a contact is meant by one of `id`, `email`, `phone` and `external_id`: leave out the others",
            )),
        }
    }

    /// The contact as far as it may be read; nothing when there is none and the step goes on without.
    pub(crate) fn look(self, on_not_found: OnNotFound) -> Result<Option<Map<String, Value>>, ActionError> {
        let by = self.by()?;
        match (contacts::find(by)?, on_not_found) {
            (Some(Value::Object(contact)), _) => Ok(Some(contact)),
            (_, OnNotFound::Continue) => Ok(None),
            (_, OnNotFound::Fail) => {
                let (field, value) = match by {
                    By::Id(value) => ("id", value),
                    By::Email(value) => ("email", value),
                    By::Phone(value) => ("phone", value),
                    By::ExternalId(value) => ("external_id", value),
                };
                let message = format!(
                    "no contact has the {field} `{value}`; `on_not_found: continue` lets the run go on and says `found: false`"
                );
                Err(ActionError::permanent("not-found", message).detail("field", format!("/{field}")))
            }
        }
    }
}

/// The id of a contact that the host has told of.
pub(crate) fn id_of(contact: &Map<String, Value>) -> Result<&str, ActionError> {
    let id = contact.get("id").and_then(Value::as_str);
    id.ok_or_else(|| ActionError::permanent("internal", "the host told of a contact without an id"))
}

/// What a change came to.
#[derive(Output, Default)]
pub(crate) struct Done {
    /// Whether there is such a contact.
    found: bool,
    /// It, as it is now.
    contact: Option<Map<String, Value>>,
    /// Whether it has been made just now.
    created: bool,
    /// The fields that are others now, such as `city`, `fields.plan` or `tags`; empty when everything was so already.
    changed: Vec<String>,
}

impl Done {
    pub(crate) fn of(done: Changed) -> Self {
        let Changed { contact, outcome, changed } = done;
        let contact = match contact {
            Value::Object(contact) => Some(contact),
            _ => None,
        };
        Self { found: true, contact, created: outcome == Outcome::Created, changed }
    }
}
