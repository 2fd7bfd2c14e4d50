//! Whether something may be asked: the reach of the call, the manifest and the grant, the fields of contacts, sizes, and the budget. In this order, so that a
//! guest without a right learns nothing else.

use flowcell_core::capability::{ContactsCapability, Rights};
use flowcell_core::host_call::{HostError, HostRequest, contacts, key_value, mail};
use serde_json::Value;

use super::{Reach, Services};

/// Recipients of one message; mail servers commonly take 100 (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// The longest address with a name: 320 bytes of address, and as much of a name.
const ADDRESS_BYTES_MAX: usize = 640;
/// The longest line of a message (RFC 5322 §2.1.1).
const SUBJECT_BYTES_MAX: usize = 998;
/// Text and HTML of a message, each. 1 MiB, as for every document that crosses.
const BODY_BYTES_MAX: usize = 1024 * 1024;
const ATTACHMENTS_MAX: usize = 20;
/// All attachments together. 7 MiB is the contract (`wit/1.0.0`): encoded, they stay below the 10 MiB that every mail server takes.
const ATTACHED_BYTES_MAX: usize = 7 * 1024 * 1024;
/// The longest name and media type of an attachment.
const NAME_BYTES_MAX: usize = 255;
/// The longest id of a contact: those of other systems are shorter.
const ID_BYTES_MAX: usize = 255;
/// The longest note: some pages.
const NOTE_BYTES_MAX: usize = 64 * 1024;

impl Services {
    /// Decides, and spends the budget.
    pub(super) fn admit(&self, request: &HostRequest, rights: &Rights) -> Result<(), HostError> {
        within_reach(self.reach, request)?;
        if let Some(service) = request.service() {
            rights.decide_service(service).map_err(|denial| HostError {
                details: denial.grant_to_add.map(|grant| serde_json::json!({ "grant_to_add": grant })),
                ..HostError::denied(denial.message)
            })?;
        }
        match request {
            HostRequest::KeyValue(request) => key_value_fits(request)?,
            HostRequest::Mail(message) => mail_fits(message)?,
            HostRequest::Contacts(request) => {
                let capability = rights.services.asked.contacts.as_ref();
                contacts_fit(request, capability.unwrap_or(&ContactsCapability::default()))?;
            }
            HostRequest::Inbox(_) | HostRequest::Connection => {}
        }
        if self.number > self.budget {
            return Err(HostError::budget(format!(
                "this call has used its {} calls of the host; do less at a time, or raise `limits.host_calls` in the manifest",
                self.budget
            )));
        }
        Ok(())
    }
}

fn within_reach(reach: Reach, request: &HostRequest) -> Result<(), HostError> {
    let has_effect = request.is_writing() && !matches!(request, HostRequest::KeyValue(_));
    let is_choice = matches!(
        request,
        HostRequest::KeyValue(key_value::Request::Get { .. } | key_value::Request::Keys { .. })
            | HostRequest::Contacts(contacts::Request::Find { .. })
            | HostRequest::Connection
    );
    match reach {
        Reach::NoEffects if has_effect => Err(HostError::denied(format!(
            "a trigger may not call `{}`: only steps have effects, because only they have a key under which an effect happens once. Do it in a step of the workflow",
            request.name()
        ))),
        Reach::ReadOnly if !is_choice => Err(HostError::denied(format!(
            "choices for a form may not call `{}`: such a call may only read",
            request.name()
        ))),
        _ => Ok(()),
    }
}

fn key_value_fits(request: &key_value::Request) -> Result<(), HostError> {
    let (_, key) = request.place();
    let is_prefix = matches!(request, key_value::Request::Keys { .. });
    if key.len() > key_value::KEY_BYTES_MAX || (key.is_empty() && !is_prefix) {
        return Err(HostError::invalid_input(
            "/key",
            format!("a key has 1 to {} bytes; this one has {}", key_value::KEY_BYTES_MAX, key.len()),
        ));
    }
    match request {
        key_value::Request::Set { ttl_ms: Some(ttl), .. } | key_value::Request::Add { ttl_ms: Some(ttl), .. }
            if *ttl == 0 || *ttl > key_value::TTL_MS_MAX =>
        {
            Err(HostError::invalid_input(
                "/ttl_ms",
                format!(
                    "a life of {ttl} ms; 1 to {} are possible, or none for as long as it is not deleted",
                    key_value::TTL_MS_MAX
                ),
            ))
        }
        key_value::Request::Keys { limit, .. } if !(1..=key_value::KEYS_MAX).contains(limit) => {
            Err(HostError::invalid_input(
                "/limit",
                format!("a limit of {limit}; 1 to {} are possible", key_value::KEYS_MAX),
            ))
        }
        key_value::Request::Keys { after: Some(after), .. } if after.len() > key_value::KEY_BYTES_MAX => {
            Err(HostError::invalid_input("/after", "no key is so long"))
        }
        _ => Ok(()),
    }
}

fn mail_fits(message: &mail::Message) -> Result<(), HostError> {
    let lists = [("to", &message.to), ("cc", &message.cc), ("bcc", &message.bcc)];
    let recipients: usize = lists.iter().map(|(_, list)| list.len()).sum();
    if recipients == 0 {
        return Err(HostError::invalid_input("/to", "the message has no recipient"));
    }
    if recipients > RECIPIENTS_MAX {
        return Err(HostError::invalid_input(
            "/to",
            format!("{recipients} recipients; at most {RECIPIENTS_MAX} get one message"),
        ));
    }
    let addresses = lists.iter().flat_map(|(name, list)| {
        list.iter().enumerate().map(move |(index, address)| (format!("/{name}/{index}"), address))
    });
    let others = [("/sender", &message.sender), ("/reply_to", &message.reply_to)];
    let others = others.into_iter().filter_map(|(at, address)| Some((at.to_owned(), address.as_ref()?)));
    for (at, address) in addresses.chain(others) {
        line_fits(&at, address, ADDRESS_BYTES_MAX)?;
    }
    line_fits("/subject", &message.subject, SUBJECT_BYTES_MAX)?;
    if message.text.is_none() && message.html.is_none() {
        return Err(HostError::invalid_input("/text", "the message has neither `text` nor `html`"));
    }
    for (at, body) in [("/text", &message.text), ("/html", &message.html)] {
        if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err(HostError {
                details: Some(serde_json::json!({ "field": at })),
                ..HostError::too_large(format!("a body may have {BODY_BYTES_MAX} bytes"))
            });
        }
    }
    if message.attachments.len() > ATTACHMENTS_MAX {
        return Err(HostError::invalid_input(
            "/attachments",
            format!("at most {ATTACHMENTS_MAX} files go with one message"),
        ));
    }
    for (index, file) in message.attachments.iter().enumerate() {
        line_fits(&format!("/attachments/{index}/name"), &file.name, NAME_BYTES_MAX)?;
        line_fits(&format!("/attachments/{index}/media_type"), &file.media_type, NAME_BYTES_MAX)?;
        if file.name.contains(['/', '\\']) || file.name.is_empty() {
            return Err(HostError::invalid_input(
                &format!("/attachments/{index}/name"),
                "a file's name, without folders, belongs here",
            ));
        }
    }
    let attached: usize = message.attachments.iter().map(|file| file.content.len()).sum();
    if attached > ATTACHED_BYTES_MAX {
        return Err(HostError::too_large(format!(
            "the attachments have {attached} bytes; {ATTACHED_BYTES_MAX} are sent at most"
        )));
    }
    Ok(())
}

/// What stands in a header of a message: a line break in it would begin another header.
fn line_fits(at: &str, text: &str, bytes_max: usize) -> Result<(), HostError> {
    if text.len() > bytes_max {
        return Err(HostError::invalid_input(at, format!("{} bytes; {bytes_max} are possible", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(HostError::invalid_input(at, "a line break or control character cannot stand here"));
    }
    Ok(())
}

fn contacts_fit(request: &contacts::Request, capability: &ContactsCapability) -> Result<(), HostError> {
    let denied = |doing: &str, pointer: &str, field: &str, key: &str| HostError {
        details: Some(serde_json::json!({ "field": pointer })),
        ..HostError::denied(format!(
            "the plugin may not {doing} `{field}` of contacts: its manifest does not list it under `{key}` of the capability `contacts`"
        ))
    };
    let write = |document: &Value| match capability.forbidden_write(document) {
        Some((pointer, field)) => Err(denied("write", &pointer, &field, "write")),
        None => Ok(()),
    };
    let id_fits = |id: &str| {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(HostError::invalid_input(
                "/id",
                format!("an id of {} bytes; 1 to {ID_BYTES_MAX} are possible", id.len()),
            ));
        }
        Ok(())
    };
    match request {
        contacts::Request::Find { by } => match capability.forbidden_search(by) {
            Some((pointer, field)) => Err(denied("search by", &pointer, &field, "read")),
            None => Ok(()),
        },
        contacts::Request::Upsert { contact } => write(contact),
        contacts::Request::Change { id, changes } => {
            id_fits(id)?;
            if let Some(set) = changes.get("set") {
                write(set)?;
            }
            let changes_tags = ["add_tags", "remove_tags"].iter().find(|key| changes.get(**key).is_some());
            match changes_tags {
                Some(key) if !capability.may_write("tags") => Err(denied("write", &format!("/{key}"), "tags", "write")),
                _ => Ok(()),
            }
        }
        contacts::Request::AddNote { id, text } => {
            id_fits(id)?;
            if !capability.may_write("notes") {
                return Err(denied("write", "", "notes", "write"));
            }
            if text.len() > NOTE_BYTES_MAX {
                return Err(HostError::too_large(format!("a note has at most {NOTE_BYTES_MAX} bytes")));
            }
            Ok(())
        }
        contacts::Request::Delete { id } => {
            id_fits(id)?;
            if !capability.delete {
                return Err(HostError::denied(
                    "the plugin may not delete contacts: its capability `contacts` does not say `delete = true`",
                ));
            }
            Ok(())
        }
        contacts::Request::Enroll { id } => id_fits(id),
    }
}

/// Leaves of an answer about contacts what may be read.
pub(super) fn filter(capability: &ContactsCapability, answer: &mut Value) {
    if let Some(contact) = answer.get_mut("contact") {
        capability.filter(contact);
        if let Some(Value::Array(changed)) = answer.get_mut("changed") {
            changed.retain(|field| {
                field.as_str().is_some_and(|field| capability.may_read(field) || capability.may_write(field))
            });
        }
    } else if answer.get("note").is_none() {
        capability.filter(answer);
    }
}
