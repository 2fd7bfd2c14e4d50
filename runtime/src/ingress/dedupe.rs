//! By what two deliveries are recognised as one: what the workflow's `dedupe` names, else the sender's own id, which the trigger's plugin
//! reads from the standard headers.

use std::time::Duration;

use flowcell_core::id::Digest;
use flowcell_core::ports::DedupeTerms;
use flowcell_core::workflow::dedupe::short;
use flowcell_core::workflow::trigger::{Dedupe, DedupeBy};
use http::HeaderMap;
use serde_json::Value;

/// By this header a sender promises that the body is the same whenever the key is (IETF draft-ietf-httpapi-idempotency-key-header §2.7).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What of a request is looked at, kept while the trigger's plugin has the rest.
#[derive(Debug)]
pub(crate) struct Sent {
    headers: HeaderMap,
    /// Where it can count: of a workflow that goes by it, or beside an `Idempotency-Key`.
    body: Option<Digest>,
    /// What the request's signature covers, where its trigger verifies one.
    signed: Option<String>,
}

/// What a delivery is recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) terms: DedupeTerms,
}

impl Sent {
    pub(crate) fn new(headers: HeaderMap, body: &[u8], rule: Option<&Dedupe>) -> Self {
        let by_body = matches!(rule.map(|rule| &rule.by), Some(DedupeBy::Body(_)));
        let counts = by_body || headers.contains_key(IDEMPOTENCY_KEY);
        Self { headers, body: counts.then(|| Digest::of(body)), signed: None }
    }

    /// Deliveries go by what their signature covers, unless the workflow says by what they go.
    pub(crate) fn signed(mut self, key: Option<String>) -> Self {
        self.signed = key;
        self
    }

    /// The key of everything that the request brings: a header, or its whole body.
    pub(crate) fn of_request(&self, rule: Option<&Dedupe>) -> Option<Key> {
        let Some(rule) = rule else {
            return self.signed.clone().map(|text| self.key(text, DedupeTerms::WINDOW_MAX));
        };
        let text = match &rule.by {
            DedupeBy::Header(name) => {
                let value = self.headers.get(name.as_str()).map(|value| String::from_utf8_lossy(value.as_bytes()))?;
                let value = value.trim();
                (!value.is_empty()).then(|| format!("{}:{}", name.to_ascii_lowercase(), short(value)))?
            }
            DedupeBy::Body(_) => format!("body:{}", self.body?),
            DedupeBy::Path(_) => return None,
        };
        Some(self.key(text, window(rule)))
    }

    /// The key of one event: the value at a path of its payload, else the sender's own id for it.
    pub(crate) fn of_event(&self, rule: Option<&Dedupe>, payload: &Value, own: Option<String>) -> Option<Key> {
        if let Some((rule, key)) = rule.and_then(|rule| Some((rule, rule.key_of(payload)?))) {
            return Some(self.key(key, window(rule)));
        }
        self.signed.clone().or(own).map(|key| self.key(key, DedupeTerms::WINDOW_MAX))
    }

    /// The standard header of the API's own requests.
    pub(crate) fn idempotency_key(&self) -> Option<Key> {
        let value = self.headers.get(IDEMPOTENCY_KEY)?;
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = value.trim();
        (!value.is_empty()).then(|| self.key(format!("{IDEMPOTENCY_KEY}:{}", short(value)), DedupeTerms::WINDOW_MAX))
    }

    fn key(&self, text: String, window: Duration) -> Key {
        let promises_body = text.split_once(':').is_some_and(|(name, _)| name == IDEMPOTENCY_KEY);
        Key { text, terms: DedupeTerms { window, body: self.body.filter(|_| promises_body) } }
    }
}

fn window(rule: &Dedupe) -> Duration {
    Duration::from_millis(rule.window_ms)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(by: DedupeBy) -> Dedupe {
        Dedupe { by, window_ms: 1_000 }
    }

    fn sent(headers: &[(&'static str, &'static str)], rule: Option<&Dedupe>) -> Sent {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Sent::new(headers, b"{}", rule)
    }

    #[test]
    fn a_rule_names_a_header_a_path_or_the_body() {
        let header = rule(DedupeBy::Header("X-Id".into()));
        let by_header = |headers| sent(headers, Some(&header)).of_request(Some(&header)).map(|key| key.text);
        assert_eq!(by_header(&[("x-id", " 7 ")]).as_deref(), Some("x-id:7"));
        assert_eq!((by_header(&[]), by_header(&[("x-id", "")])), (None, None));

        let body = rule(DedupeBy::Body(true));
        let key = sent(&[], Some(&body)).of_request(Some(&body)).unwrap();
        assert_eq!(key.text, format!("body:{}", Digest::of(b"{}")));
        assert_eq!((key.terms.window, key.terms.body), (Duration::from_secs(1), None));

        let path = rule(DedupeBy::Path("body.items[1].id".into()));
        let sent = sent(&[], Some(&path));
        let of = |payload: Value| sent.of_event(Some(&path), &payload, Some("webhook-id:1".into())).unwrap().text;
        assert_eq!(of(json!({"body": {"items": [0, {"id": "b"}]}})), "path:body.items[1].id:b");
        assert_eq!(of(json!({"body": {"items": [0, {"id": 5}]}})), "path:body.items[1].id:5");
        for without in [json!({"body": {"items": [0]}}), json!({"body": {"items": [0, {"id": null}]}}), json!(1)] {
            assert_eq!(of(without), "webhook-id:1", "the sender's own id, where the path leads nowhere");
        }
        assert!(sent.of_request(Some(&path)).is_none());
    }

    #[test]
    fn what_is_signed_goes_before_ids_that_are_not_and_after_what_the_workflow_says() {
        let request = |rule: Option<&Dedupe>| sent(&[("x-id", "7")], rule).signed(Some("body:d".into()));
        assert_eq!(request(None).of_request(None).unwrap().text, "body:d");
        assert_eq!(request(None).of_request(None).unwrap().terms.window, DedupeTerms::WINDOW_MAX);
        let header = rule(DedupeBy::Header("X-Id".into()));
        assert_eq!(request(Some(&header)).of_request(Some(&header)).unwrap().text, "x-id:7");
        let path = rule(DedupeBy::Path("id".into()));
        let of =
            |payload: Value| request(Some(&path)).of_event(Some(&path), &payload, Some("webhook-id:1".into())).unwrap();
        assert_eq!(of(json!({"id": 5})).text, "path:id:5");
        assert_eq!(of(json!({})).text, "body:d");
        assert!(request(Some(&path)).of_request(Some(&path)).is_none());
    }

    #[test]
    fn only_an_idempotency_key_promises_the_same_body() {
        let request = sent(&[("idempotency-key", "k")], None);
        let own = |text: &str| request.of_event(None, &json!(1), Some(text.to_owned())).unwrap().terms.body;
        assert_eq!((own("idempotency-key:k"), own("webhook-id:k")), (Some(Digest::of(b"{}")), None));
        assert_eq!(request.idempotency_key().unwrap().terms.body, Some(Digest::of(b"{}")));
        assert!(sent(&[], None).idempotency_key().is_none());
        let named = rule(DedupeBy::Header("Idempotency-Key".into()));
        assert!(sent(&[("idempotency-key", "k")], Some(&named)).of_request(Some(&named)).unwrap().terms.body.is_some());
    }

    #[test]
    fn long_values_stand_by_their_hash() {
        let path = rule(DedupeBy::Path("id".into()));
        let key = sent(&[], None).of_event(Some(&path), &json!({"id": "x".repeat(10_000)}), None).unwrap();
        assert!(key.text.len() < 120, "{}", key.text);
    }
}
