//! PROMISES 1, 2, 3, 4, 6: `kill -9` under load, again and again. What was accepted is there, once, and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowcell_tests::{Receiver, Server, amount, eventually, post};
use serde_json::json;

use crate::forward;

/// Runs by the number the client sent.
type Accepted = Arc<Mutex<BTreeMap<u64, String>>>;

/// Kills, unless `FLOWCELL_TORTURE_KILLS` says otherwise.
const CYCLES: u64 = 50;
const CLIENTS: u64 = 4;

#[test]
fn kills_under_load_lose_nothing_and_double_nothing() {
    let cycles = amount("FLOWCELL_TORTURE_KILLS", CYCLES);
    let receiver = Receiver::start();
    let mut server = Server::start();
    let applied =
        server.apply(&forward("crash", &receiver.origin(), "    retry: { attempts: 20, initial: 10ms, max: 100ms }\n"));
    let accepted: Accepted = Arc::default();

    for cycle in 0..cycles {
        let url = server.rebase(&applied.url);
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (url, stop, accepted) = (url.clone(), Arc::clone(&stop), Arc::clone(&accepted));
                std::thread::spawn(move || {
                    send_until_stopped(&url, (cycle * CLIENTS + client) * 1_000_000, &stop, &accepted);
                })
            })
            .collect();
        // The kill falls at another point of the work in every cycle.
        let before = accepted.lock().unwrap().len();
        eventually("something is accepted", Duration::from_secs(20), || {
            (accepted.lock().unwrap().len() > before).then_some(())
        });
        std::thread::sleep(Duration::from_millis(5 + (cycle * 37) % 90));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
        server.restart();
    }

    let accepted = accepted.lock().unwrap().clone();
    assert!(accepted.len() as u64 > cycles, "the load was real: {}", accepted.len());
    // Every accepted event has its run, and every run ends.
    for run in accepted.values() {
        let shown = server.end_of_run(run);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        let results = shown["steps"][0]["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|attempt| !attempt["output"].is_null())
            .count();
        assert_eq!(results, 1, "a result is recorded exactly once: {shown:#}");
    }
    // Every effect reached the receiver under exactly one key, and different effects under different keys.
    let mut keys_of: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for request in receiver.requests() {
        let number = request.json()["number"].as_u64().unwrap();
        keys_of.entry(number).or_default().insert(request.header("idempotency-key").unwrap().to_owned());
    }
    for number in accepted.keys() {
        assert_eq!(
            keys_of.get(number).map(BTreeSet::len),
            Some(1),
            "event {number} reached the receiver under one key"
        );
    }
    let all: BTreeSet<_> = keys_of.values().flatten().collect();
    assert_eq!(all.len(), keys_of.len(), "no two events share a key");
    println!("{cycles} kills: {} events accepted, 0 lost, 0 results doubled", accepted.len());
}

/// Sends numbered events one after the other and writes down those that were answered with 202.
fn send_until_stopped(url: &str, first: u64, stop: &AtomicBool, accepted: &Accepted) {
    for number in first.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match post(url, &json!({ "number": number })) {
            Ok(answer) if answer.status == 202 => {
                let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
                accepted.lock().unwrap().insert(number, run);
            }
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return, // the server is gone: this event was not acknowledged
        }
    }
}
