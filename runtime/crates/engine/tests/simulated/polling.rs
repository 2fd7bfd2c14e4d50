//! Triggers that are asked what is new: every item once, whatever dies when; the provider is left alone when it fails.

pub(crate) mod station;

mod rules;

use std::sync::atomic::Ordering;
use std::time::Duration;

use flowcell_core::connection::{CredentialError, Remedy};
use flowcell_core::id::Digest;
use flowcell_core::invoke::{ActionError, InvokeError};
use flowcell_core::ports::{Clock, Hold};
use flowcell_engine::polling::{PollOutcome, PolledTrigger};
use serde_json::json;

use self::station::{Crash, MINUTE, Station};

const HOUR: Duration = Duration::from_hours(1);

fn refused(code: &str, retryable: bool, retry_after_ms: Option<u64>) -> InvokeError {
    let details = Some(json!({ "field": "/list" }));
    InvokeError::Action(ActionError {
        code: code.to_owned(),
        message: "no".to_owned(),
        retryable,
        retry_after_ms,
        details,
    })
}

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn every_item_comes_once_whatever_write_the_process_dies_at() {
    let mut cuts = 0;
    for writes in 0.. {
        let mut has_died = false;
        for crash in [Crash::Before(writes), Crash::After(writes)] {
            let station = Station::new("");
            station.provider.put(0..7);
            station.provider.page.store(2, Ordering::SeqCst);
            let died = station.work(MINUTE * 3, crash);
            has_died |= died;
            cuts += usize::from(died);
            // More comes while nobody asks.
            station.provider.put(7..9);
            assert!(!station.work(MINUTE * 5, Crash::Never), "{crash:?}");
            assert_eq!(station.started(), all(9), "{crash:?}");
            assert_eq!(station.state().cursor.as_deref(), Some("9"), "{crash:?}");
            assert_eq!((station.state().counts.events, station.state().counts.started), (9, 9), "{crash:?}");
        }
        if !has_died {
            break;
        }
    }
    assert!(cuts >= 12, "a state, four pages and the polls after them were cut on both sides: {cuts}");
}

#[test]
fn every_item_comes_once_whenever_the_process_dies() {
    // Each poll takes 1 s: some of these deaths fall between a fetch and its write, the others anywhere else.
    for millis in (0..8_000).step_by(250) {
        let station = Station::new("");
        station.provider.put(0..7);
        station.provider.page.store(2, Ordering::SeqCst);
        *station.provider.delay.lock().unwrap() = Duration::from_secs(1);
        for _ in 0..3 {
            station.work(Duration::from_millis(millis), Crash::Never);
        }
        station.work(MINUTE * 5, Crash::Never);
        assert_eq!(station.started(), all(7), "{millis}");
    }
}

#[test]
fn it_asks_at_once_and_then_every_interval_and_never_twice_at_a_time() {
    let station = Station::new("");
    station.work(MINUTE * 10, Crash::Never);
    assert_eq!(station.provider.waits(), vec![66_000; 9]);
    // Slower than its interval.
    *station.provider.delay.lock().unwrap() = Duration::from_secs(50);
    let trigger = PolledTrigger { every: Duration::from_secs(10), ..station.trigger() };
    station.source.set(vec![trigger]);
    station.work(MINUTE * 10, Crash::Never);
    assert_eq!(station.provider.under_way_max.load(Ordering::SeqCst), 1);
    assert_eq!(*station.provider.waits().last().unwrap(), 50_000);
}

#[test]
fn a_restart_keeps_to_the_interval_and_a_long_stop_asks_at_once() {
    let station = Station::new("");
    station.work(Duration::from_secs(30), Crash::Never);
    station.work(Duration::from_secs(30), Crash::Never);
    assert_eq!(station.provider.count(), 1);
    station.world.clock.set(station.world.clock.now() + HOUR);
    station.work(Duration::from_secs(1), Crash::Never);
    assert_eq!(station.provider.count(), 2);
}

#[test]
fn failures_are_waited_out_longer_each_time_and_a_wish_is_kept() {
    let station = Station::new("");
    station.provider.put(0..1);
    station.provider.fail(|number, _| match number {
        0..=3 => Some(refused("http-status", true, None)),
        4 => Some(refused("rate-limited", true, Some(400_000))),
        5 => Some(InvokeError::DeadlineExceeded { limit_ms: 1 }),
        _ => None,
    });
    station.work(MINUTE * 8, Crash::Never);
    let state = station.state();
    assert_eq!((state.failures, state.counts.failed, state.last_success_at), (5, 5, None));
    let error = state.error.unwrap();
    assert_eq!((error.code.as_str(), error.field.as_deref()), ("rate-limited", Some("/list")));
    // The text has no `with`; the nearest place is the trigger's.
    assert_eq!(error.message, "no (trigger.with.list, line 4)");
    station.work(HOUR, Crash::Never);
    // An interval of 60 s is longer than the first waits; then 80 s; what the provider asks for; and 320 s.
    assert_eq!(station.provider.waits()[..6], [60_000, 60_000, 60_000, 80_000, 400_000, 320_000]);
    let state = station.state();
    assert_eq!((state.failures, state.error, station.started()), (0, None, vec![0]));
}

#[test]
fn a_refused_connection_is_waited_for_and_named_and_it_goes_on_by_itself() {
    for error in [
        refused("unauthorized", false, None),
        InvokeError::Connection(CredentialError::NeedsReconnecting {
            name: "crm".parse().unwrap(),
            reason: "revoked".to_owned(),
            remedy: Remedy::Secret,
        }),
    ] {
        let station = Station::new("");
        station.source.set(vec![PolledTrigger { connection: Some("crm".parse().unwrap()), ..station.trigger() }]);
        station.provider.put(0..3);
        station.provider.fail(move |number, _| (number < 3).then(|| error.clone()));
        station.work(MINUTE * 30, Crash::Never);
        assert_eq!(station.provider.count(), 1, "nobody is asked again and again");
        let Some(Hold::Reconnecting { connection, since }) = station.state().hold else {
            panic!("{:?}", station.state())
        };
        assert_eq!(connection.as_str(), "crm");
        station.work_while(MINUTE * 10, Crash::Never, move |station| async move {
            station.sleep(MINUTE).await;
            // Another one, and an act of before.
            station.handle.reconnected(&"other".parse().unwrap(), station.world.clock.now()).await;
            station.handle.reconnected(&"crm".parse().unwrap(), since).await;
            station.sleep(MINUTE).await;
            assert_eq!(station.provider.count(), 1);
            station.handle.reconnected(&"crm".parse().unwrap(), station.world.clock.now()).await;
            station.sleep(MINUTE).await;
            assert_eq!(station.provider.count(), 2, "it is asked at once, and refused again");
        });
        // Rights that are given on the other side are noticed within the hour.
        station.work(HOUR * 2 + MINUTE, Crash::Never);
        assert_eq!((station.started(), station.state().hold), (all(3), None));
    }
}

#[test]
fn unauthorized_without_a_connection_is_a_failure_like_others() {
    let station = Station::new("");
    station.provider.fail(|number, _| (number == 0).then(|| refused("unauthorized", false, None)));
    station.work(MINUTE * 3, Crash::Never);
    assert_eq!((station.provider.waits()[0], station.state().hold), (60_000, None));
}

#[test]
fn a_poisonous_plugin_is_quarantined_and_not_called_any_more() {
    let station = Station::new("");
    station.provider.fail(|_, _| Some(InvokeError::Trapped { message: "oh".to_owned() }));
    station.work(HOUR * 24, Crash::Never);
    assert_eq!(station.provider.count(), 5);
    assert!(matches!(station.state().hold, Some(Hold::Quarantined { .. })), "{:?}", station.state());
    assert_eq!(station.state().error.unwrap().code, "plugin-crashed", "why it is there stays to be seen");
}

#[test]
fn the_same_source_keeps_its_cursor_and_another_begins_anew() {
    let station = Station::new("");
    station.provider.put(0..3);
    station.work(MINUTE, Crash::Never);
    // Another version with the same settings, on another plugin's bytes.
    let second = PolledTrigger { digest: Digest::of(b"2"), every: MINUTE * 2, ..station.trigger() };
    station.source.set(vec![second.clone()]);
    station.work(MINUTE * 3, Crash::Never);
    assert_eq!(station.started(), all(3));
    let other = PolledTrigger { source: Digest::of(b"b"), ..second };
    station.source.set(vec![other]);
    station.work(MINUTE, Crash::Never);
    assert_eq!(station.started(), [0, 0, 1, 1, 2, 2], "another list has items of its own");
    let cursors: Vec<_> = station.provider.polls.lock().unwrap().iter().map(|(_, _, cursor)| cursor.clone()).collect();
    assert_eq!((&cursors[0], &cursors[1], cursors.last().unwrap()), (&None, &Some("3".to_owned()), &None));
}

#[test]
fn what_is_unpublished_is_not_asked_and_goes_on_when_it_comes_back() {
    let station = Station::new("");
    station.provider.put(0..3);
    let triggers = vec![station.trigger()];
    station.work_while(HOUR, Crash::Never, |station| async move {
        station.sleep(MINUTE / 2).await;
        station.source.set(vec![]);
        station.provider.put(3..5);
    });
    assert_eq!((station.provider.count(), station.state().is_ended), (1, true));
    station.source.set(triggers);
    station.work(MINUTE, Crash::Never);
    assert_eq!((station.started(), station.state().is_ended), (all(5), false));
}

#[test]
fn what_a_poll_brings_for_a_workflow_that_has_changed_meanwhile_is_not_stored() {
    let station = Station::new("");
    station.provider.put(0..3);
    *station.provider.delay.lock().unwrap() = Duration::from_secs(10);
    let other = PolledTrigger { source: Digest::of(b"b"), ..station.trigger() };
    station.work_while(Duration::from_secs(15), Crash::Never, |station| async move {
        station.sleep(Duration::from_secs(5)).await;
        station.source.set(vec![other]);
    });
    assert_eq!(
        (station.started(), station.source.became.lock().unwrap().clone()),
        (vec![], vec![PollOutcome::Superseded])
    );
    station.work(MINUTE, Crash::Never);
    assert_eq!((station.started(), station.state().source), (all(3), Digest::of(b"b")));
}

#[test]
fn a_store_that_is_busy_or_full_is_waited_for() {
    let station = Station::new("");
    station.provider.put(0..3);
    station.stumble(20);
    station.work(HOUR, Crash::Never);
    assert_eq!((station.started(), station.state().failures), (all(3), 0));
}

#[test]
fn somebody_who_asks_now_is_told_what_came_of_it() {
    let station = Station::new("");
    station.provider.put(0..2);
    station.work_while(MINUTE, Crash::Never, |station| async move {
        let (workspace, workflow) = (station.trigger().workspace, station.trigger().workflow);
        station.sleep(Duration::from_secs(10)).await;
        station.provider.put(2..5);
        let outcome = station.handle.poll_now(&workspace, &workflow).await.unwrap();
        let PollOutcome::Answered { started: 3, more: false, .. } = outcome else { panic!("{outcome:?}") };
        station.provider.fail(|_, _| Some(refused("http-status", true, None)));
        let outcome = station.handle.poll_now(&workspace, &workflow).await.unwrap();
        assert!(matches!(outcome, PollOutcome::Failed(_)), "{outcome:?}");
        assert!(station.handle.poll_now(&workspace, &"other".parse().unwrap()).await.is_err());
    });
    assert_eq!(station.provider.count(), 3);
}
