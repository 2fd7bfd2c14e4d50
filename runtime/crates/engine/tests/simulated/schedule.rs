//! Schedules in simulated time: changes of the clocks, days without a process, crashes, clocks that are set.

mod rules;
mod wall;

use std::time::Duration;

use flowcell_core::ports::Clock;
use flowcell_core::time::Timestamp;

use wall::{Crash, Wall, at, daily_at_nine, scheduled};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn nine(day: u32) -> Timestamp {
    at(&format!("2026-02-{day:02}T09:00:00Z"))
}

#[test]
fn a_fixed_time_comes_once_a_day_over_both_changes_of_the_clocks() {
    for (zone, from, days, expected) in [
        (
            "Europe/Berlin",
            "2026-03-27T12:00:00Z",
            3,
            ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        ),
        (
            "Europe/Berlin",
            "2026-10-23T12:00:00Z",
            3,
            ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "America/New_York",
            "2026-03-07T00:00:00Z",
            3,
            ["2026-03-07T02:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"],
        ),
    ] {
        let wall = Wall::at(from).with(scheduled("30 2 * * *", zone, "skip"));
        wall.work_for(DAY * days);
        assert_eq!(wall.fired_locally(), expected, "{zone} {from}");
    }
}

#[test]
fn minutes_go_on_by_elapsed_time_over_both_changes_of_the_clocks() {
    for from in ["2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z"] {
        let wall = Wall::at(from).with(scheduled("*/15 * * * *", "Europe/Berlin", "skip"));
        wall.work_for(HOUR * 6);
        let fired = wall.fired();
        assert_eq!(fired.len(), 24);
        assert!(fired.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_mins(15)), "{fired:?}");
    }
}

#[test]
fn after_three_days_without_a_process_the_rule_of_the_schedule_decides() {
    for (missed, expected) in [
        ("skip", vec![nine(2), nine(6), nine(7)]),
        ("last", vec![nine(2), nine(5), nine(6), nine(7)]),
        ("all", vec![nine(2), nine(3), nine(4), nine(5), nine(6), nine(7)]),
    ] {
        let wall = Wall::at("2026-02-01T12:00:00Z").with(daily_at_nine(missed));
        wall.work_for(DAY);
        assert_eq!(wall.fired(), [nine(2)]);
        wall.clock.set(at("2026-02-05T12:00:00Z"));
        wall.work_for(DAY * 2);
        assert_eq!(wall.fired(), expected, "{missed}");
        let made_up = wall.runs().into_iter().filter(|run| run.trigger["missed"] == true).count();
        assert_eq!(made_up, expected.len() - 3, "{missed}");
    }
}

#[test]
fn a_start_within_a_minute_misses_nothing() {
    let wall = Wall::at("2026-02-01T12:00:00Z").with(daily_at_nine("skip"));
    wall.work_for(HOUR);
    wall.clock.set(nine(2) + Duration::from_secs(50));
    wall.work_for(HOUR);
    assert_eq!(wall.fired(), [nine(2)]);
}

#[test]
fn of_a_year_of_missed_minutes_a_thousand_are_made_up_for() {
    let wall = Wall::at("2026-02-01T12:00:30Z").with(scheduled("* * * * *", "UTC", "all"));
    wall.work_for(Duration::from_secs(1));
    wall.clock.set(at("2027-02-01T12:00:30Z"));
    wall.work_for(Duration::from_secs(1));
    let fired = wall.fired();
    assert_eq!(fired.len(), 1_000);
    assert_eq!((fired[0], fired[999]), (at("2027-01-31T19:21:00Z"), at("2027-02-01T12:00:00Z")));
}

#[test]
fn no_crash_doubles_or_loses_an_occurrence() {
    // Two schedules, a week, and a crash at each write in turn; then a start after a while, also one that is longer than deliveries are
    // recognised by their key (72 hours).
    for down in [Duration::ZERO, HOUR * 30, DAY * 5] {
        let crashes = (0..).flat_map(|writes| [Crash::Before(writes), Crash::After(writes)]);
        let mut survived = 0;
        for crash in crashes {
            let wall = Wall::at("2026-02-01T12:00:00Z").with(daily_at_nine("all")).with(wall::hourly_in_the_morning());
            let has_crashed = wall.work_until_crash(crash, DAY * 3);
            let back = wall.clock.now() + down;
            wall.clock.set(back);
            wall.work_for(at("2026-02-12T12:00:00Z").since(back));
            let (daily, hourly) = (wall.fired_by("daily"), wall.fired_by("hourly"));
            assert_eq!(daily, (2..=12).map(nine).collect::<Vec<_>>(), "{crash:?}, {down:?} down");
            assert_eq!(hourly.len(), 11 * 4, "{crash:?}, {down:?} down");
            assert!(hourly.windows(2).all(|pair| pair[0] < pair[1]), "{crash:?}, {down:?} down: {hourly:?}");
            if !has_crashed {
                break;
            }
            survived += 1;
        }
        // Two cursors to begin with; then a delivery and a cursor for each of the fifteen occurrences.
        assert_eq!(survived, 2 * (2 + 2 * 15), "{down:?} down");
    }
}

#[test]
fn a_clock_that_steps_back_starts_nothing_twice() {
    for back in [HOUR, DAY * 365] {
        for missed in ["skip", "last", "all"] {
            let wall = Wall::at("2026-02-01T12:00:00Z").with(scheduled("*/30 * * * *", "UTC", missed));
            wall.work_while(DAY, |clock, start| async move {
                clock.sleep_until(start + HOUR * 3 + Duration::from_mins(5)).await;
                clock.set(Timestamp::from_millis(clock.now().as_millis() - back.as_millis() as u64));
                // The time that comes again, in which nothing is due.
                clock.sleep_until(clock.now() + Duration::from_mins(50)).await;
                // Set right.
                clock.set(start + HOUR * 4 + Duration::from_secs(1));
            });
            let fired = wall.fired();
            assert!(fired.windows(2).all(|pair| pair[0] < pair[1]), "{missed}, {back:?}: {fired:?}");
            // 15:30 was late by half an hour when the clock was right again.
            let expected = if missed == "all" { 48 } else { 47 };
            assert_eq!(fired.len(), expected, "{missed}, {back:?}");
        }
    }
}

#[test]
fn a_process_that_starts_with_its_clock_set_back_starts_nothing_twice() {
    for back in [HOUR, DAY * 365] {
        let wall = Wall::at("2026-02-01T12:00:00Z").with(scheduled("*/30 * * * *", "UTC", "all"));
        wall.work_for(HOUR * 3);
        let was = wall.clock.now();
        wall.clock.set(Timestamp::from_millis(was.as_millis() - back.as_millis() as u64));
        wall.work_for(back + HOUR * 3);
        let fired = wall.fired();
        assert_eq!(fired.len(), 12, "{back:?}");
        assert!(fired.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_mins(30)), "{fired:?}");
    }
}

#[test]
fn a_clock_that_steps_forward_leaves_missed_times() {
    for (missed, expected) in [("skip", 5), ("last", 6), ("all", 52)] {
        let wall = Wall::at("2026-02-01T12:00:00Z").with(scheduled("0 * * * *", "UTC", missed));
        wall.work_while(HOUR * 52, |clock, start| async move {
            clock.sleep_until(start + HOUR * 2 + Duration::from_mins(10)).await;
            clock.set(start + HOUR * 49 + Duration::from_mins(10));
        });
        // Two before the step, three after it, and what was made up for of 47.
        assert_eq!(wall.fired().len(), expected, "{missed}");
    }
}

#[test]
fn a_changed_schedule_begins_anew_and_an_unchanged_one_goes_on() {
    let wall = Wall::at("2026-02-01T12:00:00Z").with(daily_at_nine("all"));
    wall.work_while(DAY * 4, |clock, start| {
        let source = wall.source.clone();
        async move {
            clock.sleep_until(start + HOUR * 25).await;
            // Version 2 with the same times; its runs are of version 2.
            source.replace(daily_at_nine("last").version(2, clock.now()));
            clock.sleep_until(start + HOUR * 49).await;
            source.replace(scheduled("0 10 * * *", "UTC", "all").version(3, clock.now()));
        }
    });
    let expected = [nine(2), nine(3), nine(4) + HOUR, nine(5) + HOUR];
    assert_eq!(wall.fired(), expected);
    assert_eq!(wall.runs().iter().map(|run| run.version).collect::<Vec<_>>(), [1, 2, 3, 3]);
}

#[test]
fn a_schedule_that_was_gone_has_missed_nothing_when_it_comes_back() {
    let wall = Wall::at("2026-02-01T12:00:00Z").with(daily_at_nine("all"));
    wall.work_while(DAY * 6, |clock, start| {
        let source = wall.source.clone();
        async move {
            clock.sleep_until(start + DAY).await;
            source.clear();
            clock.sleep_until(start + DAY * 4).await;
            source.replace(daily_at_nine("all").version(2, clock.now()));
        }
    });
    assert_eq!(wall.fired(), [nine(2), nine(6), nine(7)]);
    // One that is gone for good leaves a closed cursor.
    wall.source.clear();
    wall.work_for(HOUR);
    assert!(wall.cursors()[0].is_ended);
}

#[test]
fn a_single_time_comes_once_also_when_it_was_missed() {
    for (missed, expected) in [("skip", vec![]), ("last", vec![nine(3)]), ("all", vec![nine(3)])] {
        let wall = Wall::at("2026-02-01T12:00:00Z").with(scheduled("at 2026-02-03T09:00", "UTC", missed));
        wall.work_for(DAY);
        wall.clock.set(at("2026-02-08T00:00:00Z"));
        wall.work_for(DAY);
        wall.work_for(DAY);
        assert_eq!(wall.fired(), expected, "{missed}");
    }
    let wall = Wall::at("2026-02-01T12:00:00Z").with(scheduled("at 2026-02-03T09:00", "UTC", "skip"));
    wall.work_for(DAY * 4);
    assert_eq!(wall.fired(), [nine(3)]);
}

#[test]
fn it_sleeps_from_one_occurrence_to_the_next() {
    let wall = Wall::at("2026-02-01T12:00:00Z").with(daily_at_nine("skip")).with(wall::hourly_in_the_morning());
    wall.work_for(DAY * 10);
    let (fired, naps) = (wall.fired().len(), wall.naps());
    assert_eq!(fired, 10 * 5);
    assert!(naps <= fired + 2, "{naps} naps for {fired} occurrences");
}

#[test]
fn a_store_that_is_busy_or_full_is_waited_for() {
    let wall = Wall::at("2026-02-01T12:00:00Z").with(daily_at_nine("skip"));
    wall.stumble(40);
    wall.work_for(DAY * 3);
    assert_eq!(wall.fired(), [nine(2), nine(3), nine(4)]);
}

#[test]
fn a_thousand_schedules_of_the_same_minute_all_come() {
    let wall = (0..1_000).fold(Wall::at("2026-02-01T12:00:00Z"), |wall, number| {
        wall.with(daily_at_nine("skip").named(&format!("w{number}")))
    });
    wall.work_for(DAY);
    assert_eq!(wall.fired(), vec![nine(2); 1_000]);
}

#[test]
fn a_drain_in_the_middle_of_making_up_goes_on_at_the_next_start() {
    let wall = Wall::at("2026-02-01T12:00:00Z").with(scheduled("0 * * * *", "UTC", "all"));
    wall.work_for(Duration::from_secs(1));
    wall.clock.set(at("2026-02-05T12:30:00Z"));
    wall.work_and_drain_after(7);
    assert_eq!(wall.fired().len(), 7);
    wall.work_for(Duration::from_secs(1));
    assert_eq!(wall.fired().len(), 96);
}

#[test]
fn what_a_scheduled_run_is_told() {
    let wall = Wall::at("2026-03-28T12:00:00Z").with(scheduled("30 2 * * *", "Europe/Berlin", "skip"));
    wall.work_for(DAY);
    let expected = serde_json::json!({
        "scheduled_at": "2026-03-29T01:00:00.000Z",
        "local_time": "2026-03-29T03:00:00+02:00",
        "timezone": "Europe/Berlin",
        "schedule": "30 2 * * * (Europe/Berlin)",
        "missed": false,
    });
    assert_eq!(wall.runs()[0].trigger, expected);
}
