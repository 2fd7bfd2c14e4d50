//! PROMISES 11 and 22: a drain loses nothing, and a data directory has one server.

use std::time::Duration;

use flowcell_tests::{CliOutput, Receiver, Reply, Server, eventually, get};
use serde_json::json;

use crate::forward;

#[test]
fn sigterm_lets_a_running_step_finish() {
    let receiver = Receiver::answering(|_, _| Reply::status(200).after(Duration::from_millis(700)));
    let mut server = Server::start();
    let applied = server.apply(&forward("drain", &receiver.origin(), ""));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    receiver.wait_for(1);
    assert_eq!(server.terminate(), Some(0), "a drain ends well: {}", server.log());
    server.restart();
    let shown = server.run(&run);
    assert_eq!(shown["status"], "succeeded", "it had finished before the process ended: {shown:#}");
    assert_eq!(receiver.requests().len(), 1, "and was not repeated");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    let data = server.data();
    let second = CliOutput::of(&["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_ne!(second.code, Some(0));
    assert!(second.stderr.contains(data.to_str().unwrap()), "it names the directory: {second:?}");
    assert!(second.stderr.to_lowercase().contains("another"), "it says that another process has it: {second:?}");
    assert_eq!(get(&format!("{}/readyz", server.origin())).unwrap().status, 200, "the first one is unharmed");
}

#[test]
fn readiness_ends_with_the_drain() {
    let receiver = Receiver::answering(|_, _| Reply::status(200).after(Duration::from_millis(1500)));
    let mut server = Server::start();
    let applied = server.apply(&forward("ready", &receiver.origin(), ""));
    server.trigger(&applied.url, &json!({ "number": 1 }));
    receiver.wait_for(1);
    server.signal(rustix::process::Signal::TERM);
    let url = format!("{}/readyz", server.origin());
    eventually("the server is no longer ready", Duration::from_secs(5), || match get(&url) {
        Ok(answer) if answer.status == 200 => None,
        Ok(_) | Err(_) => Some(()),
    });
    server.terminate();
}

#[test]
fn a_second_signal_aborts() {
    let receiver = Receiver::answering(|_, _| Reply::status(200).after(Duration::from_secs(20)));
    let mut server = Server::start();
    let applied = server.apply(&forward("abort", &receiver.origin(), "    timeout: 30s\n"));
    let run = server.trigger(&applied.url, &json!({ "number": 1 }));
    receiver.wait_for(1);
    server.signal(rustix::process::Signal::TERM);
    eventually("the drain is said", Duration::from_secs(5), || {
        server.log().to_lowercase().contains("drain").then_some(())
    });
    let started = std::time::Instant::now();
    server.terminate();
    assert!(started.elapsed() < Duration::from_secs(5), "it did not wait for the step");
    server.restart();
    server.wait_for_run(&run, &["running", "succeeded"]); // repeated: the action is idempotent
    receiver.wait_for(2);
}
