//! Everything that building, trying, testing and measuring Flowcell takes, on a fresh machine and with nothing to know beforehand.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod bench;
mod demo;
mod guests;
mod shell;
mod supply_chain;
mod test;
mod tools;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Builds, shows, tests and measures Flowcell.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the main job before your eyes: a webhook comes in, a sandboxed step sends a request, the journal is shown.
    Demo {
        /// Stop the server when the run has been shown, instead of waiting for Ctrl-C.
        #[arg(long)]
        once: bool,
    },
    /// Runs every check: format, lints, supply chain, unit, contract and black-box tests.
    Test,
    /// Sets up the libraries that tests check Flowcell against, in target/tools. `test` does it by itself.
    Tools,
    /// Runs the tests that get better with patience, with more of everything. Takes about half an hour.
    Torture {
        /// `kill -9` under HTTP load.
        #[arg(long, default_value_t = 200)]
        kills: u64,
        /// The power goes while the store writes; needs leave to mount (else it says that it skips).
        #[arg(long, default_value_t = 30)]
        power_cuts: u64,
        /// Flipped bits, zeroed and cut-off files of the store.
        #[arg(long, default_value_t = 500)]
        damages: u64,
        /// The N-th write, sync or rename fails, for each N up to this or to the last one there is.
        #[arg(long, default_value_t = 1_000)]
        faults: u64,
        /// Simulated lives of an engine, with crashes, duplicates and clock jumps.
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// Requests that are broken at random, against the edge.
        #[arg(long, default_value_t = 100_000)]
        mutations: u64,
        /// Clients that send as slowly as they can, at the same time; as many as the limit of open files allows.
        #[arg(long, default_value_t = 2_000)]
        slow_clients: u64,
        /// Seconds under five times the load that the server takes.
        #[arg(long, default_value_t = 60)]
        overload_s: u64,
    },
    /// Builds the plugins and the `flowcell` binary.
    Build {
        /// With optimisation.
        #[arg(long)]
        release: bool,
    },
    /// Runs the examples in the plugins' READMEs with an optimised build, and writes their tables of sizes and costs anew.
    Readmes,
    /// Measures the work of docs/benchmarks.md against a native proxy that keeps no state and has no sandbox, in one run.
    Bench {
        /// How long each measurement lasts, in seconds.
        #[arg(long, default_value_t = 5)]
        seconds: u32,
        /// How often each measurement is taken; the median counts.
        #[arg(long, default_value_t = 5)]
        repeat: u32,
        /// Instead: the main job as the store grows to this many finished runs, with a tenth as many waiting ones, 1,000 workflows and 100 plugins.
        #[arg(long, value_name = "RUNS")]
        grow: Option<u64>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo { once } => demo::run(once),
        Command::Test => test::run(),
        Command::Tools => tools::set_up(),
        Command::Torture { kills, power_cuts, damages, faults, seeds, mutations, slow_clients, overload_s } => {
            torture::run(torture::Amounts {
                kills,
                power_cuts,
                damages,
                faults,
                seeds,
                mutations,
                slow_clients,
                overload_s,
            })
        }
        Command::Build { release } => build(release),
        Command::Readmes => guests::write_readmes(),
        Command::Bench { seconds, repeat, grow } => {
            let growth = grow.map(|runs| bench::Growth { plugins: 100, runs, timers: runs / 10, workflows: 1_000 });
            bench::run(bench::Effort { seconds, repeat }, growth)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(release: bool) -> anyhow::Result<()> {
    guests::build()?;
    let profile = if release { shell::Profile::Release } else { shell::Profile::Dev };
    let binary = shell::build_flowcell(profile)?;
    println!("\nBuilt {}", shell::short(&binary));
    Ok(())
}
