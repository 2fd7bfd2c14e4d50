//! The tests that get better with patience, with more of everything: kills under load, power cuts, damaged files, simulated seeds.
//! `cargo xtask test` runs the same tests with the numbers of an ordinary day.

use anyhow::Result;

use crate::{guests, shell};

/// How much of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) kills: u64,
    pub(crate) power_cuts: u64,
    pub(crate) damages: u64,
    pub(crate) faults: u64,
    pub(crate) seeds: u64,
}

pub(crate) fn run(amounts: Amounts) -> Result<()> {
    guests::build()?;
    shell::run(shell::cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    let started = shell::now();
    for (title, package, test, variable, amount) in [
        ("Simulated seeds", "flowcell-engine", "simulated", "FLOWCELL_SEEDS", amounts.seeds),
        ("Power cuts", "flowcell-store", "power_cut", "FLOWCELL_TORTURE_POWER_CUTS", amounts.power_cuts),
        ("Damaged files", "flowcell-store", "damage", "FLOWCELL_TORTURE_DAMAGES", amounts.damages),
        (
            "Failed writes, syncs and renames, each N up to",
            "flowcell-store",
            "faults",
            "FLOWCELL_TORTURE_FAULTS",
            amounts.faults,
        ),
        ("Kills under load", "flowcell-tests", "blackbox", "FLOWCELL_TORTURE_KILLS", amounts.kills),
    ] {
        shell::step(&format!("{title}: {amount}"));
        let mut command = shell::cargo();
        command
            .args(["test", "--locked", "--package", package, "--test", test, "--"])
            .arg("--nocapture")
            .env(variable, amount.to_string());
        // Of the binaries with many tests, the one that is meant.
        match test {
            "simulated" => command.arg("seeds"),
            "blackbox" => command.arg("kills_under_load"),
            _ => &mut command,
        };
        shell::run(&mut command)?;
    }
    println!("\nnothing was lost; it took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
