//! Values and counters.

use std::time::Duration;

use flowcell_sdk::key_value::{Expected, Write};
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::Value;

use crate::Scope;

#[derive(Input)]
pub(crate) struct Named {
    /// What it was stored under.
    key: String,
    #[serde(default)]
    scope: Scope,
    /// What is given when nothing is there.
    #[serde(default)]
    default: Value,
}

#[derive(Output)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(crate) struct Found {
    /// Whether something is there.
    found: bool,
    value: Value,
    /// For `expected_version`; 0 when nothing is there.
    version: u64,
}

pub(crate) fn get(_: &Context, input: Named) -> Result<Found, ActionError> {
    Ok(match input.scope.namespace().get::<Value>(&named(&input.key)?)? {
        Some(entry) => Found { found: true, value: entry.value, version: entry.version },
        None => Found { found: false, value: input.default, version: 0 },
    })
}

#[derive(Input)]
pub(crate) struct Stored {
    /// What it is stored under.
    key: String,
    value: Value,
    #[serde(default)]
    scope: Scope,
    /// It is gone after so many seconds; none: when it is deleted.
    #[input(minimum = 1)]
    expires_after_seconds: Option<u64>,
    /// Only when it still has this version (`get-value` gives it); 0: only when nothing is there.
    expected_version: Option<u64>,
}

#[derive(Output)]
pub(crate) struct Written {
    version: u64,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn set(_: &Context, input: Stored) -> Result<Written, ActionError> {
    let expected = match input.expected_version {
        None => Expected::Anything,
        Some(0) => Expected::Absent,
        Some(version) => Expected::Version(version),
    };
    let write = Write { ttl: input.expires_after_seconds.map(Duration::from_secs), expected };
    Ok(Written { version: input.scope.namespace().set(&named(&input.key)?, &input.value, write)? })
}

#[derive(Input)]
pub(crate) struct Removed {
    key: String,
    #[serde(default)]
    scope: Scope,
}

#[derive(Output)]
pub(crate) struct Deleted {
    /// Whether something was there.
    deleted: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn delete(_: &Context, input: Removed) -> Result<Deleted, ActionError> {
    Ok(Deleted { deleted: input.scope.namespace().delete(&named(&input.key)?, Expected::Anything)? })
}

#[derive(Input)]
pub(crate) struct Count {
    /// The counter's name.
    key: String,
    #[serde(default)]
    scope: Scope,
    /// What is added; a negative number takes away, 0 only looks.
    #[input(default = 1)]
    by: i64,
    /// It begins again so many seconds after its last change.
    #[input(minimum = 1)]
    expires_after_seconds: Option<u64>,
}

#[derive(Output)]
pub(crate) struct Counted {
    value: i64,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn count(_: &Context, input: Count) -> Result<Counted, ActionError> {
    let ttl = input.expires_after_seconds.map(Duration::from_secs);
    let key = format!("count/{}", input.key);
    Ok(Counted { value: input.scope.namespace().add(&key, input.by, ttl)? })
}

/// Values lie apart from counters and locks, so that no name means two things.
fn named(key: &str) -> Result<String, ActionError> {
    if key.is_empty() {
        return Err(ActionError::invalid_input("/key", "the value needs a name"));
    }
    Ok(format!("value/{key}"))
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::{count, delete, get, set};

    #[test]
    fn values_are_kept_changed_only_as_expected_and_end_in_time() {
        let host = Harness::new();
        let nothing = json!({"found": false, "value": 7, "version": 0});
        assert_eq!(host.call(get, json!({"key": "a", "default": 7})).unwrap(), nothing);
        let first = host.call(set, json!({"key": "a", "value": [1], "expected_version": 0})).unwrap();
        let conflict = host.call(set, json!({"key": "a", "value": 2, "expected_version": 0})).unwrap_err();
        assert_eq!((conflict.code.as_ref(), conflict.retryable), ("conflict", false));
        host.call(
            set,
            json!({"key": "a", "value": 2, "expected_version": first["version"], "expires_after_seconds": 5}),
        )
        .unwrap();
        assert_eq!(host.call(get, json!({"key": "a"})).unwrap()["value"], 2);
        assert_eq!(host.call(get, json!({"key": "a", "scope": "workspace"})).unwrap()["found"], false);
        host.advance(std::time::Duration::from_secs(5));
        assert_eq!(host.call(delete, json!({"key": "a"})).unwrap(), json!({"deleted": false}));
        assert_eq!(host.call(get, json!({"key": ""})).unwrap_err().details["field"], "/key");
    }

    #[test]
    fn counters_add_and_are_no_values() {
        let host = Harness::new();
        assert_eq!(host.call(count, json!({"key": "n"})).unwrap(), json!({"value": 1}));
        assert_eq!(host.call(count, json!({"key": "n", "by": -3})).unwrap(), json!({"value": -2}));
        assert_eq!(host.call(get, json!({"key": "n"})).unwrap()["found"], false);
    }
}
