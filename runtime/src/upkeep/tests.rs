use flowcell_core::ports::{Append, Durability, Pinning};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_testkit::SimClock;

use super::*;
use crate::testing::{Bench, sample_workflow};

const DAY: Duration = Duration::from_hours(24);

async fn ended(bench: &Bench, hook: &str) -> flowcell_core::id::RunId {
    let answer = bench.send("POST", hook, &[], "{}").await;
    let run = answer.json["run_ids"][0].as_str().unwrap().parse().unwrap();
    let mut history = bench.app.ports.journal.load(run).await.unwrap();
    let end = Recorded {
        seq: 1,
        at: history[0].at,
        event: RunEvent::Finished { outcome: Outcome::Succeeded, output: serde_json::Value::Null },
    };
    history.push(end.clone());
    let summary = Run::fold(run, &history).unwrap().summary();
    let append = Append { run, entries: vec![end], summary, durability: Durability::Synced };
    bench.app.ports.journal.append(append).await.unwrap();
    run
}

fn upkeep(bench: &Bench, rules: RetentionRules, later: Duration) -> Upkeep {
    let clock = SimClock::new();
    clock.set(bench.app.ports.clock.now() + later);
    Upkeep {
        workspace: bench.app.workspace.clone(),
        retention: Arc::clone(&bench.app.ports.retention),
        definitions: Arc::clone(&bench.app.ports.definitions),
        clock,
        wanted: Wanted { rules, bytes_max: None, every: DAY },
    }
}

#[tokio::test]
async fn what_the_operator_does_not_want_any_more_goes_and_pinned_runs_stay() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    let first = ended(&bench, &hook).await;
    let second = ended(&bench, &hook).await;
    let third = ended(&bench, &hook).await;
    let pinned = bench.api("PUT", &format!("/runs/{first}/pin"), "").await;
    assert_eq!((pinned.status, &pinned.json["pinned"]), (200, &serde_json::json!(true)));
    let days = |days| RetentionRules { days: Some(days), ..RetentionRules::default() };

    assert_eq!(upkeep(&bench, days(30), DAY * 29).pass().await.unwrap().runs, 0);
    let one = RetentionRules { runs: Some(1), ..days(30) };
    assert_eq!(upkeep(&bench, one, DAY * 29).pass().await.unwrap().runs, 1, "one is kept beside the pinned one");
    let left = async || {
        let mut left = 0;
        for run in [second, third] {
            left += u32::from(bench.api("GET", &format!("/runs/{run}"), "").await.status == 200);
        }
        left
    };
    // Made in the same moment, either may be the newer one.
    assert_eq!(left().await, 1);
    assert_eq!(upkeep(&bench, days(30), DAY * 31).pass().await.unwrap().runs, 1);
    assert_eq!(left().await, 0);
    let kept = bench.api("GET", &format!("/runs/{first}"), "").await;
    assert_eq!((kept.status, &kept.json["pinned"]), (200, &serde_json::json!(true)));

    bench.app.ports.retention.pin(&bench.app.workspace, first, Pinning::Free).await.unwrap();
    assert_eq!(upkeep(&bench, days(30), DAY * 31).pass().await.unwrap().runs, 1);
}

#[test]
fn a_workflows_settings_say_what_is_kept_and_what_is_indexed() {
    let text =
        sample_workflow("A") + "\nsettings:\n  retention: { days: 7, runs: 100 }\n  index: [trigger.body.email]\n";
    let own = Own::of(&text);
    assert_eq!(own.rules, RetentionRules { days: Some(7), runs: Some(100), keep_failed_days: None });
    assert_eq!(own.index.iter().map(FieldPath::as_str).collect::<Vec<_>>(), ["trigger.body.email"]);
    assert_eq!(Own::of("no workflow"), Own::default());
}
