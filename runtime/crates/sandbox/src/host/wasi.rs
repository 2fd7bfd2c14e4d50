//! WASI 0.2 for guests whose language runtime wants it. Linked whole, but empty: no files, no arguments, no environment, every socket and
//! name lookup denied (the defaults of wasmtime-wasi 48). Time and randomness come from the ports, so that a replay or a simulation
//! can put its own behind them: this file is the seam.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flowcell_core::ports::{Clock, Entropy};
use rand_core::TryRng;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use crate::host::State;
use crate::limits::Limits;

/// What a crash message quotes of stderr: a stack trace's end fits.
const QUOTED_BYTES: usize = 2 * 1024;

pub(crate) struct Wasi {
    context: WasiCtx,
    stderr: MemoryOutputPipe,
}

impl Wasi {
    fn new(limits: &Limits, time: &Arc<dyn Clock>, randomness: &Arc<dyn Entropy>) -> Self {
        let stderr = MemoryOutputPipe::new(limits.stderr_bytes);
        let context = WasiCtx::builder()
            .stderr(stderr.clone())
            .max_random_size(limits.random_bytes)
            .secure_random(GuestRandom::new(Arc::clone(randomness)))
            .insecure_random(GuestRandom::new(Arc::clone(randomness)))
            .wall_clock(GuestTime { clock: Arc::clone(time) })
            .monotonic_clock(GuestElapsed::new(GuestTime { clock: Arc::clone(time) }))
            .build();
        Self { context, stderr }
    }

    pub(crate) fn stderr_tail(&self) -> String {
        let said = self.stderr.contents();
        let tail = said.get(said.len().saturating_sub(QUOTED_BYTES)..).unwrap_or(&said);
        String::from_utf8_lossy(tail).trim().to_owned()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.limits, &self.time, &self.randomness)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut self.table }
    }
}

/// The clock a guest sees, to the millisecond.
struct GuestTime {
    clock: Arc<dyn Clock>,
}

impl GuestTime {
    fn since_epoch(&self) -> Duration {
        Duration::from_millis(self.clock.now().as_millis())
    }
}

impl HostWallClock for GuestTime {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }
    fn now(&self) -> Duration {
        self.since_epoch()
    }
}

/// The time that passed, as the clock saw it pass: where the clock is set back, it stands still for that step and goes on.
struct GuestElapsed {
    time: GuestTime,
    seen: Mutex<Seen>,
}

struct Seen {
    clock: Duration,
    monotonic: Duration,
}

impl GuestElapsed {
    fn new(time: GuestTime) -> Self {
        let now = time.since_epoch();
        Self { time, seen: Mutex::new(Seen { clock: now, monotonic: now }) }
    }
}

impl HostMonotonicClock for GuestElapsed {
    fn resolution(&self) -> u64 {
        1_000_000
    }
    fn now(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = self.time.since_epoch();
        let passed = clock.saturating_sub(seen.clock);
        seen.monotonic += passed;
        seen.clock = clock;
        u64::try_from(seen.monotonic.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The randomness a guest sees. wasmtime-wasi draws word by word; the source is asked for many at once.
struct GuestRandom {
    source: Arc<dyn Entropy>,
    words: [u8; 256],
    used: usize,
}

impl GuestRandom {
    fn new(source: Arc<dyn Entropy>) -> Self {
        Self { source, words: [0; 256], used: 256 }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        if let Some(word) = self.words.get(self.used..).and_then(|rest| rest.first_chunk::<N>()) {
            self.used += N;
            return *word;
        }
        self.source.fill(&mut self.words);
        self.used = N;
        self.words.first_chunk::<N>().copied().unwrap_or([0; N])
    }
}

impl TryRng for GuestRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.source.fill(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use async_trait::async_trait;
    use flowcell_core::time::Timestamp;

    use super::*;

    struct Settable(AtomicU64);

    #[async_trait]
    impl Clock for Settable {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Relaxed))
        }
        async fn sleep_until(&self, _: Timestamp) {}
    }

    #[test]
    fn the_monotonic_clock_goes_on_where_the_wall_clock_is_set_back() {
        let clock = Arc::new(Settable(AtomicU64::new(1_000_000)));
        let elapsed = GuestElapsed::new(GuestTime { clock: Arc::clone(&clock) as _ });
        let millis_at = |wall: u64| {
            clock.0.store(wall, Relaxed);
            elapsed.now() / 1_000_000
        };
        assert_eq!(
            [1_000_000, 1_000_005, 400_000, 400_000, 400_007, 400_008].map(millis_at),
            [1_000_000, 1_000_005, 1_000_005, 1_000_005, 1_000_012, 1_000_013]
        );
    }
}
