//! PROMISES 5: the same delivery twice gives one run; and what the filter keeps out costs none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use flowcell_tests::{Answer, Server, eventually, request};
use serde_json::{Value, json};

/// A webhook that does next to nothing with what comes; `trigger` are more lines of its trigger.
fn taking(id: &str, trigger: &str) -> String {
    format!(
        "id: {id}\nname: Taking\ntrigger:\n  uses: flowcell/webhook/inbound@1\n{trigger}steps:\n  - id: note\n    set: {{ number: \"{{{{ trigger.body.number }}}}\" }}\n"
    )
}

fn send(url: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    request("POST", url, &headers, body.to_string().as_bytes()).unwrap()
}

/// Every run of the workflow, page by page.
fn runs(server: &Server, workflow: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.api("GET", &format!("/api/v2/runs?workflow={workflow}&limit=500{cursor}"), b"").json();
        all.extend(page["runs"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// A workflow, its rule, the headers of a request, and its body; the same sent again is the same delivery.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], Value);

#[test]
fn sixty_four_senders_of_one_delivery_start_one_run_before_and_after_a_restart() {
    let mut server = Server::start();
    let table: [Row; 5] = [
        ("by-header", "  dedupe: { header: X-Delivery }\n", &[("x-delivery", "d-1")], json!({ "number": 1 })),
        ("by-path", "  dedupe: { path: body.order.id }\n", &[], json!({ "number": 1, "order": { "id": "o-1" } })),
        ("by-body", "  dedupe: { body: true }\n", &[], json!({ "number": 1 })),
        ("by-webhook-id", "", &[("webhook-id", "msg_1")], json!({ "number": 1 })),
        ("by-key", "", &[("idempotency-key", "k-1")], json!({ "number": 1 })),
    ];
    let urls: Vec<String> = table.iter().map(|(id, rule, ..)| server.apply(&taking(id, rule)).url).collect();
    let mut first: Vec<Value> = Vec::new();
    for round in 0..2 {
        for (index, (id, _, headers, body)) in table.iter().enumerate() {
            let url = server.rebase(&urls[index]);
            let start = Arc::new(Barrier::new(64));
            let answers: Vec<Answer> = std::thread::scope(|scope| {
                let senders: Vec<_> = (0..64)
                    .map(|_| {
                        let (start, url) = (Arc::clone(&start), url.as_str());
                        scope.spawn(move || {
                            start.wait();
                            send(url, headers, body)
                        })
                    })
                    .collect();
                senders.into_iter().map(|sender| sender.join().unwrap()).collect()
            });
            let fresh = answers.iter().filter(|answer| answer.json().get("duplicate").is_none()).count();
            assert_eq!(fresh, usize::from(round == 0), "{id}, round {round}");
            if round == 0 {
                first.push(answers[0].json()["run_ids"].clone());
            }
            for answer in &answers {
                assert_eq!((answer.status, &answer.json()["run_ids"]), (202, &first[index]), "{id}: {answer:?}");
            }
            assert_eq!(runs(&server, id).len(), 1, "{id}");
        }
        server.kill();
        server.restart();
    }
    // Another delivery is another one.
    let other = send(&server.rebase(&urls[1]), &[], &json!({ "number": 1, "order": { "id": "o-2" } }));
    assert!(other.json().get("duplicate").is_none(), "{other:?}");
    assert_eq!(runs(&server, "by-path").len(), 2);
}

#[test]
fn an_idempotency_key_with_another_body_is_refused() {
    let mut server = Server::start();
    let url = server.apply(&taking("keyed", "")).url;
    let key = [("idempotency-key", "k-1")];
    let first = send(&url, &key, &json!({ "number": 1 }));
    server.kill();
    server.restart();
    let url = server.rebase(&url);
    let reused = send(&url, &key, &json!({ "number": 2 }));
    assert_eq!((reused.status, reused.header("content-type")), (422, Some("application/problem+json")), "{reused:?}");
    assert_eq!(reused.json()["type"], "https://flowcell.dev/problems/key-reused");
    assert!(reused.body.contains(first.json()["event_id"].as_str().unwrap()), "it names the first: {reused:?}");
    let again = send(&url, &key, &json!({ "number": 1 }));
    assert_eq!((again.status, &again.json()["duplicate"]), (202, &json!(true)));
    // A sender's delivery id promises nothing about the body: some sign each try anew.
    let id = [("webhook-id", "w-1")];
    send(&url, &id, &json!({ "number": 1 }));
    assert_eq!(send(&url, &id, &json!({ "number": 2 })).json()["duplicate"], true);
    assert_eq!(runs(&server, "keyed").len(), 2);
    let shown = server.api("GET", "/api/v2/workflows/keyed/trigger", b"").json();
    assert_eq!(
        (&shown["counts"]["rejected"], &shown["last_rejected"][0]["status"]),
        (&json!(1), &json!(422)),
        "{shown}"
    );
}

#[test]
fn what_the_filter_keeps_out_costs_no_run_and_is_explained() {
    let server = Server::start();
    let filter = "  filter:\n    all:\n      - { value: \"{{ trigger.body.number }}\", is: greater, to: 10 }\n      - any: [\"{{ trigger.body.paid }}\", { value: \"{{ trigger.body.country }}\", is: equal, to: DE }]\n";
    let url = server.apply(&taking("filtered", filter)).url;
    let small = send(&url, &[], &json!({ "number": 7, "paid": true, "country": "DE" }));
    assert_eq!((small.status, &small.json()["filtered"]), (202, &json!(true)), "{small:?}");
    assert!(small.json()["event_id"].as_str().unwrap().starts_with("evt_"), "{small:?}");
    assert!(small.json().get("because").is_none(), "a sender is not told what it is compared with: {small:?}");
    let shown = server.api("GET", "/api/v2/workflows/filtered/trigger", b"").json();
    let because = &shown["last_filtered"][0]["because"];
    assert_eq!(because["holds"], false);
    assert_eq!(because["all"][0]["compare"]["value"]["value"], "7", "the operand with its value: {because}");
    assert!(because["all"][1].get("holds").is_none(), "what was not asked is not answered: {because}");
    for number in 0..30 {
        send(&url, &[], &json!({ "number": 11 + number, "paid": false, "country": "FR" }));
    }
    let passed = send(&url, &[], &json!({ "number": 11, "paid": false, "country": "DE" }));
    assert_eq!(passed.json()["run_ids"].as_array().map(Vec::len), Some(1), "{passed:?}");
    assert_eq!(runs(&server, "filtered").len(), 1);

    let broken = send(&url, &[], &json!({ "paid": true }));
    assert_eq!((broken.status, &broken.json()["type"]), (422, &json!("https://flowcell.dev/problems/filter-failed")));
    assert!(broken.body.contains("trigger.body.number"), "{broken:?}");

    let shown = server.api("GET", "/api/v2/workflows/filtered/trigger", b"").json();
    assert_eq!(shown["counts"], json!({ "started": 1, "duplicate": 0, "filtered": 31, "ignored": 0, "rejected": 1 }));
    let latest = shown["last_filtered"].as_array().unwrap();
    assert_eq!(latest.len(), 20, "the latest are kept, and no more");
    assert_eq!(latest[0]["because"]["all"][0]["compare"]["value"]["value"], "40", "newest first: {shown}");
    assert!(latest.iter().all(|one| one["event_id"].as_str().unwrap().starts_with("evt_")));
    let printed = server.cli(&["trigger", "show", "filtered"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    for word in ["31 filtered", "trigger.body.country", "does not", "holds", "422"] {
        assert!(printed.stdout.contains(word), "{word}: {}", printed.stdout);
    }
    let unknown = server.api("GET", "/api/v2/workflows/nothing/trigger", b"");
    assert_eq!(unknown.status, 404, "{unknown:?}");
}

/// G6. Every delivery is sent twice, from 64 connections, and the server is killed in the middle; whoever got no answer sends again.
#[test]
fn ten_thousand_deliveries_half_of_them_duplicates_start_five_thousand_runs() {
    const DELIVERIES: usize = 10_000;
    const SENDERS: usize = 64;
    let started = Instant::now();
    let mut server = Server::start();
    let url = server.apply(&taking("many", "  dedupe: { path: body.number }\n")).url;
    let address = Arc::new(std::sync::RwLock::new(url.clone()));
    let (next, repeated, fresh, answered) = <(AtomicUsize, AtomicUsize, AtomicUsize, AtomicUsize)>::default();
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let agent: ureq::Agent = ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(Duration::from_secs(20)))
                    .build()
                    .into();
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= DELIVERIES {
                        return;
                    }
                    let body = json!({ "number": turn % (DELIVERIES / 2) }).to_string();
                    eventually("an answer", Duration::from_mins(1), || {
                        let url = address.read().unwrap().clone();
                        let answer = agent.post(&url).header("content-type", "application/json").send(&body);
                        let Some(mut answer) = answer.ok().filter(|answer| answer.status() == 202) else {
                            repeated.fetch_add(1, Ordering::Relaxed);
                            return None;
                        };
                        let said: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
                        fresh.fetch_add(usize::from(said.get("duplicate").is_none()), Ordering::Relaxed);
                        answered.fetch_add(1, Ordering::Relaxed);
                        Some(())
                    });
                }
            });
        }
        eventually("half of them are answered", Duration::from_mins(2), || {
            (answered.load(Ordering::Relaxed) >= DELIVERIES / 2).then_some(())
        });
        let mut address = address.write().unwrap();
        server.kill();
        server.restart();
        *address = server.rebase(&url);
    });
    let sent_in = started.elapsed();
    let runs = eventually("every run has ended", Duration::from_mins(2), || {
        let runs = runs(&server, "many");
        runs.iter().all(|run| run["status"] == "succeeded").then_some(runs)
    });
    let [answered, fresh, repeated] = [&answered, &fresh, &repeated].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{answered} deliveries answered, {fresh} of them as new, {repeated} sent again after no answer, {} runs, {sent_in:?}, all ended {:?}",
        runs.len(),
        started.elapsed()
    );
    assert_eq!((answered, runs.len()), (DELIVERIES, DELIVERIES / 2));
    // Where the server was killed between the sync and the answer, nobody heard that it was new.
    assert!(fresh <= DELIVERIES / 2 && fresh + repeated >= DELIVERIES / 2, "{fresh} new, {repeated} repeated");
}
