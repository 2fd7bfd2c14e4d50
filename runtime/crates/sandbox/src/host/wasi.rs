//! WASI 0.2 for guests whose language runtime wants it. Linked whole, but empty: no files but those of [`super::files`], no arguments, no environment, every socket and
//! name lookup denied (the defaults of wasmtime-wasi 48). Time and randomness are those of [`crate::ambient`]; no other clock and no other
//! generator may be reachable from here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use flowcell_core::record::Seed;
use rand_core::TryRng;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use crate::ambient::GuestRandom;
use crate::egress::CallPass;
use crate::host::State;
use crate::limits::Limits;

/// What a crash message quotes of stderr: a stack trace's end fits.
const QUOTED_BYTES: usize = 2 * 1024;

pub(crate) struct Wasi {
    context: WasiCtx,
    stderr: MemoryOutputPipe,
}

impl Wasi {
    fn new(limits: &Limits, pass: &Arc<CallPass>, seed: &Seed) -> Self {
        let stderr = MemoryOutputPipe::new(limits.stderr_bytes);
        let mut hash_seed = [0; 16];
        GuestRandom::new(seed, 2).fill(&mut hash_seed);
        let context = WasiCtx::builder()
            .stderr(stderr.clone())
            .max_random_size(limits.random_bytes)
            .secure_random(Drawn(GuestRandom::new(seed, 0)))
            .insecure_random(Drawn(GuestRandom::new(seed, 1)))
            .insecure_random_seed(u128::from_be_bytes(hash_seed))
            .wall_clock(GuestTime(Arc::clone(pass)))
            .monotonic_clock(GuestTime(Arc::clone(pass)))
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
        let wasi =
            self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.limits, &self.outbound.pass, &self.seed.seed())));
        WasiCtxView { ctx: &mut wasi.context, table: &mut self.table }
    }
}

struct GuestTime(Arc<CallPass>);

impl HostWallClock for GuestTime {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }
    fn now(&self) -> Duration {
        self.0.clock().read()
    }
}

impl HostMonotonicClock for GuestTime {
    fn resolution(&self) -> u64 {
        1_000
    }
    fn now(&self) -> u64 {
        nanos(self.0.clock().read())
    }
}

/// wasmtime-wasi's own sleeps follow the machine's clock and leave the guest's where it was; these move it on.
impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.ctx();
        Ok(nanos(self.outbound.pass.clock().read()))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000)
    }

    fn subscribe_instant(
        &mut self,
        when: monotonic_clock::Instant,
    ) -> wasmtime::Result<wasmtime::component::Resource<DynPollable>> {
        self.ctx();
        let clock = self.outbound.pass.clock();
        let now = Duration::from_millis(clock.began_at().as_millis()).saturating_add(clock.passed());
        self.sleep(Duration::from_nanos(when).saturating_sub(now))
    }

    fn subscribe_duration(
        &mut self,
        duration: monotonic_clock::Duration,
    ) -> wasmtime::Result<wasmtime::component::Resource<DynPollable>> {
        self.ctx();
        self.sleep(Duration::from_nanos(duration))
    }
}

impl State {
    fn sleep(&mut self, duration: Duration) -> wasmtime::Result<wasmtime::component::Resource<DynPollable>> {
        let pass = Arc::clone(&self.outbound.pass);
        let awake = pass.clock().passed().saturating_add(duration);
        // In a rehearsal nobody waits: the clock alone tells that time has passed. So far ahead that it cannot be said is never.
        let until = if duration.is_zero() || pass.is_rehearsal() {
            Until::NextTurn { yielded: false }
        } else {
            tokio::time::Instant::now().checked_add(duration).map_or(Until::Never, Until::Instant)
        };
        let sleep = self.table.push(Sleep { pass, awake, until })?;
        subscribe(&mut self.table, sleep)
    }
}

/// A guest that sleeps.
struct Sleep {
    pass: Arc<CallPass>,
    /// What the guest's clock says then, since the call began.
    awake: Duration,
    until: Until,
}

enum Until {
    /// After the other tasks had a turn: a guest that polls without waiting must not keep an answer from arriving.
    NextTurn {
        yielded: bool,
    },
    Instant(tokio::time::Instant),
    Never,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        match &mut self.until {
            Until::NextTurn { yielded: true } => {}
            Until::NextTurn { yielded } => {
                *yielded = true;
                tokio::task::yield_now().await;
            }
            Until::Instant(instant) => tokio::time::sleep_until(*instant).await,
            Until::Never => std::future::pending().await,
        }
        self.pass.clock().advance_to(self.awake);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The randomness a guest sees.
struct Drawn(GuestRandom);

impl Drawn {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}
