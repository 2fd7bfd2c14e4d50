//! Randomness that is the same each time.

use std::sync::atomic::{AtomicU64, Ordering};

use flowcell_core::ports::Entropy;

/// Numbers from a seed (SplitMix64 by Steele, Lea and Flood), or one byte for ever.
#[derive(Debug)]
pub struct SeededEntropy(Source);

#[derive(Debug)]
enum Source {
    Seed(AtomicU64),
    Always(u8),
}

impl SeededEntropy {
    pub fn new(seed: u64) -> Self {
        Self(Source::Seed(AtomicU64::new(seed)))
    }

    /// Every byte is `byte`: with 255 each draw is the greatest, with 0 the least.
    pub fn always(byte: u8) -> Self {
        Self(Source::Always(byte))
    }

    /// A number from 0 to `end` - 1.
    pub fn below(&self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn next(&self) -> u64 {
        match &self.0 {
            Source::Always(byte) => u64::from_ne_bytes([*byte; 8]),
            Source::Seed(state) => {
                let mixed =
                    state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            }
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(self.next().to_be_bytes()) {
                *byte = random;
            }
        }
    }
}
