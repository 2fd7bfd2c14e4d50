//! A server under measurement: started, watched, and ended by us.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts the program and waits until its port answers.
    pub(crate) fn start(program: &Path, arguments: &[&str], port: u16) -> Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} could not be started", shell::short(program)))?;
        let mut process = Self { child };
        let started = shell::now();
        // A million runs are looked at in half a minute after a crash.
        while started.elapsed() < Duration::from_mins(3) {
            if let Some(status) = process.child.try_wait()? {
                bail!("{} ended at once ({status}); is port {port} taken?", shell::short(program));
            }
            #[expect(clippy::disallowed_methods, reason = "the measured server is on loopback")]
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(process);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} does not answer on port {port}", shell::short(program))
    }

    /// Processor time of the whole process so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let (user, system) = (ticks(11).context("no user time")?, ticks(12).context("no system time")?);
        Ok((user + system) / 100.0) // Linux reports in hundredths of a second on every common configuration
    }

    /// Proportional set size.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        let kib: f64 = pss.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Process {
    /// Kills it, and returns when it is gone.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
