//! The results of tests, for people and for programs.

use serde_json::{Value, json};

use super::{Outcome, Tested, Wrong};
use crate::cli::output::{Output, Style, duration, printable};
use crate::cli::rehearse::plural;

/// Of what was expected and what came: enough to see it; `--json` has the whole.
const VALUE_CHARS_MAX: usize = 400;

pub(super) fn print(tested: &Tested, output: &Output) {
    let file = tested.file.display();
    match &tested.result {
        Err(wrong) => {
            output.line(format!("{} {file}", output.paint(Style::Bad, "✗")));
            match wrong {
                Wrong::Message(message) => output.line(format!("  {}", printable(message))),
                Wrong::Problems { file, problems } => {
                    for problem in problems {
                        output.line(printable(&problem.in_file(file).to_string()));
                    }
                }
            }
        }
        Ok(outcomes) if outcomes.is_empty() => {}
        Ok(outcomes) => {
            output.line(output.paint(Style::Strong, file));
            for outcome in outcomes {
                print_outcome(outcome, &tested.file.display().to_string(), output);
            }
        }
    }
}

fn print_outcome(outcome: &Outcome, file: &str, output: &Output) {
    let (mark, style) = if outcome.mismatches.is_empty() { ("✓", Style::Good) } else { ("✗", Style::Bad) };
    let took = output.paint(Style::Faint, duration(outcome.took_ms));
    output.line(format!("  {} {}  {took}", output.paint(style, mark), printable(&outcome.name)));
    for mismatch in &outcome.mismatches {
        output.line(format!("      {}", output.paint(Style::Strong, printable(&mismatch.what))));
        output.line(format!("        expected  {}", printable(&cut(&mismatch.expected))));
        output.line(format!("        came      {}", printable(&cut(&mismatch.came))));
        if let Some(place) = &mismatch.place {
            output.line(format!("        at        {}", printable(&cut(place))));
        }
    }
    if !outcome.mismatches.is_empty() {
        for note in &outcome.notes {
            output.line(format!("      {}", printable(note)));
        }
        output.line(output.paint(Style::Faint, format!("      {file}:{}", outcome.line)));
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(VALUE_CHARS_MAX).chain(['…']).collect()
}

/// The last line.
pub(super) fn print_sum(all: &[Tested], output: &Output) {
    let outcomes: Vec<&Outcome> = all.iter().filter_map(|tested| tested.result.as_ref().ok()).flatten().collect();
    let failed = outcomes.iter().filter(|outcome| !outcome.mismatches.is_empty()).count();
    let wrong = all.iter().filter(|tested| tested.result.is_err()).count();
    let took = duration(outcomes.iter().map(|outcome| outcome.took_ms).sum());
    let mut parts = vec![format!("{}: {} passed", plural(outcomes.len(), "case"), outcomes.len() - failed)];
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if wrong > 0 {
        parts.push(format!("{} could not be tested", plural(wrong, "file")));
    }
    let style = if failed + wrong > 0 { Style::Bad } else { Style::Good };
    output.line("");
    output.line(format!("{} in {took}", output.paint(style, parts.join(", "))));
}

pub(super) fn document(all: &[Tested]) -> Value {
    let file = |tested: &Tested| match &tested.result {
        Ok(outcomes) => json!({ "file": tested.file, "cases": outcomes.iter().map(case).collect::<Vec<_>>() }),
        Err(Wrong::Message(message)) => json!({ "file": tested.file, "problems": [{ "message": message }] }),
        Err(Wrong::Problems { file, problems }) => {
            json!({ "file": tested.file, "wrong": file, "problems": problems })
        }
    };
    let passed = |outcome: &Outcome| outcome.mismatches.is_empty();
    let outcomes: Vec<&Outcome> = all.iter().filter_map(|tested| tested.result.as_ref().ok()).flatten().collect();
    json!({
        "files": all.iter().map(file).collect::<Vec<_>>(),
        "passed": outcomes.iter().filter(|outcome| passed(outcome)).count(),
        "failed": outcomes.iter().filter(|outcome| !passed(outcome)).count(),
    })
}

fn case(outcome: &Outcome) -> Value {
    json!({
        "name": outcome.name,
        "line": outcome.line,
        "passed": outcome.mismatches.is_empty(),
        "mismatches": outcome.mismatches,
        "notes": outcome.notes,
        "duration_ms": outcome.took_ms,
    })
}
