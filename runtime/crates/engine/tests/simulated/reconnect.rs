//! Steps whose connection waits for its owner: they park, and go on when it is there again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flowcell_core::connection::{CredentialError, Remedy};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::invoke::InvokeError;
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
                    reason.contains("`crm`") && reason.contains("revoked") && reason.contains("rotate crm"),
                    "{reason}"
                );
                assert_eq!(run.steps[0].reconnecting(), Some(name()));
            }
            let other: ConnectionName = "mail".parse().unwrap();
            assert_eq!(control.reconnected(&workspace, &other).await.unwrap(), []);
            // Too early: they park again.
            assert_eq!(control.reconnected(&workspace, &name()).await.unwrap(), runs);
            world.sleep(Duration::from_secs(1)).await;
            assert_eq!(world.run(runs[0]).await.status(), RunStatus::Waiting);
            IS_CONNECTED.store(true, Ordering::SeqCst);
            assert_eq!(control.reconnected(&workspace, &name()).await.unwrap(), runs);
            world.sleep(Duration::from_secs(1)).await;
            for run in &runs {
                assert_eq!(world.run(*run).await.status(), RunStatus::Succeeded);
            }
            assert_eq!(control.reconnected(&workspace, &name()).await.unwrap(), []);
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
