//! GitHub: `X-Hub-Signature-256: sha256=<hex>`, over the body. It signs no time, so a repeated request is recognised by its delivery id alone.

use flowcell_core::connection::HmacAlgorithm::Sha256;

use super::mac::{Key, is_code, matching};
use super::read::{Notation, header, malformed, signature};
use super::{Presented, Proof, Refusal, explain, proof_by};

const SIGNATURE: &str = "x-hub-signature-256";

pub(super) fn check(request: &Presented<'_>, keys: &[Key]) -> Result<Proof, Refusal> {
    let text = header(request, SIGNATURE)?;
    let hex = text.strip_prefix("sha256=").ok_or_else(|| malformed(SIGNATURE, "it does not begin with `sha256=`"))?;
    let given = [signature(SIGNATURE, hex, Notation::HexLower)?];
    match matching(keys, Sha256, &[request.body], &given) {
        Some(index) => Ok(proof_by(index)),
        None => Err(explain::no_match(request, keys, |key, body| is_code(key, Sha256, &[body], &given))),
    }
}
