//! A journal that crashes where the test says, and forgets what a power cut would make it forget.
//!
//! It passes every write on to a store and keeps a list of them. After the crash, the list is replayed into a fresh store: what was synced
//! always, and of what was only queued as much as the test lets survive (writes reach the disk in order, so it is always a beginning).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flowcell_core::id::RunId;
use flowcell_core::ports::{Accepted, Append, Delivery, Durability, Journal, StoreError};
use flowcell_core::run::event::Recorded;

/// Where the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    Never,
    /// This many writes are made and answered; the next one is not made.
    Before(usize),
    /// This many writes are made and answered; the next one is made and not answered.
    After(usize),
}

pub struct FaultyJournal {
    inner: Arc<dyn Journal>,
    state: Mutex<State>,
}

struct State {
    crash: CrashPoint,
    has_crashed: bool,
    /// How many of the next appends fail without effect.
    stumbles: usize,
    /// Appends with more JSON than this are refused for good.
    bytes_max: usize,
    writes: Vec<Write>,
    /// How many of `writes` are on disk for certain.
    synced: usize,
}

#[derive(Clone)]
enum Write {
    Accept(Delivery),
    Append(Append),
}

impl FaultyJournal {
    pub fn new(inner: Arc<dyn Journal>, crash: CrashPoint) -> Arc<Self> {
        let state =
            State { crash, has_crashed: false, stumbles: 0, bytes_max: usize::MAX, writes: Vec::new(), synced: 0 };
        Arc::new(Self { inner, state: Mutex::new(state) })
    }

    /// Lets the next `appends` fail as they would on a full disk.
    pub fn stumble(&self, appends: usize) {
        self.state().stumbles = appends;
    }

    /// Refuses for good every append with more JSON than this.
    pub fn refuse_above(&self, bytes_max: usize) {
        self.state().bytes_max = bytes_max;
    }

    pub fn has_crashed(&self) -> bool {
        self.state().has_crashed
    }

    /// The number of writes so far.
    pub fn writes(&self) -> usize {
        self.state().writes.len()
    }

    /// The number of writes that a power cut may lose.
    pub fn unsynced(&self) -> usize {
        let state = self.state();
        state.writes.len() - state.synced
    }

    /// Dies at `point` from now on; the writes so far count.
    pub fn crash_at(&self, point: CrashPoint) {
        self.state().crash = point;
    }

    /// Starts again on `store`, which is fresh, with what [`Self::survive`] finds.
    pub async fn restart(&self, kept: usize, store: Arc<dyn Journal>) -> Result<Arc<Self>, StoreError> {
        self.survive(kept, &*store).await?;
        let next = Self::new(store, CrashPoint::Never);
        {
            let (before, mut after) = (self.state(), next.state());
            after.writes = before.writes.iter().take(before.synced + kept).cloned().collect();
            after.synced = after.writes.len();
        }
        Ok(next)
    }

    /// Makes `store` what a start after the crash would find when `kept` of the unsynced writes reached the disk.
    pub async fn survive(&self, kept: usize, store: &dyn Journal) -> Result<(), StoreError> {
        let survivors: Vec<_> = {
            let state = self.state();
            state.writes.iter().take(state.synced + kept).cloned().collect()
        };
        for write in survivors {
            match write {
                Write::Accept(delivery) => drop(store.accept(delivery).await?),
                Write::Append(append) => store.append(append).await?,
            }
        }
        Ok(())
    }

    /// Decides about the next write: whether it is made, and whether its answer arrives.
    fn admit(&self, write: &Write) -> Result<CrashPoint, StoreError> {
        let mut state = self.state();
        if state.has_crashed {
            return Err(StoreError::Stopped);
        }
        if matches!(write, Write::Append(_)) && state.stumbles > 0 {
            state.stumbles -= 1;
            return Err(StoreError::Failed { message: "no space left on the device".to_owned() });
        }
        if let Write::Append(append) = write
            && serde_json::to_vec(&append.entries).is_ok_and(|json| json.len() > state.bytes_max)
        {
            return Err(StoreError::Refused { message: "an entry is too large".to_owned() });
        }
        let made = state.writes.len();
        match state.crash {
            CrashPoint::Before(writes) if made >= writes => {
                state.has_crashed = true;
                Err(StoreError::Stopped)
            }
            crash => Ok(crash),
        }
    }

    fn made(&self, write: Write, crash: CrashPoint) -> Result<(), StoreError> {
        let mut state = self.state();
        let is_synced = match &write {
            Write::Accept(_) => true,
            Write::Append(append) => append.durability == Durability::Synced,
        };
        state.writes.push(write);
        if is_synced {
            state.synced = state.writes.len();
        }
        match crash {
            CrashPoint::After(writes) if state.writes.len() > writes => {
                state.has_crashed = true;
                Err(StoreError::Stopped)
            }
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for FaultyJournal {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        let write = Write::Accept(delivery.clone());
        let crash = self.admit(&write)?;
        let accepted = self.inner.accept(delivery).await?;
        self.made(write, crash)?;
        Ok(accepted)
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        let write = Write::Append(append.clone());
        let crash = self.admit(&write)?;
        self.inner.append(append).await?;
        self.made(write, crash)
    }

    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        if self.has_crashed() {
            return Err(StoreError::Stopped);
        }
        self.inner.load(run).await
    }
}

impl std::fmt::Debug for FaultyJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyJournal")
            .field("writes", &self.writes())
            .field("unsynced", &self.unsynced())
            .finish_non_exhaustive()
    }
}
