//! What is done to runs from outside: started by hand and by events, resumed, cancelled, decided about; and how many go on at a time.

use std::time::Duration;

use flowcell_tests::{Answer, Options, Receiver, Reply, Server, eventually, get, post, request};
use serde_json::{Value, json};

fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (status, Some("application/problem+json")),
        "{answer:?}"
    );
    assert_eq!(answer.json()["type"], format!("https://flowcell.dev/problems/{kind}"), "{answer:?}");
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer:?}");
}

fn post_api(server: &Server, path: &str, body: &Value) -> Answer {
    server.api("POST", path, body.to_string().as_bytes())
}

/// A workflow that is started by hand.
fn manual(id: &str, more: &str, steps: &str) -> String {
    format!("id: {id}\nname: By hand\ntrigger: {{ manual: true }}\n{more}steps:\n{steps}")
}

const NOTE: &str = "  - id: note\n    set: { got: \"{{ trigger }}\" }\n";
const ASK: &str = "  - id: ask\n    wait: { resume: true, timeout: 1h }\n";

fn first_run(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["run_ids"][0].as_str().unwrap_or_else(|| panic!("no run: {answer:?}")).to_owned()
}

fn start(server: &Server, workflow: &str, input: &Value) -> String {
    first_run(&post_api(server, &format!("/api/v2/workflows/{workflow}/runs"), input))
}

#[test]
fn a_run_is_started_by_hand_with_an_input_that_fits() {
    let server = Server::start();
    let input = "input: { type: object, required: [email], properties: { email: { type: string }, count: { type: integer } } }\n";
    server.apply(&manual("typed", input, NOTE));
    let run = start(&server, "typed", &json!({ "email": "anna@example.com", "count": 2 }));
    let shown = server.wait_for_run(&run, &["succeeded"]);
    assert_eq!(shown["trigger"], json!({ "email": "anna@example.com", "count": 2 }));

    let path = "/api/v2/workflows/typed/runs";
    let wrong = post_api(&server, path, &json!({ "email": "a", "count": "two" }));
    assert_problem(&wrong, 422, "invalid-input");
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/count", "{wrong:?}");
    assert_problem(&server.api("POST", path, b"{\"email\": "), 400, "invalid-request");
    assert_problem(&server.api("POST", path, b""), 422, "invalid-input");
    assert_problem(&server.api("POST", "/api/v2/workflows/nothing/runs", b"{}"), 404, "not-found");
    assert_problem(&server.api("POST", path, &vec![b' '; 11 * 1024 * 1024]), 413, "too-large");

    let file = server.folder().join("input.json");
    std::fs::write(&file, r#"{"email": "b@example.com"}"#).unwrap();
    let file = file.to_str().unwrap();
    let started = server.cli(&["workflow", "start", "typed", "--input", file, "--wait", "--json"]);
    assert_eq!((started.code, &started.json()["status"]), (Some(0), &json!("succeeded")), "{started:?}");
    let refused = server.cli(&["workflow", "start", "typed"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("email"), "it says what is missing: {}", refused.stderr);
    assert_eq!(server.api("GET", "/api/v2/runs?workflow=typed", b"").json()["runs"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_is_started_by_something_else_says_by_what() {
    let server = Server::start();
    server.apply(&format!("id: hooked\nname: H\ntrigger: {{ uses: flowcell/webhook/inbound@1 }}\nsteps:\n{NOTE}"));
    server.apply(&format!("id: listens\nname: E\ntrigger: {{ event: order.paid }}\nsteps:\n{NOTE}"));
    for (workflow, word) in [("hooked", "flowcell/webhook/inbound@1"), ("listens", "order.paid")] {
        let refused = server.api("POST", &format!("/api/v2/workflows/{workflow}/runs"), b"{}");
        assert_problem(&refused, 409, "not-startable");
        assert!(refused.body.contains(word), "{refused:?}");
    }
    let file = server.folder().join("draft.yaml");
    std::fs::write(&file, manual("draft", "", NOTE)).unwrap();
    assert_eq!(server.cli(&["workflow", "apply", "--draft", file.to_str().unwrap()]).code, Some(0));
    assert_problem(&server.api("POST", "/api/v2/workflows/draft/runs", b"{}"), 409, "not-startable");
}

#[test]
fn the_same_idempotency_key_starts_one_run() {
    let mut server = Server::start();
    server.apply(&manual("once", "", NOTE));
    let send = |server: &Server, body: &str| {
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let authorization = format!("Bearer {}", token.trim());
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "k-1")];
        request("POST", &format!("{}/api/v2/workflows/once/runs", server.origin()), &headers, body.as_bytes()).unwrap()
    };
    let first = first_run(&send(&server, "{\"n\": 1}"));
    server.kill();
    server.restart();
    let again = send(&server, "{\"n\": 1}");
    assert_eq!((first_run(&again), &again.json()["duplicate"]), (first, &json!(true)));
    assert_problem(&send(&server, "{\"n\": 2}"), 422, "key-reused");
}

#[test]
fn an_event_starts_workflows_and_goes_on_with_runs_that_wait_for_it() {
    let server = Server::start();
    server.apply(&format!(
        "id: ships\nname: Ships\ntrigger:\n  event: order.paid\n  filter: {{ value: \"{{{{ trigger.total }}}}\", is: greater, to: 10 }}\nsteps:\n{NOTE}"
    ));
    let wait =
        "  - id: paid\n    wait: { event: order.paid, match: \"{{ event.order == trigger.order }}\", timeout: 1h }\n";
    server.apply(&manual("orders", "", wait));
    let (one, two) =
        (start(&server, "orders", &json!({ "order": 1 })), start(&server, "orders", &json!({ "order": 2 })));
    for run in [&one, &two] {
        server.wait_for_run(run, &["waiting"]);
    }
    let body = json!({ "name": "order.paid", "payload": { "order": 2, "total": 50 } });
    let sent = post_api(&server, "/api/v2/events", &body);
    assert_eq!(sent.status, 202, "{sent:?}");
    let said = sent.json();
    assert_eq!(said["resumed"], json!([{ "run_id": two, "step": "paid" }]), "{said}");
    let started = said["started"][0]["run_id"].as_str().unwrap();
    assert_eq!((&said["started"][0]["workflow"], said["started"].as_array().map(Vec::len)), (&json!("ships"), Some(1)));
    assert_eq!(server.wait_for_run(started, &["succeeded"])["trigger"]["order"], 2);
    let resumed = server.wait_for_run(&two, &["succeeded"]);
    assert_eq!(resumed["steps"][0]["output"]["event"]["total"], 50, "{resumed}");
    assert_eq!(server.run(&one)["status"], "waiting", "the other order is not paid");

    let small =
        post_api(&server, "/api/v2/events", &json!({ "name": "order.paid", "payload": { "order": 9, "total": 1 } }));
    assert_eq!((&small.json()["started"], &small.json()["filtered"][0]["workflow"]), (&json!([]), &json!("ships")));
    let nobody = server.cli(&["event", "send", "order.lost"]);
    assert_eq!(nobody.code, Some(0), "{nobody:?}");
    assert!(nobody.stdout.contains("Nothing listens"), "{nobody:?}");

    assert_problem(&server.api("POST", "/api/v2/events", b"{"), 400, "invalid-request");
    assert_problem(&server.api("POST", "/api/v2/events", b"{\"payload\": 1}"), 400, "invalid-request");
    for name in ["x".repeat(129), String::new(), "order paid".to_owned(), ".order".to_owned()] {
        assert_problem(&post_api(&server, "/api/v2/events", &json!({ "name": name })), 400, "invalid-request");
    }
}

#[test]
fn an_event_with_a_key_that_came_before_does_nothing_again() {
    let mut server = Server::start();
    server.apply(&format!("id: listens\nname: L\ntrigger: {{ event: tick }}\nsteps:\n{NOTE}"));
    let waiting = "  - id: first\n    wait: { event: tick, timeout: 1h }\n  - id: second\n    wait: { event: tick, timeout: 1h }\n";
    server.apply(&manual("waits", "", waiting));
    let run = start(&server, "waits", &json!({}));
    server.wait_for_run(&run, &["waiting"]);
    let send = |server: &Server| {
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let authorization = format!("Bearer {}", token.trim());
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "tick-1")];
        request("POST", &format!("{}/api/v2/events", server.origin()), &headers, b"{\"name\": \"tick\"}").unwrap()
    };
    let first = send(&server).json();
    assert_eq!(first["resumed"].as_array().map(Vec::len), Some(1), "{first}");
    eventually("the second wait", Duration::from_secs(30), || {
        (server.run(&run)["steps"][1]["status"] == "waiting").then_some(())
    });
    server.kill();
    server.restart();
    let again = send(&server).json();
    assert_eq!(
        (&again["duplicate"], &again["event_id"], &again["started"]),
        (&json!(true), &first["event_id"], &first["started"])
    );
    assert_eq!(again["resumed"], json!([]), "the second wait is for another tick: {again}");
}

#[test]
fn a_resume_link_shows_a_form_and_resumes_once() {
    let arguments = vec!["--config".to_owned(), String::new()];
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("flowcell.toml");
    std::fs::write(&config, "log = \"trace\"\n").unwrap();
    let arguments = arguments.into_iter().take(1).chain([config.display().to_string()]).collect();
    let server = Server::start_with(Options { arguments, ..Options::default() });
    server.apply(&manual("approval", "", ASK));
    let run = start(&server, "approval", &json!({}));
    let waiting = server.wait_for_run(&run, &["waiting"]);
    let link = waiting["steps"][0]["resume_url"].as_str().unwrap().to_owned();

    // What a mail scanner does.
    for _ in 0..3 {
        let form = get(&format!("{link}?decision=approve&note=%3Cscript%3E")).unwrap();
        assert_eq!((form.status, form.header("content-type")), (200, Some("text/html; charset=utf-8")), "{form:?}");
        assert!(
            form.body.contains("name=\"decision\" value=\"approve\"") && !form.body.contains("<script"),
            "{form:?}"
        );
        assert!(form.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
        assert_eq!(
            (form.header("referrer-policy"), form.header("cache-control")),
            (Some("no-referrer"), Some("no-store"))
        );
    }
    assert_eq!(server.run(&run)["status"], "waiting", "looking is not answering");

    // Wrong, of another place, and cut off.
    let wrong = link.replace("rs_", "rs_0");
    let other = link.replace(".ask.", ".other.");
    for wrong in [wrong.as_str(), other.as_str(), &link[..link.len() - 3], &format!("{}/resume/x", server.origin())] {
        assert_eq!(get(wrong).unwrap().status, 410, "{wrong}");
        assert_problem(&post(wrong, &json!({})).unwrap(), 410, "link-gone");
    }
    let json = [("content-type", "application/json")];
    assert_problem(&request("POST", &link, &json, b"{").unwrap(), 400, "invalid-request");
    assert_problem(
        &request("POST", &link, &[("content-type", "text/csv")], b"a,b").unwrap(),
        415,
        "unsupported-media-type",
    );
    assert_eq!(server.run(&run)["status"], "waiting");

    let browser = [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html")];
    let done = request("POST", &link, &browser, b"decision=approve&note=fine+by+me").unwrap();
    assert_eq!((done.status, done.header("content-type")), (200, Some("text/html; charset=utf-8")), "{done:?}");
    let ended = server.wait_for_run(&run, &["succeeded"]);
    assert_eq!(
        ended["steps"][0]["output"]["payload"],
        json!({ "decision": "approve", "note": "fine by me" }),
        "{ended}"
    );
    assert!(ended["steps"][0].get("resume_url").is_none(), "{ended}");

    assert_problem(&post(&link, &json!({})).unwrap(), 410, "link-gone");
    let used = request("POST", &link, &browser, b"decision=reject").unwrap();
    assert_eq!((used.status, used.header("content-type")), (410, Some("text/html; charset=utf-8")), "{used:?}");
    assert_eq!(get(&link).unwrap().status, 410);

    let secret = link.rsplit_once("rs_").unwrap().1;
    assert!(server.log().contains("/resume/…"), "requests are logged: {}", server.log());
    assert!(!server.log().contains(secret), "the token stays out of the log");
}

#[test]
fn a_resume_link_that_came_too_late_says_so() {
    let server = Server::start();
    let ask = "  - id: ask\n    wait: { resume: true, timeout: 1s }\n    on_timeout:\n      - id: late\n        set: { late: true }\n";
    server.apply(&manual("late", "", ask));
    let run = start(&server, "late", &json!({}));
    let link = eventually("a link", Duration::from_secs(30), || {
        server.run(&run)["steps"][0]["resume_url"].as_str().map(str::to_owned)
    });
    server.wait_for_run(&run, &["succeeded"]);
    assert_eq!(get(&link).unwrap().status, 410);
    assert_problem(&post(&link, &json!({})).unwrap(), 410, "link-gone");
}

#[test]
fn a_run_is_cancelled_once_and_its_receiver_is_left_alone() {
    let receiver = Receiver::answering(|_, _| Reply::status(200).after(Duration::from_mins(2)));
    let server = Server::start();
    let slow = format!(
        "  - id: slow\n    uses: flowcell/custom-webhook/request@1\n    with: {{ method: GET, url: \"{}\" }}\n{NOTE}",
        receiver.origin()
    );
    server.apply(&manual("stops", "", &slow));
    let run = start(&server, "stops", &json!({}));
    receiver.wait_for(1);
    let cancelled = server.cli(&["run", "cancel", &run, "--reason", "the order is withdrawn"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    let ended = server.wait_for_run(&run, &["cancelled"]);
    assert_eq!(ended["error"]["message"], "the order is withdrawn", "{ended}");
    assert_problem(&server.api("POST", &format!("/api/v2/runs/{run}/cancel"), b""), 409, "run-ended");
    assert_eq!(receiver.requests().len(), 1, "nothing more is sent");

    let unknown = "/api/v2/runs/run_01JD0000000000000000000000/cancel";
    assert_problem(&server.api("POST", unknown, b""), 404, "not-found");
    assert_problem(&server.api("POST", "/api/v2/runs/nonsense/cancel", b""), 400, "invalid-request");
    assert_problem(&server.api("POST", unknown, b"[1]"), 400, "invalid-request");
    assert_problem(&post_api(&server, unknown, &json!({ "reason": "x".repeat(501) })), 400, "invalid-request");
}

#[test]
fn somebody_decides_about_a_parked_step() {
    // Whether it was done is unknown: the receiver takes the request and says nothing in time.
    let receiver = Receiver::answering(|number, _| {
        Reply::status(200).after(if number < 3 { Duration::from_mins(2) } else { Duration::ZERO })
    });
    let server = Server::start();
    let steps = format!(
        "  - id: pay\n    uses: flowcell/custom-webhook/request@1\n    on_uncertain: park\n    timeout: 1s\n    with: {{ method: POST, url: \"{}\", json: {{ a: 1 }} }}\n  \
         - id: after\n    set: {{ paid: \"{{{{ steps.pay.output }}}}\" }}\n",
        receiver.origin()
    );
    server.apply(&manual("pays", "", &steps));
    let parked = || {
        let run = start(&server, "pays", &json!({}));
        eventually("the step is parked", Duration::from_secs(30), || {
            (server.run(&run)["steps"][0]["status"] == "parked").then_some(())
        });
        run
    };
    let (done, repeated, undone) = (parked(), parked(), parked());
    let decide = |run: &str, body: &Value| post_api(&server, &format!("/api/v2/runs/{run}/steps/pay/decide"), body);
    for bad in [
        json!({}),
        json!({ "happened": true, "repeat": true }),
        json!({ "repeat": false }),
        json!({ "happened": false, "output": 1 }),
    ] {
        assert_problem(&decide(&done, &bad), 400, "invalid-request");
    }
    assert_problem(
        &post_api(&server, &format!("/api/v2/runs/{done}/steps/after/decide"), &json!({ "repeat": true })),
        409,
        "not-parked",
    );

    assert_eq!(decide(&done, &json!({ "happened": true, "output": { "id": "p-1" } })).status, 202);
    let ended = server.wait_for_run(&done, &["succeeded"]);
    assert_eq!(ended["steps"][1]["output"], json!({ "paid": { "id": "p-1" } }), "{ended}");
    assert_problem(&decide(&done, &json!({ "repeat": true })), 409, "run-ended");

    let said = server.cli(&["run", "decide", &repeated, "pay", "--repeat"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    server.wait_for_run(&repeated, &["succeeded"]);
    let requests = receiver.requests();
    let keys: Vec<_> = requests.iter().map(|request| request.header("idempotency-key").unwrap()).collect();
    assert_eq!((keys.len(), keys[1]), (4, keys[3]), "it is made again under its own key");

    assert_eq!(decide(&undone, &json!({ "happened": false })).status, 202);
    assert_eq!(server.wait_for_run(&undone, &["failed"])["error"]["step"], "pay");
}

#[test]
fn a_plugin_that_crashes_again_and_again_is_quarantined_and_let_out() {
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("hostile.wasm"), crate::guest("fixture-hostile")).unwrap();
    let arguments = vec!["--plugins".into(), plugins.path().to_str().unwrap().into()];
    let server = Server::start_with(Options { arguments, ..Options::default() });
    let step = "  - id: crash\n    uses: fixture/hostile/panic@1\n    retry: { attempts: 1 }\n";
    server.apply(&manual("crashes", "", step));
    let parked = eventually("a run is parked", Duration::from_mins(1), || {
        let run = start(&server, "crashes", &json!({}));
        eventually("it has failed or is parked", Duration::from_secs(30), || {
            let shown = server.run(&run);
            let is_parked = shown["steps"][0]["status"] == "parked";
            (is_parked || shown["status"] == "failed").then_some(is_parked.then_some(run.clone()))
        })
    });
    let held = server.api("GET", "/api/v2/quarantine", b"").json();
    let digest = held["plugins"][0]["digest"].as_str().unwrap_or_else(|| panic!("{held}")).to_owned();
    assert_eq!(held["plugins"][0]["id"], "fixture/hostile");
    let listed = server.cli(&["plugin", "list"]);
    assert!(listed.stderr.contains("quarantine") && listed.stderr.contains(&digest), "{listed:?}");
    let released = server.cli(&["plugin", "release", &digest, "--json"]);
    assert_eq!(released.code, Some(0), "{released:?}");
    assert!(released.json()["run_ids"].as_array().unwrap().contains(&json!(parked)), "{released:?}");
    // It was called again, and crashed once more.
    server.wait_for_run(&parked, &["failed"]);
    let path = format!("/api/v2/quarantine/{digest}/release");
    assert_problem(&server.api("POST", &path, b""), 404, "not-found");
    assert_problem(&server.api("POST", "/api/v2/quarantine/nonsense/release", b""), 400, "invalid-request");
}

#[test]
fn runs_over_the_limit_queue_and_show_their_place() {
    let server = Server::start();
    server.apply(&manual("queue", "settings: { concurrency: { limit: 1, key: \"{{ trigger.customer }}\" } }\n", ASK));
    let first = start(&server, "queue", &json!({ "customer": "a" }));
    server.wait_for_run(&first, &["waiting"]);
    let second = start(&server, "queue", &json!({ "customer": "a" }));
    let third = start(&server, "queue", &json!({ "customer": "a" }));
    let other = start(&server, "queue", &json!({ "customer": "b" }));
    server.wait_for_run(&other, &["waiting"]);
    for (run, position) in [(&second, 0), (&third, 1)] {
        let shown = server.run(run);
        assert_eq!((&shown["status"], &shown["queue_position"]), (&json!("queued"), &json!(position)), "{shown}");
    }
    let listed = server.api("GET", "/api/v2/runs?workflow=queue&status=queued", b"").json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(2), "the queue is to be seen: {listed}");
    assert_eq!(server.cli(&["run", "cancel", &first]).code, Some(0));
    server.wait_for_run(&second, &["waiting"]);
    assert_eq!(server.run(&third)["queue_position"], 0);
}

#[test]
fn a_run_about_the_same_subject_is_skipped_or_replaces_the_other() {
    let server = Server::start();
    let settings =
        |policy: &str| format!("settings: {{ reentry: {{ key: \"{{{{ trigger.email }}}}\", policy: {policy} }} }}\n");
    server.apply(&manual("skips", &settings("skip"), ASK));
    let first = start(&server, "skips", &json!({ "email": "a" }));
    let skipped = post_api(&server, "/api/v2/workflows/skips/runs", &json!({ "email": "a" })).json();
    assert_eq!((&skipped["run_ids"], &skipped["skipped_for"]), (&json!([]), &json!([first])), "{skipped}");
    start(&server, "skips", &json!({ "email": "b" }));

    server.apply(&manual("replaces", &settings("replace"), ASK));
    let first = start(&server, "replaces", &json!({ "email": "a" }));
    server.wait_for_run(&first, &["waiting"]);
    let second = post_api(&server, "/api/v2/workflows/replaces/runs", &json!({ "email": "a" }));
    assert_eq!(second.json()["replaced"], json!([first]), "{second:?}");
    server.wait_for_run(&first, &["cancelled"]);
    server.wait_for_run(&first_run(&second), &["waiting"]);
}
