//! Components that attack the compiler, or are none.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use flowcell_core::invoke::InvokeError;
use flowcell_sandbox::compile::CompileLimits;
use serde_json::json;

use crate::support::{World, fixture};

/// A component with the exports of an action plugin around a core module's text; the core module is never called.
fn component(core: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (core module $m {core}) (core instance (instantiate $m)))")).unwrap()
}

/// A component whose action returns an empty object; `core` stands beside it in its module.
fn action(core: &str) -> Vec<u8> {
    action_beside("", core)
}

/// The same with more components, modules and instances in front.
fn action_beside(outside: &str, core: &str) -> Vec<u8> {
    let text = include_str!("../../../../../tests/fixtures/action.wat");
    wat::parse_str(text.replacen(";; OUTSIDE\n", outside, 1).replacen(";; CORE\n", core, 1))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A function of `depth` loops within each other, each of which changes `changes` of 400 variables: all of them live everywhere.
fn nested_loops(depth: usize, changes: usize) -> String {
    let mut text = format!("(func (param i32) (local{})", " i32".repeat(400));
    for level in 0..depth {
        text.push_str(" (loop");
        for change in 0..changes {
            let (to, from) = ((level * changes + change) % 400 + 1, (level * 7 + change * 3) % 400 + 1);
            let _ = write!(text, " (local.set {to} (i32.add (local.get {to}) (local.get {from})))");
        }
        let _ = write!(text, " (br_if 0 (local.get {}))", level % 400 + 1);
    }
    text.push_str(&")".repeat(depth + 1));
    text
}

/// Installs and calls it; the reason why it cannot be loaded.
async fn refused(world: &World, wasm: Vec<u8>) -> String {
    let digest = world.install(wasm);
    match world.attack(digest, "act", json!({})).await {
        InvokeError::Unavailable { digest: named, message } => {
            assert_eq!(named, digest);
            assert!(message.starts_with("fixture/made-up 1.0.0: "), "the plugin is named: {message}");
            message
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_component_is_refused_in_words() {
    let world = World::new().await;
    let good = fixture("fixture-hostile").bytes;
    let mut flipped = good.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    for (wasm, part) in [
        (b"#!/bin/sh\nexit 0\n".to_vec(), "not a WebAssembly component"),
        (Vec::new(), "not a WebAssembly component"),
        (wat::parse_str("(module)").unwrap(), "core WebAssembly module, not a component"),
        (good[..good.len() / 3].to_vec(), "damaged"),
        (flipped, "damaged"),
        (wat::parse_str("(component)").unwrap(), "does not export `flowcell:plugin/action@1.x`"),
        (
            wat::parse_str(r#"(component (import "evil:host/backdoor@1.0.0" (instance)))"#).unwrap(),
            "imports `evil:host/backdoor@1.0.0`",
        ),
        (
            wat::parse_str(r#"(component (import "wasi:http/incoming-handler@0.2.0" (instance)))"#).unwrap(),
            "imports `wasi:http/incoming-handler",
        ),
        (
            wat::parse_str(
                r#"(component (instance $empty) (export "flowcell:plugin/action@1.0.0" (instance $empty)))"#,
            )
            .unwrap(),
            "does not fit the contract",
        ),
    ] {
        let message = refused(&world, wasm).await;
        assert!(message.contains(part), "{message}");
    }
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_that_start_too_big_are_refused() {
    let world = World::new().await;
    for (core, part) in [
        ("(memory 40000)", "starts with 2621440000 bytes of memory; at most 16777216"),
        ("(table 5000000 funcref)", "a table of 5000000 elements; at most 100000"),
        ("(memory i64 1)", "damaged or uses features"),
        ("(memory 1 1 shared)", "damaged or uses features"),
    ] {
        let message = refused(&world, component(core)).await;
        assert!(message.contains(part), "{message}");
    }
    // Each table is allowed, all together are not: the call's own limiter sums them.
    let tables = action(&"(table 60000 funcref)".repeat(2));
    let digest = world.install(tables);
    let error = world.attack(digest, "act", json!({})).await;
    assert!(
        matches!(&error, InvokeError::LimitExceeded { message } if message.contains("100000 elements together")),
        "{error}"
    );
    // Likewise memories.
    let memories = action("(memory 200)").into_boxed_slice();
    let digest = world.install(memories);
    let answer = world.act(digest, "act", json!({})).await;
    assert_eq!(answer.outcome, Ok(json!({})), "13 MiB and a page fit into 16 MiB");
    assert_eq!(answer.record.memory_bytes, 201 << 16);
    let digest = world.install(action("(memory 200) (memory 100)"));
    let error = world.attack(digest, "act", json!({})).await;
    assert_eq!(error, InvokeError::MemoryExhausted { limit_bytes: 16 << 20 });
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_are_refused() {
    let world = World::new().await;
    let instances = format!("(core module $empty) {}", "(core instance (instantiate $empty))".repeat(100));
    let message = refused(&world, action_beside(&instances, "")).await;
    assert!(message.contains("101 core module instances") && message.contains("32"), "{message}");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_cannot_grow_without_end() {
    let world = World::new().await;
    let grow = |by: usize| {
        action(&format!(
            "(table $t 1 funcref) (func $s (if (i32.eq (table.grow $t (ref.null func) (i32.const {by})) (i32.const -1)) (then unreachable))) (start $s)"
        ))
    };
    let modest = world.install(grow(1_000));
    assert!(world.act(modest, "act", json!({})).await.outcome.is_ok());
    let greedy = world.install(grow(200_000));
    let error = world.attack(greedy, "act", json!({})).await;
    assert!(
        matches!(&error, InvokeError::LimitExceeded { message } if message.contains("tables may have 100000 elements")),
        "{error}"
    );
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deeply_nested_loops_are_refused_at_sight() {
    let world = World::new().await;
    world.still_serves().await;
    let bomb = component(&nested_loops(400, 1));
    assert!(bomb.len() < 40_000, "{}", bomb.len());
    let started = Instant::now();
    let message = refused(&world, bomb).await;
    assert!(message.contains("more than 64 loops within each other"), "{message}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compile_bomb_below_every_count_is_stopped_and_not_tried_again() {
    let world = World::with(|config| {
        config.compiler.limits =
            CompileLimits { cpu: Duration::from_secs(3), wall: Duration::from_mins(5), ..CompileLimits::default() };
    })
    .await;
    world.still_serves().await;
    let bomb = action(&nested_loops(60, 7).repeat(300));
    let message = refused(&world, bomb.clone()).await;
    assert!(message.contains("more than 3 s of processor time"), "{message}");
    let started = Instant::now();
    assert_eq!(refused(&world, bomb).await, message);
    assert!(started.elapsed() < Duration::from_millis(500), "remembered, not compiled again: {:?}", started.elapsed());
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiling_without_end_or_memory_is_stopped() {
    let world = World::with(|config| {
        config.compiler.limits = CompileLimits { wall: Duration::from_millis(1), ..CompileLimits::default() };
    })
    .await;
    let message = refused(&world, action("")).await;
    assert!(message.contains("did not end within"), "{message}");
    let lookups = world.catalog.lookups.load(Relaxed);
    assert_eq!(refused(&world, action("")).await, message);
    assert_eq!(world.catalog.lookups.load(Relaxed), lookups, "for some minutes it is not tried again");

    let world = World::with(|config| {
        config.compiler.limits =
            CompileLimits { address_space_bytes: 40 << 20, wall: Duration::from_mins(5), ..CompileLimits::default() };
    })
    .await;
    let message = refused(&world, action("")).await;
    assert!(message.contains("memory") || message.contains("compile process"), "{message}");

    let world = World::with(|config| {
        config.compiler.limits = CompileLimits { wasm_bytes: 100, ..CompileLimits::default() };
    })
    .await;
    let message = refused(&world, action("")).await;
    assert!(message.contains("at most 100 are compiled"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_over_which_the_compiler_panics_is_refused_and_not_tried_again() {
    let world = World::with(|config| {
        config.compiler.program = "/bin/sh".into();
        config.compiler.args =
            ["-c", "cat > /dev/null; echo the compiler is confused >&2; exit 101"].map(Into::into).to_vec();
    })
    .await;
    let message = refused(&world, action("")).await;
    assert!(message.contains("panicked") && message.contains("the compiler is confused"), "{message}");
    let lookups = world.catalog.lookups.load(Relaxed);
    assert_eq!(refused(&world, action("")).await, message);
    assert_eq!(world.catalog.lookups.load(Relaxed), lookups, "it is not tried again");
}
