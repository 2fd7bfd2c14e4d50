//! `flowcell event send`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::document::{items, text_of};
use crate::cli::output::{Output, Style};
use crate::cli::{Failure, input};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send an event: it starts the workflows whose trigger it is, and goes on with the runs that wait for it
    Send(Send),
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The event's name, such as order.paid
    name: String,
    /// What it brings, JSON; `-` reads standard input [default: null]
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    let Command::Send(args) = command;
    let payload = args.payload.as_deref().map(input::read_json).transpose()?.unwrap_or(Value::Null);
    let sent = client.post_json("events", Some(&json!({ "name": args.name, "payload": payload }))).await?;
    if output.is_json() {
        output.document(&sent);
        return Ok(());
    }
    let good = output.paint(Style::Good, "✓");
    for started in items(&sent, "/started") {
        output.line(format!("{good} started {} of {}", text_of(started, "/run_id"), text_of(started, "/workflow")));
    }
    for resumed in items(&sent, "/resumed") {
        output.line(format!("{good} {} goes on at {}", text_of(resumed, "/run_id"), text_of(resumed, "/step")));
    }
    for filtered in items(&sent, "/filtered") {
        let workflow = text_of(filtered, "/workflow");
        output.line(format!(
            "  {workflow} was not started: its filter does not hold (`flowcell trigger show {workflow}`)"
        ));
    }
    for failed in items(&sent, "/failed") {
        let (workflow, detail) = (text_of(failed, "/workflow"), text_of(failed, "/detail"));
        output.line(output.paint(Style::Warn, format!("! {workflow} was not started: {detail}")));
    }
    if ["/started", "/resumed", "/filtered", "/failed"].iter().all(|list| items(&sent, list).is_empty()) {
        output.line("Nothing listens to this event, and no run waits for it.");
    }
    Ok(())
}
