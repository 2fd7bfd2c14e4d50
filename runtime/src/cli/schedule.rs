//! `flowcell schedule next|list`: when a schedule comes, without a server; when those of a server come.

use std::path::Path;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use flowcell_core::ports::Clock;
use flowcell_core::schedule::{OCCURRENCES_MAX, Part, Schedule, ScheduleError, Zone};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::parse::Authored;
use serde_json::{Value, json};

use crate::cli::document::{items, text_of};
use crate::cli::output::{Output, Style, printable, table};
use crate::cli::{Failure, input};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::schedules;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the next times of a schedule, without a server
    Next(Next),
    /// List the schedules of the server's published workflows
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Next {
    /// A cron pattern ("0 9 * * 1-5"), "every 15m", "at 2026-12-24T09:00", or a workflow file
    #[arg(value_name = "SCHEDULE|FILE")]
    schedule: String,
    /// The time zone, by its IANA name [default: UTC; of a file: the workflow's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// How many times
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=OCCURRENCES_MAX as i64))]
    count: u16,
    /// After which time: a date and time of the zone, or RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

/// Prints what a schedule means and when it comes next.
pub(crate) fn next(args: &Next, output: &Output) -> Result<(), Failure> {
    let document = match read(args) {
        Ok(document) => document,
        Err(Wrong::Schedule(error, text)) => return Err(say_wrong(&error, &text, output)),
        Err(Wrong::File(error)) => return Err(Failure::Other(error)),
    };
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    output.line(output.paint(Style::Strong, text_of(&document, "/description")));
    output.line("");
    let times = items(&document, "/next");
    for time in times {
        let local = text_of(time, "/local_time").replacen('T', " ", 1);
        let (moment, offset) = local.split_at_checked("2026-01-01 00:00:00".len()).unwrap_or((&local, ""));
        output.line(format!(
            "{moment} {offset}  {:<9}  {}",
            text_of(time, "/weekday"),
            output.paint(Style::Faint, text_of(time, "/abbreviation"))
        ));
    }
    if times.is_empty() {
        output.line("It never comes again.");
    } else if times.len() < usize::from(args.count) {
        output.line("That is all.");
    }
    Ok(())
}

/// Prints the schedules of a server.
pub(crate) async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get("schedules").await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let schedules = items(&document, "/schedules");
    if schedules.is_empty() {
        output.line("No published workflow runs by the clock. A trigger with `schedule:` makes one that does.");
        return Ok(());
    }
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let rows: Vec<_> = schedules
        .iter()
        .map(|schedule| {
            [
                text_of(schedule, "/workflow_id"),
                text_of(schedule, "/schedule"),
                or_dash(text_of(schedule, "/next/0/local_time")),
                or_dash(text_of(schedule, "/last_fired_at")),
            ]
        })
        .collect();
    table(output, ["WORKFLOW", "SCHEDULE", "NEXT", "LAST"], &rows);
    Ok(())
}

enum Wrong {
    /// With the text that it points into.
    Schedule(ScheduleError, String),
    File(anyhow::Error),
}

fn read(args: &Next) -> Result<Value, Wrong> {
    let in_text = |text: &str| {
        let text = text.to_owned();
        move |error| Wrong::Schedule(error, text)
    };
    let zone_name = args.timezone.as_deref();
    let zone: Option<Zone> = zone_name.map(|name| name.parse().map_err(in_text(name))).transpose()?;
    let schedule = if is_file(&args.schedule) {
        of_file(Path::new(&args.schedule), zone.is_some())?
    } else {
        let zone = zone.unwrap_or_else(Zone::utc);
        Schedule::parse(&args.schedule, &zone).map_err(in_text(&args.schedule))?
    };
    let from = match &args.from {
        Some(from) => schedule.zone().moment(from).map_err(in_text(from))?,
        None => SystemClock.now(),
    };
    Ok(with_from(schedules::preview(&schedule, from, args.count.into()), from))
}

fn with_from(mut document: Value, from: Timestamp) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.insert("from".to_owned(), json!(from));
    }
    document
}

/// A schedule has no such ending, and none is called like a file that is there.
fn is_file(text: &str) -> bool {
    let path = Path::new(text);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    text == "-" || matches!(ending.as_str(), "yaml" | "yml" | "json") || path.is_file()
}

fn of_file(file: &Path, has_zone: bool) -> Result<Schedule, Wrong> {
    let name = file.display();
    if has_zone {
        let message = format!("{name} names its time zone itself; leave --timezone out, or give the schedule alone");
        return Err(Wrong::File(anyhow!(message)));
    }
    let text = input::read_workflow(file).map_err(Wrong::File)?;
    let authored = Authored::parse(&text).map_err(|problems| {
        let first = problems.first().map(|problem| problem.in_file(&name.to_string()).to_string());
        Wrong::File(anyhow!("{}", first.unwrap_or_else(|| format!("{name} is no workflow"))))
    })?;
    let Some(schedule) = schedules::schedule_of(&authored.workflow) else {
        let message = format!("{name} does not run by the clock: its trigger has no `schedule`");
        return Err(Wrong::File(anyhow!(message)));
    };
    schedule.map_err(|error| Wrong::File(anyhow!("{name}: {}", error.in_words())))
}

/// Points at what is wrong.
fn say_wrong(error: &ScheduleError, text: &str, output: &Output) -> Failure {
    let field = match error.part {
        Part::Cron(Some(field)) => format!("in the field `{field}`: "),
        _ => String::new(),
    };
    let message = format!("{field}{}", error.message);
    if output.is_json() {
        output.document(&json!({
            "title": "The schedule does not read",
            "detail": message,
            "help": error.help,
            // In characters, from 1; for the carets of another program.
            "column": text.get(..error.span.start).map_or(1, |before| before.chars().count() + 1),
        }));
    }
    let pointed: Vec<_> = error.point_at(text).lines().map(|line| format!("  {line}")).collect();
    output.error(&format!("{}\n{}", printable(&message), pointed.join("\n")));
    if let Some(help) = &error.help {
        output.help(&printable(help));
    }
    Failure::Reported
}
