//! By what a verified delivery is recognised when it comes again: something that its signature covers. Ids beside it can be exchanged by whoever
//! copies a request; the signature holds all the same.

use flowcell_core::id::Digest;
use flowcell_core::workflow::Scheme;
use http::HeaderMap;
use serde::Deserialize;

/// The header by which a `webhook-id` is known as a key, whatever name of the family it came under: the same bytes verify under both.
const STANDARD_ID: &str = "webhook-id";

/// The key of a delivery that this scheme has verified; nothing where the scheme signs nothing, or the body is empty.
pub(super) fn key(scheme: &Scheme, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    match scheme {
        Scheme::StandardWebhooks { .. } => {
            let id = super::standard_webhooks::signed_id(headers)?;
            Some(format!("{STANDARD_ID}:{id}"))
        }
        Scheme::Stripe { .. } => {
            id_in(body, |ids| ids.id).map(|id| format!("stripe-event:{id}")).or_else(|| of_body(body))
        }
        Scheme::Slack { .. } => {
            id_in(body, |ids| ids.event_id).map(|id| format!("slack-event:{id}")).or_else(|| of_body(body))
        }
        Scheme::Github { .. } | Scheme::Shopify { .. } | Scheme::Highlevel { .. } | Scheme::Hmac { .. } => {
            of_body(body)
        }
        // They prove who sends, and say nothing about what is sent.
        Scheme::Bearer { .. } | Scheme::Basic { .. } | Scheme::ApiKey { .. } => None,
    }
}

fn of_body(body: &[u8]) -> Option<String> {
    (!body.is_empty()).then(|| format!("body:{}", Digest::of(body)))
}

#[derive(Deserialize)]
struct Ids {
    id: Option<String>,
    event_id: Option<String>,
}

/// The longest id that stands in a key as it is. Those of Stripe and Slack have some 30 bytes.
const ID_BYTES_MAX: usize = 256;

fn id_in(body: &[u8], choose: impl FnOnce(Ids) -> Option<String>) -> Option<String> {
    let ids: Ids = serde_json::from_slice(body).ok()?;
    choose(ids).filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scheme: &str, headers: &[(&'static str, &'static str)], body: &[u8]) -> Option<String> {
        let scheme: Scheme = serde_json::from_str(scheme).unwrap();
        key(
            &scheme,
            &headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
            body,
        )
    }

    #[test]
    fn what_is_signed_is_the_key_and_ids_beside_it_are_not_looked_at() {
        let standard = r#"{"scheme":"standard-webhooks","secret":"s"}"#;
        let named =
            of(standard, &[("webhook-id", "msg_1"), ("webhook-signature", "v1,x"), ("idempotency-key", "k")], b"{}");
        assert_eq!(named.as_deref(), Some("webhook-id:msg_1"));
        // Copied under the family's other name, with an unsigned id under the first.
        let svix = of(standard, &[("svix-id", "msg_1"), ("svix-signature", "v1,x"), ("webhook-id", "other")], b"{}");
        assert_eq!(svix, named);
        let stripe = r#"{"scheme":"stripe","secret":"s"}"#;
        assert_eq!(of(stripe, &[], br#"{"id":"evt_1","object":"event"}"#).as_deref(), Some("stripe-event:evt_1"));
        let slack = r#"{"scheme":"slack","secret":"s"}"#;
        assert_eq!(of(slack, &[], br#"{"event_id":"Ev1","id":"x"}"#).as_deref(), Some("slack-event:Ev1"));
        let body = Some(format!("body:{}", Digest::of(b"a=1")));
        for scheme in [
            stripe,
            slack,
            r#"{"scheme":"github","secret":"s"}"#,
            r#"{"scheme":"shopify","secret":"s"}"#,
            r#"{"scheme":"highlevel"}"#,
        ] {
            assert_eq!(of(scheme, &[("x-github-delivery", "1"), ("webhook-id", "2")], b"a=1"), body, "{scheme}");
            assert_eq!(of(scheme, &[], b""), None, "{scheme}");
        }
        assert_eq!(of(r#"{"scheme":"bearer","secret":"s"}"#, &[("webhook-id", "2")], b"a=1"), None);
    }
}
