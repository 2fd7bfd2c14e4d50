use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(json: &str, pauses: &str) -> Result<Window, ScheduleError> {
    let window: settings::Window = serde_json::from_str(json).unwrap();
    let pauses: Vec<settings::Pause> = serde_json::from_str(pauses).unwrap();
    Window::of(&window, &pauses, &"Europe/Berlin".parse().unwrap())
}

#[test]
fn a_window_opens_and_closes_by_the_clocks_of_its_zone() {
    let office = r#"{ "days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00" }"#;
    let night = r#"{ "days": ["fri"], "from": "22:00", "to": "06:00" }"#;
    let early = r#"{ "days": ["sun"], "from": "02:15", "to": "02:45" }"#;
    let pauses = r#"["2026-12-24", { "from": "2026-12-31", "to": "2027-01-01" }]"#;
    for (spec, pauses, now, open) in [
        // Open: at once.
        (office, "[]", "2026-01-05T08:00:00Z", Some("2026-01-05T08:00:00Z")),
        (office, "[]", "2026-01-05T15:59:59.999Z", Some("2026-01-05T15:59:59.999Z")),
        // Closed until the morning, until Monday, and in summer an hour earlier.
        (office, "[]", "2026-01-05T16:00:00Z", Some("2026-01-06T08:00:00Z")),
        (office, "[]", "2026-01-09T16:00:00Z", Some("2026-01-12T08:00:00Z")),
        (office, "[]", "2026-03-28T12:00:00Z", Some("2026-03-30T07:00:00Z")),
        // Pauses are local days.
        (office, pauses, "2026-12-23T16:30:00Z", Some("2026-12-25T08:00:00Z")),
        (office, pauses, "2026-12-30T23:30:00Z", Some("2027-01-04T08:00:00Z")),
        (office, r#"[{ "from": "2026-01-01", "to": "2099-01-01" }]"#, "2026-02-01T00:00:00Z", None),
        // Over midnight; the morning after a pause is open although it began in it.
        (night, "[]", "2026-01-10T04:59:59Z", Some("2026-01-10T04:59:59Z")),
        (night, "[]", "2026-01-10T05:00:00Z", Some("2026-01-16T21:00:00Z")),
        (night, r#"["2026-01-09"]"#, "2026-01-09T12:00:00Z", Some("2026-01-09T23:00:00Z")),
        // Wholly inside the gap of 2026-03-29: it opens a week later. Twice in October: it opens twice.
        (early, "[]", "2026-03-28T12:00:00Z", Some("2026-04-05T00:15:00Z")),
        (early, "[]", "2026-10-25T00:45:00Z", Some("2026-10-25T01:15:00Z")),
        (r#"{ "from": "02:30" }"#, "[]", "2026-03-29T00:30:00Z", Some("2026-03-29T01:00:00Z")),
        (
            r#"{ "timezone": "Asia/Kolkata", "to": "24:00", "days": ["sun"] }"#,
            "[]",
            "2026-01-03T12:00:00Z",
            Some("2026-01-03T18:30:00Z"),
        ),
    ] {
        let window = window(spec, pauses).unwrap();
        assert_eq!(window.next_open(at(now)), open.map(at), "{spec} {pauses} {now}");
        assert_eq!(window.is_open(at(now)), open == Some(now), "{spec} {now}");
    }
}

#[test]
fn the_next_opening_is_the_first_open_minute() {
    let specs = [
        r#"{ "days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00" }"#,
        r#"{ "days": ["sat", "sun"], "from": "22:30", "to": "02:30" }"#,
        r#"{ "days": ["sun"], "from": "02:15", "to": "02:45" }"#,
        r#"{ "from": "02:30", "to": "02:00", "days": ["sat", "sun", "mon"] }"#,
    ];
    for (spec, start) in
        specs.iter().flat_map(|spec| ["2026-03-27T12:00:00Z", "2026-10-23T12:00:00Z"].map(|start| (spec, start)))
    {
        let window = window(spec, r#"["2026-03-28", "2026-10-26"]"#).unwrap();
        let minutes: Vec<_> =
            (0..9 * 24 * 60).map(|minute| at(start) + std::time::Duration::from_mins(minute)).collect();
        let mut open = None;
        for minute in minutes.into_iter().rev() {
            if window.is_open(minute) {
                open = Some(minute);
            }
            // The last days of the list cannot tell when it opens after them.
            if open.is_some() && minute.as_millis() % 3_000_000 == 0 {
                assert_eq!(window.next_open(minute), open, "{spec} {minute}");
            }
        }
    }
}

#[test]
fn a_wrong_window_is_refused_in_words() {
    for (spec, pauses, words) in [
        (
            r#"{ "from": "24:00" }"#,
            "[]",
            "a window cannot open at 24:00, the end of the day; open from 00:00 is open from the start of the day",
        ),
        (
            r#"{ "from": "09:00", "to": "09:00" }"#,
            "[]",
            "the window opens and closes at 09:00; leave `from` and `to` out for a whole day",
        ),
        (r#"{ "timezone": "Berlin" }"#, "[]", "there is no time zone `Berlin`; did you mean `Europe/Berlin`?"),
    ] {
        assert_eq!(window(spec, pauses).unwrap_err().in_words(), words);
    }
}

#[test]
fn what_a_run_asks_takes_the_zone_of_the_workflow_or_utc() {
    let window: settings::Window = serde_json::from_str(r#"{ "from": "09:00" }"#).unwrap();
    let paused: Vec<settings::Pause> = serde_json::from_str(r#"["2026-01-05"]"#).unwrap();
    let opening = |window: Option<_>, zone| ZonedCalendar.opens(window, &paused, zone, at("2026-01-05T12:00:00Z"));
    assert_eq!(opening(Some(&window), Some("Europe/Berlin")), Some(at("2026-01-06T08:00:00Z")));
    assert_eq!(opening(Some(&window), None), Some(at("2026-01-06T09:00:00Z")));
    assert_eq!(opening(None, Some("Europe/Berlin")), Some(at("2026-01-05T23:00:00Z")));
    assert_eq!(opening(None, Some("Berlin")), None);
}
