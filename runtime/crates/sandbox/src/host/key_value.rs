//! `flowcell:plugin/key-value`: values that outlive a call.

use flowcell_core::host_call::key_value::{Entry, Expected, Namespace, Request, VALUE_BYTES_MAX};
use flowcell_core::host_call::{HostError, HostRequest};
use serde_json::Value;

use crate::host::{State, contract::key_value, contract::plugin_types, document};
use crate::json;

type Answer<T> = wasmtime::Result<Result<T, plugin_types::HostError>>;

impl key_value::Host for State {
    async fn get(&mut self, namespace: key_value::Namespace, key: String) -> Answer<Option<key_value::Entry>> {
        let request = Request::Get { namespace: of(namespace), key };
        let answer = self.ask(HostRequest::KeyValue(request)).await;
        Ok(document::answered::<Option<Entry>>(answer).map(|entry| {
            entry.map(|entry| key_value::Entry {
                value: entry.value.to_string(),
                version: entry.version,
                expires_at_ms: entry.expires_at.map(flowcell_core::time::Timestamp::as_millis),
            })
        }))
    }

    async fn set(
        &mut self,
        namespace: key_value::Namespace,
        key: String,
        value: String,
        ttl_ms: Option<u64>,
        expected: key_value::Expected,
    ) -> Answer<u64> {
        let parsed = json::parse(&value, VALUE_BYTES_MAX, self.limits.json_depth);
        let is_too_large = value.len() > VALUE_BYTES_MAX;
        let request = |value| {
            let (namespace, expected) = (of(namespace), believed(&expected));
            HostRequest::KeyValue(Request::Set { namespace, key, value, ttl_ms, expected })
        };
        let answer = match parsed {
            Ok(value) => self.ask(request(value)).await,
            Err(problem) => {
                let error = if is_too_large {
                    HostError::too_large(format!(
                        "a value has at most {VALUE_BYTES_MAX} bytes as JSON; this one has {}",
                        value.len()
                    ))
                } else {
                    HostError::invalid_input("/value", format!("the value is {problem}"))
                };
                Err(self.misread(&request(Value::Null), error))
            }
        };
        Ok(document::answered(answer))
    }

    async fn delete(
        &mut self,
        namespace: key_value::Namespace,
        key: String,
        expected: key_value::Expected,
    ) -> Answer<bool> {
        let request = Request::Delete { namespace: of(namespace), key, expected: believed(&expected) };
        Ok(document::answered(self.ask(HostRequest::KeyValue(request)).await))
    }

    async fn add(
        &mut self,
        namespace: key_value::Namespace,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Answer<i64> {
        let request = Request::Add { namespace: of(namespace), key, delta, ttl_ms };
        Ok(document::answered(self.ask(HostRequest::KeyValue(request)).await))
    }

    async fn keys(
        &mut self,
        namespace: key_value::Namespace,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<String>> {
        let request = Request::Keys { namespace: of(namespace), prefix, after, limit };
        Ok(document::answered(self.ask(HostRequest::KeyValue(request)).await))
    }
}

fn of(namespace: key_value::Namespace) -> Namespace {
    match namespace {
        key_value::Namespace::Workflow => Namespace::Workflow,
        key_value::Namespace::Plugin => Namespace::Plugin,
    }
}

fn believed(expected: &key_value::Expected) -> Expected {
    match expected {
        key_value::Expected::Anything => Expected::Anything,
        key_value::Expected::Absent => Expected::Absent,
        key_value::Expected::Version(version) => Expected::Version(*version),
    }
}
