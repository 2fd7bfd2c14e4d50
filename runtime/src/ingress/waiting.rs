//! Callers that wait for a run's answer. They are told by the journal itself: whoever appends the answer of a run that somebody waits for has
//! it synced first, so that nothing is answered that a crash could take back. A caller that goes away leaves the run as it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flowcell_core::id::RunId;
use flowcell_core::ports::{Accepted, Append, Delivery, Durability, Journal, StoreError};
use flowcell_core::run::event::{Outcome, Recorded, ResponseBody, RunEvent};
use tokio::sync::oneshot;

/// What a waiting caller is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Responded {
        status: u16,
        headers: BTreeMap<String, String>,
        body: Option<ResponseBody>,
    },
    /// The run has ended without an answer.
    Ended(Outcome),
    /// The server shuts down; the run goes on at its next start.
    Stopping,
}

impl Told {
    /// What the first of these entries that says something has to say.
    pub(crate) fn by(entries: &[Recorded]) -> Option<Self> {
        entries.iter().find_map(|entry| match &entry.event {
            RunEvent::Responded { status, headers, body, .. } => {
                Some(Self::Responded { status: *status, headers: headers.clone(), body: body.clone() })
            }
            RunEvent::Finished { outcome, .. } => Some(Self::Ended(outcome.clone())),
            _ => None,
        })
    }
}

/// The callers that wait at the moment.
#[derive(Debug)]
pub(crate) struct Waiting {
    calls: Mutex<Calls>,
    /// How many there are: what every append asks, and mostly hears "none".
    count: AtomicUsize,
    max: usize,
}

#[derive(Debug, Default)]
struct Calls {
    /// Several when a delivery was sent again meanwhile.
    by_run: HashMap<RunId, Vec<oneshot::Sender<Told>>>,
    is_stopping: bool,
}

/// A place among the waiting, given up when dropped.
#[derive(Debug)]
pub(crate) struct Call {
    waiting: Arc<Waiting>,
    run: RunId,
    told: oneshot::Receiver<Told>,
}

impl Waiting {
    pub(crate) fn new(max: usize) -> Self {
        Self { calls: Mutex::default(), count: AtomicUsize::new(0), max }
    }

    /// Begins to wait for the answer of a run; nothing when too many wait already, or the server shuts down.
    pub(crate) fn begin(self: &Arc<Self>, run: RunId) -> Option<Call> {
        let (tell, told) = oneshot::channel();
        let mut calls = self.lock();
        if calls.is_stopping || self.count.load(Ordering::Acquire) >= self.max {
            return None;
        }
        calls.by_run.entry(run).or_default().push(tell);
        self.count.fetch_add(1, Ordering::AcqRel);
        drop(calls);
        Some(Call { waiting: Arc::clone(self), run, told })
    }

    /// Lets every caller go, and takes no more.
    pub(crate) fn stop(&self) {
        let mut calls = self.lock();
        calls.is_stopping = true;
        let all: Vec<_> = calls.by_run.drain().flat_map(|(_, callers)| callers).collect();
        drop(calls);
        for caller in all {
            // A caller that went away needs no word.
            drop(caller.send(Told::Stopping));
        }
    }

    fn is_awaited(&self, run: RunId) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.lock().by_run.contains_key(&run)
    }

    fn tell(&self, run: RunId, told: &Told) {
        let callers = self.lock().by_run.remove(&run);
        for caller in callers.into_iter().flatten() {
            drop(caller.send(told.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // No code that holds the lock can panic half-way through a change.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// Resolves once the run has answered or ended, durably.
    pub(crate) async fn told(&mut self) -> Told {
        (&mut self.told).await.unwrap_or(Told::Stopping)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.told.close();
        let mut calls = self.waiting.lock();
        if let Some(callers) = calls.by_run.get_mut(&self.run) {
            callers.retain(|caller| !caller.is_closed());
            if callers.is_empty() {
                calls.by_run.remove(&self.run);
            }
        }
        self.waiting.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The journal with an ear for the waiting.
pub(crate) struct TellingJournal {
    inner: Arc<dyn Journal>,
    waiting: Arc<Waiting>,
}

impl TellingJournal {
    pub(crate) fn new(inner: Arc<dyn Journal>, waiting: Arc<Waiting>) -> Self {
        Self { inner, waiting }
    }
}

#[async_trait]
impl Journal for TellingJournal {
    async fn accept(&self, delivery: Delivery) -> Result<Accepted, StoreError> {
        self.inner.accept(delivery).await
    }

    async fn append(&self, mut append: Append) -> Result<(), StoreError> {
        let told = self.waiting.is_awaited(append.run).then(|| Told::by(&append.entries)).flatten();
        let Some(told) = told else { return self.inner.append(append).await };
        let run = append.run;
        append.durability = Durability::Synced;
        self.inner.append(append).await?;
        self.waiting.tell(run, &told);
        Ok(())
    }

    async fn load(&self, run: RunId) -> Result<Vec<Recorded>, StoreError> {
        self.inner.load(run).await
    }

    async fn load_from(&self, run: RunId, seq: u32) -> Result<Vec<Recorded>, StoreError> {
        self.inner.load_from(run, seq).await
    }
}

#[cfg(test)]
mod tests {
    use flowcell_core::time::Timestamp;

    use super::*;

    fn run(number: u128) -> RunId {
        RunId::from_parts(Timestamp::from_millis(1), number)
    }

    #[tokio::test]
    async fn every_caller_of_a_run_is_told_and_no_other() {
        let waiting = Arc::new(Waiting::new(3));
        let mut calls = [run(1), run(1), run(2)].map(|run| waiting.begin(run).unwrap());
        assert!(waiting.begin(run(3)).is_none(), "three wait already");
        waiting.tell(run(1), &Told::Ended(Outcome::Succeeded));
        let [first, second, third] = &mut calls;
        assert_eq!(
            (first.told().await, second.told().await),
            (Told::Ended(Outcome::Succeeded), Told::Ended(Outcome::Succeeded))
        );
        waiting.stop();
        assert_eq!(third.told().await, Told::Stopping);
        assert!(waiting.begin(run(3)).is_none(), "it stops");
    }

    #[tokio::test]
    async fn who_goes_away_makes_room_and_is_forgotten() {
        let waiting = Arc::new(Waiting::new(1));
        drop(waiting.begin(run(1)).unwrap());
        assert!(!waiting.is_awaited(run(1)));
        let again = waiting.begin(run(1));
        assert!(again.is_some() && waiting.is_awaited(run(1)) && !waiting.is_awaited(run(2)));
    }
}
