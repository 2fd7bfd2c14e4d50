//! Every scheme with what its provider published, and with everything that must not pass.

mod explained;
mod negatives;
mod vectors;

use data_encoding::{BASE64, HEXLOWER};
use flowcell_core::connection::HmacAlgorithm::{self, Sha256};
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::{Scheme, Verify};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::mac::code;
use super::{Presented, Proof, Refusal, Verifier};

/// When the requests of these tests are signed, in seconds.
const AT_S: u64 = 1_764_000_000;
const BODY: &[u8] = br#"{"id": "evt_7", "total": 12.5, "note": "gr\u00fcn"}"#;
const SECRET: &[u8] = b"a-Secret-of-32-bytes-or-near-it!";

/// A request and what it is verified by.
#[derive(Debug, Clone)]
struct Case {
    scheme: Scheme,
    secrets: Vec<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    query: String,
    body: Vec<u8>,
    now_s: u64,
}

impl Case {
    fn check(&self) -> Result<Proof, Refusal> {
        let verifier = Verifier::new(&self.scheme).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let secrets: Vec<_> = self.secrets.iter().map(|secret| Secret::new(secret.clone())).collect();
        let now = Timestamp::from_millis(self.now_s * 1_000 + 999);
        let (query, body) = (self.query.as_str(), self.body.as_slice());
        verifier.check(&Presented { headers: &headers, query, body, now }, &secrets)
    }

    fn header(&self, name: &str) -> &[u8] {
        let found = self.headers.iter().find(|(given, _)| given == name);
        &found.unwrap_or_else(|| panic!("no {name}: {self:?}")).1
    }

    fn without(&self, name: &str) -> Self {
        let mut case = self.clone();
        case.headers.retain(|(given, _)| given != name);
        case
    }

    fn with(&self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let mut case = self.without(name);
        case.headers.push((name.to_owned(), value.into()));
        case
    }

    fn also(&self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let mut case = self.clone();
        case.headers.push((name.to_owned(), value.into()));
        case
    }

    fn body(&self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self.clone() }
    }

    fn secrets(&self, secrets: &[&[u8]]) -> Self {
        Self { secrets: secrets.iter().map(|secret| secret.to_vec()).collect(), ..self.clone() }
    }

    fn at(&self, now_s: u64) -> Self {
        Self { now_s, ..self.clone() }
    }
}

fn scheme(text: Value) -> Scheme {
    let verify: Verify = serde_json::from_value(text).unwrap();
    verify.scheme().unwrap().clone()
}

fn case(text: Value, headers: &[(&str, &str)]) -> Case {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let (secrets, body) = (vec![SECRET.to_vec()], BODY.to_vec());
    Case { scheme: scheme(text), secrets, headers, query: String::new(), body, now_s: AT_S }
}

fn hex(algorithm: HmacAlgorithm, message: &[&[u8]]) -> String {
    HEXLOWER.encode(&code(SECRET, algorithm, message))
}

fn base64(message: &[&[u8]]) -> String {
    BASE64.encode(&code(SECRET, Sha256, message))
}

fn at() -> String {
    AT_S.to_string()
}

fn whsec() -> Vec<u8> {
    format!("whsec_{}", BASE64.encode(SECRET)).into_bytes()
}

fn signing_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(SECRET).unwrap()
}

fn whpk() -> String {
    format!("whpk_{}", BASE64.encode(signing_key().public_key().as_ref()))
}

fn standard_webhooks() -> Case {
    let at = at();
    let signature = format!("v1,{}", base64(&[b"msg_1.", at.as_bytes(), b".", BODY]));
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
    let case = case(json!({ "scheme": "standard-webhooks", "secret": "s" }), &headers);
    Case { secrets: vec![whsec()], ..case }
}

fn standard_webhooks_ed25519() -> Case {
    let at = at();
    let signature = signing_key().sign(&[b"msg_1.", at.as_bytes(), b".", BODY].concat());
    let signature = format!("v1a,{}", BASE64.encode(signature.as_ref()));
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
    let case = case(json!({ "scheme": "standard-webhooks", "public_key": whpk() }), &headers);
    Case { secrets: Vec::new(), ..case }
}

fn github() -> Case {
    let signature = format!("sha256={}", hex(Sha256, &[BODY]));
    case(json!({ "scheme": "github", "secret": "s" }), &[("x-hub-signature-256", &signature)])
}

fn stripe() -> Case {
    let at = at();
    let signature = format!("t={at},v1={},v0=00ff", hex(Sha256, &[at.as_bytes(), b".", BODY]));
    case(json!({ "scheme": "stripe", "secret": "s" }), &[("stripe-signature", &signature)])
}

fn slack() -> Case {
    let at = at();
    let signature = format!("v0={}", hex(Sha256, &[b"v0:", at.as_bytes(), b":", BODY]));
    let headers = [("x-slack-request-timestamp", at.as_str()), ("x-slack-signature", &signature)];
    case(json!({ "scheme": "slack", "secret": "s" }), &headers)
}

fn shopify() -> Case {
    let signature = base64(&[BODY]);
    case(json!({ "scheme": "shopify", "secret": "s" }), &[("x-shopify-hmac-sha256", &signature)])
}

fn highlevel() -> Case {
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend(signing_key().public_key().as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&spki));
    let signature = BASE64.encode(signing_key().sign(BODY).as_ref());
    case(json!({ "scheme": "highlevel", "public_key": pem }), &[("x-ghl-signature", &signature)])
}

/// A key made with `openssl genrsa 2048`, and what `openssl dgst -sha256 -sign` made of the body.
fn highlevel_rsa() -> Case {
    let pem = "-----BEGIN PUBLIC KEY-----\n\
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA5jIvX7OEy5uNQJtcM+R8\n\
        Sdq0yIEmMTNIsCYbRtGM6wqTmPtooaMicfEt+djIUGd5+Vaj0+lyHL7OUZID6HkK\n\
        QJEzojQ4ZdGMN+xtFh/KdKKD1FDdya/t6+wLSOriLghgz/9Q9t4x0ggwiclhezSI\n\
        CyESRbG6Mspx48IrRWYpRqAv7pjflaKEqc498yCorYIC2UeqaSW18u/evyYlS9yw\n\
        ibmTKwu8VZfOj/kQqXlwUkEWAEGEPQb6M+gbYP34O4/jnVcZ2qAnhu01FT/pvkqr\n\
        nz15D2eRqbn5w64KKq3TFxMM/JBgLnjO6fUVq3mN5/JAdRh9a/vqQB6svK4i7I+3\n\
        9QIDAQAB\n-----END PUBLIC KEY-----";
    let signature = "DNiRv0BC1LBXUNGQ3VxKg6W3CvKaZUBZy/dSCQBcXTZBOb/xs04mnWebraJeiAvxiMw6DvS+MrewxnmIns054awD19+A4PxZ\
        xNnyPb7gT2iqypIcwdTZLbDjDm3A4pU7xlHfm80D+Tjfn5HxLEgprsvKtggATTbzbumOpAfMfbhd/SAs+ift/RmsryWbex2mh+SJWlSXd3IBBFfC77pf\
        TzllN9t7/M7S5ecMbYgotG7PmJd6gfJwFPSduPZDWjEQTZrJXQwO0AnfdlNR7TgFLpO/uAnhwKsPllHmECnRPTQKxYZ8wzgV3tNwZcYs8/JnWs0Wzzim\
        7viL5f5n06EeNA==";
    let case = case(json!({ "scheme": "highlevel", "public_key": pem }), &[("x-wh-signature", signature)]);
    case.body(br#"{"type":"ContactCreate","webhookId":"wh_1","id":"c_7"}"#)
}

fn hmac() -> Case {
    let at = at();
    let signature = format!("sig={}", hex(HmacAlgorithm::Sha512, &[at.as_bytes(), b".", BODY]));
    let text = json!({
        "scheme": "hmac", "secret": "s", "header": "X-Acme-Signature", "algorithm": "sha512", "prefix": "sig=", "timestamp_header": "X-Acme-Time",
    });
    case(text, &[("x-acme-time", &at), ("x-acme-signature", &signature)])
}

fn bearer() -> Case {
    let token = format!("Bearer {}", std::str::from_utf8(SECRET).unwrap());
    case(json!({ "scheme": "bearer", "secret": "s" }), &[("authorization", &token)])
}

fn basic() -> Case {
    let credentials = format!("Basic {}", BASE64.encode(&[b"ann:", SECRET].concat()));
    case(json!({ "scheme": "basic", "secret": "s", "username": "ann" }), &[("authorization", &credentials)])
}

fn api_key() -> Case {
    case(
        json!({ "scheme": "api-key", "secret": "s", "header": "X-Api-Key" }),
        &[("x-api-key", std::str::from_utf8(SECRET).unwrap())],
    )
}

fn api_key_in_query() -> Case {
    let case = case(json!({ "scheme": "api-key", "secret": "s", "query": "key" }), &[]);
    Case { query: format!("a=1&key={}&b", std::str::from_utf8(SECRET).unwrap()), ..case }
}

/// One request that passes for each way of signing.
fn all() -> Vec<Case> {
    vec![
        standard_webhooks(),
        standard_webhooks_ed25519(),
        github(),
        stripe(),
        slack(),
        shopify(),
        highlevel(),
        highlevel_rsa(),
        hmac(),
        bearer(),
        basic(),
        api_key(),
        api_key_in_query(),
    ]
}

/// Whether the body is part of what is proven.
fn signs_body(scheme: &Scheme) -> bool {
    !matches!(scheme, Scheme::Bearer { .. } | Scheme::Basic { .. } | Scheme::ApiKey { .. })
}

/// Whether the time is.
fn signs_time(scheme: &Scheme) -> bool {
    match scheme {
        Scheme::StandardWebhooks { .. } | Scheme::Stripe { .. } | Scheme::Slack { .. } => true,
        Scheme::Hmac { timestamp_header, .. } => timestamp_header.is_some(),
        _ => false,
    }
}
