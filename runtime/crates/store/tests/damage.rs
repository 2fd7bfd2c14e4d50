//! Flipped bits, zeroed and cut-off files: whatever is damaged, it is said, and nothing acknowledged is missing in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "contract/backend.rs"]
#[allow(dead_code, reason = "the contract suite uses the rest")]
mod backend;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use backend::{append, copy_dir, delivery, delivery_to, failed, finished, run_id, started, succeeded, workspace};
use flowcell_core::id::RunId;
use flowcell_core::ports::{Durability, Journal as _, RunFilter, RunIndex as _, StoreError};
use flowcell_core::run::event::Recorded;
use flowcell_store::embedded::{EmbeddedStore, OpenError, Options};
use serde_json::json;

/// Damages in all, unless [`DAMAGES_VARIABLE`] says otherwise; three of four hit the database, where most of the bytes are.
const DAMAGES: u64 = 120;

/// What `cargo xtask torture` sets.
const DAMAGES_VARIABLE: &str = "FLOWCELL_TORTURE_DAMAGES";

/// No open takes this long; sled may also wait for itself for ever.
const PATIENCE: Duration = Duration::from_mins(1);

type Acknowledged = Vec<(RunId, Vec<Recorded>)>;

#[test]
fn damage_is_named_or_harmless_never_silent() {
    let original = tempfile::tempdir().unwrap();
    let acknowledged = fill(original.path());
    let files = files(original.path());
    let (mut refused, mut named, mut harmless) = (0_u64, 0, 0);
    #[expect(clippy::disallowed_methods, reason = "the way to ask a test for more")]
    let damages = std::env::var(DAMAGES_VARIABLE).ok().and_then(|damages| damages.parse().ok()).unwrap_or(DAMAGES);
    for seed in 1..=damages {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let copy = tempfile::tempdir().unwrap();
        copy_dir(original.path(), copy.path());
        let what = damage(copy.path(), &files, &mut dice);
        // Twice: what the first open did to the files must not make the second one believe them.
        for open in 1..=2 {
            match check(copy.path(), &acknowledged) {
                Verdict::Refused(error) => {
                    assert!(
                        !matches!(error, OpenError::Locked { .. } | OpenError::NewerFormat { .. }),
                        "{what}: {error}"
                    );
                    refused += 1;
                }
                Verdict::Named => named += 1,
                Verdict::Harmless => harmless += 1,
                Verdict::Silent(problem) => panic!("damage {seed} ({what}), open {open}: {problem}"),
            }
        }
    }
    let mut report = std::io::stdout().lock();
    std::io::Write::write_fmt(
        &mut report,
        format_args!(
            "{damages} damages, each opened twice: {refused} refused, {named} named on reading, {harmless} harmless\n"
        ),
    )
    .unwrap();
    // The dice must have hit something, or this test could not fail.
    assert!(refused > damages / 3, "{refused} of {damages} damages were noticed");
}

#[test]
fn an_undamaged_copy_is_harmless_and_every_cut_of_the_end_is_noticed() {
    let original = tempfile::tempdir().unwrap();
    let acknowledged = fill(original.path());
    let db = original.path().join("sled/db");
    let bytes = fs::read(&db).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    for cut in [0, 1, 64, 700, 5_000, 60_000] {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(original.path(), copy.path());
        if cut > 0 {
            fs::File::options().write(true).open(copy.path().join("sled/db")).unwrap().set_len(used - cut).unwrap();
        }
        // sled's snapshot points past the cut; without it sled would open the store as it was some groups ago.
        for entry in fs::read_dir(copy.path().join("sled")).unwrap() {
            let path = entry.unwrap().path();
            if cut > 0 && path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                fs::remove_file(path).unwrap();
            }
        }
        match (cut, check(copy.path(), &acknowledged)) {
            // The last bytes may be padding; a group is larger than 1,000.
            (0..1_000, Verdict::Harmless) | (1.., Verdict::Refused(OpenError::Damaged { .. })) => {}
            (_, verdict) => panic!("cut by {cut}: {verdict:?}"),
        }
    }
}

/// Fills a store with runs in every state and returns what was acknowledged.
fn fill(dir: &Path) -> Acknowledged {
    runtime().block_on(async {
        let store = EmbeddedStore::open(dir, &Options::default()).unwrap();
        for number in 1..=80_u64 {
            let mut delivery = match number % 10 {
                0 => delivery_to(number, &workspace(), "push", json!("large ".repeat(2_000))),
                _ => delivery(number),
            };
            delivery.dedupe_key = Some(format!("key {number}"));
            store.accept(delivery).await.unwrap();
            let mut history = store.load(run_id(number)).await.unwrap();
            let events = [
                started(1),
                failed(1, Some(backend::at(number))),
                started(2),
                succeeded(2, json!({"n": number})),
                finished(),
            ];
            for event in events.into_iter().take(usize::try_from(number % 6).unwrap()) {
                let append = append(run_id(number), &history, vec![event], Durability::Synced);
                history.extend(append.entries.clone());
                store.append(append).await.unwrap();
            }
        }
        let mut acknowledged = Vec::new();
        for number in 1..=80 {
            acknowledged.push((run_id(number), store.load(run_id(number)).await.unwrap()));
        }
        // The last that is written: whatever reading makes sled write lies before it.
        store.accept(delivery(81)).await.unwrap();
        acknowledged.push((run_id(81), vec![delivery(81).runs[0].created.clone()]));
        acknowledged
    })
}

#[derive(Debug)]
enum Verdict {
    Refused(OpenError),
    Named,
    Harmless,
    Silent(String),
}

/// Opens the store and compares everything with what was acknowledged.
fn check(dir: &Path, acknowledged: &Acknowledged) -> Verdict {
    let (tell, told) = mpsc::sync_channel(1);
    let (dir, acknowledged) = (dir.to_owned(), acknowledged.clone());
    let judge = std::thread::spawn(move || {
        let verdict = runtime().block_on(judge(&dir, &acknowledged));
        let _ = tell.send(());
        verdict
    });
    match told.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => Verdict::Silent("it does not come to an end".to_owned()),
        _ => judge.join().unwrap_or_else(|_| Verdict::Silent("a panic escaped".to_owned())),
    }
}

async fn judge(dir: &Path, acknowledged: &Acknowledged) -> Verdict {
    let store = match EmbeddedStore::open(dir, &Options::default()) {
        Ok(store) => store,
        Err(error) => return Verdict::Refused(error),
    };
    let mut verdict = Verdict::Harmless;
    for (run, history) in acknowledged {
        match store.load(*run).await {
            Ok(found) if found == *history => {}
            Ok(found) => return Verdict::Silent(format!("{run} has changed: {found:?}")),
            Err(StoreError::Damaged { .. }) => verdict = Verdict::Named,
            Err(error) => return Verdict::Silent(format!("{run}: {error}")),
        }
    }
    match store.list(&workspace(), RunFilter::default(), None, 1_000).await {
        Ok(runs) if runs.len() == acknowledged.len() => {}
        Ok(runs) => return Verdict::Silent(format!("{} runs are listed", runs.len())),
        Err(_) => verdict = Verdict::Named,
    }
    // A delivery that was accepted is known, by its key.
    let mut again = delivery(999);
    again.dedupe_key = Some("key 7".to_owned());
    match store.accept(again).await {
        Ok(accepted) if accepted.duplicate => verdict,
        Ok(_) => Verdict::Silent("a delivery was forgotten".to_owned()),
        Err(_) => Verdict::Named,
    }
}

/// Damages one of the files; returns what was done.
fn damage(dir: &Path, files: &[PathBuf], dice: &mut Dice) -> String {
    let is_db = dice.roll(4) > 0;
    let candidates: Vec<_> = files.iter().filter(|file| file.ends_with("sled/db") == is_db).collect();
    let name = candidates[usize::try_from(dice.roll(candidates.len() as u64)).unwrap()];
    let file = fs::File::options().read(true).write(true).open(dir.join(name)).unwrap();
    let length = file.metadata().unwrap().len().max(1);
    let at = dice.roll(length);
    let how = match dice.roll(3) {
        0 => {
            file.set_len(at).unwrap();
            format!("cut at {at}")
        }
        1 => {
            let count = (1 + dice.roll(4_096)).min(length - at);
            file.write_all_at(&vec![0; usize::try_from(count).unwrap()], at).unwrap();
            format!("{count} bytes zeroed at {at}")
        }
        _ => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            byte[0] ^= 1 << dice.roll(8);
            file.write_all_at(&byte, at).unwrap();
            format!("a bit flipped at {at}")
        }
    };
    format!("{}: {how}", name.display())
}

/// Every file of the store, relative to it; the lock has no content that counts.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                found.push(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// The same throws for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}
