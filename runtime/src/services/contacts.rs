//! The service `contacts`: what steps ask of the contacts of their workspace. The sandbox has held the fields against the plugin's capability, and
//! leaves out of the answers what it may not read.

use std::sync::{Arc, OnceLock};

use flowcell_core::contact::decide::{ContactWrite, Outcome, Refusal, Wish};
use flowcell_core::contact::port::{Contacts, Written};
use flowcell_core::contact::wanted::{InvalidField, Wanted};
use flowcell_core::contact::{Actor, Contact, Identity, field};
use flowcell_core::host_call::contacts::Request;
use flowcell_core::host_call::{Caller, HostError};
use flowcell_core::id::ContactId;
use flowcell_core::ports::{Clock, Entropy};
use flowcell_engine::{ControlError, RunControl};
use serde_json::{Map, Value, json};

use crate::entropy::id_bits;

pub(crate) struct ContactService {
    contacts: Arc<dyn Contacts>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Of the engine, which is made after the sandbox that asks this.
    control: OnceLock<RunControl>,
}

impl ContactService {
    pub(crate) fn new(contacts: Arc<dyn Contacts>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { contacts, clock, entropy, control: OnceLock::new() }
    }

    /// Says through whom runs gain a contact. Called once, before the first run goes on.
    pub(crate) fn connect(&self, control: RunControl) {
        // A second engine would be a mistake of the assembly; the first one stays.
        let _ = self.control.set(control);
    }

    pub(crate) async fn call(&self, caller: &Caller, request: Request) -> Result<Value, HostError> {
        match request {
            Request::Find { by } => {
                let found = match sought(&by)? {
                    Sought::Id(id) => self.contacts.get(&caller.workspace, id).await?,
                    Sought::Identity(identity) => self.contacts.find(&caller.workspace, &identity).await?,
                };
                Ok(found.map_or(Value::Null, |contact| contact.document()))
            }
            Request::Upsert { contact } => {
                let (id, wanted) = self.wanted(caller, &contact, "").await?;
                let written = self.write(caller, Wish::Upsert { id, wanted }).await?;
                Ok(changed(&written))
            }
            Request::Change { id, changes } => {
                let id = parse_id(&id)?;
                let (_, wanted) = self.wanted(caller, &flat(changes)?, "/set").await?;
                let written = self.write(caller, Wish::Change { id, wanted }).await?;
                Ok(changed(&written))
            }
            Request::AddNote { id, text } => {
                let written = self.write(caller, Wish::Note { id: parse_id(&id)?, text }).await?;
                Ok(json!({ "note": { "id": written.note } }))
            }
            Request::Delete { id } => {
                match self.write(caller, Wish::Delete { id: parse_id(&id)?, if_version: None }).await {
                    Ok(_) => Ok(true.into()),
                    Err(error) if error.code == "not-found" => Ok(false.into()),
                    Err(error) => Err(error),
                }
            }
            Request::Enroll { id } => self.enroll(caller, parse_id(&id)?).await.map(|()| Value::Null),
        }
    }

    async fn wanted(
        &self,
        caller: &Caller,
        document: &Value,
        below: &str,
    ) -> Result<(Option<ContactId>, Wanted), HostError> {
        let definitions = self.contacts.definitions(&caller.workspace).await?;
        Wanted::read(document, &definitions).map_err(|invalid| refuse(&invalid, below))
    }

    async fn write(&self, caller: &Caller, wish: Wish) -> Result<Written, HostError> {
        let (control, actor) = (self.control()?, actor(caller)?);
        let chain = match caller.run {
            Some(run) => control.contact_chain(run).await.map_err(|error| unavailable(&error))?,
            None => Vec::new(),
        };
        let write = ContactWrite {
            workspace: caller.workspace.clone(),
            wish,
            by: actor,
            at: self.clock.now(),
            random: id_bits(&*self.entropy),
            chain,
            key: caller.ledger_key(),
        };
        self.contacts.write(write).await?.map_err(|refusal| refused(&refusal))
    }

    async fn enroll(&self, caller: &Caller, id: ContactId) -> Result<(), HostError> {
        let (Some(run), Some(step)) = (caller.run, &caller.step) else {
            return Err(HostError::denied("only a step can give its run a contact"));
        };
        if self.contacts.get(&caller.workspace, id).await?.is_none() {
            return Err(refused(&Refusal::NotFound { id }));
        }
        self.control()?.enroll(run, step, id).await.map_err(|error| unavailable(&error))
    }

    fn control(&self) -> Result<&RunControl, HostError> {
        self.control.get().ok_or_else(|| HostError::unavailable("the server is still starting"))
    }
}

fn actor(caller: &Caller) -> Result<Actor, HostError> {
    match (&caller.workflow, caller.run, &caller.step) {
        (Some(workflow), Some(run), Some(step)) => {
            Ok(Actor::Run { workflow: workflow.clone(), run, step: step.clone(), plugin: caller.plugin.clone() })
        }
        _ => Err(HostError::denied("only a step of a run changes contacts")),
    }
}

fn parse_id(id: &str) -> Result<ContactId, HostError> {
    id.parse().map_err(|_| HostError::invalid_input("/id", format!("`{id}` is no id of a contact, con_…")))
}

enum Sought {
    Id(ContactId),
    Identity(Identity),
}

/// By what a contact is looked for: exactly one of `id`, `email`, `phone`, `external_id`.
fn sought(by: &Value) -> Result<Sought, HostError> {
    let mut members = by.as_object().into_iter().flatten();
    let (Some((name, value)), None) = (members.next(), members.next()) else {
        return Err(HostError::invalid_input(
            "",
            "a contact is looked for by one of `id`, `email`, `phone` and `external_id`",
        ));
    };
    let pointer = format!("/{name}");
    let wrong = |message: String| HostError::invalid_input(&pointer, format!("`{name}` {message}"));
    let text = value.as_str().ok_or_else(|| wrong(format!("takes a text, and got {value}")))?;
    match name.as_str() {
        "id" => parse_id(text).map(Sought::Id),
        "email" => field::email(text).map(|email| Sought::Identity(Identity::Email(email))).map_err(wrong),
        "phone" => field::phone(text).map(|phone| Sought::Identity(Identity::Phone(phone))).map_err(wrong),
        "external_id" => field::external_id(text).map(|id| Sought::Identity(Identity::ExternalId(id))).map_err(wrong),
        _ => Err(wrong(
            "is nothing that a contact is looked for by: write `id`, `email`, `phone` or `external_id`".to_owned(),
        )),
    }
}

/// `{set, add_tags, remove_tags, if_version}` as one document.
fn flat(changes: Value) -> Result<Value, HostError> {
    let wrong = |pointer: &str, message: &str| HostError::invalid_input(pointer, message);
    let Value::Object(mut changes) = changes else { return Err(wrong("", "takes an object")) };
    let mut document = match changes.remove("set") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(set)) => set,
        Some(_) => return Err(wrong("/set", "takes an object: fields by their names")),
    };
    for (name, value) in changes {
        if !matches!(name.as_str(), "add_tags" | "remove_tags" | "if_version") {
            let pointer = format!("/{name}");
            return Err(wrong(&pointer, "is none of `set`, `add_tags`, `remove_tags` and `if_version`"));
        }
        document.insert(name, value);
    }
    Ok(Value::Object(document))
}

fn changed(written: &Written) -> Value {
    // What a repeated attempt asks for again may have been deleted meanwhile.
    let contact = written.contact.as_ref().map_or_else(|| json!({ "id": written.id }), Contact::document);
    let outcome = match written.outcome {
        Outcome::Created => "created",
        Outcome::Changed => "changed",
        Outcome::Unchanged | Outcome::Deleted | Outcome::Noted => "unchanged",
    };
    json!({ "contact": contact, "outcome": outcome, "changed": written.changed })
}

/// The first place at fault, with how many more there are. Fields stand `below` this place of what was asked.
fn refuse(invalid: &[InvalidField], below: &str) -> HostError {
    let Some(first) = invalid.first() else { return HostError::invalid_input("", "it cannot be") };
    let is_below = !matches!(first.pointer.split('/').nth(1), Some("add_tags" | "remove_tags" | "if_version") | None);
    let pointer = if is_below { format!("{below}{}", first.pointer) } else { first.pointer.clone() };
    let help = first.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    let more = match invalid.len() - 1 {
        0 => String::new(),
        more => format!("; {more} more of its fields cannot be either"),
    };
    HostError::invalid_input(&pointer, format!("{}{help}{more}", first.message))
}

fn refused(refusal: &Refusal) -> HostError {
    let details = match refusal {
        Refusal::TwoContacts { first_by, .. } => {
            Some(json!({ "field": format!("/{}", first_by.field()), "contacts": refusal.contacts() }))
        }
        Refusal::Taken { identity, .. } => {
            Some(json!({ "field": format!("/{}", identity.field()), "contacts": refusal.contacts() }))
        }
        Refusal::NotFound { .. } | Refusal::VersionMoved { .. } => Some(json!({ "contacts": refusal.contacts() })),
        Refusal::NoIdentity | Refusal::TooLarge { .. } => None,
    };
    HostError { details, ..HostError::new(refusal.code(), refusal.to_string()) }
}

fn unavailable(error: &ControlError) -> HostError {
    HostError::unavailable(format!("the run cannot be read or written: {error}"))
}

#[cfg(test)]
mod tests;
