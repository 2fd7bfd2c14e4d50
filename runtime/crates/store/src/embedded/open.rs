//! Opening: lock, format, sled behind a guard, verification, then the leftovers of unfinished writes are removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::compaction::{self, Compaction, Database};
use super::disk::Disk;
use super::flush::Flusher;
use super::group::{Group, State};
use super::guard::without_panic;
use super::lock::{self, LockError};
use super::manifest::{self, Found, STORE_FORMAT, sync_directory};
use super::mark::Mark;
use super::payload::Payloads;
use super::shared::{self, OnFatal, Shared};
use super::space::{Space, free_bytes};
use super::sync::{DataFile, DiskSync as _};
use super::tables::Trees;
use super::upgrade;
use super::verify;
use super::wal::{self, Wal};
use super::{Options, SLED_DIR};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another Flowcell process{} has {} open; stop it, or use another data directory", .process.map(|id| format!(" ({id})")).unwrap_or_default(), .directory.display())]
    Locked { directory: PathBuf, process: Option<u32> },
    #[error("{} was written by a newer Flowcell (store format {found}; this one reads up to {supported}); install the newer version, or use another data directory", .directory.display())]
    NewerFormat { directory: PathBuf, found: u32, supported: u32 },
    /// Something acknowledged is missing or changed. `advice` says what to do.
    #[error("the store in {} is damaged: {what}: {problem}. {advice}", .directory.display())]
    Damaged { directory: PathBuf, what: String, problem: String, advice: &'static str },
    #[error("could not {what}; check that the directory is there, writable, and that its disk has space")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

/// A thing of the store that is damaged, and how.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) what: String,
    pub(crate) problem: String,
}

const ADVICE: &str = "Copy the directory before anything else, then restore it from a backup; \
    to go on without what it held, move it away and start with an empty one";

/// Present from the first to the last moment of creation: a directory with it has never acknowledged anything.
const CREATING: &str = "CREATING";

/// Size of a segment of sled's log. sled moves records out of an old segment and, once the log has gone on by a segment after that,
/// overwrites the old one; it believes the moved records durable when they are not synced yet. So less than a segment may be logged
/// between two syncs: 4 MiB are sixteen times what a group holds, and sled writes a record some three to six times.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;

/// The formats of the store from which on there is an index of runs that have ended, and a write-ahead log.
const FORMAT_WITH_INDEX: u32 = 2;
const FORMAT_WITH_LOG: u32 = 3;

/// How often, and how far apart, the data file's own lock is tried: sled gives it back a moment after the last handle is dropped.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn open(store: &Path, options: &Options) -> Result<(Shared, Disk), OpenError> {
    let failed = |what: &str| {
        let what = format!("{what} {}", store.display());
        move |source| OpenError::Io { what, source }
    };
    let damaged =
        |Damage { what, problem }| OpenError::Damaged { directory: store.to_owned(), what, problem, advice: ADVICE };

    fs::create_dir_all(store).map_err(failed("create"))?;
    let lock = lock::lock(store).map_err(|error| match error {
        LockError::Taken(process) => OpenError::Locked { directory: store.to_owned(), process },
        LockError::Io(source) => failed("lock")(source),
    })?;
    compaction::remove_leftover(store).map_err(failed("remove the leftovers of a compaction in"))?;
    let sled_dir = store.join(SLED_DIR);
    let mut format = STORE_FORMAT;
    let db = match manifest::read(store).map_err(failed("read the manifest of"))? {
        Found::Format(found) if found > STORE_FORMAT => {
            return Err(OpenError::NewerFormat { directory: store.to_owned(), found, supported: STORE_FORMAT });
        }
        Found::Format(found) => {
            format = found;
            open_sled(&sled_dir, options)
        }
        Found::Damaged(problem) => return Err(damaged(Damage { what: "MANIFEST".to_owned(), problem })),
        Found::Absent => {
            let has_data = ["sled", "blobs", "acknowledged", "wal"].iter().any(|name| store.join(name).exists());
            if has_data && !store.join(CREATING).exists() {
                let problem = "it is missing, and there is data".to_owned();
                return Err(damaged(Damage { what: "MANIFEST".to_owned(), problem }));
            }
            create(store, &sled_dir, options).map_err(failed("create the store in"))?
        }
    };
    let db = db.map_err(|error| match error {
        SledError::Io(source) => failed("open the database in")(source),
        SledError::Damaged(problem) => damaged(Damage { what: "the database".to_owned(), problem }),
    })?;
    remove_if_there(&store.join(CREATING)).map_err(failed("finish the creation of"))?;

    let (mark, acknowledged) = Mark::open(store)
        .map_err(failed("read the file `acknowledged` of"))?
        .map_err(|problem| damaged(Damage { what: "the file `acknowledged`".to_owned(), problem }))?;
    let payloads = Payloads::open(store).map_err(failed("open the payload files of"))?;
    let logged = match wal::read(store).map_err(failed("read the write-ahead log of"))? {
        None if format >= FORMAT_WITH_LOG => {
            return Err(damaged(Damage {
                what: "the write-ahead log".to_owned(),
                problem: "it is missing".to_owned(),
            }));
        }
        logged => logged.unwrap_or_default(),
    };
    let (trees, verified) = without_panic(|| {
        let trees =
            Trees::open(&db).map_err(|error| Damage { what: "the database".to_owned(), problem: error.to_string() })?;
        replay(&Database { trees: trees.clone(), db: db.clone() }, logged)?;
        let verified = verify::verify(&trees, &payloads, acknowledged)?;
        Ok((trees, verified))
    })
    .unwrap_or_else(|problem| Err(Damage { what: "the database".to_owned(), problem }))
    .map_err(damaged)?;
    let orphans = payloads
        .reconcile(verified.payloads)
        .map_err(failed("read the payload files of"))?
        .map_err(|problem| damaged(Damage { what: "a payload file".to_owned(), problem }))?;
    if orphans > 0 {
        tracing::info!(orphans, "removed payload files whose records were never committed");
    }

    let database = compact(store, options, (Database { trees, db }, &verified.state));
    sync_sled_dir(&sled_dir).and_then(|()| sync_directory(store)).map_err(failed("sync"))?;
    let data_file = DataFile::open(&sled_dir).map_err(failed("open the data file in"))?;
    let (group, live_bytes) = (verified.state.group, verified.state.bytes);
    wal::create(store).map_err(failed("create the write-ahead log of"))?;
    let log = Wal::open(store, |sync| (options.wrap_sync)(sync)).map_err(failed("open the write-ahead log of"))?;
    let sync = (options.wrap_sync)(Box::new(data_file));
    let flusher = Flusher::start().map_err(failed("start a thread for"))?;
    let mut disk = Disk::new((flusher, sync), (mark, log), verified.state);
    let on_fatal = OnFatal(std::sync::Arc::clone(&options.on_fatal));
    let shared = Shared::new(
        database,
        payloads,
        (verified.tracker, verified.directory, group),
        (live_bytes, store.to_owned(), Space::new(store, options.watermarks)),
        lock,
        on_fatal,
    );
    if format < STORE_FORMAT {
        upgrade(store, format, (&shared, &mut disk)).map_err(failed("upgrade the store in"))?;
        tracing::info!(
            from = format,
            to = STORE_FORMAT,
            "the store was upgraded; an older Flowcell refuses it from now on"
        );
    }
    Ok((shared, disk))
}

/// Adds what an older format lacks, and only then says that this is the new one.
fn upgrade(store: &Path, from: u32, (shared, disk): (&Shared, &mut Disk)) -> io::Result<()> {
    if from < FORMAT_WITH_INDEX {
        without_panic(|| upgrade::index_ended_runs(shared, disk))
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
    }
    manifest::write(store, STORE_FORMAT)
}

/// Gives the trees what only the log has. They are verified after that, and durable before the log is written to.
fn replay(database: &Database, logged: Vec<(u64, Group)>) -> Result<(), Damage> {
    let before = verify::state(&database.trees)?;
    let mut last = before.group;
    let mut missing = Group::default();
    for (number, group) in logged.into_iter().filter(|(number, _)| *number > before.group) {
        if number != last + 1 {
            let problem = format!("it ends with group {last}, and the write-ahead log begins with group {number}");
            return Err(Damage { what: "the database".to_owned(), problem });
        }
        last = number;
        missing.take(group);
    }
    if last == before.group {
        return Ok(());
    }
    let damage = |problem| Damage { what: "the database".to_owned(), problem };
    missing.commit(&database.trees, &before, last).map_err(damage)?;
    let flusher = Flusher::start().map_err(|error| damage(error.to_string()))?;
    flusher.flush(&database.db).map_err(damage)?;
    tracing::info!(groups = last - before.group, "the last groups were taken from the write-ahead log");
    Ok(())
}

/// Gives the garbage of the data file back, if there is much. What fails costs the copy and nothing else.
fn compact(store: &Path, options: &Options, (old, state): (Database, &State)) -> Database {
    let file_bytes = shared::allocated(&store.join(SLED_DIR)).unwrap_or(0);
    let has_room = free_bytes(store).is_ok_and(|free| free >= state.bytes.saturating_mul(compaction::COPY_PER_LIVE));
    if !compaction::is_worth_it(file_bytes, state.bytes, options) || !has_room {
        return old;
    }
    let copied = Compaction::begin(store, options).and_then(|mut copy| {
        while !copy.copy_piece(&old.trees)? {}
        copy.finish(store, state)
    });
    match copied {
        Ok(database) => {
            let _ = without_panic(|| drop(old));
            let _ = compaction::remove_leftover(store);
            tracing::info!(file_bytes, "the data file was compacted");
            database
        }
        Err(message) => {
            tracing::warn!(message, "the data file was not compacted; it stays as it is");
            old
        }
    }
}

/// Makes an empty store. Whatever lies there has never been acknowledged.
fn create(store: &Path, sled_dir: &Path, options: &Options) -> io::Result<Result<sled::Db, SledError>> {
    File::create(store.join(CREATING))?.sync_all()?;
    sync_directory(store)?;
    if sled_dir.exists() {
        fs::remove_dir_all(sled_dir)?;
    }
    let db = match open_sled(sled_dir, options) {
        Ok(db) => db,
        Err(error) => return Ok(Err(error)),
    };
    let trees = Trees::open(&db).map_err(io::Error::other)?;
    let nothing = State { group: 0, records: std::collections::BTreeMap::new(), bytes: 0 };
    let state = Group::default().commit(&trees, &nothing, 1).map_err(io::Error::other)?;
    Flusher::start()?.flush(&db).map_err(io::Error::other)?;
    DataFile::open(sled_dir)?.sync()?;
    sync_sled_dir(sled_dir)?;
    Mark::create(store, state.group)?;
    Payloads::open(store)?;
    wal::create(store)?;
    manifest::write(store, STORE_FORMAT)?;
    // The directory itself must outlive a power cut, too.
    match store.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent)?,
        _ => sync_directory(Path::new("."))?,
    }
    Ok(Ok(db))
}

pub(crate) enum SledError {
    Io(io::Error),
    Damaged(String),
}

pub(crate) fn open_sled(sled_dir: &Path, options: &Options) -> Result<sled::Db, SledError> {
    // An unfinished snapshot of an open that was cut short: sled would take it for the newest one and give up.
    for file in snapshots_in_the_making(sled_dir).map_err(SledError::Io)? {
        fs::remove_file(file).map_err(SledError::Io)?;
    }
    let config = sled::Config::new()
        .path(sled_dir)
        .cache_capacity(options.cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None);
    let mut tries = 1;
    loop {
        return match without_panic(|| config.open()).map_err(SledError::Damaged)? {
            Ok(db) => Ok(db),
            Err(sled::Error::Io(error)) if is_lock(&error) && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
                continue;
            }
            Err(sled::Error::Io(error)) if tells_of_damage(&error) => Err(SledError::Damaged(error.to_string())),
            Err(sled::Error::Io(error)) => Err(SledError::Io(error)),
            Err(error) => Err(SledError::Damaged(error.to_string())),
        };
    }
}

fn is_lock(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// The kinds that sled makes itself, or that a file which is too short gives.
fn tells_of_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof) && !is_lock(error)
}

fn snapshots_in_the_making(sled_dir: &Path) -> io::Result<Vec<PathBuf>> {
    if !sled_dir.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(sled_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// sled creates and renames files without syncing their directory.
pub(crate) fn sync_sled_dir(sled_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(sled_dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    sync_directory(sled_dir)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
