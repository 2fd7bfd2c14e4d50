//! Every static kind against the published vectors of its standard.

use std::sync::Arc;

use data_encoding::BASE64;
use flowcell_core::connection::{Additions, Authorizer, Connection, CredentialError, Outgoing};
use flowcell_core::time::Timestamp;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use url::Url;

use super::authorizer;
use crate::connections::document::SecretDocument;

const HERE: &str = "https://api.example.com/v1/x";

fn connection(kind: &Value, hosts: &[&str]) -> Connection {
    let mut connection = json!({
        "workspace": "default", "name": "crm", "bound": { "hosts": hosts, "anywhere": hosts.is_empty(), "plugins": ["acme/crm"] },
        "state": { "is": "ready" },
        "created_at": Timestamp::default(), "updated_at": Timestamp::default(),
    });
    for (key, value) in kind.as_object().unwrap() {
        connection[key] = value.clone();
    }
    serde_json::from_value(connection).unwrap()
}

fn made(kind: &Value, secret: &Value) -> Result<Arc<dyn Authorizer>, CredentialError> {
    let connection = connection(kind, &["https://api.example.com/v1/*"]);
    let secret = SecretDocument::read(&connection.kind, secret.to_string().as_bytes()).unwrap();
    authorizer(&connection, secret)
}

/// What is added to one request; shows what is secret, for comparison.
async fn added(authorizer: &dyn Authorizer, message_id: &str, seconds: u64, body: &[u8]) -> Vec<(String, String)> {
    let url = Url::parse(HERE).unwrap();
    let request =
        Outgoing { method: "POST", url: &url, body, message_id, now: Timestamp::from_millis(seconds * 1000 + 999) };
    assert!(authorizer.is_bound_to(&request));
    let Additions { public, headers, query, path: _ } = authorizer.authorize(&request).await.unwrap();
    let mut all = public;
    all.extend(headers.into_iter().map(|(name, value)| (name, value.expose().clone())));
    assert!(all.iter().all(|(name, _)| authorizer.headers().contains(name)), "only what was announced is added");
    for (name, value) in query {
        assert!(authorizer.query().contains(&name));
        all.push((format!("?{name}"), value.expose().clone()));
    }
    all
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn fixed_kinds_add_what_their_standards_say() {
    let api_key = |place: Value| json!({ "kind": "api-key", "settings": place });
    let basic = |username: &str| json!({ "kind": "basic", "settings": { "username": username } });
    let declared = json!({ "kind": "plugin", "settings": {
        "plugin": "acme/crm", "id": "key-pair", "fields": { "account": "A1", "region": 7 },
        "inject": [
            { "header": "X-Acme-Auth", "value": "{{ field.account }}:{{secret.key}};r={{ field.region }}" },
            { "query": "sig", "value": "{{ secret.salt }}" },
        ],
    } });
    for (kind, secret, expected, hidden) in [
        (
            json!({ "kind": "bearer" }),
            json!({ "token": "mF_9.B5f-4.1JqM" }),
            [("authorization", "Bearer mF_9.B5f-4.1JqM")].as_slice(),
            ["mF_9.B5f-4.1JqM"].as_slice(),
        ),
        (
            api_key(json!({ "header": { "name": "X-Api-Key" } })),
            json!({ "key": "k-1" }),
            &[("x-api-key", "k-1")],
            &["k-1"],
        ),
        (
            api_key(json!({ "header": { "name": "Authorization", "prefix": "Token " } })),
            json!({ "key": "k-1" }),
            &[("authorization", "Token k-1")],
            &["k-1"],
        ),
        (api_key(json!({ "query": { "name": "Key" } })), json!({ "key": "k+1" }), &[("?Key", "k+1")], &["k+1"]),
        // RFC 7617 §2 and §2.1.
        (
            basic("Aladdin"),
            json!({ "password": "open sesame" }),
            &[("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")],
            &["open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
        ),
        (
            basic("test"),
            json!({ "password": "123\u{a3}" }),
            &[("authorization", "Basic dGVzdDoxMjPCow==")],
            &["123\u{a3}", "dGVzdDoxMjPCow=="],
        ),
        (
            declared,
            json!({ "key": "k-1", "salt": "s-1" }),
            &[("x-acme-auth", "A1:k-1;r=7"), ("?sig", "s-1")],
            &["k-1", "s-1"],
        ),
    ] {
        let authorizer = made(&kind, &secret).unwrap();
        assert_eq!(added(&*authorizer, "id", 1, b"body").await, pairs(expected));
        assert_eq!(authorizer.secrets().iter().map(|secret| secret.expose().clone()).collect::<Vec<_>>(), hidden);
        assert!(!authorizer.refused().await.unwrap());
    }
}

/// RFC 4231 §4.3 (test case 2) and RFC 2202 §3 (the same for SHA-1): the key "Jefe".
#[tokio::test]
async fn hmac_agrees_with_the_vectors_of_its_standards() {
    let data = b"what do ya want for nothing?";
    for (settings, expected) in [
        (json!({}), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (json!({ "prefix": "sha256=" }), "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (json!({ "encoding": "base64" }), "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="),
        (json!({ "algorithm": "sha1" }), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            json!({ "algorithm": "sha512" }),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let mut settings = settings;
        settings["header"] = json!("X-Signature");
        let authorizer =
            made(&json!({ "kind": "hmac", "settings": settings }), &json!({ "secrets": [{ "value": "Jefe" }] }))
                .unwrap();
        assert_eq!(added(&*authorizer, "id", 1, data).await, pairs(&[("x-signature", expected)]), "{settings}");
        assert!(authorizer.secrets().is_empty(), "the secret does not travel");
    }
    // The time is signed with the body, and what was replaced signs until its time is over.
    let kind = json!({ "kind": "hmac", "settings": { "header": "X-Signature", "timestamp_header": "X-Time" } });
    let secrets =
        json!({ "secrets": [{ "value": "new" }, { "value": "old", "valid_until": Timestamp::from_millis(5_000) }] });
    let authorizer = made(&kind, &secrets).unwrap();
    let signed = |secret: &str, seconds: u64| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        data_encoding::HEXLOWER.encode(ring::hmac::sign(&key, format!("{seconds}.body").as_bytes()).as_ref())
    };
    let both = format!("{},{}", signed("new", 3), signed("old", 3));
    assert_eq!(added(&*authorizer, "id", 3, b"body").await, pairs(&[("x-time", "3"), ("x-signature", &both)]));
    let new = signed("new", 5);
    assert_eq!(added(&*authorizer, "id", 5, b"body").await, pairs(&[("x-time", "5"), ("x-signature", &new)]));
}

/// The vector that the libraries of Standard Webhooks are tested with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

#[tokio::test]
async fn standard_webhooks_agree_with_the_published_vector_and_rotate_with_every_signature() {
    let kind = json!({ "kind": "standard-webhooks", "settings": {} });
    let body = br#"{"test": 2432232314}"#;
    let (id, seconds) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
    let authorizer = made(&kind, &json!({ "secrets": [{ "value": SECRET }] })).unwrap();
    let expected = [("webhook-id", id), ("webhook-timestamp", "1614265330"), ("webhook-signature", SIGNATURE)];
    assert_eq!(added(&*authorizer, id, seconds, body).await, pairs(&expected));

    // RFC 8032 §7.1, test 1: the seed and its public key.
    let seed =
        data_encoding::HEXLOWER.decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let public =
        data_encoding::HEXLOWER.decode(b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    let whole = BASE64.encode(&[seed.clone(), public.clone()].concat());
    for key in [BASE64.encode(&seed), whole] {
        let other = format!("whsec_{}", BASE64.encode(&[7; 24]));
        let secrets = json!({
            "secrets": [{ "value": other }, { "value": SECRET, "valid_until": Timestamp::from_millis((seconds + 60) * 1000) }],
            "signing_keys": [{ "value": format!("whsk_{key}") }],
        });
        let authorizer = made(&kind, &secrets).unwrap();
        let signatures = added(&*authorizer, id, seconds, body).await.remove(2).1;
        let signatures: Vec<&str> = signatures.split(' ').collect();
        assert_eq!((signatures.len(), signatures[1]), (3, SIGNATURE));
        assert!(signatures[0].starts_with("v1,") && signatures[0] != SIGNATURE);
        let signature = BASE64.decode(signatures[2].strip_prefix("v1a,").unwrap().as_bytes()).unwrap();
        let signed = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        UnparsedPublicKey::new(&ED25519, &public).verify(&signed, &signature).unwrap();
        // The replaced secret signs no longer; the rest goes on.
        let later = added(&*authorizer, id, seconds + 60, body).await.remove(2).1;
        assert_eq!(later.split(' ').count(), 2);
    }
}

#[tokio::test]
async fn a_connection_is_bound_to_its_hosts_and_one_that_only_signs_may_have_none() {
    let asks = |method: &str, url: &str, authorizer: &dyn Authorizer| {
        let url = Url::parse(url).unwrap();
        authorizer.is_bound_to(&Outgoing { method, url: &url, body: b"", message_id: "id", now: Timestamp::default() })
    };
    let of = |kind: Value, hosts: &[&str], secret: Value| {
        let connection = connection(&kind, hosts);
        let secret = SecretDocument::read(&connection.kind, secret.to_string().as_bytes()).unwrap();
        authorizer(&connection, secret).unwrap()
    };
    let bearer = || (json!({ "kind": "bearer" }), json!({ "token": "t-1" }));
    let (kind, secret) = bearer();
    let bound = of(kind, &["GET,POST https://api.example.com/v1/*", "https://*.example.org"], secret);
    for (method, url) in [
        ("GET", "https://api.example.com/v1/x"),
        ("POST", "https://API.example.com:443/v1/x?y"),
        ("DELETE", "https://a.example.org/"),
    ] {
        assert!(asks(method, url, &*bound), "{method} {url}");
    }
    for (method, url) in [
        ("PUT", "https://api.example.com/v1/x"),
        ("GET", "http://api.example.com/v1/x"),
        ("GET", "https://api.example.com:8443/v1/x"),
        ("GET", "https://api.example.com/v2/x"),
        ("GET", "https://api.example.com/v1/../v2"),
        ("GET", "https://api.example.com/v1/%2e%2e/v2"),
        ("GET", "https://api.example.com.evil.example/v1/x"),
        ("GET", "https://evil.example/v1/x"),
        ("GET", "https://me@api.example.com/v1/x"),
        ("TRACE", "https://api.example.com/v1/x"),
        ("GET", "https://example.org/"),
    ] {
        assert!(!asks(method, url, &*bound), "{method} {url}");
    }
    let (kind, secret) = bearer();
    assert!(!asks("GET", "https://anywhere.example/", &*of(kind, &[], secret)), "a secret goes nowhere by default");
    let signing = json!({ "kind": "standard-webhooks", "settings": {} });
    let signs = |hosts: &[&str]| of(signing.clone(), hosts, json!({ "secrets": [{ "value": SECRET }] }));
    assert!(asks("POST", "http://anywhere.example:81/", &*signs(&[])));
    assert!(!asks("POST", "http://anywhere.example:81/", &*signs(&["https://a.example"])));
}

#[tokio::test]
async fn what_cannot_authenticate_a_request_says_so() {
    let kind = json!({ "kind": "webhook-secret" });
    let error = made(&kind, &json!({ "secrets": [{ "value": "s-1" }] })).err().unwrap();
    assert_eq!(error.code(), "connection-kind");
    for (value, part) in [("{{ secret.other }}", "`secret.other`"), ("{{ env.HOME }}", "`env.HOME`"), ("{{ x", "}}")] {
        let inject = json!([{ "header": "X-A", "value": value }]);
        let settings = json!({ "plugin": "acme/crm", "id": "k", "fields": {}, "inject": inject });
        let error = made(&json!({ "kind": "plugin", "settings": settings }), &json!({ "key": "k-1" })).err().unwrap();
        assert_eq!(error.code(), "connection-sealed");
        assert!(error.to_string().contains(part) && !error.to_string().contains("k-1"), "{error}");
    }
}

#[test]
fn a_declaration_cannot_set_what_only_the_host_sets() {
    for name in ["Host", "transfer-encoding", "Content-Length", "Proxy-Authorization"] {
        let inject = json!([{ "header": name, "value": "{{ field.h }}" }]);
        let settings = json!({ "plugin": "acme/crm", "id": "k", "fields": { "h": "x" }, "inject": inject });
        let error = made(&json!({ "kind": "plugin", "settings": settings }), &json!({ "key": "k" })).err();
        assert!(error.is_some_and(|error| error.to_string().contains("only the host sets")), "{name}");
    }
}
