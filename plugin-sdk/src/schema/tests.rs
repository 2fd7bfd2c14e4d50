//! What the derives make of types: the schema, and that decoder and encoder agree with it.

#![expect(clippy::unnecessary_wraps, reason = "an action's signature")]
#![expect(clippy::unnecessary_box_returns, reason = "a default has its field's type")]

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::test::{Harness, schemas};
use crate::{ActionError, Context, Input, Output};

/// Everything an input can hold.
#[derive(Input)]
#[serde(rename_all = "camelCase")]
struct Everything {
    /// Who it is.
    ///
    /// As "written" in C:\names.
    #[input(title = "The name", example = "Zoë", min_length = 1, max_length = 40, pattern = "^\\S+$")]
    full_name: String,
    #[input(default = 20, minimum = 1, maximum = 100)]
    page_size: u8,
    #[input(default = "plain", format = "x")]
    kind: String,
    #[input(default = -1.5)]
    factor: f64,
    #[serde(default)]
    is_new: bool,
    #[serde(default)]
    colour: Colour,
    #[serde(rename = "type")]
    r#type: Option<Colour>,
    #[serde(default)]
    inner: Vec<Inner>,
    note: Option<String>,
    count: Option<u16>,
    labels: BTreeMap<String, i64>,
    #[serde(default)]
    anything: Value,
    #[serde(default)]
    rest: HashMap<String, Value>,
    email: Email,
    #[serde(skip)]
    ours: u64,
    #[serde(default = "seven")]
    #[input(default = 7, multiline, secret)]
    boxed: Box<u64>,
}

fn seven() -> Box<u64> {
    Box::new(7)
}

#[derive(Input, Output, Default, Debug, PartialEq, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Colour {
    DarkRed,
    #[default]
    Blue,
    #[serde(rename = "GREEN")]
    Green,
    #[serde(skip)]
    #[expect(dead_code, reason = "its absence is tested")]
    Invisible,
}

/// One of them.
#[derive(Input)]
struct Inner {
    x: i32,
}

#[derive(Input, Output)]
struct Email(String);

/// What came of it.
#[derive(Output)]
struct Result_ {
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    colour: Option<Colour>,
    #[serde(rename = "static")]
    fixed: &'static str,
    email: Email,
    #[serde(skip)]
    _ours: u64,
}

fn act(_: &Context, input: Everything) -> Result<Result_, ActionError> {
    assert_eq!(input.ours, 0);
    let fixed = if input.page_size == 20 && input.kind == "plain" && input.colour == Colour::Blue && *input.boxed == 7 {
        "defaults"
    } else {
        "given"
    };
    let _ = (
        input.full_name,
        input.factor,
        input.is_new,
        input.r#type,
        input.count,
        input.labels,
        input.anything,
        input.rest,
    );
    let _ = input.inner.iter().map(|inner| inner.x).sum::<i32>();
    Ok(Result_ { link: input.note, colour: Some(Colour::Green), fixed, email: input.email, _ours: 1 })
}

fn pass(_: &Context, input: Value) -> Result<Value, ActionError> {
    Ok(input)
}

crate::plugin! {
    actions: { "everything" => act, "pass-2" => pass },
}

#[test]
fn a_type_says_all_it_knows() {
    let [everything, pass] = <[Value; 2]>::try_from(schemas::<ThisPlugin>()).expect("two actions");
    assert_eq!(pass, json!({"kind": "action", "id": "pass-2", "input": {"type": "object"}, "output": {}}));
    let input = &everything["input"];
    let properties = json!({
        "fullName": {
            "title": "The name", "description": "Who it is.\n\nAs \"written\" in C:\\names.", "type": "string",
            "examples": ["Zoë"], "minLength": 1, "maxLength": 40, "pattern": "^\\S+$",
        },
        "pageSize": {"title": "Page size", "type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        "kind": {"title": "Kind", "type": "string", "format": "x", "default": "plain"},
        "factor": {"title": "Factor", "type": "number", "default": -1.5},
        "isNew": {"title": "Is new", "type": "boolean", "default": false},
        "colour": {"title": "Colour", "type": "string", "enum": ["dark-red", "blue", "GREEN"], "default": "blue"},
        "type": {"title": "Type", "type": ["string", "null"], "enum": ["dark-red", "blue", "GREEN", null]},
        "inner": {
            "title": "Inner", "type": "array",
            "items": {
                "description": "One of them.", "type": "object", "required": ["x"], "additionalProperties": false,
                "properties": {"x": {"title": "X", "type": "integer", "minimum": -2_147_483_648_i64, "maximum": 2_147_483_647}},
            },
        },
        "note": {"title": "Note", "type": ["string", "null"]},
        "count": {"title": "Count", "type": ["integer", "null"], "minimum": 0, "maximum": 65535},
        "labels": {"title": "Labels", "type": "object", "additionalProperties": {"type": "integer"}},
        "anything": {"title": "Anything"},
        "rest": {"title": "Rest", "type": "object"},
        "email": {"title": "Email", "type": "string"},
        "boxed": {
            "title": "Boxed", "type": "integer", "minimum": 0, "default": 7,
            "x-flowcell": {"multiline": true}, "writeOnly": true,
        },
    });
    for (name, expected) in properties.as_object().expect("an object") {
        assert_eq!(&input["properties"][name], expected, "{name}");
    }
    let order: Vec<_> = input["x-order"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert_eq!(order[..3], ["fullName", "pageSize", "kind"]);
    assert_eq!(order.len(), properties.as_object().expect("an object").len(), "and no others: {order:?}");
    assert_eq!(input["required"], json!(["fullName", "labels", "email"]));
    assert_eq!(
        (&input["description"], &input["additionalProperties"]),
        (&json!("Everything an input can hold."), &json!(false))
    );

    let output = &everything["output"];
    assert_eq!(output["required"], json!(["colour", "static", "email"]));
    assert_eq!(output["properties"]["colour"]["enum"], json!(["dark-red", "blue", "GREEN", null]));
    assert_eq!(output.get("additionalProperties"), None, "an output may grow");
}

#[test]
fn decoder_and_encoder_do_what_the_schema_says() {
    let host = Harness::new();
    let least = json!({"fullName": "Zoë", "labels": {}, "email": "z@example.com"});
    assert_eq!(
        host.call(act, least.clone()).unwrap(),
        json!({"colour": "GREEN", "static": "defaults", "email": "z@example.com"})
    );

    let mut given = least.clone();
    for (name, value) in [
        ("pageSize", json!(5)),
        ("colour", json!("dark-red")),
        ("inner", json!([{"x": 1}])),
        ("note", json!("n")),
        ("type", Value::Null),
    ] {
        given[name] = value;
    }
    assert_eq!(
        host.call(act, given).unwrap(),
        json!({"link": "n", "colour": "GREEN", "static": "given", "email": "z@example.com"})
    );

    for (name, value, words) in [
        ("pageSize", json!(300), "expected u8"),
        ("page_size", json!(3), "unknown field `page_size`"),
        ("ours", json!(3), "unknown field `ours`"),
        ("colour", json!("invisible"), "unknown variant `invisible`"),
        ("inner", json!([{"x": 1, "y": 2}]), "unknown field `y`"),
        ("fullName", Value::Null, "invalid type: null"),
    ] {
        let mut wrong = least.clone();
        wrong[name] = value;
        let error = host.call(act, wrong).expect_err(name);
        assert!(error.code == "invalid-input" && error.message.contains(words), "{}", error.message);
    }
    let error = host.call(act, json!({"fullName": "Zoë", "labels": {}})).expect_err("no email");
    assert!(error.message.contains("missing field `email`"), "{}", error.message);
}

#[test]
fn lines_are_one_json_object_each_and_end() {
    for line in <ThisPlugin as crate::Plugin>::SCHEMAS {
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
    }
}

#[test]
fn control_characters_are_escaped() {
    const ESCAPED: &str = "\"\\u0001\\u0009\\n\\u001fé\\\"\\\\\"";
    let mut writer = super::write::Writer::<{ ESCAPED.len() }>::new();
    writer.string("\u{1}\t\n\u{1f}é\"\\");
    assert_eq!(std::str::from_utf8(&writer.finish()), Ok(ESCAPED));
    assert_eq!(serde_json::from_str::<String>(ESCAPED).unwrap(), "\u{1}\t\n\u{1f}é\"\\");
}

#[test]
fn what_was_not_registered_is_answered_by_name() {
    use crate::Plugin as _;
    let ctx = crate::test::context();
    assert_eq!(ThisPlugin::invoke("nothing", &ctx, "{}").expect_err("unknown").code, "unknown-action");
    let error = ThisPlugin::on_webhook("pass-2", &ctx, "{}", crate::trigger::WebhookRequest::default())
        .expect_err("an action is no trigger");
    assert_eq!(error.code, "unknown-trigger");
    assert_eq!(ThisPlugin::invoke("pass-2", &ctx, "[1]").unwrap(), "[1]");
}
