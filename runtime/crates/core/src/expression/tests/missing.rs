//! What a step does about values that are not there.

use super::*;

fn filled(input: &Value, policy: &Value) -> String {
    let (run, workflow) = (run(trigger()), workflow());
    let policy: MissingPolicy = match serde_json::from_value(policy.clone()) {
        Ok(policy) => policy,
        Err(error) => return format!("no policy: {error}\n"),
    };
    let program = Program::compile(input).expect("compiles");
    match program.render_with(&Scope::of(&run, &workflow), &policy) {
        Ok(Rendered { value, filled }) => {
            let notes = filled.iter().map(|filled| format!("  {} {} = {}\n", filled.pointer, filled.path, filled.with));
            format!("{value}\n{}", notes.collect::<String>())
        }
        Err(error) => format!("error {}: {error}\n", error.pointer).chars().take(140).collect::<String>() + "\n",
    }
}

#[test]
fn a_field_is_filled_as_its_policy_says() {
    let input = json!({
        "url": "https://x/{{ trigger.body.after }}",
        "note": "{{ trigger.body.note }}",
        "name": "Dear {{ trigger.body.first }} {{ trigger.body.last | upper }} of {{ trigger.body.after | upper }}",
        "deep": { "list": ["{{ trigger.body.commits[7].id }}", "{{ trigger.body.size }}"] },
        "kept": "{{ trigger.body.note | default('its own') }}",
        "found": "{{ trigger.body.commits | find('id', 9) }}",
    });
    let cases = [
        json!("fail"),
        json!("empty"),
        json!({ "default": "?" }),
        json!({ "*": "empty", "/deep": { "default": 0 }, "found": { "default": { "id": null } } }),
        json!({ "*": "empty", "/deep/list/0": "fail" }),
        json!({ "note": "empty" }),
        json!({ "note": "blank" }),
        json!("blank"),
    ];
    let shown = cases.iter().map(|policy| format!("{policy}\n{}", filled(&input, policy)));
    expect![[r#"
        "fail"
        error /deep/list/0: `trigger.body.commits[7]` is undefined: `trigger.body.commits` has 2 items, counted from 0

        "empty"
        {"deep":{"list":["",9007199254740993]},"found":"","kept":"its own","name":"Dear   of 9B1C","note":"","url":"https://x/9b1c"}
          /deep/list/0 trigger.body.commits[7].id = ""
          /found trigger.body.commits | find('id', 9) = ""
          /name trigger.body.first = ""
          /name trigger.body.last = ""
          /note trigger.body.note = ""
        {"default":"?"}
        {"deep":{"list":["?",9007199254740993]},"found":"?","kept":"its own","name":"Dear ? ? of 9B1C","note":"?","url":"https://x/9b1c"}
          /deep/list/0 trigger.body.commits[7].id = "?"
          /found trigger.body.commits | find('id', 9) = "?"
          /name trigger.body.first = "?"
          /name trigger.body.last = "?"
          /note trigger.body.note = "?"
        {"*":"empty","/deep":{"default":0},"found":{"default":{"id":null}}}
        {"deep":{"list":[0,9007199254740993]},"found":{"id":null},"kept":"its own","name":"Dear   of 9B1C","note":"","url":"https://x/9b1c"}
          /deep/list/0 trigger.body.commits[7].id = 0
          /found trigger.body.commits | find('id', 9) = {"id":null}
          /name trigger.body.first = ""
          /name trigger.body.last = ""
          /note trigger.body.note = ""
        {"*":"empty","/deep/list/0":"fail"}
        error /deep/list/0: `trigger.body.commits[7]` is undefined: `trigger.body.commits` has 2 items, counted from 0

        {"note":"empty"}
        error /deep/list/0: `trigger.body.commits[7]` is undefined: `trigger.body.commits` has 2 items, counted from 0

        {"note":"blank"}
        no policy: `note` is none of `fail`, `empty` and `default: …`, which say what is done about a missing value
        "blank"
        no policy: `missing` is none of `fail`, `empty` and `default: …`, which say what is done about a missing value
    "#]].assert_eq(&shown.collect::<String>());
}

#[test]
fn statements_are_filled_with_as_little_as_will_do() {
    let texts = [
        "{% for c in trigger.body.comits %}{{ c }}{% endfor %}!",
        "{% if trigger.body.vip %}vip{% else %}{{ trigger.body.note | default('none') }}{% endif %}",
        "{% set x = trigger.body.first %}{{ x }}{{ trigger.body.last }}",
        "{%- if true %} {{ trigger.body.nothing.id }} {% endif -%}",
        "{% for c in trigger.body.commits %}{{ c.nme }}{% endfor %}",
        "{{- trigger.body.first }} {{ trigger.body.after -}}",
        "{% if true %}{{ trigger.body.first | round }}{% endif %}",
        "a {# {{ #} {{ trigger.body.first }}",
    ];
    let cases = texts.iter().flat_map(|text| [(text, json!("empty")), (text, json!({ "default": "D" }))]);
    let shown = cases.map(|(text, policy)| format!("{text}\n  {}", filled(&json!(text), &policy)));
    expect![[r#"
        {% for c in trigger.body.comits %}{{ c }}{% endfor %}!
          "!"
           trigger.body.comits = ""
        {% for c in trigger.body.comits %}{{ c }}{% endfor %}!
          "D!"
           trigger.body.comits = "D"
        {% if trigger.body.vip %}vip{% else %}{{ trigger.body.note | default('none') }}{% endif %}
          "none"
           trigger.body.vip = ""
        {% if trigger.body.vip %}vip{% else %}{{ trigger.body.note | default('none') }}{% endif %}
          "vip"
           trigger.body.vip = "D"
        {% set x = trigger.body.first %}{{ x }}{{ trigger.body.last }}
          ""
           trigger.body.first = ""
           trigger.body.last = ""
        {% set x = trigger.body.first %}{{ x }}{{ trigger.body.last }}
          "DD"
           trigger.body.first = "D"
           trigger.body.last = "D"
        {%- if true %} {{ trigger.body.nothing.id }} {% endif -%}
          "  "
           trigger.body.nothing.id = ""
        {%- if true %} {{ trigger.body.nothing.id }} {% endif -%}
          " D "
           trigger.body.nothing.id = "D"
        {% for c in trigger.body.commits %}{{ c.nme }}{% endfor %}
          ""
           {% for c in trigger.body.commits %}{{ c.nme }}{% endfor %} = ""
        {% for c in trigger.body.commits %}{{ c.nme }}{% endfor %}
          "D"
           {% for c in trigger.body.commits %}{{ c.nme }}{% endfor %} = "D"
        {{- trigger.body.first }} {{ trigger.body.after -}}
          " 9b1c"
           trigger.body.first = ""
        {{- trigger.body.first }} {{ trigger.body.after -}}
          "D 9b1c"
           trigger.body.first = "D"
        {% if true %}{{ trigger.body.first | round }}{% endif %}
          ""
           {% if true %}{{ trigger.body.first | round }}{% endif %} = ""
        {% if true %}{{ trigger.body.first | round }}{% endif %}
          "D"
           {% if true %}{{ trigger.body.first | round }}{% endif %} = "D"
        a {# {{ #} {{ trigger.body.first }}
          "a  "
           trigger.body.first = ""
        a {# {{ #} {{ trigger.body.first }}
          "a  D"
           trigger.body.first = "D"
    "#]]
    .assert_eq(&shown.collect::<String>());
}

#[test]
fn other_errors_stay_errors() {
    for text in [
        "{{ trigger.body.size | slug | round }}",
        "{{ 1 / 0 }}",
        "{{ trigger.body.note }} {{ 1 / 0 }}",
        "{% if trigger.x %}{% endif %}{{ [1] | round }}",
    ] {
        let shown = filled(&json!({ "a": text }), &json!("empty"));
        assert!(shown.starts_with("error /a") || shown.contains("{% if"), "{text}: {shown}");
    }
    let large = filled(
        &json!("{{ trigger.body.note }} {{ trigger.body.after }}"),
        &json!({ "default": "x".repeat(1024 * 1024) }),
    );
    assert!(large.contains("the text becomes longer"), "{large}");
}

#[test]
fn a_policy_is_written_as_it_is_read() {
    for text in [json!("fail"), json!("empty"), json!({ "default": 3 }), json!({ "/a": "empty", "*": "fail" })] {
        let policy: MissingPolicy = serde_json::from_value(text.clone()).expect("a policy");
        assert_eq!(serde_json::to_value(&policy).expect("JSON"), text);
        assert_eq!(policy.is_strict(), text == "fail");
    }
}
