//! Shopify: `X-Shopify-Hmac-Sha256: <base64>`, over the body. It signs no time.

use flowcell_core::connection::HmacAlgorithm::Sha256;

use super::mac::{Key, is_code, matching};
use super::read::{Notation, header, signature};
use super::{Presented, Proof, Refusal, explain, proof_by};

const SIGNATURE: &str = "x-shopify-hmac-sha256";

pub(super) fn check(request: &Presented<'_>, keys: &[Key]) -> Result<Proof, Refusal> {
    let given = [signature(SIGNATURE, header(request, SIGNATURE)?, Notation::Base64)?];
    match matching(keys, Sha256, &[request.body], &given) {
        Some(index) => Ok(proof_by(index)),
        None => Err(explain::no_match(request, keys, |key, body| is_code(key, Sha256, &[body], &given))),
    }
}
