//! `flowcell:plugin/log`: lines for the run's page. A flood costs the guest its own processor time and nothing else.

use flowcell_core::exchange::{LogLevel, LogLine};

use crate::host::{State, contract::log};
use crate::limits::Limits;

#[derive(Debug)]
pub(crate) struct Log {
    lines: Vec<LogLine>,
    bytes: usize,
    dropped: u64,
    lines_max: usize,
    line_bytes_max: usize,
    bytes_max: usize,
}

impl Log {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            lines: Vec::new(),
            bytes: 0,
            dropped: 0,
            lines_max: limits.log_lines,
            line_bytes_max: limits.log_line_bytes,
            bytes_max: limits.log_bytes,
        }
    }

    pub(crate) fn push(&mut self, level: LogLevel, mut message: String) {
        message.truncate(message.floor_char_boundary(self.line_bytes_max));
        if self.lines.len() >= self.lines_max || self.bytes + message.len() > self.bytes_max {
            self.dropped += 1;
            return;
        }
        message.shrink_to_fit();
        self.bytes += message.len();
        self.lines.push(LogLine { level, message });
    }

    /// The last line, if it is an error.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.lines.last().filter(|line| line.level == LogLevel::Error).map(|line| line.message.as_str())
    }

    /// The lines kept, and how many were not.
    pub(crate) fn into_lines(self) -> (Vec<LogLine>, u64) {
        (self.lines, self.dropped)
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.push(level, message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_a_character_and_what_exceeds_the_budget_is_counted() {
        let mut log = Log::new(&Limits { log_lines: 3, log_line_bytes: 5, log_bytes: 12, ..Limits::default() });
        log.push(LogLevel::Info, "grüner".into()); // `grün` has 5 bytes
        log.push(LogLevel::Error, "ab€".into()); // the sign would end at byte 5
        assert_eq!(log.last_error(), Some("ab€"));
        log.push(LogLevel::Info, "abc".into()); // 13 bytes in all
        log.push(LogLevel::Info, "x".into());
        log.push(LogLevel::Info, String::new()); // a fourth line
        let (lines, dropped) = log.into_lines();
        assert_eq!(lines.iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["grün", "ab€", "x"]);
        assert_eq!(dropped, 2);
    }
}
