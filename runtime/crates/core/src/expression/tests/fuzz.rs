//! Templates put together at random: each has a value or an error, and none takes the process with it.

use super::*;

const WORDS: [&str; 34] = [
    "trigger",
    "trigger.body",
    "trigger.body.commits",
    "trigger.body.html",
    "trigger.body.evil",
    "steps.build.output",
    "now()",
    "none",
    "true",
    "1",
    "-2.5",
    "'a'",
    "'2026-11-23'",
    "[1, 'b', none]",
    "{'a': {'b': [1]}}",
    "range(50)",
    "''",
    "[]",
    "{}",
    "trigger.body.missing",
    "inboundWebhookRequest",
    "right_now",
    "custom_values",
    "9223372036854775807",
    "1e308",
    "'a,b\\nc'",
    "'%Y'",
    "'[0-9]+'",
    "'days'",
    "'=='",
    "0",
    "100000",
    "'name'",
    "run.id",
];

fn expression() -> impl Strategy<Value = String> {
    let word = || prop::sample::select(WORDS.to_vec());
    let filter =
        (prop::sample::select(FILTERS.clone()), prop::collection::vec(word(), 0..4)).prop_map(|(name, arguments)| {
            if arguments.is_empty() { format!(" | {name}") } else { format!(" | {name}({})", arguments.join(", ")) }
        });
    let test = (prop::sample::select(TESTS.to_vec()), prop::option::of(word())).prop_map(|(name, argument)| {
        argument.map_or_else(|| format!(" is {name}"), |argument| format!(" is {name}({argument})"))
    });
    let operator =
        (prop::sample::select(vec!["+", "-", "*", "/", "//", "%", "~", "==", "<", "in", "and", "or"]), word())
            .prop_map(|(operator, word)| format!(" {operator} {word}"));
    let step = prop_oneof![4 => filter, 1 => test, 2 => operator];
    (word(), prop::collection::vec(step, 0..4)).prop_map(|(word, steps)| format!("{word}{}", steps.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn random_expressions_never_panic(expression in expression(), around in "[a {}%#]{0,3}") {
        let _ = shown(json!(format!("{{{{ {expression} }}}}")));
        let _ = shown(json!(format!("{around}{{{{ {expression} }}}}{{% if {expression} %}}x{{% endif %}}")));
        let _ = Expression::compile(&expression);
    }

    #[test]
    fn random_text_never_panics(text in "[{}%#|. a-zäß'\"\\[\\]()0-9~+*:,<-]{0,80}") {
        let _ = shown(json!(text));
        let _ = Expression::compile(&text);
    }

    /// What comes out of the coders goes back in.
    #[test]
    fn coders_are_undone_by_their_opposites(text in "\\PC{0,40}") {
        let run = run(json!({ "body": { "text": text } }));
        let workflow = workflow();
        for pair in ["to_json | from_json", "base64_encode | base64_decode", "base64url_encode | base64_decode", "hex_encode | hex_decode", "url_encode | url_decode"] {
            let program = Program::compile(&json!(format!("{{{{ trigger.body.text | {pair} }}}}"))).expect("compiles");
            prop_assert_eq!(program.render(&Scope::of(&run, &workflow)), Ok(json!(text)), "{}", pair);
        }
    }

    #[test]
    fn dates_that_are_written_are_read(seconds in -60_000_000_000_i64..200_000_000_000) {
        let text = format!("{{{{ {seconds} | parse_date | to_zone('America/Sao_Paulo') | unix_time == {seconds} }}}}");
        // Numbers beyond the year 5138 are milliseconds.
        if seconds.abs() < 100_000_000_000 {
            prop_assert_eq!(render(json!(text)), Ok(json!(true)));
        }
    }
}

proptest! {
    // Each case compiles 6,000 bytes.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    /// Whatever stands before it, a chain that would overflow the stack is found before the engine sees it. (A miss ends the process.)
    #[test]
    fn nothing_hides_a_long_chain(
        before in prop::collection::vec(prop::sample::select(vec![
            "{% raw %}", "{%- endraw -%}", "{% endraw %}", "{% raw", "{#", "#}", "{{", "}}", "{%", "%}", "'", "\"", "\\", "-", " ", "a", "raw", "{", "(", ",",
        ]), 0..8),
        opener in prop::sample::select(vec!["{{ ", "{% if ", "{{- ", "{% set x = ", ""]),
    ) {
        let text = format!("{}{opener}trigger{} | upper }}}} %}}", before.concat(), ".a".repeat(3_000));
        let _ = shown(json!(text));
        let _ = Expression::compile(&text);
    }
}
