//! Runs that the clock starts, in real time.

use std::time::Duration;

use flowcell_tests::{Receiver, Server, eventually};
use serde_json::Value;

fn runs(server: &Server, workflow: &str) -> Vec<Value> {
    let listed = server.api("GET", &format!("/api/v2/runs?workflow={workflow}&limit=1000"), b"").json();
    listed["runs"].as_array().unwrap().clone()
}

#[test]
fn a_schedule_starts_runs_that_its_filter_lets_pass_and_no_more_at_a_time_than_may() {
    let receiver = Receiver::start();
    let server = Server::start();
    let steps = format!(
        "  - id: tell\n    uses: flowcell/custom-webhook/request@1\n    with: {{ method: POST, url: \"{}\", json: {{ at: \"{{{{ trigger.scheduled_at }}}}\" }} }}\n",
        receiver.origin()
    );
    // Every second; of those only every second one passes, and the first run holds the one place.
    let applied = server.try_apply(&format!(
        "id: ticks\nname: T\ntrigger:\n  schedule: {{ every: 1s }}\n  filter: \"(trigger.scheduled_at[17:19] | int) % 2 == 0\"\n\
         settings: {{ concurrency: {{ limit: 1 }} }}\nsteps:\n{steps}  - id: hold\n    wait: {{ for: 1h }}\n"
    ));
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let trigger = &applied.json()["triggers"][0];
    assert_eq!((&trigger["kind"], trigger.get("url")), (&Value::from("schedule"), None), "a schedule has no URL");

    let found = eventually("two runs of the schedule", Duration::from_mins(1), || {
        let found = runs(&server, "ticks");
        (found.len() >= 2).then_some(found)
    });
    receiver.wait_for(1);
    let first = found.last().unwrap()["id"].as_str().unwrap().to_owned();
    let waiting = server.wait_for_run(&first, &["waiting"]);
    assert_eq!(waiting["trigger"]["timezone"], "UTC", "{waiting}");
    for run in runs(&server, "ticks") {
        let run = server.run(run["id"].as_str().unwrap());
        let second: u32 = run["trigger"]["scheduled_at"].as_str().unwrap()[17..19].parse().unwrap();
        assert_eq!(second % 2, 0, "the filter let an odd second pass: {run}");
        if run["id"] != *first {
            assert_eq!(run["status"], "queued", "{run}");
            assert!(run["queue_position"].is_u64(), "{run}");
        }
    }
    assert_eq!(receiver.requests().len(), 1, "one run goes on at a time");
    let shown = server.cli(&["trigger", "show", "ticks", "--json"]).json();
    let (started, filtered) =
        (shown["counts"]["started"].as_u64().unwrap(), shown["counts"]["filtered"].as_u64().unwrap());
    assert!(started >= 2 && filtered >= 1, "{shown}");
    assert!(!shown["last_filtered"][0]["because"].is_null(), "{shown}");

    // The next one goes on when the first has ended.
    assert_eq!(server.cli(&["run", "cancel", &first]).code, Some(0));
    receiver.wait_for(2);
}

#[test]
fn an_occurrence_that_cannot_be_started_is_counted_and_the_schedule_goes_on() {
    let server = Server::start();
    let applied = server.try_apply(
        "id: lost\nname: L\ntrigger:\n  schedule: { every: 1s }\n  filter: trigger.nothing > 1\nsteps:\n  - id: a\n    set: { n: 1 }\n",
    );
    assert_eq!(applied.code, Some(0), "{applied:?}");
    eventually("two occurrences that are rejected", Duration::from_mins(1), || {
        let shown = server.cli(&["trigger", "show", "lost", "--json"]).json();
        let is_said = || shown["last_rejected"][0]["message"].as_str().unwrap().contains("trigger.nothing");
        (shown["counts"]["rejected"].as_u64() >= Some(2) && is_said()).then_some(())
    });
    assert!(runs(&server, "lost").is_empty());
}
