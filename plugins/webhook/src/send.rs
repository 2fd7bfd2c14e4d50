//! The action `send`: one POST of JSON.

mod payload;

use std::collections::BTreeMap;

use flowcell_sdk::http::{Request, SavedResponse};
use flowcell_sdk::json::Verbatim;
use flowcell_sdk::{ActionError, Context, Input};
use serde_json::{Map, Value};

#[derive(Input)]
pub(crate) struct Message {
    /// Where to send it. The scheme, host and port must be written out; the path may hold expressions.
    #[input(format = "uri", example = "https://hooks.example.com/orders")]
    url: String,
    /// What the body looks like: "data" is your keys and values alone; "clean" puts workflow, run, contact and trigger around them;
    /// "highlevel" names everything as HighLevel's webhook does, for receivers made for that.
    #[serde(default)]
    preset: Preset,
    /// Your keys and values, as one JSON object.
    #[serde(default)]
    data: BTreeMap<String, Verbatim>,
    /// The contact this is about; presets other than "data" send it.
    contact: Option<Map<String, Value>>,
    /// What started the run, usually {{ trigger.body }}; presets other than "data" send it.
    trigger: Option<Verbatim>,
    /// Your business: name, address, city, state, country, postal_code, id. The preset "highlevel" sends it.
    location: Option<Map<String, Value>>,
    /// The workflow's name, usually {{ workflow.name }}; without it presets send its id.
    workflow_name: Option<String>,
    /// Further headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Input, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Preset {
    #[default]
    Data,
    Clean,
    Highlevel,
}

/// Sends, and takes every status but 2xx for a failure: 408, 425, 429 and 5xx are worth another attempt, the rest is not.
pub(crate) fn send(ctx: &Context, message: Message) -> Result<SavedResponse, ActionError> {
    let request = Request::post(&message.url);
    let request = match message.preset {
        Preset::Data => request.json(&payload::data(&message)?),
        Preset::Clean => request.json(&payload::clean(ctx, &message)),
        Preset::Highlevel => request.json(&payload::highlevel(ctx, &message)),
    };
    let mut request = request.header("idempotency-key", &ctx.idempotency_key).keep_binary();
    for (name, value) in message.headers {
        if name.eq_ignore_ascii_case("idempotency-key") || name.eq_ignore_ascii_case("content-type") {
            return Err(ActionError::invalid_input(
                &format!("/headers/{name}"),
                format!(
                    "{name} is set already: the body is JSON, and each request carries the step's own key; remove this header"
                ),
            ));
        }
        request = request.header(name, value);
    }
    Ok(request.send()?.error_for_status()?.save())
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::http::ErrorCode;
    use flowcell_sdk::test::{Answer, Harness};
    use serde_json::{Value, json};

    use super::send;

    const URL: &str = "https://hooks.example.com/orders";

    #[test]
    fn keys_and_values_are_posted_as_json_under_the_steps_key() {
        let host = Harness::new();
        host.expect("POST", URL, Answer::status(201).json(&json!({"id": 7})));
        let data = json!({"name": "Zoë", "tags": ["a", "b"], "total": 12.5});
        let output = host.call(send, json!({"url": URL, "data": data, "headers": {"X-Team": "blue"}})).unwrap();
        assert_eq!(output["status"], 201);
        assert_eq!(output["body"], json!({"id": 7}));

        let [request] = <[_; 1]>::try_from(host.requests()).expect("one request");
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), data);
        assert_eq!(request.header_value("content-type"), Some("application/json"));
        assert_eq!(request.header_value("idempotency-key"), Some(host.context.idempotency_key.as_str()));
        assert_eq!(request.header_value("x-team"), Some("blue"));
    }

    #[test]
    fn without_data_an_empty_object_is_sent() {
        let host = Harness::new();
        host.expect("POST", URL, Answer::status(204));
        assert_eq!(host.call(send, json!({"url": URL})).unwrap()["body"], Value::Null);
        assert_eq!(host.requests()[0].body, b"{}");
    }

    #[test]
    fn statuses_say_whether_to_try_again_and_when() {
        for (status, retryable) in [
            (302, false),
            (400, false),
            (401, false),
            (404, false),
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (502, true),
        ] {
            let host = Harness::new();
            host.expect("POST", URL, Answer::status(status).header("retry-after", "30"));
            let error = host.call(send, json!({"url": URL})).expect_err("not a success");
            assert_eq!((error.retryable, error.retry_after_ms), (retryable, retryable.then_some(30_000)), "{status}");
            assert_eq!(error.details.get("status"), Some(&json!(status)));
        }
    }

    #[test]
    fn a_denial_is_permanent_and_keeps_the_hosts_words() {
        let host = Harness::new();
        host.expect("POST", URL, Answer::fails(ErrorCode::Denied, "not granted: add hooks.example.com"));
        let error = host.call(send, json!({"url": URL})).expect_err("denied");
        assert_eq!((error.code.as_ref(), error.retryable), ("http-denied", false));
        assert_eq!(error.message, "not granted: add hooks.example.com");
    }

    #[test]
    fn a_lost_connection_is_worth_another_attempt() {
        let host = Harness::new();
        host.expect("POST", URL, Answer::fails(ErrorCode::Connect, "refused"));
        assert!(host.call(send, json!({"url": URL})).expect_err("refused").retryable);
    }

    #[test]
    fn headers_that_are_set_already_and_unknown_fields_are_refused() {
        let host = Harness::new();
        for name in ["Idempotency-Key", "content-type"] {
            let error = host.call(send, json!({"url": URL, "headers": {name: "x"}})).expect_err("refused");
            assert_eq!(error.details.get("field"), Some(&json!(format!("/headers/{name}"))));
        }
        let error = host.call(send, json!({"url": URL, "dta": {}})).expect_err("a typo");
        assert!(error.message.contains("unknown field `dta`"), "{}", error.message);
        assert!(host.requests().is_empty());
    }
}
