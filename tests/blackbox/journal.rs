//! What is kept of a run, and what repeats: attempts, keys, failures.

use std::time::Duration;

use flowcell_tests::{Receiver, Reply, Server, eventually, post};
use serde_json::json;

use crate::{forward, last_attempt};

#[test]
fn a_failed_attempt_is_tried_again_with_the_same_key() {
    let receiver = Receiver::answering(|seen, _| if seen < 2 { Reply::status(503) } else { Reply::status(200) });
    let server = Server::start();
    let applied = server.apply(&forward("retry", &receiver.origin(), "    retry: { attempts: 5, initial: 10ms }\n"));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let attempts = shown["steps"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    assert!(attempts[0]["error"]["message"].as_str().is_some_and(|said| said.contains("503")), "{shown:#}");
    let keys: std::collections::BTreeSet<_> =
        receiver.requests().iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((receiver.requests().len(), keys.len()), (3, 1), "three requests, one key");
}

#[test]
fn retry_after_is_honoured() {
    let receiver =
        Receiver::answering(
            |seen, _| if seen == 0 { Reply::status(429).header("retry-after", "1") } else { Reply::status(200) },
        );
    let server = Server::start();
    let applied = server.apply(&forward("patient", &receiver.origin(), "    retry: { attempts: 2, initial: 1ms }\n"));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    let waiting = server.wait_for_run(&run, &["waiting", "succeeded"]);
    assert_eq!(waiting["status"], "waiting", "the run waits for at least a second: {waiting:#}");
    server.wait_for_run(&run, &["succeeded"]);
}

#[test]
fn a_client_error_is_final_and_says_what_came_back() {
    let receiver = Receiver::answering(|_, _| Reply::status(422).body(r#"{"error":"no such branch"}"#));
    let server = Server::start();
    let applied = server.apply(&forward("final", &receiver.origin(), ""));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "failed");
    assert_eq!(receiver.requests().len(), 1, "it is not tried again");
    let attempt = last_attempt(&shown);
    assert!(attempt["error"]["message"].as_str().is_some_and(|said| said.contains("422")), "{attempt:#}");
    assert_eq!(attempt["http"][0]["response"]["body"]["text"], r#"{"error":"no such branch"}"#);
}

#[test]
fn a_missing_value_fails_the_step_and_names_the_path() {
    let receiver = Receiver::start();
    let server = Server::start();
    let applied = server.apply(&forward("missing", &receiver.origin(), ""));
    let run = server.trigger(&applied.url, &json!({ "numbre": 1 }));
    let shown = server.wait_for_run(&run, &["failed"]);
    let said = last_attempt(&shown)["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("trigger.body.number"), "{said}");
    assert!(receiver.requests().is_empty());
}

#[test]
fn runs_are_listed_newest_first_and_survive_a_restart() {
    let receiver = Receiver::start();
    let mut server = Server::start();
    let applied = server.apply(&forward("listed", &receiver.origin(), ""));
    let runs: Vec<String> = (0..5).map(|number| server.trigger(&applied.url, &json!({ "number": number }))).collect();
    for run in &runs {
        server.wait_for_run(run, &["succeeded"]);
    }
    server.terminate();
    server.restart();
    let listed = server.cli(&["run", "list", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let text = listed.stdout;
    let positions: Vec<_> =
        runs.iter().map(|run| text.find(run.as_str()).unwrap_or_else(|| panic!("{run} is missing"))).collect();
    assert!(positions.is_sorted_by(|earlier, later| earlier > later), "newest first: {text}");
    let again = server.rebase(&applied.url);
    let run = server.trigger(&again, &json!({ "number": 6 }));
    server.wait_for_run(&run, &["succeeded"]);
}

#[test]
fn accepted_deliveries_with_large_bodies_are_whole_in_the_journal() {
    let receiver = Receiver::start();
    let server = Server::start();
    let applied = server.apply(&forward("large", &receiver.origin(), "        text: \"{{ trigger.body.text }}\"\n"));
    let text = "grün 風 ".repeat(20_000);
    let answer = post(&applied.url, &json!({ "number": 1, "text": text })).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    let got = receiver.wait_for(1);
    assert_eq!(got[0].json()["text"], text.as_str());
    let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
    let shown = eventually("the run ends", Duration::from_secs(10), || {
        Some(server.run(&run)).filter(|shown| shown["status"] == "succeeded")
    });
    assert_eq!(last_attempt(&shown)["input"]["json"]["text"], text.as_str());
}
