//! The load: `wrk`, from the distribution, with our body.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) url: &'a str,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    pub(crate) script: &'a Path,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report {
    /// Requests that were answered.
    pub(crate) answers: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Load<'_> {
    pub(crate) fn run(&self) -> Result<Report> {
        let mut wrk = Command::new("wrk");
        wrk.args([
            "-t1",
            &format!("-c{}", self.connections),
            &format!("-d{}s", self.seconds),
            "--latency",
            "--timeout",
            "20s",
            "-s",
        ])
        .arg(self.script)
        .arg(self.url);
        let text = shell::output(&mut wrk)?;
        if let Some(errors) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
            bail!("the load did not go through cleanly: {}", errors.trim());
        }
        parse(&text).with_context(|| format!("wrk printed no latencies:\n{text}"))
    }
}

/// Finds wrk, or installs it where that needs no password.
pub(crate) fn require_wrk() -> Result<()> {
    if Command::new("wrk").arg("-v").output().is_ok() {
        return Ok(());
    }
    println!("The load generator wrk is missing; trying to install it.");
    let installed = shell::run(Command::new("apt-get").args(["install", "-y", "-qq", "wrk"]));
    if installed.is_err() || Command::new("wrk").arg("-v").output().is_err() {
        bail!(
            "cargo xtask bench needs the load generator wrk: on Debian, as root, `apt-get update && apt-get install wrk`"
        );
    }
    Ok(())
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn parse(text: &str) -> Option<Report> {
    let latency = |percent: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(percent))?;
        milliseconds(line.trim())
    };
    let answers = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    Some(Report { answers, p50_ms: latency("50%")?, p99_ms: latency("99%")? })
}

/// `123.45us`, `1.23ms`, `2.01s`.
fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)] {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<f64>()
        {
            return Some(number * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_latencies_are_read_in_milliseconds() {
        let text = "  Latency Distribution\n     50%  812.00us\n     75%    1.02ms\n     90%    1.50ms\n     99%    1.20s\n  4711 requests in 3.00s, 1.00MB read\n";
        assert_eq!(parse(text), Some(Report { answers: 4711, p50_ms: 0.812, p99_ms: 1200.0 }));
        assert_eq!(parse("nothing"), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
    }
}
