//! FEATURES K1, K2, K3 through the whole server: what a step cannot reach.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flowcell_tests::{Options, Receiver, Server, root};
use serde_json::{Value, json};

use crate::{forward, last_attempt};

/// Counts connections to a loopback port: nothing may ever arrive.
fn canary() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, seen)
}

#[test]
fn no_case_of_the_corpus_leaves_the_sandbox() {
    let corpus: Value = serde_json::from_slice(&std::fs::read(root().join("tests/corpus/ssrf.json")).unwrap()).unwrap();
    let (port, seen) = canary();
    let server = Server::start_with(Options { closed_egress: true, ..Default::default() });
    let (mut refused, mut failed) = (0, 0);
    for case in corpus.as_array().unwrap() {
        if case["expect"] == "ok" || case["resolves"].is_object() {
            continue; // needs a resolver that can be told: the sandbox's own tests have one
        }
        let url = case["url"].as_str().unwrap().replace("{canary}", &port.to_string());
        let mut workflow: Value = json!({
            "id": "ssrf", "name": "SSRF",
            "trigger": { "uses": "flowcell/webhook/inbound@1" },
            "steps": [{
                "id": "attack",
                "uses": "flowcell/custom-webhook/request@1",
                "with": { "method": "GET", "url": "" },
                "retry": { "attempts": 1 },
                "timeout": "5s",
            }],
        });
        workflow["steps"][0]["with"]["url"] = json!(url);
        let applied = server.try_apply(&workflow.to_string());
        if applied.code != Some(0) {
            refused += 1; // refused by its author's text already
            continue;
        }
        let path = applied.json()["triggers"][0]["url"].as_str().unwrap().to_owned();
        let run = server.trigger(&path, &json!({}));
        let shown = server.wait_for_run(&run, &["failed", "succeeded"]);
        assert_eq!(shown["status"], "failed", "{url}: {shown:#}");
        failed += 1;
    }
    assert!(refused + failed >= 150, "{refused} refused by the check, {failed} by the door");
    assert_eq!(seen.load(Ordering::Relaxed), 0, "the canary saw nothing");
}

#[test]
fn loopback_is_refused_with_the_reason_unless_the_operator_says_so() {
    let receiver = Receiver::start();
    let server = Server::start_with(Options { closed_egress: true, ..Default::default() });
    let applied = server.apply(&forward("closed", &receiver.origin(), ""));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    let shown = server.wait_for_run(&run, &["failed"]);
    let attempt = last_attempt(&shown);
    let said = attempt["error"]["message"].as_str().unwrap();
    assert!(said.contains("127.0.0.1") && said.contains("this machine"), "{said}");
    assert!(said.contains("--egress-allow"), "it says what the operator can do: {said}");
    assert_eq!(attempt["http"][0]["error"]["code"], "address-denied", "the denial is in the journal: {attempt:#}");
    assert!(receiver.requests().is_empty());
}

#[test]
fn metadata_services_stay_closed_whatever_the_operator_allows() {
    let arguments = ["--egress-allow", "0.0.0.0/0", "--egress-allow", "169.254.0.0/16"].map(str::to_owned).to_vec();
    let server = Server::start_with(Options { arguments, closed_egress: true, ..Default::default() });
    let applied =
        server.apply(&forward("metadata", "http://169.254.169.254/latest/meta-data/", "    retry: { attempts: 1 }\n"));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    let shown = server.wait_for_run(&run, &["failed"]);
    let said = last_attempt(&shown)["error"]["message"].as_str().unwrap();
    assert!(said.contains("metadata"), "{said}");
}

#[test]
fn redirects_are_not_followed() {
    let (port, seen) = canary();
    let receiver = Receiver::answering(move |_, _| {
        flowcell_tests::Reply::status(302).header("location", &format!("http://127.0.0.1:{port}/inside"))
    });
    let server = Server::start();
    let applied = server.apply(&forward("redirect", &receiver.origin(), "    retry: { attempts: 1 }\n"));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    let shown = server.wait_for_run(&run, &["failed", "succeeded"]);
    assert_eq!(last_attempt(&shown)["http"][0]["response"]["status"], 302);
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

#[test]
fn a_folder_plugin_reaches_nothing_until_it_is_granted() {
    let receiver = Receiver::start();
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(
        plugins.path().join("elsewise.wasm"),
        by_another_publisher(&crate::guest("flowcell-custom-webhook")),
    )
    .unwrap();
    let mut arguments = vec!["--plugins".to_owned(), plugins.path().to_str().unwrap().to_owned()];
    let workflow = forward("granted", &receiver.origin(), "    retry: { attempts: 1 }\n")
        .replace("flowcell/custom-webhook", "elsewise/custom-webhook");
    let mut server = Server::start_with(Options { arguments: arguments.clone(), ..Default::default() });
    let applied = server.apply(&workflow);
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    let shown = server.wait_for_run(&run, &["failed", "succeeded"]);
    let said = last_attempt(&shown)["http"][0]["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("[[grants]]"), "the denial prints the grant to add: {shown:#}");
    assert!(receiver.requests().is_empty());

    // The printed grant, pasted into the configuration, is what makes it work.
    let grant = said.split_once("[[grants]]").map(|(_, rest)| format!("[[grants]]{rest}")).unwrap();
    let config = server.folder().join("flowcell.toml");
    std::fs::write(&config, grant.trim_end_matches(['.', '`', ' '])).unwrap();
    arguments.extend(["--config".to_owned(), config.to_str().unwrap().to_owned()]);
    server.terminate();
    server.restart_with(Options { arguments, ..Default::default() });
    let run = server.trigger(&server.rebase(&applied.url), &json!({ "number": 1 }));
    let shown = server.wait_for_run(&run, &["failed", "succeeded"]);
    assert_eq!(receiver.requests().len(), 1, "{shown:#}");
}

#[test]
fn data_may_choose_only_among_destinations_that_a_grant_names() {
    let (allowed, other) = (Receiver::start(), Receiver::start());
    let workflow = forward("chosen", "\"http://{{ trigger.body.host }}/x\"", "    retry: { attempts: 1 }\n");
    let mut server = Server::start();
    let refused = server.try_apply(&workflow);
    assert_eq!(refused.code, Some(1), "without a grant the author hears of it at once: {refused:?}");

    let config = server.folder().join("flowcell.toml");
    let grant = format!("[[grants]]\nplugin = \"flowcell/custom-webhook\"\nhttp = [\"POST {}/*\"]\n", allowed.origin());
    std::fs::write(&config, grant).unwrap();
    server.terminate();
    let arguments = vec!["--config".into(), config.to_str().unwrap().into()];
    server.restart_with(Options { arguments, ..Default::default() });
    let applied = server.apply(&workflow);
    let host = |receiver: &Receiver| receiver.origin().replace("http://", "");
    let run = server.trigger(&applied.url, &json!({ "number": 1, "host": host(&allowed) }));
    server.wait_for_run(&run, &["succeeded"]);
    let run = server.trigger(&applied.url, &json!({ "number": 2, "host": host(&other) }));
    let shown = server.wait_for_run(&run, &["failed"]);
    let said = last_attempt(&shown)["error"]["message"].as_str().unwrap();
    assert!(said.contains("run data chooses the destination"), "{said}");
    assert_eq!((allowed.requests().len(), other.requests().len()), (1, 0));
}

/// The same component under another publisher's name: nobody has granted it anything.
fn by_another_publisher(component: &[u8]) -> Vec<u8> {
    let (ours, theirs) = (br#""id":"flowcell/custom-webhook""#, br#""id":"elsewise/custom-webhook""#);
    let at = component.windows(ours.len()).position(|window| window == ours).expect("the manifest names its id");
    let mut renamed = component.to_vec();
    renamed[at..at + ours.len()].copy_from_slice(theirs);
    renamed
}
