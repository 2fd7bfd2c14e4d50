//! Any other HMAC in a header, as the trigger describes it.

use flowcell_core::connection::{HmacSigning, SignatureEncoding};

use super::mac::{Key, is_code, matching};
use super::read::{Notation, header, malformed, seconds, signature};
use super::{Presented, Proof, Refusal, explain, in_time, proof_by};

pub(super) fn check(request: &Presented<'_>, keys: &[Key], signing: &HmacSigning) -> Result<Proof, Refusal> {
    let HmacSigning { header: name, algorithm, encoding, prefix, timestamp_header } = signing;
    let text = header(request, name)?;
    let text = text
        .strip_prefix(prefix.as_str())
        .ok_or_else(|| malformed(name, format!("it does not begin with `{prefix}`")))?;
    let notation = match encoding {
        SignatureEncoding::Hex => Notation::Hex,
        SignatureEncoding::Base64 => Notation::Base64,
    };
    let given = [signature(name, text, notation)?];
    let at = match timestamp_header {
        Some(header_name) => {
            let at = header(request, header_name)?;
            Some((at, seconds(header_name, at)?))
        }
        None => None,
    };
    let fits = |key: &[u8], body: &[u8]| is_code(key, *algorithm, &message(at, body), &given);
    match (matching(keys, *algorithm, &message(at, request.body), &given), at) {
        (Some(index), Some((_, signed_at))) => in_time(request, signed_at, proof_by(index)),
        (Some(index), None) => Ok(proof_by(index)),
        (None, _) => Err(explain::no_match(request, keys, fits)),
    }
}

fn message<'a>(at: Option<(&'a str, u64)>, body: &'a [u8]) -> Vec<&'a [u8]> {
    match at {
        Some((at, _)) => vec![at.as_bytes(), b".", body],
        None => vec![body],
    }
}
