//! `flowcell run list|show|pin|unpin`.

mod blob;
mod journal;

use std::time::Duration;

use clap::{Args, Subcommand};
use flowcell_core::ports::Clock;
use http::Method;
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
    /// List what the run keeps beside its journal (pictures, PDFs …), or fetch one
    Blob(blob::Blob),
    /// Keep a run for good: retention does not remove it
    Pin(Pin),
    /// Let retention remove a run again
    Unpin(Pin),
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
pub(crate) struct Pin {
    /// The run's id, `run_…`
    id: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only runs of this workflow
    #[arg(long, value_name = "ID")]
    workflow: Option<String>,
    /// Only runs in this state
    #[arg(long, value_parser = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"])]
    status: Option<String>,
    /// Only runs that reached this step; with --error, in which it failed so
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// Only runs with this error code, such as http-status
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Only runs created at this time or later, such as 2026-11-23T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only runs created before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only runs with this value: trigger.body.email=anna@example.com, steps.<id>.output.id=7, or ^= for its beginning
    #[arg(long, value_name = "PATH=VALUE")]
    field: Option<String>,
    /// How many at most, or with --all how many a request asks for
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on where the page before ended (its `next_cursor`)
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Every page to the last
    #[arg(long)]
    all: bool,
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
        Command::Blob(args) => blob::run(&args, client, output).await,
        Command::Pin(args) => pin(&args, Method::PUT, client, output).await,
        Command::Unpin(args) => pin(&args, Method::DELETE, client, output).await,
        Command::Cancel(args) => control::cancel(&args, client, output).await,
        Command::Decide(args) => control::decide(&args, client, output).await,
        Command::Rerun(args) => rerun::rerun(&args, client, output).await,
        Command::PinData(args) => pin_data::pin_data(&args, client, output).await,
    }
}

async fn list(args: &List, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut page = page(args, args.cursor.as_deref(), client).await?;
    if args.all {
        let mut runs = std::mem::take(page_runs(&mut page));
        while let Some(cursor) = at(&page, "/next_cursor").as_str().map(str::to_owned) {
            page = self::page(args, Some(&cursor), client).await?;
            runs.append(page_runs(&mut page));
        }
        *page_runs(&mut page) = runs;
    }
    if output.is_json() {
        output.document(&page);
        return Ok(());
    }
    print_page(args, &page, output);
    Ok(())
}

/// One page from the server.
async fn page(args: &List, cursor: Option<&str>, client: &Client) -> Result<Value, Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for (key, value) in args.filters() {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    Ok(client.get(&format!("runs?{}", query.finish())).await?)
}

/// The runs of a page; an answer without any gets an empty list.
fn page_runs(page: &mut Value) -> &mut Vec<Value> {
    static KEY: &str = "runs";
    if !page.get(KEY).is_some_and(Value::is_array) {
        *page = serde_json::json!({ "runs": [] });
    }
    match page.get_mut(KEY) {
        Some(Value::Array(runs)) => runs,
        _ => unreachable!("it was made just above"),
    }
}

impl List {
    fn filters(&self) -> [(&'static str, Option<&String>); 7] {
        [
            ("workflow", self.workflow.as_ref()),
            ("status", self.status.as_ref()),
            ("step", self.step.as_ref()),
            ("error", self.error.as_ref()),
            ("from", self.from.as_ref()),
            ("to", self.to.as_ref()),
            ("field", self.field.as_ref()),
        ]
    }
}

fn print_page(args: &List, page: &Value, output: &Output) {
    let runs = items(page, "/runs");
    let (next, is_cut) = (at(page, "/next_cursor").as_str(), at(page, "/is_cut") == true);
    if runs.is_empty() && next.is_none() {
        let is_narrowed = args.cursor.is_some() || args.filters().iter().any(|(_, value)| value.is_some());
        output.line(if is_narrowed {
            "There are no such runs."
        } else {
            "There are no runs yet. A request to a trigger's URL starts one."
        });
        return;
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
    if let Some(cursor) = next {
        output.line(if is_cut {
            format!("The search stopped at its bound; older runs are looked at with --cursor {cursor}, or --all")
        } else {
            format!("There are more: --cursor {cursor}, or --all")
        });
    }
}

async fn pin(args: &Pin, method: Method, client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = client.change(method, &format!("runs/{}/pin", path_segment(&args.id))).await?;
    if output.is_json() {
        output.document(&answer);
    } else if at(&answer, "/pinned") == true {
        output.line(format!("{} is kept for good.", text_of(&answer, "/id")));
    } else {
        output.line(format!("{} is kept as long as the others of its workflow.", text_of(&answer, "/id")));
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
