//! The filters and tests that an expression names. The engine notices an unknown one only when it is reached at run time; people
//! should hear of it when they write it.

use minijinja::{Environment, ErrorKind};

use crate::workflow::problem::similar;

/// The filters there are: `value | filter`.
pub const FILTERS: [&str; 49] = [
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
    "indent",
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
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "zip",
];

/// The tests there are: `value is test`. Comparisons have names too: `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `in`.
pub const TESTS: [&str; 31] = [
    "boolean",
    "defined",
    "divisibleby",
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
pub const FUNCTIONS: [&str; 3] = ["dict", "namespace", "range"];

/// Looks up every filter and test in the code of an expression.
pub(super) fn check_expression(code: &str, environment: &Environment<'_>) -> Result<(), String> {
    let mut words = Words { rest: code };
    while let Some(word) = words.next() {
        match word {
            Word::Symbol('|') => {
                if let Some(Word::Name(name)) = words.next() {
                    check_filter(name, environment)?;
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
    // What `raw` encloses is no code; finding its end is the engine's business.
    if text.contains("raw") {
        return Ok(());
    }
    let mut rest = text;
    while let Some(start) = ["{{", "{%", "{#"].iter().filter_map(|opener| rest.find(opener)).min() {
        let (_, after) = rest.split_at(start);
        let opener = after.get(..2).unwrap_or_default();
        let inside = after.get(2..).unwrap_or_default();
        let end = match opener {
            "{#" => inside.find("#}"),
            "{%" => code_end(inside, "%}"),
            _ => code_end(inside, "}}"),
        };
        let Some(end) = end else { return Ok(()) };
        let code = inside.get(..end).unwrap_or_default();
        if opener != "{#" {
            check_expression(code, environment)?;
            if let Some(block) = code.trim_start_matches(['-', '+', ' ']).strip_prefix("filter ")
                && let Some(Word::Name(name)) = (Words { rest: block }).next()
            {
                check_filter(name, environment)?;
            }
        }
        rest = inside.get(end + 2..).unwrap_or_default();
    }
    Ok(())
}

fn check_filter(name: &str, environment: &Environment<'_>) -> Result<(), String> {
    let tried = environment.empty_state().apply_filter(name, &[]);
    match tried {
        Err(error) if error.kind() == ErrorKind::UnknownFilter => Err(unknown("filter", name, &FILTERS)),
        _ => Ok(()),
    }
}

fn check_test(name: &str, environment: &Environment<'_>) -> Result<(), String> {
    let tried = environment.empty_state().perform_test(name, &[]);
    match tried {
        Err(error) if error.kind() == ErrorKind::UnknownTest => Err(unknown("test", name, &TESTS)),
        _ => Ok(()),
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match similar(name, known.iter().copied()) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{name}`; there are {}", known.join(", ")),
    }
}

/// Where the code ends: at `closer` outside of texts in quotes.
fn code_end(inside: &str, closer: &str) -> Option<usize> {
    let mut words = Words { rest: inside };
    loop {
        let rest = words.rest.trim_start();
        if rest.starts_with(closer) || rest.strip_prefix(['-', '+']).is_some_and(|rest| rest.starts_with(closer)) {
            let at = inside.len() - rest.len();
            return Some(if rest.starts_with(closer) { at } else { at + 1 });
        }
        words.next()?;
    }
}

/// Names and symbols; white space, numbers' digits and texts in quotes are passed over.
struct Words<'c> {
    rest: &'c str,
}

enum Word<'c> {
    Name(&'c str),
    Symbol(char),
}

impl<'c> Iterator for Words<'c> {
    type Item = Word<'c>;

    fn next(&mut self) -> Option<Word<'c>> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        if is_name(first) {
            let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Word::Name(name));
        }
        self.rest = self.rest.get(first.len_utf8()..).unwrap_or_default();
        if first == '\'' || first == '"' {
            let mut escaped = false;
            let end = self.rest.char_indices().find(|(_, c)| {
                let ends = *c == first && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            self.rest = end.map_or("", |(at, c)| self.rest.get(at + c.len_utf8()..).unwrap_or_default());
        }
        Some(Word::Symbol(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_what_the_engine_has() {
        let environment = Environment::new();
        for name in FILTERS {
            assert_eq!(check_filter(name, &environment), Ok(()));
        }
        for name in TESTS {
            assert_eq!(check_test(name, &environment), Ok(()));
        }
        for name in FUNCTIONS {
            assert!(environment.globals().any(|(global, _)| global == name), "{name}");
        }
    }

    #[test]
    fn the_documentation_lists_every_name() {
        let page = include_str!("../../../../../docs/expressions.md");
        for name in FILTERS.iter().chain(&TESTS).chain(&FUNCTIONS).chain(&crate::expression::ROOTS) {
            assert!(
                page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}.")),
                "docs/expressions.md lacks `{name}`"
            );
        }
        assert!(page.contains("500,000") && crate::expression::FUEL == 500_000);
    }

    #[test]
    fn unknown_names_are_found_in_code_and_not_in_texts() {
        let environment = Environment::new();
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
