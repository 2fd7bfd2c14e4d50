//! What is said when something is wrong: each failure with its place, and what to do.

use flowcell_sdk::ActionError;
use flowcell_sdk::connection::Facts;
use flowcell_tests::google::Fault;
use serde_json::{Value, json};

use super::Lab;
use crate::create::{create_row, create_rows};
use crate::delete::delete_row;
use crate::look_up::look_up_row;
use crate::update::{update_row, update_rows};
use crate::upsert::upsert_row;

#[track_caller]
fn check(error: ActionError, code: &str, field: &str, words: &[&str]) {
    assert_eq!((error.code.as_ref(), &error.details["field"]), (code, &json!(field)), "{}", error.message);
    for word in words {
        assert!(error.message.contains(word), "`{word}` is not in: {}", error.message);
    }
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are_and_nothing_is_written() {
    let mut lab = Lab::new();
    let before = lab.rows();
    let error = lab.run(create_row, json!({ "values": { "E-mail": "x" } })).expect_err("renamed");
    check(error, "invalid-input", "/values/E-mail", &["`Email`, `Name`, `Total`, `Paid`", "Did you mean `Email`?"]);
    let error = lab.run(create_rows, json!({ "rows": [{ "Name": "x" }, { "a/b": 1 }] })).expect_err("missing");
    check(error, "invalid-input", "/rows/1/a~1b", &["`Orders` has no column `a/b`"]);
    let error = lab.run(look_up_row, json!({ "where": { "column": "Mail", "value": 1 } })).expect_err("missing");
    check(error, "invalid-input", "/where/column", &[]);
    let second = json!({ "where": { "column": "Name", "value": 1 }, "second": { "column": "totl", "value": 1 } });
    check(
        lab.run(look_up_row, second).expect_err("missing"),
        "invalid-input",
        "/second/column",
        &["Did you mean `Total`?"],
    );
    let error = lab.run(upsert_row, json!({ "key": ["email"], "values": { "Email": 1 } })).expect_err("another case");
    check(error, "invalid-input", "/key/0", &["Did you mean `Email`?"]);
    lab.world.borrow_mut().sheet_mut("book", "Orders").put(0, 3, &json!("Email"));
    let error = lab.run(update_row, json!({ "row": 2, "values": { "Email": 1 } })).expect_err("twice");
    check(error, "invalid-input", "/values/Email", &["columns A and D"]);
    assert_eq!(lab.rows()[1..], before[1..]);
}

#[test]
fn what_does_not_fit_a_cell_or_a_row_is_refused_with_its_place() {
    let mut lab = Lab::new();
    check(
        lab.run(create_row, json!({ "values": { "Name": [1] } })).expect_err("a list"),
        "invalid-input",
        "/values/Name",
        &["tojson"],
    );
    check(lab.run(create_row, json!({ "values": {} })).expect_err("nothing"), "invalid-input", "/values", &[]);
    check(
        lab.run(create_row, json!({ "values": { "Name": "" } })).expect_err("empty"),
        "invalid-input",
        "/values",
        &["not empty"],
    );
    for row in [0, 1] {
        check(
            lab.run(delete_row, json!({ "row": row })).expect_err("the header"),
            "invalid-input",
            "/row",
            &["header"],
        );
    }
    check(
        lab.run(update_row, json!({ "row": 9999, "values": { "Name": 1 } })).expect_err("beyond"),
        "invalid-input",
        "/row",
        &["1000"],
    );
    let twice = json!({ "rows": [{ "row": 2, "values": { "Name": 1 } }, { "row": 2, "values": { "Name": 2 } }] });
    check(lab.run(update_rows, twice).expect_err("twice"), "invalid-input", "/rows/1/row", &["twice"]);
}

#[test]
fn a_spreadsheet_or_worksheet_that_is_not_there_is_named() {
    let mut lab = Lab::new();
    let values = json!({ "Name": "x" });
    let error = lab.run(create_row, json!({ "spreadsheet": "nope", "values": values })).expect_err("unknown");
    check(error, "invalid-input", "/spreadsheet", &["`nope`", "/spreadsheets/d/"]);
    for id in ["", "book/../other", "book?x", "https://example.com/book", "böok"] {
        let error = lab.run(create_row, json!({ "spreadsheet": id, "values": values })).expect_err("no id");
        check(error, "invalid-input", "/spreadsheet", &[]);
    }
    lab.requests();
    let error = lab.run(create_row, json!({ "worksheet": "Order", "values": values })).expect_err("unknown");
    check(error, "invalid-input", "/worksheet", &["`Orders`, `It's empty`", "Did you mean `Orders`?"]);
    assert_eq!(lab.requests(), 2, "the list is asked for when it is needed");
    let error = lab.run(create_row, json!({ "worksheet": "It's empty", "values": values })).expect_err("no header");
    check(error, "invalid-input", "/values/Name", &["header row is empty"]);
    let error = lab.run(create_row, json!({ "header_row": 5000, "values": values })).expect_err("no such row");
    check(error, "invalid-input", "/header_row", &["5000"]);
}

#[test]
fn the_quota_says_when_to_come_back() {
    let mut lab = Lab::new();
    let with = json!({ "values": { "Name": "x" } });
    for (retry_after_s, expected) in [(Some(17), 17_000..17_001), (None, 30_000..60_000)] {
        lab.world.borrow_mut().fail(":batchUpdate", Fault::Quota { retry_after_s });
        let error = lab.run(create_row, with.clone()).expect_err("too many");
        assert_eq!((error.code.as_ref(), error.retryable), ("rate-limited", true));
        assert!(expected.contains(&error.retry_after_ms.expect("a time")), "{:?}", error.retry_after_ms);
        assert_eq!(error.details["quota"], "WriteRequestsPerMinutePerUser");
        assert!(error.message.contains("WriteRequestsPerMinutePerUser"), "{}", error.message);
    }
    assert_eq!(lab.rows().len(), 4);
}

#[test]
fn refused_credentials_and_unshared_spreadsheets_say_what_to_do() {
    let mut lab = Lab::new();
    let with = json!({ "values": { "Name": "x" } });
    lab.world.borrow_mut().fail("GET", Fault::Status(401));
    let error = lab.run(create_row, with.clone()).expect_err("refused");
    assert_eq!((error.code.as_ref(), error.retryable), ("unauthorized", false));
    lab.world.borrow_mut().spreadsheets.get_mut("book").expect("it is there").shared = false;
    let error = lab.run(create_row, with.clone()).expect_err("not shared");
    assert_eq!(
        (error.code.as_ref(), error.retryable, &error.details["spreadsheet"]),
        ("forbidden", false, &json!("book"))
    );
    assert!(error.message.contains("share it"), "{}", error.message);
}

#[test]
fn what_passes_is_worth_another_attempt() {
    let mut lab = Lab::new();
    let with = json!({ "values": { "Name": "x" } });
    for fault in [Fault::Status(500), Fault::Status(503), Fault::CutAfterEffect] {
        lab.world.borrow_mut().fail("GET", fault);
        assert!(lab.run(create_row, with.clone()).expect_err("it fails").retryable);
    }
    assert_eq!(lab.run(create_row, with).expect("it works")["row"], Value::from(5));
}

#[test]
fn the_connection_and_its_account_are_named() {
    let mut lab = Lab::new();
    lab.host.set_connection(Facts {
        name: "google".to_owned(),
        account: Some("flow@p.iam.gserviceaccount.com".to_owned()),
        ..Facts::default()
    });
    let with = json!({ "values": { "Name": "x" } });
    lab.world.borrow_mut().fail("GET", Fault::Status(401));
    let error = lab.run(create_row, with.clone()).expect_err("refused");
    assert!(error.message.contains("the connection `google`"), "{}", error.message);
    assert_eq!(error.details["connection"], "google");
    lab.world.borrow_mut().spreadsheets.get_mut("book").expect("it is there").shared = false;
    let error = lab.run(create_row, with).expect_err("not shared");
    assert!(error.message.contains("share it with flow@p.iam.gserviceaccount.com as an editor"), "{}", error.message);
    assert_eq!(error.details["share_with"], "flow@p.iam.gserviceaccount.com");
}
