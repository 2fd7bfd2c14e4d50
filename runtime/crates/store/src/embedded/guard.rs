//! sled panics on damaged data. Every call into it that could read some goes through here, and a panic becomes a sentence.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; a panic becomes an error that quotes it. What `work` borrowed must not be trusted after that.
pub(crate) fn without_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        // The first line: sled prints whole pages after it.
        let line = message.lines().next().unwrap_or_default();
        format!("the database gave up: {}", line.chars().take(200).collect::<String>())
    })
}
