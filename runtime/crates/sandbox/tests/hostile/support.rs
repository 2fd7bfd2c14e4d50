//! A sandbox with its fixtures, a catalog, a real clock, and a network of one loopback server that plays every host.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flowcell_core::capability::{Grant, StepScope};
use flowcell_core::id::{Digest, RunId, WorkspaceId};
use flowcell_core::invoke::{ActionCall, Invocation, InvokeError};
use flowcell_core::manifest::{self, Manifest};
use flowcell_core::plugin::Uses;
use flowcell_core::ports::{Catalog, CatalogError, Clock, Entropy, InstalledPlugin, Invoker, NoBlobs};
use flowcell_core::time::Timestamp;
use flowcell_sandbox::compile::{CompileLimits, Compiler};
use flowcell_sandbox::egress::{Dial, Door, EgressConfig, Network, Resolve};
use flowcell_sandbox::{NoCredentials, NoServices, Ports, Sandbox, SandboxConfig, StaticGrants};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub struct World {
    pub sandbox: Sandbox,
    pub catalog: Arc<Plugins>,
    pub network: Arc<Loopback>,
    pub hostile: Digest,
    pub wasi_http: Digest,
    pub directory: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose configuration `change` has touched.
    pub async fn with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let network = Loopback::start().await;
        let catalog = Arc::new(Plugins::default());
        let (hostile, wasi_http) = (catalog.add(fixture("fixture-hostile")), catalog.add(fixture("fixture-wasi-http")));
        let mut config = SandboxConfig::new(directory.path().join("code"), compiler());
        change(&mut config);
        let sandbox = Sandbox::new(config, ports(&catalog, &network)).unwrap();
        Self { sandbox, catalog, network, hostile, wasi_http, directory }
    }

    /// Installs a component with a manifest of one action, `act`.
    pub fn install(&self, wasm: impl Into<Arc<[u8]>>) -> Digest {
        self.catalog.add(plugin(wasm))
    }

    pub async fn act(&self, digest: Digest, action: &str, input: Value) -> Invocation<Value> {
        self.sandbox.invoke(call(digest, action, input)).await
    }

    /// Runs an attack that must fail.
    pub async fn attack(&self, digest: Digest, action: &str, input: Value) -> InvokeError {
        match self.act(digest, action, input).await.outcome {
            Ok(output) => {
                panic!("`{action}` got through: {}", output.to_string().chars().take(300).collect::<String>())
            }
            Err(error) => error,
        }
    }

    /// The same sandbox still serves a plugin that behaves.
    pub async fn still_serves(&self) {
        let answer = self.act(self.hostile, "behave", json!({ "say": "hello" })).await;
        assert_eq!(answer.outcome.unwrap(), json!({ "echo": "hello", "key": "key-1" }));
    }
}

pub fn ports(catalog: &Arc<Plugins>, network: &Arc<Loopback>) -> Ports {
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let door = Door::with_network(
        EgressConfig::default(),
        Arc::clone(&clock),
        Network { resolve: Arc::clone(network) as _, dial: Arc::clone(network) as _ },
    );
    let granted = |plugin: &str| Grant {
        plugin: plugin.parse().unwrap(),
        http: vec!["http://granted.test".parse().unwrap()],
        services: vec![],
    };
    let grants = StaticGrants::new(vec![granted("fixture/hostile"), granted("fixture/wasi-http")]);
    Ports {
        catalog: Arc::clone(catalog) as _,
        door,
        grants: Arc::new(grants),
        credentials: Arc::new(NoCredentials),
        blobs: Arc::new(NoBlobs),
        services: Arc::new(NoServices),
        clock,
        entropy: Arc::new(Random),
    }
}

pub fn compiler() -> Compiler {
    Compiler {
        program: env!("CARGO_BIN_EXE_flowcell-compile").into(),
        args: Vec::new(),
        // Generous: other tests compile at the same time, and a debug build is slow.
        limits: CompileLimits { wall: Duration::from_mins(5), ..CompileLimits::default() },
    }
}

pub fn call(digest: Digest, action: &str, input: Value) -> ActionCall {
    ActionCall {
        digest,
        action: action.into(),
        workspace: WorkspaceId::default_workspace(),
        workflow: "test".parse().unwrap(),
        run: RunId::from_parts(RealClock.now(), 1),
        step: "attack".parse().unwrap(),
        attempt: 1,
        idempotency_key: "key-1".into(),
        deadline: RealClock.now() + Duration::from_mins(10),
        input,
        scope: StepScope::default(),
        connection: None,
    }
}

/// A guest that xtask has built.
pub fn fixture(package: &str) -> InstalledPlugin {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../../target/guests/{package}.wasm"));
    let bytes = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask build` first", path.display()));
    let manifest = embedded_manifest(&bytes)
        .unwrap_or_else(|| panic!("{} has no manifest; run `cargo xtask build` first", path.display()));
    InstalledPlugin { manifest, digest: Digest::of(&bytes), bytes: bytes.into(), origin: "test".into() }
}

fn embedded_manifest(bytes: &[u8]) -> Option<Manifest> {
    let mut depth = 0;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::CustomSection(section) if depth == 1 && section.name() == manifest::SECTION => {
                return Some(serde_json::from_slice(section.data()).unwrap());
            }
            _ => {}
        }
    }
    None
}

/// A plugin around `wasm`, whose manifest lists the action `act`.
pub fn plugin(wasm: impl Into<Arc<[u8]>>) -> InstalledPlugin {
    let bytes = wasm.into();
    let manifest = serde_json::from_value(json!({
        "id": "fixture/made-up", "version": "1.0.0", "api": "flowcell:plugin@1", "title": "Made up",
        "actions": [{ "id": "act", "title": "Act", "input": true, "output": true }],
        "limits": { "memory_mib": 16 },
    }));
    InstalledPlugin { manifest: manifest.unwrap(), digest: Digest::of(&bytes), bytes, origin: "test".into() }
}

#[derive(Default)]
pub struct Plugins {
    plugins: Mutex<HashMap<Digest, Arc<InstalledPlugin>>>,
    /// How often a plugin was looked up: once per load.
    pub lookups: AtomicUsize,
}

impl Plugins {
    pub fn add(&self, plugin: InstalledPlugin) -> Digest {
        let digest = plugin.digest;
        self.plugins.lock().unwrap().insert(digest, Arc::new(plugin));
        digest
    }
}

impl Catalog for Plugins {
    fn resolve(&self, uses: &Uses) -> Result<Arc<InstalledPlugin>, CatalogError> {
        Err(CatalogError::UnknownPlugin { plugin: uses.plugin.to_string(), similar: None })
    }
    fn by_digest(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>> {
        self.lookups.fetch_add(1, Relaxed);
        self.plugins.lock().unwrap().get(digest).cloned()
    }
    fn list(&self) -> Vec<Arc<InstalledPlugin>> {
        self.plugins.lock().unwrap().values().cloned().collect()
    }
}

pub struct RealClock;

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap())
    }
    async fn sleep_until(&self, at: Timestamp) {
        while self.now() < at {
            tokio::time::sleep(at.since(self.now())).await;
        }
    }
}

pub struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

/// One server on loopback that answers for every address, behind public addresses for every name but `inside.test`.
pub struct Loopback {
    address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    _stop: tokio_util::sync::DropGuard,
}

impl Loopback {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (stop.clone(), Arc::clone(&connections));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                tokio::spawn(stopped.clone().run_until_cancelled_owned(serve(stream)));
            }
        }));
        Arc::new(Self { address, connections, _stop: stop.drop_guard() })
    }
}

#[async_trait]
impl Resolve for Loopback {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        // 203.0.113.0/24 and its like are refused as documentation; this one is public.
        Ok(vec![if host == "inside.test" { [10, 0, 0, 1] } else { [93, 184, 216, 34] }.into()])
    }
}

#[async_trait]
impl Dial for Loopback {
    async fn dial(&self, _judged: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(self.address).await
    }
}

/// Answers requests by path, whatever their bodies say, until the peer hangs up.
async fn serve(mut stream: TcpStream) {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
        seen.extend_from_slice(&piece[..read]);
        while let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            seen.drain(..end + 4);
            let mut body = content_length(&head).saturating_sub(seen.len());
            seen.drain(..content_length(&head).min(seen.len()));
            while body > 0 {
                let most = body.min(piece.len());
                let Ok(read @ 1..) = stream.read(&mut piece[..most]).await else { return };
                body -= read;
            }
            if answer(&mut stream, head.split(' ').nth(1).unwrap_or_default()).await.is_err() {
                return;
            }
        }
    }
}

fn content_length(head: &str) -> usize {
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    length.map_or(0, |length| length.trim().parse().unwrap())
}

async fn answer(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    match path {
        "/never" => std::future::pending().await,
        "/large" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20971520\r\n\r\n").await?;
            for _ in 0..20 {
                stream.write_all(&vec![b'x'; 1 << 20]).await?;
            }
            Ok(())
        }
        "/headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            for number in 0..10_000 {
                stream.write_all(format!("x-flood-{number}: {}\r\n", "x".repeat(100)).as_bytes()).await?;
            }
            stream.write_all(b"content-length: 0\r\n\r\n").await
        }
        "/drip" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n.").await?;
            std::future::pending().await
        }
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-answer: yes\r\n\r\nok").await,
    }
}

/// Where the sandbox keeps compiled code.
pub fn code_files(world: &World, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.directory.path().join("code")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}
