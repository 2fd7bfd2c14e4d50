//! The action `sms`: a text message, with pictures where the network takes them.

use flowcell_sdk::{ActionError, Context, Input};

use super::{Place, Sent, send, sender};

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

pub(crate) fn sms(_: &Context, message: Sms) -> Result<Sent, ActionError> {
    let Sms { to, from, text, media, account, server } = message;
    let mut form = vec![("To".to_owned(), to), sender(from, ""), ("Body".to_owned(), text)];
    form.extend(media.into_iter().map(|address| ("MediaUrl".to_owned(), address)));
    send(&form, &Place { account, server })
}
