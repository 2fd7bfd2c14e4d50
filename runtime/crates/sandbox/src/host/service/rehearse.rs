//! Answers without effect: of a dry run, and from the record.

use std::collections::BTreeMap;

use flowcell_core::exchange::AnsweredBy;
use flowcell_core::host_call::key_value::{At, Change, Entry, Namespace, Request, change};
use flowcell_core::host_call::{Caller, HostCall, HostError, HostRequest, HostServices, contacts, inbox, mail};
use flowcell_core::time::Timestamp;
use serde_json::{Value, json};

/// What a dry run has written: later reads of the same call see it, and nobody else does.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Of keys that were written; `None`: deleted.
    written: BTreeMap<(Namespace, String), Option<Entry>>,
    versions: u64,
}

type Answered = (Result<Value, HostError>, Option<AnsweredBy>);

impl Overlay {
    /// Reads are answered by the port; where it is not there, there is nothing. Writes are answered as they would be.
    pub(super) async fn answer(&mut self, port: &dyn HostServices, caller: &Caller, request: HostRequest) -> Answered {
        match request {
            HostRequest::KeyValue(request) => self.key_value(port, caller, request).await,
            HostRequest::Mail(message) => stand_in(json!(mail::Receipt {
                message_id: "<dry-run@flowcell>".to_owned(),
                accepted: [message.to, message.cc, message.bcc].concat(),
                rejected: Vec::new(),
                repeated: false,
            })),
            HostRequest::Inbox(inbox::Request::Notify { notification }) => {
                let to = notification.get("to").cloned().unwrap_or_default();
                let people = port.call(caller, HostRequest::Inbox(inbox::Request::People { audience: to })).await;
                let ids = people.ok().and_then(|people| {
                    Some(people.as_array()?.iter().filter_map(|person| person.get("id").cloned()).collect::<Vec<_>>())
                });
                stand_in(json!({ "id": "dry-run", "recipients": ids.unwrap_or_default(), "repeated": false }))
            }
            HostRequest::Inbox(inbox::Request::People { .. }) => {
                or_nothing(port.call(caller, request).await, json!([]))
            }
            HostRequest::Contacts(contacts::Request::Find { .. }) => {
                or_nothing(port.call(caller, request).await, Value::Null)
            }
            HostRequest::Contacts(contacts::Request::Upsert { mut contact }) => {
                let changed: Vec<String> =
                    contact.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
                if let Value::Object(fields) = &mut contact {
                    fields.entry("id").or_insert_with(|| "dry-run".into());
                }
                stand_in(json!({ "contact": contact, "outcome": "created", "changed": changed }))
            }
            HostRequest::Contacts(contacts::Request::Change { id, changes }) => {
                let mut contact = changes.get("set").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
                let changed: Vec<String> =
                    contact.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
                if let Value::Object(fields) = &mut contact {
                    fields.insert("id".to_owned(), id.into());
                }
                stand_in(json!({ "contact": contact, "outcome": "changed", "changed": changed }))
            }
            HostRequest::Contacts(contacts::Request::AddNote { text, .. }) => {
                stand_in(json!({ "note": { "id": "dry-run", "text": text } }))
            }
            HostRequest::Contacts(contacts::Request::Delete { .. }) => stand_in(true.into()),
            HostRequest::Contacts(contacts::Request::Enroll { .. }) | HostRequest::Connection => stand_in(Value::Null),
        }
    }

    async fn key_value(&mut self, port: &dyn HostServices, caller: &Caller, request: Request) -> Answered {
        let (namespace, key) = request.place();
        if let Request::Keys { after, limit, prefix, .. } = &request {
            let (after, limit, prefix) = (after.clone(), *limit as usize, prefix.clone());
            let there = port.call(caller, HostRequest::KeyValue(request)).await.unwrap_or_default();
            let mut keys: Vec<String> = serde_json::from_value(there).unwrap_or_default();
            keys.retain(|key| !matches!(self.written.get(&(namespace, key.clone())), Some(None)));
            let own = self.written.iter().filter(|((of, _), entry)| *of == namespace && entry.is_some());
            let own = own.map(|((_, key), _)| key).filter(|key| key.starts_with(&prefix));
            keys.extend(own.filter(|key| after.as_ref().is_none_or(|after| *key > after)).cloned());
            keys.sort();
            keys.dedup();
            keys.truncate(limit);
            return (Ok(json!(keys)), None);
        }
        let place = (namespace, key.to_owned());
        let current = if let Some(written) = self.written.get(&place) {
            written.clone()
        } else {
            let get = Request::Get { namespace, key: place.1.clone() };
            let there = port.call(caller, HostRequest::KeyValue(get)).await.unwrap_or_default();
            serde_json::from_value(there).unwrap_or_default()
        };
        self.versions = self.versions.max(current.as_ref().map_or(0, |entry| entry.version)) + 1;
        // What was read is there now; how long what is written stays matters to nobody.
        match change(&request, current.as_ref(), At { now: Timestamp::default(), version: self.versions }) {
            None => (Ok(serde_json::to_value(current).unwrap_or_default()), None),
            Some(Ok(Change { entry, answer })) => {
                self.written.insert(place, entry);
                stand_in(answer)
            }
            Some(Err(error)) => (Err(error), Some(AnsweredBy::StandIn)),
        }
    }
}

fn stand_in(answer: Value) -> Answered {
    (Ok(answer), Some(AnsweredBy::StandIn))
}

fn or_nothing(answer: Result<Value, HostError>, nothing: Value) -> Answered {
    match answer {
        Err(error) if error.code == "unavailable" => stand_in(nothing),
        answer => (answer, None),
    }
}

/// Answers with what the host had answered to the call with the same number; says how long that took. Whether it is the same request is compared
/// afterwards.
pub(super) fn replay(
    recorded: &[HostCall],
    number: u32,
    request: &HostRequest,
) -> (Result<Value, HostError>, Option<AnsweredBy>, Option<u64>) {
    let before = recorded.iter().find(|call| call.number == number && call.call == request.name());
    let (outcome, took_ms) = match before {
        None => (Err(HostError::unavailable("nothing was recorded for this call")), 0),
        Some(call) if call.truncated && call.outcome.is_ok() => {
            (Err(HostError::unavailable("the recorded answer to this call was not kept whole")), call.duration_ms)
        }
        Some(call) => (call.outcome.clone(), call.duration_ms),
    };
    (outcome, Some(AnsweredBy::Recorded), Some(took_ms))
}
