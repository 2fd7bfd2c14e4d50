//! Makes runs happen: claims them, drives them from their journal, attempts their steps.
//!
//! It knows core's ports and nothing behind them: no store, no sandbox, no clock of its own. Whether something *should* happen is decided by
//! `core::run::plan`; this crate only does it and writes it down. Read in this order: [`worker`] (which runs), [`drive`] (one run), [`attempt`] (one try). [`scheduler`] stands
//! beside them and starts runs by the clock, [`polling`] by asking plugins what is new; [`subscribing`] keeps the URLs of triggers registered.

mod attempt;
mod breaker;
mod config;
pub mod contacts;
mod control;
mod destinations;
mod drive;
mod engine;
mod hub;
mod key;
mod outside;
mod patience;
pub mod polling;
mod quarantine;
pub mod scheduler;
mod shutdown;
pub mod subscribing;
mod trigger_call;
mod worker;
mod workflows;

pub use breaker::{BreakerSettings, BreakerState};
pub use config::EngineConfig;
pub use control::{ControlError, CreateError, Delivered, Incoming, Input, RunControl};
pub use destinations::DestinationView;
pub use engine::{Engine, Ports};
pub use key::InstanceKey;
pub use outside::OutsideError;
pub use shutdown::Shutdown;
pub use worker::EngineStopped;
pub use workflows::WorkflowError;
