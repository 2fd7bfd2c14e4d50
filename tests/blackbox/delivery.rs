//! Deliveries to a real receiver that fails: schedules, waiting, 410, dead letters, and sending them again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use flowcell_tests::{Options, Receiver, Reply, Server, eventually};
use serde_json::{Value, json};

/// A receiver that answers with the status that stands in the number.
fn receiver() -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(503));
    let answer = Arc::clone(&status);
    (Receiver::answering(move |_, _| Reply::status(answer.load(Ordering::Acquire))), status)
}

/// A workflow that sends a webhook to `url`.
fn send(id: &str, url: &str, more: &str) -> String {
    format!(
        "id: {id}\nname: Send\ntrigger: {{ manual: true }}\nsteps:\n  - id: send\n    uses: flowcell/webhook/send@1\n    with: {{ url: '{url}', data: {{ n: '{{{{ trigger.n }}}}' }} }}\n{more}"
    )
}

fn start(server: &Server, workflow: &str, n: u32) -> String {
    let answer =
        server.api("POST", &format!("/api/v2/workflows/{workflow}/runs"), json!({ "n": n }).to_string().as_bytes());
    answer.json()["run_ids"][0].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn keys(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect()
}

fn get(server: &Server, path: &str) -> Value {
    let answer = server.api("GET", &format!("/api/v2/{path}"), b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn a_receiver_that_fails_and_recovers_gets_every_delivery_once_by_key() {
    let (receiver, status) = receiver();
    // As usual, but with rests of a test's length.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "[engine]\nbreaker_rest_ms = 2000\nbreaker_rest_max_ms = 3000\n").unwrap();
    let arguments = vec!["--config".to_owned(), file.path().to_str().unwrap().to_owned()];
    let server = Server::start_with(Options { arguments, ..Options::default() });
    let retry = "    retry: { schedule: [1s, 1s, 2s, 2s, 2s, 2s, 2s, 2s, 2s, 2s] }\n";
    server.apply(&send("hooks", &format!("{}/in", receiver.origin()), retry));
    let runs: Vec<String> = (0..30).map(|n| start(&server, "hooks", n)).collect();
    // Ten failures in a row open the breaker: what comes then waits, and its page says what for.
    let waiting = eventually("a run that waits", Duration::from_mins(1), || {
        runs.iter().map(|run| server.run(run)).find(|run| run["steps"][0]["deferred"].is_object())
    });
    let said = waiting["steps"][0]["deferred"]["reason"].as_str().unwrap();
    assert!(said.contains("has been failing since") && said.contains("next try at"), "{said}");
    assert_eq!((&waiting["status"], &waiting["steps"][0]["status"]), (&json!("waiting"), &json!("waiting")));
    let shown = server.cli(&["run", "show", waiting["id"].as_str().unwrap()]);
    assert!(shown.stdout.contains("waiting: ") && shown.stdout.contains("next try at"), "{}", shown.stdout);
    let destinations = get(&server, "destinations");
    let destination = &destinations["destinations"][0];
    assert_eq!(
        (&destination["status"], &destination["last_status"]),
        (&json!("failing"), &json!(503)),
        "{destination:#}"
    );

    let before = receiver.requests().len();
    status.store(200, Ordering::Release);
    for run in &runs {
        let shown = server.wait_for_run(run, &["succeeded", "failed", "cancelled"]);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
    }
    let keys = keys(&receiver);
    let arrived: Vec<_> = keys[before..].iter().collect();
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>().len(), 30, "every delivery arrives");
    assert!(arrived.len() <= 32, "once (two may have been under way when it recovered): {}", arrived.len());
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 30, "each under one key");
}

#[test]
fn a_webhook_is_tried_again_over_hours_unless_the_step_says_otherwise() {
    let (receiver, _) = receiver();
    let server = Server::start();
    server.apply(&send("hooks", &receiver.origin(), ""));
    let run = start(&server, "hooks", 1);
    let shown = eventually("a second failure", Duration::from_mins(1), || {
        let shown = server.run(&run);
        (shown["steps"][0]["attempts"].as_array().map_or(0, Vec::len) == 2 && shown["steps"][0]["retry_at"].is_string())
            .then_some(shown)
    });
    let step = &shown["steps"][0];
    let millis = |text: &Value| {
        let text = text.as_str().unwrap();
        let (_, time) = text.trim_end_matches('Z').split_once('T').unwrap();
        let parts: Vec<f64> = time.split(':').map(|part| part.parse().unwrap()).collect();
        parts[0] * 3_600.0 + parts[1] * 60.0 + parts[2]
    };
    let wait = (millis(&step["retry_at"]) - millis(&step["attempts"][1]["ended_at"])).rem_euclid(86_400.0);
    assert!((299.0..=361.0).contains(&wait), "five minutes, and up to a fifth: {wait}");
}

#[test]
fn gone_disables_a_destination_until_it_is_enabled_and_what_failed_is_recovered() {
    let (receiver, status) = receiver();
    status.store(410, Ordering::Release);
    let mut server = Server::start();
    let url = format!("{}/in", receiver.origin());
    server.apply(&send("hooks", &format!("{url}?key=hidden"), ""));
    let first = start(&server, "hooks", 1);
    assert_eq!(server.wait_for_run(&first, &["failed", "succeeded"])["status"], "failed");
    // A crash right after it forgets nothing of that.
    server.kill();
    server.restart();
    let second = start(&server, "hooks", 2);
    let shown = server.wait_for_run(&second, &["failed", "succeeded"]);
    assert_eq!(shown["error"]["code"], "destination-disabled", "{shown:#}");
    let said = shown["error"]["message"].as_str().unwrap();
    assert!(said.contains(&format!("flowcell destination enable {url}`")) && !said.contains("hidden"), "{said}");
    assert_eq!(receiver.requests().len(), 1, "nothing more is sent");

    let listed = server.cli(&["destination", "list"]);
    assert!(listed.stdout.contains("disabled") && listed.stdout.contains("410 Gone"), "{listed:?}");
    let shown = server.cli(&["destination", "show", &url]);
    assert!(shown.stdout.contains(&first), "{shown:?}");
    let letters = server.cli(&["dead-letter", "list"]);
    assert!(letters.stdout.contains(&first) && letters.stdout.contains(&second), "{letters:?}");
    let one = get(&server, &format!("dead-letters/{first}"));
    assert_eq!((&one["last_status"], &one["attempts"]), (&json!(410), &json!(1)), "{one:#}");
    assert_eq!(one["destination"]["url"], url.as_str());

    status.store(200, Ordering::Release);
    let enabled = server.cli(&["destination", "enable", &url]);
    assert_eq!(enabled.code, Some(0), "{enabled:?}");
    let since = "2026-01-01T00:00:00Z";
    let recover = ["dead-letter", "recover", "--since", since, "--destination", &url];
    let dry = server.cli(&[&recover[..], &["--dry", "--json"]].concat());
    assert_eq!((&dry.json()["count"], &dry.json()["dry_run"]), (&json!(2), &json!(true)), "{dry:?}");
    assert_eq!(receiver.requests().len(), 1, "a dry run sends nothing");
    let done = server.cli(&[&recover[..], &["--yes", "--json"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = done.json();
    let started: Vec<&str> =
        done["runs"].as_array().unwrap().iter().map(|run| run["started"].as_str().unwrap()).collect();
    assert_eq!(started.len(), 2, "{done:#}");
    for run in started {
        let shown = server.wait_for_run(run, &["succeeded", "failed"]);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
    }
    let keys = keys(&receiver);
    assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (3, 2), "under their earlier keys");
    // What was sent again is not sent a third time.
    assert_eq!(server.cli(&[&recover[..], &["--yes", "--json"]].concat()).json()["count"], 0);
    assert_eq!(get(&server, "dead-letters")["dead_letters"], json!([]));
    let resent = get(&server, "dead-letters?resent=true");
    assert_eq!(resent["dead_letters"].as_array().map(Vec::len), Some(2), "{resent:#}");
    assert_eq!(resent["dead_letters"][0]["resent_as"][0]["status"], "succeeded");
}

#[test]
fn dead_letters_come_in_pages_and_one_is_sent_again() {
    let (receiver, status) = receiver();
    status.store(404, Ordering::Release);
    let server = Server::start();
    server.apply(&send("one", &format!("{}/1", receiver.origin()), ""));
    server.apply(&send("two", &format!("{}/2", receiver.origin()), ""));
    let mut runs = Vec::new();
    for n in 0..5 {
        let run = start(&server, if n % 2 == 0 { "one" } else { "two" }, n);
        server.wait_for_run(&run, &["failed"]);
        runs.push(run);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&server, &format!("dead-letters?limit=2{cursor}"));
        let letters = page["dead_letters"].as_array().unwrap();
        assert!(letters.len() <= 2);
        seen.extend(letters.iter().map(|letter| letter["run_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    runs.reverse();
    assert_eq!(seen, runs, "the newest first, each once");
    let of = |query: &str| get(&server, &format!("dead-letters?{query}"))["dead_letters"].as_array().unwrap().len();
    assert_eq!((of("workflow=two"), of("error=http-status"), of("error=timeout")), (2, 5, 0));
    let there = receiver.origin().replace(':', "%3A").replace('/', "%2F");
    assert_eq!((of(&format!("destination={there}%2F1")), of("to=2020-01-01T00:00:00Z")), (3, 0));

    status.store(200, Ordering::Release);
    let again = server.cli(&["dead-letter", "resend", &runs[0], "--json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let new = again.json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(server.wait_for_run(&new, &["succeeded", "failed"])["status"], "succeeded");
    assert_eq!(of(""), 4);
    let refused = server.cli(&["dead-letter", "resend", &new]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is no dead letter"), "{refused:?}");
}

#[test]
fn what_a_workflow_went_on_without_is_found_and_delivered() {
    let (receiver, status) = receiver();
    status.store(400, Ordering::Release);
    let server = Server::start();
    let well = "    on_error: continue\n  - { id: after, uses: flowcell/custom-webhook/request@1, with: { method: GET, url: 'ORIGIN/after' } }\n";
    let origin = Receiver::start();
    server.apply(&send("hooks", &receiver.origin(), &well.replace("ORIGIN", &origin.origin())));
    let run = start(&server, "hooks", 1);
    assert_eq!(server.wait_for_run(&run, &["succeeded", "failed"])["status"], "succeeded");
    assert_eq!(get(&server, "dead-letters")["dead_letters"], json!([]), "its workflow has handled the failure");
    status.store(200, Ordering::Release);
    let replay = ["dead-letter", "replay-missing", "--since", "2026-01-01T00:00:00Z"];
    assert_eq!(server.cli(&[&replay[..], &["--dry", "--json"]].concat()).json()["count"], 1);
    let done = server.cli(&[&replay[..], &["--yes", "--json"]].concat()).json();
    let new = done["runs"][0]["started"].as_str().unwrap_or_else(|| panic!("{done:#}")).to_owned();
    assert_eq!(server.wait_for_run(&new, &["succeeded", "failed"])["status"], "succeeded");
    let keys = keys(&receiver);
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    assert_eq!(origin.requests().len(), 1, "what succeeded after it is not made again");
    assert_eq!(server.cli(&[&replay[..], &["--dry", "--json"]].concat()).json()["count"], 0);
}
