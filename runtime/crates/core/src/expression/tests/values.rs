//! Values, types and texts.

use super::*;

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
