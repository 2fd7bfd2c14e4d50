//! Randomness from the operating system, and the ids that are made of it.

use flowcell_core::ports::Entropy;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives randomness once it has booted");
    }
}

/// Draws `N` random bytes.
pub(crate) fn random_bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// Draws the random half of an id.
pub(crate) fn id_bits(entropy: &dyn Entropy) -> u128 {
    u128::from_be_bytes(random_bytes::<16>(entropy))
}
