#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
#![allow(clippy::too_many_lines, clippy::format_collect, reason = "tables")]

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::id::{EventId, RunId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::run::event::{Recorded, RunEvent};
use crate::run::fold::Run;
use crate::time::Timestamp;
use crate::workflow::Workflow;

const STARTED: Timestamp = Timestamp::from_millis(1_763_884_800_000);

fn workflow() -> Workflow {
    serde_json::from_value(json!({
        "id": "push-to-build",
        "name": "Tell the build server",
        "trigger": { "uses": "flowcell/webhook/inbound@1" },
        "steps": [
            { "id": "build", "uses": "flowcell/custom-webhook/request@1" },
            { "id": "tell", "uses": "flowcell/webhook/send@1" },
            { "id": "log_it", "uses": "flowcell/webhook/send@1" },
        ],
    }))
    .expect("a workflow")
}

/// A run whose step `build` has succeeded and whose step `tell` is running.
fn run(trigger: Value) -> Run {
    let id = RunId::from_parts(STARTED, 7);
    let events = [
        RunEvent::Created {
            workspace: WorkspaceId::default_workspace(),
            workflow: "push-to-build".parse().expect("an id"),
            version: 3,
            event: EventId::from_parts(STARTED, 8),
            pins: std::collections::BTreeMap::new(),
            trigger,
            origin: crate::run::event::Origin::default(),
        },
        RunEvent::StepStarted { step: "build".parse().expect("an id"), attempt: 1 },
        RunEvent::StepSucceeded {
            step: "build".parse().expect("an id"),
            attempt: 1,
            output: json!({ "status": 201, "body": { "number": 42 } }),
            input: json!({}),
            call: CallRecord::default(),
        },
        RunEvent::StepStarted { step: "tell".parse().expect("an id"), attempt: 1 },
    ];
    let events = events.into_iter().zip(0..).map(|(event, seq)| Recorded { seq, at: STARTED, event });
    Run::fold(id, &events.collect::<Vec<_>>()).expect("a possible history")
}

fn trigger() -> Value {
    json!({
        "method": "POST",
        "headers": { "x-github-event": "push" },
        "body": {
            "after": "9b1c",
            "size": 9_007_199_254_740_993_i64,
            "huge": u64::MAX,
            "ratio": 0.5,
            "forced": false,
            "nothing": null,
            "html": "<b>&amp;</b>",
            "repository": { "name": "grün/ж" },
            "commits": [
                { "id": 1, "message": "fix", "author": { "name": "Ada" } },
                { "id": 2, "message": "add", "author": { "name": "Bo" } },
            ],
            "commits-url": "https://example.com",
            "empty": {},
            "evil": "{{ 7 * 7 }}{% for x in range(9) %}x{% endfor %}",
        },
    })
}

#[expect(clippy::needless_pass_by_value, reason = "called with `json!`")]
fn render(input: Value) -> Result<Value, String> {
    let run = run(trigger());
    let workflow = workflow();
    let program = Program::compile(&input).map_err(|errors| {
        errors.iter().map(|error| format!("compile {}: {error}", error.pointer)).collect::<Vec<_>>().join("\n")
    })?;
    program.render(&Scope::of(&run, &workflow)).map_err(|error| format!("{}: {error}", error.pointer))
}

fn shown(input: Value) -> String {
    match render(input) {
        Ok(value) => value.to_string().chars().take(200).collect(),
        Err(message) => format!("error {message}"),
    }
}

fn table(texts: &[&str], expected: &Expect) {
    let lines = texts.iter().map(|text| format!("{text}\n    {}\n", shown(json!(text)).replace('\n', "\n    ")));
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn a_whole_expression_keeps_its_type() {
    table(
        &[
            "{{ trigger.body.commits }}",
            "{{ trigger.body.size }}",
            "{{ trigger.body.huge }}",
            "{{ trigger.body.ratio }}",
            "{{ trigger.body.forced }}",
            "{{ trigger.body.nothing }}",
            "{{trigger.body.repository}}",
            "{{- trigger.body.after -}}",
            "{{ trigger.body.after }}\n",
            "{{ trigger.body['commits-url'] }}",
            "{{ trigger['headers'][\"x-github-event\"] }}",
            "{{ trigger.body.commits[1].author.name }}",
            "{{ trigger.body.commits | map(attribute='message') | list }}",
            "{{ trigger.body.commits | map(attribute='message') }}",
            "{{ trigger.body.commits | length }}",
            "{{ trigger.body.size + 1 }}",
            "{{ trigger.body.huge | int }}",
            "{{ trigger.body.commits[0].id * 1.5 }}",
            "{{ trigger.body.after == '9b1c' }}",
            "{{ {'id': trigger.body.after, 'n': [1, none, true]} }}",
            "{{ 'a }} b {{ c' }}",
            "{{ trigger.body.missing | default('none given') }}",
            "{{ trigger.body.missing.deeper | default(1) }}",
            "{{ steps.build.output.body.number }}",
            "{{ steps.build.status }}",
            "{{ steps.tell.status }}",
            "{{ workflow.name }}",
            "{{ workflow.version }}",
            "{{ workflow | items | list }}",
            "{{ run.created_at }}",
            "{{ trigger.body.commits | selectattr('id', 'gt', 1) | map(attribute='author.name') | first }}",
            "{{ trigger.body.html | urlencode }}",
            "{{ trigger.body.repository | tojson }}",
        ],
        &expect![[r#"
            {{ trigger.body.commits }}
                [{"author":{"name":"Ada"},"id":1,"message":"fix"},{"author":{"name":"Bo"},"id":2,"message":"add"}]
            {{ trigger.body.size }}
                9007199254740993
            {{ trigger.body.huge }}
                18446744073709551615
            {{ trigger.body.ratio }}
                0.5
            {{ trigger.body.forced }}
                false
            {{ trigger.body.nothing }}
                null
            {{trigger.body.repository}}
                {"name":"grün/ж"}
            {{- trigger.body.after -}}
                "9b1c"
            {{ trigger.body.after }}

                "9b1c"
            {{ trigger.body['commits-url'] }}
                "https://example.com"
            {{ trigger['headers']["x-github-event"] }}
                "push"
            {{ trigger.body.commits[1].author.name }}
                "Bo"
            {{ trigger.body.commits | map(attribute='message') | list }}
                ["fix","add"]
            {{ trigger.body.commits | map(attribute='message') }}
                ["fix","add"]
            {{ trigger.body.commits | length }}
                2
            {{ trigger.body.size + 1 }}
                9007199254740994
            {{ trigger.body.huge | int }}
                18446744073709551615
            {{ trigger.body.commits[0].id * 1.5 }}
                1.5
            {{ trigger.body.after == '9b1c' }}
                true
            {{ {'id': trigger.body.after, 'n': [1, none, true]} }}
                {"id":"9b1c","n":[1,null,true]}
            {{ 'a }} b {{ c' }}
                "a }} b {{ c"
            {{ trigger.body.missing | default('none given') }}
                "none given"
            {{ trigger.body.missing.deeper | default(1) }}
                error : `trigger.body.missing` is undefined (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ steps.build.output.body.number }}
                42
            {{ steps.build.status }}
                "succeeded"
            {{ steps.tell.status }}
                "running"
            {{ workflow.name }}
                "Tell the build server"
            {{ workflow.version }}
                3
            {{ workflow | items | list }}
                [["id","push-to-build"],["name","Tell the build server"],["version",3]]
            {{ run.created_at }}
                "2025-11-23T08:00:00.000Z"
            {{ trigger.body.commits | selectattr('id', 'gt', 1) | map(attribute='author.name') | first }}
                "Bo"
            {{ trigger.body.html | urlencode }}
                "%3Cb%3E%26amp%3B%3C/b%3E"
            {{ trigger.body.repository | tojson }}
                "{\"name\": \"grün/ж\"}"
        "#]],
    );
}

#[test]
fn a_text_with_expressions_becomes_a_text_without_escaping() {
    table(
        &[
            "repos/{{ trigger.body.repository.name }}/builds",
            "{{ trigger.body.after }} {{ trigger.body.html }}",
            "{{ trigger.body.after }}{{ trigger.body.size }}",
            "{{ trigger.body.ratio }} {{ trigger.body.forced }} {{ trigger.body.nothing }} {{ trigger.body.commits[0] }}",
            "{{ trigger.body.ratio + 1 }} {{ not trigger.body.forced }} {{ trigger.body.nothing or none }} {{ trigger.body.commits[0] | items | list }}",
            "{% for commit in trigger.body.commits %}* {{ commit.message }} ({{ loop.index }})\n{% endfor %}",
            "{% if trigger.body.forced %}forced{% else %}plain{% endif %}",
            "a {# a remark #} b",
            "line {{ trigger.body.after }}\n",
            "line {{ trigger.body.after | upper }}\n",
            "no expression at all }} %} #}",
            "{{ '{{' }} {{ trigger.body.after }}",
        ],
        &expect![[r#"
            repos/{{ trigger.body.repository.name }}/builds
                "repos/grün/ж/builds"
            {{ trigger.body.after }} {{ trigger.body.html }}
                "9b1c <b>&amp;</b>"
            {{ trigger.body.after }}{{ trigger.body.size }}
                "9b1c9007199254740993"
            {{ trigger.body.ratio }} {{ trigger.body.forced }} {{ trigger.body.nothing }} {{ trigger.body.commits[0] }}
                "0.5 false null {\"author\":{\"name\":\"Ada\"},\"id\":1,\"message\":\"fix\"}"
            {{ trigger.body.ratio + 1 }} {{ not trigger.body.forced }} {{ trigger.body.nothing or none }} {{ trigger.body.commits[0] | items | list }}
                "1.5 true null [[\"author\",{\"name\":\"Ada\"}],[\"id\",1],[\"message\",\"fix\"]]"
            {% for commit in trigger.body.commits %}* {{ commit.message }} ({{ loop.index }})
            {% endfor %}
                "* fix (1)\n* add (2)\n"
            {% if trigger.body.forced %}forced{% else %}plain{% endif %}
                "plain"
            a {# a remark #} b
                "a  b"
            line {{ trigger.body.after }}

                "line 9b1c\n"
            line {{ trigger.body.after | upper }}

                "line 9B1C\n"
            no expression at all }} %} #}
                "no expression at all }} %} #}"
            {{ '{{' }} {{ trigger.body.after }}
                "{{ 9b1c"
        "#]],
    );
}

#[test]
fn a_missing_value_is_named_with_what_is_there() {
    table(
        &[
            "{{ trigger.body.afterr }}",
            "{{ trigger.body.afterr | upper }}",
            "{{ (trigger.body.afterr) }}",
            "{{ trigger.body['aft' ~ 'err'] }}",
            "{{ trigger.body.afterr.x.y }}",
            "id {{ trigger.body.afterr }}",
            "id {{ trigger.body.afterr ~ 'x' }}",
            "{{ trigger.boddy.after }}",
            "{{ trigger.body.after.id }}",
            "{{ trigger.body.nothing.id }}",
            "{{ trigger.body.commits.message }}",
            "{{ trigger.body.commits[2].message }}",
            "{{ trigger.body.commits[2].message | upper }}",
            "{{ trigger.body.empty.x }}",
            "{{ triger.body }}",
            "{{ body.after }}",
            "{{ steps.biuld.output }}",
            "{{ steps.log_it.output }}",
            "{{ steps.tell.output.id }}",
            "{{ steps.build.outptu }}",
            "{{ steps.build.output.body.numbr }}",
            "{{ workflow.title }}",
            "{{ [trigger.body.missing] }}",
            "{{ {'id': trigger.body.missing} }}",
            "{% for c in trigger.body.comits %}{% endfor %}",
            "{% if trigger.body.missing %}x{% endif %}",
            "{{ trigger.body.commits | map(attribute='mesage') | list }}",
            "{{ trigger.body.commits | map(attribute='mesage') | join(',') }}",
            "{{ none }}",
        ],
        &expect![[r#"
            {{ trigger.body.afterr }}
                error : `trigger.body.afterr` is undefined; did you mean `after`? (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ trigger.body.afterr | upper }}
                error : `trigger.body.afterr` is undefined; did you mean `after`? (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ (trigger.body.afterr) }}
                error : `trigger.body.afterr` is undefined; did you mean `after`? (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ trigger.body['aft' ~ 'err'] }}
                error : the expression is undefined; give it a value for that case with `| default(…)`
            {{ trigger.body.afterr.x.y }}
                error : `trigger.body.afterr` is undefined; did you mean `after`? (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            id {{ trigger.body.afterr }}
                error : `trigger.body.afterr` is undefined; did you mean `after`? (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            id {{ trigger.body.afterr ~ 'x' }}
                error : `trigger.body.afterr` is undefined; did you mean `after`? (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ trigger.boddy.after }}
                error : `trigger.boddy` is undefined; did you mean `body`? (`trigger` has body, headers, method)
            {{ trigger.body.after.id }}
                error : `trigger.body.after.id` is undefined: `trigger.body.after` is a text
            {{ trigger.body.nothing.id }}
                error : `trigger.body.nothing.id` is undefined: `trigger.body.nothing` is null
            {{ trigger.body.commits.message }}
                error : `trigger.body.commits.message` is undefined: `trigger.body.commits` is an array
            {{ trigger.body.commits[2].message }}
                error : `trigger.body.commits[2]` is undefined: `trigger.body.commits` has 2 items, counted from 0
            {{ trigger.body.commits[2].message | upper }}
                error : the expression is undefined; give it a value for that case with `| default(…)`
            {{ trigger.body.empty.x }}
                error : `trigger.body.empty.x` is undefined: `trigger.body.empty` is empty
            {{ triger.body }}
                error compile : `triger` is undefined; did you mean `trigger`? (expressions read `trigger`, `steps`, `workflow` and `run`)
            {{ body.after }}
                error compile : `body` is undefined: expressions read `trigger`, `steps`, `workflow` and `run`
            {{ steps.biuld.output }}
                error : `steps.biuld` is undefined; did you mean `build`? (`steps` has build, tell)
            {{ steps.log_it.output }}
                error : `steps.log_it` is undefined: step `log_it` has not run yet
            {{ steps.tell.output.id }}
                error : `steps.tell.output` is undefined: the step is running and has no output
            {{ steps.build.outptu }}
                error : `steps.build.outptu` is undefined; did you mean `output`? (`steps.build` has output, status, error)
            {{ steps.build.output.body.numbr }}
                error : `steps.build.output.body.numbr` is undefined; did you mean `number`? (`steps.build.output.body` has number)
            {{ workflow.title }}
                error : `workflow.title` is undefined (`workflow` has id, name, version)
            {{ [trigger.body.missing] }}
                error : `trigger.body.missing` is undefined (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ {'id': trigger.body.missing} }}
                error : `trigger.body.missing` is undefined (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {% for c in trigger.body.comits %}{% endfor %}
                error : `trigger.body.comits` is undefined; did you mean `commits`? (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {% if trigger.body.missing %}x{% endif %}
                error : `trigger.body.missing` is undefined (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository, size)
            {{ trigger.body.commits | map(attribute='mesage') | list }}
                error : a part of the result is undefined: not every item has the attribute; choose the items with `| selectattr('name', 'defined')`, or give it a value with `| map(attribute='name', default='')`
            {{ trigger.body.commits | map(attribute='mesage') | join(',') }}
                ","
            {{ none }}
                null
        "#]],
    );
}

#[test]
fn what_is_no_expression_is_refused_when_compiled() {
    table(
        &[
            "{{ trigger.body. }}",
            "{{ trigger.body",
            "{{ }}",
            "{{ a b }}",
            "{{ trigger | nofilter }}",
            "{{ nofunction() }}",
            "{{ debug() }}",
            "{% include 'x' %}",
            "{% import 'x' as y %}",
            "{% extends 'x' %}",
            "{% macro m() %}{% endmacro %}",
            "{% for x in trigger %}",
            "{% endfor %}",
            "{{ trigger.body.after.__class__ }}",
        ],
        &expect![[r#"
            {{ trigger.body. }}
                error compile : syntax error: unexpected end of input, expected identifier or integer
            {{ trigger.body
                error compile : syntax error: unexpected end of input, expected end of variable block
            {{ }}
                error compile : syntax error: unexpected end of input, expected expression
            {{ a b }}
                error compile : syntax error: unexpected input after expression
            {{ trigger | nofilter }}
                error compile : there is no filter `nofilter`; there are abs, attr, batch, bool, capitalize, chain, count, d, default, dictsort, e, escape, first, float, format, groupby, indent, int, items, join, last, length, lines, list, lower, map, max, min, pprint, reject, rejectattr, replace, reverse, round, safe, select, selectattr, slice, sort, split, string, sum, title, tojson, trim, unique, upper, urlencode, zip
            {{ nofunction() }}
                error compile : `nofunction` is undefined: expressions read `trigger`, `steps`, `workflow` and `run`
            {{ debug() }}
                error compile : `debug` is undefined: expressions read `trigger`, `steps`, `workflow` and `run`
            {% include 'x' %}
                error compile : syntax error: unknown statement include
            {% import 'x' as y %}
                error compile : syntax error: unknown statement import
            {% extends 'x' %}
                error compile : syntax error: unknown statement extends
            {% macro m() %}{% endmacro %}
                error compile : syntax error: unknown statement macro
            {% for x in trigger %}
                error compile : syntax error: unexpected end of input, expected end of block
            {% endfor %}
                error compile : syntax error: unknown statement endfor
            {{ trigger.body.after.__class__ }}
                error : `trigger.body.after.__class__` is undefined: `trigger.body.after` is a text
        "#]],
    );
    let several = json!({ "a": ["{{ 1 + }}", { "b/c": "{% nope %}" }], "{{ key }}": 1 });
    expect![[r#"
        error compile : the key `{{ key }}` has an expression in it; expressions are possible in values only
        compile /a/0: syntax error: unexpected end of input, expected expression
        compile /a/1/b~1c: syntax error: unknown statement nope"#]]
    .assert_eq(&shown(several));
}

#[test]
fn errors_point_to_their_place() {
    let error = render(json!({ "json": { "a/b": [1, "{{ trigger.nope }}"] } })).expect_err("undefined");
    assert!(error.starts_with("/json/a~1b/1: `trigger.nope` is undefined"), "{error}");
}

#[test]
fn run_data_is_never_read_as_a_template() {
    let evil = "{{ 7 * 7 }}{% for x in range(9) %}x{% endfor %}";
    for input in [
        "{{ trigger.body.evil }}",
        "{{ trigger.body.evil | string }}",
        "{{ [trigger.body.evil] | join }}",
        "{% set x = trigger.body.evil %}{{ x }}",
        "{{ trigger.body.evil }}{{ '' }}",
        "{{ trigger.body['evil'] ~ '' }}",
    ] {
        assert_eq!(render(json!(input)), Ok(json!(evil)), "{input}");
    }
    // A name in the data that looks like code or like the engine's own things is a name.
    let run = run(json!({ "{{ 1 + 1 }}": "{{ trigger }}", "self": 1, "loop": 2 }));
    let workflow = workflow();
    let rendered = |text: &str| Program::compile(&json!(text)).expect("compiles").render(&Scope::of(&run, &workflow));
    assert_eq!(rendered("{{ trigger | items | list | first | first }}"), Ok(json!("loop")));
    assert_eq!(rendered("{{ trigger }}"), Ok(run.trigger.clone()));
    assert_eq!(rendered("{{ trigger.self + trigger.loop }}"), Ok(json!(3)));
}

#[test]
fn work_and_size_are_limited() {
    let doubling =
        format!("{{% set x = 'aaaaaaaaaaaaaaaa' %}}{}{{{{ x | length }}}}", "{% set x = x ~ x %}".repeat(60));
    let nested = format!("{}{}", "{% if true %}".repeat(200), "{% endif %}".repeat(200));
    table(
        &[
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
            "{{ range(1000000000) | list }}",
            "{{ 'x' * 1000000000 }}",
            "{{ 'x' * 2000000 }}",
            "{{ 'x' * 2000000 }} too",
            "{{ '%999999999d' | format(1) }}",
            "{{ [1] * 100000000 }}",
            "{{ [1] * 100000000 }} too",
            "{{ range(100000) | map('string') | join('a') | length }}",
            "{{ 2 ** 4096 }}",
            "{{ 18446744073709551616 }}",
            "{{ 1 / 0 }}",
            "{{ 1e308 * 10 }}",
        ],
        &expect![[r#"
            {% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}
                error : the expression does too much work and was stopped; compute such things in a plugin
            {{ range(1000000000) | list }}
                error : invalid operation: range has too many elements
            {{ 'x' * 1000000000 }}
                error : the expression does too much work and was stopped; compute such things in a plugin
            {{ 'x' * 2000000 }}
                error : the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
            {{ 'x' * 2000000 }} too
                error : the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
            {{ '%999999999d' | format(1) }}
                error : the expression does too much work and was stopped; compute such things in a plugin
            {{ [1] * 100000000 }}
                error : the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
            {{ [1] * 100000000 }} too
                error : the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
            {{ range(100000) | map('string') | join('a') | length }}
                588889
            {{ 2 ** 4096 }}
                error : invalid operation: unable to calculate 2 ** 4096
            {{ 18446744073709551616 }}
                error : 18446744073709551616 is too large a number
            {{ 1 / 0 }}
                error : invalid operation: unable to calculate 1 / 0
            {{ 1e308 * 10 }}
                error : inf is not a number that JSON can say
        "#]],
    );
    assert_eq!(shown(json!(doubling)), format!("error : {}", template::too_much_work()));
    assert_eq!(shown(json!(nested)), "error compile : syntax error: template exceeds maximum recursion limits");
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(shown(json!(parentheses)).starts_with("error "));
}

#[test]
fn the_whole_input_is_limited() {
    let run = run(json!({ "text": "x".repeat(150_000) }));
    let workflow = workflow();
    let rendered = |count: usize| {
        let program = Program::compile(&json!(vec!["{{ trigger.text }}"; count])).expect("compiles");
        program.render(&Scope::of(&run, &workflow)).map(|_| ()).map_err(|error| (error.pointer, error.message))
    };
    assert_eq!(rendered(6), Ok(()));
    let (pointer, message) = rendered(7).expect_err("too large");
    assert_eq!(pointer, "/6");
    assert!(message.starts_with("the input becomes larger than 1 MiB"), "{message}");
}

#[test]
fn the_engine_sees_of_the_run_what_the_text_reads() {
    table(
        &[
            "{{ steps.build.output.body.number + steps.build.output.status }} {{ steps.build.status | upper }}",
            "{{ steps.build.output.body | items | list }}",
            "{{ steps.tell.output is defined }}",
            "{{ steps.tell.status ~ steps['build'].status }}",
            "{{ steps | length }}",
            "{% for id in steps %}{{ id }}={{ steps[id].status }} {% endfor %}",
            "{% set trigger = trigger.body %}{{ trigger.after }}",
            "{% set body = trigger.body %}{{ body.after }} {{ trigger.body.ratio + 1 }}",
            "{{ (trigger.body | length) + (trigger.body.commits | length) }}",
            "{{ trigger.body.commits.0.id + 1 }}",
            "{{ trigger.body.missing is defined }} {{ trigger.body.commits is defined }}",
            "{{ steps.log_it.output | upper }}",
            "{{ steps.tell.output | upper }}",
        ],
        &expect![[r#"
            {{ steps.build.output.body.number + steps.build.output.status }} {{ steps.build.status | upper }}
                "243 SUCCEEDED"
            {{ steps.build.output.body | items | list }}
                [["number",42]]
            {{ steps.tell.output is defined }}
                false
            {{ steps.tell.status ~ steps['build'].status }}
                "runningsucceeded"
            {{ steps | length }}
                2
            {% for id in steps %}{{ id }}={{ steps[id].status }} {% endfor %}
                "build=succeeded tell=running "
            {% set trigger = trigger.body %}{{ trigger.after }}
                "9b1c"
            {% set body = trigger.body %}{{ body.after }} {{ trigger.body.ratio + 1 }}
                "9b1c 1.5"
            {{ (trigger.body | length) + (trigger.body.commits | length) }}
                14
            {{ trigger.body.commits.0.id + 1 }}
                2
            {{ trigger.body.missing is defined }} {{ trigger.body.commits is defined }}
                "false true"
            {{ steps.log_it.output | upper }}
                error : `steps.log_it` is undefined: step `log_it` has not run yet
            {{ steps.tell.output | upper }}
                error : `steps.tell.output` is undefined: the step is running and has no output
        "#]],
    );
}

#[test]
fn references_are_the_paths_that_are_read() {
    let program = Program::compile(&json!({
        "url": "https://x/{{ trigger.body.id }}/{{ steps.a.output }}",
        "list": ["{{ steps.b.output.items | map(attribute='x') | list }}", "literal"],
        "loop": "{% for c in trigger.body.cs %}{{ c.id }}{{ loop.index }}{{ range(3) }}{{ run.id }}{% endfor %}",
        "whole": "{{ steps['c'].output }}",
        "dynamic": "{{ steps['d' ~ ''].output }}",
    }));
    let references = program.expect("compiles").references();
    let shown: String =
        references.iter().map(|reference| format!("{} {}\n", reference.pointer, reference.path)).collect();
    expect![[r#"
        /dynamic steps
        /list/0 steps.b.output.items
        /loop run.id
        /loop trigger.body.cs
        /url steps.a.output
        /url trigger.body.id
        /whole steps.c.output
    "#]]
    .assert_eq(&shown);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The short way for plain paths says what the engine says.
    #[test]
    fn plain_paths_and_the_engine_agree(
        path in prop::collection::vec(prop::sample::select(vec![".body", ".commits", "[0]", "[1]", ".author", ".name", "['after']", ".id", ".size", ".html", ".nothing", ".forced", ".items"]), 0..5),
        around in prop::sample::select(vec![("", ""), ("a ", ""), ("", "\n"), (" ", "b")]),
    ) {
        let path = format!("trigger{}", path.concat());
        let short = render(json!(format!("{}{{{{ {path} }}}}{}", around.0, around.1)));
        // Parentheses keep the text from being taken for a plain path.
        let long = render(json!(format!("{}{{{{ ({path}) }}}}{}", around.0, around.1)));
        prop_assert_eq!(short.is_ok(), long.is_ok());
        if let (Ok(short), Ok(long)) = (short, long) {
            prop_assert_eq!(short, long);
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "[{}%#|. a-z'\"\\[\\]()0-9~+*-]{0,60}") {
        let _ = shown(json!(text));
    }
}
