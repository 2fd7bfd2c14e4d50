//! A disk that runs full: deliveries are refused, everything else goes on, nothing accepted is lost, and space is all it takes to go on.
//!
//! On a file system of 24 MiB in memory. Needs root; without it the test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "contract/backend.rs"]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod backend;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use backend::{append, delivery_to, finished, run_id, started, workspace};
use flowcell_core::ports::{
    Durability, Journal as _, Retention as _, RunFilter, RunIndex as _, RunQueue as _, StoreError,
};
use flowcell_store::embedded::{EmbeddedStore, Options, Watermarks};
use serde_json::json;

const DISK: &str = "size=24m";
const WATERMARKS: Watermarks = Watermarks { soft_bytes: 8 << 20, hard_bytes: 4 << 20, ballast_bytes: 2 << 20 };

fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "disk_full: {line}");
}

/// Unmounted when it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(at).output();
        let mounted = mounted.map_err(|error| format!("`mount` cannot be run: {error}"))?;
        if mounted.status.success() {
            return Ok(Self(at.to_owned()));
        }
        Err(format!("`mount` failed: {}", String::from_utf8_lossy(&mounted.stderr).trim()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

async fn accept(store: &EmbeddedStore, number: u64) -> Result<(), StoreError> {
    let text = "x".repeat(if number.is_multiple_of(4) { 30_000 } else { 1_000 });
    store.accept(delivery_to(number, &workspace(), "push", json!({ "number": number, "text": text }))).await.map(drop)
}

/// What happens to a run until it has ended.
async fn end(store: &EmbeddedStore, number: u64) -> Result<(), StoreError> {
    let history = store.load(run_id(number)).await?;
    let write = append(run_id(number), &history, vec![started(1), finished()], Durability::Synced);
    store.append(write).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_deliveries_and_nothing_else_and_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let disk = match Disk::mount(&dir.path().join("disk")) {
        Ok(disk) => disk,
        Err(reason) => return say(&format!("skipped: no disk was filled, because {reason}")),
    };
    let options = Options { watermarks: Some(WATERMARKS), ..Options::default() };
    let store = EmbeddedStore::open(&disk.0.join("store"), &options).unwrap();
    let mut accepted = 0;
    let refusal = loop {
        match accept(&store, accepted + 1).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, StoreError::NoSpace { .. }), "{refusal:?}");
    assert!(disk.0.join("store/ballast").exists());

    // Something else takes what is left.
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![1; 5 << 20]).unwrap();
    let mut ended = 0;
    while ended < accepted && end(&store, ended + 1).await.is_ok() {
        ended += 1;
    }
    say(&format!("{accepted} deliveries until the disk was nearly full, {ended} of their runs ended after that"));
    assert!(ended > 0 && !disk.0.join("store/ballast").exists(), "the ballast makes room to end runs");
    assert!(matches!(accept(&store, 1_000_000).await, Err(StoreError::NoSpace { .. })));

    // Everything that needs no space works, and so does removing.
    assert_eq!(store.load(run_id(accepted)).await.unwrap().len(), if ended == accepted { 3 } else { 1 });
    let filter = RunFilter { workflow: Some("push".parse().unwrap()), ..RunFilter::default() };
    assert_eq!(store.list(&workspace(), filter, None, 10_000).await.unwrap().len() as u64, accepted);
    assert_eq!(store.claim(backend::at(u64::MAX >> 20), 10_000).await.unwrap().len() as u64, accepted - ended);
    let removed = store.remove(&workspace(), &[run_id(1)]).await.unwrap();
    assert_eq!(removed.runs, 1);

    // Space is all it takes.
    fs::remove_file(&filler).unwrap();
    let gone: Vec<_> = (2..=ended).map(run_id).collect();
    store.remove(&workspace(), &gone).await.unwrap();
    let mut again = 0;
    while again < 20 {
        accept(&store, 2_000_000 + again).await.unwrap();
        again += 1;
    }
    for number in ended + 1..=accepted {
        end(&store, number).await.unwrap();
    }
    drop(store);
    let store = EmbeddedStore::open(&disk.0.join("store"), &options).unwrap();
    for number in (ended + 1..=accepted).chain(2_000_000..2_000_000 + again) {
        assert!(!store.load(run_id(number)).await.unwrap().is_empty(), "run {number} was accepted");
    }
}
