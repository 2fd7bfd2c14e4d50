//! The one thread that writes. It takes what is queued, at most [`GROUP_WRITES_MAX`] writes, and makes it durable with one write to the log
//! and one sync; only then it answers. While it syncs, the next group gathers; a caller who is alone never waits for more to come, and where many
//! come at once a group waits a moment for the others ([`BUSY_WAIT`]). The trees follow when there is enough for them, when somebody waits to
//! read, or when there is nothing else to do ([`super::disk`]). What nobody waits for ([`Durability::NextGroup`], a release) lies for up to
//! [`UNAWAITED_WAIT`], to ride with what somebody does.
//!
//! [`Durability::NextGroup`]: flowcell_core::ports::Durability::NextGroup

mod apply;
mod compact;
mod contacts;
mod write;

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use flowcell_core::ports::StoreError;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::disk::Disk;
use super::guard::without_panic;
use super::shared::Shared;
use super::{Options, ignore_poison};
use apply::Applied;
pub(crate) use apply::{DeliveredRows, Seen, TriggerWrite};
pub(crate) use write::{
    AcceptWrite, AppendWrite, ConnectionWrite, ContactsWrite, CursorWrite, DefineWrite, RemoveWrite, Reply,
    RotateWrite, RowsWrite, Write,
};

/// Writes in one group: at some eight records each it is applied in a few milliseconds, about as long as a sync takes, so
/// a larger group would make everybody wait longer and the disk no busier (PROMISES §1, 1).
const GROUP_WRITES_MAX: usize = 256;

/// Keys and records in one group, in bytes: a sixteenth of a segment of the log (see [`super::open::SEGMENT_BYTES`]).
const GROUP_BYTES_MAX: usize = super::open::SEGMENT_BYTES / 16;

/// How long writes that nobody waits for may lie: at most 2 ms (PROMISES §1, 1), so that a sync serves the results of one run
/// and the acceptance of the next.
const UNAWAITED_WAIT: Duration = Duration::from_millis(2);

/// Callers that waited for one group: so many are busy together, and as many more are on their way. Single ones never wait for one another.
const BUSY_CALLERS: usize = 4;

/// How long the group after such a one gathers before it begins: half of what a write may wait (PROMISES §1, 1), since the group before it may
/// have been syncing when the write came. Each group costs a sync and wakes those who wait for it.
const BUSY_WAIT: Duration = Duration::from_millis(1);

/// The writer's queue, and its end.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Write>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriterHandle {
    /// A place in the queue, at once or not at all.
    pub(crate) fn try_reserve(&self) -> Result<mpsc::Permit<'_, Write>, StoreError> {
        let queue = self.open_queue()?;
        queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(()) => self.shared.refusal(),
        })
    }

    /// A place in the queue, as soon as there is one.
    pub(crate) async fn reserve(&self) -> Result<mpsc::Permit<'_, Write>, StoreError> {
        let queue = self.open_queue()?;
        queue.reserve().await.map_err(|_| self.shared.refusal())
    }

    fn open_queue(&self) -> Result<&mpsc::Sender<Write>, StoreError> {
        self.shared.check_alive()?;
        self.queue.as_ref().ok_or_else(|| self.shared.refusal())
    }

    /// Waits for the answer to a queued write.
    pub(crate) async fn answer<T>(&self, reply: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        reply.await.unwrap_or_else(|_| Err(self.shared.refusal()))
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.reserve().await?.send(Write::Close { reply });
        self.answer(answer).await
    }
}

impl Drop for WriterHandle {
    /// Lets the writer finish what is queued and waits for it, so that the directory is free afterwards.
    fn drop(&mut self) {
        self.queue = None;
        let thread = ignore_poison(self.thread.get_mut()).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread ended in a panic");
        }
    }
}

/// Starts the thread.
pub(crate) fn start(shared: Arc<Shared>, disk: Disk, options: &Options) -> io::Result<WriterHandle> {
    let (queue, writes) = mpsc::channel(options.queued_writes_max.max(1));
    let writer = Writer {
        shared: Arc::clone(&shared),
        writes,
        disk,
        closing: Vec::new(),
        options: options.clone(),
        compacting: None,
        is_idle: false,
        is_busy: false,
    };
    // For the one timer the writer has; nothing else runs on it.
    let timer = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run(&timer))?;
    Ok(WriterHandle { shared, queue: Some(queue), thread: Mutex::new(Some(thread)) })
}

struct Writer {
    shared: Arc<Shared>,
    writes: mpsc::Receiver<Write>,
    disk: Disk,
    /// Who waits for the end.
    closing: Vec<Reply<()>>,
    options: Options,
    compacting: Option<compact::Compacting>,
    /// Nothing has come for a while.
    is_idle: bool,
    /// Many waited for the group before.
    is_busy: bool,
}

impl Writer {
    fn run(mut self, timer: &Runtime) {
        let mut batch = Vec::with_capacity(GROUP_WRITES_MAX);
        while timer.block_on(self.gather(&mut batch)) {
            // Dropping the group without answers tells its callers that the store has stopped.
            let done = without_panic(|| {
                self.take(&mut batch)?;
                self.keep_up()?;
                self.go_on_compacting()
            });
            let done = done.flatten();
            if let Err(reason) = done {
                return self.shared.stop(&reason);
            }
        }
        // Everything that was queued is done; nobody can queue any more.
        if without_panic(|| self.bring_up()).flatten().is_err() {
            return; // it has said so
        }
        let closed = self.disk.close();
        if let Err(error) = &closed {
            tracing::warn!(%error, "the mark of the store was not synced; it is exact again after the next write");
        }
        for reply in self.closing {
            drop(reply.send(closed.as_ref().copied().map_err(|error| StoreError::Failed {
                message: format!("the mark of the store could not be synced: {error}"),
            })));
        }
    }

    /// Takes what is queued. Returns whether there is anything, and may be again.
    async fn gather(&mut self, batch: &mut Vec<Write>) -> bool {
        if self.compacting.is_some() {
            // There is always something to do: take what is there and go on.
            while batch.len() < GROUP_WRITES_MAX {
                match self.writes.try_recv() {
                    Ok(write) => batch.push(write),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return !batch.is_empty(),
                }
            }
            return true;
        }
        if std::mem::take(&mut self.is_busy) {
            // This thread has nothing else to do, and nobody needs to wake it.
            std::thread::sleep(BUSY_WAIT);
        }
        let is_behind = self.disk.is_behind();
        let came = tokio::select! {
            biased;
            came = self.writes.recv_many(batch, GROUP_WRITES_MAX) => came,
            () = self.shared.trees_are_awaited(), if is_behind => return true,
            () = tokio::time::sleep(self.options.idle), if is_behind => {
                self.is_idle = true;
                return true;
            }
        };
        if came == 0 {
            return false;
        }
        let waited = tokio::time::sleep(UNAWAITED_WAIT);
        tokio::pin!(waited);
        while batch.len() < GROUP_WRITES_MAX && !batch.iter().any(Write::is_awaited) {
            let room = GROUP_WRITES_MAX - batch.len();
            tokio::select! {
                more = self.writes.recv_many(batch, room) => if more == 0 { break },
                () = &mut waited => break,
            }
        }
        true
    }

    /// Makes what was queued durable and answers it, in one group or, when it is much, in several.
    fn take(&mut self, batch: &mut Vec<Write>) -> Result<(), String> {
        let mut compactions = Vec::new();
        self.is_busy = batch.iter().filter(|write| write.is_awaited()).count() >= BUSY_CALLERS;
        let shared = Arc::clone(&self.shared);
        let mut writes = batch.drain(..).peekable();
        while writes.peek().is_some() {
            let mut applied = Applied::new(&shared, self.disk.held());
            while applied.group.bytes() < GROUP_BYTES_MAX
                && let Some(write) = writes.next()
            {
                match write {
                    Write::Close { reply } => {
                        self.shared.close();
                        self.writes.close();
                        self.closing.push(reply);
                    }
                    Write::Compact { reply } => compactions.push(reply),
                    write => {
                        if matches!(write, Write::Remove(_)) {
                            // It is looked up in the trees what goes.
                            self.bring_up()?;
                        }
                        applied.take(write, &mut self.disk);
                    }
                }
            }
            applied.index(&mut self.disk);
            let group = std::mem::take(&mut applied.group);
            let durable = self.disk.log(&group, &self.shared);
            // A payload file whose sync failed stops the store from elsewhere.
            let durable = durable.and_then(|()| self.shared.check_alive().map_err(|error| error.to_string()));
            if let Err(reason) = durable {
                // Before the group is dropped: whoever learns of it finds the store stopped.
                self.shared.stop(&reason);
                return Err(reason);
            }
            applied.answer(self.disk.last_number());
            self.disk.hold(group);
            self.keep_up()?;
        }
        for reply in compactions {
            self.begin_compaction(reply);
        }
        Ok(())
    }

    /// Lets the trees follow, if it is time.
    fn keep_up(&mut self) -> Result<(), String> {
        let is_idle = std::mem::take(&mut self.is_idle);
        // A copy that is being made follows the trees.
        if is_idle || self.disk.holds_much() || self.compacting.is_some() || self.shared.is_awaited() {
            self.bring_up()?;
        }
        Ok(())
    }

    /// Gives the trees everything that the log has.
    fn bring_up(&mut self) -> Result<(), String> {
        match self.disk.apply(&self.shared) {
            Ok(group) => {
                self.follow(&group);
                Ok(())
            }
            Err(reason) => {
                // Before anything is dropped: whoever learns of it finds the store stopped.
                self.shared.stop(&reason);
                Err(reason)
            }
        }
    }
}
