//! Counts and times as they are said.

use std::fmt::Write as _;

const UNITS: [(&str, u64); 3] = [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000)];

/// `1 request`, `2 requests`.
pub(crate) fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `3 days`, `1 day 2 hours`, `2 minutes 5 s`, `1.5 s`, `20 ms`: the two largest units.
pub(crate) fn long_duration(ms: u64) -> String {
    let mut left = ms;
    let mut text = String::new();
    let mut parts = 0;
    for (name, unit) in UNITS {
        let count = left / unit;
        if count > 0 && parts < 2 {
            let _ = write!(
                text,
                "{}{}",
                if parts > 0 { " " } else { "" },
                plural(usize::try_from(count).unwrap_or(usize::MAX), name)
            );
            parts += 1;
        }
        left %= unit;
    }
    match (parts, left) {
        (0, 0..1_000) => format!("{left} ms"),
        (0, _) if left.is_multiple_of(1_000) => format!("{} s", left / 1_000),
        (0, _) => format!("{}.{} s", left / 1_000, left % 1_000 / 100),
        (1, 1_000..) => format!("{text} {} s", left / 1_000),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_their_two_largest_units() {
        let said = [0, 20, 1_500, 2_000, 125_000, 3_600_000, 3 * 86_400_000, 93_600_000, 86_461_000].map(long_duration);
        assert_eq!(
            said,
            ["0 ms", "20 ms", "1.5 s", "2 s", "2 minutes 5 s", "1 hour", "3 days", "1 day 2 hours", "1 day 1 minute"]
        );
        assert_eq!([plural(1, "request"), plural(0, "request")], ["1 request", "0 requests"]);
    }
}
