//! The action `email`: one mail through the step's connection.

use flowcell_sdk::mail::{Attachment, Message};
use flowcell_sdk::media::from_base64;
use flowcell_sdk::{ActionError, Context, Input, Output};

#[derive(Input)]
pub(crate) struct Mail {
    /// Addresses: ana@example.com or Ana <ana@example.com>.
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    cc: Vec<String>,
    /// Addresses that nobody else sees.
    #[serde(default)]
    bcc: Vec<String>,
    /// Whom it comes from, if not the connection's own address.
    sender: Option<String>,
    /// Where answers go.
    reply_to: Option<String>,
    #[input(example = "Your order is on its way", max_length = 500)]
    subject: String,
    /// The plain text. With HTML it is the alternative for readers that show none.
    #[input(multiline)]
    text: Option<String>,
    #[input(multiline)]
    html: Option<String>,
    /// Files: a name and a text, or base64. 7 MiB together at most.
    #[serde(default)]
    #[input(max_items = 20)]
    attachments: Vec<File>,
    /// What to do when the server does not take some of the addresses: "report" them, or "fail" (the others have the mail all the same).
    #[serde(default)]
    rejected: Rejected,
}

#[derive(Input)]
pub(crate) struct File {
    #[input(example = "invoice.pdf")]
    name: String,
    #[input(example = "application/pdf")]
    media_type: String,
    /// Its content, if it is text.
    text: Option<String>,
    /// Its content as base64.
    base64: Option<String>,
}

#[derive(Input, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Rejected {
    #[default]
    Report,
    Fail,
}

#[derive(Output)]
pub(crate) struct Sent {
    /// The same for every attempt of the step.
    message_id: String,
    accepted: Vec<String>,
    /// Addresses that the server did not take, and its words.
    rejected: Vec<Refusal>,
    /// An earlier attempt had sent it.
    repeated: bool,
}

#[derive(Output)]
struct Refusal {
    address: String,
    said: String,
}

/// The server's temporary refusals are tried again; a mail that it took is not sent again.
pub(crate) fn email(_: &Context, mail: Mail) -> Result<Sent, ActionError> {
    let attachments = mail.attachments.into_iter().enumerate().map(|(at, file)| attachment(at, file));
    let message = Message {
        sender: mail.sender,
        to: mail.to,
        cc: mail.cc,
        bcc: mail.bcc,
        reply_to: mail.reply_to,
        text: mail.text.or_else(|| mail.html.as_deref().map(plain)),
        html: mail.html,
        subject: mail.subject,
        attachments: attachments.collect::<Result<_, _>>()?,
        ..Message::default()
    };
    let receipt = message.send()?;
    let rejected: Vec<Refusal> =
        receipt.rejected.into_iter().map(|(address, said)| Refusal { address, said }).collect();
    if mail.rejected == Rejected::Fail && !rejected.is_empty() {
        let named: Vec<String> =
            rejected.iter().map(|refusal| format!("{}: {}", refusal.address, refusal.said)).collect();
        let message = format!("the mail server does not take {} (the others have the mail)", named.join("; "));
        return Err(ActionError::permanent("rejected", message).detail("rejected", rejected));
    }
    Ok(Sent { message_id: receipt.message_id, accepted: receipt.accepted, rejected, repeated: receipt.repeated })
}

fn attachment(at: usize, file: File) -> Result<Attachment, ActionError> {
    let File { name, media_type, text, base64 } = file;
    let content = match (text, base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(encoded)) => from_base64(&encoded).ok_or_else(|| {
            let message = "this is no base64; give it with padding, or give `text`";
            ActionError::invalid_input(&format!("/attachments/{at}/base64"), message)
        })?,
        _ => {
            let message = "a file has either `text` or `base64`";
            return Err(ActionError::invalid_input(&format!("/attachments/{at}"), message));
        }
    };
    Ok(Attachment { name, media_type, content })
}

/// What HTML says without its tags, for readers that show none: paragraphs and lines stay apart.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default().to_ascii_lowercase();
        if matches!(name.as_str(), "br" | "p" | "div" | "tr" | "li" | "h1" | "h2" | "h3" | "table") {
            text.push('\n');
        }
        // What a reader would not show either.
        rest = match name.as_str() {
            "style" | "script" if !tag.starts_with('/') => {
                after.split_once("</").map_or("", |(_, end)| end.split_once('>').map_or("", |(_, after)| after))
            }
            _ => after,
        };
    }
    text.push_str(rest);
    for (entity, character) in
        [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        text = text.replace(entity, character);
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mail_is_handed_over_with_all_its_parts() {
        let host = Harness::new();
        let output = host
            .call(
                email,
                json!({
                    "to": ["Ana <ana@example.com>"], "cc": ["ben@example.com"], "subject": "Hi",
                    "html": "<style>b{}</style><p>Hallo <b>Zoë</b> &amp; Co</p><p>Bye</p>",
                    "attachments": [{"name": "a.txt", "media_type": "text/plain", "text": "x"}, {"name": "b.bin", "media_type": "application/octet-stream", "base64": "AP8="}],
                }),
            )
            .unwrap();
        assert_eq!(output["accepted"], json!(["Ana <ana@example.com>", "ben@example.com"]));
        let [mail] = <[_; 1]>::try_from(host.mails()).expect("one mail");
        assert_eq!(mail.text.as_deref(), Some("Hallo Zoë & Co\nBye"));
        assert_eq!(mail.attachments[1].content, [0, 255]);
    }

    #[test]
    fn who_was_not_taken_is_reported_or_fails_the_step() {
        let host = Harness::new();
        host.refuse_mail_to("x@example.com");
        let mail = |rejected: &str| json!({"to": ["ana@example.com", "x@example.com"], "subject": "S", "text": "T", "rejected": rejected});
        let output = host.call(email, mail("report")).unwrap();
        assert_eq!(output["rejected"][0], json!({"address": "x@example.com", "said": "550 no such user"}));
        let error = host.call(email, mail("fail")).unwrap_err();
        assert_eq!((error.code.as_ref(), error.retryable), ("rejected", false));
        assert!(error.message.contains("x@example.com: 550"), "{error}");
    }

    #[test]
    fn a_file_that_is_none_is_refused_where_it_stands() {
        let host = Harness::new();
        for (file, field) in [
            (json!({"name": "a", "media_type": "x/y"}), "/attachments/0"),
            (json!({"name": "a", "media_type": "x/y", "text": "a", "base64": "AA=="}), "/attachments/0"),
            (json!({"name": "a", "media_type": "x/y", "base64": "?"}), "/attachments/0/base64"),
        ] {
            let error = host
                .call(email, json!({"to": ["a@b.example"], "subject": "S", "text": "T", "attachments": [file]}))
                .unwrap_err();
            assert_eq!(error.details["field"], field);
        }
        assert!(host.mails().is_empty());
    }
}
