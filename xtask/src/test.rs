//! Every check, in the order in which a failure is cheapest to find.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{guests, shell, supply_chain, tools};

pub(crate) fn run() -> Result<()> {
    let started = shell::now();
    shell::step("Format");
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    supply_chain::check()?;
    tools::set_up()?;
    guests::build()?;
    shell::step("Lints");
    shell::run(shell::cargo().args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    shell::step("Building everything");
    // The black-box tests start the `flowcell` binary that stands beside them; `cargo test` alone would not build it.
    shell::run(shell::cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    shell::run(shell::cargo().args(["test", "--locked", "--workspace", "--no-run"]))?;
    shell::step("Tests");
    let (passed, failed) = tests()?;
    println!("\nall checks took {:.0} s", started.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} tests failed; their names stand above");
    }
    Ok(())
}

/// Runs the tests, shows what they print, and adds up their counts.
fn tests() -> Result<(u64, u64)> {
    let mut child = shell::cargo()
        .args(["test", "--locked", "--workspace", "--no-fail-fast"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("`cargo test` could not be started")?;
    let output = child.stdout.take().context("a piped output is there")?;
    let (mut passed, mut failed) = (0, 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        if let Some(counts) = line.strip_prefix("test result: ") {
            passed += count(counts, " passed");
            failed += count(counts, " failed");
        }
    }
    let status = child.wait()?;
    if !status.success() && failed == 0 {
        bail!("`cargo test` failed ({status}) without a failed test: a test binary crashed or did not build");
    }
    Ok((passed, failed))
}

/// The number before `word` in `ok. 12 passed; 0 failed; …`.
fn count(text: &str, word: &str) -> u64 {
    text.split(word)
        .next()
        .and_then(|before| before.split(' ').next_back())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_read_from_the_runners_line() {
        let line = "FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!((count(line, " passed"), count(line, " failed")), (12, 3));
    }
}
