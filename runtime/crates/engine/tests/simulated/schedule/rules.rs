//! What holds for every other start holds for those of the clock: the trigger's filter, `concurrency`, `reentry`.

use std::time::Duration;

use flowcell_core::run::fold::RunStatus;
use flowcell_engine::scheduler::Became;
use serde_json::json;

use super::wall::{Crash, Wall, at, scheduled};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn the_filter_is_asked_before_a_scheduled_run_exists() {
    let mut wall = Wall::at("2026-02-01T00:30:00Z")
        .with(scheduled("0 * * * *", "UTC", "skip").filtered("\"trigger.local_time[11:13] in custom_values.hours\""));
    wall.custom_values = json!({ "hours": ["03", "05"] });
    wall.work_for(HOUR * 8);
    assert_eq!(wall.fired(), [at("2026-02-01T03:00:00Z"), at("2026-02-01T05:00:00Z")]);
    let became = wall.source.became.lock().unwrap().clone();
    let filtered = became.iter().filter(|became| matches!(became, Became::Filtered { .. })).count();
    assert_eq!((became.len(), filtered), (8, 6), "each is told");
    assert_eq!(wall.cursors()[0].decided, at("2026-02-01T08:00:00Z"), "what is filtered is decided, too");
}

#[test]
fn a_filter_that_cannot_be_asked_passes_the_occurrence_over_and_the_schedule_goes_on() {
    let wall = Wall::at("2026-02-01T00:30:00Z")
        .with(scheduled("0 * * * *", "UTC", "skip").filtered("\"{{ trigger.nothing > 1 }}\""))
        .with(scheduled("30 * * * *", "UTC", "skip").named("other"));
    wall.work_for(HOUR * 3 + Duration::from_mins(1));
    assert_eq!(wall.fired_by("daily"), []);
    assert_eq!(wall.fired_by("other").len(), 3);
    let became = wall.source.became.lock().unwrap().clone();
    let refused = became
        .iter()
        .filter(|became| matches!(became, Became::Refused { message } if message.contains("trigger.nothing")));
    assert_eq!(refused.count(), 3, "{became:?}");
}

#[test]
fn no_more_scheduled_runs_go_on_at_a_time_than_the_workflow_lets() {
    // Every half an hour a run that takes 90 minutes.
    let wall = Wall::at("2026-02-01T00:15:00Z")
        .with(scheduled("0,30 * * * *", "UTC", "skip").settings("concurrency: { limit: 1 }"))
        .driven();
    wall.work_for(HOUR * 4);
    let runs = wall.runs();
    let ended: Vec<_> = runs.iter().filter_map(|run| run.finished_at).map(|at| at.to_string()).collect();
    assert_eq!(ended, ["2026-02-01T02:00:00.000Z", "2026-02-01T03:30:00.000Z"], "one after the other");
    let queued = runs.iter().filter(|run| run.status == RunStatus::Queued).count();
    assert_eq!((runs.len(), queued), (8, 5));
}

#[test]
fn a_scheduled_run_about_the_same_subject_is_skipped_or_replaces_the_unfinished_one() {
    for (policy, statuses, skipped) in [
        ("skip", vec![RunStatus::Succeeded, RunStatus::Waiting], 2),
        ("replace", vec![RunStatus::Cancelled, RunStatus::Cancelled, RunStatus::Cancelled, RunStatus::Waiting], 0),
    ] {
        let settings = format!("reentry: {{ key: '{{{{ custom_values.shop }}}}', policy: {policy} }}");
        let mut wall =
            Wall::at("2026-02-01T00:15:00Z").with(scheduled("0 * * * *", "UTC", "skip").settings(&settings)).driven();
        wall.custom_values = json!({ "shop": "one" });
        wall.work_for(HOUR * 4);
        assert_eq!(wall.runs().iter().map(|run| run.status).collect::<Vec<_>>(), statuses, "{policy}");
        let became = wall.source.became.lock().unwrap().clone();
        let are_skipped =
            became.iter().filter(|became| matches!(became, Became::Skipped { because_of } if because_of.len() == 1));
        assert_eq!(are_skipped.count(), skipped, "{policy}: {became:?}");
    }
}

#[test]
fn an_occurrence_that_is_delivered_again_after_a_crash_neither_skips_nor_replaces_its_own_run() {
    for policy in ["skip", "replace"] {
        for writes in 0..8 {
            let settings =
                format!("reentry: {{ key: shop, policy: {policy} }}").replace("key: shop", "key: \"'shop'\"");
            let wall = Wall::at("2026-02-01T00:15:00Z")
                .with(scheduled("0 1 * * *", "UTC", "last").settings(&settings))
                .driven();
            wall.work_until_crash(Crash::After(writes), HOUR * 2);
            wall.work_for(HOUR * 4);
            let statuses: Vec<_> = wall.runs().iter().map(|run| run.status).collect();
            assert_eq!(statuses, [RunStatus::Succeeded], "{policy}, a crash after {writes} writes");
        }
    }
}
