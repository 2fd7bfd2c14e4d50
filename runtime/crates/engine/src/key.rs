//! The idempotency key of a step: the same for each of its attempts, on this instance, for ever.
//!
//! There is one per step, whatever number of requests its action sends. An action that sends several different requests to one API appends
//! a suffix of its own to each, always the same (`fc_…-1`, `fc_…-2`): under one key the API would take the second for the first.

use std::fmt;

use flowcell_core::id::{RunId, StepRef};
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

    /// `fc_` and 32 hexadecimal digits: HMAC-SHA-256 of the run's id and the step's text, cut to 128 bits. The attempt's number is no part of it.
    pub fn idempotency_key(&self, run: RunId, step: &StepRef) -> String {
        let tag = self.mac(b"step\0", run, step).finalize().into_bytes();
        hex("fc_", tag.iter().take(16))
    }

    /// What opens the resume link of a wait: `rs_` and 64 hexadecimal digits. It is of use once, because a wait ends once.
    pub fn resume_token(&self, run: RunId, step: &StepRef) -> String {
        let tag = self.mac(b"resume\0", run, step).finalize().into_bytes();
        hex("rs_", tag.iter())
    }

    /// Whether `token` is the resume link's, in a time that does not depend on how much of it is right.
    pub fn opens(&self, run: RunId, step: &StepRef, token: &str) -> bool {
        let Some(digits) = token.strip_prefix("rs_").filter(|digits| digits.len() == 64) else { return false };
        let bytes =
            digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let Some(tag) = bytes.collect::<Option<Vec<u8>>>() else { return false };
        self.mac(b"resume\0", run, step).verify_slice(&tag).is_ok()
    }

    fn mac(&self, purpose: &[u8], run: RunId, step: &StepRef) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(purpose);
        mac.update(&run.to_bytes()); // sixteen bytes always, so that no two pairs of ids read the same
        mac.update(step.to_string().as_bytes());
        mac
    }
}

fn hex<'b>(prefix: &str, bytes: impl Iterator<Item = &'b u8>) -> String {
    use fmt::Write as _;
    bytes.fold(String::from(prefix), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
        let step = |id: &str| id.parse::<StepRef>().expect("a step id");
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

    #[test]
    fn a_resume_token_opens_one_wait_of_one_run_and_no_key_is_one() {
        let run = |n| RunId::from_parts(Timestamp::from_millis(1_764_000_000_000), n);
        let step = |id: &str| id.parse::<StepRef>().expect("a step id");
        let key = InstanceKey::new(&[7; 32]);
        let token = key.resume_token(run(1), &step("ask[2]"));
        assert!(key.opens(run(1), &step("ask[2]"), &token));
        for (run_id, place, token) in [
            (run(2), "ask[2]", token.as_str()),
            (run(1), "ask[1]", token.as_str()),
            (run(1), "ask", token.as_str()),
            (run(1), "ask[2]", &token[..token.len() - 1]),
            (run(1), "ask[2]", &token.replace("rs_", "")),
            (run(1), "ask[2]", &key.idempotency_key(run(1), &step("ask[2]"))),
            (run(1), "ask[2]", "rs_"),
            (run(1), "ask[2]", ""),
        ] {
            assert!(!key.opens(run_id, &step(place), token), "{place} {token}");
        }
        assert!(!InstanceKey::new(&[8; 32]).opens(run(1), &step("ask[2]"), &token));
    }
}
