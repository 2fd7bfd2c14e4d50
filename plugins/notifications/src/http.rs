//! The action `http`: the message as JSON to any service.

use std::collections::BTreeMap;

use flowcell_sdk::http::Request;
use flowcell_sdk::json::Verbatim;
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::json;

#[derive(Input)]
pub(crate) struct Message {
    /// Where to send it. The scheme, host and port must be written out.
    #[input(format = "uri", example = "https://push.example.com/messages")]
    url: String,
    title: String,
    #[input(multiline)]
    text: Option<String>,
    #[input(format = "uri")]
    link: Option<String>,
    #[serde(default)]
    priority: crate::in_app::Priority,
    /// More keys and values.
    #[serde(default)]
    data: BTreeMap<String, Verbatim>,
}

#[derive(Output)]
pub(crate) struct Sent {
    status: u16,
}

/// The body: id (the step's key), title, text, link, priority, workflow, run and data.
pub(crate) fn http(ctx: &Context, message: Message) -> Result<Sent, ActionError> {
    let body = json!({
        "id": ctx.idempotency_key, "title": message.title, "text": message.text, "link": message.link,
        "priority": message.priority.as_str(), "workflow": ctx.workflow, "run": ctx.run, "data": message.data,
    });
    let response = Request::post(message.url).header("idempotency-key", &ctx.idempotency_key).json(&body).send()?;
    if response.is_success() {
        Ok(Sent { status: response.status })
    } else {
        Err(crate::refused(&response, "the service"))
    }
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::{Answer, Harness};
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_message_is_posted_under_the_steps_key() {
        let host = Harness::new();
        host.expect("POST", "https://push.example.com/m", Answer::status(201));
        let message = json!({"url": "https://push.example.com/m", "title": "Paid", "data": {"n": 7}});
        assert_eq!(host.call(http, message).unwrap(), json!({"status": 201}));
        let body: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
        assert_eq!((&body["id"], &body["data"]["n"]), (&json!("key-of-this-step"), &json!(7)));
        host.expect("POST", "https://push.example.com/m", Answer::status(401));
        let error = host.call(http, json!({"url": "https://push.example.com/m", "title": "T"})).unwrap_err();
        assert_eq!((error.code.as_ref(), error.retryable), ("unauthorized", false));
    }
}
