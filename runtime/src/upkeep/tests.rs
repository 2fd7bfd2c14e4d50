use flowcell_core::ports::{Append, Durability, Pinning};
use flowcell_core::run::event::{Outcome, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_testkit::SimClock;

use super::*;
use crate::testing::{Bench, hook_path, sample_workflow};

const DAY: Duration = Duration::from_hours(24);

async fn ended(bench: &Bench, hook: &str) -> flowcell_core::id::RunId {
    let answer = bench.send("POST", hook, &[], "{}").await;
    let run = answer.json["run_ids"][0].as_str().unwrap().parse().unwrap();
    let mut history = bench.app.ports.journal.load(run).await.unwrap();
    let end = Recorded { seq: 1, at: history[0].at, event: RunEvent::Finished { outcome: Outcome::Succeeded } };
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
async fn what_the_operator_and_the_author_do_not_want_any_more_goes_and_pinned_runs_stay() {
    let bench = Bench::new();
    let hook = bench.apply_sample().await;
    let first = ended(&bench, &hook).await;
    let second = ended(&bench, &hook).await;
    let third = ended(&bench, &hook).await;
    let pinned = bench.api("PUT", &format!("/runs/{first}/pin"), "").await;
    assert_eq!((pinned.status, &pinned.json["pinned"]), (200, &serde_json::json!(true)));
    let days = |days| RetentionRules { days: Some(days), ..RetentionRules::default() };

    assert_eq!(upkeep(&bench, days(30), DAY * 29).pass().await.unwrap().runs, 0);
    let text = sample_workflow("A sample") + "\nsettings:\n  retention: { runs: 1 }\n";
    let applied = bench.api("POST", "/workflows", &text).await;
    assert_eq!(applied.status, 201, "{applied:?}");
    assert_eq!(
        upkeep(&bench, days(30), DAY * 29).pass().await.unwrap().runs,
        1,
        "the author keeps one, beside the pinned one"
    );
    assert_eq!(bench.api("GET", &format!("/runs/{second}"), "").await.status, 404);
    assert_eq!(upkeep(&bench, days(30), DAY * 31).pass().await.unwrap().runs, 1);
    assert_eq!(bench.api("GET", &format!("/runs/{third}"), "").await.status, 404);
    let kept = bench.api("GET", &format!("/runs/{first}"), "").await;
    assert_eq!((kept.status, &kept.json["pinned"]), (200, &serde_json::json!(true)));

    bench.app.ports.retention.pin(&bench.app.workspace, first, Pinning::Free).await.unwrap();
    assert_eq!(upkeep(&bench, days(30), DAY * 31).pass().await.unwrap().runs, 1);
    assert_eq!(hook_path(&applied.json), hook);
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
