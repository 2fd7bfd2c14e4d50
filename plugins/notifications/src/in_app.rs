//! The action `in-app`: a message in the inbox of people.

use flowcell_sdk::inbox::{Audience, Notification};
use flowcell_sdk::{ActionError, Context, Input, Output};

#[derive(Input)]
pub(crate) struct Message {
    /// Users by their ids.
    #[serde(default)]
    users: Vec<String>,
    /// Everybody who has one of these roles.
    #[serde(default)]
    roles: Vec<String>,
    /// Every user of the workspace.
    #[serde(default)]
    everyone: bool,
    /// One line.
    #[input(example = "An invoice is paid", max_length = 200)]
    title: String,
    /// More, at most 2,000 bytes.
    #[input(multiline)]
    body: Option<String>,
    /// Where a click leads: https://… or a path of this server.
    #[input(max_length = 1000)]
    link: Option<String>,
    #[serde(default)]
    priority: Priority,
}

#[derive(Input, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

impl Priority {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

#[derive(Output)]
pub(crate) struct Delivered {
    id: String,
    /// Ids of those in whose inbox it is.
    recipients: Vec<String>,
    /// An earlier attempt had put it there.
    repeated: bool,
}

/// A second attempt makes no second message.
pub(crate) fn in_app(_: &Context, message: Message) -> Result<Delivered, ActionError> {
    let to = Audience { users: message.users, roles: message.roles, everyone: message.everyone };
    let notification = Notification {
        body: message.body,
        link: message.link,
        priority: Some(message.priority.as_str().to_owned()),
        ..Notification::new(to, message.title)
    };
    let sent = notification.send()?;
    Ok(Delivered { id: sent.id, recipients: sent.recipients, repeated: sent.repeated })
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::HostError;
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_goes_to_those_it_names() {
        let host = Harness::new();
        host.add_person(json!({"id": "ana", "name": "Ana", "roles": ["support"]}));
        host.add_person(json!({"id": "ben", "name": "Ben"}));
        let output = host
            .call(in_app, json!({"roles": ["support"], "title": "Paid", "link": "/runs/x", "priority": "high"}))
            .unwrap();
        assert_eq!(output["recipients"], json!(["ana"]));
        let sent = &host.notifications()[0];
        assert_eq!(
            (&sent["title"], &sent["priority"], &sent["link"]),
            (&json!("Paid"), &json!("high"), &json!("/runs/x"))
        );
    }

    #[test]
    fn a_refusal_keeps_the_hosts_words_and_place() {
        let host = Harness::new();
        let mut refusal = HostError::new("invalid-input", "a link begins with https://");
        refusal.details.insert("field".to_owned(), json!("/link"));
        host.fail(refusal);
        let error = host.call(in_app, json!({"everyone": true, "title": "T", "link": "javascript:x"})).unwrap_err();
        assert_eq!((error.code.as_ref(), &error.details["field"]), ("invalid-input", &json!("/link")));
    }
}
