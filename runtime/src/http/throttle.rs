//! Keeps a flood of failures from becoming a flood in the log.

use std::sync::Mutex;
use std::sync::PoisonError;

use flowcell_core::time::Timestamp;

/// Lines a second: enough to see what is going on, few enough to be read.
const LINES_PER_S: u64 = 10;

/// Lets through so many a second, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    begun_s: u64,
    said: u64,
    silent: u64,
}

impl Throttle {
    /// Whether one more may be said now; and how many were not since the last one.
    pub(super) fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.as_millis() / 1000;
        if window.begun_s != second {
            (window.begun_s, window.said) = (second, 0);
        }
        if window.said == LINES_PER_S {
            window.silent += 1;
            return None;
        }
        window.said += 1;
        Some(std::mem::take(&mut window.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_instead_of_said() {
        let throttle = Throttle::default();
        let at = |ms| throttle.admit(Timestamp::from_millis(ms));
        let said = (0..100).filter(|ms| at(*ms).is_some()).count();
        assert_eq!(said, 10);
        assert_eq!((at(1_000), at(1_001)), (Some(90), Some(0)));
    }
}
