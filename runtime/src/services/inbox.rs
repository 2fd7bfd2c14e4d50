//! The inbox: puts messages into the inboxes of people, once, and says who there is.

use std::sync::Arc;

use flowcell_core::host_call::inbox::Request;
use flowcell_core::host_call::{Caller, HostError};
use flowcell_core::id::{NotificationId, UserId, WorkspaceId};
use flowcell_core::inbox::{Delivery, From, Inbox, Message, Notification};
use flowcell_core::people::{Audience, People, Person};
use flowcell_core::ports::{Clock, Entropy, StoreError};
use flowcell_core::receipt::Receipt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::entropy::id_bits;

pub(crate) struct Inboxes {
    pub(crate) people: Arc<dyn People>,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivered {
    pub(crate) id: NotificationId,
    pub(crate) recipients: Vec<UserId>,
    /// An earlier attempt had delivered it.
    #[serde(default)]
    pub(crate) repeated: bool,
}

/// Why it was not delivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{message}")]
    Invalid { field: String, message: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure {
    fn invalid(field: &str, error: &impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), message: error.to_string() }
    }
}

/// Which step sends, and the key under which it is remembered; none for a sender without one.
#[derive(Debug, Clone)]
pub(crate) struct Sender<'a> {
    pub(crate) workspace: &'a WorkspaceId,
    pub(crate) from: Option<From>,
    pub(crate) key: Option<String>,
}

/// Does what a step asks of the inbox.
pub(super) async fn answer(inboxes: &Inboxes, caller: &Caller, request: Request) -> Result<Value, HostError> {
    match request {
        Request::Notify { notification } => {
            let message: Message = read(notification)?;
            let key = caller.ledger_key_of(message.key.as_deref());
            let step = (caller.workflow.clone(), caller.run, caller.step.clone());
            let from = match step {
                (Some(workflow), Some(run), Some(step)) => Some(From { workflow, run, step }),
                _ => None,
            };
            let delivered = inboxes.notify(Sender { workspace: &caller.workspace, from, key }, message).await?;
            Ok(json!(delivered))
        }
        Request::People { audience } => Ok(json!(inboxes.people(&caller.workspace, &read(audience)?).await?)),
    }
}

fn read<T: DeserializeOwned>(document: Value) -> Result<T, HostError> {
    serde_json::from_value(document)
        .map_err(|error| HostError::invalid_input("", format!("the document does not fit: {error}")))
}

impl std::convert::From<Failure> for HostError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid { field, message } => Self::invalid_input(&field, message),
            Failure::Store(error) => error.into(),
        }
    }
}

impl Inboxes {
    /// Delivers a message to everybody its audience names, or says what an earlier attempt did.
    pub(crate) async fn notify(&self, sender: Sender<'_>, message: Message) -> Result<Delivered, Failure> {
        message.check().map_err(|error| Failure::invalid(error.field, &error))?;
        let recipients: Vec<UserId> =
            self.audience(sender.workspace, &message.to, "/to").await?.into_iter().map(|person| person.id).collect();
        let now = self.clock.now();
        let id = NotificationId::from_parts(now, id_bits(&*self.entropy));
        let delivered = Delivered { id, recipients: recipients.clone(), repeated: false };
        let receipt = sender.key.map(|key| Receipt {
            workspace: sender.workspace.clone(),
            key: format!("inbox/{key}"),
            at: now,
            result: json!(delivered),
        });
        let notification = Notification {
            id,
            workspace: sender.workspace.clone(),
            title: message.title,
            body: message.body,
            link: message.link,
            priority: message.priority,
            from: sender.from,
            created_at: now,
        };
        let first = self.inbox.deliver(Delivery { notification, recipients, receipt }).await?;
        let first = first.and_then(|first| serde_json::from_value::<Delivered>(first.result).ok());
        Ok(first.map_or(delivered, |first| Delivered { repeated: true, ..first }))
    }

    /// Who an audience stands for, as plugins see them: `{id, name, email?, phone?, quiet_hours?, quiet_for_ms?, channels?}`. A plugin has no clock:
    /// `quiet_for_ms` is there while somebody wants to be left alone.
    pub(crate) async fn people(&self, workspace: &WorkspaceId, audience: &Audience) -> Result<Vec<Value>, Failure> {
        let people = self.audience(workspace, audience, "").await?;
        let now = self.clock.now();
        Ok(people.iter().map(|person| self::shown(person, now)).collect())
    }

    async fn audience(
        &self,
        workspace: &WorkspaceId,
        audience: &Audience,
        field: &str,
    ) -> Result<Vec<Person>, Failure> {
        let people: Vec<Person> = self.people.list(workspace).await?.into_iter().map(|stored| stored.person).collect();
        let named = audience.of(&people).map_err(|error| Failure::invalid(field, &error))?;
        Ok(named.into_iter().cloned().collect())
    }
}

fn shown(person: &Person, now: flowcell_core::time::Timestamp) -> Value {
    let mut shown = json!({ "id": person.id, "name": person.name });
    let quiet_for = person.quiet_hours.as_ref().and_then(|hours| hours.quiet_until(now)).map(|until| until.since(now));
    let more = [
        ("email", person.email.as_ref().map(|email| json!(email))),
        ("phone", person.phone.as_ref().map(|phone| json!(phone))),
        ("quiet_hours", person.quiet_hours.as_ref().map(|hours| json!(hours))),
        ("quiet_for_ms", quiet_for.map(|wait| json!(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))),
        ("channels", (!person.channels.is_empty()).then(|| json!(person.channels))),
    ];
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    shown
}
