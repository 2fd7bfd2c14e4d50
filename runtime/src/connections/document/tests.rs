use flowcell_core::connection::Kind;
use serde_json::{Value, json};

use super::*;

fn kind(value: Value) -> Kind {
    serde_json::from_value(value).unwrap()
}

fn every_kind() -> Vec<(Kind, Value)> {
    let client = json!({ "token_url": "https://a.example/token", "client_id": "c" });
    let mut code = client.clone();
    code["authorize_url"] = json!("https://a.example/authorize");
    let whsec = format!("whsec_{}", data_encoding::BASE64.encode(&[7; 24]));
    let whsk = format!("whsk_{}", data_encoding::BASE64.encode(&[9; 32]));
    let until = "2026-01-01T00:00:00.000Z";
    [
        (json!({ "kind": "bearer" }), json!({ "token": "t" })),
        (json!({ "kind": "api-key", "settings": { "header": { "name": "x-key" } } }), json!({ "key": "k" })),
        (json!({ "kind": "basic", "settings": { "username": "ada" } }), json!({ "password": "p w" })),
        (json!({ "kind": "oauth-client-credentials", "settings": client }), json!({ "client_secret": "s" })),
        (
            json!({ "kind": "oauth-code", "settings": code }),
            json!({ "client_secret": "s", "access_token": "a", "refresh_token": "r", "expires_at": until, "token_type": "Bearer" }),
        ),
        (
            json!({ "kind": "hmac", "settings": { "header": "x-signature" } }),
            json!({ "secrets": [{ "value": "new" }, { "value": "old", "valid_until": until }] }),
        ),
        (
            json!({ "kind": "standard-webhooks", "settings": {} }),
            json!({ "secrets": [{ "value": whsec }], "signing_keys": [{ "value": whsk }] }),
        ),
        (
            json!({ "kind": "google-service-account", "settings": { "client_email": "a@b", "token_url": "https://a.example/", "scopes": [] } }),
            json!({ "private_key": "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n" }),
        ),
        (
            json!({ "kind": "smtp", "settings": { "host": "m", "port": 587, "tls": "starttls", "username": "u" } }),
            json!({ "password": "p" }),
        ),
        (json!({ "kind": "webhook-url" }), json!({ "url": "https://hooks.chat.example/services/T0/B0/tokentokentoken?sig=abcdefghij" })),
        (json!({ "kind": "webhook-secret" }), json!({ "secrets": [{ "value": "w" }] })),
        (
            json!({ "kind": "plugin", "settings": { "plugin": "acme/crm", "id": "account", "fields": {} } }),
            json!({ "key": "k", "other": "o" }),
        ),
    ]
    .map(|(of, secret)| (kind(of), secret))
    .to_vec()
}

#[test]
fn every_kind_reads_what_it_writes() {
    for (kind, secret) in every_kind() {
        let document = SecretDocument::read(&kind, secret.to_string().as_bytes());
        let document = document.unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        let written: Value = serde_json::from_slice(&document.to_json()).unwrap();
        assert_eq!(written, secret, "{}", kind.name());
    }
}

#[test]
fn kinds_themselves_come_back_as_they_were_stored() {
    for (kind, _) in every_kind() {
        let text = serde_json::to_string(&kind).unwrap();
        assert_eq!(serde_json::from_str::<Kind>(&text).unwrap(), kind, "{text}");
    }
}

#[test]
fn what_cannot_be_a_secret_is_refused_and_never_repeated() {
    let of = |name: &str| every_kind().into_iter().find(|(kind, _)| kind.name() == name).unwrap().0;
    let long = "X".repeat(DOCUMENT_BYTES_MAX);
    for (kind, secret, said) in [
        ("bearer", json!({ "token": "" }), "`token` is empty"),
        ("bearer", json!({ "token": "hunter2\n" }), "control"),
        ("bearer", json!({ "token": "hunter2 x" }), "header"),
        ("bearer", json!({ "token": "hünter2" }), "header"),
        ("bearer", json!({ "token": "hunter2", "more": 1 }), "consists of `token`"),
        ("bearer", json!({ "tokn": "hunter2" }), "consists of `token`"),
        ("bearer", json!({ "token": 2 }), "consists of `token`"),
        ("bearer", json!({ "token": long }), "bytes"),
        ("basic", json!({ "password": "hunter2\u{1}" }), "control"),
        ("hmac", json!({ "secrets": [] }), "empty"),
        ("hmac", json!({ "secrets": [{ "value": "" }] }), "empty"),
        (
            "hmac",
            json!({ "secrets": [{ "value": "a" }], "signing_keys": [{ "value": "hunter2" }] }),
            "only connections",
        ),
        ("standard-webhooks", json!({ "secrets": [{ "value": "hunter2" }] }), "whsec_"),
        ("standard-webhooks", json!({ "secrets": [{ "value": "whsec_aHVudGVyMg==" }] }), "24 to 64"),
        ("google-service-account", json!({ "private_key": "hunter2" }), "PEM"),
        ("webhook-url", json!({ "url": "hunter2" }), "https://"),
        ("webhook-url", json!({ "url": "https://u:hunter2@a.example/" }), "https://"),
        ("oauth-client-credentials", json!({}), "client_secret"),
        ("plugin", json!({ "a": "" }), "empty"),
        ("plugin", json!({ "a": ["hunter2"] }), "manifest"),
    ] {
        let error = SecretDocument::read(&of(kind), secret.to_string().as_bytes()).err().expect(kind).to_string();
        assert!(error.contains(said) && !error.contains("hunter2"), "{kind}: {error}");
    }
}

#[test]
fn a_replaced_secret_counts_until_its_time() {
    let at = Timestamp::from_millis;
    let timed = |value: &str, until| TimedSecret { value: Secret::new(value.to_owned()), valid_until: until };
    let signing = SigningSecrets {
        secrets: vec![timed("new", None), timed("old", Some(at(10))), timed("older", Some(at(5)))],
        signing_keys: Vec::new(),
    };
    let valid = |now| signing.valid_secrets(at(now)).map(|secret| secret.expose().as_str()).collect::<Vec<_>>();
    assert_eq!(valid(4), ["new", "old", "older"]);
    assert_eq!(valid(5), ["new", "old"]);
    assert_eq!(valid(10), ["new"]);
}
