//! A step is repeated, and what it does happens once.

use flowcell_tests::google::{Fault, Metadata};
use serde_json::{Value, json};

use super::Lab;
use crate::create::{create_row, create_rows};
use crate::delete::{delete_by_look_up, delete_row};
use crate::look_up::look_up_row;
use crate::update::{update_by_look_up, update_row};
use crate::upsert::upsert_row;

/// Runs an action whose first attempt dies after Google did the work, then twice more: the worksheet looks as if it had run once.
macro_rules! cut_and_repeated {
    ($action:expr, $with:expr, $request:expr) => {{
        let with: Value = $with;
        let mut once = Lab::new();
        let wanted = once.run($action, with.clone()).expect("it works");
        let rows = once.rows();
        drop(once);
        let mut lab = Lab::new();
        lab.world.borrow_mut().fail($request, Fault::CutAfterEffect);
        let error = lab.run($action, with.clone()).expect_err("the connection was lost");
        assert!(error.retryable, "{error:?}");
        for _ in 0..2 {
            let output = lab.again($action, with.clone()).expect("it works");
            assert_eq!(lab.rows(), rows, "{with}");
            assert_eq!(output["repeated"], true, "{with}");
            for member in ["count", "updated", "deleted", "created", "outcome", "values"] {
                if member != "values" || output.get("deleted").is_none() {
                    assert_eq!(output.get(member), wanted.get(member), "{member} of {with}");
                }
            }
        }
        // Another step with the same input is another step.
        let _ = lab.run($action, with);
    }};
}

#[test]
fn every_change_happens_once() {
    let ada = json!({ "column": "Email", "value": "ada@example.com" });
    cut_and_repeated!(create_row, json!({ "values": { "Name": "Eve" } }), ":batchUpdate");
    cut_and_repeated!(create_rows, json!({ "rows": [{ "Name": "Eve" }, { "Name": "Eve" }] }), ":batchUpdate");
    cut_and_repeated!(update_row, json!({ "row": 3, "values": { "Name": "Eve" } }), ":batchUpdate");
    // What it looks for is what it changes: the second row that fits must stay as it is.
    cut_and_repeated!(update_by_look_up, json!({ "where": ada, "values": { "Email": "done" } }), ":batchUpdate");
    cut_and_repeated!(
        update_by_look_up,
        json!({ "where": ada, "which": "all", "values": { "Email": "done" } }),
        ":batchUpdate"
    );
    cut_and_repeated!(delete_row, json!({ "row": 2 }), ":batchUpdate");
    cut_and_repeated!(delete_by_look_up, json!({ "where": ada }), ":batchUpdate");
    cut_and_repeated!(
        upsert_row,
        json!({ "key": ["Email"], "values": { "Email": "eve@example.com", "Total": 1 } }),
        ":batchUpdate"
    );
    cut_and_repeated!(
        upsert_row,
        json!({ "key": ["Email"], "values": { "Email": "grace@example.com", "Total": 1 } }),
        ":batchUpdate"
    );
    let missing = json!({ "where": { "column": "Email", "value": "eve@example.com" }, "values": { "Email": "other" }, "if_missing": "create" });
    cut_and_repeated!(update_by_look_up, missing, ":batchUpdate");
}

#[test]
fn values_that_are_entered_are_entered_once_wherever_the_step_is_cut() {
    let ada = json!({ "column": "Email", "value": "ada@example.com" });
    for request in ["book:batchUpdate", "values:batchUpdate"] {
        let typed = json!({ "Name": "=1+1", "Total": "42" });
        cut_and_repeated!(create_row, json!({ "values": typed, "enter_as": "user-entered" }), request);
        cut_and_repeated!(create_rows, json!({ "rows": [typed, typed], "enter_as": "user-entered" }), request);
        cut_and_repeated!(update_row, json!({ "row": 3, "values": typed, "enter_as": "user-entered" }), request);
        let changed = json!({ "Email": "=1+2" });
        cut_and_repeated!(
            update_by_look_up,
            json!({ "where": ada, "values": changed, "enter_as": "user-entered" }),
            request
        );
        cut_and_repeated!(
            update_by_look_up,
            json!({ "where": ada, "which": "all", "values": changed, "enter_as": "user-entered" }),
            request
        );
    }
}

#[test]
fn a_row_that_was_created_for_a_look_up_is_found_by_its_repetition() {
    let mut lab = Lab::new();
    let with = json!({ "where": { "column": "Name", "value": "Eve" }, "if_missing": "create", "values": { "Email": "eve@example.com" } });
    lab.world.borrow_mut().fail(":batchUpdate", Fault::CutAfterEffect);
    lab.run(look_up_row, with.clone()).expect_err("the connection was lost");
    let output = lab.again(look_up_row, with).expect("it works");
    assert_eq!((&output["created"], &output["repeated"], lab.rows().len()), (&json!(true), &json!(true), 5));
}

#[test]
fn an_attempt_that_was_given_up_and_comes_late_adds_nothing() {
    let mut lab = Lab::new();
    let with = json!({ "values": { "Name": "Eve" } });
    lab.run(create_row, with.clone()).expect("it works");
    // Its read was answered before the other attempt's write: it sees no mark, and writes.
    let marks = std::mem::take(&mut lab.world.borrow_mut().spreadsheets.get_mut("book").expect("it is there").metadata);
    let sheet = crate::worksheet::Worksheet::open(
        &lab.host.context,
        crate::worksheet::Place { spreadsheet: "book", worksheet: Some("Orders"), header_row: 1 },
    );
    let sheet = sheet.expect("it opens");
    lab.world.borrow_mut().spreadsheets.get_mut("book").expect("it is there").metadata = marks;
    let late = crate::create::create(
        &lab.host.context,
        &sheet,
        serde_json::from_value(with["values"].clone()).expect("values"),
        crate::input::EnterAs::Raw,
    );
    assert!(late.expect("it is done").repeated);
    assert_eq!(lab.rows().len(), 5);
}

#[test]
fn old_marks_go_when_there_are_many() {
    let mut lab = Lab::new();
    let with = json!({ "values": { "Name": "Eve" } });
    let old = |number: u64| Metadata {
        id: number + 1,
        key: "flowcell".to_owned(),
        // The later ones stand first.
        value: Some(format!("00000000-{:x}-a1", 1_000_000 - number)),
        visibility: "DOCUMENT".to_owned(),
        sheet: Some(0),
    };
    let of_others = Metadata { id: 999, key: "theirs".to_owned(), ..old(998) };
    let marks = |lab: &Lab| lab.world.borrow().spreadsheets["book"].metadata.clone();
    lab.world.borrow_mut().spreadsheets.get_mut("book").expect("it is there").metadata =
        (0..400).map(old).chain([of_others.clone()]).collect();
    lab.run(create_row, with.clone()).expect("it works");
    assert_eq!((marks(&lab).len(), lab.requests()), (402, 2));
    lab.run(create_row, with.clone()).expect("it works");
    // 401 were read; of these the newest 200 stay.
    assert_eq!((marks(&lab).len(), lab.requests()), (202, 3));
    assert!(marks(&lab).contains(&of_others) && marks(&lab).contains(&old(0)) && !marks(&lab).contains(&old(399)));
    // A step of a moment ago is still known.
    assert_eq!(lab.again(create_row, with).expect("it works")["repeated"], true);
    assert_eq!(lab.rows().len(), 6);
}

#[test]
fn somebody_elses_metadata_with_the_same_number_is_no_mark() {
    let mut lab = Lab::new();
    let with = json!({ "values": { "Name": "Eve" } });
    lab.run(create_row, with.clone()).expect("it works");
    {
        let mut world = lab.world.borrow_mut();
        let mark = &mut world.spreadsheets.get_mut("book").expect("it is there").metadata[0];
        mark.value = Some("something else".to_owned());
    }
    let output = lab.again(create_row, with.clone()).expect("it works");
    assert_eq!((&output["repeated"], lab.rows().len()), (&json!(false), 6));
    assert_eq!(lab.again(create_row, with).expect("it works")["repeated"], true);
    assert_eq!(lab.rows().len(), 6);
}
