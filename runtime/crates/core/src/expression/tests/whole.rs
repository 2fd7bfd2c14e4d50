//! Single expressions, for conditions and loops.

use super::*;

#[test]
fn one_whole_expression_has_a_value_and_a_truth() {
    let (run, workflow) = (run(trigger()), workflow());
    let scope = Scope::of(&run, &workflow);
    let texts = [
        "{{ trigger.body.size > 100 }}",
        "trigger.body.size > 100",
        "trigger.body.commits",
        "{{ trigger.body.commits | map(attribute='id') }}\n",
        "  trigger.body.empty  ",
        "trigger.body.forced",
        "trigger.body.nothing",
        "0.0",
        "'false'",
        "{{ 'a }} b {{ c' }}",
        "{'a': 1}",
        "trigger.body.missing",
        "trigger.body.missing is defined",
        "",
        "{{ }}",
        "{{ trigger.body.size }} and {{ trigger.body.size }}",
        "size {{ trigger.body.size }}",
        "{% if true %}1{% endif %}",
        "trigger.body.size > ",
        "body.size",
        "contact.email",
        "trigger | nofilter",
    ];
    let shown = texts.iter().map(|text| {
        let shown = match Expression::compile(text) {
            Ok(expression) => match (expression.evaluate(&scope), expression.holds(&scope)) {
                (Ok(value), Ok(holds)) => format!("{holds} {value}"),
                (value, holds) => {
                    assert_eq!(value.is_err(), holds.is_err());
                    format!("error {}", value.expect_err("fails"))
                }
            },
            Err(error) => format!("error compile {error}"),
        };
        format!("{text}\n    {}\n", shown.chars().take(150).collect::<String>())
    });
    expect![[r#"
        {{ trigger.body.size > 100 }}
            true true
        trigger.body.size > 100
            true true
        trigger.body.commits
            true [{"author":{"name":"Ada"},"id":1,"message":"fix"},{"author":{"name":"Bo"},"id":2,"message":"add"}]
        {{ trigger.body.commits | map(attribute='id') }}

            true [1,2]
          trigger.body.empty  
            false {}
        trigger.body.forced
            false false
        trigger.body.nothing
            false null
        0.0
            false 0.0
        'false'
            true "false"
        {{ 'a }} b {{ c' }}
            true "a }} b {{ c"
        {'a': 1}
            true {"a":1}
        trigger.body.missing
            error `trigger.body.missing` is undefined (`trigger.body` has after, commits, commits-url, empty, evil, forced, html, huge, nothing, ratio, repository
        trigger.body.missing is defined
            false false

            error compile an expression is needed here, such as `trigger.body.total > 100`
        {{ }}
            error compile syntax error: unexpected end of input, expected expression
        {{ trigger.body.size }} and {{ trigger.body.size }}
            error compile one whole expression is needed here, such as `{{ trigger.body.total > 100 }}`, without any text around it
        size {{ trigger.body.size }}
            error compile one whole expression is needed here, such as `{{ trigger.body.total > 100 }}`, without any text around it
        {% if true %}1{% endif %}
            error compile one whole expression is needed here, such as `{{ trigger.body.total > 100 }}`, without any text around it
        trigger.body.size > 
            error compile syntax error: unexpected end of input, expected expression
        body.size
            error compile `body` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
        contact.email
            error `contact` is undefined: this run has no contact. A contact trigger brings one, and so does a step of a plugin that finds or makes one; what a we
        trigger | nofilter
            error compile there is no filter `nofilter`; docs/expressions.md lists those there are
    "#]].assert_eq(&shown.collect::<String>());
    let expression = Expression::compile("{{ steps.build.output.body.number > trigger.body.size }}").expect("compiles");
    assert_eq!(expression.source(), "steps.build.output.body.number > trigger.body.size");
    assert_eq!(expression.references(), ["steps.build.output.body.number", "trigger.body.size"]);
}
