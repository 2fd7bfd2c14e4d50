//! Results as JUnit XML, in the form that CI servers read: `testsuites` of `testsuite` of `testcase` with `failure` or `error`.

use std::fmt::Write as _;

use super::{Outcome, Tested, Wrong};

pub(super) fn write(all: &[Tested]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let outcomes: Vec<&Outcome> = all.iter().filter_map(|tested| tested.result.as_ref().ok()).flatten().collect();
    let errors = all.iter().filter(|tested| tested.result.is_err()).count();
    let failures = outcomes.iter().filter(|outcome| !outcome.mismatches.is_empty()).count();
    let time = seconds(outcomes.iter().map(|outcome| outcome.took_ms).sum());
    let tests = outcomes.len() + errors;
    let _ = writeln!(
        xml,
        r#"<testsuites name="flowcell test" tests="{tests}" failures="{failures}" errors="{errors}" time="{time}">"#
    );
    for tested in all {
        suite(tested, &mut xml);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(tested: &Tested, xml: &mut String) {
    let file = escaped(&tested.file.display().to_string());
    match &tested.result {
        Err(wrong) => {
            let (message, text) = match wrong {
                Wrong::Message(message) => (message.clone(), message.clone()),
                Wrong::Problems { file, problems } => {
                    let lines: Vec<String> = problems.iter().map(|problem| problem.in_file(file).to_string()).collect();
                    (lines.first().cloned().unwrap_or_default(), lines.join("\n"))
                }
            };
            let _ = writeln!(xml, r#"  <testsuite name="{file}" tests="1" failures="0" errors="1" time="0.000">"#);
            let _ = writeln!(xml, r#"    <testcase classname="{file}" name="the file can be tested" time="0.000">"#);
            let _ = writeln!(xml, r#"      <error message="{}">{}</error>"#, escaped(&message), escaped(&text));
            xml.push_str("    </testcase>\n  </testsuite>\n");
        }
        Ok(outcomes) => {
            let failures = outcomes.iter().filter(|outcome| !outcome.mismatches.is_empty()).count();
            let time = seconds(outcomes.iter().map(|outcome| outcome.took_ms).sum());
            let tests = outcomes.len();
            let _ = writeln!(
                xml,
                r#"  <testsuite name="{file}" tests="{tests}" failures="{failures}" errors="0" time="{time}">"#
            );
            for outcome in outcomes {
                case(&file, outcome, xml);
            }
            xml.push_str("  </testsuite>\n");
        }
    }
}

fn case(file: &str, outcome: &Outcome, xml: &mut String) {
    let (name, line, time) = (escaped(&outcome.name), outcome.line, seconds(outcome.took_ms));
    let _ = write!(xml, r#"    <testcase classname="{file}" name="{name}" file="{file}" line="{line}" time="{time}""#);
    let Some(first) = outcome.mismatches.first() else {
        xml.push_str("/>\n");
        return;
    };
    let more = outcome.mismatches.len() - 1;
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    let message = format!("{}: expected {}, came {}{more}", first.what, first.expected, first.came);
    let _ = writeln!(xml, ">\n      <failure message=\"{}\">", escaped(&message));
    for mismatch in &outcome.mismatches {
        let _ = writeln!(xml, "{}", escaped(&mismatch.what));
        let _ = writeln!(xml, "  expected  {}", escaped(&mismatch.expected));
        let _ = writeln!(xml, "  came      {}", escaped(&mismatch.came));
        if let Some(place) = &mismatch.place {
            let _ = writeln!(xml, "  at        {}", escaped(place));
        }
    }
    for note in &outcome.notes {
        let _ = writeln!(xml, "{}", escaped(note));
    }
    xml.push_str("      </failure>\n    </testcase>\n");
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Text for XML 1.0, in content and attributes alike: markup is escaped, and what no document may hold is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            // XML 1.0 §2.2.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_core::testcase::Mismatch;

    #[test]
    fn results_are_a_document_that_says_what_failed_and_where() {
        let outcome = |name: &str, mismatches| Outcome {
            name: name.into(),
            line: 3,
            mismatches,
            notes: Vec::new(),
            took_ms: 1_250,
        };
        let mismatch = Mismatch {
            what: "requests[0].json.a".into(),
            expected: "\"<\u{1}\"".into(),
            came: "1 & 2".into(),
            place: None,
        };
        let all = [
            Tested {
                file: "a.tests.yaml".into(),
                result: Ok(vec![outcome("good", vec![]), outcome("bad", vec![mismatch])]),
            },
            Tested { file: "b.tests.yaml".into(), result: Err(Wrong::Message("it is wrong".into())) },
        ];
        expect_test::expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites name="flowcell test" tests="3" failures="1" errors="1" time="2.500">
              <testsuite name="a.tests.yaml" tests="2" failures="1" errors="0" time="2.500">
                <testcase classname="a.tests.yaml" name="good" file="a.tests.yaml" line="3" time="1.250"/>
                <testcase classname="a.tests.yaml" name="bad" file="a.tests.yaml" line="3" time="1.250">
                  <failure message="requests[0].json.a: expected &quot;&lt;�&quot;, came 1 &amp; 2">
            requests[0].json.a
              expected  &quot;&lt;�&quot;
              came      1 &amp; 2
                  </failure>
                </testcase>
              </testsuite>
              <testsuite name="b.tests.yaml" tests="1" failures="0" errors="1" time="0.000">
                <testcase classname="b.tests.yaml" name="the file can be tested" time="0.000">
                  <error message="it is wrong">it is wrong</error>
                </testcase>
              </testsuite>
            </testsuites>
        "#]]
        .assert_eq(&write(&all));
    }
}
