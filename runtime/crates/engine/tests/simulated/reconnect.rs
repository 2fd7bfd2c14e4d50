//! Steps whose connection waits for its owner: they park, and go on when it is there again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flowcell_core::connection::{CredentialError, Remedy};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::invoke::{ActionError, InvokeError};
use flowcell_core::ports::Clock;
use flowcell_core::run::fold::{Phase, RunStatus};
use flowcell_engine::Shutdown;
use flowcell_testkit::Answer;

use crate::world::{World, echo};

fn name() -> ConnectionName {
    "crm".parse().unwrap()
}

fn revoked() -> Answer {
    let reason = "the grant was revoked".to_owned();
    Answer::error(InvokeError::Connection(CredentialError::NeedsReconnecting {
        name: name(),
        reason,
        remedy: Remedy::Consent,
    }))
}

#[test]
fn runs_park_while_a_connection_waits_for_its_owner_and_go_on_together() {
    static IS_CONNECTED: AtomicBool = AtomicBool::new(false);
    // One attempt: parking uses none.
    let steps = "- { id: a, uses: test/tools/charge@1, connection: crm, retry: { attempts: 1 } }";
    let world = World::new(steps, |call| {
        assert_eq!(call.connection.as_ref().map(ConnectionName::as_str), Some("crm"));
        if IS_CONNECTED.load(Ordering::SeqCst) { echo(call) } else { revoked() }
    });
    world.clone().block_on(async move {
        world.publish().await;
        let (engine, control) = world.engine_here();
        let shutdown = Shutdown::new();
        let others = async {
            let workspace = WorkspaceId::default_workspace();
            let mut runs = Vec::new();
            for number in 0..3 {
                runs.push(world.accept(&world.store, number).await);
            }
            world.sleep(Duration::from_hours(48)).await;
            for run in &runs {
                let run = world.run(*run).await;
                assert_eq!(run.status(), RunStatus::Waiting, "it parks, it does not fail");
                let Phase::Parked { reason } = &run.steps[0].phase else { panic!("{:?}", run.steps[0]) };
                assert!(
                    reason.contains("`crm`") && reason.contains("revoked") && reason.contains("connection connect crm"),
                    "{reason}"
                );
                assert_eq!(run.steps[0].reconnecting(), Some(name()));
            }
            let other: ConnectionName = "mail".parse().unwrap();
            assert_eq!(control.reconnected(&workspace, &other, world.clock.now()).await.unwrap(), []);
            // Too early: they park again.
            assert_eq!(control.reconnected(&workspace, &name(), world.clock.now()).await.unwrap(), runs);
            world.sleep(Duration::from_secs(1)).await;
            assert_eq!(world.run(runs[0]).await.status(), RunStatus::Waiting);
            IS_CONNECTED.store(true, Ordering::SeqCst);
            assert_eq!(control.reconnected(&workspace, &name(), world.clock.now()).await.unwrap(), runs);
            world.sleep(Duration::from_secs(1)).await;
            for run in &runs {
                assert_eq!(world.run(*run).await.status(), RunStatus::Succeeded);
            }
            assert_eq!(control.reconnected(&workspace, &name(), world.clock.now()).await.unwrap(), []);
            shutdown.request();
        };
        let (ended, ()) = tokio::join!(engine.run(shutdown.clone()), others);
        ended.unwrap();
    });
}

#[test]
fn a_connection_that_is_not_there_or_not_for_the_plugin_fails_the_step() {
    for error in [
        CredentialError::Unknown { name: name() },
        CredentialError::NotForPlugin { name: name(), plugin: "test/tools".parse().unwrap() },
        CredentialError::Sealed { name: name(), reason: "changed".to_owned() },
    ] {
        let code = error.code();
        let world = World::new("- { id: a, uses: test/tools/send@1, connection: crm }", move |_| {
            Answer::error(InvokeError::Connection(error.clone()))
        });
        let run = world.run_while(|world, _, _| async move { world.sleep(Duration::from_hours(1)).await });
        assert_eq!(
            (run.status(), run.steps[0].error().map(|error| error.code.as_str())),
            (RunStatus::Failed, Some(code))
        );
        assert_eq!(world.invoker.calls().len(), 1, "no repetition mends it");
    }
}

fn unauthorized(retryable: bool) -> Answer {
    Answer::error(InvokeError::Action(ActionError {
        code: "unauthorized".to_owned(),
        message: "the service answered 401".to_owned(),
        retryable,
        retry_after_ms: None,
        details: Some(serde_json::json!({ "status": 401 })),
    }))
}

#[test]
fn a_run_parks_when_the_other_side_refuses_its_connection_and_goes_on_when_the_owner_acts() {
    static IS_MENDED: AtomicBool = AtomicBool::new(false);
    let steps = "- { id: a, uses: test/tools/charge@1, connection: crm, retry: { attempts: 1 } }";
    let world =
        World::new(steps, |call| if IS_MENDED.load(Ordering::SeqCst) { echo(call) } else { unauthorized(false) });
    let run = world.run_while(|world, control, id| async move {
        let workspace = WorkspaceId::default_workspace();
        let before = world.clock.now();
        world.sleep(Duration::from_secs(1)).await;
        let run = world.run(id).await;
        let Phase::Parked { reason } = &run.steps[0].phase else { panic!("{:?}", run.steps[0]) };
        assert!(
            reason.contains("`crm`") && reason.contains("answered 401") && reason.contains("rotate crm"),
            "{reason}"
        );
        assert_eq!((run.steps[0].reconnecting(), run.steps[0].refusals()), (Some(name()), 1));
        // The connection is as it was: nothing is tried again and again.
        assert_eq!(control.reconnected(&workspace, &name(), before).await.unwrap(), []);
        IS_MENDED.store(true, Ordering::SeqCst);
        assert_eq!(control.reconnected(&workspace, &name(), world.clock.now()).await.unwrap(), [id]);
        world.sleep(Duration::from_secs(1)).await;
    });
    assert_eq!((run.status(), world.invoker.calls().len()), (RunStatus::Succeeded, 2));
}

#[test]
fn rights_that_are_never_given_fail_the_run_after_three_waits() {
    let steps = "- { id: a, uses: test/tools/charge@1, connection: crm, retry: { attempts: 1 } }";
    let world = World::new(steps, |_| unauthorized(false));
    let run = world.run_while(|world, control, id| async move {
        let workspace = WorkspaceId::default_workspace();
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(control.reconnected(&workspace, &name(), world.clock.now()).await.unwrap(), [id]);
        // From then on nobody acts: what looks after it every minute tries it once a day.
        let acted = world.clock.now();
        for _ in 0..72 {
            world.sleep(Duration::from_hours(1)).await;
            control.reconnected(&workspace, &name(), acted).await.unwrap();
        }
    });
    let error = run.steps[0].error().unwrap();
    assert_eq!(
        (run.status(), error.code.as_str(), world.invoker.calls().len()),
        (RunStatus::Failed, "unauthorized", 4)
    );
    assert!(error.message.contains("3 times before"), "{}", error.message);
}

#[test]
fn unauthorized_without_a_connection_or_meant_to_pass_fails_as_anything_else_does() {
    for (steps, retryable) in [
        ("- { id: a, uses: test/tools/charge@1, retry: { attempts: 1 } }", false),
        ("- { id: a, uses: test/tools/charge@1, connection: crm, retry: { attempts: 1 } }", true),
    ] {
        let world = World::new(steps, move |_| unauthorized(retryable));
        let run = world.run_while(|world, _, _| async move { world.sleep(Duration::from_hours(1)).await });
        assert_eq!((run.status(), world.invoker.calls().len()), (RunStatus::Failed, 1));
    }
}

#[test]
fn an_error_about_a_field_says_which_line_of_the_workflow_it_is() {
    let steps =
        "- id: a\n  uses: test/tools/charge@1\n  retry: { attempts: 1 }\n  with:\n    text: hello\n    sheet: Orders\n";
    for (error, at, line) in [
        (
            InvokeError::Action(ActionError {
                code: "invalid-input".to_owned(),
                message: "there is no sheet `Orders`".to_owned(),
                retryable: false,
                retry_after_ms: None,
                details: Some(serde_json::json!({ "field": "/sheet" })),
            }),
            "steps[0].with.sheet",
            11,
        ),
        (
            InvokeError::InvalidInput { message: "it is no number".to_owned(), pointer: "/text".to_owned() },
            "steps[0].with.text",
            10,
        ),
    ] {
        let world = World::new(steps, move |_| Answer::error(error.clone()));
        let run = world.run_while(|world, _, _| async move { world.sleep(Duration::from_hours(1)).await });
        let error = run.steps[0].error().unwrap();
        assert!(error.message.ends_with(&format!("({at}, line {line})")), "{}", error.message);
        let details = error.details.as_ref().unwrap();
        assert_eq!((details["at"].as_str(), details["line"].as_u64()), (Some(at), Some(line)));
        assert_eq!(
            world.version.source.lines().nth(line as usize - 1).unwrap().trim().split(':').next(),
            at.rsplit('.').next()
        );
    }
}
