//! The actions `sms` and `whatsapp`: Twilio's Messages resource (https://www.twilio.com/docs/messaging/api/message-resource). Twilio takes no idempotency
//! key: whether an attempt of unknown end is repeated, the step's `on_uncertain` says.

use flowcell_sdk::http::{Request, Response};
use flowcell_sdk::{ActionError, Context, Input, Output, connection};
use serde_json::{Map, Value};

/// Where the API is, outside regions.
const API: &str = "https://api.twilio.com";

#[derive(Input)]
pub(crate) struct Sms {
    /// The number, E.164.
    #[input(example = "+4915112345678", pattern = "^\\+[1-9][0-9]{6,14}$")]
    to: String,
    /// One of your numbers or sender ids, or the SID of a messaging service (MG…).
    #[input(example = "+4930901820")]
    from: String,
    /// At most 1,600 characters; more than 70 or 160 are several messages to Twilio.
    #[input(multiline, max_length = 1600)]
    text: String,
    /// Pictures and the like, by their public addresses.
    #[serde(default)]
    #[input(max_items = 10)]
    media: Vec<String>,
    /// The account's SID (AC…), where the connection's user name is an API key.
    account: Option<String>,
    /// Another region's server, such as https://api.dublin.ie1.twilio.com.
    #[input(format = "uri")]
    server: Option<String>,
}

#[derive(Input)]
pub(crate) struct Whatsapp {
    /// The number, E.164.
    #[input(example = "+4915112345678", pattern = "^\\+[1-9][0-9]{6,14}$")]
    to: String,
    /// Your WhatsApp sender's number, or the SID of a messaging service (MG…).
    #[input(example = "+14155238886")]
    from: String,
    /// Free text: WhatsApp takes it for 24 hours after the other side's last message.
    #[input(multiline, max_length = 1600)]
    text: Option<String>,
    /// The SID of an approved template (HX…), which can begin a conversation.
    template: Option<String>,
    /// What stands in the template's places: {"1": "Zoë"}.
    #[serde(default)]
    variables: Map<String, Value>,
    /// The account's SID (AC…), where the connection's user name is an API key.
    account: Option<String>,
    /// Another region's server.
    #[input(format = "uri")]
    server: Option<String>,
}

#[derive(Output)]
pub(crate) struct Sent {
    /// The message's SID.
    sid: String,
    /// queued, accepted or sent: Twilio delivers it by itself.
    status: String,
}

pub(crate) fn sms(_: &Context, message: Sms) -> Result<Sent, ActionError> {
    let Sms { to, from, text, media, account, server } = message;
    let mut form = vec![("To".to_owned(), to), sender(from, ""), ("Body".to_owned(), text)];
    form.extend(media.into_iter().map(|address| ("MediaUrl".to_owned(), address)));
    send(&form, &Place { account, server })
}

pub(crate) fn whatsapp(_: &Context, message: Whatsapp) -> Result<Sent, ActionError> {
    let Whatsapp { to, from, text, template, variables, account, server } = message;
    let mut form = vec![("To".to_owned(), format!("whatsapp:{to}")), sender(from, "whatsapp:")];
    match (text, template) {
        (Some(text), None) => form.push(("Body".to_owned(), text)),
        (None, Some(template)) => {
            form.push(("ContentSid".to_owned(), template));
            form.push(("ContentVariables".to_owned(), Value::Object(variables).to_string()));
        }
        _ => return Err(ActionError::invalid_input("/text", "a WhatsApp message has either `text` or a `template`")),
    }
    send(&form, &Place { account, server })
}

/// Where a message is sent from.
pub(crate) struct Place {
    pub(crate) account: Option<String>,
    pub(crate) server: Option<String>,
}

/// Tells one person; `channel` is `sms` or `whatsapp`.
pub(crate) fn tell(channel: &str, (to, from, text): (&str, &str, &str), place: &Place) -> Result<(), ActionError> {
    let prefix = if channel == "whatsapp" { "whatsapp:" } else { "" };
    let form = [
        ("To".to_owned(), format!("{prefix}{to}")),
        sender(from.to_owned(), prefix),
        ("Body".to_owned(), text.to_owned()),
    ];
    send(&form, place).map(drop)
}

fn sender(from: String, prefix: &str) -> (String, String) {
    if from.starts_with("MG") {
        ("MessagingServiceSid".to_owned(), from)
    } else {
        ("From".to_owned(), format!("{prefix}{from}"))
    }
}

fn send(form: &[(String, String)], place: &Place) -> Result<Sent, ActionError> {
    let user = connection::facts().and_then(|facts| facts.account).filter(|user| user.starts_with("AC"));
    let account = place.account.clone().or(user).ok_or_else(|| {
        let message =
            "which account sends is not known: the connection's user name is no account SID (AC…), so name it here";
        ActionError::invalid_input("/account", message)
    })?;
    if !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(ActionError::invalid_input("/account", "an account's SID is AC and 32 letters and digits"));
    }
    let server = place.server.as_deref().map_or(API, |server| server.trim_end_matches('/'));
    let url = format!("{server}/2010-04-01/Accounts/{account}/Messages.json");
    let pairs = form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let response = Request::post(url).form(pairs).send()?;
    if !response.is_success() {
        return Err(refused(&response));
    }
    let sent: Value = response.json()?;
    let text = |key: &str| sent.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Sent { sid: text("sid"), status: text("status") })
}

/// What Twilio's code means (https://www.twilio.com/docs/api/errors).
fn refused(response: &Response) -> ActionError {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let code = body.get("code").and_then(Value::as_u64).unwrap_or_default();
    let said = body.get("message").and_then(Value::as_str).unwrap_or_default();
    let at = |field: &str| ActionError::invalid_input(field, format!("Twilio does not take this ({code}): {said}"));
    let error = match code {
        20003 | 20403 => ActionError::unauthorized(format!(
            "Twilio does not accept the connection's account and secret ({code}): {said}"
        )),
        20429 | 14107 | 63038 => {
            let limited = ActionError::rate_limited(format!("Twilio wants fewer messages ({code}): {said}"));
            response.retry_after_ms().map_or(limited.clone(), |wait| limited.retry_after_ms(wait))
        }
        21211 | 21214 | 21217 | 21401 | 21421 | 21614 | 63024 => at("/to"),
        21212 | 21603 | 21606 | 21659 | 21660 | 63007 => at("/from"),
        21602 | 21617 | 21619 | 63013 => at("/text"),
        21610 => ActionError::permanent(
            "unsubscribed",
            format!("the person does not want messages from this number ({code}): {said}"),
        ),
        21408 | 21612 => {
            ActionError::permanent("region-not-allowed", format!("the account may not send there ({code}): {said}"))
        }
        63016 => ActionError::permanent(
            "outside-window",
            format!(
                "WhatsApp takes free text only for 24 hours after the other side's last message; send a `template` ({code}): {said}"
            ),
        ),
        _ => crate::refused(response, "Twilio"),
    };
    error.detail("status", response.status).detail("twilio", code)
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::connection::Facts;
    use flowcell_sdk::test::{Answer, Harness};
    use serde_json::json;

    use super::*;
    use crate::tests::assert_fits;

    /// From Twilio's published OpenAPI document (github.com/twilio/twilio-oai, `twilio_api_v2010.json`, `CreateMessageRequest`), as far as this plugin
    /// writes it.
    const SCHEMA: &str = r#"{
        "type": "object", "additionalProperties": false, "required": ["To"],
        "allOf": [
            {"anyOf": [{"required": ["From"]}, {"required": ["MessagingServiceSid"]}]},
            {"anyOf": [{"required": ["Body"]}, {"required": ["MediaUrl"]}, {"required": ["ContentSid"]}]}
        ],
        "properties": {
            "To": {"type": "string", "pattern": "^(whatsapp:)?\\+[0-9]+$"}, "From": {"type": "string"}, "Body": {"type": "string", "maxLength": 1600},
            "MediaUrl": {"type": "array", "items": {"type": "string", "format": "uri"}, "maxItems": 10},
            "MessagingServiceSid": {"type": "string", "pattern": "^MG[0-9a-fA-F]{32}$"},
            "ContentSid": {"type": "string", "pattern": "^HX[0-9a-fA-F]{32}$"}, "ContentVariables": {"type": "string"}
        }
    }"#;
    const URL: &str = "https://api.twilio.com/2010-04-01/Accounts/AC0/Messages.json";

    fn host() -> Harness {
        let host = Harness::new();
        host.set_connection(Facts {
            name: "twilio".to_owned(),
            kind: Some("basic".to_owned()),
            account: Some("AC0".to_owned()),
            ..Facts::default()
        });
        host
    }

    /// The form as an object; what comes several times is a list.
    fn form(body: &[u8]) -> Value {
        let mut fields = Map::new();
        for pair in std::str::from_utf8(body).unwrap().split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            let value = json!(decoded(value));
            match fields.get_mut(name) {
                Some(Value::Array(values)) => values.push(value),
                _ if name == "MediaUrl" => drop(fields.insert(name.to_owned(), json!([value]))),
                _ => drop(fields.insert(name.to_owned(), value)),
            }
        }
        Value::Object(fields)
    }

    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_sms_is_a_form_for_the_connections_account() {
        let host = host();
        host.expect("POST", URL, Answer::status(201).json(&json!({"sid": "SM1", "status": "queued"})));
        let message = json!({"to": "+4915112345678", "from": "+4930901820", "text": "Grüße & so", "media": ["https://a.example/1.png", "https://a.example/2.png"]});
        assert_eq!(host.call(sms, message).unwrap(), json!({"sid": "SM1", "status": "queued"}));
        let sent = &host.requests()[0];
        assert_eq!(sent.header_value("content-type"), Some("application/x-www-form-urlencoded"));
        let form = form(&sent.body);
        assert_fits(SCHEMA, &form);
        assert_eq!((&form["Body"], &form["MediaUrl"][1]), (&json!("Grüße & so"), &json!("https://a.example/2.png")));
    }

    #[test]
    fn whatsapp_takes_text_or_a_template() {
        let host = host();
        let (service, template) = (format!("MG{}", "a".repeat(32)), format!("HX{}", "b".repeat(32)));
        host.expect("POST", URL, Answer::status(201).json(&json!({"sid": "SM2", "status": "queued"})));
        host.call(
            whatsapp,
            json!({"to": "+4915112345678", "from": service, "template": template, "variables": {"1": "Zoë"}}),
        )
        .unwrap();
        let form = form(&host.requests()[0].body);
        assert_fits(SCHEMA, &form);
        assert_eq!(
            (&form["To"], &form["ContentVariables"]),
            (&json!("whatsapp:+4915112345678"), &json!("{\"1\":\"Zoë\"}"))
        );
        let both = json!({"to": "+4915112345678", "from": "+1", "text": "x", "template": "HX"});
        assert_eq!(host.call(whatsapp, both).unwrap_err().details["field"], "/text");
    }

    #[test]
    fn twilios_codes_are_typed() {
        for (status, twilio, code, field) in [
            (400, 21211, "invalid-input", Some("/to")),
            (400, 21606, "invalid-input", Some("/from")),
            (400, 21617, "invalid-input", Some("/text")),
            (400, 21610, "unsubscribed", None),
            (401, 20003, "unauthorized", None),
            (429, 20429, "rate-limited", None),
            (400, 63016, "outside-window", None),
            (500, 20500, "http-status", None),
        ] {
            let host = host();
            let answer = Answer::status(status)
                .header("retry-after", "3")
                .json(&json!({"code": twilio, "message": "no", "status": status}));
            host.expect("POST", URL, answer);
            let error = host.call(sms, json!({"to": "+4915112345678", "from": "+1", "text": "x"})).unwrap_err();
            assert_eq!(error.code.as_ref(), code, "{twilio}");
            assert_eq!(error.details.get("field").and_then(Value::as_str), field, "{twilio}");
            assert_eq!(error.retryable, matches!(status, 429 | 500), "{twilio}");
        }
        let without = Harness::new();
        let error = without.call(sms, json!({"to": "+4915112345678", "from": "+1", "text": "x"})).unwrap_err();
        assert_eq!(error.details["field"], "/account");
        let error = without
            .call(sms, json!({"to": "+4915112345678", "from": "+1", "text": "x", "account": "../x"}))
            .unwrap_err();
        assert_eq!(error.details["field"], "/account");
    }
}
