//! The idempotency key of a step: the same for each of its attempts, on this instance, for ever.
//!
//! There is one per step, whatever number of requests its action sends. An action that sends several different requests to one API appends
//! a suffix of its own to each, always the same (`fc_…-1`, `fc_…-2`): under one key the API would take the second for the first.

use std::fmt;

use flowcell_core::id::{RunId, StepId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret of this installation, made once and kept beside its data.
#[derive(Clone)]
pub struct InstanceKey(Hmac<Sha256>);

impl InstanceKey {
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// `fc_` and 32 hexadecimal digits: HMAC-SHA-256 of the run's and the step's id, cut to 128 bits. The attempt's number is no part of it.
    pub fn idempotency_key(&self, run: RunId, step: &StepId) -> String {
        use fmt::Write as _;
        let mut mac = self.0.clone();
        mac.update(b"step\0");
        mac.update(&run.to_bytes()); // sixteen bytes always, so that no two pairs of ids read the same
        mac.update(step.as_str().as_bytes());
        let tag = mac.finalize().into_bytes();
        tag.iter().take(16).fold(String::from("fc_"), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Debug for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use flowcell_core::time::Timestamp;

    use super::*;

    #[test]
    fn a_key_is_fixed_by_instance_run_and_step() {
        let run = |n| RunId::from_parts(Timestamp::from_millis(1_764_000_000_000), n);
        let step = |id: &str| id.parse::<StepId>().expect("a step id");
        let key = InstanceKey::new(&[7; 32]);
        // Written down: a release that changes it would repeat effects at every receiver.
        assert_eq!(key.idempotency_key(run(1), &step("build")), "fc_3e3b3f8a0a90be03d1d8ccd5825b0bb3");
        let others = [
            key.idempotency_key(run(2), &step("build")),
            key.idempotency_key(run(1), &step("build2")),
            InstanceKey::new(&[8; 32]).idempotency_key(run(1), &step("build")),
        ];
        assert!(others.iter().all(|other| *other != key.idempotency_key(run(1), &step("build"))));
    }
}
