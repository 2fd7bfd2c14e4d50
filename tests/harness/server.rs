//! A `flowcell serve` in a process of its own, on its own data directory, and the CLI that talks to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::client::{self, Answer};
use crate::eventually;

/// How the server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More arguments to `serve`, such as `--plugins DIR`.
    pub arguments: Vec<String>,
    /// Without `--egress-allow 127.0.0.1/32`, which the tests' receiver needs.
    pub closed_egress: bool,
    /// The text of its configuration file (TOML); none if empty.
    pub config: String,
}

#[derive(Debug)]
pub struct Server {
    options: Options,
    folder: tempfile::TempDir,
    child: Child,
    origin: String,
    log: Arc<Mutex<String>>,
}

/// What `workflow apply` said.
#[derive(Debug, Clone)]
pub struct Applied {
    pub id: String,
    pub version: u64,
    /// The trigger's URL; empty when something else than requests starts runs.
    pub url: String,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct CliOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CliOutput {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, origin, log) = spawn(&options, &folder.path().join("data"));
        Self { options, folder, child, origin, log }
    }

    /// `http://127.0.0.1:port`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything the server has printed since it was last started.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the process at once, as a crash does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the process has ended, after [`Server::signal`]; `None` when a signal ended it.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Asks the process to end and waits; `None` when a signal ended it.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.ended()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Starts again on the same data directory, after [`Server::kill`] or [`Server::terminate`].
    pub fn restart(&mut self) {
        let (child, origin, log) = spawn(&self.options, &self.folder.path().join("data"));
        (self.child, self.origin, self.log) = (child, origin, log);
    }

    /// Starts again with other arguments.
    pub fn restart_with(&mut self, options: Options) {
        self.options = options;
        self.restart();
    }

    /// Runs the CLI against this server.
    pub fn cli(&self, arguments: &[&str]) -> CliOutput {
        let output = Command::new(flowcell())
            .args(arguments)
            .args(["--server", &self.origin])
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        CliOutput::from(output)
    }

    /// Adds a connection whose secret stands in a file; `more` are the command's other arguments.
    pub fn connect(&self, name: &str, (kind, secret): (&str, &str), more: &[&str]) {
        let file = self.folder().join(format!("{name}.secret"));
        std::fs::write(&file, secret).unwrap();
        let arguments = ["connection", "add", name, "--kind", kind, "--secret-file", file.to_str().unwrap()];
        let added = self.cli(&[arguments.as_slice(), more].concat());
        assert_eq!(added.code, Some(0), "{added:?}");
    }

    /// Applies a workflow; panics with the CLI's words when it is refused.
    pub fn apply(&self, workflow: &str) -> Applied {
        let output = self.try_apply(workflow);
        assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
        let said = output.json();
        // Only what requests start has one. After a restart the port is another one; the path stays.
        let url = said.pointer("/triggers/0/url").and_then(Value::as_str);
        let path =
            url.map(|url| url.split_once("/hooks/").map_or_else(|| panic!("an odd URL: {url}"), |(_, rest)| rest));
        Applied {
            id: said.pointer("/id").and_then(Value::as_str).unwrap().to_owned(),
            version: said.pointer("/version").and_then(Value::as_u64).unwrap(),
            url: path.map(|path| format!("{}/hooks/{path}", self.origin)).unwrap_or_default(),
        }
    }

    pub fn try_apply(&self, workflow: &str) -> CliOutput {
        let file = self.folder.path().join("workflow.yaml");
        std::fs::write(&file, workflow).unwrap();
        self.cli(&["workflow", "apply", file.to_str().unwrap(), "--json"])
    }

    /// The same trigger's URL after a restart on another port.
    pub fn rebase(&self, url: &str) -> String {
        let (_, path) = url.split_once("/hooks/").unwrap();
        format!("{}/hooks/{path}", self.origin)
    }

    /// A resume link after a restart on another port.
    pub fn rebase_link(&self, link: &str) -> String {
        let (_, path) = link.split_once("/resume/").unwrap_or_else(|| panic!("no resume link: {link}"));
        format!("{}/resume/{path}", self.origin)
    }

    /// Calls the REST API with the administrator's token.
    pub fn api(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let token = std::fs::read_to_string(self.data().join("admin-token")).unwrap();
        let authorization = format!("Bearer {}", token.trim());
        client::request(method, &format!("{}{path}", self.origin), &[("authorization", &authorization)], body).unwrap()
    }

    pub fn run(&self, run: &str) -> Value {
        let answer = self.api("GET", &format!("/api/v2/runs/{run}"), b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until the run has one of the states and returns it.
    pub fn wait_for_run(&self, run: &str, states: &[&str]) -> Value {
        eventually(&format!("{run} in {states:?}; the log:\n{}", self.log()), Duration::from_mins(1), || {
            let shown = self.run(run);
            let status = shown.pointer("/status").and_then(Value::as_str).unwrap_or_default().to_owned();
            states.contains(&status.as_str()).then_some(shown)
        })
    }

    /// Waits for the end of a run that kills may have cut short. A step that several of them hit in a row waits for somebody who says whether it
    /// is to be repeated: that is a stated wait, and the answer ends it.
    pub fn end_of_run(&self, run: &str) -> Value {
        eventually(&format!("the end of {run}; the log:\n{}", self.log()), Duration::from_mins(1), || {
            let shown = self.run(run);
            let step = shown.pointer("/steps/0").cloned().unwrap_or_default();
            if step.get("status").is_some_and(|status| status == "parked") {
                let id = step.get("id").and_then(Value::as_str).unwrap_or_default();
                self.api("POST", &format!("/api/v2/runs/{run}/steps/{id}/decide"), br#"{"repeat": true}"#);
            }
            let status = shown.pointer("/status").and_then(Value::as_str).unwrap_or_default();
            matches!(status, "succeeded" | "failed").then_some(shown)
        })
    }

    /// Posts a JSON body to a trigger, expects 202, returns the first run's id.
    pub fn trigger(&self, url: &str, body: &Value) -> String {
        let answer = client::post(url, body).unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json().pointer("/run_ids/0").and_then(Value::as_str).unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            #[allow(clippy::print_stderr, reason = "the log explains the failure")]
            {
                eprintln!("── the server's log ──\n{}", self.log());
            }
        }
    }
}

impl From<Output> for CliOutput {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl CliOutput {
    /// Runs a command that needs no server.
    pub fn of(arguments: &[&str]) -> Self {
        Self::from(Command::new(flowcell()).args(arguments).stdin(Stdio::null()).output().unwrap())
    }
}

/// Starts the binary on a free port and waits until it is ready.
fn spawn(options: &Options, data: &Path) -> (Child, String, Arc<Mutex<String>>) {
    let mut command = Command::new(flowcell());
    command.arg("serve").arg("--data").arg(data).args(["--listen", "127.0.0.1:0"]);
    if !options.closed_egress {
        command.args(["--egress-allow", "127.0.0.1/32"]);
    }
    if !options.config.is_empty() {
        let config = data.with_file_name("flowcell.toml");
        std::fs::write(&config, &options.config).unwrap();
        command.arg("--config").arg(config);
    }
    command.args(&options.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    for output in [
        child.stdout.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>),
        child.stderr.take().map(|err| Box::new(err) as Box<dyn std::io::Read + Send>),
    ]
    .into_iter()
    .flatten()
    {
        let log = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
    }
    let said = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let origin = eventually("the server says where it listens", Duration::from_mins(1), || {
        assert!(child.try_wait().unwrap().is_none(), "the server ended at once:\n{}", said());
        said().split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).map(str::to_owned)
    });
    eventually("the server is ready", Duration::from_mins(1), || {
        client::get(&format!("{origin}/readyz")).ok().filter(|answer| answer.status == 200)
    });
    (child, origin, log)
}

/// The binary that stands beside the tests.
fn flowcell() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let binary = here.parent().and_then(Path::parent).unwrap().join("flowcell");
    assert!(binary.exists(), "{} is missing: run `cargo xtask build` first", binary.display());
    binary
}
