//! The host's functions, from the types authors see to those of the contract and back.

use super::flowcell::plugin::{connection, contacts, http, inbox, key_value, log as lines, mail, plugin_types};
use crate::HostError;
use crate::http::{ErrorCode, Request, Response, SendError};
use crate::key_value::{Entry, Expected, Namespace};
use crate::log::Level;
use crate::mail::{Message, Receipt};

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => lines::Level::Debug,
        Level::Info => lines::Level::Info,
        Level::Warn => lines::Level::Warn,
        Level::Error => lines::Level::Error,
    };
    lines::write(level, message);
}

pub(crate) fn send(request: Request) -> Result<Response, SendError> {
    let request = http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body,
        timeout_ms: request.timeout_ms,
    };
    match http::send(&request) {
        Ok(response) => Ok(Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
            duration_ms: response.duration_ms,
        }),
        Err(error) => {
            let code = match error.code {
                http::ErrorCode::Denied => ErrorCode::Denied,
                http::ErrorCode::AddressDenied => ErrorCode::AddressDenied,
                http::ErrorCode::InvalidRequest => ErrorCode::InvalidRequest,
                http::ErrorCode::Dns => ErrorCode::Dns,
                http::ErrorCode::Connect => ErrorCode::Connect,
                http::ErrorCode::Tls => ErrorCode::Tls,
                http::ErrorCode::Timeout => ErrorCode::Timeout,
                http::ErrorCode::TooLarge => ErrorCode::TooLarge,
                http::ErrorCode::Budget => ErrorCode::Budget,
                http::ErrorCode::Protocol => ErrorCode::Protocol,
            };
            Err(SendError { code, message: error.message, retryable: error.retryable })
        }
    }
}

pub(crate) fn key_value_get(namespace: Namespace, key: &str) -> Result<Option<Entry<String>>, HostError> {
    let entry = key_value::get(of(namespace), key)?;
    Ok(entry.map(|entry| Entry { value: entry.value, version: entry.version, expires_at_ms: entry.expires_at_ms }))
}

pub(crate) fn key_value_set(
    namespace: Namespace,
    (key, value): (&str, &str),
    ttl_ms: Option<u64>,
    expected: Expected,
) -> Result<u64, HostError> {
    Ok(key_value::set(of(namespace), key, value, ttl_ms, believed(expected))?)
}

pub(crate) fn key_value_delete(namespace: Namespace, key: &str, expected: Expected) -> Result<bool, HostError> {
    Ok(key_value::delete(of(namespace), key, believed(expected))?)
}

pub(crate) fn key_value_add(
    namespace: Namespace,
    key: &str,
    delta: i64,
    ttl_ms: Option<u64>,
) -> Result<i64, HostError> {
    Ok(key_value::add(of(namespace), key, delta, ttl_ms)?)
}

pub(crate) fn key_value_keys(
    namespace: Namespace,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, HostError> {
    Ok(key_value::keys(of(namespace), prefix, after, limit)?)
}

fn of(namespace: Namespace) -> key_value::Namespace {
    match namespace {
        Namespace::Workflow => key_value::Namespace::Workflow,
        Namespace::Plugin => key_value::Namespace::Plugin,
    }
}

fn believed(expected: Expected) -> key_value::Expected {
    match expected {
        Expected::Anything => key_value::Expected::Anything,
        Expected::Absent => key_value::Expected::Absent,
        Expected::Version(version) => key_value::Expected::Version(version),
    }
}

pub(crate) fn mail_send(message: Message) -> Result<Receipt, HostError> {
    let attachments = message.attachments.into_iter().map(|attachment| mail::Attachment {
        name: attachment.name,
        media_type: attachment.media_type,
        content: attachment.content,
    });
    let receipt = mail::send(&mail::Message {
        sender: message.sender,
        to: message.to,
        cc: message.cc,
        bcc: message.bcc,
        reply_to: message.reply_to,
        subject: message.subject,
        text: message.text,
        html: message.html,
        attachments: attachments.collect(),
        key: message.key,
    })?;
    Ok(Receipt {
        message_id: receipt.message_id,
        accepted: receipt.accepted,
        rejected: receipt.rejected,
        repeated: receipt.repeated,
    })
}

pub(crate) fn inbox_notify(notification: &str) -> Result<String, HostError> {
    Ok(inbox::notify(notification)?)
}

pub(crate) fn inbox_people(audience: &str) -> Result<String, HostError> {
    Ok(inbox::people(audience)?)
}

pub(crate) fn contacts_find(by: &str) -> Result<Option<String>, HostError> {
    Ok(contacts::find(by)?)
}

pub(crate) fn contacts_upsert(contact: &str) -> Result<String, HostError> {
    Ok(contacts::upsert(contact)?)
}

pub(crate) fn contacts_change(id: &str, changes: &str) -> Result<String, HostError> {
    Ok(contacts::change(id, changes)?)
}

pub(crate) fn contacts_add_note(id: &str, text: &str) -> Result<String, HostError> {
    Ok(contacts::add_note(id, text)?)
}

pub(crate) fn contacts_delete(id: &str) -> Result<bool, HostError> {
    Ok(contacts::delete(id)?)
}

pub(crate) fn contacts_enroll(id: &str) -> Result<(), HostError> {
    Ok(contacts::enroll(id)?)
}

pub(crate) fn connection_facts() -> Option<String> {
    connection::facts()
}

impl From<plugin_types::HostError> for HostError {
    fn from(error: plugin_types::HostError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
            details: Self::parse_details(error.details),
        }
    }
}
