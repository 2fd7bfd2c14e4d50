//! Every example of docs/expressions.md comes to what the page says.

use super::*;

const PAGE: &str = include_str!("../../../../../../docs/expressions.md");

/// A row of a table that has the columns `expression`, `data` and `result`.
struct Example {
    expression: String,
    data: Value,
    result: String,
}

fn examples() -> Vec<Example> {
    let mut columns: Vec<String> = Vec::new();
    let mut examples = Vec::new();
    for line in PAGE.lines() {
        let Some(line) = line.strip_prefix('|') else {
            columns.clear();
            continue;
        };
        let cells = cells(line);
        if columns.is_empty() {
            columns = cells;
            continue;
        }
        let cell = |name: &str| columns.iter().position(|column| column == name).and_then(|at| cells.get(at));
        let (Some(expression), Some(data), Some(result)) = (cell("expression"), cell("data"), cell("result")) else {
            continue;
        };
        if expression.starts_with("---") {
            continue;
        }
        let data = if data.is_empty() { json!({}) } else { serde_json::from_str(data).expect("the data is JSON") };
        examples.push(Example { expression: expression.clone(), data, result: result.clone() });
    }
    examples
}

/// The cells of a row, without the marks around code.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{1}");
    let cells = line.split('|').map(|cell| cell.trim().trim_matches('`').replace('\u{1}', "|"));
    cells.collect()
}

#[test]
fn every_example_comes_to_its_result() {
    let values = json!({ "company": "Acme" });
    let workflow = workflow();
    let mut wrong = Vec::new();
    let mut results = serde_json::Map::new();
    for Example { expression, data, result } in examples() {
        let run = run(json!({ "method": "POST", "headers": {}, "query": {}, "body": data }));
        let scope = Scope::of(&run, &workflow).at(HALF_PAST_NINE, "Europe/Berlin").with_custom_values(&values);
        let rendered = Program::compile(&json!(format!("{{{{ {expression} }}}}")))
            .map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())
            .and_then(|program| program.render(&scope).map_err(|error| error.to_string()));
        let actual = rendered.map_or_else(|error| format!("error: {error}"), |value| value.to_string());
        if actual != result {
            wrong.push(format!("{expression}\n    page   {result}\n    engine {actual}"));
        }
        let data = if data == json!({}) { String::new() } else { data.to_string() };
        results.insert(format!("{expression}\t{data}"), actual.into());
    }
    assert!(results.len() > 200, "the page has {} examples", results.len());
    assert!(wrong.is_empty(), "{} examples are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_filter_and_test_has_an_example() {
    let rows: Vec<_> = PAGE.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    for name in FILTERS.iter().chain(&TESTS) {
        assert!(
            rows.iter().any(|row| row.starts_with(&format!("{name}` |"))),
            "docs/expressions.md has no row for `{name}`"
        );
    }
}
