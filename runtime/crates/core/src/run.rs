//! A run: what can happen to it ([`event`]), what it is after that ([`fold`]), what should happen next ([`plan`]).

pub mod calendar;
mod control;
pub mod dead_letter;
pub mod event;
pub mod fold;
pub mod place;
pub mod plan;
pub mod rerun;
pub mod resume;
pub mod retry;
pub mod state;
pub mod summary;
pub mod uncertain;
mod walk;
