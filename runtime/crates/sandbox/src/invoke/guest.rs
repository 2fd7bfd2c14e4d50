//! The store of one call, with every limit set.

use std::sync::Arc;

use wasmtime::{Engine, Store, UpdateDeadline};

use crate::host::State;
use crate::invoke::meter::Meter;
use crate::limits::Limits;

pub(crate) struct Call {
    pub(crate) store: Store<State>,
    pub(crate) meter: Arc<Meter>,
}

impl Call {
    pub(crate) fn new(engine: &Engine, limits: &Limits, state: State) -> Self {
        let meter = Arc::new(Meter::default());
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits.hostcall_bytes);
        store.set_max_component_handles(limits.handles);
        store.set_epoch_deadline(1);
        // It fails only where the engine does not count, and ours does.
        let _ = store.set_fuel(limits.fuel);
        let (budget, used) = (limits.cpu, Arc::clone(&meter));
        // Runs at the first loop or call after each tick: the budget is exact to one tick, and a guest that computes gives way
        // to the other tasks of its thread once per tick, which also lets the deadline of the call be noticed.
        store.epoch_deadline_callback(move |mut store| {
            if used.used_in_this_poll_too() < budget {
                return Ok(UpdateDeadline::Yield(1));
            }
            store.data_mut().out_of_cpu = true;
            Ok(UpdateDeadline::Interrupt)
        });
        Self { store, meter }
    }
}
