//! The filters and tests that an expression names. The engine notices an unknown one only when it is reached at run time; people
//! should hear of it when they write it.

use std::sync::LazyLock;

use minijinja::{Environment, ErrorKind};

use super::code::{Codes, Word, Words};
use super::library;
use crate::workflow::problem::similar;

/// The filters there are: `value | filter`, by name.
pub static FILTERS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<_> = ENGINE_FILTERS.into_iter().chain(library::filters().map(|filter| filter.name)).collect();
    names.sort_unstable();
    names
});

/// Those of the engine; the others are in [`library`].
const ENGINE_FILTERS: [&str; 46] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "zip",
];

/// What other languages call a filter that we have.
const ELSEWHERE: [(&str, &str); 23] = [
    ("average", "avg"),
    ("b64decode", "base64_decode"),
    ("b64encode", "base64_encode"),
    ("date", "format_date"),
    ("date_format", "format_date"),
    ("downcase", "lower"),
    ("filter", "where"),
    ("fromjson", "from_json"),
    ("json", "to_json"),
    ("json_encode", "to_json"),
    ("len", "length"),
    ("lowercase", "lower"),
    ("nl2br", "replace"),
    ("regex", "regex_match"),
    ("size", "length"),
    ("strftime", "format_date"),
    ("strip", "trim"),
    ("striptags", "strip_html"),
    ("substr", "substring"),
    ("to_number", "number"),
    ("toFixed", "format_number"),
    ("upcase", "upper"),
    ("uppercase", "upper"),
];

/// The tests there are: `value is test`. Comparisons have names too: `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `in`.
pub const TESTS: [&str; 36] = [
    "after",
    "before",
    "boolean",
    "date",
    "defined",
    "divisibleby",
    "empty",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "matching",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

/// The functions there are.
pub const FUNCTIONS: [&str; 5] = ["dict", "namespace", "now", "range", "today"];

/// Looks up every filter and test in the code of an expression.
pub(super) fn check_expression(code: &str, environment: &Environment<'_>) -> Result<(), String> {
    let mut words = Words { rest: code };
    while let Some(word) = words.next() {
        match word {
            Word::Symbol('|') => {
                if let Some(Word::Name(name)) = words.next() {
                    check_filter(name)?;
                }
            }
            Word::Name("is") => {
                let name = match words.next() {
                    Some(Word::Name("not")) => words.next(),
                    other => other,
                };
                if let Some(Word::Name(name)) = name {
                    check_test(name, environment)?;
                }
            }
            Word::Name(_) | Word::Symbol(_) => {}
        }
    }
    Ok(())
}

/// The same for each `{{ … }}` and `{% … %}` of a template.
pub(super) fn check_template(text: &str, environment: &Environment<'_>) -> Result<(), String> {
    for code in (Codes { rest: text }) {
        check_expression(code, environment)?;
        if let Some(block) = code.trim_start_matches(['-', '+', ' ']).strip_prefix("filter ")
            && let Some(Word::Name(name)) = (Words { rest: block }).next()
        {
            check_filter(name)?;
        }
    }
    Ok(())
}

fn check_filter(name: &str) -> Result<(), String> {
    if FILTERS.contains(&name) { Ok(()) } else { Err(unknown_filter(name)) }
}

fn check_test(name: &str, environment: &Environment<'_>) -> Result<(), String> {
    let tried = environment.empty_state().perform_test(name, &[]);
    match tried {
        Err(error) if error.kind() == ErrorKind::UnknownTest => Err(unknown_test(name)),
        _ => Ok(()),
    }
}

pub(super) fn unknown_filter(name: &str) -> String {
    let elsewhere = ELSEWHERE.into_iter().find(|(there, _)| *there == name).map(|(_, here)| here);
    match elsewhere.or_else(|| similar(name, FILTERS.iter().copied())) {
        Some(near) => format!("there is no filter `{name}`; did you mean `{near}`?"),
        None => format!("there is no filter `{name}`; docs/expressions.md lists those there are"),
    }
}

pub(super) fn unknown_test(name: &str) -> String {
    match similar(name, TESTS) {
        Some(near) => format!("there is no test `{name}`; did you mean `{near}`?"),
        None => format!("there is no test `{name}`; there are {}", TESTS.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::template::environment;

    #[test]
    fn the_lists_name_what_the_engine_has() {
        let environment = environment();
        for name in FILTERS.iter() {
            let tried = environment.empty_state().apply_filter(name, &[]);
            assert!(tried.err().is_none_or(|error| error.kind() != ErrorKind::UnknownFilter), "{name}");
        }
        for name in TESTS {
            assert_eq!(check_test(name, &environment), Ok(()));
        }
        for name in FUNCTIONS {
            assert!(environment.globals().any(|(global, _)| global == name), "{name}");
        }
        let mut names = FILTERS.clone();
        names.dedup();
        assert_eq!(names.len(), FILTERS.len(), "two filters have one name");
        for (there, here) in ELSEWHERE {
            assert!(!FILTERS.contains(&there) && FILTERS.contains(&here), "{there} → {here}");
        }
    }

    #[test]
    fn the_documentation_lists_every_name() {
        let page = include_str!("../../../../../docs/expressions.md");
        for name in FILTERS.iter().chain(&TESTS).chain(&FUNCTIONS).chain(&crate::expression::ROOTS) {
            assert!(
                ["`", ".", "("].iter().any(|after| page.contains(&format!("`{name}{after}"))),
                "docs/expressions.md lacks `{name}`"
            );
        }
        assert!(page.contains("500,000") && crate::expression::FUEL == 500_000);
    }

    #[test]
    fn unknown_names_are_found_in_code_and_not_in_texts() {
        let environment = environment();
        let wrong = |text: &str| check_template(text, &environment).err();
        for text in [
            "{{ a | uper }}",
            "{{ a|uper }}",
            "{% if a | uper %}{% endif %}",
            "x {{ [a, b|uper] }}",
            "{{ '}}' | uper }}",
            "{{ a | map('x') | uper }}",
            "{% filter uper %}{% endfilter %}",
            "{# | ok #}{{ a -}} {{- b | uper -}}",
        ] {
            assert_eq!(wrong(text).as_deref(), Some("there is no filter `uper`; did you mean `upper`?"), "{text}");
        }
        assert_eq!(wrong("{{ a is definde }}").as_deref(), Some("there is no test `definde`; did you mean `defined`?"));
        assert_eq!(
            wrong("{{ a is not definde }}").as_deref(),
            Some("there is no test `definde`; did you mean `defined`?")
        );
        for text in [
            "a | uper",
            "{# a | uper #}",
            "{{ '| uper' }}",
            "{{ \"\\\" | uper\" }}",
            "{{ a }} | uper",
            "{{ a is odd }} is nice",
        ] {
            assert_eq!(wrong(text), None, "{text}");
        }
    }
}
