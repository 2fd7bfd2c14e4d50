//! Turns a plugin's bytes into machine code, in a child process: Cranelift cannot be interrupted, and a hostile component of 36 KB can keep
//! it busy for minutes (WASM.md §5.1). The child is this very program with a hidden subcommand; it gets limits it cannot lift, no
//! environment, the component on stdin, and answers with code on stdout or a sentence on stderr.
//!
//! This side never parses the component. It must not compile anything itself.

pub mod child;
mod inspect;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use flowcell_core::manifest::{Manifest, TriggerKind};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

const MIB: u64 = 1024 * 1024;

/// What a Rust program ends with that panicked.
const PANICKED: i32 = 101;

/// The program that compiles: it must call [`child::child_main`] with the arguments that follow `args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub limits: CompileLimits,
}

impl Compiler {
    /// This program with the hidden subcommand `__compile`.
    pub fn this_program() -> std::io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: vec!["__compile".into()], limits: CompileLimits::default() })
    }
}

/// What compiling one plugin may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// The largest component. 32 MiB: WASM.md §5.1 (Python guests reach 23 MB).
    pub wasm_bytes: u64,
    /// The largest result. Machine code is about three times its source (WASM.md §2.4), so this fits twice that.
    pub code_bytes: u64,
    /// Processor time, `RLIMIT_CPU`. 30 s: PROMISES G9; Python guests take some 15.
    pub cpu: Duration,
    /// Waiting for it at most. 120 s: WASM.md §5.1; a busy machine stretches 30 s of processor time that far.
    pub wall: Duration,
    /// Address space, `RLIMIT_AS`. 2 GiB: WASM.md §5.1; the largest guest measured peaked at 352 MB resident.
    pub address_space_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            wasm_bytes: 32 * MIB,
            code_bytes: 192 * MIB,
            cpu: Duration::from_secs(30),
            wall: Duration::from_mins(2),
            address_space_bytes: 2048 * MIB,
        }
    }
}

/// What the child is told, as one JSON argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) needs: Needs,
    pub(crate) memory_bytes_max: u64,
    pub(crate) table_elements_max: u64,
    pub(crate) cpu_seconds: u64,
    pub(crate) address_space_bytes: u64,
}

/// The exports that a manifest promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "a set of five interfaces")]
pub(crate) struct Needs {
    pub(crate) action: bool,
    pub(crate) trigger: bool,
    pub(crate) poller: bool,
    pub(crate) subscriber: bool,
    pub(crate) options: bool,
}

impl Needs {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let has = |kind| manifest.triggers.iter().any(|trigger| trigger.kind == kind);
        Self {
            action: !manifest.actions.is_empty(),
            trigger: has(TriggerKind::Webhook),
            poller: has(TriggerKind::Poll),
            subscriber: manifest.triggers.iter().any(|trigger| trigger.subscribes),
            options: manifest.has_options(),
        }
    }
}

/// Why there is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompileError {
    /// The same bytes will fail again.
    #[error("{0}")]
    Refused(String),
    /// It took the time or memory of a whole compilation and was stopped: worth another try, but not at once.
    #[error("{0}")]
    Stopped(String),
    /// The machine's fault or the moment's: worth another try.
    #[error("{0}")]
    Failed(String),
}

/// Compiles one plugin at a time: two would double the memory that compiling may take.
#[derive(Debug)]
pub(crate) struct Compile {
    compiler: Compiler,
    one_at_a_time: Semaphore,
}

impl Compile {
    pub(crate) fn new(compiler: Compiler) -> Self {
        Self { compiler, one_at_a_time: Semaphore::new(1) }
    }

    /// Compiles `wasm`, after any other that is under way. Cancelling kills the child.
    pub(crate) async fn run(
        &self,
        wasm: &[u8],
        order: impl FnOnce(&CompileLimits) -> Order,
    ) -> Result<Vec<u8>, CompileError> {
        let limits = &self.compiler.limits;
        if wasm.len() as u64 > limits.wasm_bytes {
            return Err(CompileError::Refused(format!(
                "the component has {} bytes; at most {} are compiled. Build it with optimisation for size and without debug information",
                wasm.len(),
                limits.wasm_bytes
            )));
        }
        let order = serde_json::to_string(&order(limits)).map_err(|error| CompileError::Failed(error.to_string()))?;
        let Ok(_turn) = self.one_at_a_time.acquire().await else {
            return Err(CompileError::Failed("Flowcell is shutting down".into()));
        };
        // A child process lives in real time, whatever clock the rest of the sandbox is given.
        match tokio::time::timeout(limits.wall, self.child(wasm, &order)).await {
            Ok(done) => done.map_err(|error| CompileError::Failed(format!("the compile process failed: {error}")))?,
            Err(_) => Err(CompileError::Stopped(format!(
                "compiling did not end within {} s, so it was stopped. It can be tried again after some minutes, when the machine is less busy; if it stays so, the component is not fit to be compiled",
                limits.wall.as_secs()
            ))),
        }
    }

    async fn child(&self, wasm: &[u8], order: &str) -> std::io::Result<Result<Vec<u8>, CompileError>> {
        let mut child = Command::new(&self.compiler.program)
            .args(&self.compiler.args)
            .arg(order)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("its pipes are missing"));
        };
        let send = async move {
            // A child that refuses early closes its end; its answer says why.
            let _ = stdin.write_all(wasm).await;
            drop(stdin);
        };
        let code_bytes = self.compiler.limits.code_bytes;
        let ((), code, said) = tokio::join!(send, read(stdout, code_bytes + 1), read(stderr, 16 * 1024));
        let (code, said) = (code?, said?);
        let oversized = code.len() as u64 > code_bytes;
        if oversized {
            child.start_kill()?;
        }
        let status = child.wait().await?;
        if oversized {
            return Ok(Err(CompileError::Refused(format!("its machine code is larger than {code_bytes} bytes"))));
        }
        Ok(self.judge(status, code, String::from_utf8_lossy(&said).trim()))
    }

    fn judge(&self, status: ExitStatus, code: Vec<u8>, said: &str) -> Result<Vec<u8>, CompileError> {
        let limits = &self.compiler.limits;
        if status.success() {
            return Ok(code);
        }
        if status.code() == Some(i32::from(child::REFUSED)) {
            return Err(CompileError::Refused(said.to_owned()));
        }
        if status.code() == Some(PANICKED) {
            return Err(CompileError::Refused(format!(
                "the compile process panicked over it, most likely for want of memory (at most {} MiB are allowed) or by a fault of the compiler. Build it again with another toolchain, or report this: {said}",
                limits.address_space_bytes / MIB
            )));
        }
        match status.signal().and_then(rustix::process::Signal::from_named_raw) {
            Some(rustix::process::Signal::XCPU) => Err(CompileError::Refused(format!(
                "compiling it took more than {} s of processor time, so it was stopped: it is built to be expensive (or an operator must raise the limit)",
                limits.cpu.as_secs()
            ))),
            Some(rustix::process::Signal::ABORT | rustix::process::Signal::SEGV | rustix::process::Signal::BUS) => {
                Err(CompileError::Refused(format!(
                    "compiling it crashed, most likely for want of memory (at most {} MiB are allowed): {said}",
                    limits.address_space_bytes / MIB
                )))
            }
            // Among them SIGKILL: somebody, or the kernel short of memory, stopped it.
            Some(signal) => Err(CompileError::Stopped(format!(
                "the compile process was stopped by signal {}: {said}. It can be tried again after some minutes",
                signal.as_raw()
            ))),
            None => Err(CompileError::Failed(format!("the compile process ended with {status}: {said}"))),
        }
    }
}

/// Reads at most `max` bytes; the rest is left.
async fn read(pipe: impl AsyncRead + Unpin, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
