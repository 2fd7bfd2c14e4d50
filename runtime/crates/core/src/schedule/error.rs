//! What is wrong with a schedule's text: in which part, where in it, and what would be right.

use std::fmt;
use std::ops::Range;

/// The part of a schedule that a mistake is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The cron text as a whole, or which of its fields.
    Cron(Option<&'static str>),
    Every,
    Anchor,
    At,
    Timezone,
    Window,
    /// Which of `cron`, `every` and `at` there are.
    Kind,
}

impl Part {
    /// The key in a workflow's `schedule:` whose value is wrong; nothing when it is the mapping itself.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::Cron(_) => Some("cron"),
            Self::Every => Some("every"),
            Self::Anchor => Some("anchor"),
            Self::At => Some("at"),
            Self::Timezone => Some("timezone"),
            Self::Window | Self::Kind => None,
        }
    }
}

/// A schedule that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    pub part: Part,
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The bytes of the text of `part` that are wrong.
    pub span: Range<usize>,
}

impl ScheduleError {
    pub(super) fn new(part: Part, message: String, span: Range<usize>) -> Self {
        Self { part, message, help: None, span }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same mistake in a text that has `bytes` more before it.
    pub(super) fn shifted(mut self, bytes: usize) -> Self {
        self.span = self.span.start + bytes..self.span.end + bytes;
        self
    }

    /// Message and help in one sentence, for where there is one line only.
    pub fn in_words(&self) -> String {
        self.help.as_ref().map_or_else(|| self.message.clone(), |help| format!("{}; {help}", self.message))
    }

    /// The text and, in a second line, carets under what is wrong in it.
    pub fn point_at(&self, text: &str) -> String {
        let chars = |bytes: usize| text.char_indices().take_while(|(at, _)| *at < bytes).count();
        let (start, end) = (chars(self.span.start), chars(self.span.end));
        // One column for each character; control characters would move what comes after them.
        let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{shown}\n{}{}", " ".repeat(start), "^".repeat(end.saturating_sub(start).max(1)))
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for ScheduleError {}
