//! Why a guest did not return: one answer per cause, in words for the person who reads the run. The only place that looks into wasmtime's errors.

use std::time::Duration;

use flowcell_core::invoke::InvokeError;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::Sandbox;
use crate::engine::STACK_BYTES;
use crate::host::State;
use crate::invoke::limiter::Refused;
use crate::limits::Limits;

/// Classifies `error`. `used` is the processor time of the call.
pub(crate) fn classify(error: &wasmtime::Error, state: &State, limits: &Limits, used: Duration) -> InvokeError {
    if state.out_of_cpu {
        return InvokeError::CpuExhausted { used_ms: Sandbox::millis(used), limit_ms: Sandbox::millis(limits.cpu) };
    }
    if error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel) {
        return InvokeError::FuelExhausted { limit: limits.fuel };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return InvokeError::Busy { waited_ms: 0 };
    }
    if let Some(message) = limit(error, limits) {
        return InvokeError::LimitExceeded { message };
    }
    match state.limiter.refused {
        Some(Refused::Memory) => InvokeError::MemoryExhausted { limit_bytes: limits.memory_bytes as u64 },
        Some(Refused::Table) => InvokeError::LimitExceeded {
            message: format!("its tables may have {} elements together", limits.table_elements),
        },
        None => InvokeError::Trapped { message: crash(error, state) },
    }
}

/// The limit that was hit, if wasmtime or WASI says so. Their errors for limits have no public types; a hostile fixture for each
/// makes sure that these words still are theirs.
fn limit(error: &wasmtime::Error, limits: &Limits) -> Option<String> {
    if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        return Some(format!(
            "its call stack may have {} KiB; most likely something calls itself without end",
            STACK_BYTES / 1024
        ));
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        return Some(format!(
            "it may hold {} WASI resources at once; close those that are done with",
            limits.resources
        ));
    }
    let said = format!("{error:#}");
    if said.contains("fuel allocated for hostcalls has been exhausted") {
        return Some(format!(
            "one call may carry {} bytes out of it, results included; send less at a time",
            limits.hostcall_bytes
        ));
    }
    if said.contains("store handle limit exceeded") {
        return Some(format!("it may hold {} handles at once; close those that are done with", limits.handles));
    }
    if said.contains("requested len") && said.contains("exceeds limit") {
        return Some(format!("it may ask for {} random bytes at a time", limits.random_bytes));
    }
    if said.contains("total size of fields exceeds limit") {
        return Some(format!("one request or response may have {} bytes of headers", limits.field_bytes));
    }
    if said.contains("resource limit exceeded") {
        return Some(format!(
            "it may have {} instances, {} memories and {} tables",
            limits.instances, limits.memories, limits.tables
        ));
    }
    None
}

/// The trap, and what the guest said before it.
fn crash(error: &wasmtime::Error, state: &State) -> String {
    let cause = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "it gave up (a panic, an uncaught exception or an abort)".to_owned(),
        Some(trap) => trap.to_string(),
        None => format!("{error:#}"),
    };
    match state.last_words() {
        Some(words) => format!("{cause}. Its last words: {words}"),
        None => cause,
    }
}
