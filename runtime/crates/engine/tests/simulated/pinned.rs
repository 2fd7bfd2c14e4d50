//! A run stays with the workflow version and the plugin digests it was accepted with.

use std::time::Duration;

use flowcell_core::ports::Clock;
use flowcell_core::run::event::Outcome;
use flowcell_core::run::fold::RunStatus;
use flowcell_testkit::{Answer, sample};
use serde_json::json;

use crate::world::{World, echo};

const RETRIED: &str =
    "- { id: a, uses: test/tools/send@1, with: { v: 1 }, retry: { attempts: 2, initial: 1h, max: 1h } }";

#[test]
fn an_upgrade_while_a_run_waits_does_not_reach_it() {
    let world =
        World::new(
            RETRIED,
            |call| if call.attempt == 1 { Answer::try_again(None) } else { Answer::ok(call.input.clone()) },
        );
    let (old, new) = world.block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let old = world.accept(&world.store, 1).await;
            let upgrade = async {
                world.clock.sleep_until(world.clock.now() + Duration::from_mins(10)).await;
                world.catalog.install(sample::tools("1.1.0"));
                let source = sample::workflow(&RETRIED.replace("v: 1", "v: 2"));
                let mut next = world.clone();
                next.version = sample::version(&source, 2, &*world.catalog);
                next.publish().await;
                next.accept(&world.store, 2).await
            };
            let ((), new) = tokio::join!(world.work(), upgrade);
            (world.run(old).await, world.run(new).await)
        }
    });
    for (run, version, plugin) in [(&old, 1, "1.0.0"), (&new, 2, "1.1.0")] {
        assert_eq!((run.version, run.status()), (version, RunStatus::Succeeded));
        assert_eq!(crate::world::output(run, "a"), Some(&json!({ "v": version })));
        let digest = sample::tools(plugin).digest;
        let calls: Vec<_> = world.invoker.calls().into_iter().filter(|call| call.run == run.id).collect();
        assert_eq!(calls.iter().map(|call| call.digest).collect::<Vec<_>>(), [digest, digest]);
    }
}

#[test]
fn a_plugin_that_is_gone_fails_the_run_and_says_what_to_do() {
    let world = World::new("- { id: a, uses: test/tools/send@1 }", echo);
    world.catalog.remove(&sample::tools("1.0.0").digest);
    let run = world.run_one();
    let Some(Outcome::Failed { error, .. }) = run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!(error.code, "plugin-unavailable");
    assert!(
        error.message.contains("test/tools/send@1") && error.message.contains("put the plugin's file back"),
        "{}",
        error.message
    );
}

#[test]
fn few_workflows_in_memory_only_cost_time() {
    let mut world = World::new("- { id: a, uses: test/tools/send@1 }", echo);
    world.config.workflows_max = 1;
    world.config.concurrency = 3;
    let runs = world.block_on({
        let world = world.clone();
        async move {
            for number in 1..=4 {
                let mut next = world.clone();
                next.version.version = number;
                next.publish().await;
                next.accept(&world.store, number).await;
                next.accept(&world.store, number + 10).await;
            }
            world.work().await;
            world.runs().await
        }
    });
    assert_eq!(runs.iter().filter(|run| run.status == RunStatus::Succeeded).count(), 8);
}
