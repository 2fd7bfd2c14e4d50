#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
#![allow(clippy::format_collect, reason = "tables")]

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::compare::Comparator;
use super::*;
use crate::expression::Scope;
use crate::id::{EventId, RunId, WorkspaceId};
use crate::run::event::{Recorded, RunEvent};
use crate::run::fold::Run;
use crate::time::Timestamp;
use crate::workflow::Workflow;

/// What a comparison of two values says.
fn compared(value: &Value, is: &str, to: &Value) -> String {
    let is: Comparison = is.parse().expect("a comparison");
    let comparator = Comparator::new(is, Some(to));
    match comparator.and_then(|comparator| comparator.holds(Some(value), Some(to))) {
        Ok(true) => "yes".to_owned(),
        Ok(false) => "no".to_owned(),
        Err(message) => message,
    }
}

fn table(cases: &[(Value, &str, Value)], expected: &Expect) {
    let rows = cases.iter().map(|(value, is, to)| format!("{value} {is} {to}: {}\n", compared(value, is, to)));
    expected.assert_eq(&rows.collect::<String>());
}

#[test]
fn values_are_equal_by_these_rules() {
    table(
        &[
            (json!(1), "equal", json!(1.0)),
            (json!("1"), "equal", json!(1)),
            (json!("1.50"), "equal", json!(1.5)),
            (json!(" 7 "), "equal", json!(7)),
            (json!("1.50"), "equal", json!("1.5")),
            (json!("seven"), "equal", json!(7)),
            (json!("+7"), "equal", json!(7)),
            (json!(9_007_199_254_740_993_u64), "equal", json!(9_007_199_254_740_992_u64)),
            (json!(18_446_744_073_709_551_615_u64), "equal", json!("18446744073709551615")),
            (json!("DE"), "equal", json!("de")),
            (json!(true), "equal", json!("true")),
            (json!("True"), "equal", json!(true)),
            (json!(1), "equal", json!(true)),
            (json!(null), "equal", json!(null)),
            (json!(null), "equal", json!("")),
            (json!(null), "equal", json!(0)),
            (json!([1, "2"]), "equal", json!([1.0, 2])),
            (json!([1, 2]), "equal", json!([2, 1])),
            (json!({"a": 1, "b": [null]}), "equal", json!({"b": [null], "a": "1"})),
            (json!({"a": 1}), "equal", json!({"a": 1, "b": 2})),
            (json!([]), "equal", json!({})),
            (json!("a"), "not-equal", json!("b")),
            (json!(null), "not-equal", json!("b")),
        ],
        &expect![[r#"
            1 equal 1.0: yes
            "1" equal 1: yes
            "1.50" equal 1.5: yes
            " 7 " equal 7: yes
            "1.50" equal "1.5": no
            "seven" equal 7: no
            "+7" equal 7: no
            9007199254740993 equal 9007199254740992: no
            18446744073709551615 equal "18446744073709551615": yes
            "DE" equal "de": no
            true equal "true": yes
            "True" equal true: no
            1 equal true: no
            null equal null: yes
            null equal "": no
            null equal 0: no
            [1,"2"] equal [1.0,2]: yes
            [1,2] equal [2,1]: no
            {"a":1,"b":[null]} equal {"a":"1","b":[null]}: yes
            {"a":1} equal {"a":1,"b":2}: no
            [] equal {}: no
            "a" not-equal "b": yes
            null not-equal "b": yes
        "#]],
    );
}

#[test]
fn values_have_an_order_by_these_rules() {
    table(
        &[
            (json!(120), "greater", json!(100)),
            (json!(100), "greater", json!(100)),
            (json!(100), "at-least", json!("100")),
            (json!("9"), "less", json!("10")),
            (json!("9"), "less", json!(10.5)),
            (json!("apple"), "less", json!("banana")),
            (json!("Zebra"), "less", json!("apple")),
            (json!("2026-11-23T10:00:00+02:00"), "less", json!("2026-11-23T09:00:00Z")),
            (json!("2026-11-23"), "less", json!("2026-11-23T00:00:01Z")),
            (json!(null), "less", json!(1)),
            (json!(1), "at-most", json!(null)),
            (json!("abc"), "greater", json!(1)),
            (json!(true), "greater", json!(false)),
            (json!([1]), "at-most", json!(2)),
            (json!({}), "at-most", json!("x")),
            (json!("2026-12-24"), "before", json!("2026-12-25")),
            (json!("2026-12-24T23:59:59-01:00"), "before", json!("2026-12-25")),
            (json!("2026-12-25T00:00:00.001Z"), "after", json!("2026-12-25")),
            (json!(null), "after", json!("2026-12-25")),
            (json!("soon"), "after", json!("2026-12-25")),
            (json!(1_764_000_000), "after", json!("2026-12-25")),
            (json!("2026-02-30"), "before", json!("2026-12-25")),
        ],
        &expect![[r#"
            120 greater 100: yes
            100 greater 100: no
            100 at-least "100": yes
            "9" less "10": yes
            "9" less 10.5: yes
            "apple" less "banana": yes
            "Zebra" less "apple": yes
            "2026-11-23T10:00:00+02:00" less "2026-11-23T09:00:00Z": yes
            "2026-11-23" less "2026-11-23T00:00:01Z": yes
            null less 1: no
            1 at-most null: no
            "abc" greater 1: `is: greater` compares a number with `abc`, which is none
            true greater false: `is: greater` compares numbers, dates or texts, not true or false with true or false
            [1] at-most 2: `is: at-most` compares a number with a list, which is none
            {} at-most "x": `is: at-most` compares numbers, dates or texts, not an object with a text
            "2026-12-24" before "2026-12-25": yes
            "2026-12-24T23:59:59-01:00" before "2026-12-25": no
            "2026-12-25T00:00:00.001Z" after "2026-12-25": yes
            null after "2026-12-25": no
            "soon" after "2026-12-25": `is: after` compares dates such as 2026-12-24 or 2026-12-24T09:00:00Z; `soon` is none
            1764000000 after "2026-12-25": `is: after` compares dates such as 2026-12-24 or 2026-12-24T09:00:00Z; a number is none
            "2026-02-30" before "2026-12-25": `is: before` compares dates such as 2026-12-24 or 2026-12-24T09:00:00Z; `2026-02-30` is none
        "#]],
    );
}

#[test]
fn texts_lists_and_objects_are_searched_by_these_rules() {
    table(
        &[
            (json!("Hello"), "contains", json!("ell")),
            (json!("Hello"), "contains", json!("ELL")),
            (json!("Hello"), "not-contains", json!("ELL")),
            (json!(12345), "contains", json!(34)),
            (json!(["a", "b"]), "contains", json!("b")),
            (json!([1, 2]), "contains", json!("2")),
            (json!(["abc"]), "contains", json!("b")),
            (json!({"key": null}), "contains", json!("key")),
            (json!(null), "contains", json!("x")),
            (json!(null), "not-contains", json!("x")),
            (json!("x"), "contains", json!(["x"])),
            (json!("order-7"), "starts-with", json!("order-")),
            (json!("a@example.com"), "ends-with", json!("@example.com")),
            (json!(404), "starts-with", json!(4)),
            (json!(["x"]), "starts-with", json!("x")),
            (json!("x"), "ends-with", json!(null)),
            (json!("b"), "in", json!(["a", "b"])),
            (json!(2), "in", json!(["1", "2"])),
            (json!(null), "in", json!(["a"])),
            (json!("b"), "in", json!("abc")),
            (json!("INV-2026-17"), "matches", json!(r"^INV-\d{4}-\d+$")),
            (json!("äöü"), "matches", json!(r"^\w{3}$")),
            (json!("abc"), "matches", json!("b")),
            (json!(null), "matches", json!(".*")),
            (json!("abc"), "matches", json!("(b")),
            (json!("abc"), "matches", json!("(?=b)")),
            (json!("abc"), "matches", json!("(a{1000}){1000}")),
            (json!({}), "matches", json!("b")),
        ],
        &expect![[r#"
            "Hello" contains "ell": yes
            "Hello" contains "ELL": no
            "Hello" not-contains "ELL": yes
            12345 contains 34: yes
            ["a","b"] contains "b": yes
            [1,2] contains "2": yes
            ["abc"] contains "b": no
            {"key":null} contains "key": yes
            null contains "x": no
            null not-contains "x": yes
            "x" contains ["x"]: `is: contains` looks for a text in a text; `to` is a list
            "order-7" starts-with "order-": yes
            "a@example.com" ends-with "@example.com": yes
            404 starts-with 4: yes
            ["x"] starts-with "x": `is: starts-with` asks about a text; the value is a list
            "x" ends-with null: `is: ends-with` needs a text in `to`, which is null
            "b" in ["a","b"]: yes
            2 in ["1","2"]: yes
            null in ["a"]: no
            "b" in "abc": `is: in` looks for the value in a list; `to` is a text
            "INV-2026-17" matches "^INV-\\d{4}-\\d+$": yes
            "äöü" matches "^\\w{3}$": yes
            "abc" matches "b": yes
            null matches ".*": no
            "abc" matches "(b": the pattern of `matches` is no regular expression: unclosed group
            "abc" matches "(?=b)": the pattern of `matches` is no regular expression: look-around, including look-ahead and look-behind, is not supported
            "abc" matches "(a{1000}){1000}": the pattern of `matches` is too large: repeat less
            {} matches "b": `is: matches` asks about a text; the value is an object
        "#]],
    );
}

#[test]
fn some_comparisons_ask_about_the_value_alone() {
    let values = [
        None,
        Some(json!(null)),
        Some(json!(false)),
        Some(json!(0)),
        Some(json!("")),
        Some(json!(" ")),
        Some(json!([])),
        Some(json!({})),
        Some(json!(true)),
        Some(json!("true")),
        Some(json!("x")),
    ];
    let rows = values.iter().map(|value| {
        let of = |is: &str| {
            let comparator = Comparator::new(is.parse().expect("a comparison"), None).expect("no pattern");
            comparator.holds(value.as_ref(), None).expect("every value can be asked")
        };
        let held = ["exists", "missing", "empty", "not-empty", "true", "false"].into_iter().filter(|is| of(is));
        let shown = value.as_ref().map_or_else(|| "(not there)".to_owned(), Value::to_string);
        format!("{shown}: {}\n", held.collect::<Vec<_>>().join(", "))
    });
    expect![[r#"
        (not there): missing, empty
        null: missing, empty
        false: exists, not-empty, false
        0: exists, not-empty
        "": exists, empty
        " ": exists, not-empty
        []: exists, empty
        {}: exists, empty
        true: exists, not-empty, true
        "true": exists, not-empty, true
        "x": exists, not-empty
    "#]]
    .assert_eq(&rows.collect::<String>());
}

fn workflow() -> Workflow {
    serde_json::from_value(
        json!({ "id": "w", "name": "W", "trigger": { "manual": true }, "steps": [{ "id": "a", "set": {} }] }),
    )
    .expect("a workflow")
}

fn run() -> Run {
    let id = RunId::from_parts(Timestamp::from_millis(1), 1);
    let event = RunEvent::Created {
        workspace: WorkspaceId::default_workspace(),
        workflow: "w".parse().expect("an id"),
        version: 1,
        event: EventId::from_parts(Timestamp::from_millis(1), 2),
        pins: [].into(),
        trigger: json!({ "body": { "total": 120, "country": "DE", "items": ["a"], "note": "", "long": "x".repeat(300), "none": null } }).into(),
        origin: crate::run::event::Origin::default(),
    };
    Run::fold(id, &[Recorded { seq: 0, at: Timestamp::from_millis(1), event }]).expect("a run")
}

/// What is answered to a condition in JSON, or why there is no answer.
fn asked(condition: &Value) -> String {
    let condition: Condition = serde_json::from_value(condition.clone()).expect("a condition");
    let shown = |pointer: &str, message: &str| format!("error at {pointer:?}: {message}\n");
    let compiled = match CompiledCondition::compile(&condition, &[]) {
        Ok(compiled) => compiled,
        Err(errors) => return errors.iter().map(|error| shown(&error.pointer, &error.message)).collect(),
    };
    let (run, workflow) = (run(), workflow());
    match compiled.evaluate(&Scope::of(&run, &workflow)) {
        Ok(verdict) => {
            let written = serde_json::to_string(&verdict).expect("JSON");
            assert_eq!(serde_json::from_str::<Verdict>(&written).expect("JSON"), verdict, "{written}");
            assert_eq!(verdict.because.holds, Some(verdict.holds));
            format!("{}\n", verdict.because)
        }
        Err(error) => shown(&error.pointer, &error.message),
    }
}

#[test]
fn a_verdict_says_what_was_asked_and_what_the_values_were() {
    let cases = [
        json!("{{ trigger.body.total > 100 }}"),
        json!("trigger.body.total < 100"),
        json!("trigger.body.items"),
        json!("trigger.body.note"),
        json!({ "value": "{{ trigger.body.country }}", "is": "equal", "to": "DE" }),
        json!({ "value": "{{ trigger.body.total }}", "is": "greater", "to": "{{ 60 * 2 }}" }),
        json!({ "value": "{{ trigger.body.nothing.at.all }}", "is": "exists" }),
        json!({ "value": "{{ trigger.body.nothing | upper }}", "is": "missing" }),
        json!({ "value": "{{ trigger.body.none }}", "is": "exists" }),
        json!({ "value": "{{ trigger.body.long }}", "is": "not-empty" }),
        json!({ "all": [
            { "value": "{{ trigger.body.total }}", "is": "at-least", "to": 200 },
            { "any": ["trigger.body.nothing.that.is", { "not": "trigger.body.note" }] },
        ] }),
        json!({ "any": [
            { "not": { "value": "{{ trigger.body.country }}", "is": "in", "to": ["FR", "IT"] } },
            { "value": "{{ trigger.body.total }}", "is": true },
        ] }),
        json!({ "all": [{ "value": "{{ trigger.body.x }}", "is": "exists" }, { "value": "{{ trigger.body.x }}", "is": "equal", "to": 1 }] }),
    ];
    let shown = cases.iter().map(|case| format!("# {case}\n{}", asked(case)));
    expect![[r##"
        # "{{ trigger.body.total > 100 }}"
        yes: `{{ trigger.body.total > 100 }}` (true)
        # "trigger.body.total < 100"
        no: `trigger.body.total < 100` (false)
        # "trigger.body.items"
        yes: `trigger.body.items` (["a"])
        # "trigger.body.note"
        no: `trigger.body.note` ("")
        # {"is":"equal","to":"DE","value":"{{ trigger.body.country }}"}
        yes: `{{ trigger.body.country }}` ("DE") is equal to "DE"
        # {"is":"greater","to":"{{ 60 * 2 }}","value":"{{ trigger.body.total }}"}
        no: `{{ trigger.body.total }}` (120) is greater than `{{ 60 * 2 }}` (120)
        # {"is":"exists","value":"{{ trigger.body.nothing.at.all }}"}
        no: `{{ trigger.body.nothing.at.all }}` exists
        # {"is":"missing","value":"{{ trigger.body.nothing | upper }}"}
        yes: `{{ trigger.body.nothing | upper }}` is missing
        # {"is":"exists","value":"{{ trigger.body.none }}"}
        no: `{{ trigger.body.none }}` (null) exists
        # {"is":"not-empty","value":"{{ trigger.body.long }}"}
        yes: `{{ trigger.body.long }}` ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…) is not empty
        # {"all":[{"is":"at-least","to":200,"value":"{{ trigger.body.total }}"},{"any":["trigger.body.nothing.that.is",{"not":"trigger.body.note"}]}]}
        no: all of these
          no: `{{ trigger.body.total }}` (120) is at least 200
          not asked: one of these
            not asked: `trigger.body.nothing.that.is`
            not asked: not this
              not asked: `trigger.body.note`
        # {"any":[{"not":{"is":"in","to":["FR","IT"],"value":"{{ trigger.body.country }}"}},{"is":true,"value":"{{ trigger.body.total }}"}]}
        yes: one of these
          yes: not this
            no: `{{ trigger.body.country }}` ("DE") is one of ["FR","IT"]
          not asked: `{{ trigger.body.total }}` is true
        # {"all":[{"is":"exists","value":"{{ trigger.body.x }}"},{"is":"equal","to":1,"value":"{{ trigger.body.x }}"}]}
        no: all of these
          no: `{{ trigger.body.x }}` exists
          not asked: `{{ trigger.body.x }}` is equal to 1
    "##]].assert_eq(&shown.collect::<String>());
}

#[test]
fn what_cannot_be_asked_is_said_with_its_place() {
    let cases = [
        json!("trigger.body.nothing"),
        json!("{{ trigger.body.total > }}"),
        json!("triger.body.total"),
        json!({ "value": "{{ trigger.body.nothing }}", "is": "equal", "to": 1 }),
        json!({ "value": "{{ trigger.body.total }}", "is": "equal", "to": "{{ trigger.body.nothing }}" }),
        json!({ "value": "{{ trigger.body.total }}", "is": "equal" }),
        json!({ "value": "{{ trigger.body.total }}", "is": "exists", "to": 1 }),
        json!({ "value": "{{ trigger.body.total }}", "is": "matches", "to": "(" }),
        json!({ "value": "{{ trigger.body.total }}", "is": "greater", "to": "{{ trigger.body.country }}" }),
        json!({ "all": ["trigger.body.total", { "any": [{ "not": { "value": "{{ nope }}", "is": "empty" } }] }] }),
    ];
    let shown = cases.iter().map(|case| format!("# {case}\n{}", asked(case)));
    expect![[r##"
        # "trigger.body.nothing"
        error at "": `trigger.body.nothing` is undefined (`trigger.body` has country, items, long, none, note, total)
        # "{{ trigger.body.total > }}"
        error at "": syntax error: unexpected end of input, expected expression
        # "triger.body.total"
        error at "": `triger` is undefined; did you mean `trigger`? (expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`)
        # {"is":"equal","to":1,"value":"{{ trigger.body.nothing }}"}
        error at "/value": `trigger.body.nothing` is undefined (`trigger.body` has country, items, long, none, note, total)
        # {"is":"equal","to":"{{ trigger.body.nothing }}","value":"{{ trigger.body.total }}"}
        error at "/to": `trigger.body.nothing` is undefined (`trigger.body` has country, items, long, none, note, total)
        # {"is":"equal","value":"{{ trigger.body.total }}"}
        error at "/is": `is: equal` needs a `to`: what the value is measured against
        # {"is":"exists","to":1,"value":"{{ trigger.body.total }}"}
        error at "/to": `is: exists` takes no `to`: it asks about the value alone
        # {"is":"matches","to":"(","value":"{{ trigger.body.total }}"}
        error at "/to": the pattern of `matches` is no regular expression: unclosed group
        # {"is":"greater","to":"{{ trigger.body.country }}","value":"{{ trigger.body.total }}"}
        error at "/value": `is: greater` compares a number with `DE`, which is none
        # {"all":["trigger.body.total",{"any":[{"not":{"is":"empty","value":"{{ nope }}"}}]}]}
        error at "/all/1/any/0/not/value": `nope` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
    "##]].assert_eq(&shown.collect::<String>());
}

#[test]
fn the_journal_keeps_an_explanation_in_this_form() {
    let condition: Condition = serde_json::from_value(json!({ "any": [
        { "value": "{{ trigger.body.country }}", "is": "equal", "to": "DE" }, "trigger.body.note",
    ] }))
    .expect("a condition");
    let (run, workflow) = (run(), workflow());
    let verdict = CompiledCondition::compile(&condition, &[]).expect("compiles").evaluate(&Scope::of(&run, &workflow));
    expect![[r#"
        {
          "holds": true,
          "any": [
            {
              "holds": true,
              "compare": {
                "value": {
                  "text": "{{ trigger.body.country }}",
                  "value": "\"DE\""
                },
                "is": "equal",
                "to": {
                  "text": "DE",
                  "value": "\"DE\""
                }
              }
            },
            {
              "expression": {
                "text": "trigger.body.note"
              }
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&verdict.expect("a verdict").because).expect("JSON"));
}
