//! The action `discord`: executes a webhook of a channel (https://docs.discord.com/developers/resources/webhook#execute-webhook).

use flowcell_sdk::http::{Request, Response};
use flowcell_sdk::json::Verbatim;
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Input)]
pub(crate) struct Message {
    /// At most 2,000 characters.
    #[input(multiline, max_length = 2000)]
    content: Option<String>,
    /// Rich content, as Discord documents it; at most 10.
    #[serde(default)]
    #[input(max_items = 10)]
    embeds: Vec<Verbatim>,
    /// In the place of the webhook's own name.
    #[input(max_length = 80)]
    username: Option<String>,
    #[input(format = "uri")]
    avatar_url: Option<String>,
    /// Whom the text may call by @: "none", "users", "roles" or "everyone". Nobody is called by accident.
    #[serde(default)]
    mentions: Mentions,
    /// A compatible server, if it is not the one of the connection's address.
    #[input(format = "uri")]
    server: Option<String>,
}

#[derive(Input, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mentions {
    #[default]
    None,
    Users,
    Roles,
    Everyone,
}

#[derive(Output)]
pub(crate) struct Sent {
    id: String,
    channel_id: String,
}

#[derive(Serialize)]
struct Body<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'m str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    embeds: &'m [Verbatim],
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'m str>,
    allowed_mentions: Value,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn discord(ctx: &Context, message: Message) -> Result<Sent, ActionError> {
    if message.content.is_none() && message.embeds.is_empty() {
        return Err(ActionError::invalid_input("/content", "the message is empty: give `content` or `embeds`"));
    }
    let parse: &[&str] = match message.mentions {
        Mentions::None => &[],
        Mentions::Users => &["users"],
        Mentions::Roles => &["users", "roles"],
        Mentions::Everyone => &["users", "roles", "everyone"],
    };
    let body = Body {
        content: message.content.as_deref(),
        embeds: &message.embeds,
        username: message.username.as_deref(),
        avatar_url: message.avatar_url.as_deref(),
        allowed_mentions: json!({ "parse": parse }),
    };
    let server = crate::server(message.server.as_deref(), "")?;
    let response = Request::post(format!("{server}/?wait=true"))
        .header("idempotency-key", &ctx.idempotency_key)
        .json(&body)
        .send()?;
    if !response.is_success() {
        return Err(refused(&response));
    }
    let sent: Value = response.json()?;
    let text = |key: &str| sent.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Sent { id: text("id"), channel_id: text("channel_id") })
}

fn refused(response: &Response) -> ActionError {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let error = crate::refused(response, "Discord");
    match response.status {
        // Seconds with a fraction, as its own header has them too.
        429 => match body.get("retry_after").and_then(Value::as_f64) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few seconds, never below zero"
            )]
            Some(seconds) => error.retry_after_ms((seconds.max(0.0) * 1000.0).ceil() as u64),
            None => error,
        },
        400 => ActionError::invalid_input("", format!("Discord does not take the message: {}", error.message)),
        404 => ActionError::permanent(
            "not-found",
            "Discord knows no such webhook: it was deleted, or its address is not whole; give the connection the new one",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::{Answer, Harness};

    use super::*;
    use crate::tests::{assert_fits, facts};

    /// From https://docs.discord.com/developers/resources/webhook#execute-webhook, "JSON/Form Params", as of 2026.
    const SCHEMA: &str = r#"{
        "type": "object", "additionalProperties": false,
        "anyOf": [{"required": ["content"]}, {"required": ["embeds"]}],
        "properties": {
            "content": {"type": "string", "maxLength": 2000},
            "username": {"type": "string", "maxLength": 80}, "avatar_url": {"type": "string"}, "tts": {"type": "boolean"},
            "embeds": {"type": "array", "maxItems": 10, "items": {"type": "object"}},
            "allowed_mentions": {"type": "object", "additionalProperties": false, "properties": {
                "parse": {"type": "array", "items": {"enum": ["roles", "users", "everyone"]}},
                "roles": {"type": "array"}, "users": {"type": "array"}, "replied_user": {"type": "boolean"}}}
        }
    }"#;
    const URL: &str = "https://discord.com/?wait=true";

    fn host() -> Harness {
        let host = Harness::new();
        host.set_connection(facts("webhook-url", "https://discord.com"));
        host
    }

    #[test]
    fn a_message_is_posted_to_the_secret_address_and_calls_nobody_by_accident() {
        let host = host();
        host.expect("POST", URL, Answer::status(200).json(&json!({"id": "7", "channel_id": "9"})));
        let output = host
            .call(discord, json!({"content": "@everyone hi", "embeds": [{"title": "T"}], "username": "Flow"}))
            .unwrap();
        assert_eq!(output, json!({"id": "7", "channel_id": "9"}));
        let body: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
        assert_fits(SCHEMA, &body);
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        assert_eq!(host.requests()[0].header_value("idempotency-key"), Some("key-of-this-step"));
    }

    #[test]
    fn refusals_are_typed() {
        for (status, body, code, retry) in [
            (429, json!({"retry_after": 1.25}), "rate-limited", Some(1_250)),
            (400, json!({"content": ["too long"]}), "invalid-input", None),
            (401, json!({}), "unauthorized", None),
            (404, json!({"code": 10015}), "not-found", None),
        ] {
            let host = host();
            host.expect("POST", URL, Answer::status(status).json(&body));
            let error = host.call(discord, json!({"content": "x"})).unwrap_err();
            assert_eq!((error.code.as_ref(), error.retry_after_ms), (code, retry), "{status}");
        }
        assert_eq!(host().call(discord, json!({})).unwrap_err().details["field"], "/content");
    }
}
