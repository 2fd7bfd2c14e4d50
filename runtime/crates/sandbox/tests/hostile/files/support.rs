//! A sandbox with the files fixture, and a folder for its directories.

use std::path::PathBuf;
use std::sync::Arc;

use flowcell_core::capability::{Grant, Service};
use flowcell_core::id::Digest;
use flowcell_core::invoke::Invocation;
use flowcell_core::ports::{InstalledPlugin, Invoker as _};
use flowcell_sandbox::{Ports, Sandbox, SandboxConfig, StaticGrants};
use serde_json::{Value, json};

use crate::support::{Loopback, Plugins, call, compiler, fixture, ports};

pub const MIB: u64 = 1024 * 1024;

pub struct FilesWorld {
    pub sandbox: Sandbox,
    pub guest: Digest,
    /// The same plugin under the name `other/files`.
    other: Digest,
    pub directory: tempfile::TempDir,
    _network: Arc<Loopback>,
}

/// What there is to be said before there is a world.
pub struct Plan {
    guest: InstalledPlugin,
    granted: Vec<Service>,
}

impl FilesWorld {
    #[expect(clippy::new_ret_no_self, reason = "what follows says what kind of world")]
    pub fn new() -> Plan {
        Plan { guest: fixture("fixture-files"), granted: vec![Service::Files] }
    }

    /// Where all directories are kept.
    pub fn kept(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// The fixture's own directory.
    pub fn home(&self) -> PathBuf {
        self.kept().join("default/fixture/files")
    }

    pub async fn act(&self, lines: Value) -> Invocation<Value> {
        self.sandbox.invoke(call(self.guest, "do", json!({ "do": lines }))).await
    }

    pub async fn act_as_other(&self, lines: Value) -> Invocation<Value> {
        self.sandbox.invoke(call(self.other, "do", json!({ "do": lines }))).await
    }

    /// What came of each line.
    pub async fn told(&self, lines: Value) -> Vec<Value> {
        let output = self.act(lines).await.outcome.unwrap();
        assert_eq!((&output["directories"], &output["mounted_at"]), (&json!(1), &json!("/data")));
        output["told"].as_array().unwrap().clone()
    }
}

impl Plan {
    pub async fn open(self) -> FilesWorld {
        let Self { guest, granted } = self;
        let directory = tempfile::tempdir().unwrap();
        let network = Loopback::start().await;
        let catalog = Arc::new(Plugins::default());
        let mut other = guest.clone();
        other.manifest.id = "other/files".parse().unwrap();
        // An empty custom section: other bytes, and so another digest.
        let bytes = [&guest.bytes[..], &[0, 2, 1, b'x']].concat();
        (other.digest, other.bytes) = (Digest::of(&bytes), bytes.into());
        let (guest, other) = (catalog.add(guest), catalog.add(other));
        let grant = |plugin: &str| Grant { plugin: plugin.parse().unwrap(), http: vec![], services: granted.clone() };
        let grants = StaticGrants::new(vec![grant("fixture/files"), grant("other/files")]);
        let ports = Ports { grants: Arc::new(grants), ..ports(&catalog, &network) };
        let config = SandboxConfig {
            files_directory: Some(directory.path().join("files")),
            ..SandboxConfig::new(directory.path().join("code"), compiler())
        };
        let sandbox = Sandbox::new(config, ports).unwrap();
        FilesWorld { sandbox, guest, other, directory, _network: network }
    }

    pub async fn without_capability(mut self) -> FilesWorld {
        self.guest.manifest.capabilities.files = None;
        self.open().await
    }

    pub async fn without_grant(mut self) -> FilesWorld {
        self.granted.clear();
        self.open().await
    }

    pub async fn with_quota_mib(mut self, quota_mib: u32) -> FilesWorld {
        if let Some(files) = &mut self.guest.manifest.capabilities.files {
            files.quota_mib = quota_mib;
        }
        self.open().await
    }
}
