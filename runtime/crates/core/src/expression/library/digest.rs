//! Hashes and signatures of texts. Keys that are secret belong to a connection, not into an expression.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Digest;

use super::call::{Call, Refusal};
use super::{Filter, Outcome, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("sha256", &["encoding"], |call| digest(call, |text| sha2::Sha256::digest(text).to_vec())),
    filter("sha512", &["encoding"], |call| digest(call, |text| sha2::Sha512::digest(text).to_vec())),
    filter("sha1", &["encoding"], |call| digest(call, |text| sha1::Sha1::digest(text).to_vec())),
    filter("md5", &["encoding"], |call| digest(call, |text| md5::Md5::digest(text).to_vec())),
    filter("hmac_sha256", &["key", "encoding"], |call| sign(call, signature::<Hmac<sha2::Sha256>>)),
    filter("hmac_sha512", &["key", "encoding"], |call| sign(call, signature::<Hmac<sha2::Sha512>>)),
    filter("hmac_sha1", &["key", "encoding"], |call| sign(call, signature::<Hmac<sha1::Sha1>>)),
];

fn digest(call: &mut Call<'_, '_, '_>, digest: impl Fn(&[u8]) -> Vec<u8>) -> Outcome {
    let text = call.text()?;
    // A hash reads 64 bytes in about 200 ns.
    call.pay(text.len() / 32)?;
    encoded(call, 0, &digest(text.as_bytes()))
}

fn sign(call: &mut Call<'_, '_, '_>, sign: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>) -> Outcome {
    let (text, key) = (call.text()?, call.needed_text(0)?);
    call.pay((text.len() + key.len()) / 32)?;
    let signature = sign(key.as_bytes(), text.as_bytes()).ok_or_else(|| call.says("cannot use the key"))?;
    encoded(call, 1, &signature)
}

fn signature<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().to_vec())
}

fn encoded(call: &Call<'_, '_, '_>, argument: usize, bytes: &[u8]) -> Result<minijinja::Value, Refusal> {
    let text = match call.choice(argument, &["hex", "base64", "base64url"])? {
        "base64" => BASE64.encode(bytes),
        "base64url" => BASE64URL_NOPAD.encode(bytes),
        _ => HEXLOWER.encode(bytes),
    };
    call.text_done(text)
}
