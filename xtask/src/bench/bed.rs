//! What every measurement stands on: the receiver, the native proxy, and a Flowcell with a data directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::process::Process;
use crate::{guests, shell};

const SINK_PORT: u16 = 9100;
const PROXY_PORT: u16 = 9102;
const FLOWCELL_PORT: u16 = 9103;

pub(super) struct Bed {
    flowcell: PathBuf,
    data: PathBuf,
    /// A folder of more plugins.
    plugins: Option<PathBuf>,
    /// Lives as long as the rest.
    _sink: Process,
    pub(super) proxy: Process,
    pub(super) server: Process,
}

impl Bed {
    /// Builds all three with optimisation and starts them.
    pub(super) fn make() -> Result<Self> {
        guests::build()?;
        let flowcell = shell::build_flowcell(shell::Profile::Release)?;
        shell::run(shell::cargo().args(["build", "--locked", "--release", "--package", "flowcell-tests", "--bins"]))?;
        let peers = shell::target().join("release");
        let folder = shell::target().join("bench");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let sink = Process::start(&peers.join("sink"), &[&SINK_PORT.to_string()], SINK_PORT)?;
        let sink_url = format!("http://127.0.0.1:{SINK_PORT}/hook");
        let proxy = Process::start(&peers.join("native-proxy"), &[&PROXY_PORT.to_string(), &sink_url], PROXY_PORT)?;
        let data = folder.join("data");
        let server = serve(&flowcell, &data, None)?;
        Ok(Self { flowcell, data, plugins: None, _sink: sink, proxy, server })
    }

    /// Ends the server as a crash would, and starts it again on its data.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.server.end();
        self.server = serve(&self.flowcell, &self.data, self.plugins.as_deref())?;
        Ok(())
    }

    /// Installs so many plugins from a folder: copies of the example, each under an id of its own, as different as their digests.
    pub(super) fn restart_with_plugins(&mut self, count: u32) -> Result<()> {
        const ID: &str = "example/hello";
        let folder = self.data.with_file_name("plugins");
        fs::create_dir_all(&folder)?;
        let component = fs::read(guests::folder().join("hello-plugin.wasm"))?;
        for number in 0..count {
            // As long as the id, so that nothing else in the component moves.
            let id = format!("example/h{number:04}");
            let mut copy = component.clone();
            let places: Vec<usize> = component
                .windows(ID.len())
                .enumerate()
                .filter(|(_, at)| *at == ID.as_bytes())
                .map(|(at, _)| at)
                .collect();
            for at in places {
                copy.get_mut(at..at + ID.len()).context("an id at the end")?.copy_from_slice(id.as_bytes());
            }
            fs::write(folder.join(format!("h{number:04}.wasm")), copy)?;
        }
        self.plugins = Some(folder);
        self.restart()
    }

    /// Publishes a workflow; returns the URL of its trigger.
    pub(super) fn apply(&self, text: &str) -> Result<String> {
        let file = self.data.with_extension("yaml");
        fs::write(&file, text)?;
        let mut apply = Command::new(&self.flowcell);
        apply
            .args(["workflow", "apply"])
            .arg(&file)
            .args(["--json", "--server"])
            .arg(origin())
            .arg("--data")
            .arg(&self.data);
        let applied: Value = serde_json::from_str(&shell::output(&mut apply)?)?;
        let url =
            applied.pointer("/triggers/0/url").and_then(Value::as_str).context("the workflow has no trigger URL")?;
        Ok(url.to_owned())
    }
}

fn serve(flowcell: &Path, data: &Path, plugins: Option<&Path>) -> Result<Process> {
    let as_text = |path: &Path| path.to_str().map(str::to_owned).context("the checkout's path is not UTF-8");
    let (data, listen) = (as_text(data)?, format!("127.0.0.1:{FLOWCELL_PORT}"));
    let plugins = plugins.map(as_text).transpose()?;
    let mut arguments = vec!["serve", "--data", &data, "--listen", &listen, "--egress-allow", "127.0.0.1/32"];
    if let Some(folder) = &plugins {
        arguments.extend(["--plugins", folder]);
    }
    Process::start(flowcell, &arguments, FLOWCELL_PORT)
}

pub(super) fn proxy_url() -> String {
    format!("http://127.0.0.1:{PROXY_PORT}/")
}

fn origin() -> String {
    format!("http://127.0.0.1:{FLOWCELL_PORT}")
}

/// How many requests have reached the receiver.
pub(super) fn sink_count() -> Result<u64> {
    let text = ureq::get(format!("http://127.0.0.1:{SINK_PORT}/count")).call()?.body_mut().read_to_string()?;
    text.parse().context("the sink's count is no number")
}

/// Waits until nothing more arrives at the receiver.
pub(super) fn settle() -> Result<u64> {
    let mut last = sink_count()?;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = sink_count()?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}
