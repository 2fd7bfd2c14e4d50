//! Slack: `X-Slack-Signature: v0=<hex>` over `v0:<X-Slack-Request-Timestamp>:<body>`.

use flowcell_core::connection::HmacAlgorithm::Sha256;
use serde::Deserialize;

use super::mac::{Key, is_code, matching};
use super::read::{Notation, header, malformed, seconds, signature};
use super::{Presented, Proof, Refusal, explain, in_time, proof_by};

const SIGNATURE: &str = "x-slack-signature";
const TIMESTAMP: &str = "x-slack-request-timestamp";

/// The largest body that may be a challenge; real ones have some 150 bytes.
const CHALLENGE_BYTES_MAX: usize = 4 * 1024;

pub(super) fn check(request: &Presented<'_>, keys: &[Key]) -> Result<Proof, Refusal> {
    let text = header(request, SIGNATURE)?;
    let hex = text.strip_prefix("v0=").ok_or_else(|| malformed(SIGNATURE, "it does not begin with `v0=`"))?;
    let given = [signature(SIGNATURE, hex, Notation::HexLower)?];
    let at = header(request, TIMESTAMP)?;
    let signed_at = seconds(TIMESTAMP, at)?;
    match matching(keys, Sha256, &message(at, request.body), &given) {
        Some(index) => in_time(request, signed_at, proof_by(index)),
        None => Err(explain::no_match(request, keys, |key, body| is_code(key, Sha256, &message(at, body), &given))),
    }
}

fn message<'a>(at: &'a str, body: &'a [u8]) -> [&'a [u8]; 4] {
    [b"v0:", at.as_bytes(), b":", body]
}

/// What Slack wants to hear when the URL is entered in its settings (`url_verification`). Only asked about a verified request.
pub(super) fn challenge(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Challenge {
        #[serde(rename = "type")]
        kind: String,
        challenge: String,
    }
    if body.len() > CHALLENGE_BYTES_MAX || !body.windows(16).any(|part| part == b"url_verification") {
        return None;
    }
    let Challenge { kind, challenge } = serde_json::from_slice(body).ok()?;
    (kind == "url_verification").then_some(challenge)
}
