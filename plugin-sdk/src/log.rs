//! Lines for the run's log: `flowcell_sdk::log::info!("{} rows", rows.len())`.
//!
//! Lines over 4 KiB are cut by the host; lines over the step's budget are counted, not kept. Never log credentials: a plugin has none,
//! and inputs may be personal data.

use std::fmt;

pub use crate::{__log_debug as debug, __log_error as error, __log_info as info, __log_warn as warn};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Appends one line. The macros are nicer.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    // A literal is passed on without being copied.
    match message.as_str() {
        Some(literal) => crate::host::log(level, literal),
        None => crate::host::log(level, &message.to_string()),
    }
}

/// Appends a line for the plugin's author.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::core::format_args!($($message)+)) };
}

/// Appends a line that is good to know.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Info, ::core::format_args!($($message)+)) };
}

/// Appends a line about something odd that did no harm.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::core::format_args!($($message)+)) };
}

/// Appends a line about something that failed.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Error, ::core::format_args!($($message)+)) };
}
