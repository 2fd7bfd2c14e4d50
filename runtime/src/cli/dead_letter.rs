//! `flowcell dead-letter list|show|resend|recover|replay-missing`: deliveries that did not arrive, and sending them again.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, table};
use crate::cli::rehearse::plural;
use crate::cli::rerun::{confirm, print_found, print_plan, print_refused};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the deliveries that did not arrive, the newest first
    List(List),
    /// Show one
    Show(Show),
    /// Send one again
    Resend(Resend),
    /// Send those of a time again
    Recover(Range),
    /// Of all runs of a time, repeat what was never delivered, also where the workflow went on without it
    ReplayMissing(Range),
}

#[derive(Debug, Args)]
struct Filter {
    /// Runs of this workflow
    #[arg(long, value_name = "ID")]
    workflow: Option<String>,
    /// Deliveries to this destination
    #[arg(long, value_name = "URL|ID")]
    destination: Option<String>,
    /// Runs that this error ended
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Runs created before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// Runs created from then on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those that were sent again, too
    #[arg(long)]
    resent: bool,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The run, `run_…`
    run: String,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct How {
    /// Follow the version that is published now, not that of the earlier run
    #[arg(long)]
    latest: bool,
    /// Send with new idempotency keys: receivers take repeated requests for new ones
    #[arg(long)]
    new_keys: bool,
    /// Change nothing: only say what would happen
    #[arg(long)]
    dry: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Resend {
    /// The run, `run_…`
    run: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Range {
    /// Runs created from then on
    #[arg(long, value_name = "TIME")]
    since: String,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    how: How,
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, client, output).await,
        Command::Show(args) => show(args, client, output).await,
        Command::Resend(args) => resend(args, client, output).await,
        Command::Recover(range) => many("dead-letters/recover", range, client, output).await,
        Command::ReplayMissing(range) => many("dead-letters/replay-missing", range, client, output).await,
    }
}

impl Filter {
    fn fields(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let fields = [
            ("workflow", &self.workflow),
            ("destination", &self.destination),
            ("error", &self.error),
            ("to", &self.until),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }
}

impl How {
    fn fields(&self, dry: bool) -> Map<String, Value> {
        let version = if self.latest { "latest" } else { "same" };
        let keys = if self.new_keys { "new" } else { "keep" };
        let fields = [("version", json!(version)), ("keys", json!(keys)), ("dry_run", json!(dry))];
        fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

async fn list(args: &List, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for (key, value) in args.filter.fields() {
        query.append_pair(key, value);
    }
    let more = [("from", &args.since), ("cursor", &args.cursor)];
    for (key, value) in more.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
        query.append_pair(key, value);
    }
    if args.resent {
        query.append_pair("resent", "true");
    }
    let document = client.get(&format!("dead-letters?{}", query.finish())).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let letters = items(&document, "/dead_letters");
    if letters.is_empty() {
        output.line("There are no such dead letters.");
    } else {
        let rows: Vec<_> = letters.iter().map(row).collect();
        table(output, ["RUN", "FAILED AT", "WORKFLOW", "STEP", "TRIES", "ERROR", "DESTINATION"], &rows);
    }
    if let Some(cursor) = at(&document, "/next_cursor").as_str() {
        output.line(output.paint(Style::Faint, format!("There may be more: add --cursor {cursor}")));
    }
    Ok(())
}

fn row(letter: &Value) -> [String; 7] {
    let destination = text_of(letter, "/destination/url");
    let again = if items(letter, "/resent_as").is_empty() { "" } else { " (sent again)" };
    [
        text_of(letter, "/run_id"),
        text_of(letter, "/failed_at"),
        text_of(letter, "/workflow/id"),
        text_of(letter, "/step"),
        at(letter, "/attempts").to_string(),
        format!("{}{again}", text_of(letter, "/error/code")),
        if destination.is_empty() { "-".to_owned() } else { destination },
    ]
}

async fn show(args: &Show, client: &Client, output: &Output) -> Result<(), Failure> {
    let letter = client.get(&format!("dead-letters/{}", path_segment(&args.run))).await?;
    if output.is_json() {
        output.document(&letter);
        return Ok(());
    }
    let run = text_of(&letter, "/run_id");
    output.line(output.paint(Style::Strong, &run));
    for (what, text) in [
        ("workflow", format!("{} {}", text_of(&letter, "/workflow/id"), at(&letter, "/workflow/version"))),
        ("step", format!("{}, tried {}", text_of(&letter, "/step"), times(at(&letter, "/attempts")))),
        ("destination", text_of(&letter, "/destination/url")),
        ("failed", text_of(&letter, "/failed_at")),
        ("error", format!("{}: {}", text_of(&letter, "/error/code"), text_of(&letter, "/error/message"))),
    ] {
        if !text.is_empty() {
            output.line(format!("  {what:<12} {text}"));
        }
    }
    for again in items(&letter, "/resent_as") {
        output.line(format!("  {:<12} {} ({})", "sent again", text_of(again, "/run_id"), text_of(again, "/status")));
    }
    output.help(&format!("flowcell dead-letter resend {run}"));
    Ok(())
}

fn times(count: &Value) -> String {
    match count.as_u64() {
        Some(1) => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

async fn resend(args: &Resend, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = format!("dead-letters/{}/resend", path_segment(&args.run));
    let planned = client.post_json(&path, Some(&Value::Object(args.how.fields(true)))).await?;
    if args.how.dry && output.is_json() {
        output.document(&planned);
        return Ok(());
    }
    let plan = at(&planned, "/plan");
    if !output.is_json() {
        print_plan(&args.run, plan, output);
    }
    if args.how.dry {
        return Ok(());
    }
    let warnings = items(plan, "/warnings").len();
    if warnings > 0 {
        confirm(&format!("Send it again, in spite of {}?", plural(warnings, "warning")), args.how.yes, output)?;
    }
    let done = client.post_json(&path, Some(&Value::Object(args.how.fields(false)))).await?;
    if output.is_json() {
        output.document(&done);
    } else {
        output.line(format!("{} {} sends it again", output.paint(Style::Good, "✓"), text_of(&done, "/run_id")));
    }
    Ok(())
}

/// Asks first what it would come to, and then repeats exactly that.
async fn many(path: &str, range: &Range, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut asked = range.how.fields(true);
    asked.insert("from".to_owned(), json!(range.since));
    asked.extend(range.filter.fields().map(|(key, value)| (key.to_owned(), json!(value))));
    let found = client.post_json(path, Some(&Value::Object(asked))).await?;
    if range.how.dry && output.is_json() {
        output.document(&found);
        return Ok(());
    }
    if !output.is_json() {
        print_found(&found, output);
    }
    let runs = items(&found, "/runs");
    if range.how.dry {
        return Ok(());
    }
    if runs.is_empty() {
        if output.is_json() {
            output.document(&found);
        }
        return Ok(());
    }
    confirm(&format!("Repeat {}?", plural(runs.len(), "run")), range.how.yes, output)?;
    let mut order = range.how.fields(false);
    order.insert("runs".to_owned(), runs.iter().map(|run| at(run, "/run_id").clone()).collect());
    let done = client.post_json(path, Some(&Value::Object(order))).await?;
    if output.is_json() {
        output.document(&done);
        return Ok(());
    }
    let started = items(&done, "/runs");
    output.line(format!("{} {} started", output.paint(Style::Good, "✓"), plural(started.len(), "run")));
    for run in started {
        output.line(format!("  {} repeats {}", text_of(run, "/started"), text_of(run, "/run_id")));
    }
    print_refused(&done, output);
    Ok(())
}
