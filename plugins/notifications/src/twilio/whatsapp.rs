//! The action `whatsapp`: free text while a conversation is open, an approved template to begin one.

use flowcell_sdk::{ActionError, Context, Input};
use serde_json::{Map, Value};

use super::{Place, Sent, send, sender};

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
