//! Runs by workflow, status, time, step, error and field.

use flowcell_core::id::RunId;
use flowcell_core::invoke::CallRecord;
use flowcell_core::ports::{Durability, PageRequest, RunFilter};
use flowcell_core::run::event::{Outcome, RunEvent, StepError};
use flowcell_core::run::fold::RunStatus;
use serde_json::{Value, json};

use crate::backend::{Backend, append, at, delivery_to, run_id, workspace};

fn error(code: &str) -> StepError {
    StepError { code: code.to_owned(), message: String::new(), retryable: true, details: None }
}

/// What happens to run `number` after its creation.
fn story(number: u64) -> Vec<RunEvent> {
    let step = |id: &str| id.parse::<flowcell_core::id::StepId>().unwrap().into();
    let begun = |id: &str, attempt| RunEvent::StepStarted { step: step(id), attempt };
    let ended = |id: &str, attempt, output: Value| RunEvent::StepSucceeded {
        step: step(id),
        attempt,
        output: output.into(),
        input: json!(null).into(),
        call: CallRecord::default().into(),
    };
    let failed = |id: &str, code: &str, again: bool| RunEvent::StepFailed {
        step: step(id),
        attempt: 1,
        error: error(code),
        retry_at: again.then(|| at(0)),
        input: None,
        origin: None,
        call: CallRecord::default().into(),
    };
    let find = [begun("find", 1), ended("find", 1, json!({"customer": format!("c{}", number % 5)}))];
    let rest = match number % 4 {
        0 => vec![
            begun("send", 1),
            ended("send", 1, json!(1)),
            RunEvent::Finished { outcome: Outcome::Succeeded, output: json!(null) },
        ],
        1 => vec![
            begun("send", 1),
            failed("send", "http-status", false),
            RunEvent::Finished {
                outcome: Outcome::Failed { step: step("send"), error: error("http-status") },
                output: json!(null),
            },
        ],
        2 => vec![
            begun("send", 1),
            failed("send", "timeout", true),
            begun("send", 2),
            ended("send", 2, json!(1)),
            RunEvent::Finished { outcome: Outcome::Succeeded, output: json!(null) },
        ],
        // It has not ended.
        _ => vec![begun("ask", 1)],
    };
    find.into_iter().chain(rest).collect()
}

fn email(number: u64) -> String {
    let name = if number.is_multiple_of(7) { "anna" } else { "otto" };
    format!("{name}.{number}@example.com")
}

/// Writes runs `numbers`, each in appends of different sizes.
async fn write(store: &Backend, numbers: std::ops::RangeInclusive<u64>) {
    let last = 1_000_000 + numbers.end();
    for number in numbers {
        let workflow = if number.is_multiple_of(3) { "third" } else { "push" };
        let trigger = json!({"body": {"email": email(number), "number": number}});
        let delivery = delivery_to(number, &workspace(), workflow, trigger);
        let mut history = vec![delivery.runs[0].created.clone()];
        store.journal.accept(delivery).await.unwrap();
        let story = story(number);
        let pieces = 1 + usize::try_from(number).unwrap() % 3;
        for piece in story.chunks(story.len().div_ceil(pieces)) {
            let write = append(run_id(number), &history, piece.to_vec(), Durability::NextGroup);
            history.extend(write.entries.clone());
            store.journal.append(write).await.unwrap();
        }
    }
    // Behind all of them: now they are applied.
    store.journal.accept(delivery_to(last, &"other".parse().unwrap(), "push", json!(null))).await.unwrap();
}

/// Every run that passes, page by page; what the journals say must be the same.
async fn found(store: &Backend, filter: &RunFilter, limit: usize) -> Vec<RunId> {
    let mut found: Vec<RunId> = Vec::new();
    let mut before = None;
    loop {
        let page = store.index.search(&workspace(), filter, PageRequest { before, limit }).await.unwrap();
        assert!(page.runs.len() <= limit);
        found.extend(page.runs.iter().map(|run| run.id));
        let Some(next) = page.next else { break };
        assert!(before.is_none_or(|before| next < before), "pages go on");
        before = Some(next);
    }
    found
}

fn filters() -> Vec<RunFilter> {
    let plain = RunFilter::default;
    let workflow = || Some("third".parse().unwrap());
    let step = |id: &str| Some(id.parse().unwrap());
    let code = |code: &str| Some(code.to_owned());
    let field = |text: &str| Some(text.parse().unwrap());
    let mut filters = vec![
        plain(),
        RunFilter { workflow: workflow(), ..plain() },
        RunFilter { workflow: Some("absent".parse().unwrap()), ..plain() },
        RunFilter { step: step("send"), ..plain() },
        RunFilter { step: step("ask"), ..plain() },
        RunFilter { step: step("ask"), status: Some(RunStatus::Succeeded), ..plain() },
        RunFilter { error: code("http-status"), ..plain() },
        RunFilter { error: code("timeout"), workflow: workflow(), ..plain() },
        RunFilter { error: code("absent"), ..plain() },
        RunFilter { step: step("find"), error: code("timeout"), ..plain() },
        RunFilter { step: step("send"), error: code("timeout"), status: Some(RunStatus::Succeeded), ..plain() },
        RunFilter { from: Some(at(20)), to: Some(at(41)), ..plain() },
        RunFilter { from: Some(at(20)), to: Some(at(41)), workflow: workflow(), ..plain() },
        RunFilter { from: Some(at(41)), to: Some(at(20)), workflow: workflow(), ..plain() },
        RunFilter { field: field(&format!("trigger.body.email={}", email(14))), ..plain() },
        RunFilter { field: field("trigger.body.email^=anna"), ..plain() },
        RunFilter { field: field("trigger.body.email^=anna.14@example."), ..plain() },
        RunFilter { field: field("trigger.body.number=33"), ..plain() },
        RunFilter { field: field("trigger.body.absent="), ..plain() },
        RunFilter { field: field("steps.find.output.customer=c2"), workflow: workflow(), ..plain() },
    ];
    for status in [RunStatus::Queued, RunStatus::Running, RunStatus::Succeeded, RunStatus::Failed] {
        filters.push(RunFilter { status: Some(status), ..plain() });
        filters.push(RunFilter { status: Some(status), workflow: workflow(), ..plain() });
    }
    filters
}

/// What the journals say.
async fn expected(store: &Backend, filter: &RunFilter, numbers: std::ops::RangeInclusive<u64>) -> Vec<RunId> {
    let mut passing = Vec::new();
    for number in numbers.rev() {
        let run = run_id(number);
        let entries = store.journal.load(run).await.unwrap();
        let summary = store.index.get(&workspace(), run).await.unwrap().unwrap();
        if filter.passes_entries(&summary, &entries) {
            passing.push(run);
        }
    }
    passing
}

pub(crate) async fn every_filter_finds_what_the_journals_say(store: Backend) {
    store.index.index_fields(
        &workspace(),
        &"third".parse().unwrap(),
        vec!["trigger.body.email".parse().unwrap(), "steps.find.output.customer".parse().unwrap()],
    );
    write(&store, 1..=60).await;
    let mut store = store;
    for restarted in [false, true] {
        let mut hits = 0;
        for filter in filters() {
            let expected = expected(&store, &filter, 1..=60).await;
            hits += expected.len();
            for limit in [1_000, 7] {
                assert_eq!(found(&store, &filter, limit).await, expected, "{filter:?}, restarted: {restarted}");
            }
        }
        assert!(hits > 250, "the filters must find something: {hits}");
        store = store.restart();
    }
    // Runs that were begun before the restart and end after it are found like the others.
    for number in (1..=60).filter(|number| number % 4 == 3) {
        store.happens(run_id(number), RunEvent::Finished { outcome: Outcome::Succeeded, output: json!(null) }).await;
    }
    for filter in filters() {
        assert_eq!(found(&store, &filter, 7).await, expected(&store, &filter, 1..=60).await, "{filter:?}");
    }
}

pub(crate) async fn pages_stay_as_they_are_while_new_runs_arrive(store: Backend) {
    write(&store, 1..=20).await;
    let filter = RunFilter { status: Some(RunStatus::Succeeded), ..RunFilter::default() };
    let first = store.index.search(&workspace(), &filter, PageRequest { before: None, limit: 4 }).await.unwrap();
    write(&store, 21..=40).await;
    let rest = PageRequest { before: first.next, limit: 100 };
    let rest = store.index.search(&workspace(), &filter, rest).await.unwrap();
    let ids: Vec<_> = first.runs.iter().chain(&rest.runs).map(|run| run.id).collect();
    assert_eq!(ids, (1..=20).rev().filter(|number| number % 2 == 0).map(run_id).collect::<Vec<_>>());
}

pub(crate) async fn a_search_sees_only_its_own_workspace(store: Backend) {
    write(&store, 1..=8).await;
    let other = "other".parse().unwrap();
    let filter = RunFilter { workflow: Some("push".parse().unwrap()), ..RunFilter::default() };
    let page = store.index.search(&other, &filter, PageRequest { before: None, limit: 9 }).await.unwrap();
    assert_eq!(page.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run_id(1_000_008)]);
}
