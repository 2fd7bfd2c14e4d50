//! What fires, what does not, and that no cut between a poll and its storage loses or doubles anything.

use std::collections::{BTreeMap, BTreeSet};

use flowcell_sdk::log::Level;
use flowcell_sdk::poll::Polled;
use serde_json::{Value, json};

use super::{Cursor, row_changed};
use crate::tests::{Lab, orders};

/// The host's side: what it has stored.
struct Host {
    config: Value,
    cursor: Option<Value>,
}

impl Host {
    fn new(config: Value) -> Self {
        let mut whole = json!({ "spreadsheet": "book", "worksheet": "Orders" });
        for (name, value) in config.as_object().expect("an object") {
            whole[name] = value.clone();
        }
        Self { config: whole, cursor: None }
    }

    fn asked(&self, lab: &Lab) -> Polled<Value, Value> {
        lab.host.poll(row_changed, self.config.clone(), self.cursor.clone()).expect("it works")
    }

    /// Polls until nothing more is there; returns `new 5` or `changed 2` for each event.
    fn poll(&mut self, lab: &Lab) -> Vec<String> {
        let mut fired = Vec::new();
        loop {
            let polled = self.asked(lab);
            assert!(polled.events.len() <= 100);
            let said = |event: &Value| format!("{} {}", event["change"].as_str().expect("a change"), event["row"]);
            fired.extend(polled.events.iter().map(|event| said(&event.payload)));
            self.cursor = polled.cursor;
            if !polled.more {
                return fired;
            }
        }
    }
}

fn put(lab: &Lab, row: usize, column: usize, value: &Value) {
    lab.world.borrow_mut().sheet_mut("book", "Orders").put(row - 1, column, value);
}

fn warned(lab: &Lab) -> Vec<String> {
    lab.host.lines().into_iter().filter(|(level, _)| *level == Level::Warn).map(|(_, line)| line).collect()
}

#[test]
fn new_and_changed_rows_fire_and_nothing_else() {
    let lab = Lab::new();
    let mut host = Host::new(json!({}));
    assert_eq!(host.poll(&lab), [""; 0], "what is there already does not");
    assert_eq!(host.poll(&lab), [""; 0]);
    put(&lab, 5, 0, &json!("eve@example.com"));
    put(&lab, 3, 2, &json!(8));
    let polled = host.asked(&lab);
    assert_eq!(
        polled.events[0].payload,
        json!({ "change": "changed", "row": 3, "spreadsheet": "book", "worksheet": "Orders",
                "values": { "Email": "grace@example.com", "Name": "Grace", "Total": 8, "Paid": false } })
    );
    assert_eq!(host.poll(&lab), ["changed 3", "new 5"]);
    assert_eq!(host.poll(&lab), [""; 0]);
    // A value and back are two changes.
    put(&lab, 3, 2, &json!(7));
    assert_eq!(host.poll(&lab), ["changed 3"]);
    assert!(warned(&lab).is_empty());
}

#[test]
fn rows_that_move_or_go_do_not_fire() {
    let lab = Lab::new();
    let mut host = Host::new(json!({}));
    host.poll(&lab);
    lab.world.borrow_mut().sheet_mut("book", "Orders").insert_rows(2, 1);
    put(&lab, 3, 1, &json!("Between"));
    assert_eq!(host.poll(&lab), ["new 3"]);
    lab.world.borrow_mut().sheet_mut("book", "Orders").delete_rows(1, 2);
    assert_eq!(host.poll(&lab), [""; 0]);
    lab.world.borrow_mut().sheet_mut("book", "Orders").delete_rows(1, 4);
    assert_eq!(host.poll(&lab), [""; 0]);
    put(&lab, 2, 1, &json!("After all"));
    assert_eq!(host.poll(&lab), ["new 2"]);
}

#[test]
fn with_a_key_a_row_is_the_same_wherever_it_is() {
    let lab = Lab::with(&[("Orders", json!([["No", "State"], [1, "open"], [2, "open"], [3, "open"]]))]);
    let mut host = Host::new(json!({ "key": "No" }));
    host.poll(&lab);
    // Sorted the other way round, one of them changed, one without a key.
    for (row, (number, state)) in [(3, "open"), (2, "paid"), (1, "open")].into_iter().enumerate() {
        put(&lab, row + 2, 0, &json!(number));
        put(&lab, row + 2, 1, &json!(state));
    }
    put(&lab, 5, 1, &json!("no number yet"));
    assert_eq!(host.poll(&lab), ["changed 3"]);
    put(&lab, 5, 0, &json!(4));
    assert_eq!(host.poll(&lab), ["new 5"]);
    // Two rows with one key are compared in their order.
    put(&lab, 6, 0, &json!(4));
    assert_eq!(host.poll(&lab), ["new 6"]);
}

#[test]
fn only_what_is_asked_for_fires() {
    let lab = Lab::new();
    let mut hosts = ["new", "changed", "new-or-changed"].map(|kind| Host::new(json!({ "fire_on": kind })));
    let mut total = Host::new(json!({ "columns": ["Total"] }));
    let mut all = Host::new(json!({ "existing_rows": true }));
    assert_eq!(all.poll(&lab), ["new 2", "new 3", "new 4"]);
    hosts.iter_mut().chain([&mut total]).for_each(|host| assert!(host.poll(&lab).is_empty()));
    put(&lab, 2, 1, &json!("Augusta"));
    put(&lab, 5, 2, &json!(1));
    let fired = hosts.each_mut().map(|host| host.poll(&lab));
    assert_eq!(fired, [vec!["new 5"], vec!["changed 2"], vec!["changed 2", "new 5"]]);
    assert_eq!(
        (total.poll(&lab), all.poll(&lab)),
        (vec!["new 5".to_owned()], vec!["changed 2".to_owned(), "new 5".to_owned()])
    );
}

#[test]
fn a_renamed_column_fires_nothing_and_says_so() {
    let lab = Lab::new();
    let mut host = Host::new(json!({}));
    host.poll(&lab);
    put(&lab, 1, 0, &json!("E-mail"));
    put(&lab, 3, 1, &json!("Grace H."));
    assert_eq!(host.poll(&lab), ["changed 3"], "what did change fires");
    assert!(warned(&lab)[0].contains("`Email` is `E-mail` now"), "{:?}", warned(&lab));
    assert!(host.poll(&lab).is_empty() && warned(&lab).len() == 1, "it is said once");
    // A column that the trigger names is missed, until somebody says what is meant.
    let mut named = Host::new(json!({ "key": "Email" }));
    named.cursor = host.cursor.clone();
    let error = lab.host.poll(row_changed, named.config.clone(), None).expect_err("it is not there");
    assert_eq!((error.code.as_ref(), &error.details["field"]), ("invalid-input", &json!("/key")));
    assert!(error.message.contains("Did you mean `E-mail`?"), "{}", error.message);
}

#[test]
fn columns_that_move_everything_make_a_new_beginning_and_say_so() {
    let lab = Lab::new();
    let mut host = Host::new(json!({}));
    host.poll(&lab);
    // A column between: every cell right of it moves.
    let rows = orders();
    for (row, cells) in rows.as_array().expect("rows").iter().enumerate() {
        put(&lab, row + 1, 0, &json!(if row == 0 { "Id".to_owned() } else { format!("id-{row}") }));
        for (column, cell) in cells.as_array().expect("cells").iter().enumerate() {
            put(&lab, row + 1, column + 1, cell);
        }
    }
    assert_eq!(host.poll(&lab), [""; 0]);
    assert!(warned(&lab)[0].contains("new: `Id`") && warned(&lab)[0].contains("do not fire"), "{:?}", warned(&lab));
    put(&lab, 2, 1, &json!("x"));
    assert_eq!(host.poll(&lab), ["changed 2"]);
    // One more at the right end, still empty, moves nothing.
    put(&lab, 1, 5, &json!("Note"));
    put(&lab, 3, 5, &json!("first"));
    assert_eq!(host.poll(&lab), ["changed 3"]);
    assert!(warned(&lab)[1].contains("new: `Note`"), "{:?}", warned(&lab));
}

#[test]
fn many_at_once_come_in_turns_of_a_hundred() {
    let lab = Lab::new();
    let mut host = Host::new(json!({}));
    host.poll(&lab);
    put(&lab, 2, 2, &json!("changed last"));
    lab.world.borrow_mut().sheet_mut("book", "Orders").insert_rows(1, 250);
    for row in 0..250 {
        put(&lab, row + 2, 0, &json!(format!("{row}@example.com")));
    }
    let polled = host.asked(&lab);
    assert_eq!((polled.events.len(), polled.more), (100, true));
    let fired = host.poll(&lab);
    assert_eq!((fired.len(), fired.iter().collect::<BTreeSet<_>>().len()), (251, 251));
    assert_eq!(host.poll(&lab), [""; 0]);
}

#[test]
fn of_a_very_long_worksheet_the_last_rows_are_watched() {
    // In tests, 500 rows are very many.
    let rows: Vec<Value> = (0..800).map(|number| json!([number, "x"])).collect();
    let lab = Lab::with(&[("Orders", json!(std::iter::once(json!(["No", "State"])).chain(rows).collect::<Vec<_>>()))]);
    let mut host = Host::new(json!({}));
    host.poll(&lab);
    put(&lab, 2, 1, &json!("too far up"));
    put(&lab, 700, 1, &json!("changed"));
    put(&lab, 802, 0, &json!(800));
    assert_eq!(host.poll(&lab), ["changed 700", "new 802"]);
    assert!(warned(&lab)[0].contains("only those from row 303 on"), "{:?}", warned(&lab));
    let size = host.cursor.as_ref().map(|cursor| cursor.to_string().len());
    assert!(size < Some(500 * 6 + 200), "{size:?}");
}

#[test]
fn a_poll_that_dies_before_it_is_stored_neither_loses_nor_doubles_anything() {
    // Any order of changes and of polls that are stored or not: each version of each row starts exactly one run.
    for key in [json!({}), json!({ "key": "No" })] {
        for cuts in 0..64_u32 {
            let lab = Lab::with(&[("Orders", json!([["No", "State"]]))]);
            let mut host = Host::new(key.clone());
            let mut runs: BTreeMap<String, Value> = BTreeMap::new();
            let mut doubled = 0;
            host.poll(&lab);
            for step in 0..6 {
                // A new row, and a change of the one before.
                put(&lab, step + 2, 0, &json!(step));
                put(&lab, step + 2, 1, &json!("open"));
                if step > 0 {
                    put(&lab, step + 1, 1, &json!(format!("closed {step}")));
                }
                let is_cut = cuts >> step & 1 == 1;
                let polled = host.asked(&lab);
                if is_cut {
                    // The host died after the fetch. It may have stored some runs, not the cursor: the keys tell.
                    let again = host.asked(&lab);
                    assert_eq!(again, polled, "a poll made again brings the same");
                }
                for event in polled.events {
                    let dedupe_key = event.dedupe_key.expect("each has one");
                    doubled += usize::from(runs.insert(dedupe_key, event.payload).is_some());
                }
                host.cursor = polled.cursor;
            }
            assert_eq!((runs.len(), doubled), (11, 0), "6 new ones and 5 changes; cuts {cuts:06b}");
            // Where the runs of a poll were stored and its cursor was not, and the rows went on changing:
            let before = host.cursor.clone();
            put(&lab, 2, 1, &json!("paid"));
            let lost = host.asked(&lab);
            put(&lab, 3, 1, &json!("paid"));
            host.cursor = before;
            let polled = host.asked(&lab);
            assert_eq!(polled.events.len(), 2);
            assert_eq!(polled.events[0].dedupe_key, lost.events[0].dedupe_key);
        }
    }
}

#[test]
fn a_cut_between_turns_goes_on_with_the_rest() {
    let lab = Lab::with(&[("Orders", json!([["No", "State"]]))]);
    let mut host = Host::new(json!({ "key": "No" }));
    host.poll(&lab);
    for row in 0..230 {
        put(&lab, row + 2, 0, &json!(row));
    }
    let mut fired = BTreeSet::new();
    for turn in 0..3 {
        // Each turn is asked twice, and stored once.
        let (lost, polled) = (host.asked(&lab), host.asked(&lab));
        assert_eq!(lost, polled);
        assert_eq!(polled.more, turn < 2);
        for event in &polled.events {
            assert!(fired.insert(event.payload["row"].as_u64()), "{event:?}");
        }
        host.cursor = polled.cursor;
    }
    assert_eq!(fired.len(), 230);
}

#[test]
fn a_cursor_survives_its_json_and_one_that_is_no_cursor_is_refused() {
    let lab = Lab::new();
    let mut host = Host::new(json!({}));
    host.poll(&lab);
    let stored = host.cursor.clone().expect("a cursor");
    let read: Cursor = serde_json::from_value(stored.clone()).expect("it is one");
    assert_eq!(serde_json::to_value(read).expect("JSON"), stored);
}
