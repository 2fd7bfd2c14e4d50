//! What a write makes of what is there: the one place that knows versions, expectations and sums. Stores call it inside their transaction, dry runs on
//! what they have in memory.

use serde_json::Value;

use super::{Entry, Expected, Request};
use crate::host_call::HostError;
use crate::time::Timestamp;

/// When a write happens, and the version that it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub now: Timestamp,
    /// Higher than every version that was given before in the plugin's namespaces.
    pub version: u64,
}

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What is there afterwards; absent: nothing is.
    pub entry: Option<Entry>,
    pub answer: Value,
}

/// Decides a writing request on one key. `current` may have expired; then it is not there. `None` for a request that writes nothing.
pub fn change(request: &Request, current: Option<&Entry>, at: At) -> Option<Result<Change, HostError>> {
    let current = current.filter(|entry| entry.is_there(at.now));
    let until = |ttl_ms: Option<u64>| ttl_ms.map(|ttl| Timestamp::from_millis(at.now.as_millis().saturating_add(ttl)));
    Some(match request {
        Request::Set { key, value, ttl_ms, expected, .. } => hold_against(key, current, *expected).map(|()| Change {
            entry: Some(Entry { value: value.clone(), version: at.version, expires_at: until(*ttl_ms) }),
            answer: at.version.into(),
        }),
        Request::Delete { key, expected, .. } => {
            hold_against(key, current, *expected).map(|()| Change { entry: None, answer: current.is_some().into() })
        }
        Request::Add { key, delta, ttl_ms, .. } => sum(key, current, *delta).map(|sum| {
            let expires_at = until(*ttl_ms).or_else(|| current.and_then(|entry| entry.expires_at));
            Change { entry: Some(Entry { value: sum.into(), version: at.version, expires_at }), answer: sum.into() }
        }),
        Request::Get { .. } | Request::Keys { .. } => return None,
    })
}

fn hold_against(key: &str, current: Option<&Entry>, expected: Expected) -> Result<(), HostError> {
    let there = current.map(|entry| entry.version);
    let problem = match (expected, there) {
        (Expected::Anything, _) | (Expected::Absent, None) => return Ok(()),
        (Expected::Version(version), Some(there)) if version == there => return Ok(()),
        (Expected::Absent, Some(there)) => format!("`{key}` was to be absent, and has version {there}"),
        (Expected::Version(version), Some(there)) => {
            format!("`{key}` was to have version {version}, and has version {there}")
        }
        (Expected::Version(version), None) => format!("`{key}` was to have version {version}, and is not there"),
    };
    let details = there.map(|version| serde_json::json!({ "version": version }));
    Err(HostError { details, ..HostError::conflict(format!("{problem}: somebody else wrote; read it again")) })
}

fn sum(key: &str, current: Option<&Entry>, delta: i64) -> Result<i64, HostError> {
    let before = match current {
        None => 0,
        Some(entry) => entry.value.as_i64().ok_or_else(|| {
            HostError::conflict(format!(
                "what is stored under `{key}` is no whole number, so nothing can be added to it"
            ))
        })?,
    };
    before
        .checked_add(delta)
        .ok_or_else(|| HostError::conflict(format!("{before} and {delta} make a number that does not fit 64 bits")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Namespace;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn entry(value: Value, expires_at: Option<u64>) -> Entry {
        Entry { value, version: 4, expires_at: expires_at.map(Timestamp::from_millis) }
    }

    fn decide(request: &Request, current: Option<&Entry>) -> Result<Change, String> {
        let at = At { now: NOW, version: 9 };
        change(request, current, at).expect("a write").map_err(|error| format!("{}: {}", error.code, error.message))
    }

    fn set(expected: Expected, ttl_ms: Option<u64>) -> Request {
        Request::Set { namespace: Namespace::Plugin, key: "k".into(), value: json!("new"), ttl_ms, expected }
    }

    fn add(delta: i64) -> Request {
        Request::Add { namespace: Namespace::Plugin, key: "k".into(), delta, ttl_ms: None }
    }

    #[test]
    fn a_write_is_held_against_what_was_expected() {
        let (there, gone) = (entry(json!(1), None), entry(json!(1), Some(1_000)));
        for (expected, current, good) in [
            (Expected::Anything, None, true),
            (Expected::Anything, Some(&there), true),
            (Expected::Absent, None, true),
            (Expected::Absent, Some(&gone), true),
            (Expected::Absent, Some(&there), false),
            (Expected::Version(4), Some(&there), true),
            (Expected::Version(3), Some(&there), false),
            (Expected::Version(4), Some(&gone), false),
            (Expected::Version(4), None, false),
        ] {
            let decided = decide(&set(expected, None), current);
            assert_eq!(decided.is_ok(), good, "{expected:?} {current:?}");
            if let Err(problem) = decided {
                assert!(problem.starts_with("conflict: `k` was to "), "{problem}");
            }
            let delete = Request::Delete { namespace: Namespace::Plugin, key: "k".into(), expected };
            assert_eq!(decide(&delete, current).is_ok(), good);
        }
    }

    #[test]
    fn a_value_has_a_new_version_and_ends_when_it_was_said() {
        let change = decide(&set(Expected::Anything, Some(500)), None).expect("written");
        let entry = change.entry.expect("there");
        assert_eq!(
            (entry.version, entry.expires_at, change.answer),
            (9, Some(Timestamp::from_millis(1_500)), json!(9))
        );
        assert!(entry.is_there(Timestamp::from_millis(1_499)) && !entry.is_there(Timestamp::from_millis(1_500)));
    }

    #[test]
    fn sums_start_at_zero_keep_their_end_and_are_numbers() {
        assert_eq!(decide(&add(3), None).expect("summed").answer, json!(3));
        let change = decide(&add(-5), Some(&entry(json!(2), Some(2_000)))).expect("summed");
        assert_eq!(
            (change.answer, change.entry.and_then(|entry| entry.expires_at)),
            (json!(-3), Some(Timestamp::from_millis(2_000)))
        );
        assert_eq!(decide(&add(1), Some(&entry(json!(7), Some(900)))).expect("it had expired").answer, json!(1));
        for (value, part) in
            [(json!("x"), "no whole number"), (json!(1.5), "no whole number"), (json!(i64::MAX), "does not fit")]
        {
            let problem = decide(&add(1), Some(&entry(value, None))).expect_err("no sum");
            assert!(problem.contains(part), "{problem}");
        }
    }
}
