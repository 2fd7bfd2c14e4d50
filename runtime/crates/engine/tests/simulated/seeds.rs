//! A thousand lives of an installation, each from a seed: random workflows, answers, crashes, lost tails, clock jumps and upgrades.
//!
//! A failure names its seed; put it into [`ONLY`] to see that life alone.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::id::RunId;
use flowcell_core::ports::{Clock, Journal};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use flowcell_engine::Shutdown;
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{Answer, Call, CrashPoint, FaultyJournal, SeededEntropy, sample};
use serde_json::json;

use crate::world::World;

const SEEDS: u64 = 1_000;
const ONLY: Option<u64> = None;

/// How many attempts the steps of these workflows have.
const ATTEMPTS: usize = 4;

#[test]
fn whatever_happens_every_run_ends_or_says_why_not() {
    let seeds = ONLY.map_or(0..SEEDS, |seed| seed..seed + 1);
    let mut seen = Seen::default();
    for seed in seeds {
        let life = catch_unwind(AssertUnwindSafe(|| live(seed)));
        seen.add(&life.unwrap_or_else(|panic| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("seed {seed}: {}", text.unwrap_or("panicked"))
        }));
    }
    if ONLY.is_none() {
        let Seen { succeeded, failed, parked, crashes, repeated } = seen;
        assert!(
            [succeeded, failed, parked, crashes, repeated].iter().all(|count| *count > 100),
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
    parked: usize,
    crashes: usize,
    repeated: usize,
}

impl Seen {
    fn add(&mut self, life: &Life) {
        self.crashes += life.crashes;
        for (run, _) in life.runs.values() {
            match &run.outcome {
                Some(Outcome::Succeeded) => self.succeeded += 1,
                Some(_) => self.failed += 1,
                None => self.parked += 1,
            }
            self.repeated += run.steps.values().filter(|step| step.attempts.len() > 1).count();
        }
    }
}

struct Life {
    runs: BTreeMap<RunId, (Run, Vec<Recorded>)>,
    calls: Vec<Call>,
    crashes: usize,
}

/// Lives the life of `seed` to its end and checks it.
fn live(seed: u64) -> Life {
    let dice = Arc::new(SeededEntropy::new(seed));
    let steps: String = (0..=dice.below(3)).map(|number| step(number, &dice)).collect();
    let answers = Arc::clone(&dice);
    let mut world = World::new(&steps, move |_| answer(&answers));
    world.entropy = Arc::<SeededEntropy>::clone(&dice);
    world.config.concurrency = 1 + dice.below(3);
    let life = world.block_on(lives(world.clone(), dice));
    check(&world, &life);
    life
}

fn step(number: usize, dice: &SeededEntropy) -> String {
    let action = ["send", "send", "charge"][dice.below(3)];
    let on_uncertain = ["auto", "auto", "repeat", "park"][dice.below(4)];
    format!(
        "- id: s{number}\n  uses: test/tools/{action}@1\n  on_uncertain: {on_uncertain}\n  with: {{ body: '{{{{ trigger.body }}}}' }}\n  retry: {{ attempts: {ATTEMPTS}, initial: 1s, max: 1m }}\n"
    )
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
    let mut accepted = Vec::new();
    let mut durable: BTreeMap<RunId, Vec<Recorded>> = BTreeMap::new();
    let crashes = dice.below(4);
    world.publish().await;
    for process in 0..=crashes {
        if process < crashes {
            let writes = journal.writes() + 1 + dice.below(8);
            journal.crash_at(if dice.below(2) == 0 { CrashPoint::Before(writes) } else { CrashPoint::After(writes) });
        }
        accepted.extend(work(&world, &journal, &dice, process as u32 * 100).await);
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
    world.work().await;
    let mut runs = BTreeMap::new();
    for id in accepted {
        let entries = world.store.load(id).await.unwrap();
        assert!(entries.starts_with(&durable[&id]), "{id}: what was durable has changed");
        runs.insert(id, (world.run(id).await, entries));
    }
    Life { runs, calls: world.invoker.calls(), crashes }
}

/// One process: it accepts some events, and its clock may jump. Ends with the crash or after a while.
async fn work(world: &World, journal: &Arc<FaultyJournal>, dice: &SeededEntropy, first_number: u32) -> Vec<RunId> {
    let ingress = async {
        let mut accepted = Vec::new();
        for number in 0..=dice.below(3) as u32 {
            let delivery =
                sample::delivery(&world.version, first_number + number, world.clock.now(), json!({ "body": number }));
            match journal.accept(delivery).await {
                Ok(answer) => accepted.extend(answer.runs),
                Err(_) => break,
            }
            world.clock.sleep_until(world.clock.now() + Duration::from_millis(dice.below(3_000) as u64)).await;
        }
        accepted
    };
    let jumps = async {
        world.clock.sleep_until(world.clock.now() + Duration::from_millis(dice.below(20_000) as u64)).await;
        let now = world.clock.now().as_millis();
        match dice.below(4) {
            0 => world.clock.set(Timestamp::from_millis(now + 3_600_000)),
            1 => world.clock.set(Timestamp::from_millis(now - 3_600_000)),
            _ => {}
        }
    };
    let shutdown = Shutdown::new();
    let end = async {
        world.clock.sleep_until(world.clock.now() + Duration::from_secs(1 + dice.below(200) as u64)).await;
        shutdown.request();
    };
    let engine = world.engine(journal.clone(), Arc::new(world.store.clone())).run(shutdown.clone());
    let (accepted, (), (), _) = tokio::join!(ingress, jumps, end, engine);
    accepted
}

fn check(world: &World, life: &Life) {
    let mut keys: BTreeMap<(RunId, &str), BTreeSet<&str>> = BTreeMap::new();
    for call in &life.calls {
        keys.entry((call.run, &call.step)).or_default().insert(&call.key);
        assert_eq!(call.digest, sample::tools("1.0.0").digest, "{call:?} left its pin");
    }
    assert!(keys.values().all(|keys| keys.len() == 1), "a key changed with the attempt: {keys:?}");
    assert_eq!(world.invoker.effects().len(), keys.len(), "two steps share a key");

    for (id, (run, entries)) in &life.runs {
        let is_parked = run.outcome.is_none() && run.summary().error_code.as_deref() == Some("parked");
        assert!(run.outcome.is_some() || is_parked, "{id} neither ended nor waits for somebody: {:?}", run.steps);
        if run.outcome == Some(Outcome::Succeeded) {
            assert!(run.steps.values().all(|step| step.output().is_some()), "{id} succeeded without {:?}", run.steps);
        }
        assert!(run.steps.values().all(|step| step.failures() as usize <= ATTEMPTS), "{id} tried too often");
        check_uncertain(world, life, *id, entries);
    }
}

/// A step that must not be repeated is called once per attempt, and again only after a recorded failure.
fn check_uncertain(world: &World, life: &Life, run: RunId, entries: &[Recorded]) {
    let source: Vec<_> = world.version.source.split("- id: ").skip(1).collect();
    let guarded =
        source.iter().filter(|step| step.contains("park") || (step.contains("charge") && step.contains("auto")));
    for step in guarded.map(|step| &step[..2]) {
        let attempts: Vec<_> =
            life.calls.iter().filter(|call| call.run == run && call.step == step).map(|call| call.attempt).collect();
        let failed = |number: u32| {
            entries.iter().any(|entry| matches!(&entry.event, RunEvent::StepFailed { step: id, attempt, .. } if id.to_string() == step && *attempt == number))
        };
        assert_eq!(
            attempts,
            (1..=attempts.len() as u32).collect::<Vec<_>>(),
            "{run} {step}: an attempt was made twice"
        );
        let forgotten = entries.iter().any(|entry| matches!(&entry.event, RunEvent::StepFailed { step: id, retry_at: Some(_), call, .. } if id.to_string() == step && call.is_uncertain()));
        assert!(!forgotten, "{run} {step}: repeated though its request may have arrived");
        assert!(
            attempts.iter().all(|number| *number == 1 || failed(number - 1)),
            "{run} {step}: repeated without a known failure"
        );
    }
}
