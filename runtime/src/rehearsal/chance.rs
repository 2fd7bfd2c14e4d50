//! Chance that is the same every time: a rehearsal prints the same ids, keys and waits whenever it is repeated.

use std::sync::Mutex;
use std::sync::PoisonError;

use flowcell_core::id::Digest;
use flowcell_core::ports::Entropy;

/// Hashes of a counter.
#[derive(Debug, Default)]
pub(super) struct SameChance {
    drawn: Mutex<u64>,
}

impl Entropy for SameChance {
    fn fill(&self, bytes: &mut [u8]) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(32) {
            *drawn += 1;
            let hash = Digest::of(&drawn.to_be_bytes());
            for (byte, random) in chunk.iter_mut().zip(hash.as_bytes()) {
                *byte = *random;
            }
        }
    }
}
