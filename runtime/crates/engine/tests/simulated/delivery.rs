//! Deliveries to receivers that fail, for an hour or for good: schedules, breakers, 410, and what of it outlives a restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowcell_core::destination::{Destination, DestinationId};
use flowcell_core::id::{RunId, WorkspaceId};
use flowcell_core::ports::{Clock, Destinations, Journal};
use flowcell_core::run::event::{Outcome, RunEvent};
use flowcell_core::run::fold::{Phase, Run, RunStatus};
use flowcell_core::run::rerun::{RerunFrom, RerunRequest};
use flowcell_core::time::Timestamp;
use flowcell_engine::{BreakerState, Shutdown};
use flowcell_testkit::{Answer, SeededEntropy};
use serde_json::json;

use crate::world::{World, offsets, output};

const URL: &str = "https://receiver.test/hook";
const WEBHOOK: &str =
    "- { id: a, uses: test/tools/send@1, with: { url: 'https://receiver.test/hook' }, retry: { schedule: webhook } }";

fn workspace() -> WorkspaceId {
    WorkspaceId::default_workspace()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// When the simulation begins.
fn start() -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000)
}

/// A world whose receiver answers with what `status` makes of the time since the start, and that draws by chance.
fn receiver(steps: &str, status: impl Fn(&str, Duration) -> u16 + Send + Sync + 'static) -> World {
    let clock: Arc<Mutex<Option<Arc<flowcell_testkit::SimClock>>>> = Arc::default();
    let now = Arc::clone(&clock);
    let mut world = World::new(steps, move |call| {
        let url = call.input["url"].as_str().unwrap().to_owned();
        let at = now.lock().unwrap().as_ref().unwrap().now().since(start());
        Answer::answered(&url, status(&url, at)).after(Duration::from_millis(200))
    });
    *clock.lock().unwrap() = Some(Arc::clone(&world.clock));
    world.entropy = Arc::new(SeededEntropy::new(7));
    world
}

impl World {
    /// Accepts `count` events, one every `every`, and works for three days; the runs.
    fn deliver(&self, count: u32, every: Duration) -> Vec<Run> {
        let world = self.clone();
        self.block_on(async move {
            world.publish().await;
            let (engine, _) = world.engine_here();
            let shutdown = Shutdown::new();
            let mut ids = Vec::new();
            let accepted = async {
                for number in 1..=count {
                    ids.push(world.accept(&world.store, number).await);
                    world.sleep(every).await;
                }
                world.sleep(Duration::from_hours(72)).await;
                shutdown.request();
            };
            let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), accepted);
            ended.unwrap();
            let mut runs = Vec::new();
            for id in ids {
                runs.push(world.run(id).await);
            }
            runs
        })
    }
}

fn deferrals(world: &World, run: RunId) -> usize {
    let world = world.clone();
    world.clone().block_on(async move {
        let entries = world.store.load(run).await.unwrap();
        entries.iter().filter(|entry| matches!(entry.event, RunEvent::StepDeferred { .. })).count()
    })
}

#[test]
fn a_delivery_follows_the_webhook_schedule_to_its_end() {
    let mut world = World::new(WEBHOOK, |_| Answer::try_again(None));
    world.entropy = Arc::new(SeededEntropy::always(0));
    let run = world.run_one();
    assert_eq!(run.status(), RunStatus::Failed);
    let seconds: Vec<u64> = offsets(&world.invoker).into_iter().map(|ms| ms / 1_000).collect();
    assert_eq!(seconds, [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 99_305]);
    assert_eq!(world.invoker.effects().len(), 1, "one key for all attempts");
}

#[test]
fn a_receiver_that_fails_for_an_hour_gets_every_delivery_once_by_key() {
    let world = receiver(WEBHOOK, |_, at| if at < minutes(60) { 503 } else { 200 });
    let runs = world.deliver(300, Duration::from_secs(10));
    assert!(runs.iter().all(|run| run.status() == RunStatus::Succeeded), "every run delivers");
    let effects = world.invoker.effects();
    assert_eq!(effects.len(), 300, "each under a key of its own");
    let calls = world.invoker.calls();
    let late = |call: &&flowcell_testkit::Call| call.at.since(start()) >= minutes(60);
    let arrived = calls.iter().filter(late).fold(BTreeMap::<_, u32>::new(), |mut seen, call| {
        *seen.entry(call.key.clone()).or_default() += 1;
        seen
    });
    assert!(arrived.len() == 300 && arrived.values().all(|times| *times == 1), "each arrives exactly once");
    let tried = calls.len() - 300;
    assert!(tried < 60, "while it failed, the breaker let only probes through: {tried}");
    let last = runs.iter().filter_map(|run| run.finished_at).max().unwrap().since(start());
    assert!(last < minutes(80), "and nobody waits long after it is back: {last:?}");
    let used = runs.iter().map(|run| run.steps[0].attempts.len()).max().unwrap();
    assert!(used <= 8, "{used}");
    // They come back bit by bit: never more than a fifth of them in any second.
    let mut by_second = BTreeMap::<u64, usize>::new();
    for call in calls.iter().filter(late) {
        *by_second.entry(call.at.as_millis() / 1_000).or_default() += 1;
    }
    assert!(by_second.values().all(|calls| *calls <= 60), "{by_second:?}");
}

#[test]
fn waiting_uses_no_attempt_and_says_what_for() {
    let world = receiver(WEBHOOK, |_, at| if at < minutes(30) { 503 } else { 200 });
    let seen = world.work_while(|world, control| async move {
        for number in 1..=20 {
            world.accept(&world.store, number).await;
        }
        world.sleep(minutes(1)).await;
        let late = world.accept(&world.store, 21).await;
        world.sleep(Duration::from_secs(1)).await;
        let run = world.run(late).await;
        let view = control.destinations(&workspace()).await.unwrap();
        (run, view)
    });
    let (run, view) = seen;
    let state = &run.steps[0];
    assert_eq!((run.status(), state.attempts.len()), (RunStatus::Waiting, 0));
    let Phase::Deferred { until, reason, .. } = &state.phase else { panic!("{:?}", state.phase) };
    let expected =
        "https://receiver.test has been failing since 2026-01-01T00:00:00.200Z (it answered 503); next try at ";
    assert!(reason.starts_with(expected) && reason.ends_with(&until.to_string()), "{reason}");
    assert_eq!(run.due_at(), Some(*until));
    let [view] = view.as_slice() else { panic!("{view:?}") };
    assert_eq!(view.record.url, URL);
    assert!(matches!(view.breaker, BreakerState::Open { .. }) && view.record.health.consecutive_failures >= 10);
}

#[test]
fn a_sick_receiver_does_not_hurt_the_others() {
    let steps = "- { id: sick, uses: test/tools/send@1, with: { url: 'https://sick.test/' }, retry: { schedule: webhook }, on_error: continue }";
    let world = receiver(steps, |url, _| if url.contains("sick") { 500 } else { 200 });
    let well = "id: well\nname: Well\ntrigger: { uses: test/tools/inbound@1 }\nsteps:\n- { id: well, uses: test/tools/send@1, with: { url: 'https://well.test/' } }\n";
    let world = world.beside(well);
    let other = world.others[0].clone();
    let took = world.work_while(|world, _| async move {
        for number in 1..=500 {
            world.accept(&world.store, number).await;
        }
        world.sleep(minutes(10)).await;
        let mut took = Vec::new();
        for number in 501..=520 {
            let at = world.clock.now();
            let delivery = flowcell_testkit::sample::delivery(&other, number, at, json!({}));
            let id = world.store.accept(delivery).await.unwrap().runs[0];
            world.sleep(Duration::from_secs(2)).await;
            let run = world.run(id).await;
            assert_eq!(run.status(), RunStatus::Succeeded);
            took.push(run.finished_at.unwrap().since(at));
        }
        took
    });
    assert!(took.iter().all(|took| *took <= Duration::from_secs(1)), "{took:?}");
}

#[test]
fn a_flapping_receiver_gets_everything_once_and_is_not_hammered() {
    // Twenty seconds well, forty seconds not.
    let world = receiver(WEBHOOK, |_, at| if at.as_secs() % 60 < 20 { 200 } else { 502 });
    let runs = world.deliver(200, Duration::from_secs(9));
    let ended: Vec<_> = runs.iter().map(|run| (run.status(), run.steps[0].attempts.len())).collect();
    assert!(runs.iter().all(|run| run.status() == RunStatus::Succeeded), "{ended:?}");
    let calls = world.invoker.calls();
    assert_eq!(world.invoker.effects().len(), 200);
    let failed = calls.len() - 200;
    // Without a breaker two of three deliveries would fail at least once at their first try, and again later.
    assert!(failed < 150, "{failed} attempts failed");
    assert!(runs.iter().all(|run| run.steps[0].attempts.len() <= 8));
}

#[test]
fn a_delivery_to_a_receiver_that_never_comes_back_ends() {
    let world = receiver(WEBHOOK, |_, _| 503);
    let working = world.clone();
    let runs = world.block_on(async move {
        let world = working;
        world.publish().await;
        let mut ids = Vec::new();
        for number in 1..=12 {
            ids.push(world.accept(&world.store, number).await);
        }
        world.work_for(Arc::new(world.store.clone()), Duration::from_hours(24 * 14)).await.unwrap();
        let mut runs = Vec::new();
        for id in ids {
            runs.push(world.run(id).await);
        }
        runs
    });
    for run in &runs {
        assert_eq!(
            (run.status(), run.steps[0].attempts.len()),
            (RunStatus::Failed, 8),
            "a dead letter after its last attempt"
        );
    }
    assert!(runs.iter().any(|run| deferrals(&world, run.id) > 0));
}

#[test]
fn gone_disables_the_destination_until_somebody_enables_it_again() {
    let world = receiver(WEBHOOK, |_, at| if at < minutes(5) { 410 } else { 200 });
    world.work_while(|world, control| async move {
        let first = world.accept(&world.store, 1).await;
        world.sleep(minutes(1)).await;
        let run = world.run(first).await;
        assert_eq!((run.status(), run.steps[0].attempts.len()), (RunStatus::Failed, 1));
        let log = &run.steps[0].attempts[0].call.as_ref().unwrap().log;
        assert!(log.iter().any(|line| line.message.contains("flowcell destination enable")), "{log:?}");
        // It is on disk at once, not with the next flush.
        let stored = world.store.list_destinations().await;
        assert_eq!(stored[0].disabled.as_ref().unwrap().run, Some(first));

        let second = world.accept(&world.store, 2).await;
        world.sleep(minutes(10)).await;
        let run = world.run(second).await;
        let Some(Outcome::Failed { error, .. }) = &run.outcome else { panic!("{:?}", run.outcome) };
        assert_eq!(error.code, "destination-disabled");
        assert!(error.message.contains(&format!("`flowcell destination enable {URL}`")), "{}", error.message);
        assert_eq!(world.invoker.calls().len(), 1, "nothing more was sent");

        let id = DestinationId::named(URL).unwrap();
        let view = control.enable_destination(&workspace(), id).await.unwrap().unwrap();
        assert_eq!(view.record.disabled, None);
        assert_eq!(world.store.list_destinations().await[0].disabled, None);
        let (again, _) = control.rerun(second, &RerunRequest::default()).await.unwrap();
        world.sleep(minutes(1)).await;
        assert_eq!(world.run(again).await.status(), RunStatus::Succeeded);
    });
}

#[test]
fn gone_of_one_resource_disables_nothing_where_data_is_in_the_url() {
    let steps =
        "- { id: a, uses: test/tools/send@1, with: { url: 'https://receiver.test/users/{{ trigger.number }}' } }";
    let world = receiver(steps, |_, _| 410);
    let runs = world.deliver(3, Duration::from_secs(1));
    assert!(runs.iter().all(|run| run.status() == RunStatus::Failed));
    assert_eq!(world.invoker.calls().len(), 3);
}

#[test]
fn what_is_known_outlives_a_restart_and_a_failing_receiver_is_asked_by_one_first() {
    let world = receiver(WEBHOOK, |_, at| if at < minutes(10) { 503 } else { 200 });
    let working = world.clone();
    world.block_on(async move {
        let world = working;
        world.publish().await;
        for number in 1..=15 {
            world.accept(&world.store, number).await;
        }
        let (engine, control) = world.engine_here();
        let shutdown = Shutdown::new();
        let stop = async {
            world.sleep(minutes(1)).await;
            control.flush_destinations().await.unwrap();
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), stop);
        ended.unwrap();
        let made = world.invoker.calls().len();
        let stored = world.store.list_destinations().await;
        assert!(stored[0].health.consecutive_failures >= 10, "{stored:?}");

        let (engine, control) = world.engine_here();
        assert!(matches!(control.destinations(&workspace()).await.unwrap()[0].breaker, BreakerState::Open { .. }));
        let shutdown = Shutdown::new();
        let stop = async {
            for number in 16..=40 {
                world.accept(&world.store, number).await;
            }
            world.sleep(Duration::from_secs(10)).await;
            assert_eq!(world.invoker.calls().len(), made + 1, "one probe, and everybody else waits");
            world.sleep(Duration::from_hours(2)).await;
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), stop);
        ended.unwrap();
        assert_eq!(world.invoker.effects().len(), 40);
        assert!(world.runs().await.iter().all(|run| run.status == RunStatus::Succeeded));
    });
}

#[test]
fn a_cancelled_run_stops_waiting_and_a_wait_inside_a_loop_goes_on_beside_others() {
    let steps = r#"
- id: each
  for_each: [1, 2, 3]
  parallel: 3
  steps:
    - { id: sick, uses: test/tools/send@1, with: { url: 'https://receiver.test/hook' }, retry: { schedule: webhook } }
- { id: after, uses: test/tools/send@1, with: { url: 'https://well.test/' } }
"#;
    let world = receiver(steps, |url, at| if url.contains("well") || at > minutes(20) { 200 } else { 503 });
    world.work_while(|world, control| async move {
        let mut ids = Vec::new();
        for number in 1..=10 {
            ids.push(world.accept(&world.store, number).await);
        }
        world.sleep(minutes(10)).await;
        control.cancel(ids[0], "no longer wanted").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.run(ids[0]).await.status(), RunStatus::Cancelled);
        world.sleep(Duration::from_hours(8)).await;
        for id in &ids[1..] {
            let run = world.run(*id).await;
            assert_eq!(run.status(), RunStatus::Succeeded, "{run:?}");
            assert!(output(&run, "after").is_some());
        }
    });
}

#[test]
fn only_what_was_not_delivered_is_replayed() {
    let steps = r#"
- { id: before, uses: test/tools/send@1, with: { url: 'https://well.test/1' } }
- { id: missed, uses: test/tools/send@1, with: { url: 'https://receiver.test/hook' }, on_error: continue }
- { id: later, uses: test/tools/send@1, with: { url: 'https://well.test/2' } }
"#;
    let world = receiver(steps, |url, at| if url.contains("well") || at > minutes(20) { 200 } else { 404 });
    world.work_while(|world, control| async move {
        use flowcell_core::run::dead_letter::Wanted;
        let id = world.accept(&world.store, 1).await;
        world.sleep(minutes(30)).await;
        assert_eq!(world.run(id).await.status(), RunStatus::Succeeded, "its failure was handled");
        assert_eq!(control.dead_letter(id).await.unwrap(), None);
        let missing = control.undelivered(id, &Wanted::default()).await.unwrap();
        assert_eq!(missing, ["missed".parse().unwrap()]);
        let elsewhere = Destination::from_authored("https://well.test/1").unwrap().id();
        let wanted = Wanted { destination: Some(elsewhere) };
        assert!(control.undelivered(id, &wanted).await.unwrap().is_empty());
        let request = RerunRequest { from: RerunFrom::Undelivered, ..RerunRequest::default() };
        let (again, plan) = control.rerun(id, &request).await.unwrap();
        assert!(plan.warnings.is_empty(), "{plan:?}");
        world.sleep(minutes(1)).await;
        let run = world.run(again).await;
        assert_eq!(run.status(), RunStatus::Succeeded);
        assert!(control.undelivered(again, &Wanted::default()).await.unwrap().is_empty());
        let steps: Vec<_> = world.invoker.calls().into_iter().map(|call| call.step).collect();
        assert_eq!(steps, ["before", "missed", "later", "missed"]);
        assert_eq!(world.invoker.effects().len(), 3, "under its earlier key");
    });
}

#[test]
fn what_a_failed_run_did_not_come_to_is_missing_and_what_it_decided_against_is_not() {
    let steps = r#"
- id: choose
  if: [{ when: 'trigger.number == 1', steps: [{ id: broken, set: { x: '{{ trigger.absent }}' } }, { id: chosen, uses: test/tools/send@1, with: { url: 'https://well.test/1' } }] }]
  else: [{ id: otherwise, uses: test/tools/send@1, with: { url: 'https://well.test/2' } }]
- { id: last, uses: test/tools/send@1, with: { url: 'https://well.test/3' }, on_error: { steps: [{ id: rescue, uses: test/tools/send@1, with: { url: 'https://well.test/4' } }] } }
- { id: elsewhere, uses: test/tools/send@1 }
"#;
    let world = receiver(steps, |_, _| 200);
    let working = world.clone();
    world.block_on(async move {
        use flowcell_core::run::dead_letter::Wanted;
        let world = working;
        world.publish().await;
        let id = world.accept(&world.store, 1).await;
        world.work().await;
        assert_eq!(world.run(id).await.status(), RunStatus::Failed);
        let control = world.engine_here().1;
        assert_eq!(control.dead_letter(id).await.unwrap(), None, "no action has failed");
        let missing: Vec<String> =
            control.undelivered(id, &Wanted::default()).await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(missing, ["chosen", "last"]);
    });
}

/// `list` is a name of several ports.
trait ListDestinations {
    async fn list_destinations(&self) -> Vec<flowcell_core::destination::DestinationRecord>;
}

impl ListDestinations for flowcell_store::memory::MemoryStore {
    async fn list_destinations(&self) -> Vec<flowcell_core::destination::DestinationRecord> {
        Destinations::list(self).await.unwrap()
    }
}
