//! Repeating runs: what is said before, what is sent again, and under which keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flowcell_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

/// Two requests; the second is refused for as long as `closed` says.
fn two_steps(closed: &Arc<AtomicBool>) -> (Receiver, impl Fn(&str) -> String) {
    let closed = Arc::clone(closed);
    let receiver = Receiver::answering(move |_, request| {
        let is_refused = request.target == "/second" && closed.load(Ordering::Acquire);
        Reply::status(if is_refused { 422 } else { 200 })
    });
    let origin = receiver.origin();
    let workflow = move |id: &str| {
        let step = |name: &str| {
            format!(
                "  - id: {name}\n    uses: flowcell/custom-webhook/request@1\n    with: {{ url: '{origin}/{name}', json: {{ n: \"{{{{ trigger.n }}}}\" }} }}\n"
            )
        };
        format!("id: {id}\nname: Two\ntrigger: {{ manual: true }}\nsteps:\n{}{}", step("first"), step("second"))
    };
    (receiver, workflow)
}

fn start(server: &Server, workflow: &str, n: u32) -> String {
    let body = json!({ "n": n }).to_string();
    let answer = server.api("POST", &format!("/api/v2/workflows/{workflow}/runs"), body.as_bytes());
    let run = answer.json()["run_ids"][0].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    server.wait_for_run(&run, &["succeeded", "failed"]);
    run
}

fn targets(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(|request| request.target.clone()).collect()
}

#[test]
fn a_rerun_begins_with_what_failed_and_says_before_what_has_happened() {
    let closed = Arc::new(AtomicBool::new(true));
    let (receiver, workflow) = two_steps(&closed);
    let server = Server::start();
    server.apply(&workflow("two"));
    let run = start(&server, "two", 1);
    assert_eq!(server.run(&run)["status"], "failed");

    let planned = server.cli(&["run", "rerun", &run, "--dry"]);
    assert_eq!(planned.code, Some(0), "{planned:?}");
    for part in ["first   has happened, is skipped; its result is taken over", "second  has not happened, is made"] {
        assert!(planned.stdout.contains(part), "`{part}`:\n{}", planned.stdout);
    }
    assert_eq!(targets(&receiver), ["/first", "/second"], "a dry rerun sends nothing");

    closed.store(false, Ordering::Release);
    let again = server.cli(&["run", "rerun", &run, "--json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let second = again.json()["run_id"].as_str().unwrap().to_owned();
    let shown = server.wait_for_run(&second, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(targets(&receiver), ["/first", "/second", "/second"], "only what failed is sent again");
    let keys: Vec<_> =
        receiver.requests().iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys[1], keys[2], "the same effect has the same key");

    let whole = server.api(
        "POST",
        &format!("/api/v2/runs/{second}/rerun"),
        br#"{"from":"start","keys":"new","trigger":{"n":5}}"#,
    );
    assert_eq!(whole.status, 202, "{whole:?}");
    server.wait_for_run(whole.json()["run_id"].as_str().unwrap(), &["succeeded"]);
    let requests = receiver.requests();
    assert_eq!(targets(&receiver)[3..], ["/first", "/second"]);
    assert_eq!(requests[3].json(), json!({ "n": 5 }), "with the edited payload");
    assert!(!keys.contains(&requests[3].header("idempotency-key").unwrap().to_owned()), "new keys were asked for");
}

#[test]
fn a_run_that_goes_on_is_not_repeated() {
    let server = Server::start();
    server.apply("id: slow\nname: S\ntrigger: { manual: true }\nsteps: [{ id: pause, wait: { for: 1h } }]\n");
    let answer = server.api("POST", "/api/v2/workflows/slow/runs", b"{}");
    let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
    let refused = server.api("POST", &format!("/api/v2/runs/{run}/rerun"), b"{}");
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.json()["type"], "https://flowcell.dev/problems/not-repeatable");
    let unknown = server.api("POST", "/api/v2/runs/run_01J00000000000000000000000/rerun", b"{}");
    assert_eq!(unknown.status, 404, "{unknown:?}");
}

#[test]
fn many_runs_are_counted_first_and_repeated_when_somebody_agrees() {
    let closed = Arc::new(AtomicBool::new(true));
    let (receiver, workflow) = two_steps(&closed);
    let server = Server::start();
    server.apply(&workflow("many"));
    server.apply(&workflow("others"));
    let failed: Vec<String> = (0..3).map(|n| start(&server, "many", n)).collect();
    start(&server, "others", 9);
    closed.store(false, Ordering::Release);
    start(&server, "many", 10);
    let sent = receiver.requests().len();

    let filter = ["run", "rerun", "--workflow", "many", "--status", "failed", "--error", "http-status"];
    let counted = server.cli(&[&filter[..], &["--dry", "--json"]].concat()).json();
    assert_eq!((&counted["count"], &counted["dry_run"]), (&json!(3), &json!(true)), "{counted}");
    let named: Vec<&str> =
        counted["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    assert_eq!(named, failed, "the oldest first");
    assert_eq!((&counted["runs"][0]["skipped"], &counted["runs"][0]["repeated"]), (&json!(1), &json!(1)));

    let unasked = server.cli(&filter);
    assert_eq!(unasked.code, Some(1), "{unasked:?}");
    assert!(unasked.stdout.contains("3 runs would be repeated") && unasked.stderr.contains("--yes"), "{unasked:?}");
    assert_eq!(receiver.requests().len(), sent, "nothing is done before somebody agrees");

    let done = server.cli(&[&filter[..], &["--yes", "--json"]].concat()).json();
    assert_eq!(done["count"], 3, "{done}");
    for run in done["runs"].as_array().unwrap() {
        server.wait_for_run(run["started"].as_str().unwrap(), &["succeeded"]);
    }
    assert_eq!(targets(&receiver)[sent..], ["/second", "/second", "/second"]);

    let none =
        server.cli(&["run", "rerun", "--workflow", "many", "--to", "2020-01-01T00:00:00Z", "--dry", "--json"]).json();
    assert_eq!(none["count"], 0, "{none}");
    let wrong: Value = server.api("POST", "/api/v2/reruns", b"{}").json();
    assert_eq!(wrong["type"], "https://flowcell.dev/problems/invalid-request");
}
