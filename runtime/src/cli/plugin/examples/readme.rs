//! The text of a README: its examples, and the table between two marks that says what calls cost.

use crate::cli::output::bytes;

/// The largest README that is read.
pub(super) const BYTES_MAX: usize = 1024 * 1024;

/// What a fence says after its backticks when the block is an example.
const FENCE: &str = "```yaml example";
const BEGIN: &str = "<!-- measured -->";
const END: &str = "<!-- /measured -->";

/// How far a figure may be from the table's before the table is stale: another compiler moves them by some percent.
const DRIFT: f64 = 0.25;

/// An example as it stands in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'t> {
    /// The heading above it, without its marks.
    pub(super) title: &'t str,
    pub(super) text: &'t str,
    /// Where it begins, counted from 1.
    pub(super) line: usize,
}

/// The examples, in their order.
pub(super) fn examples(text: &str) -> Vec<Block<'_>> {
    let (mut found, mut title, mut open) = (Vec::new(), "", None::<(usize, usize)>);
    let (mut offset, mut in_other) = (0, false);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let (start, bare) = (offset, line.trim_end());
        offset += line.len();
        if let Some((from, number)) = open {
            if bare == "```" {
                found.push(Block { title, text: text.get(from..start).unwrap_or_default(), line: number });
                open = None;
            }
        } else if in_other {
            in_other = bare != "```";
        } else if bare == FENCE {
            open = Some((offset, index + 1));
        } else if bare.starts_with("```") {
            in_other = true;
        } else if bare.starts_with('#') {
            title = bare.trim_start_matches('#').trim();
        }
    }
    found
}

/// What one call took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Cost {
    pub(super) cpu_ms: f64,
    /// WebAssembly instructions.
    pub(super) fuel: u64,
    pub(super) memory_bytes: u64,
}

impl Cost {
    /// The one in the middle by processor time.
    pub(super) fn median(mut costs: Vec<Self>) -> Self {
        costs.sort_by(|a, b| a.cpu_ms.total_cmp(&b.cpu_ms));
        costs.get(costs.len() / 2).copied().unwrap_or_default()
    }
}

/// What the table says.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// The component.
    pub(super) bytes: u64,
    pub(super) calls: Vec<(String, Cost)>,
}

/// The text with the table written anew.
pub(super) fn with_table(text: &str, measured: &Measured) -> Result<String, String> {
    let (before, _, after) = around(text)
        .ok_or_else(|| format!("the table stands between `{BEGIN}` and `{END}`; write both where it belongs"))?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", table(measured)))
}

fn around(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (inside, after) = rest.split_once(END)?;
    Some((before, inside, after))
}

fn table(measured: &Measured) -> String {
    let rows = measured.calls.iter().map(|(title, cost)| {
        let micros = cost.cpu_ms * 1_000.0;
        format!("| {title} | {micros:.0} µs | {} | {} |\n", cost.fuel, bytes(cost.memory_bytes))
    });
    let rows: Vec<String> = rows.collect();
    let rows = rows.concat();
    format!(
        "Compiled: {} of WebAssembly.

| one call, as in the example | processor | WebAssembly instructions | memory |
|---|---|---|---|
{rows}",
        bytes(measured.bytes)
    )
}

/// Says what is wrong with the table: a call is missing, or its figures (those that do not depend on the machine) have moved.
pub(super) fn stale(text: &str, measured: &Measured) -> Option<String> {
    let Some((_, inside, _)) = around(text) else { return Some("there is no table of what calls cost".to_owned()) };
    for (title, cost) in &measured.calls {
        let row = inside.lines().find(|line| line.split('|').nth(1).is_some_and(|cell| cell.trim() == title));
        let Some(row) = row else { return Some(format!("the table says nothing of `{title}`")) };
        let said = row.split('|').nth(3).and_then(|cell| cell.trim().parse::<u64>().ok()).unwrap_or_default();
        if is_far(said, cost.fuel) {
            return Some(format!("`{title}` runs {} instructions; the table says {said}", cost.fuel));
        }
    }
    None
}

#[expect(clippy::cast_precision_loss, reason = "a comparison by percent")]
fn is_far(said: u64, came: u64) -> bool {
    (said as f64 - came as f64).abs() > came as f64 * DRIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# A plugin\n## Send\nWords.\n```yaml example\nuses: a/b/send@1\n```\n```yaml\n# no example\n```\n### Send twice\n```yaml example\nuses: a/b/send@1\nwith: {}\n```\n## Costs\n<!-- measured -->\nold\n<!-- /measured -->\nThe end.\n";

    #[test]
    fn examples_stand_under_their_headings() {
        let first = Block { title: "Send", text: "uses: a/b/send@1\n", line: 4 };
        let second = Block { title: "Send twice", text: "uses: a/b/send@1\nwith: {}\n", line: 11 };
        assert_eq!(examples(README), [first, second]);
        assert_eq!(examples("```yaml example\nuses: never closed\n"), []);
    }

    #[test]
    fn the_table_is_written_between_its_marks_and_held_against_what_is_measured() {
        let cost = Cost { cpu_ms: 0.0321, fuel: 40_000, memory_bytes: 1 << 20 };
        let measured =
            Measured { bytes: 2_048, calls: vec![("Send".to_owned(), cost), ("Send twice".to_owned(), cost)] };
        assert_eq!(stale(README, &measured).as_deref(), Some("the table says nothing of `Send`"));
        let written = with_table(README, &measured).expect("the marks are there");
        assert!(
            written.contains("| Send twice | 32 µs | 40000 | 1.0 MiB |\n<!-- /measured -->\nThe end.\n"),
            "{written}"
        );
        assert_eq!(stale(&written, &measured), None);
        let slower = Cost { fuel: 60_000, ..cost };
        let slower = Measured { calls: vec![("Send".to_owned(), slower)], ..measured };
        assert_eq!(stale(&written, &slower).as_deref(), Some("`Send` runs 60000 instructions; the table says 40000"));
        assert!(with_table("no marks", &slower).is_err());
    }
}
