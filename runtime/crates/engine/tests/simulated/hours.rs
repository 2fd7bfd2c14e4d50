//! `settings.window` and `settings.paused` in the engine: what is due outside of them begins when they open, over changes of the clocks too.

use std::sync::Arc;
use std::time::Duration;

use flowcell_core::ports::Clock;
use flowcell_core::run::event::Outcome;
use flowcell_core::run::fold::RunStatus;
use flowcell_core::schedule::ZonedCalendar;
use flowcell_core::time::Timestamp;
use flowcell_testkit::Answer;
use serde_json::json;

use crate::world::{World, echo};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A world at this moment, with these settings and the calendar of the server.
fn world(steps: &str, settings: &str, now: &str) -> World {
    let world = World::new(steps, echo).with(&format!("settings: {{ {settings} }}\n"));
    world.clock.set(at(now));
    World { calendar: Arc::new(ZonedCalendar), ..world }
}

fn called_at(world: &World) -> Vec<String> {
    world.invoker.calls().iter().map(|call| call.at.to_string()).collect()
}

#[test]
fn a_step_that_is_due_outside_the_window_begins_when_it_opens() {
    let window = "timezone: Europe/Berlin, window: { days: [mon, tue, wed, thu, fri], from: '09:00', to: '17:00' }";
    for (now, first) in [
        // A Tuesday: before, inside, at the last moment, after.
        ("2026-02-03T04:00:00Z", "2026-02-03T08:00:00.000Z"),
        ("2026-02-03T12:34:00Z", "2026-02-03T12:34:00.000Z"),
        ("2026-02-03T16:00:00Z", "2026-02-04T08:00:00.000Z"),
        ("2026-02-03T20:00:00Z", "2026-02-04T08:00:00.000Z"),
        // A Friday evening.
        ("2026-02-06T20:00:00Z", "2026-02-09T08:00:00.000Z"),
        // The weekends on which the clocks change: nine o'clock is another moment after each.
        ("2026-03-27T20:00:00Z", "2026-03-30T07:00:00.000Z"),
        ("2026-10-23T20:00:00Z", "2026-10-26T08:00:00.000Z"),
    ] {
        let world = world("- { id: a, uses: test/tools/send@1 }", window, now);
        let run = world.clone().block_on({
            let world = world.clone();
            async move {
                world.publish().await;
                let id = world.accept(&world.store, 1).await;
                let opens = at(first).since(world.clock.now());
                if !opens.is_zero() {
                    let before = opens.checked_sub(Duration::from_millis(1)).unwrap();
                    world.work_for(Arc::new(world.store.clone()), before).await.unwrap();
                    assert_eq!(world.run(id).await.status(), RunStatus::Waiting, "{now}");
                    assert_eq!(world.run(id).await.due_at(), Some(at(first)), "it need not be looked at before");
                    world.store.crash();
                }
                world.work_for(Arc::new(world.store.clone()), Duration::from_secs(1)).await.unwrap();
                world.run(id).await
            }
        });
        assert_eq!((run.outcome, called_at(&world)), (Some(Outcome::Succeeded), vec![first.to_owned()]), "{now}");
    }
}

#[test]
fn an_hour_that_the_change_of_the_clocks_takes_away_opens_after_it_and_one_that_comes_twice_opens_once() {
    // On 29 March 02:00 to 03:00 is not there; on 25 October it is there twice.
    for (window, now, first) in [
        ("from: '02:15', to: '02:45'", "2026-03-28T20:00:00Z", "2026-03-30T00:15:00.000Z"),
        ("from: '02:15', to: '04:00'", "2026-03-28T20:00:00Z", "2026-03-29T01:00:00.000Z"),
        ("from: '02:15', to: '02:45'", "2026-10-24T20:00:00Z", "2026-10-25T00:15:00.000Z"),
    ] {
        let settings = format!("timezone: Europe/Berlin, window: {{ {window} }}");
        let world = world("- { id: a, uses: test/tools/send@1 }", &settings, now);
        assert_eq!(world.run_one().outcome, Some(Outcome::Succeeded), "{window}");
        assert_eq!(called_at(&world), [first], "{window}");
    }
}

#[test]
fn a_step_after_a_step_and_a_retry_wait_for_the_window_too() {
    let steps = "- { id: a, uses: test/tools/send@1, retry: { attempts: 2, initial: 20m, max: 20m } }\n- { id: b, uses: test/tools/send@1 }";
    let world = world(steps, "window: { from: '09:00', to: '10:00' }", "2026-02-03T09:30:00Z");
    let invoker = flowcell_testkit::FakeInvoker::new(&world.clock, |call| {
        let answer = if call.attempt == 1 && call.step.id().as_str() == "a" {
            Answer::try_again(None)
        } else {
            Answer::ok(json!(1))
        };
        answer.delayed(Duration::from_mins(20))
    });
    let mut world = World { invoker, ..world };
    (world.config.step_timeout, world.config.step_timeout_max) = (Duration::from_hours(1), Duration::from_hours(1));
    assert_eq!(world.run_one().outcome, Some(Outcome::Succeeded));
    let expected = ["2026-02-03T09:30:00.000Z", "2026-02-04T09:00:00.000Z", "2026-02-04T09:20:00.000Z"];
    assert_eq!(called_at(&world), expected, "the retry is due at 10:10, after the window");
}

#[test]
fn nothing_begins_on_a_paused_day_and_what_goes_on_goes_on() {
    let settings = "timezone: Europe/Berlin, paused: [2026-12-24, { from: 2026-12-25, to: 2026-12-26 }]";
    let steps = "- { id: pause, wait: { for: 30h } }\n- { id: a, uses: test/tools/send@1 }";
    // The wait began before Christmas and is over on Christmas Day; Boxing Day ends at 23:00 UTC.
    let world = world(steps, settings, "2026-12-23T20:00:00Z");
    let run = world.clone().block_on({
        let world = world.clone();
        async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            world.work_for(Arc::new(world.store.clone()), Duration::from_hours(24 * 5)).await.unwrap();
            world.run(id).await
        }
    });
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(called_at(&world), ["2026-12-26T23:00:00.000Z"]);

    let fresh = self::world("- { id: a, uses: test/tools/send@1 }", settings, "2026-12-24T12:00:00Z");
    let run = fresh.clone().block_on({
        let world = fresh.clone();
        async move {
            world.publish().await;
            let id = world.accept(&world.store, 1).await;
            world.work_for(Arc::new(world.store.clone()), Duration::from_hours(24 * 3)).await.unwrap();
            world.run(id).await
        }
    });
    assert_eq!(
        (run.outcome, called_at(&fresh)),
        (Some(Outcome::Succeeded), vec!["2026-12-26T23:00:00.000Z".to_owned()])
    );
}

#[test]
fn a_run_whose_time_is_over_before_its_window_opens_says_so() {
    let settings = "timeout: 2h, window: { from: '09:00', to: '10:00' }";
    let world = world("- { id: a, uses: test/tools/send@1 }", settings, "2026-02-03T12:00:00Z");
    let run = world.run_one();
    let Some(Outcome::Failed { error, .. }) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!((error.code.as_str(), run.finished_at), ("run-timeout", Some(at("2026-02-03T14:00:00Z"))));
    assert!(error.message.contains("settings.window"), "{}", error.message);
    assert!(world.invoker.calls().is_empty());
}
