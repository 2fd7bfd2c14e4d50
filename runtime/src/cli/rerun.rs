//! `flowcell run rerun`: repeats one run, or many by a filter; says first what has happened already and what will happen again.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable};
use crate::cli::rehearse::{plural, read_input};
use crate::client::Client;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group = ArgGroup::new("begin"), group = ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct Rerun {
    /// The run to repeat, `run_…`; without it the runs that the filter finds
    #[arg(group = "which")]
    run: Option<String>,
    /// Begin with what did not succeed; what did is taken over [default]
    #[arg(long, group = "begin")]
    from_failed: bool,
    /// Begin with the failed items of this loop
    #[arg(long, group = "begin", value_name = "STEP")]
    failed_items: Option<String>,
    /// Begin at the beginning
    #[arg(long, group = "begin")]
    whole: bool,
    /// Follow the version that is published now, not that of the earlier run
    #[arg(long)]
    latest: bool,
    /// What the workflow reads as `trigger` this time, YAML or JSON; `-` reads standard input
    #[arg(long, value_name = "FILE", requires = "run")]
    input: Option<PathBuf>,
    /// Send with new idempotency keys: receivers take repeated requests for new ones
    #[arg(long)]
    new_keys: bool,
    /// Change nothing: only say what would happen
    #[arg(long)]
    dry: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Runs of this workflow
    #[arg(long, group = "which", value_name = "ID", conflicts_with = "run", help_heading = "Many at once")]
    workflow: Option<String>,
    /// Runs that ended so
    #[arg(long, group = "which", conflicts_with = "run", help_heading = "Many at once", value_parser = ["succeeded", "failed", "cancelled"])]
    status: Option<String>,
    /// Runs that this error ended
    #[arg(long, group = "which", value_name = "CODE", conflicts_with = "run", help_heading = "Many at once")]
    error: Option<String>,
    /// Runs created from then on
    #[arg(long, group = "which", value_name = "TIME", conflicts_with = "run", help_heading = "Many at once")]
    from: Option<String>,
    /// Runs created before
    #[arg(long, group = "which", value_name = "TIME", conflicts_with = "run", help_heading = "Many at once")]
    to: Option<String>,
}

pub(crate) async fn rerun(args: &Rerun, client: &Client, output: &Output) -> Result<(), Failure> {
    match &args.run {
        Some(run) => one(run, args, client, output).await,
        None => many(args, client, output).await,
    }
}

/// How it is to be repeated.
fn request(args: &Rerun, dry: bool) -> Map<String, Value> {
    let from = match (&args.failed_items, args.whole) {
        (Some(step), _) => json!({ "failed-items": step }),
        (None, true) => json!("start"),
        (None, false) => json!("failure"),
    };
    let version = if args.latest { "latest" } else { "same" };
    let keys = if args.new_keys { "new" } else { "keep" };
    let fields = [("from", from), ("version", json!(version)), ("keys", json!(keys)), ("dry_run", json!(dry))];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

async fn one(run: &str, args: &Rerun, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = format!("runs/{}/rerun", path_segment(run));
    let trigger = args.input.as_deref().map(read_input).transpose()?;
    let body = |dry: bool| {
        let mut body = request(args, dry);
        if let Some(trigger) = &trigger {
            body.insert("trigger".to_owned(), trigger.clone());
        }
        Value::Object(body)
    };
    let planned = client.post_json(&path, Some(&body(true))).await?;
    if args.dry && output.is_json() {
        output.document(&planned);
        return Ok(());
    }
    let plan = at(&planned, "/plan");
    if !output.is_json() {
        print_plan(run, plan, output);
    }
    if args.dry {
        return Ok(());
    }
    let warnings = items(plan, "/warnings").len();
    if warnings > 0 {
        let question = format!("Repeat it, in spite of {}?", plural(warnings, "warning"));
        confirm(&question, args.yes, output)?;
    }
    let done = client.post_json(&path, Some(&body(false))).await?;
    if output.is_json() {
        output.document(&done);
    } else {
        output.line("");
        output.line(format!("{} {} repeats {run}", output.paint(Style::Good, "✓"), text_of(&done, "/run_id")));
    }
    Ok(())
}

/// Every effect of the earlier run, whether it has happened and what becomes of it.
pub(super) fn print_plan(run: &str, plan: &Value, output: &Output) {
    output.line(format!("To repeat {} on version {}:", output.paint(Style::Strong, run), at(plan, "/version")));
    let steps = items(plan, "/steps");
    let width = steps.iter().map(|step| text_of(step, "/step").chars().count()).max().unwrap_or(0);
    for step in steps {
        let fate = text_of(step, "/fate");
        let effect = match text_of(step, "/effect").as_str() {
            "happened" => "has happened",
            "uncertain" => "may have happened",
            _ => "has not happened",
        };
        let (mark, style, then) = match (fate.as_str(), effect) {
            ("skipped", _) => ("·", Style::Faint, "is skipped; its result is taken over"),
            (_, "has not happened") => ("▸", Style::Plain, "is made"),
            _ if at(step, "/idempotent") == true => {
                ("▸", Style::Plain, "is made again; that does no harm, says its plugin")
            }
            _ => ("!", Style::Warn, "is made again"),
        };
        let name = text_of(step, "/step");
        output.line(format!(
            "  {} {name:<width$}  {}",
            output.paint(style, mark),
            output.paint(style, format!("{effect}, {then}"))
        ));
    }
    if steps.is_empty() {
        output.line("  none of its steps has done anything yet");
    }
    for warning in items(plan, "/warnings").iter().filter_map(Value::as_str) {
        output.line(output.paint(Style::Warn, format!("  ! {}", printable(warning))));
    }
}

async fn many(args: &Rerun, client: &Client, output: &Output) -> Result<(), Failure> {
    let filter = [
        ("workflow", &args.workflow),
        ("status", &args.status),
        ("error", &args.error),
        ("from", &args.from),
        ("to", &args.to),
    ];
    let filter: Map<String, Value> =
        filter.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?)))).collect();
    let mut asked = request(args, true);
    asked.insert("filter".to_owned(), Value::Object(filter));
    let found = client.post_json("reruns", Some(&Value::Object(asked))).await?;
    if args.dry && output.is_json() {
        output.document(&found);
        return Ok(());
    }
    let runs = items(&found, "/runs");
    if !output.is_json() {
        print_found(&found, output);
    }
    if args.dry {
        return Ok(());
    }
    if !runs.is_empty() {
        confirm(&format!("Repeat {}?", plural(runs.len(), "run")), args.yes, output)?;
    }
    // Those that were shown, and no others that have ended meanwhile.
    let mut order = request(args, false);
    order.insert("runs".to_owned(), runs.iter().map(|run| at(run, "/run_id").clone()).collect());
    let done = if runs.is_empty() { found } else { client.post_json("reruns", Some(&Value::Object(order))).await? };
    if output.is_json() {
        output.document(&done);
        return Ok(());
    }
    if at(&done, "/dry_run") == false {
        let started = items(&done, "/runs");
        output.line(format!("{} {} started", output.paint(Style::Good, "✓"), plural(started.len(), "run")));
        for run in started {
            output.line(format!("  {} repeats {}", text_of(run, "/started"), text_of(run, "/run_id")));
        }
        print_refused(&done, output);
    }
    Ok(())
}

pub(super) fn print_found(found: &Value, output: &Output) {
    let runs = items(found, "/runs");
    let sum = |pointer: &str| -> usize {
        let counts = runs.iter().filter_map(|run| at(run, pointer).as_u64());
        usize::try_from(counts.sum::<u64>()).unwrap_or(usize::MAX)
    };
    if runs.is_empty() && items(found, "/refused").is_empty() {
        output.line("There are no such runs.");
        return;
    }
    output.line(format!("{} would be repeated.", output.paint(Style::Strong, plural(runs.len(), "run"))));
    output.line(format!(
        "  {} skipped, {} made again; of those {} happened already, or may have",
        plural(sum("/skipped"), "step"),
        sum("/repeated"),
        sum("/repeated_though_happened"),
    ));
    let mut warnings: Vec<&str> =
        runs.iter().flat_map(|run| items(run, "/warnings")).filter_map(Value::as_str).collect();
    warnings.sort_unstable();
    for group in warnings.chunk_by(|a, b| a == b) {
        let (Some(warning), count) = (group.first(), group.len()) else { continue };
        let runs = plural(count, "run");
        output.line(output.paint(Style::Warn, format!("  ! {} ({runs})", printable(warning))));
    }
    print_refused(found, output);
    if at(found, "/more") == true {
        output.line("  There are more than that; repeat the command for them, or narrow the filter.");
    }
}

pub(super) fn print_refused(document: &Value, output: &Output) {
    for refused in items(document, "/refused") {
        output.line(format!("  not {}: {}", text_of(refused, "/run_id"), text_of(refused, "/reason")));
    }
    if at(document, "/stopped") == true {
        output.line("  The server stopped there; the runs behind it were not looked at. Repeat the command later.");
    }
}

/// Goes on with `--yes` or a yes; without a terminal to ask at it refuses.
pub(super) fn confirm(question: &str, yes: bool, output: &Output) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if output.is_json() || !std::io::stdin().is_terminal() {
        return Err(anyhow::anyhow!("nothing was repeated, because nobody has agreed; add --yes").into());
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(anyhow::Error::from)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(anyhow::anyhow!("nothing was repeated").into())
    }
}
