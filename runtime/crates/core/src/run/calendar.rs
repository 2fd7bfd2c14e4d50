//! When a run may go on: what the walk asks about windows and pauses.

use crate::time::Timestamp;
use crate::workflow::settings::{Pause, Window};

/// The hours and days in which steps may start.
pub trait Calendar: Send + Sync {
    /// The first moment from `now` on that lies in `window` (absent: any time of day) and on none of the `paused` days. `timezone` (IANA, UTC
    /// when absent) is the window's unless it says otherwise. `None`: there is none, or the zone is unknown.
    fn opens(
        &self,
        window: Option<&Window>,
        paused: &[Pause],
        timezone: Option<&str>,
        now: Timestamp,
    ) -> Option<Timestamp>;
}

/// No window is ever closed.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysOpen;

impl Calendar for AlwaysOpen {
    fn opens(&self, _: Option<&Window>, _: &[Pause], _: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        Some(now)
    }
}
