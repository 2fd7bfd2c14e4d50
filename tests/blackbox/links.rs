//! A resume link that a message carries before its wait begins.

use std::time::Duration;

use flowcell_tests::{Receiver, Reply, Server, eventually, get, post};
use serde_json::{Value, json};

#[test]
fn a_message_carries_the_link_and_whoever_gets_it_lets_the_run_go_on() {
    let receiver = Receiver::start();
    let server = Server::start();
    server.apply(&format!(
        r#"id: approval
name: Approval
trigger: {{ manual: true }}
steps:
  - id: ask
    uses: flowcell/custom-webhook/request@1
    with: {{ method: POST, url: "{origin}/ask", json: {{ link: "{{{{ resume.decision }}}}", yes: "{{{{ resume.decision }}}}?answer=yes" }} }}
  - id: decision
    wait: {{ resume: true, timeout: 1h }}
  - id: tell
    uses: flowcell/custom-webhook/request@1
    with: {{ method: POST, url: "{origin}/told", json: {{ answer: "{{{{ steps.decision.output.payload.answer }}}}" }} }}
"#,
        origin = receiver.origin()
    ));
    let started = server.api("POST", "/api/v2/workflows/approval/runs", b"{}").json();
    let run = started["run_ids"][0].as_str().unwrap().to_owned();
    let asked = receiver.wait_for(1)[0].json();
    let link = asked["link"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("{}/resume/{run}.decision.rs_", server.origin())), "{link}");
    assert_eq!(asked["yes"], format!("{link}?answer=yes"));
    // At once, whether or not the wait has begun by now.
    let answered = post(&link, &json!({ "answer": "yes" })).unwrap();
    assert_eq!(answered.status, 200, "{answered:?}");
    assert_eq!(receiver.wait_for(2)[1].json(), json!({ "answer": "yes" }));
    let ended = server.wait_for_run(&run, &["succeeded"]);
    assert_eq!(post(&link, &json!({ "answer": "no" })).unwrap().status, 410, "it works once");

    let secret = link.rsplit_once("rs_").unwrap().1;
    assert!(ended.to_string().contains("rs_[redacted]"), "{ended}");
    let streamed = server.api("GET", &format!("/api/v2/runs/{run}/events?follow=false"), b"").body;
    for shown in [ended.to_string(), streamed, server.log(), server.cli(&["run", "show", &run]).stdout] {
        assert!(!shown.contains(secret), "the secret is shown: {shown}");
    }
}

#[test]
fn a_link_that_is_opened_long_before_its_question_says_not_yet_and_is_not_used_up() {
    // The message is sent, and its receiver takes its time: the wait cannot begin.
    let receiver = Receiver::answering(|_, _| Reply::status(200).after(Duration::from_secs(20)));
    let server = Server::start();
    server.apply(&format!(
        "id: early\nname: E\ntrigger: {{ manual: true }}\nsteps:\n  - id: ask\n    uses: flowcell/custom-webhook/request@1\n    timeout: 2m\n    \
         with: {{ method: POST, url: \"{}\", json: {{ link: \"{{{{ resume.decision }}}}\" }} }}\n  - id: decision\n    wait: {{ resume: true }}\n",
        receiver.origin()
    ));
    let started = server.api("POST", "/api/v2/workflows/early/runs", b"{}").json();
    let run = started["run_ids"][0].as_str().unwrap().to_owned();
    let link = receiver.wait_for(1)[0].json()["link"].as_str().unwrap().to_owned();
    let form = get(&link).unwrap();
    assert_eq!(form.status, 200, "whoever looks sees the form: {form:?}");
    let early = post(&link, &json!({ "first": true })).unwrap();
    if early.status == 409 {
        assert_eq!(early.json()["type"], "https://flowcell.dev/problems/link-not-yet", "{early:?}");
        assert!(early.header("retry-after").is_some(), "{early:?}");
        eventually("the wait begins", Duration::from_mins(1), || {
            let waits = |step: &Value| step["id"] == "decision" && step["status"] == "waiting";
            server.run(&run)["steps"].as_array().unwrap().iter().any(waits).then_some(())
        });
        assert_eq!(post(&link, &json!({ "second": true })).unwrap().status, 200);
    } else {
        // On a slow machine the question came while the answer was held.
        assert_eq!(early.status, 200, "{early:?}");
    }
    server.wait_for_run(&run, &["succeeded"]);
}

#[test]
fn a_link_of_a_step_that_waits_for_none_is_refused_with_what_was_probably_meant() {
    let server = Server::start();
    let steps = "  - id: a\n    set: { link: \"{{ resume.aks }}\" }\n  - id: ask\n    wait: { resume: true }\n  - id: b\n    set: { a: \"{{ steps.a.output }}\" }\n";
    let refused = server.try_apply(&format!("id: w\nname: W\ntrigger: {{ manual: true }}\nsteps:\n{steps}"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("there is no step `aks`") && refused.stderr.contains("did you mean `resume.ask`?"),
        "{refused:?}"
    );
}
