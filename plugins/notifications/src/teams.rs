//! The action `teams`: an Adaptive Card to the webhook of a workflow ("Post to a channel when a webhook request is received"). The older Office 365
//! connectors, which Microsoft has retired, took other bodies.

use flowcell_sdk::http::Request;
use flowcell_sdk::json::Verbatim;
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Value, json};

#[derive(Input)]
pub(crate) struct Message {
    /// In bold.
    title: Option<String>,
    /// Markdown: lists, links, bold and italic.
    #[input(multiline)]
    text: Option<String>,
    /// A button that opens a page.
    #[input(format = "uri")]
    link: Option<String>,
    /// What stands on the button.
    #[serde(default = "open")]
    #[input(default = "Open")]
    link_title: String,
    /// A card of your own in the place of title, text and link, as adaptivecards.io documents it.
    card: Option<Verbatim>,
    /// A compatible server, if it is not the one of the connection's address.
    #[input(format = "uri")]
    server: Option<String>,
}

fn open() -> String {
    "Open".to_owned()
}

#[derive(Output)]
pub(crate) struct Sent {
    /// 200 or 202: the workflow has taken it, and posts it by itself.
    status: u16,
}

/// Microsoft's limit for a message: about 28 KB.
const CARD_BYTES_MAX: usize = 28 * 1024;

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn teams(ctx: &Context, message: Message) -> Result<Sent, ActionError> {
    let card = match &message.card {
        Some(card) => serde_json::to_value(card).unwrap_or_default(),
        None => card(&message)?,
    };
    if card.get("type").and_then(Value::as_str) != Some("AdaptiveCard") {
        return Err(ActionError::invalid_input("/card", "a card has `\"type\": \"AdaptiveCard\"`"));
    }
    let body = json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }],
    });
    if body.to_string().len() > CARD_BYTES_MAX {
        let place = if message.card.is_some() { "/card" } else { "/text" };
        return Err(ActionError::invalid_input(
            place,
            "the message is larger than the 28 KB that Teams takes; link to the rest",
        ));
    }
    let server = crate::server(message.server.as_deref(), "")?;
    let response =
        Request::post(format!("{server}/")).header("idempotency-key", &ctx.idempotency_key).json(&body).send()?;
    if response.is_success() {
        Ok(Sent { status: response.status })
    } else {
        Err(crate::refused(&response, "Microsoft Teams"))
    }
}

fn card(message: &Message) -> Result<Value, ActionError> {
    let title = message
        .title
        .as_ref()
        .map(|title| json!({ "type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true }));
    let text = message.text.as_ref().map(|text| json!({ "type": "TextBlock", "text": text, "wrap": true }));
    let blocks: Vec<Value> = title.into_iter().chain(text).collect();
    if blocks.is_empty() {
        return Err(ActionError::invalid_input("/text", "the message is empty: give `title`, `text` or a `card`"));
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": blocks,
    });
    if let (Some(link), Some(fields)) = (&message.link, card.as_object_mut()) {
        let button = json!([{ "type": "Action.OpenUrl", "title": message.link_title, "url": link }]);
        fields.insert("actions".to_owned(), button);
    }
    Ok(card)
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::{Answer, Harness};

    use super::*;
    use crate::tests::{assert_fits, facts};

    /// From https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using ("Send Adaptive Cards using an Incoming
    /// Webhook") and the schema of Adaptive Cards 1.4, as far as this plugin writes them.
    const SCHEMA: &str = r#"{
        "type": "object", "additionalProperties": false, "required": ["type", "attachments"],
        "properties": {"type": {"const": "message"}, "attachments": {"type": "array", "minItems": 1, "items": {
            "type": "object", "required": ["contentType", "content"], "additionalProperties": false,
            "properties": {"contentType": {"const": "application/vnd.microsoft.card.adaptive"}, "contentUrl": {"type": ["string", "null"]},
                "content": {"type": "object", "required": ["type", "version", "body"], "properties": {
                    "type": {"const": "AdaptiveCard"}, "version": {"pattern": "^1\\.[0-5]$"},
                    "body": {"type": "array", "items": {"type": "object", "required": ["type", "text"], "properties": {
                        "type": {"const": "TextBlock"}, "wrap": {"type": "boolean"}, "weight": {"enum": ["Lighter", "Default", "Bolder"]},
                        "size": {"enum": ["Small", "Default", "Medium", "Large", "ExtraLarge"]}}}},
                    "actions": {"type": "array", "items": {"type": "object", "required": ["type", "url"], "properties": {"type": {"const": "Action.OpenUrl"}}}}}}}}}}
    }"#;
    const HOST: &str = "https://prod-1.westeurope.logic.azure.com";

    #[test]
    fn a_card_is_posted_to_the_secret_address() {
        let host = Harness::new();
        host.set_connection(facts("webhook-url", HOST));
        host.expect("POST", &format!("{HOST}/"), Answer::status(202));
        let message = json!({"title": "Paid", "text": "**7** EUR", "link": "https://a.example/7"});
        assert_eq!(host.call(teams, message).unwrap()["status"], 202);
        let body: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
        assert_fits(SCHEMA, &body);
        assert_eq!(body["attachments"][0]["content"]["actions"][0]["url"], "https://a.example/7");
    }

    #[test]
    fn what_teams_would_not_take_is_refused_where_it_stands() {
        let host = Harness::new();
        host.set_connection(facts("webhook-url", HOST));
        for (message, field) in [
            (json!({}), "/text"),
            (json!({"text": "x".repeat(30_000)}), "/text"),
            (json!({"card": {"type": "Container"}}), "/card"),
        ] {
            assert_eq!(host.call(teams, message).unwrap_err().details["field"], field);
        }
        host.expect("POST", &format!("{HOST}/"), Answer::status(429).header("retry-after", "7"));
        assert_eq!(host.call(teams, json!({"text": "x"})).unwrap_err().retry_after_ms, Some(7_000));
    }
}
