use serde_json::json;

use super::*;

fn shown(run: &Value) -> String {
    render(run, &Output::new(false, true)).join("\n")
}

fn attempt(number: u32, fields: &Value) -> Value {
    let mut attempt = json!({ "number": number, "duration_ms": 12, "cpu_ms": 0.0, "memory_bytes": 0 });
    attempt.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    attempt
}

fn run(step_status: &str, attempts: &[Value], error: &Value) -> Value {
    json!({
        "id": "run_1", "status": "failed", "workflow": { "id": "w", "version": 1 }, "created_at": "t", "error": error,
        "steps": [{ "id": "a", "status": step_status, "attempts": attempts, "retry_at": "soon" }],
    })
}

#[test]
fn a_request_without_a_response_says_how_far_it_came() {
    for (code, words) in [
        ("denied", "→ denied: no grant [denied]"),
        ("address-denied", "→ denied: no grant [address-denied]"),
        ("dns", "→ not sent: no grant [dns]"),
        ("connect", "→ not sent: no grant [connect]"),
        ("timeout", "→ no response: no grant [timeout]"),
    ] {
        let exchange = json!({
            "request": { "method": "POST", "url": "https://a.example/", "body": { "bytes": 5 } },
            "error": { "code": code, "message": "no grant\npaste this" },
        });
        let text = shown(&run("failed", &[attempt(1, &json!({ "http": [exchange] }))], &Value::Null));
        assert!(text.contains(words), "{text}");
        assert!(!text.contains("sent,") && !text.contains("5 B"), "nothing is counted as sent: {text}");
    }
    let exchange = json!({
        "request": { "method": "POST", "url": "https://a.example/", "body": { "bytes": 5 } },
        "response": { "status": 201, "body": { "bytes": 2 } }, "duration_ms": 3,
    });
    let text = shown(&run("succeeded", &[attempt(1, &json!({ "http": [exchange] }))], &Value::Null));
    assert!(text.contains("→ 201, 3 ms, 5 B sent, 2 B received"), "{text}");
}

#[test]
fn an_attempt_without_an_end_is_running_or_cut_off() {
    let open = |number| attempt(number, &json!({ "duration_ms": null }));
    let text = shown(&run("running", &[open(1), open(2)], &Value::Null));
    assert!(text.contains("attempt 1  cut off: its end is not in the journal"), "{text}");
    assert!(text.contains("attempt 2  still running"), "{text}");
    assert!(shown(&run("parked", &[open(1)], &Value::Null)).contains("attempt 1  cut off"));
    assert!(text.contains("  next attempt at soon"), "{text}");
}

#[test]
fn a_plugin_that_never_ran_used_nothing_worth_a_word() {
    let text = shown(&run("failed", &[attempt(1, &json!({}))], &Value::Null));
    assert!(!text.contains("processor") && !text.contains("memory"), "{text}");
    let text = shown(&run("failed", &[attempt(1, &json!({ "cpu_ms": 0.004, "memory_bytes": 65536 }))], &Value::Null));
    assert!(text.contains("0.00 ms of processor time, 64.0 KiB of memory"), "{text}");
}

#[test]
fn the_end_names_the_place_and_repeats_no_sentence() {
    let failed = |message: &str| attempt(3, &json!({ "error": { "code": "oops", "message": message } }));
    let error = json!({ "code": "oops", "message": "it broke", "step": "a" });
    let text = shown(&run("failed", &[failed("it broke")], &error));
    assert!(text.ends_with("The run ended at step `a`, attempt 3."), "{text}");
    assert_eq!(text.matches("it broke").count(), 1, "{text}");
    let text = shown(&run("failed", &[failed("another")], &error));
    assert!(text.ends_with("The run ended at step `a`: it broke [oops]"), "{text}");
    let cancelled = json!({ "code": "cancelled", "message": "by hand" });
    assert!(shown(&run("failed", &[], &cancelled)).ends_with("The run ended: by hand [cancelled]"));
}

#[test]
fn a_step_without_attempts_shows_its_output_and_its_link() {
    let document = json!({
        "id": "run_1", "status": "waiting", "workflow": { "id": "w", "version": 1 }, "created_at": "t", "error": null,
        "steps": [
            { "id": "vars", "status": "succeeded", "attempts": [], "output": { "total": 7 }, "error": null },
            { "id": "ask", "status": "waiting", "attempts": [], "output": null, "error": null, "resume_url": "http://f.test/resume/x" },
            { "id": "loop", "status": "failed", "attempts": [], "output": null, "error": { "code": "not-a-list", "message": "no list" } },
        ],
    });
    let text = shown(&document);
    for words in ["output  {", "\"total\": 7", "resume  http://f.test/resume/x", "error   no list [not-a-list]"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
