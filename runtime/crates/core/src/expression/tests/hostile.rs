//! Data and templates that mean harm.

use super::*;

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
    assert_eq!(rendered("{{ trigger }}"), Ok((*run.trigger).clone()));
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
/// What is sent to break out of templates, of every engine that people know: none of it is more than a text here.
const PAYLOADS: &str = include_str!("hostile/payloads.txt");

#[test]
fn two_hundred_injections_come_back_as_text() {
    let payloads: Vec<&str> = PAYLOADS.lines().filter(|line| !line.is_empty()).collect();
    assert!(payloads.len() >= 200, "{} payloads", payloads.len());
    let values_of = |payload: &str| json!({ "text": payload });
    let workflow = workflow();
    for payload in payloads {
        let run = run(json!({
            "body": { "text": payload, "list": [payload], payload: "key" },
            "headers": { "x": payload },
            "query": { "q": payload },
        }));
        let values = values_of(payload);
        let scope = Scope::of(&run, &workflow).with_custom_values(&values);
        for (template, expected) in [
            ("{{ trigger.body.text }}", json!(payload)),
            ("{{ (trigger.body.text) }}", json!(payload)),
            ("<{{ trigger.body.text }}>", json!(format!("<{payload}>"))),
            ("<{{ trigger.body.text | string }}>", json!(format!("<{payload}>"))),
            ("{% set x = trigger.body.text %}{{ x }}", json!(payload)),
            ("{% for x in trigger.body.list %}{{ x }}{% endfor %}", json!(payload)),
            ("{{ trigger.headers.x ~ '' }}", json!(payload)),
            ("{{ trigger.query.q }}", json!(payload)),
            ("{{ inboundWebhookRequest.text }}", json!(payload)),
            ("{{ inboundWebhookRequest.headers.x | string }}", json!(payload)),
            ("{{ custom_values.text }}", json!(payload)),
            ("{{ [trigger.body.text] | join('') | replace('\u{1}', '') }}", json!(payload)),
            ("{{ trigger.body.text | to_json | from_json }}", json!(payload)),
            ("{{ {'a': trigger.body.text} | get('a') }}", json!(payload)),
            ("{{ '%s' | format(trigger.body.text) }}", json!(payload)),
            ("{{ ['x'] | map('replace', 'x', trigger.body.text) | first }}", json!(payload)),
            ("{{ 'x' | regex_replace('x', trigger.body.text | replace('$', '$$')) }}", json!(payload)),
            ("{{ trigger.body | keys | length }}", json!(3)),
            ("{{ trigger.body[trigger.body.text] }}", json!("key")),
        ] {
            let rendered = Program::compile(&json!(template)).expect("compiles").render(&scope);
            assert_eq!(rendered, Ok(expected), "{template} with {payload}");
        }
        // As the template itself it may be a mistake, but it never reaches anything.
        let _ = shown(json!(payload));
    }
}

#[test]
fn long_chains_and_deep_nests_are_refused() {
    let long = |part: &str, length: usize| part.repeat(length / part.len());
    let patterns: [(&str, &str, &str, &str); 17] = [
        ("{{ trigger", ".a", " | string", " }}"),
        ("{{ 1", "+1", "", " }}"),
        ("{{ 'a'", "|e", "", " }}"),
        ("{{ ", "not ", "1", " }}"),
        ("{{ ", "-", "1", " }}"),
        ("{{ ", "1 if 1 else ", "1", " }}"),
        ("{{ ", "[", "1", " }}"),
        ("{{ ", "(", "1", " }}"),
        ("{{ ", "{'a':", "1", " }}"),
        ("{{ 'a'", "~1", "", " }}"),
        ("{{ 1", "**1", "", " }}"),
        ("{{ 1", " is odd", "", " }}"),
        ("{{ trigger", "()", "", " }}"),
        ("{{ trigger", "[1:]", "", "|e }}"),
        ("{% if 1 %}", "{% elif 1 %}", "", "{% endif %}"),
        ("", "{% if 1 %}", "", ""),
        ("", "{% for x in [1] %}", "", ""),
    ];
    // A thread of its own with the stack that the smallest of the runtime's have: what overflows it takes the process along.
    let checked = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
        for (before, part, middle, after) in patterns {
            for length in [500, 2_000, 100_000, 250_000, 1024 * 1024] {
                let shown = shown(json!(format!("{before}{}{middle}{after}", long(part, length))));
                let is_clear = ["is too long", "longer than 256 KiB", "recursion limits", "unexpected end of input"];
                assert!(
                    length < 2_000 || is_clear.iter().any(|words| shown.contains(words)) || part == "{% elif 1 %}",
                    "{before}{part}… {length}: {shown}"
                );
            }
        }
    });
    checked.expect("a thread").join().expect("no chain overflows the stack");
}

#[test]
fn a_template_of_a_mebibyte_ends_with_a_clear_error() {
    let mebibyte = 1024 * 1024;
    for part in [
        "{{ trigger.body.after }} ",
        "{{ trigger.body.after | upper }} ",
        "{% if true %}x{% endif %}",
        "{# x #}",
        "{{",
        "{%",
        "}}{{",
        "x",
    ] {
        let text = part.repeat((mebibyte - 16) / part.len());
        let shown = shown(json!(text));
        if has_expression(&text) {
            assert_eq!(
                shown,
                "error compile : the text is longer than 256 KiB, which is the most for one with expressions; take what is large from a value"
            );
        } else {
            assert!(!shown.starts_with("error"), "{shown}");
        }
        let _ = self::shown(json!(part.repeat(250_000 / part.len())));
    }
    // Long lists are long, not deep.
    let list = format!("{{{{ [{}1] | length }}}}", "trigger.body.after | upper, ".repeat(5_000));
    assert_eq!(shown(json!(list)), "5001");
    // What `raw` encloses is no code.
    let raw = format!("{{% raw %}}{}{{% endraw %}}{{{{ trigger.body.after | upper }}}}", "{{ a.b.c }}".repeat(1_000));
    assert!(shown(json!(raw)).starts_with("\"{{ a.b.c }}{{ a.b.c }}"));
    for before in [
        "{% raw %}{% endraw %}",
        "{% raw -%}{% {% endraw +%}",
        "{#{% raw %}#}",
        "{{ '{% raw %}' }}",
        "{{ '#}' }}{# {{ ' #}",
        "{{ '",
    ] {
        let hidden = format!("{before}{{{{ trigger{} | upper }}}}", ".a".repeat(10_000));
        let shown = shown(json!(hidden));
        assert!(shown.contains("is too long") || shown.contains("syntax error"), "{before}: {shown}");
    }
}

#[test]
fn filters_that_work_hard_are_paid_for() {
    let data = json!({ "body": {
        "text": "lorem <b>ipsum</b> 12.50 ada@example.com ".repeat(2_000),
        "items": (0..2_000).map(|n| json!({ "n": n, "name": format!("item {n}") })).collect::<Vec<_>>(),
    } });
    let (run, workflow) = (run(data), workflow());
    let scope = Scope::of(&run, &workflow);
    for work in [
        "trigger.body.text | slug",
        "trigger.body.text | strip_html",
        "trigger.body.text | regex_find_all('i' ~ i)",
        "trigger.body.text | from_csv",
        "trigger.body.items | sort_by('name')",
        "trigger.body.items | to_csv",
        "trigger.body.items | tojson",
        "'+49 151 2345 6789' | phone",
    ] {
        let template = format!("{{% for i in range(100000) %}}{{% set x = {work} %}}{{% endfor %}}");
        let rendered = Program::compile(&json!(template)).expect("compiles").render(&scope);
        assert_eq!(rendered.map_err(|error| error.message), Err(template::too_much_work().to_owned()), "{work}");
    }
}

#[test]
fn small_values_cannot_make_large_ones() {
    let data = json!({ "body": {
        "csv": format!("{}\n{}", "h".repeat(5_000), "1\n".repeat(50_000)),
        "columns": { "k".repeat(5_000): vec![1; 50_000] },
        "sparse": (0..5_000).map(|n| json!({ format!("k{n}"): 1 })).collect::<Vec<_>>(),
        "text": "x".repeat(100_000),
        "nested": serde_json::from_str::<Value>(&format!("{}{}{}", "[".repeat(100), vec!["1"; 50_000].join(","), "]".repeat(100))).expect("JSON"),
    } });
    let (run, workflow) = (run(data), workflow());
    let scope = Scope::of(&run, &workflow);
    let shown = [
        "trigger.body.csv | from_csv | length",
        "trigger.body.columns | to_line_items | length",
        "trigger.body.sparse | to_columns | length",
        "trigger.body.sparse | to_csv | length",
        "trigger.body.text | regex_replace('x+', '$0$0$0$0$0$0$0$0$0$0$0$0') | length",
        "trigger.body.text | repeat(100)",
        "trigger.body.text | slug('----------------------------------------------------') | length",
        "trigger.body.nested | to_json(8) | length",
        "('a ' * 100000) | slug('________________________') | length",
    ];
    let shown = shown.iter().map(|text| {
        let value = Expression::compile(text).and_then(|expression| expression.evaluate(&scope));
        format!("{text}\n    {}\n", value.map_or_else(|error| format!("error {error}"), |value| value.to_string()))
    });
    expect![[r#"
        trigger.body.csv | from_csv | length
            error `from_csv` makes tables of up to 4 MiB
        trigger.body.columns | to_line_items | length
            error `to_line_items` makes tables of up to 4 MiB
        trigger.body.sparse | to_columns | length
            error `to_columns` makes tables of up to 100000 rows and 500000 cells
        trigger.body.sparse | to_csv | length
            error `to_csv` makes tables of up to 100000 rows and 500000 cells
        trigger.body.text | regex_replace('x+', '$0$0$0$0$0$0$0$0$0$0$0$0') | length
            error the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
        trigger.body.text | repeat(100)
            error the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
        trigger.body.text | slug('----------------------------------------------------') | length
            error the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
        trigger.body.nested | to_json(8) | length
            error the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
        ('a ' * 100000) | slug('________________________') | length
            error the text becomes longer than 1024 KiB; pass large values on whole, as `{{ trigger.body }}`
    "#]]
    .assert_eq(&shown.collect::<String>());
}

#[test]
fn huge_arguments_allocate_nothing_huge() {
    for name in FILTERS.iter() {
        for value in ["'a'", "[1, 2]"] {
            for huge in ["9223372036854775807", "1e308"] {
                let _ = shown(json!(format!("{{{{ {value} | {name}({huge}) }}}}")));
                let _ = shown(json!(format!("{{{{ {value} | {name}('a', {huge}) }}}}")));
            }
        }
    }
    for named in [
        "tojson(indent=N)",
        "indent(width=N)",
        "batch(count=N)",
        "slice(count=N)",
        "round(precision=N)",
        "replace('a', 'b', count=N)",
        "split('a', maxsplits=N)",
        "int(base=N)",
        "sum(start=N)",
        "format(N)",
    ] {
        let shown = shown(json!(format!(
            "{{{{ 'a' | {} }}}}{{{{ [[1]] | {} }}}}",
            named.replace('N', "9223372036854775807"),
            named.replace('N', "9223372036854775807")
        )));
        assert!(!shown.is_empty());
    }
}
