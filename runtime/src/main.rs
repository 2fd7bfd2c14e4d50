//! The `flowcell` program: runs automations whose every step lives in a cell of its own.
//!
//! [`cli`] is the way in, [`assemble`] the one place where all parts are put together, [`http`] the edge, [`api`] and [`ingress`] what
//! stands behind it.

mod api;
mod app;
mod assemble;
mod blobs;
mod built_in;
mod cli;
mod client;
mod clock;
mod config;
mod connections;
mod contacts;
mod data_dir;
mod entropy;
mod http;
mod ingress;
mod memory;
mod plugin_triggers;
mod preview;
mod publish;
mod rehearsal;
mod schedules;
mod services;
#[cfg(test)]
mod testing;
mod token;
mod upkeep;
mod vault;

fn main() -> std::process::ExitCode {
    memory::keep_what_is_freed_for_a_moment();
    cli::main()
}
