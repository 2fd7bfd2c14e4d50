//! The interfaces that speak in JSON documents (`inbox`, `contacts`, `connection`), and the way back from the port's answers for all.

use flowcell_core::host_call::{HostError, HostRequest, contacts as contacts_call, inbox as inbox_call};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::State;
use crate::host::contract::{connection, contacts, inbox, plugin_types};

type Answer<T> = wasmtime::Result<Result<T, plugin_types::HostError>>;

impl inbox::Host for State {
    async fn notify(&mut self, notification: String) -> Answer<String> {
        let ask = |notification| HostRequest::Inbox(inbox_call::Request::Notify { notification });
        Ok(text(self.ask_about("the notification", &notification, ask).await))
    }

    async fn people(&mut self, audience: String) -> Answer<String> {
        let ask = |audience| HostRequest::Inbox(inbox_call::Request::People { audience });
        Ok(text(self.ask_about("the audience", &audience, ask).await))
    }
}

impl contacts::Host for State {
    async fn find(&mut self, by: String) -> Answer<Option<String>> {
        let ask = |by| HostRequest::Contacts(contacts_call::Request::Find { by });
        let answer = self.ask_about("what to find it by", &by, ask).await;
        Ok(answered::<Value>(answer).map(|contact| (!contact.is_null()).then(|| contact.to_string())))
    }

    async fn upsert(&mut self, contact: String) -> Answer<String> {
        let ask = |contact| HostRequest::Contacts(contacts_call::Request::Upsert { contact });
        Ok(text(self.ask_about("the contact", &contact, ask).await))
    }

    async fn change(&mut self, id: String, changes: String) -> Answer<String> {
        let ask = |changes| HostRequest::Contacts(contacts_call::Request::Change { id, changes });
        Ok(text(self.ask_about("the changes", &changes, ask).await))
    }

    async fn add_note(&mut self, id: String, note: String) -> Answer<String> {
        Ok(text(self.ask(HostRequest::Contacts(contacts_call::Request::AddNote { id, text: note })).await))
    }

    async fn delete(&mut self, id: String) -> Answer<bool> {
        Ok(answered(self.ask(HostRequest::Contacts(contacts_call::Request::Delete { id })).await))
    }

    async fn enroll(&mut self, id: String) -> Answer<()> {
        let answer = self.ask(HostRequest::Contacts(contacts_call::Request::Enroll { id })).await;
        Ok(answer.map(|_| ()).map_err(failed))
    }
}

impl connection::Host for State {
    async fn facts(&mut self) -> wasmtime::Result<Option<String>> {
        // There is nothing that could fail but the budget; facts are none then.
        let facts = self.ask(HostRequest::Connection).await.unwrap_or_default();
        Ok((!facts.is_null()).then(|| facts.to_string()))
    }
}

impl State {
    /// Asks with a JSON object that the guest wrote.
    async fn ask_about(
        &mut self,
        what: &str,
        document: &str,
        ask: impl FnOnce(Value) -> HostRequest,
    ) -> Result<Value, HostError> {
        match self.document(what, document) {
            Ok(document) if document.is_object() => self.ask(ask(document)).await,
            Ok(_) => {
                let error = HostError::invalid_input("", format!("{what}: a JSON object belongs here"));
                Err(self.misread(&ask(Value::Null), error))
            }
            Err(error) => Err(self.misread(&ask(Value::Null), error)),
        }
    }
}

/// What the port answered, as the interface says it.
pub(super) fn answered<T: DeserializeOwned>(answer: Result<Value, HostError>) -> Result<T, plugin_types::HostError> {
    let answer = answer.map_err(failed)?;
    serde_json::from_value(answer).map_err(|error| {
        tracing::error!(%error, "a service of the host answered in another shape than its contract's");
        failed(HostError::unavailable("the host's answer cannot be read; see the server's log"))
    })
}

fn text(answer: Result<Value, HostError>) -> Result<String, plugin_types::HostError> {
    answer.map(|answer| answer.to_string()).map_err(failed)
}

fn failed(error: HostError) -> plugin_types::HostError {
    plugin_types::HostError {
        code: error.code,
        message: error.message,
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
        details: error.details.map(|details| details.to_string()),
    }
}
