//! Secrets that open something: the administrator's token, and the tokens in trigger URLs. Only their SHA-256 is kept or compared.

use data_encoding::{BASE32_NOPAD, Encoding};
use flowcell_core::id::{Digest, WorkflowId, WorkspaceId};
use flowcell_core::ports::Entropy;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::entropy::random_bytes;

/// What an administrator's token begins with, so that people and secret scanners recognise one.
pub(crate) const ADMIN_PREFIX: &str = "fcat_";

/// The secret of one installation, from which every derived token and key comes.
#[derive(Clone)]
pub(crate) struct InstanceKey([u8; 32]);

impl InstanceKey {
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        Self(random_bytes(entropy))
    }
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives a key for one purpose; keys of different purposes tell nothing about each other.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = self.mac();
        mac.update(b"flowcell/key\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The token of a trigger's URL: 160 bits in base32. `generation` counts its rotations.
    pub(crate) fn hook_token(
        &self,
        workspace: &WorkspaceId,
        workflow: &WorkflowId,
        trigger: &str,
        generation: u32,
    ) -> String {
        let mut mac = self.mac();
        mac.update(b"flowcell/hook\0");
        // None of the names contains a zero byte, so no two combinations read alike.
        for part in [workspace.as_str(), workflow.as_str(), trigger] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac.update(&generation.to_be_bytes());
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let (token, _) = full.split_at(20);
        lower_base32().encode(token)
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length")
    }
}

impl std::fmt::Debug for InstanceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InstanceKey(…)")
    }
}

/// Makes an administrator's token: the prefix and 256 random bits.
pub(crate) fn generate_admin_token(entropy: &dyn Entropy) -> String {
    format!("{ADMIN_PREFIX}{}", lower_base32().encode(&random_bytes::<32>(entropy)))
}

/// The SHA-256 of a token: what is stored and compared.
#[derive(Clone, Copy)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(*Digest::of(token.as_bytes()).as_bytes())
    }
    pub(crate) fn bytes(self) -> [u8; 32] {
        self.0
    }
    /// Compares in constant time.
    pub(crate) fn matches(self, token: &str) -> bool {
        bool::from(self.0.ct_eq(&Self::of(token).0))
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// RFC 4648 base32 in lower case without padding: no character needs escaping in a URL or is mistaken for another case.
pub(crate) fn lower_base32() -> Encoding {
    let mut spec = BASE32_NOPAD.specification();
    spec.symbols.make_ascii_lowercase();
    spec.encoding().expect("lower-casing keeps the symbols distinct")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    fn workflow(id: &str) -> WorkflowId {
        id.parse().expect("a workflow id")
    }

    #[test]
    fn hook_tokens_are_stable_and_differ_by_every_part() {
        let key = InstanceKey::from_bytes([7; 32]);
        let workspace = WorkspaceId::default_workspace();
        let token = key.hook_token(&workspace, &workflow("a"), "trigger", 1);
        assert_eq!(token.len(), 32, "160 bits in base32");
        assert!(token.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert_eq!(token, key.hook_token(&workspace, &workflow("a"), "trigger", 1));
        for other in [
            key.hook_token(&workspace, &workflow("b"), "trigger", 1),
            key.hook_token(&workspace, &workflow("a"), "other", 1),
            key.hook_token(&workspace, &workflow("a"), "trigger", 2),
            InstanceKey::from_bytes([8; 32]).hook_token(&workspace, &workflow("a"), "trigger", 1),
        ] {
            assert_ne!(token, other);
        }
    }

    #[test]
    fn admin_tokens_are_recognisable_and_compared_by_hash() {
        let token = generate_admin_token(&SystemEntropy);
        assert!(token.starts_with(ADMIN_PREFIX) && token.len() == ADMIN_PREFIX.len() + 52);
        let hash = TokenHash::of(&token);
        assert!(hash.matches(&token));
        assert!(!hash.matches(&generate_admin_token(&SystemEntropy)) && !hash.matches(""));
    }

    #[test]
    fn keys_of_different_purposes_differ_and_nothing_prints_them() {
        let key = InstanceKey::from_bytes([7; 32]);
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_eq!(format!("{key:?} {:?}", TokenHash::of("x")), "InstanceKey(…) TokenHash(…)");
    }
}
