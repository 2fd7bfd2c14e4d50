//! Time and chance as one call sees them: a clock that moves on only while the call waits for the host, and random numbers from a seed. Both can
//! be given again, so that a replay sees what the call saw; neither tells a guest how fast the machine is.
//!
//! The rule of the clock: it starts at the beginning of the call, to the millisecond. An exchange or a sleep moves it on by its duration. Each
//! reading moves it on by [`READING_NS`], so that two readings differ and a guest that polls the clock gets on. Nothing else moves it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use flowcell_core::id::RunId;
use flowcell_core::record::Seed;
use flowcell_core::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What one reading of the clock takes. 1 µs: more than it costs, so that waiting in a loop ends sooner than it would.
const READING_NS: u64 = 1_000;

/// The clock of one call.
#[derive(Debug)]
pub(crate) struct GuestClock {
    began_at: Timestamp,
    passed_ns: AtomicU64,
}

impl GuestClock {
    pub(crate) fn new(began_at: Timestamp) -> Self {
        Self { began_at, passed_ns: AtomicU64::new(0) }
    }

    pub(crate) fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// Reads it: the time since 1970.
    pub(crate) fn read(&self) -> Duration {
        let passed = self.passed_ns.fetch_add(READING_NS, Relaxed);
        Duration::from_millis(self.began_at.as_millis()).saturating_add(Duration::from_nanos(passed))
    }

    /// What has passed since the call began; asking takes no time.
    pub(crate) fn passed(&self) -> Duration {
        Duration::from_nanos(self.passed_ns.load(Relaxed))
    }

    /// Lets time pass up to `passed`; it never goes back. Waits that overlap do not add up.
    pub(crate) fn advance_to(&self, passed: Duration) {
        self.passed_ns.fetch_max(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// What the seeds of this instance derive from. Whoever has it can compute what guests drew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SeedKey([u8; 32]);

impl SeedKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The seed of one attempt (a KDF in counter mode with one block, NIST SP 800-108): the same whenever it is asked for, another for every other
    /// attempt, and without the key no guest can compute its own or another's.
    pub(crate) fn derive(&self, run: RunId, step: &str, attempt: u32, idempotency_key: &str) -> Seed {
        let mut mac = mac(&self.0);
        mac.update(b"flowcell guest randomness 1\0");
        mac.update(&run.to_bytes());
        mac.update(&attempt.to_be_bytes());
        // In a loop the same step happens many times; its key is another each time.
        for part in [step, idempotency_key] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Seed::from_bytes(mac.finalize().into_bytes().into())
    }
}

impl std::fmt::Debug for SeedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeedKey(…)")
    }
}

/// A stream of random bytes from a seed: HMAC-SHA-256 over a label and a counter, block by block.
pub(crate) struct GuestRandom {
    keyed: Hmac<Sha256>,
    label: u8,
    blocks: u64,
    block: [u8; 32],
    used: usize,
}

impl GuestRandom {
    /// `label` keeps apart the streams that one seed feeds.
    pub(crate) fn new(seed: &Seed, label: u8) -> Self {
        Self { keyed: mac(seed.as_bytes()), label, blocks: 0, block: [0; 32], used: 32 }
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                let mut mac = self.keyed.clone();
                mac.update(&[self.label]);
                mac.update(&self.blocks.to_be_bytes());
                self.block = mac.finalize().into_bytes().into();
                (self.blocks, self.used) = (self.blocks + 1, 0);
            }
            *byte = self.block.get(self.used).copied().unwrap_or_default();
            self.used += 1;
        }
    }
}

fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_with_waits_and_readings_and_never_back() {
        let clock = GuestClock::new(Timestamp::from_millis(1_000));
        let micros = || clock.read().as_micros();
        assert_eq!([micros(), micros()], [1_000_000, 1_000_001]);
        clock.advance_to(Duration::from_millis(5));
        clock.advance_to(Duration::from_millis(3));
        assert_eq!(micros(), 1_005_000);
        clock.advance_to(Duration::from_secs(u64::MAX));
        assert!(micros() > 1_000_000_000);
    }

    #[test]
    fn every_attempt_has_its_own_seed_and_every_stream_its_own_bytes() {
        let key = SeedKey::from_bytes([7; 32]);
        let run = RunId::from_bytes([1; 16]);
        let seed = |attempt, step, idempotency| key.derive(run, step, attempt, idempotency);
        let first = seed(1, "send", "k");
        assert_eq!(first, seed(1, "send", "k"));
        for other in [
            seed(2, "send", "k"),
            seed(1, "sendk", ""),
            seed(1, "send", "l"),
            SeedKey::from_bytes([8; 32]).derive(run, "send", 1, "k"),
            key.derive(RunId::from_bytes([2; 16]), "send", 1, "k"),
        ] {
            assert_ne!(first, other);
        }
        let drawn = |label, pieces: &[usize]| {
            let (mut random, mut all) = (GuestRandom::new(&first, label), Vec::new());
            for piece in pieces {
                let mut bytes = vec![0; *piece];
                random.fill(&mut bytes);
                all.extend(bytes);
            }
            all
        };
        assert_eq!(drawn(0, &[100]), drawn(0, &[1, 31, 33, 35]), "the pieces do not matter");
        assert_ne!(drawn(0, &[100]), drawn(1, &[100]));
        assert!(drawn(0, &[100]).iter().any(|byte| *byte != 0));
    }
}
