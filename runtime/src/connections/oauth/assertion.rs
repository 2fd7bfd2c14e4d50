//! The signed claim by which a Google service account asks for a token (RFC 7523 §2.1, RFC 7515 with RS256).

use data_encoding::{BASE64, BASE64URL_NOPAD};
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

/// Google takes no more than an hour.
const LIFETIME_S: u64 = 3_600;

pub(super) struct Claims<'c> {
    pub(super) issuer: &'c str,
    pub(super) audience: &'c Url,
    pub(super) scopes: &'c [String],
    pub(super) now: Timestamp,
}

/// The assertion, or why this key cannot sign one.
pub(super) fn signed(claims: &Claims<'_>, private_key: &Secret<String>) -> Result<Secret<String>, String> {
    let key = read(private_key)?;
    let issued_at = claims.now.as_millis() / 1_000;
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    let body = json!({
        "iss": claims.issuer,
        "scope": claims.scopes.join(" "),
        "aud": claims.audience,
        "iat": issued_at,
        "exp": issued_at + LIFETIME_S,
    });
    let encode = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let message = format!("{}.{}", encode(&header), encode(&body));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .map_err(|_| "its private key cannot sign".to_owned())?;
    Ok(Secret::new(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))))
}

/// A PKCS #8 key in PEM, as Google's key files have it.
fn read(pem: &Secret<String>) -> Result<RsaKeyPair, String> {
    let encoded: Zeroizing<String> =
        Zeroizing::new(pem.expose().lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect());
    let der = BASE64.decode(encoded.as_bytes()).map(Zeroizing::new);
    let der = der.map_err(|_| "its private key is no PEM".to_owned())?;
    RsaKeyPair::from_pkcs8(&der).map_err(|error| format!("its private key is no RSA key of PKCS #8: {error}"))
}
