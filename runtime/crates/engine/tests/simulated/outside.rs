//! What comes from outside while a run goes on or waits.

use std::time::Duration;

use flowcell_core::id::{RunId, StepRef, WorkspaceId};
use flowcell_core::ports::Journal;
use flowcell_core::run::event::{Decision, Outcome, RunEvent};
use flowcell_core::run::fold::{Phase, RunStatus};
use flowcell_engine::{ControlError, Shutdown};
use flowcell_testkit::Answer;
use serde_json::json;

use crate::world::{World, echo, offsets, output};

fn place(text: &str) -> StepRef {
    text.parse().unwrap()
}

const FOR_EVENT: &str = r#"
- id: paid
  wait: { event: order.paid, match: "{{ event.id == trigger.body.id }}", timeout: 3d }
  on_timeout: [ { id: remind, uses: test/tools/send@1 } ]
- { id: after, uses: test/tools/send@1, with: { reason: "{{ steps.paid.output.reason }}" } }
"#;

#[test]
fn an_event_reaches_the_runs_it_matches_and_no_other() {
    let world = World::new(FOR_EVENT, echo);
    let run = world.run_while(|world, control, id| async move {
        world.sleep(Duration::from_hours(5)).await;
        let workspace = WorkspaceId::default_workspace();
        for (name, payload) in
            [("order.sent", json!({ "id": "ä1" })), ("order.paid", json!({ "id": "x" })), ("order.paid", json!(7))]
        {
            assert_eq!(control.emit_event(&workspace, name, payload).await.unwrap(), []);
        }
        let taken = control.emit_event(&workspace, "order.paid", json!({ "id": "ä1", "sum": 5 })).await.unwrap();
        assert_eq!(taken, [(id, place("paid"))]);
        assert_eq!(control.emit_event(&workspace, "order.paid", json!({ "id": "ä1" })).await.unwrap(), []);
    });
    assert_eq!(output(&run, "paid"), Some(&json!({ "reason": "event", "event": { "id": "ä1", "sum": 5 } })));
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(world.invoker.calls().len(), 1);
}

#[test]
fn a_wait_in_vain_takes_its_timeout_branch_or_fails() {
    let world = World::new(&FOR_EVENT.replace("3d", "1d"), echo);
    let run = world.run_one();
    assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "reason": "timeout" } })));
    let steps: Vec<_> = world.invoker.calls().into_iter().map(|call| call.step).collect();
    assert_eq!(steps, ["remind", "after"]);

    let world = World::new("- { id: paid, wait: { event: order.paid, timeout: 1h } }", echo);
    let Some(Outcome::Failed { error, .. }) = world.run_one().outcome else { panic!("it waits for ever") };
    assert_eq!(error.code, "wait-timeout");
}

#[test]
fn a_resume_link_opens_once_survives_a_restart_and_cannot_be_guessed() {
    let world = World::new(
        "- { id: ask, wait: { resume: true } }\n- { id: after, uses: test/tools/send@1, with: { said: '{{ steps.ask.output.payload }}' } }",
        echo,
    );
    let run = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            world.work().await;
            let token = world.engine_here().1.resume_token(id, &place("ask"));
            world.store.crash();
            let (engine, control) = world.engine_here();
            let other = RunId::from_parts(id.created_at(), 99);
            for (run, step, token) in
                [(id, "ask", "rs_00"), (id, "after", token.as_str()), (other, "ask", token.as_str())]
            {
                let refused = control.resume(run, &place(step), token, json!(1)).await;
                assert!(matches!(refused, Err(ControlError::NotOpen)), "{refused:?}");
            }
            // Before the engine has even looked: the queue tells it.
            control.resume(id, &place("ask"), &token, json!("yes")).await.unwrap();
            let again = control.resume(id, &place("ask"), &token, json!("no")).await;
            assert!(matches!(again, Err(ControlError::NotOpen)), "{again:?}");
            let shutdown = Shutdown::new();
            let end = async {
                world.sleep(Duration::from_secs(5)).await;
                shutdown.request();
            };
            let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), end);
            ended.unwrap();
            world.run(id).await
        }
    });
    assert_eq!(output(&run, "after"), Some(&json!({ "echo": { "said": "yes" } })));
}

#[test]
fn cancelling_cuts_an_attempt_short_at_once() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }\n- { id: b, uses: test/tools/send@1 }", |call| {
        echo(call).after(Duration::from_secs(20))
    });
    let run = world.run_while(|world, control, id| async move {
        world.sleep(Duration::from_secs(7)).await;
        control.cancel(id, "somebody changed their mind").await.unwrap();
        world.sleep(Duration::from_millis(1)).await;
        let run = world.run(id).await;
        assert_eq!(run.status(), RunStatus::Cancelled);
        assert!(matches!(control.cancel(id, "again").await, Err(ControlError::Ended(_))));
        let nobody = RunId::from_parts(id.created_at(), 99);
        assert!(matches!(control.cancel(nobody, "?").await, Err(ControlError::NoRun(_))));
    });
    assert_eq!(run.outcome, Some(Outcome::Cancelled { reason: "somebody changed their mind".to_owned() }));
    assert_eq!(run.finished_at.unwrap().since(run.created_at), Duration::from_secs(7));
    assert!(matches!(run.steps[0].phase, Phase::Cancelled { .. }));
    assert_eq!(world.invoker.calls().len(), 1);
}

#[test]
fn sixty_four_events_at_once_end_sixty_four_waits_while_attempts_fly() {
    let steps = r#"
- id: all
  parallel:
    waits:
      - id: each
        for_each: "{{ range(64) }}"
        parallel: 64
        collect: "{{ steps.one.output.event.n }}"
        steps: [ { id: one, wait: { event: go, match: "{{ event.n == item }}" } } ]
    work:
      - id: busy
        for_each: "{{ range(30) }}"
        steps: [ { id: send, uses: test/tools/send@1, with: { n: "{{ item }}" } } ]
"#;
    let world = World::new(steps, |call| echo(call).after(Duration::from_millis(7)));
    let run = world.run_while(|world, control, _| async move {
        world.sleep(Duration::from_millis(50)).await;
        let workspace = WorkspaceId::default_workspace();
        let mut bringing = tokio::task::JoinSet::new();
        for n in 0..64 {
            let (control, workspace) = (control.clone(), workspace.clone());
            bringing.spawn(async move { control.emit_event(&workspace, "go", json!({ "n": n })).await.unwrap().len() });
        }
        let mut taken = 0;
        while let Some(more) = bringing.join_next().await {
            taken += more.unwrap();
        }
        assert_eq!(taken, 64);
    });
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(output(&run, "each").unwrap()["results"], json!((0..64).collect::<Vec<_>>()));
    assert_eq!(world.invoker.calls().len(), 30, "no attempt was lost or made twice");
}

#[test]
fn somebody_decides_about_a_parked_step() {
    let decide = |decision: Decision| {
        let world = World::new(
            "- { id: pay, uses: test/tools/charge@1, timeout: 1s }\n- { id: after, uses: test/tools/send@1, with: { n: '{{ steps.pay.output.n }}' } }",
            |call| {
                if call.attempt == 1 && call.step.id().as_str() == "pay" {
                    Answer::never()
                } else {
                    Answer::ok(json!({ "n": call.attempt }))
                }
            },
        );
        let run = world.run_while(move |world, control, id| async move {
            world.sleep(Duration::from_mins(1)).await;
            assert_eq!(world.run(id).await.summary().error_code.as_deref(), Some("parked"));
            assert!(matches!(
                control.decide(id, &place("after"), decision.clone()).await,
                Err(ControlError::NotParked { .. })
            ));
            control.decide(id, &place("pay"), decision).await.unwrap();
        });
        (run, world.invoker.calls().len())
    };
    let (repeated, calls) = decide(Decision::Repeat);
    assert_eq!(
        (repeated.status(), calls, output(&repeated, "pay")),
        (RunStatus::Succeeded, 3, Some(&json!({ "n": 2 })))
    );
    let (happened, calls) = decide(Decision::Succeeded { output: json!({ "n": 9 }) });
    assert_eq!(
        (happened.status(), calls, output(&happened, "pay")),
        (RunStatus::Succeeded, 2, Some(&json!({ "n": 9 })))
    );
    let (failed, calls) = decide(Decision::Failed);
    assert_eq!((failed.status(), calls), (RunStatus::Failed, 1));
}

#[test]
fn a_poisonous_plugin_is_called_no_more_and_its_runs_go_on_when_it_is_released() {
    let world = World::new("- { id: a, uses: test/tools/send@1, with: { n: '{{ trigger.number }}' } }", |call| {
        if call.attempt == 1 {
            Answer::error(flowcell_core::invoke::InvokeError::Trapped { message: "unreachable".to_owned() })
        } else {
            echo(call)
        }
    });
    world.clone().block_on(async move {
        world.publish().await;
        let (engine, control) = world.engine_here();
        let shutdown = Shutdown::new();
        let others = async {
            let mut runs = Vec::new();
            for number in 0..8 {
                runs.push(world.accept(&world.store, number).await);
                world.sleep(Duration::from_secs(1)).await;
            }
            let statuses: Vec<_> = world.runs().await.into_iter().rev().map(|run| run.status).collect();
            assert_eq!(statuses[..4], [RunStatus::Failed; 4]);
            assert_eq!(statuses[4..], [RunStatus::Waiting; 4], "they park, they do not fail");
            assert_eq!(world.invoker.calls().len(), 5, "it is called no more");
            let digest = world.run(runs[7]).await.pins.values().next().unwrap().digest;
            assert_eq!(control.quarantined(), [digest]);
            let workspace = WorkspaceId::default_workspace();
            assert_eq!(control.release(&workspace, &digest).await.unwrap(), runs[4..]);
            world.sleep(Duration::from_secs(1)).await;
            for run in &runs[4..] {
                assert_eq!(world.run(*run).await.status(), RunStatus::Succeeded);
            }
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
        ended.unwrap();
    });
}

#[test]
fn a_step_during_which_the_process_stops_again_and_again_is_parked() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }", |_| Answer::never());
    let run = world.clone().block_on(async move {
        world.publish().await;
        let id = world.accept(&world.store, 1).await;
        for _ in 0..9 {
            let engine =
                world.engine(std::sync::Arc::new(world.store.clone()), std::sync::Arc::new(world.store.clone()));
            tokio::select! {
                ended = engine.run(Shutdown::new()) => panic!("{ended:?}"),
                // Sooner than a start is written in the usual course.
                () = world.sleep(Duration::from_millis(5)) => {}
            }
            world.store.crash();
        }
        let started = |entry: &flowcell_core::run::event::Recorded| matches!(entry.event, RunEvent::StepStarted { .. });
        assert_eq!(world.store.load(id).await.unwrap().iter().filter(|entry| started(entry)).count(), 5);
        world.run(id).await
    });
    let Phase::Parked { reason } = &run.steps[0].phase else { panic!("{:?}", run.steps[0]) };
    assert!(reason.contains("5 times in a row"), "{reason}");
}

#[test]
fn a_workflow_limits_its_runs_per_key_and_shows_the_queue() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }", |call| echo(call).after(Duration::from_secs(10)))
        .with("settings: { concurrency: { limit: 2, key: '{{ trigger.body.customer }}' } }\n");
    let calls = world.clone().block_on(async move {
        world.publish().await;
        let (engine, control) = world.engine_here();
        let shutdown = Shutdown::new();
        let others = async {
            let deliver = |customer: &'static str| {
                let control = control.clone();
                let incoming = flowcell_engine::Incoming {
                    workspace: WorkspaceId::default_workspace(),
                    workflow: world.version.id.clone(),
                    version: None,
                    trigger: "sample/trigger".to_owned(),
                    dedupe_key: None,
                    dedupe: flowcell_core::ports::DedupeTerms::default(),
                    ids: Vec::new(),
                    payloads: vec![json!({ "body": { "customer": customer } })],
                    input: flowcell_engine::Input::Trusted,
                };
                async move { control.deliver(incoming).await.unwrap().accepted.runs[0] }
            };
            let mut of_a = Vec::new();
            for _ in 0..5 {
                of_a.push(deliver("a").await);
                world.sleep(Duration::from_millis(1)).await;
            }
            deliver("b").await;
            world.sleep(Duration::from_secs(1)).await;
            assert_eq!(control.queue_position(of_a[1]).await.unwrap(), None);
            assert_eq!(control.queue_position(of_a[2]).await.unwrap(), Some(0));
            assert_eq!(control.queue_position(of_a[4]).await.unwrap(), Some(2));
            control.cancel(of_a[3], "not needed").await.unwrap();
            world.sleep(Duration::from_secs(1)).await;
            assert_eq!(world.run(of_a[3]).await.status(), RunStatus::Cancelled, "a queued run can be cancelled");
            assert_eq!(control.queue_position(of_a[4]).await.unwrap(), Some(1));
            world.sleep(Duration::from_mins(1)).await;
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
        ended.unwrap();
        assert!(world.runs().await.iter().all(|run| run.status.is_final()));
        offsets(&world.invoker)
    });
    assert_eq!(calls, [0, 1, 5, 10_000, 10_001], "two of `a` at a time, `b` beside them");
}

#[test]
fn a_run_about_the_same_subject_is_skipped_or_replaces_the_unfinished_one() {
    for (policy, statuses) in [
        ("allow", [RunStatus::Waiting, RunStatus::Waiting]),
        ("skip", [RunStatus::Waiting, RunStatus::Queued]),
        ("replace", [RunStatus::Cancelled, RunStatus::Waiting]),
    ] {
        let world = World::new("- { id: a, wait: { for: 5d } }", echo)
            .with(&format!("settings: {{ reentry: {{ key: '{{{{ trigger.email }}}}', policy: {policy} }} }}\n"));
        world.clone().block_on(async move {
            world.publish().await;
            let (engine, control) = world.engine_here();
            let shutdown = Shutdown::new();
            let others = async {
                let incoming = flowcell_engine::Incoming {
                    workspace: WorkspaceId::default_workspace(),
                    workflow: world.version.id.clone(),
                    version: None,
                    trigger: "sample/trigger".to_owned(),
                    dedupe_key: None,
                    dedupe: flowcell_core::ports::DedupeTerms::default(),
                    ids: Vec::new(),
                    payloads: vec![json!({ "email": "a@b.test" })],
                    input: flowcell_engine::Input::Trusted,
                };
                let first = control.deliver(incoming.clone()).await.unwrap();
                world.sleep(Duration::from_secs(1)).await;
                let second = control.deliver(incoming.clone()).await.unwrap();
                world.sleep(Duration::from_millis(1)).await; // ids of one moment are alike in these tests
                let other = flowcell_engine::Incoming { payloads: vec![json!({ "email": "c@d.test" })], ..incoming };
                assert_eq!(control.deliver(other).await.unwrap().accepted.runs.len(), 1, "another subject");
                world.sleep(Duration::from_secs(1)).await;
                let first_run = first.accepted.runs[0];
                assert_eq!(world.run(first_run).await.status(), statuses[0], "{policy}");
                match policy {
                    "skip" => assert_eq!((second.accepted.runs.len(), second.skipped_for), (0, vec![first_run])),
                    _ => assert_eq!(world.run(second.accepted.runs[0]).await.status(), statuses[1], "{policy}"),
                }
                shutdown.request();
            };
            let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
            ended.unwrap();
        });
    }
}
