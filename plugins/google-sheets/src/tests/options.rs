//! What forms can choose from.

use flowcell_sdk::options::OptionsQuery;
use flowcell_tests::google::Spreadsheet;
use serde_json::{Value, json};

use super::Lab;
use crate::options::choices;

fn labels(options: &Value) -> Vec<&str> {
    let options = options["options"].as_array().expect("a list");
    options.iter().map(|option| option["label"].as_str().expect("a text")).collect()
}

#[test]
fn drives_spreadsheets_worksheets_and_columns_are_offered() {
    let lab = Lab::new();
    {
        let mut world = lab.world.borrow_mut();
        world.drives = vec![("drive-1".to_owned(), "Sales".to_owned())];
        let mut other = Spreadsheet::new("leads", &[("Leads", json!([]))]);
        (other.title, other.drive) = ("Ada's leads".to_owned(), Some("drive-1".to_owned()));
        world.spreadsheets.insert("leads".to_owned(), other);
    }
    let ask = |field: &str, input: Value, search: Option<&str>| {
        let query = OptionsQuery { search: search.map(str::to_owned), after: None };
        lab.host.options(choices, field, input, query).expect("it works")
    };
    assert_eq!(ask("/drive", json!({}), None)["options"], json!([{ "value": "drive-1", "label": "Sales" }]));
    assert_eq!(labels(&ask("/spreadsheet", json!({}), None)), ["The book book", "Ada's leads"]);
    assert_eq!(labels(&ask("/spreadsheet", json!({}), Some("BOOK"))), ["The book book"]);
    assert_eq!(
        ask("/spreadsheet", json!({ "drive": "drive-1" }), None)["options"],
        json!([{ "value": "leads", "label": "Ada's leads" }])
    );
    let book = json!({ "spreadsheet": "book", "worksheet": "Orders" });
    assert_eq!(labels(&ask("/worksheet", book.clone(), None)), ["Orders", "It's empty"]);
    assert_eq!(labels(&ask("/worksheet", book.clone(), Some("ord"))), ["Orders"]);
    for field in ["/values", "/where/column", "/second/column", "/key"] {
        assert_eq!(labels(&ask(field, book.clone(), None)), ["Email", "Name", "Total", "Paid"], "{field}");
    }
    assert!(lab.host.requests().iter().all(|request| request.method == "GET"), "choices only read");
}

#[test]
fn many_spreadsheets_come_in_pages() {
    let lab = Lab::with(&[]);
    for number in 0..150 {
        let id = format!("book-{number:03}");
        lab.world.borrow_mut().add(&id, &[]);
    }
    let page = |after: Option<String>| {
        let query = OptionsQuery { search: None, after };
        lab.host.options(choices, "/spreadsheet", json!({}), query).expect("it works")
    };
    let first = page(None);
    let second = page(first["next"].as_str().map(str::to_owned));
    assert_eq!((labels(&first).len(), labels(&second).len(), second.get("next")), (100, 51, None));
}
