//! A `flowcell serve` of our own, and its CLI.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell;

#[derive(Debug)]
pub(crate) struct Server {
    flowcell: PathBuf,
    data: PathBuf,
    origin: String,
    child: Child,
}

impl Server {
    /// Starts the server on its usual port, or on a free one where that is taken, and waits until it is ready.
    pub(crate) fn start(flowcell: &Path, folder: &Path) -> Result<Self> {
        let data = folder.join("data");
        let usual = TcpListener::bind(("127.0.0.1", 8080)).is_ok();
        let port = if usual { 8080 } else { TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port() };
        let mut command = Command::new(flowcell);
        command
            .arg("serve")
            .arg("--data")
            .arg(&data)
            .args(["--listen", &format!("127.0.0.1:{port}"), "--egress-allow", "127.0.0.1/32"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{} could not be started", shell::short(flowcell)))?;
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).for_each(|line| println!("  {line}"));
            });
        }
        let mut server =
            Self { flowcell: flowcell.to_owned(), data, origin: format!("http://127.0.0.1:{port}"), child };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = shell::now();
        while started.elapsed() < Duration::from_mins(1) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status}); its own words stand above");
            }
            if ureq::get(format!("{}/readyz", self.origin)).call().is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server was not ready after 60 seconds")
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Runs the CLI against this server and gives back what it printed.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Result<String> {
        println!("$ flowcell {}", arguments.join(" "));
        shell::output(
            Command::new(&self.flowcell).args(arguments).args(["--server", &self.origin]).arg("--data").arg(&self.data),
        )
    }

    /// Waits until somebody ends the server.
    pub(crate) fn wait(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The demo's data is its own: nothing is lost by ending it hard.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
