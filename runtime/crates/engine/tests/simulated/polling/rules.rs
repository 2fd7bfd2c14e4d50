//! What a workflow says of its deliveries holds for what is polled too; and one trigger's backlog is nobody else's matter.

use std::sync::atomic::Ordering;
use std::time::Duration;

use flowcell_core::invoke::TriggerEvent;
use flowcell_core::ports::Hold;
use flowcell_engine::polling::{PollOutcome, PolledTrigger, PollerConfig};
use flowcell_testkit::sample;
use serde_json::json;

use super::station::{Crash, MINUTE, Station};

#[test]
fn a_filter_is_asked_and_what_it_keeps_out_is_counted() {
    let world = Station::new("");
    let source =
        world.world.version.source.replace("inbound@1\n", "inbound@1\n  filter: \"trigger.number % 2 == 0\"\n");
    let station = publish_second(world, &source);
    station.provider.put(0..5);
    station.work(MINUTE, Crash::Never);
    assert_eq!(station.started(), [0, 2, 4]);
    let state = station.state();
    assert_eq!((state.counts.events, state.counts.started, state.counts.filtered), (5, 3, 2));
    let became = station.source.became.lock().unwrap().clone();
    let PollOutcome::Answered { filtered, .. } = &became[0] else { panic!("{became:?}") };
    assert_eq!(filtered.len(), 2);
}

/// Publishes another text as version 2, and polls for that.
fn publish_second(station: Station, source: &str) -> Station {
    let version = sample::version(source, 2, &*station.world.catalog);
    let world = station.world.clone();
    station.world.block_on(async move { sample::publish(&world.store, &version).await.unwrap() });
    station.source.set(vec![PolledTrigger { version: 2, ..station.trigger() }]);
    station
}

#[test]
fn an_item_with_which_the_workflow_can_do_nothing_keeps_everything_until_the_workflow_is_mended() {
    let station = Station::new("");
    let source = station.world.version.source.clone();
    let broken = source.replace("inbound@1\n", "inbound@1\n  filter: \"trigger.missing.deep > 1\"\n");
    let station = publish_second(station, &broken);
    station.provider.put(0..3);
    station.work(MINUTE * 3, Crash::Never);
    let state = station.state();
    assert_eq!((station.started(), state.cursor), (vec![], None));
    assert_eq!(state.error.unwrap().code, "filter-failed");
    let mended = sample::version(&source, 3, &*station.world.catalog);
    let world = station.world.clone();
    station.world.block_on(async move { sample::publish(&world.store, &mended).await.unwrap() });
    station.source.set(vec![PolledTrigger { version: 3, ..station.trigger() }]);
    station.work(MINUTE * 3, Crash::Never);
    assert_eq!(station.started(), [0, 1, 2]);
    assert!(station.runs().iter().all(|(_, version)| *version == 3));
}

#[test]
fn items_are_known_by_their_key_also_when_the_cursor_begins_anew() {
    let station = Station::new("");
    *station.provider.event.lock().unwrap() = Box::new(|item| TriggerEvent {
        payload: item.clone(),
        dedupe_key: Some(format!("row {}", item["number"].as_u64().unwrap() / 2)),
    });
    station.provider.put(0..4);
    station.work(MINUTE, Crash::Never);
    assert_eq!(station.started(), [0, 2], "two of one poll are the same as well");
    let again = PolledTrigger { source: flowcell_core::id::Digest::of(b"b"), ..station.trigger() };
    station.source.set(vec![again]);
    station.provider.put(4..6);
    station.work(MINUTE, Crash::Never);
    assert_eq!(station.started(), [0, 2, 4]);
    assert_eq!(station.state().counts.duplicate, 5);
}

#[test]
fn the_workflows_own_key_comes_first() {
    let station = Station::new("").deduped(json!({ "path": "number", "window": "1h" }));
    *station.provider.event.lock().unwrap() = Box::new(|item| TriggerEvent {
        payload: json!({ "number": item["number"].as_u64().unwrap() % 3 }),
        dedupe_key: Some("one".to_owned()),
    });
    station.provider.put(0..7);
    station.work(MINUTE, Crash::Never);
    assert_eq!(station.started(), [0, 1, 2]);
}

#[test]
fn runs_about_the_same_subject_are_skipped_or_replaced_within_a_poll_too() {
    let key = "key: '{{ trigger.number % 2 }}'";
    let station = Station::new(&format!("settings: {{ reentry: {{ {key}, policy: skip }} }}\n"));
    station.provider.put(0..5);
    station.work(MINUTE, Crash::Never);
    assert_eq!((station.started(), station.state().counts.skipped), (vec![0, 1], 3));
    let station = Station::new(&format!("settings: {{ reentry: {{ {key}, policy: replace }} }}\n"));
    station.provider.put(0..5);
    station.work(MINUTE, Crash::Never);
    assert_eq!(station.started().len(), 5);
    let station = Station { is_driven: true, ..station };
    station.work(MINUTE, Crash::Never);
    let world = station.world.clone();
    let ends = station.world.block_on(async move {
        let mut ends = std::collections::BTreeMap::new();
        for run in world.runs().await {
            *ends.entry(format!("{:?}", run.status)).or_insert(0) += 1;
        }
        ends
    });
    assert_eq!((ends.get("Cancelled"), ends.get("Succeeded")), (Some(&3), Some(&2)), "{ends:?}");
}

#[test]
fn a_backlog_waits_at_the_provider_and_is_worked_off() {
    let station = Station::new("settings: { concurrency: { limit: 1 } }\n");
    let station = Station { config: PollerConfig { backlog_max: 20, ..station.config }, ..station };
    station.provider.put(0..200);
    station.provider.page.store(10, Ordering::SeqCst);
    station.work(MINUTE * 10, Crash::Never);
    assert_eq!(station.started().len(), 20, "nobody executes them");
    assert!(matches!(station.state().hold, Some(Hold::Backlog { runs: 20 })), "{:?}", station.state());
    let driven = Station { is_driven: true, ..station };
    driven.work(Duration::from_hours(1), Crash::Never);
    assert_eq!(driven.started(), (0..200).collect::<Vec<_>>());
    assert_eq!((driven.state().hold, driven.state().more), (None, false));
}

#[test]
fn who_has_much_to_tell_comes_behind_everybody_who_is_due() {
    let station = Station::new("");
    let other = station.world.version.source.replace("id: sample", "id: other");
    let version = sample::version(&other, 1, &*station.world.catalog);
    let world = station.world.clone();
    station.world.block_on(async move { sample::publish(&world.store, &version).await.unwrap() });
    let other =
        PolledTrigger { workflow: "other".parse().unwrap(), every: Duration::from_secs(10), ..station.trigger() };
    station.source.set(vec![station.trigger(), other]);
    let station =
        Station { config: PollerConfig { polls_max: 1, backlog_max: 1_000_000, ..station.config }, ..station };
    station.provider.put(0..500);
    station.provider.page.store(1, Ordering::SeqCst);
    *station.provider.delay.lock().unwrap() = Duration::from_millis(100);
    // The other one reads the same items; it keeps its turn while the first has hundreds of pages to tell.
    station.work(Duration::from_secs(20), Crash::Never);
    let polls = station.provider.polls.lock().unwrap();
    let turns: Vec<_> = polls.iter().map(|(_, workflow, _)| workflow.as_str()).collect();
    let share = turns.iter().filter(|workflow| **workflow == "other").count();
    assert!(turns.len() >= 190 && (turns.len() / 2).abs_diff(share) <= 1, "{} of {}", share, turns.len());
}
