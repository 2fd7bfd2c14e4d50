//! The action `slack`: an incoming webhook, or `chat.postMessage` of the Web API. Slack takes no idempotency key: the step's own stands in a header and in
//! the message's metadata, where whoever reads the channel by its API can count it; whether an attempt of unknown end is repeated, the step's
//! `on_uncertain` says.

use flowcell_sdk::http::{Request, Response};
use flowcell_sdk::json::Verbatim;
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde::Serialize;
use serde_json::{Value, json};

/// Where the Web API is.
const API: &str = "https://slack.com";

#[derive(Input)]
pub(crate) struct Message {
    /// The channel's id or #name, for chat.postMessage with a bot's token. An incoming webhook belongs to one channel, and takes none.
    #[input(example = "#orders")]
    channel: Option<String>,
    /// The text, in Slack's own markup. With blocks it is what notifications show.
    #[input(multiline, max_length = 40000)]
    text: Option<String>,
    /// Blocks of Slack's Block Kit; at most 50.
    #[serde(default)]
    #[input(max_items = 50)]
    blocks: Vec<Verbatim>,
    /// The `ts` of a message that this one answers.
    thread_ts: Option<String>,
    /// Another server with Slack's interface, such as that of GovSlack.
    #[input(format = "uri")]
    server: Option<String>,
}

#[derive(Output)]
pub(crate) struct Sent {
    /// The channel's id; null from an incoming webhook, which does not tell.
    channel: Option<String>,
    /// The message's own id within the channel; null from an incoming webhook.
    ts: Option<String>,
}

#[derive(Serialize)]
struct Body<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'m str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    blocks: &'m [Verbatim],
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn slack(ctx: &Context, message: Message) -> Result<Sent, ActionError> {
    if message.text.is_none() && message.blocks.is_empty() {
        return Err(ActionError::invalid_input("/text", "the message is empty: give `text` or `blocks`"));
    }
    match &message.channel {
        Some(channel) => {
            let server = crate::server(message.server.as_deref(), API)?;
            post(ctx, &server, (channel, &message))
        }
        None => webhook(ctx, &message),
    }
}

fn webhook(ctx: &Context, message: &Message) -> Result<Sent, ActionError> {
    let server = crate::server(message.server.as_deref(), "")?;
    let body = Body {
        channel: None,
        text: message.text.as_deref(),
        blocks: &message.blocks,
        thread_ts: message.thread_ts.as_deref(),
        metadata: None,
    };
    let response =
        Request::post(format!("{server}/")).header("idempotency-key", &ctx.idempotency_key).json(&body).send()?;
    if response.is_success() {
        return Ok(Sent { channel: None, ts: None });
    }
    // The body is the code, as text.
    let code = response.text().trim().to_owned();
    Err(typed(&code, crate::refused(&response, "Slack")))
}

fn post(ctx: &Context, server: &str, (channel, message): (&str, &Message)) -> Result<Sent, ActionError> {
    let metadata = json!({ "event_type": "flowcell_step", "event_payload": { "key": ctx.idempotency_key } });
    let body = Body {
        channel: Some(channel),
        text: message.text.as_deref(),
        blocks: &message.blocks,
        thread_ts: message.thread_ts.as_deref(),
        metadata: Some(metadata),
    };
    let request = Request::post(format!("{server}/api/chat.postMessage"));
    let answer = api(request.header("idempotency-key", &ctx.idempotency_key).json(&body))?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(Sent { channel: text("channel"), ts: text("ts") })
}

/// Tells one person, whom Slack knows by an e-mail address. The key tells this message from others of the step.
pub(crate) fn tell(server: Option<&str>, (email, text): (&str, &str), key: &str) -> Result<(), ActionError> {
    let server = crate::server(server, API)?;
    let found = api(Request::get(format!("{server}/api/users.lookupByEmail")).query([("email", email)]))?;
    let id = found.pointer("/user/id").and_then(Value::as_str).unwrap_or_default();
    let metadata = json!({ "event_type": "flowcell_step", "event_payload": { "key": key } });
    let body = Body { channel: Some(id), text: Some(text), blocks: &[], thread_ts: None, metadata: Some(metadata) };
    api(Request::post(format!("{server}/api/chat.postMessage")).header("idempotency-key", key).json(&body)).map(drop)
}

/// Every answer of the Web API is 200, but when there are too many requests; `ok` says what it is.
fn api(request: Request) -> Result<Value, ActionError> {
    let response: Response = request.send()?;
    if !response.is_success() {
        return Err(crate::refused(&response, "Slack"));
    }
    let answer: Value = response.json()?;
    if answer.get("ok") == Some(&Value::Bool(true)) {
        return Ok(answer);
    }
    let code = answer.get("error").and_then(Value::as_str).unwrap_or("an error without a name");
    Err(typed(code, ActionError::permanent("slack-error", format!("Slack refuses the message: {code}"))))
}

/// What Slack's code means (https://docs.slack.dev/reference/methods/chat.postMessage#errors); what it does not name stays as it was.
fn typed(code: &str, otherwise: ActionError) -> ActionError {
    let error = match code {
        "ratelimited" | "rate_limited" => ActionError::rate_limited("Slack wants fewer messages"),
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" | "rollup_error" => {
            ActionError::transient(format!("Slack has a trouble of its own: {code}"))
        }
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" | "no_permission"
        | "missing_scope" | "invalid_token" | "no_service" | "no_team" | "action_prohibited" => {
            ActionError::unauthorized(format!(
                "Slack does not accept the connection ({code}): give it a new token or webhook, with the scope chat:write"
            ))
        }
        "channel_not_found" | "not_in_channel" | "is_archived" | "channel_is_archived" => ActionError::invalid_input(
            "/channel",
            format!("Slack cannot send to this channel ({code}): is its name right, and the bot in it?"),
        ),
        "no_text" | "msg_too_long" => {
            ActionError::invalid_input("/text", format!("Slack does not take the text: {code}"))
        }
        "invalid_blocks" | "invalid_blocks_format" | "too_many_attachments" => {
            ActionError::invalid_input("/blocks", format!("Slack does not take the blocks: {code}"))
        }
        "users_not_found" => ActionError::permanent("not-found", "Slack knows nobody with this e-mail address"),
        _ => otherwise,
    };
    error.detail("slack", code)
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::{Answer, Harness};

    use super::*;
    use crate::tests::{assert_fits, facts};

    /// From https://docs.slack.dev/reference/methods/chat.postMessage ("Arguments") and slackapi's published `slack_web_openapi_v2.json`, as far as this
    /// plugin writes them; incoming webhooks take the same but the channel (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
    const SCHEMA: &str = r#"{
        "type": "object", "additionalProperties": false,
        "anyOf": [{"required": ["text"]}, {"required": ["blocks"]}],
        "properties": {
            "channel": {"type": "string"}, "text": {"type": "string", "maxLength": 40000}, "thread_ts": {"type": "string"},
            "blocks": {"type": "array", "maxItems": 50, "items": {"type": "object", "required": ["type"]}},
            "metadata": {"type": "object", "required": ["event_type", "event_payload"], "properties": {
                "event_type": {"type": "string", "pattern": "^[a-zA-Z0-9_]+$"}, "event_payload": {"type": "object"}}}
        }
    }"#;
    const POST: &str = "https://slack.com/api/chat.postMessage";

    #[test]
    fn a_webhook_gets_the_text_at_its_secret_address() {
        let host = Harness::new();
        host.set_connection(facts("webhook-url", "https://hooks.slack.com"));
        host.expect("POST", "https://hooks.slack.com/", Answer::status(200).body("text/html", "ok"));
        let output = host.call(slack, json!({"text": "Paid", "blocks": [{"type": "divider"}]})).unwrap();
        assert_eq!(output, json!({"channel": null, "ts": null}));
        let body: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
        assert_fits(SCHEMA, &body);
        assert_eq!(host.requests()[0].header_value("idempotency-key"), Some("key-of-this-step"));
    }

    #[test]
    fn the_web_api_gets_the_channel_and_the_key() {
        let host = Harness::new();
        host.set_connection(facts("bearer", "https://slack.com"));
        host.expect("POST", POST, Answer::status(200).json(&json!({"ok": true, "channel": "C1", "ts": "1.2"})));
        let output = host.call(slack, json!({"channel": "#orders", "text": "Paid", "thread_ts": "1.1"})).unwrap();
        assert_eq!(output, json!({"channel": "C1", "ts": "1.2"}));
        let body: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
        assert_fits(SCHEMA, &body);
        assert_eq!(body["metadata"]["event_payload"]["key"], "key-of-this-step");
    }

    #[test]
    fn what_slack_refuses_is_typed() {
        for (error, code, field) in [
            ("invalid_auth", "unauthorized", None),
            ("channel_not_found", "invalid-input", Some("/channel")),
            ("msg_too_long", "invalid-input", Some("/text")),
            ("invalid_blocks", "invalid-input", Some("/blocks")),
            ("ratelimited", "rate-limited", None),
            ("internal_error", "transient", None),
            ("something_new", "slack-error", None),
        ] {
            let host = Harness::new();
            host.expect("POST", POST, Answer::status(200).json(&json!({"ok": false, "error": error})));
            let refused = host.call(slack, json!({"channel": "C1", "text": "x"})).unwrap_err();
            assert_eq!(refused.code.as_ref(), code, "{error}");
            assert_eq!(refused.details.get("field").and_then(Value::as_str), field, "{error}");
            assert_eq!(refused.details["slack"], error);
        }
        for (status, body, code) in [
            (403, "action_prohibited", "unauthorized"),
            (404, "no_service", "unauthorized"),
            (410, "channel_is_archived", "invalid-input"),
        ] {
            let host = Harness::new();
            host.set_connection(facts("webhook-url", "https://hooks.slack.com"));
            host.expect("POST", "https://hooks.slack.com/", Answer::status(status).body("text/html", body));
            assert_eq!(host.call(slack, json!({"text": "x"})).unwrap_err().code.as_ref(), code, "{body}");
        }
        let host = Harness::new();
        host.expect("POST", POST, Answer::status(429).header("retry-after", "30"));
        let limited = host.call(slack, json!({"channel": "C1", "text": "x"})).unwrap_err();
        assert_eq!((limited.code.as_ref(), limited.retry_after_ms), ("rate-limited", Some(30_000)));
        assert_eq!(host.call(slack, json!({"channel": "C1"})).unwrap_err().details["field"], "/text");
    }
}
