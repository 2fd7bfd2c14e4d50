//! Ten shapes of workflows, each stopped after every write: the run they come to is the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{StepRef, WorkspaceId};
use flowcell_core::invoke::ActionCall;
use flowcell_core::run::event::Outcome;
use flowcell_core::run::fold::Run;
use flowcell_engine::Shutdown;
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, CrashPoint, FaultyJournal};
use serde_json::{Value, json};

use crate::world::{THREE, World};

/// Steps, and further keys of the workflow.
const SHAPES: [(&str, &str, &str); 10] = [
    ("a line", THREE, ""),
    (
        "a decision",
        r#"
- { id: a, uses: test/tools/send@1 }
- id: size
  if: [ { when: "{{ steps.a.output.step == 'a' }}", steps: [ { id: b, uses: test/tools/send@1 }, { id: c, uses: test/tools/send@1 } ] } ]
  else: [ { id: d, uses: test/tools/send@1 } ]
- { id: e, set: { got: "{{ steps.c.output.step }}" } }
"#,
        "output: '{{ steps.e.output.got }}'\n",
    ),
    (
        "a loop",
        r#"
- id: each
  for_each: "{{ [1, 2, 3, 4, 5] }}"
  parallel: 2
  collect: "{{ steps.send.output.step }}"
  steps: [ { id: send, uses: test/tools/send@1, with: { takes: "{{ item * 700 }}" } }, { id: then, set: { n: "{{ item }}" } } ]
- { id: after, uses: test/tools/send@1, with: { all: "{{ steps.each.output }}" } }
"#,
        "",
    ),
    (
        "loops in loops",
        r#"
- id: outer
  for_each: "{{ [[1, 2], [3]] }}"
  as: row
  collect: "{{ steps.inner.output.results }}"
  steps:
    - { id: inner, for_each: "{{ row }}", collect: "{{ item }}", steps: [ { id: send, uses: test/tools/send@1 } ] }
"#,
        "",
    ),
    (
        "a join",
        r#"
- id: both
  parallel:
    x: [ { id: a, uses: test/tools/send@1, with: { takes: 300 } }, { id: b, uses: test/tools/send@1 } ]
    y: [ { id: c, uses: test/tools/send@1, with: { takes: 900 } } ]
    z: [ { id: p, wait: { for: 2s } }, { id: d, uses: test/tools/send@1 } ]
- { id: e, uses: test/tools/send@1, with: { x: "{{ steps.both.output }}" } }
"#,
        "",
    ),
    (
        "a race",
        r#"
- id: both
  parallel:
    slow: [ { id: a, uses: test/tools/send@1, with: { takes: 50000 }, timeout: 9m } ]
    quick: [ { id: b, uses: test/tools/send@1, with: { takes: 100 } } ]
  join: race
- { id: after, uses: test/tools/send@1, with: { won: "{{ steps.both.output.winner }}" } }
"#,
        "",
    ),
    (
        "failures that are handled",
        r#"
- { id: a, uses: test/tools/send@1, with: { fail: 1 }, on_error: continue }
- { id: b, uses: test/tools/send@1, with: { fail: 1 }, on_error: { substitute: { s: 1 } } }
- { id: c, uses: test/tools/send@1, with: { fail: 1 }, on_error: { steps: [ { id: tell, uses: test/tools/send@1 } ] } }
- { id: d, for_each: "{{ [0, 1] }}", on_item_error: continue, steps: [ { id: e, uses: test/tools/send@1, with: { fail: "{{ item }}" } } ] }
"#,
        "",
    ),
    (
        "waits",
        r#"
- { id: a, uses: test/tools/send@1 }
- { id: w, wait: { for: 3d } }
- { id: e, wait: { event: never, timeout: 1h }, on_timeout: [ { id: b, uses: test/tools/send@1 } ] }
- { id: c, uses: test/tools/send@1 }
"#,
        "",
    ),
    (
        "a call and an error workflow",
        r#"
- { id: sub, call: { workflow: helper, with: { n: 2 } } }
- { id: a, uses: test/tools/send@1, with: { fail: "{{ steps.sub.output.n }}" } }
"#,
        "settings: { on_failure: rescue }\n",
    ),
    (
        "a stop",
        r#"
- id: both
  parallel:
    x: [ { id: a, uses: test/tools/send@1, with: { takes: 60000 }, timeout: 9m } ]
    y: [ { id: b, uses: test/tools/send@1 }, { id: s, stop: { status: cancelled, message: "{{ steps.b.output.step }}" } } ]
"#,
        "",
    ),
];

const HELPER: &str = "id: helper\nname: H\ntrigger: { manual: true }\noutput: { n: '{{ trigger.n }}' }\nsteps: [ { id: h, uses: test/tools/send@1 } ]\n";
const RESCUE: &str = "id: rescue\nname: R\ntrigger: { error: true }\nsteps: [ { id: r, uses: test/tools/send@1 } ]\n";

fn answer(call: &ActionCall) -> Answer {
    let number = |key: &str| call.input.get(key).and_then(Value::as_u64).unwrap_or(0);
    let answer = if number("fail") > 0 {
        Answer::give_up()
    } else {
        Answer::ok(json!({ "step": call.step, "echo": call.input }))
    };
    answer.delayed(Duration::from_millis(number("takes")))
}

/// What a run came to, without what a crash may change: times, and how often something was tried.
fn essence(run: &Run) -> (Option<Outcome>, Value, BTreeMap<StepRef, Option<Value>>) {
    let over =
        run.steps.iter().filter(|(_, state)| !matches!(state.phase, flowcell_core::run::fold::Phase::Cancelled { .. }));
    (
        run.outcome.clone(),
        run.output.clone(),
        over.map(|(step, state)| (step.clone(), state.output().cloned())).collect(),
    )
}

/// Lives until the crash, keeps what was synced and `kept` of the rest, and lives on. The run, how many runs there are, and the writes
/// of the first life.
fn live(world: &World, crash: CrashPoint, loses: bool) -> (Run, usize, usize) {
    let first = World { store: MemoryStore::new(), ..world.clone() };
    world.clone().block_on(async move {
        first.publish().await;
        let journal = FaultyJournal::new(Arc::new(first.store.clone()), CrashPoint::Never);
        let id = first.accept(&*journal, 1).await;
        journal.crash_at(crash);
        let _ = first.work_for(journal.clone(), Duration::from_hours(24 * 9)).await;
        let second = World { store: MemoryStore::new(), ..first };
        second.publish().await;
        let kept = if loses { 0 } else { journal.unsynced() };
        journal.survive(kept, &second.store).await.unwrap();
        second.work_for(Arc::new(second.store.clone()), Duration::from_hours(24 * 9)).await.unwrap();
        (second.run(id).await, second.runs().await.len(), journal.writes())
    })
}

#[test]
fn a_crash_after_any_write_of_any_shape_ends_in_the_same_run() {
    for (name, steps, head) in SHAPES {
        let world = World::new(steps, answer).with(head).beside(HELPER).beside(RESCUE);
        let (whole, runs, writes) = live(&world, CrashPoint::Never, false);
        assert!(whole.outcome.is_some(), "{name}: {:?}", whole.steps);
        for write in 1..writes {
            for (crash, loses) in
                [(CrashPoint::Before(write), true), (CrashPoint::After(write), true), (CrashPoint::After(write), false)]
            {
                let (run, runs_then, _) = live(&world, crash, loses);
                assert_eq!(essence(&run), essence(&whole), "{name}: {crash:?}, losing {loses}");
                assert_eq!(runs_then, runs, "{name}: {crash:?}");
            }
        }
        let keys: BTreeMap<String, String> =
            world.invoker.calls().into_iter().map(|call| (call.key, format!("{} {}", call.run, call.step))).collect();
        let places: std::collections::BTreeSet<_> = keys.values().collect();
        assert_eq!(places.len(), keys.len(), "{name}: a place has two keys");
    }
}

#[test]
fn a_crash_while_events_come_loses_none_that_was_taken() {
    let steps = r#"
- id: each
  for_each: "{{ range(6) }}"
  parallel: 6
  collect: "{{ steps.one.output.event.n }}"
  steps: [ { id: one, wait: { event: go, match: "{{ event.n == item }}" } }, { id: send, uses: test/tools/send@1 } ]
"#;
    for write in 1..24 {
        let world = World::new(steps, answer);
        world.clone().block_on(async move {
            world.publish().await;
            let journal = FaultyJournal::new(Arc::new(world.store.clone()), CrashPoint::Never);
            let id = world.accept(&*journal, 1).await;
            journal.crash_at(CrashPoint::After(write));
            let mut taken = bring_all(&world, journal.clone()).await;
            let second = World { store: MemoryStore::new(), ..world.clone() };
            second.publish().await;
            journal.survive(0, &second.store).await.unwrap();
            let survived = second.run(id).await;
            for n in &taken {
                let step: StepRef = format!("one[{n}]").parse().unwrap();
                let state = survived.steps.get(&step).unwrap();
                assert!(state.control.as_ref().unwrap().arrival.is_some(), "write {write}: event {n} is lost");
            }
            taken.extend(bring_all(&second, Arc::new(second.store.clone())).await);
            assert_eq!(second.run(id).await.outcome, Some(Outcome::Succeeded), "write {write}: {taken:?}");
        });
    }
}

/// Brings six events while an engine works; those that were taken.
async fn bring_all(world: &World, journal: Arc<dyn flowcell_core::ports::Journal>) -> Vec<usize> {
    let engine = world.engine(journal, Arc::new(world.store.clone()));
    let control = engine.control();
    let shutdown = Shutdown::new();
    let bring = async {
        let mut taken = Vec::new();
        for n in 0..6 {
            world.sleep(Duration::from_millis(30)).await;
            let workspace = WorkspaceId::default_workspace();
            if let Ok(places) = control.emit_event(&workspace, "go", json!({ "n": n })).await
                && !places.is_empty()
            {
                taken.push(n);
            }
        }
        world.sleep(Duration::from_mins(1)).await;
        shutdown.request();
        taken
    };
    let (_, taken) = tokio::join!(engine.run(shutdown.clone()), bring);
    taken
}
