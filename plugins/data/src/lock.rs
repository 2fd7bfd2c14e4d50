//! Locks: a value that is there while somebody holds it. Its version is the holder's token, so nobody releases another's.

use std::time::Duration;

use flowcell_sdk::key_value::{Expected, Write};
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Value, json};

use crate::Scope;

#[derive(Input)]
pub(crate) struct Wanted {
    /// The lock's name.
    name: String,
    #[serde(default)]
    scope: Scope,
    /// Nobody holds it longer, whatever happens to the run.
    #[input(default = 60, minimum = 1, maximum = 86400)]
    held_for_seconds: u64,
    #[serde(default)]
    if_held: IfHeld,
}

/// When another run holds it.
#[derive(Input, Clone, Copy, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum IfHeld {
    /// The step fails, and is tried again as its `retry` says.
    #[default]
    Retry,
    /// The step succeeds with `acquired: false`.
    Continue,
}

#[derive(Output)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(crate) struct Acquired {
    acquired: bool,
    /// For `release-lock`; 0 when it was not acquired.
    token: u64,
    /// The run that holds it.
    holder: String,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn acquire(ctx: &Context, input: Wanted) -> Result<Acquired, ActionError> {
    let (space, key) = (input.scope.namespace(), format!("lock/{}", input.name));
    let write = Write { ttl: Some(Duration::from_secs(input.held_for_seconds)), expected: Expected::Absent };
    let conflict = match space.set(&key, &json!({ "run": ctx.run }), write) {
        Ok(token) => return Ok(Acquired { acquired: true, token, holder: ctx.run.clone() }),
        Err(error) if error.is_conflict() => error,
        Err(error) => return Err(error.into()),
    };
    let holder = space.get::<Value>(&key)?;
    let left = holder.as_ref().and_then(|held| held.expires_at_ms);
    let holder = holder.and_then(|held| held.value.get("run")?.as_str().map(str::to_owned)).unwrap_or_default();
    if input.if_held == IfHeld::Continue {
        return Ok(Acquired { acquired: false, token: 0, holder });
    }
    let message = format!("run {holder} holds the lock `{}`: {conflict}", input.name);
    let error = ActionError { code: "locked".into(), ..ActionError::transient(message) };
    Err(error.detail("holder", holder).detail("expires_at_ms", left))
}

#[derive(Input)]
pub(crate) struct Held {
    /// The lock's name.
    name: String,
    #[serde(default)]
    scope: Scope,
    /// What `acquire-lock` gave.
    token: u64,
}

#[derive(Output)]
pub(crate) struct Released {
    /// Whether this run still held it: its time may have been over.
    released: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of an action")]
pub(crate) fn release(_: &Context, input: Held) -> Result<Released, ActionError> {
    let key = format!("lock/{}", input.name);
    match input.scope.namespace().delete(&key, Expected::Version(input.token)) {
        Ok(released) => Ok(Released { released }),
        Err(error) if error.is_conflict() => Ok(Released { released: false }),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::test::Harness;
    use serde_json::json;

    use super::{acquire, release};

    #[test]
    fn two_never_hold_a_lock_and_nobody_releases_anothers() {
        let host = Harness::new();
        let mine = host.call(acquire, json!({"name": "orders", "held_for_seconds": 5})).unwrap();
        assert_eq!(mine["acquired"], true);
        let locked = host.call(acquire, json!({"name": "orders"})).unwrap_err();
        assert_eq!((locked.code.as_ref(), locked.retryable), ("locked", true));
        let other = host.call(acquire, json!({"name": "orders", "if_held": "continue"})).unwrap();
        assert_eq!((other["acquired"].clone(), other["token"].clone()), (json!(false), json!(0)));

        host.advance(std::time::Duration::from_secs(5));
        let next = host.call(acquire, json!({"name": "orders"})).unwrap();
        let late = host.call(release, json!({"name": "orders", "token": mine["token"]})).unwrap();
        assert_eq!(late, json!({"released": false}), "its time was over, and another holds it");
        assert_eq!(
            host.call(release, json!({"name": "orders", "token": next["token"]})).unwrap(),
            json!({"released": true})
        );
    }
}
