//! A signature of the body in a header, as many receivers of webhooks have it. While a secret is being replaced, the signatures of both stand in
//! the header, the current one first, with a comma between.

use async_trait::async_trait;
use data_encoding::{BASE64, HEXLOWER};
use flowcell_core::connection::{
    Additions, Authorizer, CredentialError, HmacAlgorithm, HmacSigning, Outgoing, SignatureEncoding,
};
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;

use super::Bound;
use crate::connections::document::SigningSecrets;

pub(super) struct Hmac {
    bound: Bound,
    signing: HmacSigning,
    secrets: SigningSecrets,
    headers: Vec<String>,
}

impl Hmac {
    pub(super) fn new(bound: Bound, signing: HmacSigning, secrets: SigningSecrets) -> Self {
        let names = std::iter::once(&signing.header).chain(&signing.timestamp_header);
        let headers = names.map(|name| name.to_ascii_lowercase()).collect();
        Self { bound, signing, secrets, headers }
    }

    fn signature(&self, secret: &Secret<String>, parts: &[&[u8]]) -> String {
        let algorithm = match self.signing.algorithm {
            HmacAlgorithm::Sha1 => ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            HmacAlgorithm::Sha256 => ring::hmac::HMAC_SHA256,
            HmacAlgorithm::Sha512 => ring::hmac::HMAC_SHA512,
        };
        let tag = sign(&ring::hmac::Key::new(algorithm, secret.expose().as_bytes()), parts);
        let encoded = match self.signing.encoding {
            SignatureEncoding::Hex => HEXLOWER.encode(tag.as_ref()),
            SignatureEncoding::Base64 => BASE64.encode(tag.as_ref()),
        };
        format!("{}{encoded}", self.signing.prefix)
    }
}

/// Of the parts, one after the other.
pub(super) fn sign(key: &ring::hmac::Key, parts: &[&[u8]]) -> ring::hmac::Tag {
    let mut context = ring::hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

#[async_trait]
impl Authorizer for Hmac {
    fn connection(&self) -> &ConnectionName {
        self.bound.name()
    }
    fn headers(&self) -> &[String] {
        &self.headers
    }
    fn query(&self) -> &[String] {
        &[]
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        self.bound.admits(request)
    }
    async fn authorize(&self, request: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        let seconds = (request.now.as_millis() / 1000).to_string();
        let mut additions = Additions::default();
        let mut parts: Vec<&[u8]> = Vec::new();
        if let Some(header) = &self.signing.timestamp_header {
            additions.public.push((header.to_ascii_lowercase(), seconds.clone()));
            parts.extend([seconds.as_bytes(), b"."]);
        }
        parts.push(request.body);
        let signatures: Vec<String> =
            self.secrets.valid_secrets(request.now).map(|secret| self.signature(secret, &parts)).collect();
        additions.headers.push((self.signing.header.to_ascii_lowercase(), Secret::new(signatures.join(","))));
        Ok(additions)
    }
    /// Another signature would be the same.
    async fn refused(&self) -> Result<bool, CredentialError> {
        Ok(false)
    }
    /// The secret itself never leaves.
    fn secrets(&self) -> Vec<Secret<String>> {
        Vec::new()
    }
}
