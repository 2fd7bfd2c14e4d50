//! `flowcell run list|show`.

mod journal;

use std::time::Duration;

use clap::{Args, Subcommand};
use flowcell_core::ports::Clock;
use serde_json::Value;

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, table};
use crate::cli::pin_data::{self, PinData};
use crate::cli::rerun::{self, Rerun};
use crate::cli::{Failure, control};
use crate::client::Client;
use crate::clock::SystemClock;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List runs, the newest first
    List(List),
    /// Show a run step by step: input, output, HTTP exchanges, errors
    Show(Show),
    /// End a run: attempts in progress are cut short
    Cancel(control::Cancel),
    /// Say what is to become of a parked step
    Decide(control::Decide),
    /// Repeat a run, or many, after saying what has happened already and what will happen again
    Rerun(Rerun),
    /// Print a test case made of a run: its trigger, the answers its steps got, what became of it
    PinData(PinData),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only runs of this workflow
    #[arg(long, value_name = "ID")]
    workflow: Option<String>,
    /// Only runs in this state
    #[arg(long, value_parser = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"])]
    status: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Go on after this run (`next_cursor` of the page before)
    #[arg(long, value_name = "RUN")]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The run's id, `run_…`
    id: String,
    /// Wait until it has ended or somebody has to decide; exit code 1 when it did not succeed
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, in seconds
    #[arg(long, default_value_t = 60, requires = "wait", value_name = "SECONDS")]
    timeout: u64,
}

pub(crate) async fn run(command: Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(&args, client, output).await,
        Command::Show(args) => show(&args, client, output).await,
        Command::Cancel(args) => control::cancel(&args, client, output).await,
        Command::Decide(args) => control::decide(&args, client, output).await,
        Command::Rerun(args) => rerun::rerun(&args, client, output).await,
        Command::PinData(args) => pin_data::pin_data(&args, client, output).await,
    }
}

async fn list(args: &List, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for (key, value) in [("workflow", &args.workflow), ("status", &args.status), ("cursor", &args.cursor)] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    let document = client.get(&format!("runs?{}", query.finish())).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let runs = items(&document, "/runs");
    if runs.is_empty() {
        let is_narrowed = args.workflow.is_some() || args.status.is_some() || args.cursor.is_some();
        output.line(if is_narrowed {
            "There are no such runs."
        } else {
            "There are no runs yet. A request to a trigger's URL starts one."
        });
        return Ok(());
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            let workflow = format!("{} v{}", text_of(run, "/workflow/id"), at(run, "/workflow/version"));
            [
                text_of(run, "/id"),
                text_of(run, "/status"),
                workflow,
                text_of(run, "/created_at"),
                text_of(run, "/error_code"),
            ]
        })
        .collect();
    table(output, ["RUN", "STATUS", "WORKFLOW", "CREATED", "ERROR"], &rows);
    if let Some(cursor) = at(&document, "/next_cursor").as_str() {
        output.line(format!("There are more: --cursor {cursor}"));
    }
    Ok(())
}

/// Waits for a run and shows it.
pub(crate) async fn show_when_ended(id: String, timeout: u64, client: &Client, output: &Output) -> Result<(), Failure> {
    show(&Show { id, wait: true, timeout }, client, output).await
}

async fn show(args: &Show, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = format!("runs/{}", path_segment(&args.id));
    let run = if args.wait { wait(&path, args, client, output).await? } else { client.get(&path).await? };
    if output.is_json() {
        output.document(&run);
    } else {
        journal::print(&run, output);
    }
    if args.wait && at(&run, "/status") != "succeeded" { Err(Failure::Reported) } else { Ok(()) }
}

/// How often a waiting command looks. A person does not notice it, and a server does not either.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks until the run has ended or is parked; after the time is over returns it as it is.
async fn wait(path: &str, args: &Show, client: &Client, output: &Output) -> Result<Value, Failure> {
    let deadline = SystemClock.now() + Duration::from_secs(args.timeout);
    loop {
        let run = client.get(path).await?;
        let ended = matches!(at(&run, "/status").as_str(), Some("succeeded" | "failed" | "cancelled"));
        let parked = items(&run, "/steps").iter().any(|step| at(step, "/status") == "parked");
        if ended || parked {
            return Ok(run);
        }
        if SystemClock.now() >= deadline {
            output.warning(&format!("the run has not ended after {} s; this is how it stands", args.timeout));
            return Ok(run);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
