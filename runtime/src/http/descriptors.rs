//! File descriptors: each connection takes one, and where there are none left nobody is answered at all, not even with a refusal.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept back from connections: files of the store, connections that go out (`egress.idle_connections_max` and those in use), connections that are
/// being turned away.
const KEPT_BACK: usize = 512;

/// Raises the process's limit as far as it may, and returns how many connections fit, at most `wanted`.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = wanted.saturating_add(KEPT_BACK) as u64;
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let mut limit = current;
    if current.is_some_and(|current| current < raised)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok()
    {
        limit = Some(raised);
    }
    let Some(limit) = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)) else { return wanted };
    let fitting = fitting(limit, wanted);
    if fitting < wanted {
        tracing::warn!(
            descriptors = limit,
            wanted,
            connections = fitting,
            "the process may not open enough files for `http.connections_max`; raise its limit (`ulimit -n`, `LimitNOFILE=`)"
        );
    }
    fitting
}

/// Half of the descriptors, where keeping the usual number back would leave less than that.
fn fitting(descriptors: usize, wanted: usize) -> usize {
    let fitting = descriptors.saturating_sub(KEPT_BACK).max(descriptors / 2);
    NonZeroUsize::new(fitting.min(wanted)).map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for (descriptors, wanted, expected) in
            [(20_000, 4_096, 4_096), (4_096, 4_096, 3_584), (1_024, 4_096, 512), (256, 4_096, 128), (1, 10, 1)]
        {
            assert_eq!(fitting(descriptors, wanted), expected, "{descriptors}");
        }
    }

    #[test]
    fn what_fits_is_never_more_than_what_is_wanted() {
        assert_eq!(connections_max(1), 1);
    }
}
