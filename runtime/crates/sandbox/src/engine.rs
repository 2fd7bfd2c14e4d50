//! The one `Engine` of a process: what guests may be made of, and the pool their instances come from.
//!
//! The compile child builds its engine here as well, so that both agree on everything that shapes compiled code.

use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::{Ceiling, Limits};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How often the epoch moves on: a guest can be stopped, and gives way to others, this often. FEATURES K4 wants a guest stopped within
/// 10 ms of its deadline: half of that leaves the rest to the timer and the scheduler.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// The guest's own stack. 512 KiB is wasmtime's default and enough for deep JSON in every language measured.
pub(crate) const STACK_BYTES: usize = 512 * KIB;

/// How many calls run at once, and how long another waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Calls at once. 128 is twice the concurrency at which two cores are saturated (PERF.md: c=64).
    pub calls: u32,
    /// How long a call waits for a slot before it fails as busy.
    pub wait: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self { calls: 128, wait: Duration::from_secs(10) }
    }
}

/// Where instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From slots reserved at the start.
    Pooled,
    /// Mapped for each call: the address space for the pool was not to be had.
    OnDemand,
}

/// Builds the engine that runs guests. Containers with little address space get one without a pool.
pub(crate) fn for_calls(pool: &Pool, ceiling: &Ceiling, limits: &Limits) -> wasmtime::Result<(Engine, Allocation)> {
    let mut config = code_shape();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(slots(pool, ceiling, limits)));
    match Engine::new(&config) {
        Ok(engine) => Ok((engine, Allocation::Pooled)),
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "no address space for the instance pool; each call maps its own memory, which is slower"
            );
            Ok((Engine::new(&code_shape())?, Allocation::OnDemand))
        }
    }
}

/// Builds the engine of the compile child: the same code, no pool.
pub(crate) fn for_compiling() -> wasmtime::Result<Engine> {
    Engine::new(&code_shape())
}

/// Everything that shapes compiled code.
fn code_shape() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // What a call cost, told the same on every machine; `docs/benchmarks.md` says what counting costs.
        .consume_fuel(true)
        .memory_init_cow(true)
        .max_wasm_stack(STACK_BYTES)
        // The guest's stack and, above it, that of the host calls it makes; wasmtime's default.
        .async_stack_size(2 * MIB)
        // Tier 2 in wasmtime: "security CVEs will not be issued" (WASM.md §5.1).
        .wasm_memory64(false)
        // A crash is reported by its trap and the guest's own words; offsets into stripped guests help nobody.
        .generate_address_map(false)
        .wasm_backtrace_max_frames(None);
    config
}

fn slots(pool: &Pool, ceiling: &Ceiling, limits: &Limits) -> PoolingAllocationConfig {
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut slots = PoolingAllocationConfig::new();
    slots
        .total_component_instances(pool.calls)
        .total_stacks(pool.calls)
        // A Rust component has three core instances, one memory and two tables; JavaScript and Python have some twenty
        // instances. Room for eight and four on average; a call that finds none is refused as busy.
        .total_core_instances(pool.calls.saturating_mul(8))
        .total_memories(pool.calls.saturating_mul(2))
        .total_tables(pool.calls.saturating_mul(4))
        .max_core_instances_per_component(counted(limits.instances))
        .max_memories_per_component(counted(limits.memories))
        .max_tables_per_component(counted(limits.tables))
        .max_memories_per_module(counted(limits.memories))
        .max_tables_per_module(8)
        .table_elements(limits.table_elements)
        .max_memory_size(ceiling.memory_bytes)
        // Python's instance needs 223 pages of tables and globals; 1 MiB holds it (WASM.md §1.8, §5.1).
        .max_component_instance_size(MIB)
        .max_core_instance_size(MIB)
        // What a slot keeps in memory between calls instead of giving it back and faulting it in again. With the page map
        // scanned, only pages a call has dirtied count. 8 MiB covers a JavaScript guest; 32 warm slots bound the sum.
        .linear_memory_keep_resident(8 * MIB)
        .table_keep_resident(64 * KIB)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(32);
    slots
}

/// Moves the epoch of `engine` every [`TICK`], on a thread of its own that ends with the engine.
pub(crate) fn start_ticking(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("epoch".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_address_space_for_the_pool_instances_are_mapped_on_demand() {
        // 200,000 memories of 4 GiB do not fit any processor's address space.
        let pool = Pool { calls: 100_000, ..Pool::default() };
        let (_, allocation) = for_calls(&pool, &Ceiling::default(), &Limits::default()).expect("builds an engine");
        assert_eq!(allocation, Allocation::OnDemand);
    }

    #[test]
    fn code_of_the_compile_child_fits_the_engine_that_runs_it() {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let (running, allocation) =
            for_calls(&Pool::default(), &Ceiling::default(), &Limits::default()).expect("builds an engine");
        assert_eq!(hash(&running), hash(&for_compiling().expect("builds an engine")), "{allocation:?}");
    }
}
