//! Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=…]`, over `<seconds>.<body>`. Other versions in it count for nothing.

use flowcell_core::connection::HmacAlgorithm::Sha256;

use super::mac::{Key, is_code, matching};
use super::read::{Notation, SIGNATURES_MAX, header, malformed, seconds, signature};
use super::{Presented, Proof, Refusal, explain, in_time, proof_by};

const SIGNATURE: &str = "stripe-signature";

pub(super) fn check(request: &Presented<'_>, keys: &[Key]) -> Result<Proof, Refusal> {
    let (mut at, mut given) = (None, Vec::new());
    for part in header(request, SIGNATURE)?.split(',') {
        match part.split_once('=') {
            Some(("t", _)) if at.is_some() => return Err(malformed(SIGNATURE, "it has two times (`t`)")),
            Some(("t", text)) => at = Some(text),
            Some(("v1", hex)) => given.push(signature(SIGNATURE, hex, Notation::HexLower)?),
            Some(_) => {}
            None => return Err(malformed(SIGNATURE, "its parts are not of the form `name=value`")),
        }
    }
    let at = at.ok_or_else(|| malformed(SIGNATURE, "it has no time (`t`)"))?;
    if given.is_empty() || given.len() > SIGNATURES_MAX {
        return Err(malformed(SIGNATURE, format!("it has {} signatures of version 1 (`v1`)", given.len())));
    }
    let signed_at = seconds(SIGNATURE, at)?;
    match matching(keys, Sha256, &message(at, request.body), &given) {
        Some(index) => in_time(request, signed_at, proof_by(index)),
        None => Err(explain::no_match(request, keys, |key, body| is_code(key, Sha256, &message(at, body), &given))),
    }
}

fn message<'a>(at: &'a str, body: &'a [u8]) -> [&'a [u8]; 3] {
    [at.as_bytes(), b".", body]
}
