//! The compile child: reads a component from stdin, checks it, compiles it, links it as a call would, writes the code to stdout.
//! It runs no guest code and has no secrets: no environment, no data directory.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::component::Component;

use crate::compile::{Needs, Order, inspect};
use crate::{engine, host};

/// Exit code for "these bytes will never compile"; the reason is on stderr.
pub(crate) const REFUSED: u8 = 3;

/// Runs the child. `args` are those after the hidden subcommand: one, written by the parent.
pub fn child_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let order = args.into_iter().next().and_then(|order| serde_json::from_str::<Order>(order.to_str()?).ok());
    let Some(order) = order else {
        say("this subcommand is started by Flowcell itself, to compile plugins");
        return ExitCode::from(2);
    };
    match confine(&order).map_err(Problem::Failed).and_then(|()| compile(&order)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Refused(reason)) => {
            say(&reason);
            ExitCode::from(REFUSED)
        }
        Err(Problem::Failed(error)) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

enum Problem {
    Refused(String),
    Failed(std::io::Error),
}

/// Takes limits that cannot be lifted again, and a low priority: calls go first.
fn confine(order: &Order) -> std::io::Result<()> {
    let both = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::As, both(order.address_space_bytes))?;
    // SIGXCPU ends the child at the first, SIGKILL a second later.
    setrlimit(Resource::Cpu, Rlimit { current: Some(order.cpu_seconds), maximum: Some(order.cpu_seconds + 1) })?;
    setrlimit(Resource::Core, both(0))?;
    rustix::process::nice(10)?;
    Ok(())
}

fn compile(order: &Order) -> Result<(), Problem> {
    let mut wasm = Vec::new();
    std::io::stdin().lock().read_to_end(&mut wasm).map_err(Problem::Failed)?;
    inspect::check(&wasm, order).map_err(Problem::Refused)?;
    let refused = |what: &str, error: &wasmtime::Error| Problem::Refused(format!("{what}: {error:#}"));
    let engine =
        engine::for_compiling().map_err(|error| Problem::Failed(std::io::Error::other(format!("{error:#}"))))?;
    let component = Component::from_binary(&engine, &wasm).map_err(|error| refused("it does not compile", &error))?;
    link(&engine, &component, order.needs)
        .map_err(|error| refused("it does not fit the contract flowcell:plugin@1", &error))?;
    let code = component.serialize().map_err(|error| refused("its code cannot be stored", &error))?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&code).and_then(|()| stdout.flush()).map_err(Problem::Failed)
}

/// Resolves and type-checks every import and the promised exports, exactly as loading does.
fn link(engine: &wasmtime::Engine, component: &Component, needs: Needs) -> wasmtime::Result<()> {
    let linker = host::linker(engine)?;
    host::Exports::of(&linker.instantiate_pre(component)?, needs)?;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "stderr is the child's answer to its parent")]
fn say(reason: &str) {
    eprintln!("{reason}");
}
