//! The tests that get better with patience, with more of everything: kills under load, power cuts, damaged files, simulated seeds, broken
//! requests, slow clients, overload.
//! `cargo xtask test` runs the same tests with the numbers of an ordinary day.

use anyhow::Result;

use crate::{guests, shell};

/// How much of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    pub(crate) damages: u64,
    pub(crate) seeds: u64,
    pub(crate) mutations: u64,
    pub(crate) slow_clients: u64,
    pub(crate) overload_s: u64,
}

pub(crate) fn run(amounts: Amounts) -> Result<()> {
    guests::build()?;
    shell::run(shell::cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    let started = shell::now();
    // The last is which of a binary's tests is meant.
    for (title, package, test, variable, amount, only) in [
        ("Simulated seeds", "flowcell-engine", "simulated", "FLOWCELL_SEEDS", amounts.seeds, "seeds"),
        ("Power cuts", "flowcell-store", "power_cut", "FLOWCELL_TORTURE_POWER_CUTS", amounts.power_cuts, ""),
        ("Damaged files", "flowcell-store", "damage", "FLOWCELL_TORTURE_DAMAGES", amounts.damages, ""),
        ("Kills under load", "flowcell-tests", "blackbox", "FLOWCELL_TORTURE_KILLS", amounts.kills, "kills_under_load"),
        (
            "Broken requests",
            "flowcell-tests",
            "blackbox",
            "FLOWCELL_TORTURE_MUTATIONS",
            amounts.mutations,
            "edge::mutations",
        ),
        (
            "Slow clients",
            "flowcell-tests",
            "blackbox",
            "FLOWCELL_TORTURE_SLOW_CLIENTS",
            amounts.slow_clients,
            "edge::slow",
        ),
        (
            "Seconds of overload",
            "flowcell-tests",
            "blackbox",
            "FLOWCELL_TORTURE_OVERLOAD_S",
            amounts.overload_s,
            "edge::overload",
        ),
    ] {
        shell::step(&format!("{title}: {amount}"));
        let mut command = shell::cargo();
        command
            .args(["test", "--locked", "--package", package, "--test", test, "--"])
            .arg("--nocapture")
            .args((!only.is_empty()).then_some(only))
            .env(variable, amount.to_string());
        shell::run(&mut command)?;
    }
    println!("\nnothing was lost; it took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
