//! Those who send us webhooks, played by their own libraries (`tests/tools/sign.mjs`): they sign requests, and say what they would take.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::tools::node;

/// Asks the libraries, one answer for each question.
pub fn ask(questions: &[Value]) -> Vec<Value> {
    let script = std::fs::read_to_string(crate::root().join("tests/tools/sign.mjs")).unwrap();
    let mut command = node(&script, &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text: String = questions.iter().map(|question| format!("{question}\n")).collect::<Vec<_>>().concat();
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len(), "{lines}");
    answers
}
