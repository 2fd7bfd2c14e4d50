//! Retries: when, how often, and not.

use std::time::Duration;

use flowcell_core::invoke::{ActionError, InvokeError};
use flowcell_core::run::event::Outcome;
use flowcell_core::run::fold::{Run, RunStatus};
use flowcell_testkit::Answer;
use serde_json::json;

use crate::world::{World, offsets};

const FIVE: &str = "- { id: a, uses: test/tools/send@1, retry: { attempts: 5, initial: 1s, max: 5s } }";

#[test]
fn waits_double_up_to_the_cap_and_keep_the_key() {
    let world = World::new(FIVE, |call| if call.attempt < 5 { Answer::try_again(None) } else { Answer::ok(json!(1)) });
    let run = world.run_one();
    assert_eq!(run.status(), RunStatus::Succeeded);
    assert_eq!(offsets(&world.invoker), [0, 1_000, 3_000, 7_000, 12_000]);
    assert_eq!(world.invoker.effects().into_values().collect::<Vec<_>>(), [5]);
}

#[test]
fn the_budget_ends_the_run_with_the_last_error() {
    let world = World::new(FIVE, |_| Answer::try_again(None));
    let run = world.run_one();
    assert_eq!(world.invoker.calls().len(), 5);
    assert_eq!(failure(&run), ("a".to_owned(), "http-status".to_owned(), true));
}

#[test]
fn the_servers_wish_is_honoured_when_it_is_longer() {
    let world = World::new(FIVE, |call| match call.attempt {
        1 => Answer::try_again(Some(30_000)),
        2 => Answer::try_again(Some(10)),
        _ => Answer::ok(json!(1)),
    });
    world.run_one();
    assert_eq!(offsets(&world.invoker), [0, 30_000, 32_000]);
}

#[test]
fn an_absurd_wish_fails_the_step_and_says_so() {
    let world = World::new(FIVE, |_| Answer::try_again(Some(25 * 3_600_000)));
    let run = world.run_one();
    assert_eq!(world.invoker.calls().len(), 1);
    let Some(Outcome::Failed { error, .. }) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(error.message.contains("more than 24 hours"), "{}", error.message);
}

#[test]
fn a_permanent_failure_stops_at_once() {
    let steps = format!("{FIVE}\n- {{ id: b, uses: test/tools/send@1 }}");
    let world = World::new(&steps, |_| Answer::give_up());
    let run = world.run_one();
    assert_eq!(world.invoker.calls().len(), 1);
    assert_eq!(failure(&run), ("a".to_owned(), "http-status".to_owned(), false));
    assert_eq!(run.status(), RunStatus::Failed);
}

#[test]
fn a_sandbox_that_hangs_is_left_behind_after_the_deadline() {
    let steps = "- { id: a, uses: test/tools/send@1, timeout: 2s, retry: { attempts: 2, initial: 1s, max: 1s } }";
    let world = World::new(steps, |call| if call.attempt == 1 { Answer::never() } else { Answer::ok(json!(1)) });
    let run = world.run_one();
    assert_eq!(run.status(), RunStatus::Succeeded);
    assert_eq!(offsets(&world.invoker), [0, 2_000 + 5_000 + 1_000]);
    let first = run.steps[0].attempts[0].error.as_ref().unwrap();
    assert_eq!(
        (first.code.as_str(), first.message.as_str()),
        (
            "deadline-exceeded",
            "the plugin did not finish within 2000 ms. If what it waits for is slow, raise the timeout of the step and `limits.wall_ms` in its manifest"
        )
    );
}

#[test]
fn the_operators_ceiling_cuts_a_steps_timeout() {
    let mut world = World::new("- { id: a, uses: test/tools/send@1, timeout: 1h }", |_| Answer::ok(json!(1)));
    world.config.step_timeout_max = Duration::from_secs(9);
    world.run_one();
    let call = &world.invoker.calls()[0];
    assert_eq!(call.deadline.since(call.at), Duration::from_secs(9));
}

#[test]
fn a_clock_set_back_or_forward_loses_no_retry() {
    for hours in [-1_i64, 1] {
        let world = World::new(FIVE, |call| {
            if call.attempt < 3 { Answer::try_again(None) } else { Answer::ok(json!(1)) }.after(Duration::from_secs(1))
        });
        let run = world.block_on({
            let world = world.clone();
            async move {
                use flowcell_core::ports::Clock;
                use flowcell_core::time::Timestamp;
                world.publish().await;
                let id = world.accept(&world.store, 1).await;
                let jump = async {
                    world.clock.sleep_until(world.clock.now() + Duration::from_millis(1_500)).await;
                    let now = world.clock.now().as_millis();
                    world.clock.set(Timestamp::from_millis(now.saturating_add_signed(hours * 3_600_000)));
                };
                tokio::join!(world.work(), jump);
                world.run(id).await
            }
        });
        assert_eq!(run.status(), RunStatus::Succeeded, "{hours} h");
    }
}

fn failure(run: &Run) -> (String, String, bool) {
    match &run.outcome {
        Some(Outcome::Failed { step, error }) => (step.to_string(), error.code.clone(), error.retryable),
        other => panic!("the run ended otherwise: {other:?}"),
    }
}

#[test]
fn a_step_that_asks_to_be_called_later_uses_no_attempt_up() {
    let later = |wait_ms| {
        Answer::error(InvokeError::Action(ActionError {
            code: "deferred".to_owned(),
            message: "somebody has quiet hours".to_owned(),
            retryable: true,
            retry_after_ms: Some(wait_ms),
            details: None,
        }))
    };
    // Two attempts are allowed; it waits four times, to the millisecond, and then works.
    let steps = "- { id: a, uses: test/tools/send@1, retry: { attempts: 2, initial: 1s, max: 5s } }";
    let world = World::new(steps, move |call| if call.attempt < 5 { later(3_600_000) } else { Answer::ok(json!(1)) });
    let run = world.run_one();
    assert_eq!(run.status(), RunStatus::Succeeded);
    assert_eq!(offsets(&world.invoker), [0, 3_600_000, 7_200_000, 10_800_000, 14_400_000]);
    // Whoever never has time is given up all the same.
    let world = World::new(steps, move |_| later(1_000));
    assert_eq!(world.run_one().status(), RunStatus::Failed);
    assert_eq!(world.invoker.calls().len(), 101);
}
