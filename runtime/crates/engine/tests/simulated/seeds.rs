//! Thousands of lives of an installation, each from a seed: random trees of steps, answers, crashes, lost tails, clock jumps, upgrades,
//! duplicates, and events from outside in any order.
//!
//! `FLOWCELL_SEEDS=10000 cargo test -p flowcell-engine seeds` lives more of them. A failure names its seed; `FLOWCELL_SEED=…` lives that one alone.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::{RunId, StepRef, WorkspaceId};
use flowcell_core::ports::{Clock, Delivery, Journal};
use flowcell_core::run::event::{Detail, Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_core::time::Timestamp;
use flowcell_engine::{RunControl, Shutdown};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, Call, CrashPoint, FaultyJournal, SeededEntropy, sample};
use serde_json::{Value, json};

use crate::world::World;

/// What fits in some ten seconds.
const SEEDS: u64 = 200;

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "how long a test runs is nothing of the configuration")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How many attempts the steps of these workflows have.
const ATTEMPTS: usize = 4;

#[test]
fn whatever_happens_every_run_ends_or_says_why_not() {
    let only = from_environment("FLOWCELL_SEED");
    let seeds = only.map_or_else(|| 0..from_environment("FLOWCELL_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let many = seeds.end - seeds.start >= SEEDS;
    let mut seen = Seen::default();
    for seed in seeds {
        let life = catch_unwind(AssertUnwindSafe(|| live(seed)));
        seen.add(&life.unwrap_or_else(|panic| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("seed {seed}: {}", text.unwrap_or("panicked"))
        }));
    }
    if many {
        let Seen { succeeded, failed, cancelled, parked, crashes, repeated, arrived, loops } = seen;
        assert!(
            [succeeded, failed, cancelled, parked, crashes, repeated, arrived, loops].iter().all(|count| *count > 10),
            "the lives are too quiet: {seen:?}"
        );
    }
}

#[test]
fn a_seed_repeats_itself() {
    for seed in [3, 77, 500] {
        assert_eq!(live(seed).calls, live(seed).calls, "seed {seed}");
    }
}

/// What the lives came to, so that a simulation in which nothing happens is noticed.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    succeeded: usize,
    failed: usize,
    cancelled: usize,
    parked: usize,
    crashes: usize,
    repeated: usize,
    arrived: usize,
    loops: usize,
}

impl Seen {
    fn add(&mut self, life: &Life) {
        self.crashes += life.crashes;
        self.arrived += life.taken.len();
        for (run, _) in life.runs.values() {
            match &run.outcome {
                Some(Outcome::Succeeded) => self.succeeded += 1,
                Some(Outcome::Failed { .. }) => self.failed += 1,
                Some(Outcome::Cancelled { .. }) => self.cancelled += 1,
                None => self.parked += 1,
            }
            self.repeated += run.steps.values().filter(|step| step.attempts.len() > 1).count();
            self.loops += run.steps.keys().filter(|place| !place.at().is_empty()).count();
        }
    }
}

struct Life {
    runs: BTreeMap<RunId, (Run, Vec<Recorded>)>,
    calls: Vec<Call>,
    crashes: usize,
    /// What was brought from outside, and taken.
    taken: Vec<(RunId, StepRef)>,
}

/// Lives the life of `seed` to its end and checks it.
fn live(seed: u64) -> Life {
    let dice = Arc::new(SeededEntropy::new(seed));
    let tree = Tree { dice: &dice, number: Cell::new(0) }.block(2);
    let steps: String = tree.iter().map(|step| format!("- {step}\n")).collect();
    let answers = Arc::clone(&dice);
    let head = [
        "",
        "settings: { timeout: 20m }\n",
        "settings: { on_failure: rescue }\n",
        "settings: { concurrency: { limit: 1 } }\n",
    ];
    let mut world =
        World::new(&steps, move |_| answer(&answers)).with(head[dice.below(4)]).beside(HELPER).beside(RESCUE);
    world.entropy = Arc::<SeededEntropy>::clone(&dice);
    world.config.concurrency = 1 + dice.below(3);
    world.config.attempts_per_run = 1 + dice.below(4);
    world.config.quarantine_after = u32::MAX;
    let life = world.block_on(lives(world.clone(), dice));
    check(&world, &tree, &life);
    life
}

const HELPER: &str = "id: helper\nname: H\ntrigger: { manual: true }\noutput: '{{ trigger }}'\nsteps: [ { id: h, uses: test/tools/charge@1 }, { id: w, wait: { for: 10s } } ]\n";
const RESCUE: &str = "id: rescue\nname: R\ntrigger: { error: true }\nsteps: [ { id: r, uses: test/tools/send@1 } ]\n";

/// Makes random steps.
struct Tree<'d> {
    dice: &'d SeededEntropy,
    number: Cell<u32>,
}

impl Tree<'_> {
    fn block(&self, depth: usize) -> Vec<Value> {
        (0..=self.dice.below(3)).map(|_| self.step(depth)).collect()
    }

    fn handler(&self) -> Vec<Value> {
        let number = self.number.get();
        self.number.set(number + 1);
        vec![json!({ "id": format!("s{number}"), "uses": "test/tools/send@1", "on_uncertain": "auto" })]
    }

    fn step(&self, depth: usize) -> Value {
        let number = self.number.get();
        self.number.set(number + 1);
        let id = format!("s{number}");
        let dice = self.dice;
        let mut step = match if depth == 0 { dice.below(9) } else { dice.below(16) } {
            0..=4 => {
                let action = ["send", "send", "charge"][dice.below(3)];
                let on_uncertain = ["auto", "auto", "repeat", "park"][dice.below(4)];
                json!({
                    "uses": format!("test/tools/{action}@1"), "on_uncertain": on_uncertain, "with": { "body": "{{ trigger.body }}" },
                    "retry": { "attempts": ATTEMPTS, "initial": "1s", "max": "1m" },
                })
            }
            5 => json!({ "wait": { "for": format!("{}s", dice.below(90)) } }),
            6 => {
                json!({ "wait": { "event": "go", "match": "{{ event.n > 0 }}", "timeout": "10m" }, "on_timeout": self.handler() })
            }
            7 => json!({ "wait": { "resume": true, "timeout": "5m" } }),
            8 => json!({ "set": { "n": "{{ trigger.body }}" } }),
            9 => {
                json!({ "if": [{ "when": "{{ trigger.body > 1 }}", "steps": self.block(depth - 1) }], "else": self.block(depth - 1) })
            }
            10..=11 => json!({
                "for_each": "{{ range(3) }}", "parallel": 1 + dice.below(3), "on_item_error": (["fail", "continue"][dice.below(2)]),
                "collect": "{{ item }}", "steps": self.block(depth - 1),
            }),
            12..=13 => json!({
                "parallel": { "x": self.block(depth - 1), "y": self.block(depth - 1) }, "join": (["all", "race", "settled"][dice.below(3)]),
            }),
            14 => json!({ "call": { "workflow": "helper", "with": { "n": 1 } }, "timeout": "1h" }),
            _ if dice.below(3) == 0 => {
                json!({ "stop": { "status": (["succeeded", "failed", "cancelled"][dice.below(3)]) } })
            }
            _ => json!({ "set": {} }),
        };
        step["id"] = json!(id);
        match dice.below(8) {
            0 if step.get("stop").is_none() => step["on_error"] = json!("continue"),
            1 if step.get("stop").is_none() => step["on_error"] = json!({ "steps": self.handler() }),
            _ => {}
        }
        step
    }
}

fn answer(dice: &SeededEntropy) -> Answer {
    let answer = match dice.below(20) {
        0 => Answer::give_up(),
        1..=4 => Answer::try_again(None),
        5 => Answer::try_again(Some(90_000)),
        6 => Answer::never(),
        7 => Answer::lost("POST", true),
        _ => Answer::ok(json!({ "token": dice.below(1_000_000) })),
    };
    match dice.below(3) {
        0 => answer,
        _ => answer.delayed(Duration::from_millis(dice.below(5_000) as u64)),
    }
}

/// Up to four processes one after another; the last one is left in peace.
async fn lives(mut world: World, dice: Arc<SeededEntropy>) -> Life {
    let mut journal = FaultyJournal::new(Arc::new(world.store.clone()), CrashPoint::Never);
    let (mut accepted, mut taken) = (Vec::new(), Vec::new());
    let mut durable: BTreeMap<RunId, Vec<Recorded>> = BTreeMap::new();
    let crashes = dice.below(4);
    world.publish().await;
    for process in 0..=crashes {
        if process < crashes {
            let writes = journal.writes() + 1 + dice.below(16);
            journal.crash_at(if dice.below(2) == 0 { CrashPoint::Before(writes) } else { CrashPoint::After(writes) });
        }
        work(&world, &journal, &dice, (process as u32 * 100, &mut accepted, &mut taken)).await;
        if dice.below(4) == 0 {
            // An upgrade that no run of version 1 may see.
            world.catalog.install(sample::tools(&format!("1.{}.0", process + 1)));
        }
        let kept = dice.below(journal.unsynced() + 1);
        world.store = MemoryStore::new();
        world.publish().await;
        journal = journal.restart(kept, Arc::new(world.store.clone())).await.unwrap();
        for run in &accepted {
            let entries = world.store.load(*run).await.expect("an accepted event survives");
            if let Some(before) = durable.insert(*run, entries.clone()) {
                assert!(entries.starts_with(&before), "{run}: what was durable has changed");
            }
        }
    }
    // Longer than the clock was ever set back.
    world.work_for(Arc::new(world.store.clone()), Duration::from_hours(24 * 800)).await.unwrap();
    let mut runs = BTreeMap::new();
    for id in world.runs().await.into_iter().map(|run| run.id) {
        let entries = world.store.load(id).await.unwrap();
        assert!(
            durable.get(&id).is_none_or(|durable| entries.starts_with(durable)),
            "{id}: what was durable has changed"
        );
        runs.insert(id, (world.run(id).await, entries));
    }
    assert!(accepted.iter().all(|run| runs.contains_key(run)), "a run is lost");
    Life { runs, calls: world.invoker.calls(), crashes, taken }
}

type Told<'t> = (u32, &'t mut Vec<RunId>, &'t mut Vec<(RunId, StepRef)>);

/// One process: it accepts some events, each twice, others come for its runs, and its clock may jump. Ends with the crash or after a while.
async fn work(
    world: &World,
    journal: &Arc<FaultyJournal>,
    dice: &SeededEntropy,
    (first_number, accepted, taken): Told<'_>,
) {
    let engine = world.engine(journal.clone(), Arc::new(world.store.clone()));
    let control = engine.control();
    let ingress = async {
        for number in 0..=dice.below(3) as u32 {
            let number = first_number + number;
            let deliver = |number: u32, key: u32| {
                let trigger = json!({ "body": key % 4 });
                let delivery = sample::delivery(&world.version, number, world.clock.now(), trigger);
                journal.accept(Delivery { dedupe_key: Some(key.to_string()), ..delivery })
            };
            let (once, twice) = tokio::join!(deliver(number, number), deliver(number + 50, number));
            match (once, twice) {
                (Ok(once), Ok(twice)) => {
                    assert_eq!((&once.runs, twice.duplicate), (&twice.runs, true), "a delivery started two runs");
                    accepted.extend(once.runs);
                }
                (Ok(once), Err(_)) => {
                    accepted.extend(once.runs);
                    break;
                }
                _ => break,
            }
            world.sleep(Duration::from_millis(dice.below(3_000) as u64)).await;
        }
    };
    let jumps = async {
        world.sleep(Duration::from_millis(dice.below(20_000) as u64)).await;
        let now = world.clock.now().as_millis();
        match dice.below(12) {
            0..=2 => world.clock.set(Timestamp::from_millis(now + 3_600_000)),
            3..=5 => world.clock.set(Timestamp::from_millis(now - 3_600_000)),
            6 => world.clock.set(Timestamp::from_millis(now - 31_536_000_000)),
            _ => {}
        }
    };
    let outside = async {
        for _ in 0..dice.below(6) {
            world.sleep(Duration::from_millis(dice.below(60_000) as u64)).await;
            taken.extend(bring(world, &control, dice).await);
        }
    };
    let shutdown = Shutdown::new();
    let end = async {
        world.sleep(Duration::from_secs(1 + dice.below(400) as u64)).await;
        shutdown.request();
    };
    let ((), (), (), (), _) = tokio::join!(ingress, jumps, outside, end, engine.run(shutdown.clone()));
}

/// Something comes from outside, perhaps twice at once; returns what was taken.
async fn bring(world: &World, control: &RunControl, dice: &SeededEntropy) -> Vec<(RunId, StepRef)> {
    let workspace = WorkspaceId::default_workspace();
    let emit = |n: usize| control.emit_event(&workspace, "go", json!({ "n": n }));
    match dice.below(8) {
        0..=3 => {
            let n = dice.below(3);
            let (once, twice) = tokio::join!(emit(n), emit(n));
            let (once, twice) = (once.unwrap_or_default(), twice.unwrap_or_default());
            assert!(once.iter().all(|place| !twice.contains(place)), "one wait took an event twice");
            assert!(n > 0 || once.is_empty(), "a wait took what does not match");
            once.into_iter().chain(twice).collect()
        }
        4..=6 => {
            let mut taken = Vec::new();
            for run in world.runs().await.into_iter().filter(|run| !run.status.is_final()) {
                let Ok(entries) = world.store.load(run.id).await else { continue };
                let run = Run::fold(run.id, &entries).unwrap();
                for (step, _) in run.open() {
                    let token = control.resume_token(run.id, step);
                    if control.resume(run.id, step, &token, json!(1)).await.is_ok() {
                        taken.push((run.id, step.clone()));
                        let again = control.resume(run.id, step, &token, json!(2)).await;
                        assert!(again.is_err(), "a link opened twice");
                    }
                }
            }
            taken
        }
        _ => {
            let runs = world.runs().await;
            if let Some(run) = runs.get(dice.below(runs.len().max(1))) {
                let _ = control.cancel(run.id, "somebody wanted it").await;
            }
            Vec::new()
        }
    }
}

fn check(world: &World, tree: &[Value], life: &Life) {
    let mut keys: BTreeMap<(RunId, &str), BTreeSet<&str>> = BTreeMap::new();
    for call in &life.calls {
        keys.entry((call.run, &call.step)).or_default().insert(&call.key);
        assert_eq!(call.digest, sample::tools("1.0.0").digest, "{call:?} left its pin");
    }
    assert!(keys.values().all(|keys| keys.len() == 1), "a key changed with the attempt: {keys:?}");
    assert_eq!(world.invoker.effects().len(), keys.len(), "two steps share a key");

    for (id, (run, entries)) in &life.runs {
        assert!(
            run.outcome.is_some() || waits_for_somebody(run, life),
            "{id} neither ended nor waits: {:?}",
            run.steps
        );
        assert!(
            run.outcome.is_none() || run.open().next().is_none(),
            "{id} ended with steps in progress: {:?}",
            run.steps
        );
        assert!(run.steps.values().all(|step| step.failures() as usize <= ATTEMPTS), "{id} tried too often");
        for cut in 1..=entries.len() {
            assert!(Run::fold(*id, &entries[..cut]).is_ok(), "{id}: the first {cut} entries do not fold");
        }
        for guarded in guarded(tree) {
            check_uncertain(life, *id, guarded, entries);
        }
    }
    for (run, step) in &life.taken {
        let (_, entries) = &life.runs[run];
        let came = entries.iter().filter(|entry| {
            matches!(&entry.event, RunEvent::EventArrived { step: at, .. } | RunEvent::Resumed { step: at, .. } if at == step)
        });
        assert_eq!(came.count(), 1, "{run} {step}: what was taken is there once");
    }
    let failed = life.runs.values().filter(|(run, _)| {
        run.workflow.as_str() == "sample"
            && matches!(run.outcome, Some(Outcome::Failed { .. }))
            && world.version.source.contains("rescue")
    });
    let rescues = life.runs.values().filter(|(run, _)| run.workflow.as_str() == "rescue").count();
    assert!(rescues >= failed.count(), "a failed run started no error workflow");
}

/// Whether a run is parked, or called one that is.
fn waits_for_somebody(run: &Run, life: &Life) -> bool {
    let is_parked = run.summary().error_code.as_deref() == Some("parked");
    let waits = run.open().any(|(_, state)| match state.control.as_ref().map(|control| &control.detail) {
        Some(Detail::Called { run: child, .. }) => life.runs[child].0.outcome.is_none(),
        _ => false,
    });
    let queued = run.origin.slot.is_some() && run.status() == RunStatus::Queued;
    is_parked || waits || queued
}

/// The steps that must not be repeated.
fn guarded(steps: &[Value]) -> Vec<&str> {
    let mut found = Vec::new();
    for step in steps {
        let is = |key: &str, wanted: &str| step[key].as_str().is_some_and(|value| value.contains(wanted));
        if is("on_uncertain", "park") || (is("uses", "charge") && is("on_uncertain", "auto")) {
            found.extend(step["id"].as_str());
        }
        let lists = [
            &step["if"][0]["steps"],
            &step["else"],
            &step["steps"],
            &step["parallel"]["x"],
            &step["parallel"]["y"],
            &step["on_timeout"],
            &step["on_error"]["steps"],
        ];
        found.extend(lists.into_iter().filter_map(Value::as_array).flat_map(|inner| guarded(inner)));
    }
    found
}

/// A step that must not be repeated is called once per attempt, and again only after a recorded failure.
fn check_uncertain(life: &Life, run: RunId, guarded: &str, entries: &[Recorded]) {
    let mut attempts: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for call in life.calls.iter().filter(|call| call.run == run && call.step.split('[').next() == Some(guarded)) {
        attempts.entry(&call.step).or_default().push(call.attempt);
    }
    for (place, attempts) in attempts {
        let failed = |number: u32| {
            entries.iter().any(|entry| matches!(&entry.event, RunEvent::StepFailed { step, attempt, .. } if step.to_string() == place && *attempt == number))
        };
        assert_eq!(
            attempts,
            (1..=attempts.len() as u32).collect::<Vec<_>>(),
            "{run} {place}: an attempt was made twice"
        );
        let forgotten = entries.iter().any(|entry| matches!(&entry.event, RunEvent::StepFailed { step, retry_at: Some(_), call, .. } if step.to_string() == place && call.is_uncertain()));
        assert!(!forgotten, "{run} {place}: repeated though its request may have arrived");
        assert!(
            attempts.iter().all(|number| *number == 1 || failed(number - 1)),
            "{run} {place}: repeated without a known failure"
        );
    }
}
