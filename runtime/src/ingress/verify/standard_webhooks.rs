//! Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, and `webhook-signature` with one or more of `v1,<HMAC>` and `v1a,<Ed25519>`,
//! over `<id>.<timestamp>.<body>`. Svix, where it comes from, calls the same headers `svix-…`.

use data_encoding::{BASE64, BASE64_NOPAD};
use flowcell_core::connection::HmacAlgorithm::Sha256;
use http::HeaderMap;

use super::mac::{Key, is_code, matching};
use super::public_key::PublicKey;
use super::read::{Notation, SIGNATURES_MAX, header, malformed, seconds, signature};
use super::{Presented, Proof, Refusal, explain, in_time, proof_by};

struct Names {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

const STANDARD: Names = Names { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" };
const SVIX: Names = Names { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

/// Of which family a request is: nothing of the other one is read.
fn names(headers: &HeaderMap) -> Names {
    if !headers.contains_key(STANDARD.signature) && headers.contains_key(SVIX.signature) { SVIX } else { STANDARD }
}

/// The id that the signature of a verified request covers.
pub(super) fn signed_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(names(headers).id).and_then(|id| id.to_str().ok())
}

pub(super) fn check(request: &Presented<'_>, keys: &[Key], public_keys: &[PublicKey]) -> Result<Proof, Refusal> {
    let names = names(request.headers);
    let given = Given::read(names.signature, header(request, names.signature)?)?;
    let id = header(request, names.id)?;
    let at = header(request, names.timestamp)?;
    let signed_at = seconds(names.timestamp, at)?;
    // A dot in the id would let the same bytes be read as another id and time.
    if id.contains('.') {
        return Err(malformed(names.id, "it has a dot in it"));
    }
    let whole = message((id, at), request.body);
    if let Some(index) = matching(keys, Sha256, &whole, &given.codes) {
        return in_time(request, signed_at, proof_by(index));
    }
    let whole = whole.concat();
    if public_keys.iter().any(|key| given.signatures.iter().any(|signature| key.verifies(&whole, signature))) {
        return in_time(request, signed_at, Proof::PublicKey);
    }
    Err(explain::no_match(request, keys, |key, body| is_code(key, Sha256, &message((id, at), body), &given.codes)))
}

fn message<'a>((id, at): (&'a str, &'a str), body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", at.as_bytes(), b".", body]
}

/// What stands in the header.
#[derive(Default)]
struct Given {
    /// `v1`
    codes: Vec<Vec<u8>>,
    /// `v1a`
    signatures: Vec<Vec<u8>>,
}

impl Given {
    fn read(name: &str, text: &str) -> Result<Self, Refusal> {
        let mut given = Self::default();
        for part in text.split(' ') {
            match part.split_once(',') {
                Some(("v1", base64)) => given.codes.push(signature(name, base64, Notation::Base64)?),
                Some(("v1a", base64)) => given.signatures.push(signature(name, base64, Notation::Base64)?),
                // Versions to come are not ours to judge.
                Some(_) => {}
                None => return Err(malformed(name, "its parts are not of the form `version,signature`")),
            }
        }
        match given.codes.len() + given.signatures.len() {
            1..=SIGNATURES_MAX => Ok(given),
            count => Err(malformed(name, format!("it has {count} signatures of the versions v1 and v1a"))),
        }
    }
}

/// The bytes that a secret `whsec_<base64>` stands for.
pub(super) fn key(secret: &[u8]) -> Result<Key, Refusal> {
    let bare = secret.strip_prefix(b"whsec_").unwrap_or(secret);
    let bytes = BASE64
        .decode(bare)
        .or_else(|_| BASE64_NOPAD.decode(bare))
        .map_err(|_| Refusal::UnusableSecret { problem: "it is not of the form whsec_<base64>".to_owned() })?;
    Ok(Key::new(bytes))
}

pub(super) fn public_keys(text: Option<&str>) -> Result<Vec<PublicKey>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let base64 = text.strip_prefix("whpk_").ok_or("it does not begin with `whpk_`")?;
    Ok(vec![PublicKey::ed25519_from_base64(base64)?])
}
