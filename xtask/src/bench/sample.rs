//! One measurement: load for some seconds, count what came of it.

use anyhow::Result;

use super::bed::{settle, sink_count};
use super::load::{Load, median};
use super::process::Process;

/// What a finished piece of work is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// So many requests at the receiver are one run.
    AtReceiver(u64),
    /// The answer to the caller is the end of the run.
    ByAnswers,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) cpu_us_each: f64,
}

/// Loads one server, counts what was done meanwhile, and waits until all of it is.
pub(super) fn measure(process: &Process, load: &Load<'_>, counted: Counted) -> Result<Sample> {
    let (cpu_before, before) = (process.cpu_seconds()?, sink_count()?);
    let report = load.run()?;
    let (meanwhile, total) = match counted {
        Counted::AtReceiver(each) => {
            let reached = sink_count()? - before;
            (reached / each, (settle()? - before) / each)
        }
        Counted::ByAnswers => (report.answers, report.answers),
    };
    let cpu = process.cpu_seconds()? - cpu_before;
    Ok(Sample {
        per_second: number(meanwhile) / f64::from(load.seconds),
        p50_ms: report.p50_ms,
        p99_ms: report.p99_ms,
        cpu_us_each: cpu * 1e6 / number(total.max(1)),
    })
}

/// The medians of several samples, as the columns of a row.
pub(super) fn row(samples: &[Sample]) -> String {
    let of = |pick: fn(&Sample) -> f64| median(samples.iter().map(pick));
    format!(
        "{:>9.0} {:>8.2} {:>8.2} {:>7.0}",
        of(|s| s.per_second),
        of(|s| s.p50_ms),
        of(|s| s.p99_ms),
        of(|s| s.cpu_us_each)
    )
}

/// A count as a floating-point number; counts stay far below what it holds exactly.
fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
