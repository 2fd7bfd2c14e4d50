//! The host's functions as the harness plays them. Each takes the double of its thread; what the double lacks is a test that forgot something.

use serde_json::{Value, json};

use super::{Double, with};
use crate::HostError;
use crate::http::{Request, Response, SendError};
use crate::key_value::{Entry, Expected, Namespace};
use crate::log::Level;
use crate::mail::{Message, Receipt};

pub(crate) fn log(level: Level, message: &str) {
    with(|double| double.lines.push((level, message.to_owned())));
}

pub(crate) fn send(request: Request) -> Result<Response, SendError> {
    let answer = with(|double| {
        if let Some(answering) = &mut double.answering {
            let answer = answering(&request);
            double.requests.push(request);
            return answer;
        }
        let Some((method, url, answer)) = double.expected.pop_front() else {
            panic!("the plugin sent {} {}, and nothing expects another request", request.method, request.url);
        };
        assert_eq!(
            (method, url),
            (request.method.clone(), request.url.clone()),
            "expected the left request, the plugin sent the right one"
        );
        double.requests.push(request);
        answer
    });
    answer.0
}

/// Plays one call, unless it is to fail.
fn play<T>(play: impl FnOnce(&mut Double) -> Result<T, HostError>) -> Result<T, HostError> {
    with(|double| match double.failures.pop_front().or_else(|| double.is_due()) {
        Some(error) => Err(error),
        None => play(double),
    })
}

pub(crate) fn key_value_get(namespace: Namespace, key: &str) -> Result<Option<Entry<String>>, HostError> {
    play(|double| Ok(double.values.get(namespace, key)))
}

pub(crate) fn key_value_set(
    namespace: Namespace,
    (key, value): (&str, &str),
    ttl_ms: Option<u64>,
    expected: Expected,
) -> Result<u64, HostError> {
    play(|double| double.values.set((namespace, key), value, ttl_ms, expected))
}

pub(crate) fn key_value_delete(namespace: Namespace, key: &str, expected: Expected) -> Result<bool, HostError> {
    play(|double| double.values.delete((namespace, key), expected))
}

pub(crate) fn key_value_add(
    namespace: Namespace,
    key: &str,
    delta: i64,
    ttl_ms: Option<u64>,
) -> Result<i64, HostError> {
    play(|double| double.values.add((namespace, key), delta, ttl_ms))
}

pub(crate) fn key_value_keys(
    namespace: Namespace,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, HostError> {
    play(|double| Ok(double.values.keys(namespace, prefix, after, limit)))
}

pub(crate) fn mail_send(message: Message) -> Result<Receipt, HostError> {
    play(|double| {
        let (rejected, accepted): (Vec<String>, Vec<String>) = [&message.to, &message.cc, &message.bcc]
            .into_iter()
            .flatten()
            .cloned()
            .partition(|to| double.unknown.contains(to));
        double.mails.push(message);
        Ok(Receipt {
            message_id: format!("<{}@test>", double.mails.len()),
            accepted,
            rejected: rejected.into_iter().map(|to| (to, "550 no such user".to_owned())).collect(),
            repeated: false,
        })
    })
}

pub(crate) fn inbox_notify(notification: &str) -> Result<String, HostError> {
    play(|double| {
        let notification: Value = read(notification)?;
        let recipients: Vec<Value> = double
            .people_of(notification.get("to").unwrap_or(&Value::Null))
            .iter()
            .filter_map(|person| person.get("id").cloned())
            .collect();
        double.notifications.push(notification);
        Ok(json!({ "id": format!("ntf_{}", double.notifications.len()), "recipients": recipients, "repeated": false })
            .to_string())
    })
}

pub(crate) fn inbox_people(audience: &str) -> Result<String, HostError> {
    play(|double| Ok(Value::Array(double.people_of(&read(audience)?)).to_string()))
}

pub(crate) fn contacts_find(by: &str) -> Result<Option<String>, HostError> {
    play(|double| Ok(double.contacts.find(&read(by)?).map(|contact| contact.to_string())))
}

pub(crate) fn contacts_upsert(contact: &str) -> Result<String, HostError> {
    play(|double| Ok(double.contacts.upsert(read(contact)?).to_string()))
}

pub(crate) fn contacts_change(id: &str, changes: &str) -> Result<String, HostError> {
    play(|double| Ok(double.contacts.change(id, &read(changes)?)?.to_string()))
}

pub(crate) fn contacts_add_note(id: &str, text: &str) -> Result<String, HostError> {
    play(|double| Ok(double.contacts.add_note(id, text)?.to_string()))
}

pub(crate) fn contacts_delete(id: &str) -> Result<bool, HostError> {
    play(|double| Ok(double.contacts.delete(id)))
}

pub(crate) fn contacts_enroll(id: &str) -> Result<(), HostError> {
    play(|double| double.contacts.enroll(id))
}

pub(crate) fn connection_facts() -> Option<String> {
    with(|double| double.connection.as_ref().and_then(|facts| serde_json::to_string(facts).ok()))
}

fn read(json: &str) -> Result<Value, HostError> {
    serde_json::from_str(json).map_err(|error| HostError::of_json("the document is no JSON", &error))
}
