//! Executes the examples of `docs/schedules.md`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use flowcell_core::schedule::{Missed, Schedule, ScheduleSpec, Zone};
use flowcell_core::time::Timestamp;

const DOCUMENT: &str = include_str!("../../../../docs/schedules.md");

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, &zone.parse().unwrap()).unwrap_or_else(|error| panic!("{text}: {}", error.in_words()))
}

#[test]
fn every_line_of_the_table_is_true() {
    let (_, after) = DOCUMENT.split_once("<!-- executed: schedule | zone | after | next -->\n").unwrap();
    let rows: Vec<Vec<&str>> = after
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 13);
    for row in rows {
        let schedule = schedule(row[0].trim_matches('`'), row[1]);
        let (from, expected) = (row[2].parse().unwrap(), row[3].split(", ").collect::<Vec<_>>());
        let times = schedule.occurrences(from, Timestamp::from_millis(u64::MAX), 2);
        let times: Vec<_> = times.into_iter().map(|at| schedule.zone().format(at)).collect();
        assert_eq!(times, expected, "{row:?}");
    }
}

#[test]
fn what_the_command_line_prints_is_what_it_says() {
    let schedule = schedule("0 9 * * 1-5", "Europe/Berlin");
    assert!(DOCUMENT.contains(&schedule.describe()));
    let wrong = "0 9 * * 1-8";
    let error = Schedule::parse(wrong, &Zone::utc()).unwrap_err();
    let pointed = error.point_at(wrong).lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    assert!(DOCUMENT.contains(&format!(": {}\n{pointed}\nhelp: {}", error.message, error.help.unwrap())));
    assert_eq!(ScheduleSpec::default().missed, Missed::Skip, "the document calls it the default");
}
