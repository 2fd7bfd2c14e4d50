#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
#![allow(clippy::format_collect, reason = "tables")]

use expect_test::{Expect, expect};

use super::*;

fn renamed(text: &str, old: &str, new: &str) -> String {
    let id = |text: &str| text.parse::<StepId>().expect("an id");
    match rename_step(text, &id(old), &id(new)) {
        Ok(text) => text,
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&renamed(text, "a", "first"));
}

#[test]
fn every_use_is_rewritten_and_nothing_else() {
    check(
        r#"id: a            # steps.a is what this is about
name: "All of steps.a"
trigger: { manual: true, filter: trigger.a.steps.a }
output: { a: "{{ steps.a.output.a }}", text: "steps.a and {{ steps['a'].status }}" }
steps:
  - id: a
    set: { a: "{{ trigger.a }}", steps.a: x }
  - { id: a_1, set: { "b": '{{ steps.a.output["steps.a"] ~ "steps.a" ~ steps.a_1 ~ xsteps.a ~ steps .a.output }}' } }
  - id: size
    if:
      - when: steps.a.output.a > 1
        steps: []
      - when: "steps.a.output.b"
        steps:
          - id: ärger
            set: { ü: "ä{% if steps.a.output %}ö{% endif %} ß {{ steps[\"a\"].output }}" }
      - when: { all: [ steps.a.output.a, { value: steps.a, is: equal, to: "{{ steps.a.output }}" } ] }
        steps:
          - id: long
            set:
              text: |
                Hello {{ steps.a.output.name }},
                see steps.a.
              folded: >-
                {{ steps.a.output.name
                   | default("steps.a") }}
  - id: l
    for_each: [steps.a, "{{ steps.a.output }}"]
    steps:
      - id: w
        wait: { until: steps.a.output.when }
"#
        .replace("ärger", "aerger")
        .as_str(),
        &expect![[r#"
            id: a            # steps.a is what this is about
            name: "All of steps.a"
            trigger: { manual: true, filter: trigger.a.steps.a }
            output: { a: "{{ steps.first.output.a }}", text: "steps.a and {{ steps['first'].status }}" }
            steps:
              - id: first
                set: { a: "{{ trigger.a }}", steps.a: x }
              - { id: a_1, set: { "b": '{{ steps.first.output["steps.a"] ~ "steps.a" ~ steps.a_1 ~ xsteps.a ~ steps .first.output }}' } }
              - id: size
                if:
                  - when: steps.first.output.a > 1
                    steps: []
                  - when: "steps.first.output.b"
                    steps:
                      - id: aerger
                        set: { ü: "ä{% if steps.first.output %}ö{% endif %} ß {{ steps[\"first\"].output }}" }
                  - when: { all: [ steps.first.output.a, { value: steps.a, is: equal, to: "{{ steps.first.output }}" } ] }
                    steps:
                      - id: long
                        set:
                          text: |
                            Hello {{ steps.first.output.name }},
                            see steps.a.
                          folded: >-
                            {{ steps.first.output.name
                               | default("steps.a") }}
              - id: l
                for_each: [steps.a, "{{ steps.first.output }}"]
                steps:
                  - id: w
                    wait: { until: steps.first.output.when }
        "#]],
    );
}

#[test]
fn json_is_rewritten_too() {
    check(
        "{\"id\": \"w\", \"name\": \"\\ud83d\\ude00\", \"trigger\": {\"manual\": true},\n \"steps\": [{\"id\": \"a\", \"set\": {\"x\": 1}}, {\"id\": \"b\", \"set\": {\"y\": \"{{ steps[\\\"a\\\"].output ~ steps.a.status }}\"}}]}",
        &expect![[r#"
            {"id": "w", "name": "\ud83d\ude00", "trigger": {"manual": true},
             "steps": [{"id": "first", "set": {"x": 1}}, {"id": "b", "set": {"y": "{{ steps[\"first\"].output ~ steps.first.status }}"}}]}"#]],
    );
}

#[test]
fn what_cannot_be_renamed_is_said() {
    let text = "id: w\nname: W\ntrigger: { manual: true }\nsteps: [{ id: a, set: {} }, { id: first, set: {} }]\n";
    check(
        text,
        &expect![[r#"
        4:35: there is a step `first` already
          help: choose another id
    "#]],
    );
    expect![[r#"
        1:1: there is no step `firts`
          help: did you mean `first`?
    "#]]
    .assert_eq(&renamed(text, "firts", "x"));
    expect![[r#"
        1:1: `name` is missing in the document
          help: For people.
        1:1: `steps` is missing in the document
          help: add, for example: steps: [{ id: first, uses: flowcell/custom-webhook/request@1, with: { url: 'https://example.com/' } }]
        1:1: `trigger` is missing in the document
          help: What starts a run.
    "#]].assert_eq(&renamed("id: w", "a", "x"));
    let doubled = "id: w\nname: W\ntrigger: { manual: true }\nsteps: [{ id: a, set: {} }, { id: b, set: { x: '{{ steps[''a''].output }}' } }]\n";
    check(
        doubled,
        &expect![[r#"
        4:15: `a` cannot be renamed in this text without a doubt
          help: rename it by hand and let `flowcell check` list the expressions that read it
    "#]],
    );
}

#[test]
fn resume_links_are_renamed_with_their_wait() {
    let text = "id: w\nname: W\ntrigger: { manual: true }\nsteps:\n  - { id: tell, set: { link: \"{{ resume.a }}?x=resume.a {{ resume['a'] }}\" } }\n  - { id: a, wait: { resume: true } }\n";
    let expected = text
        .replace("{{ resume.a }}", "{{ resume.first }}")
        .replace("resume['a']", "resume['first']")
        .replace("id: a,", "id: first,");
    assert_eq!(renamed(text, "a", "first"), expected);
}
