//! What the CLI prints: results to standard output, as text for people or as JSON; everything else to standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use serde::Serialize;

#[derive(Debug)]
pub(crate) struct Output {
    stdout: std::io::Stdout,
    json: bool,
    colours: bool,
    error_colours: bool,
}

/// How a piece of text looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
    Warn,
}

impl Style {
    /// SGR parameters (ECMA-48 §8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
        }
    }
}

impl Output {
    pub(crate) fn new(json: bool, no_color: bool) -> Self {
        Self {
            stdout: std::io::stdout(),
            json,
            colours: !no_color && std::io::stdout().is_terminal(),
            error_colours: !no_color && std::io::stderr().is_terminal(),
        }
    }

    /// Whether a program reads this.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one line.
    pub(crate) fn line(&self, text: impl Display) {
        // A reader that went away (`| head`) is no failure of the command.
        let _ = writeln!(self.stdout.lock(), "{text}");
    }

    /// Prints a document.
    pub(crate) fn document(&self, document: &impl Serialize) {
        self.line(serde_json::to_string_pretty(document).unwrap_or_default());
    }

    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        if self.colours && style != Style::Plain { paint(style, &text) } else { text.to_string() }
    }

    pub(crate) fn error(&self, message: &str) {
        self.say("error", Style::Bad, message);
    }
    pub(crate) fn warning(&self, message: &str) {
        self.say("warning", Style::Warn, message);
    }
    pub(crate) fn help(&self, message: &str) {
        self.say("help", Style::Strong, message);
    }

    fn say(&self, label: &str, style: Style, message: &str) {
        let label = if self.error_colours { paint(style, &label) } else { label.to_owned() };
        let _ = writeln!(std::io::stderr().lock(), "{label}: {message}");
    }
}

fn paint(style: Style, text: &impl Display) -> String {
    format!("\x1b[{}m{text}\x1b[0m", style.code())
}

/// Text from elsewhere, made fit for a terminal: control characters could move the cursor or change its colours.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Rows under a heading, the columns as wide as their longest cell.
pub(crate) fn table<const N: usize>(output: &Output, heading: [&str; N], rows: &[[String; N]]) {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |cells: Vec<&str>| {
        let cells = cells.into_iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    output.line(output.paint(Style::Faint, render(heading.to_vec())));
    for row in rows {
        output.line(printable(&render(row.iter().map(String::as_str).collect())));
    }
}

/// `850 ms`, `2.4 s`, `3 min 5 s`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// `512 B`, `1.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{} KiB", tenths(1_024)),
        _ => format!("{} MiB", tenths(1_048_576)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let shown = [0, 999, 1_000, 2_450, 59_999, 185_000].map(duration);
        assert_eq!(shown, ["0 ms", "999 ms", "1.0 s", "2.4 s", "59.9 s", "3 min 5 s"]);
        assert_eq!([12, 1_024, 1_536, 1_468_006].map(bytes), ["12 B", "1.0 KiB", "1.5 KiB", "1.3 MiB"]);
    }

    #[test]
    fn text_from_elsewhere_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\r\n\tc\u{9b}"), "a\u{fffd}[31mb\u{fffd}\n\tc\u{fffd}");
    }
}
