//! Shopify: `X-Shopify-Hmac-Sha256: <base64>`, or `Shopify-Hmac-Sha256` on its newer events, over the body. It signs no time.

use flowcell_core::connection::HmacAlgorithm::Sha256;

use super::mac::{Key, is_code, matching};
use super::read::{Notation, header, signature};
use super::{Presented, Proof, Refusal, explain, proof_by};

const SIGNATURE: &str = "x-shopify-hmac-sha256";
const OF_EVENTS: &str = "shopify-hmac-sha256";

pub(super) fn check(request: &Presented<'_>, keys: &[Key]) -> Result<Proof, Refusal> {
    let is_event = !request.headers.contains_key(SIGNATURE) && request.headers.contains_key(OF_EVENTS);
    let name = if is_event { OF_EVENTS } else { SIGNATURE };
    let given = [signature(name, header(request, name)?, Notation::Base64)?];
    match matching(keys, Sha256, &[request.body], &given) {
        Some(index) => Ok(proof_by(index)),
        None => Err(explain::no_match(request, keys, |key, body| is_code(key, Sha256, &[body], &given))),
    }
}
