//! The power goes, again and again: what was acknowledged is there afterwards.
//!
//! A file system in an image file is mounted through a loop device; a child process writes to a store in it and prints what
//! was acknowledged. The child is killed and the image copied: it holds what reached the "disk", and nothing of what the kernel
//! still had in memory. The copy is mounted, opened and compared, and the next round goes on in it. The last round leaves the
//! `fdatasync` out and must lose something: else this test could not fail.
//!
//! Needs root, loop devices and `mkfs.ext4`; without them it says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "contract/backend.rs"]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod backend;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use backend::{append, delivery_to, event_id, failed, finished, run_id, started, workspace};
use flowcell_core::ports::{Append, Durability, Journal as _};
use flowcell_core::run::fold::Run;
use flowcell_store::embedded::{DiskSync, EmbeddedStore, Options};
use serde_json::json;

/// Cuts with the sync in place, unless [`ROUNDS_VARIABLE`] says otherwise.
const ROUNDS: u64 = 4;
/// What `cargo xtask torture` sets.
const ROUNDS_VARIABLE: &str = "FLOWCELL_TORTURE_POWER_CUTS";
/// Acknowledgements before a cut: more with every round, so that the cuts fall in different places.
const ACKNOWLEDGED_MIN: usize = 300;
const IMAGE_BYTES: u64 = 96 << 20;
const CHUNK_BYTES: usize = 1 << 20;

/// Set for the child: the directory of the store.
const CHILD_DIR: &str = "FLOWCELL_POWER_CUT_DIR";
/// Set for the child: the first run number.
const CHILD_FIRST: &str = "FLOWCELL_POWER_CUT_FIRST";
/// Set for the child that leaves the sync out.
const CHILD_UNSYNCED: &str = "FLOWCELL_POWER_CUT_UNSYNCED";

/// Run number → entries of its journal that were acknowledged.
type Acknowledged = BTreeMap<u64, usize>;

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = dir.path().join("disk-0.img");
    if let Err(reason) = try_mounting(dir.path(), &image) {
        say(&format!("skipped: no power was cut, because {reason}"));
        return;
    }
    let mut acknowledged = Acknowledged::new();
    #[expect(clippy::disallowed_methods, reason = "the way to ask a test for more")]
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    for round in 1..=rounds {
        let after = dir.path().join(format!("disk-{round}.img"));
        let fresh = cut(dir.path(), &image, &after, Writing { first: round * 1_000_000, is_synced: true });
        let count = fresh.len();
        acknowledged.extend(fresh);
        fs::remove_file(&image).unwrap();
        image = after;
        let lost = compare(dir.path(), &image, &acknowledged);
        assert!(lost.is_empty(), "cut {round} lost {} of {}: {lost:?}", lost.len(), acknowledged.len());
        say(&format!("cut {round}: {count} runs acknowledged since the last, 0 of {} lost", acknowledged.len()));
    }
    let after = dir.path().join("disk-unsynced.img");
    let fresh = cut(dir.path(), &image, &after, Writing { first: (rounds + 1) * 1_000_000, is_synced: false });
    let count = fresh.len();
    let lost = compare(dir.path(), &after, &fresh);
    let example = lost.first().map_or("nothing", String::as_str);
    say(&format!("cut without fdatasync: lost of {count} runs: {example} (and {} more)", lost.len().saturating_sub(1)));
    assert!(!lost.is_empty(), "without the sync nothing was lost either: this test cannot notice a missing sync");
}

/// What the child does.
#[derive(Clone, Copy)]
struct Writing {
    first: u64,
    is_synced: bool,
}

/// Lets a child write to the store in `image`, cuts the power, and leaves in `after` what is on the disk.
fn cut(dir: &Path, image: &Path, after: &Path, writing: Writing) -> Acknowledged {
    let mounted = Mounted::mount(image, &dir.join("mnt")).unwrap();
    let mut child = Writer::start(&mounted.at.join("store"), writing);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let enough = ACKNOWLEDGED_MIN + usize::try_from(writing.first / 1_000_000).unwrap() * 37;
    let mut acknowledged = Acknowledged::new();
    let mut seen = 0;
    for line in lines {
        // The last line may be cut short: it was not said.
        let Ok(line) = line else { break };
        let Some((number, entries)) = parse(&line) else { continue };
        let known = acknowledged.entry(number).or_default();
        *known = entries.max(*known);
        seen += 1;
        if seen == enough {
            child.0.kill().unwrap();
        }
    }
    let status = child.0.wait().unwrap();
    assert!(seen >= enough, "the child ended by itself after {seen} acknowledgements: {status}");
    copy_at_one_moment(image, after).unwrap();
    drop(mounted);
    acknowledged
}

/// `ack NUMBER ENTRIES.`; the test harness prints other lines, and a killed child half a line.
fn parse(line: &str) -> Option<(u64, usize)> {
    let (number, entries) = line.strip_prefix("ack ")?.strip_suffix('.')?.split_once(' ')?;
    Some((number.parse().ok()?, entries.parse().ok()?))
}

/// What of `acknowledged` is not in the store of `image`.
fn compare(dir: &Path, image: &Path, acknowledged: &Acknowledged) -> Vec<String> {
    let mounted = Mounted::mount(image, &dir.join("mnt")).unwrap();
    let opened = EmbeddedStore::open(&mounted.at.join("store"), &Options::default());
    let store = match opened {
        Ok(store) => store,
        Err(error) => return vec![format!("everything: {error}")],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut lost = Vec::new();
        for (number, entries) in acknowledged {
            match store.load(run_id(*number)).await {
                Ok(found) if found.len() >= *entries => {
                    Run::fold(run_id(*number), &found).unwrap();
                }
                Ok(found) => lost.push(format!("run {number}: {} of {entries} entries", found.len())),
                Err(error) => lost.push(format!("run {number}: {error}")),
            }
            // Exactly once: the same delivery again is the same event.
            let again = store.accept(large_or_small(*number)).await.unwrap();
            if !again.duplicate || again.event != event_id(*number) {
                lost.push(format!("run {number} was started twice"));
            }
        }
        lost
    })
}

/// The child: not a test of its own; without its variables it does nothing.
#[test]
fn child_writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "the parent of this very test sets it")]
    let variable = |name| std::env::var(name);
    let Ok(dir) = variable(CHILD_DIR) else { return };
    let first: u64 = variable(CHILD_FIRST).unwrap().parse().unwrap();
    let is_synced = variable(CHILD_UNSYNCED).is_err();
    let mut options = Options::default();
    if !is_synced {
        options.wrap_sync = Arc::new(|_| Box::new(LeftOut));
    }
    let store = Arc::new(EmbeddedStore::open(Path::new(&dir), &options).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for lane in 0..16 {
            let store = Arc::clone(&store);
            writers.spawn(async move {
                for number in (0..100_000).map(|number| first + number * 16 + lane) {
                    // A file of its own is synced with the whole file system: without it, the cut shows the missing sync best.
                    let delivery = if is_synced { large_or_small(number) } else { small(number) };
                    write(&store, number, delivery).await;
                }
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
    });
}

async fn write(store: &EmbeddedStore, number: u64, delivery: flowcell_core::ports::Delivery) {
    let mut history = vec![delivery.runs[0].created.clone()];
    store.accept(delivery).await.unwrap();
    acknowledge(number, history.len());
    // Parts that nobody waits for, then one that somebody does: it vouches for those before it.
    for (event, durability) in [
        (started(1), Durability::NextGroup),
        (failed(1, Some(backend::at(number))), Durability::Synced),
        (started(2), Durability::NextGroup),
        (finished(), Durability::Synced),
    ] {
        let append: Append = append(run_id(number), &history, vec![event], durability);
        history.extend(append.entries.clone());
        store.append(append).await.unwrap();
        if durability == Durability::Synced {
            acknowledge(number, history.len());
        }
    }
}

fn acknowledge(number: u64, entries: usize) {
    let mut out = io::stdout().lock();
    // The parent may be gone; then nobody listens, and nobody is lied to.
    let _ = writeln!(out, "ack {number} {entries}.").and_then(|()| out.flush());
}

fn large_or_small(number: u64) -> flowcell_core::ports::Delivery {
    let mut delivery = small(number);
    if number.is_multiple_of(20) {
        delivery = delivery_to(number, &workspace(), "push", json!({"number": number, "text": "x".repeat(9_000)}));
        delivery.dedupe_key = Some(number.to_string());
    }
    delivery
}

fn small(number: u64) -> flowcell_core::ports::Delivery {
    let mut delivery = delivery_to(number, &workspace(), "push", json!({"number": number, "text": "x".repeat(300)}));
    delivery.dedupe_key = Some(number.to_string());
    delivery
}

struct LeftOut;

impl DiskSync for LeftOut {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The child process, killed when it is dropped.
struct Writer(Child);

impl Writer {
    fn start(store: &Path, writing: Writing) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_writes_until_it_is_killed", "--nocapture"]);
        command.env(CHILD_DIR, store).env(CHILD_FIRST, writing.first.to_string());
        if !writing.is_synced {
            command.env(CHILD_UNSYNCED, "1");
        }
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mounted image; unmounted, and its loop device given back, when it is dropped.
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn mount(image: &Path, at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        // A long commit interval: nothing reaches the image just because time passes.
        run(Command::new("mount").args(["-o", "loop,commit=600"]).arg(image).arg(at))?;
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if run(Command::new("umount").arg(&self.at)).is_err()
            && let Err(problem) = run(Command::new("umount").arg("--lazy").arg(&self.at))
        {
            say(&format!("{} is still mounted: {problem}", self.at.display()));
        }
    }
}

fn try_mounting(dir: &Path, image: &Path) -> Result<(), String> {
    File::create(image).and_then(|file| file.set_len(IMAGE_BYTES)).map_err(|error| error.to_string())?;
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))?;
    Mounted::mount(image, &dir.join("mnt")).map(drop)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("`{name}` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{name}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Copies the image as it was at one moment: until a whole pass finds nothing that has changed since the pass before.
fn copy_at_one_moment(image: &Path, copy: &Path) -> io::Result<()> {
    let (from, to) = (File::open(image)?, File::options().read(true).write(true).create_new(true).open(copy)?);
    to.set_len(IMAGE_BYTES)?;
    let (mut now, mut before) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    for pass in 1..=20 {
        let mut changed = 0;
        for at in (0..IMAGE_BYTES).step_by(CHUNK_BYTES) {
            from.read_exact_at(&mut now, at)?;
            to.read_exact_at(&mut before, at)?;
            if now != before {
                to.write_all_at(&now, at)?;
                changed += 1;
            }
        }
        if changed == 0 && pass > 1 {
            return Ok(());
        }
    }
    Err(io::Error::other("the image does not come to rest"))
}

fn say(line: &str) {
    // Past the harness, which would swallow the reason of a skip.
    let _ = writeln!(io::stderr().lock(), "power_cut: {line}");
}
