//! sled's `flush`, and somebody who wakes it. When a write that its own thread pool makes fails, sled notes the error and may tell nobody
//! (0.34.7, `Log::exit_reservation`): a flush that waits for that write would wait for ever, and the store with it. The next flush finds the
//! error and wakes all others, so one is called beside a flush that takes long.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::guard::without_panic;
use super::ignore_poison;

/// How often a flush is looked at. One that is begun at a second, two, four … wakes it: a disk may also just be slow.
const EVERY: Duration = Duration::from_secs(1);

/// Flushes for one thread; another watches.
#[derive(Debug)]
pub(crate) struct Flusher {
    watched: Arc<Watched>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Watched {
    state: Mutex<State>,
    is_over: Condvar,
}

#[derive(Default)]
struct State {
    flushing: Option<sled::Db>,
    /// Tells one flush from the next.
    number: u64,
    is_over: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Flusher {
    pub(crate) fn start() -> io::Result<Self> {
        let watched = Arc::new(Watched::default());
        let thread = {
            let watched = Arc::clone(&watched);
            thread::Builder::new().name("store-flush".to_owned()).spawn(move || watch(&watched))?
        };
        Ok(Self { watched, thread: Some(thread) })
    }

    /// Hands everything to the kernel; says why that failed.
    pub(crate) fn flush(&self, db: &sled::Db) -> Result<(), String> {
        {
            let mut state = ignore_poison(self.watched.state.lock());
            state.number += 1;
            state.flushing = Some(db.clone());
        }
        let flushed = without_panic(|| db.flush());
        ignore_poison(self.watched.state.lock()).flushing = None;
        flushed?.map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        ignore_poison(self.watched.state.lock()).is_over = true;
        self.watched.is_over.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say; a panic in it would have been sled's.
            let _ = thread.join();
        }
    }
}

fn watch(watched: &Watched) {
    let (mut number, mut looks, mut wakes_at) = (0, 0_u64, 1);
    let mut state = ignore_poison(watched.state.lock());
    while !state.is_over {
        state = ignore_poison(watched.is_over.wait_timeout(state, EVERY)).0;
        match &state.flushing {
            Some(db) if state.number == number => {
                looks += 1;
                if looks >= wakes_at {
                    wakes_at *= 2;
                    wake(db.clone());
                }
            }
            _ => (number, looks, wakes_at) = (state.number, 0, 1),
        }
    }
}

/// On a thread of its own: without an error it waits like the first.
fn wake(db: sled::Db) {
    let begun =
        thread::Builder::new().name("store-wake".to_owned()).spawn(move || without_panic(|| db.flush().map(drop)));
    if let Err(error) = begun {
        tracing::warn!(%error, "a flush takes long, and no thread could be had to look after it");
    }
}
