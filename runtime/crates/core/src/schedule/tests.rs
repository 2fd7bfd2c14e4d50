//! Times by the clock, as tables: schedule, zone, from when → the next occurrences as clocks on the wall show them.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, &zone.parse().unwrap()).unwrap_or_else(|error| panic!("{text}: {}", error.in_words()))
}

fn next(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = schedule(text, zone);
    let end = Timestamp::from_millis(u64::MAX);
    schedule.occurrences(at(from), end, count).into_iter().map(|at| schedule.zone().format(at)).collect()
}

fn check(text: &str, zone: &str, from: &str, expected: &[&str]) {
    assert_eq!(next(text, zone, from, expected.len()), expected, "{text} in {zone} from {from}");
}

#[test]
fn a_time_that_does_not_exist_comes_once_right_after_the_gap() {
    for (text, zone, from, expected) in [
        // 02:00 → 03:00 on 2026-03-29.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-27T12:00:00Z",
            ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        ),
        (
            "*/10 2 * 3 sun",
            "Europe/Berlin",
            "2026-03-22T02:00:00Z",
            ["2026-03-29T03:00:00+02:00", "2027-03-07T02:00:00+01:00", "2027-03-07T02:10:00+01:00"],
        ),
        (
            "0 2,3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00", "2026-03-30T03:00:00+02:00"],
        ),
        (
            "0 */2 * * *",
            "Europe/Berlin",
            "2026-03-28T23:00:00Z",
            ["2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00", "2026-03-29T06:00:00+02:00"],
        ),
        (
            "5,35 2 * * *",
            "America/New_York",
            "2026-03-08T05:00:00Z",
            ["2026-03-08T03:00:00-04:00", "2026-03-09T02:05:00-04:00", "2026-03-09T02:35:00-04:00"],
        ),
        // Half an hour: 02:00 → 02:30 on 2026-10-04.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00", "2026-10-06T02:15:00+11:00"],
        ),
        // Midnight itself: 00:00 → 01:00.
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-22T23:00:00Z",
            ["2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00", "2026-04-26T00:00:00+03:00"],
        ),
        // A whole day: 2011-12-30 was left out.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00:00Z",
            ["2011-12-29T09:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"],
        ),
    ] {
        check(text, zone, from, &expected);
    }
}

#[test]
fn a_time_that_exists_twice_comes_once_and_a_pattern_of_minutes_goes_on() {
    for (text, zone, from, expected) in [
        // 03:00 → 02:00 on 2026-10-25.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00"],
        ),
        (
            "0 */2 * * *",
            "Europe/Berlin",
            "2026-10-24T22:30:00Z",
            ["2026-10-25T02:00:00+02:00", "2026-10-25T04:00:00+01:00", "2026-10-25T06:00:00+01:00"],
        ),
        (
            "0 2,3 * * *",
            "Europe/Berlin",
            "2026-10-24T22:30:00Z",
            ["2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-26T02:00:00+01:00"],
        ),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:15:00Z",
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00"],
        ),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:15:00Z",
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00"],
        ),
        // Once a year, in the very hour that comes again: the next is a year away, and the second hour still counts.
        (
            "*/30 2 25 10 *",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            ["2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2027-10-25T02:00:00+02:00"],
        ),
        (
            "15 * * * *",
            "America/New_York",
            "2026-11-01T05:00:00Z",
            ["2026-11-01T01:15:00-04:00", "2026-11-01T01:15:00-05:00", "2026-11-01T02:15:00-05:00"],
        ),
        (
            "15 1 * * *",
            "America/New_York",
            "2026-11-01T05:00:00Z",
            ["2026-11-01T01:15:00-04:00", "2026-11-02T01:15:00-05:00", "2026-11-03T01:15:00-05:00"],
        ),
        // Half an hour: 02:00 → 01:30 on 2026-04-05.
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00:00Z",
            ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30", "2026-04-07T01:45:00+10:30"],
        ),
        (
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:40:00Z",
            ["2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30"],
        ),
    ] {
        check(text, zone, from, &expected);
    }
    // Asked in the middle of the second hour: what it named came in the first.
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T02:30:00+01:00"]);
}

#[test]
fn minutes_go_on_by_elapsed_time_over_both_changes() {
    for (zone, from) in [
        ("Europe/Berlin", "2026-03-28T20:00:00Z"),
        ("Europe/Berlin", "2026-10-24T20:00:00Z"),
        ("America/New_York", "2026-03-08T00:00:00Z"),
        ("America/New_York", "2026-11-01T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T10:00:00Z"),
    ] {
        let schedule = schedule("*/15 * * * *", zone);
        let times = schedule.occurrences(at(from), Timestamp::from_millis(u64::MAX), 96);
        for pair in times.windows(2) {
            assert_eq!(pair[1].since(pair[0]), Duration::from_mins(15), "{zone} at {}", pair[0]);
        }
    }
}

#[test]
fn days_of_the_calendar() {
    for (text, zone, from, expected) in [
        (
            "0 9 * * 1-5",
            "Asia/Kolkata",
            "2026-01-02T04:00:00Z",
            ["2026-01-05T09:00:00+05:30", "2026-01-06T09:00:00+05:30"],
        ),
        ("30 18 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["2028-02-29T18:30:00+00:00", "2032-02-29T18:30:00+00:00"]),
        // 2100 is no leap year.
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", ["2104-02-29T00:00:00+00:00", "2108-02-29T00:00:00+00:00"]),
        ("0 12 L * *", "UTC", "2028-01-31T12:00:00Z", ["2028-02-29T12:00:00+00:00", "2028-03-31T12:00:00+00:00"]),
        ("0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", ["2026-03-31T00:00:00+00:00", "2026-05-31T00:00:00+00:00"]),
        ("0 0 1,L 2 *", "UTC", "2027-01-01T00:00:00Z", ["2027-02-01T00:00:00+00:00", "2027-02-28T00:00:00+00:00"]),
        // Either day field is enough when both say something; with a star in one, both have to fit.
        ("0 0 13 * fri", "UTC", "2026-02-07T00:00:00Z", ["2026-02-13T00:00:00+00:00", "2026-02-20T00:00:00+00:00"]),
        ("0 0 */2 * mon", "UTC", "2026-06-01T00:00:00Z", ["2026-06-15T00:00:00+00:00", "2026-06-29T00:00:00+00:00"]),
        ("0 8 * * mon#2", "UTC", "2026-01-01T00:00:00Z", ["2026-01-12T08:00:00+00:00", "2026-02-09T08:00:00+00:00"]),
        ("0 8 ? * friL", "UTC", "2026-01-01T00:00:00Z", ["2026-01-30T08:00:00+00:00", "2026-02-27T08:00:00+00:00"]),
        // A fifth Monday in February.
        ("0 8 * 2 mon#5", "UTC", "2026-01-01T00:00:00Z", ["2044-02-29T08:00:00+00:00", "2072-02-29T08:00:00+00:00"]),
        ("0 22 * * fri-sun", "UTC", "2026-01-02T23:00:00Z", ["2026-01-03T22:00:00+00:00", "2026-01-04T22:00:00+00:00"]),
        ("0 0 * * 7", "UTC", "2026-01-01T00:00:00Z", ["2026-01-04T00:00:00+00:00", "2026-01-11T00:00:00+00:00"]),
        (
            "0 0 1 JAN-Mar/2 *",
            "UTC",
            "2026-01-15T00:00:00Z",
            ["2026-03-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"],
        ),
        (
            "@monthly",
            "Europe/Berlin",
            "2026-03-10T00:00:00Z",
            ["2026-04-01T00:00:00+02:00", "2026-05-01T00:00:00+02:00"],
        ),
        ("15,45 30 9 * * *", "UTC", "2026-01-01T00:00:00Z", ["2026-01-01T09:30:15+00:00", "2026-01-01T09:30:45+00:00"]),
        (
            "50/5 59 23 31 12 *",
            "UTC",
            "2026-12-31T23:59:50.5Z",
            ["2026-12-31T23:59:55+00:00", "2027-12-31T23:59:50+00:00"],
        ),
    ] {
        check(text, zone, from, &expected);
    }
}

#[test]
fn an_interval_is_elapsed_time_from_its_anchor() {
    let from = "2026-10-24T23:50:00Z";
    check("every 45m", "UTC", from, &["2026-10-25T00:00:00+00:00", "2026-10-25T00:45:00+00:00"]);
    let spec = ScheduleSpec {
        every: Some("12h".to_owned()),
        anchor: Some("2026-10-24T08:00".to_owned()),
        timezone: Some("Europe/Berlin".to_owned()),
        ..ScheduleSpec::default()
    };
    let schedule = spec.schedule(&Zone::utc()).unwrap();
    let shown = |from: &str| schedule.zone().format(schedule.next_after(at(from)).unwrap());
    assert_eq!(shown("2026-01-01T00:00:00Z"), "2026-10-24T08:00:00+02:00", "nothing comes before the anchor");
    assert_eq!(shown("2026-10-24T19:00:00Z"), "2026-10-25T07:00:00+01:00", "twelve hours, whatever clocks show");
    // Daily from the local midnight, also where midnight of 1970 lies before the epoch.
    check("every 1d", "Asia/Kolkata", "2026-01-01T00:00:00Z", &["2026-01-02T00:00:00+05:30"]);
}

#[test]
fn a_single_time_comes_once() {
    for (text, zone, expected) in [
        ("at 2026-12-24T09:00", "Europe/Berlin", "2026-12-24T09:00:00+01:00"),
        ("at 2026-12-24T09:00:00-05:00", "Europe/Berlin", "2026-12-24T15:00:00+01:00"),
        ("at: 2026-12-24 09:00", "UTC", "2026-12-24T09:00:00+00:00"),
        ("at 2026-03-29T02:30", "Europe/Berlin", "2026-03-29T03:00:00+02:00"),
        ("at 2026-10-25T02:30", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        ("at 2026-10-04T02:10", "Australia/Lord_Howe", "2026-10-04T02:30:00+11:00"),
    ] {
        let schedule = schedule(text, zone);
        let only = schedule.next_after(at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(schedule.zone().format(only), expected, "{text}");
        assert_eq!(schedule.next_after(only), None);
    }
}

#[test]
fn every_answer_is_the_same_from_any_earlier_moment() {
    // What is asked for step by step, all at once or by halving must agree, also around the changes.
    for text in ["*/20 * * * *", "30 2 * * *", "0 */2 * * *", "*/20 2 * * *", "every 37m"] {
        for (zone, from) in [
            ("Europe/Berlin", "2026-03-28T12:00:00Z"),
            ("Europe/Berlin", "2026-10-24T12:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
        ] {
            let (schedule, from) = (schedule(text, zone), at(from));
            let to = from + Duration::from_hours(48);
            let all = schedule.occurrences(from, to, OCCURRENCES_MAX);
            assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{text} {zone}");
            for minute in (0..48 * 60).step_by(17) {
                let t = from + Duration::from_mins(minute);
                assert_eq!(
                    schedule.next_after(t).filter(|next| *next <= to),
                    all.iter().copied().find(|next| *next > t),
                    "{text} {zone} {t}"
                );
                let expected = all.iter().copied().rfind(|last| *last <= t);
                assert_eq!(schedule.last_between(from, t), expected, "{text} {zone} {t}");
            }
        }
    }
}

#[test]
fn the_rarest_patterns_are_found_fast_and_the_end_of_time_is_an_end() {
    assert_eq!(schedule("0 0 1 1 *", "UTC").next_after(Timestamp::from_millis(u64::MAX)), None);
    assert_eq!(schedule("0 0 1 1 *", "Europe/Berlin").next_after(at("9999-06-01T00:00:00Z")), None);
    assert_eq!(schedule("every 1d", "UTC").next_after(Timestamp::from_millis(u64::MAX)), None);
}

#[test]
fn a_wrong_text_is_pointed_at_with_what_is_right() {
    let zone = Zone::utc();
    for (text, carets, message, help) in [
        ("0 9 * * 1-8", "          ^", "8 is no day of the week", "possible are 0 to 7, or sun to sat"),
        ("60 9 * * *", "^^", "60 is no minute", "possible are 0 to 59"),
        ("0 24 * * *", "  ^^", "24 is no hour", "possible are 0 to 23"),
        (
            "0 9 * * mondy",
            "        ^^^^^",
            "`mondy` is no day of the week",
            "did you mean `mon`? Possible are 0 to 7, or sun to sat",
        ),
        (
            "0 9 * Septober *",
            "      ^^^^^^^^",
            "`Septober` is no month",
            "did you mean `sep`? Possible are 1 to 12, or jan to dec",
        ),
        (
            "0 9 * * 1,,3",
            "          ^",
            "a value of the day of the week is missing",
            "possible are 0 to 7, or sun to sat, *, lists (1,5), ranges (1-5) and steps (*/2)",
        ),
        ("0 22-2 * * *", "  ^^^^", "the range 22-2 runs backwards", "write it as 22-23,0-2"),
        ("0 0 * * fri-mon", "        ^^^^^^^", "the range fri-mon runs backwards", "write it as fri-sat,sun-mon"),
        (
            "*/90 * * * *",
            "  ^^",
            "a step of 90 leaves the minute range (0 to 59)",
            "for a longer interval write every: 90m",
        ),
        ("*/0 * * * *", "  ^", "a step of 0 goes nowhere", "a step is 1 or more"),
        ("*/x * * * *", "  ^", "`x` is no step", "a step is a whole number, as in */15"),
        (
            "0 0 30 2 *",
            "    ^^^^",
            "this day never comes: no such month has so many days",
            "write L for the last day of a month",
        ),
        (
            "0 0 15W * *",
            "    ^^^",
            "`15W` is not supported",
            "L is the last day of a month; days of the week can be numbered, as in mon#1 or friL",
        ),
        (
            "0 0 * * mon#6",
            "            ^",
            "`#6` is none of #1 to #5",
            "mon#2 is the second Monday of the month, friL the last Friday",
        ),
        ("@dayly", "^^^^^^", "`@dayly` is no shorthand", "did you mean `@daily`?"),
        (
            "@reboot",
            "^^^^^^^",
            "`@reboot` is no shorthand",
            "a start of Flowcell starts no runs; use an interval, such as every: 15m",
        ),
        ("15m", "^^^", "a cron pattern has 5 fields, or 6 with seconds; this has 1 field", "did you mean `every 15m`?"),
        (
            "2026-12-24T09:00",
            "^^^^^^^^^^^^^^^^",
            "a cron pattern has 5 fields, or 6 with seconds; this has 1 field",
            "did you mean `at 2026-12-24T09:00`?",
        ),
        (
            "every 15 minutes",
            "      ^^^^^^^^^^",
            "`15 minutes` is not a duration: write a whole number and one of ms, s, m, h, d, such as 30s",
            "",
        ),
        ("every 10ms", "      ^^^^", "an interval of 10ms is too short", "the shortest is 1s"),
        ("at 2026-12-24", "   ^^^^^^^^^^", "`2026-12-24` has no time of day", "write it as 2026-12-24T09:00"),
        (
            "at noon",
            "   ^^^^",
            "`noon` is no date and time",
            "write 2026-12-24T09:00 for a time of the time zone, or RFC 3339 with its offset, such as 2026-12-24T09:00:00+01:00",
        ),
        ("ä 9 * * *", "^", "`ä` is no minute", "possible are 0 to 59"),
    ] {
        let error = Schedule::parse(text, &zone).expect_err(text);
        assert_eq!((error.message.as_str(), error.help.as_deref().unwrap_or_default()), (message, help), "{text}");
        assert_eq!(error.point_at(text), format!("{text}\n{carets}"), "{text}");
    }
    for (text, start) in [
        ("0 9 * *", "a cron pattern has 5 fields, or 6 with seconds; this has 4 fields"),
        ("0 0 9 * * 1 2026", "a cron pattern has 5 fields, or 6 with seconds; this has 7"),
        ("", "a cron pattern is missing"),
    ] {
        let error = Schedule::parse(text, &zone).expect_err(text);
        assert_eq!(error.message, start);
        assert!(error.help.unwrap().contains("minute, hour, day of the month, month, day of the week"));
    }
}

#[test]
fn a_wrong_zone_names_the_one_that_is_meant() {
    for (text, help) in [
        ("Berlin", "did you mean `Europe/Berlin`?"),
        ("Europe/Berln", "did you mean `Europe/Berlin`?"),
        ("America/New York", "did you mean `America/New_York`?"),
        ("Asia/Calcuta", "did you mean `Asia/Calcutta`?"),
    ] {
        let error = text.parse::<Zone>().expect_err(text);
        assert_eq!(error.help.as_deref(), Some(help), "{text}");
    }
    for text in ["+01:00", "Middle-Earth", "", "../../etc/passwd"] {
        let error = text.parse::<Zone>().expect_err(text);
        assert!(error.help.unwrap().starts_with("write the name of a place"), "{text}");
    }
    assert_eq!("europe/berlin".parse::<Zone>().unwrap().name(), "Europe/Berlin");
}

#[test]
fn a_schedule_says_in_words_when_it_comes() {
    for (text, sentence) in [
        ("0 9 * * 1-5", "At 09:00 on Monday to Friday, Europe/Berlin time."),
        ("30 8,12,18 * * *", "At 08:30, 12:30 and 18:30 every day, Europe/Berlin time."),
        ("*/15 * * * *", "Every 15 minutes, Europe/Berlin time."),
        (
            "*/15 9-17 * * mon,wed,fri",
            "Every 15 minutes from 09:00 to 17:59 on Monday, Wednesday and Friday, Europe/Berlin time.",
        ),
        ("* * * * *", "Every minute, Europe/Berlin time."),
        ("0 * * * *", "Every hour, on the hour, Europe/Berlin time."),
        ("0 */6 * * *", "At 00:00, 06:00, 12:00 and 18:00 every day, Europe/Berlin time."),
        ("5 */2 * * *", "Every 2 hours, at minute 5, from 00:05 on, Europe/Berlin time."),
        ("0 0 L * *", "At 00:00 on the last day of the month, Europe/Berlin time."),
        ("0 0 13 * fri", "At 00:00 on day 13 of the month and on Friday, Europe/Berlin time."),
        (
            "0 0 */10 * sat,sun",
            "At 00:00 on day 1, 11, 21 and 31 of the month if it is Saturday and Sunday, Europe/Berlin time.",
        ),
        ("0 8 1 1,7 *", "At 08:00 on day 1 of the month in January and July, Europe/Berlin time."),
        ("0 8 * * mon#1", "At 08:00 on the first Monday of the month, Europe/Berlin time."),
        ("*/10 * * * * *", "Every 10 seconds of every minute, Europe/Berlin time."),
        ("30 0 9 * * *", "At 09:00:30 every day, Europe/Berlin time."),
        ("every 15m", "Every 15m of elapsed time, counted from 1970-01-02T00:00:00+01:00."),
        ("at 2026-12-24T09:00", "Once, on Thursday, 2026-12-24T09:00:00+01:00 (Europe/Berlin time)."),
    ] {
        assert_eq!(schedule(text, "Europe/Berlin").describe(), sentence, "{text}");
    }
}

#[test]
fn a_spec_has_one_kind_of_time_and_survives_text() {
    let zone = Zone::utc();
    let read = |json: &str| serde_json::from_str::<ScheduleSpec>(json);
    assert_eq!(read("{}").unwrap().schedule(&zone).unwrap_err().part, Part::Kind);
    assert_eq!(read(r#"{"cron":"@daily","every":"1h"}"#).unwrap().schedule(&zone).unwrap_err().part, Part::Kind);
    assert_eq!(
        read(r#"{"cron":"@daily","anchor":"2026-01-01T00:00"}"#).unwrap().schedule(&zone).unwrap_err().part,
        Part::Anchor
    );
    assert!(read(r#"{"crom":"@daily"}"#).is_err());
    let text = r#"{"cron":"0 9 * * *","timezone":"Europe/Berlin","missed":"all"}"#;
    let spec = read(text).unwrap();
    assert_eq!(serde_json::to_string(&spec).unwrap(), text);
    let schedule = spec.schedule(&zone).unwrap();
    assert_eq!((schedule.missed(), schedule.zone().name()), (Missed::All, "Europe/Berlin"));
    // The same times, written otherwise, are the same schedule.
    assert_eq!(super::tests::schedule(" 0  9 * * * ", "europe/berlin").digest(), schedule.digest());
    assert_ne!(super::tests::schedule("0 9 * * *", "UTC").digest(), schedule.digest());
}

#[test]
fn what_was_missed_is_skipped_made_up_for_once_or_each() {
    let with = |missed| {
        let spec = ScheduleSpec { cron: Some("0 9 * * *".to_owned()), missed, ..ScheduleSpec::default() };
        spec.schedule(&Zone::utc()).unwrap()
    };
    let nine = |day: u32| at(&format!("2026-01-0{day}T09:00:00Z"));
    let after = nine(1);
    let over = |first, last| Some(PassedOver { first: nine(first), last: nine(last) });
    let noon = at("2026-01-04T12:00:00Z");
    for (missed, now, fire, passed_over, decided) in [
        (Missed::Skip, noon, vec![], over(2, 4), nine(4)),
        (Missed::Last, noon, vec![nine(4)], over(2, 3), nine(4)),
        (Missed::All, noon, vec![nine(2), nine(3), nine(4)], None, nine(4)),
        // The newest is on time.
        (Missed::Skip, nine(4) + ON_TIME, vec![nine(4)], over(2, 3), nine(4)),
        (Missed::Last, nine(4) + ON_TIME, vec![nine(4)], over(2, 3), nine(4)),
        // Nothing was missed.
        (Missed::Skip, nine(2) + Duration::from_secs(1), vec![nine(2)], None, nine(2)),
        (Missed::Skip, after, vec![], None, after),
        // The clock stepped back.
        (Missed::All, Timestamp::from_millis(0), vec![], None, after),
    ] {
        let expected = CatchUp { fire, passed_over, decided };
        assert_eq!(with(missed).catch_up(after, now), expected, "{missed:?} at {now}");
    }
}

#[test]
fn of_too_many_missed_times_the_newest_thousand_are_made_up_for() {
    let spec = ScheduleSpec { cron: Some("* * * * * *".to_owned()), missed: Missed::All, ..ScheduleSpec::default() };
    let schedule = spec.schedule(&"Europe/Berlin".parse().unwrap()).unwrap();
    let (after, now) = (at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
    let done = schedule.catch_up(after, now);
    assert_eq!(done.fire.len(), CAUGHT_UP_MAX);
    assert_eq!((done.fire[0], done.fire[999]), (at("2025-12-31T23:43:21Z"), now));
    let passed_over = PassedOver { first: at("2025-01-01T00:00:01Z"), last: at("2025-12-31T23:43:20Z") };
    assert_eq!(done.passed_over, Some(passed_over));
}
