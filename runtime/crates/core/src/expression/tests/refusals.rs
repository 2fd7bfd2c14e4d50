//! What is wrong is said, where it is and what to do.

use super::*;

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
                error compile : `triger` is undefined; did you mean `trigger`? (expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`)
            {{ body.after }}
                error compile : `body` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
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
                error compile : there is no filter `nofilter`; docs/expressions.md lists those there are
            {{ nofunction() }}
                error compile : `nofunction` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
            {{ debug() }}
                error compile : `debug` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
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
