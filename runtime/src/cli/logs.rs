//! `flowcell logs`: what runs do, a line for each thing that happens and for each line a step writes.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::document::{at, path_segment, text_of};
use crate::cli::output::{Output, Style, duration, printable};
use crate::client::{Client, Event, Events};

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on as things happen, until the run ends or Ctrl-C
    #[arg(short, long, required_unless_present = "run")]
    follow: bool,
    /// Only runs of this workflow
    #[arg(long, value_name = "ID", conflicts_with = "run")]
    workflow: Option<String>,
    /// Only this run, from its beginning on
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub(crate) async fn run(args: &Logs, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = match (&args.run, &args.workflow) {
        (Some(run), _) => format!("runs/{}/events?follow={}", path_segment(run), args.follow),
        (None, Some(workflow)) => format!("events?workflow={}", path_segment(workflow)),
        (None, None) => "events".to_owned(),
    };
    // What is wrong from the start is an error; what breaks later is tried again.
    let mut events = client.events(&path, None).await?;
    let mut last = None;
    loop {
        if print_all(&mut events, &mut last, output).await? == End::Meant {
            return Ok(());
        }
        output.warning("the connection was lost; trying again");
        events = client.events_again(&path, last.as_deref()).await?;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Meant,
    Lost,
}

async fn print_all(events: &mut Events, last: &mut Option<String>, output: &Output) -> Result<End, Failure> {
    while let Some(event) = events.next().await {
        if event.id.is_some() {
            last.clone_from(&event.id);
        }
        if output.is_json() {
            // One line each: a stream is no document.
            output.line(json!({ "event": event.kind, "id": event.id, "data": event.data }));
        } else if let Some(line) = line(&event, output) {
            output.line(line);
        }
        match event.kind.as_str() {
            "end" => return Ok(End::Meant),
            "failed" => return Err(Failure::Reported),
            _ => {}
        }
    }
    Ok(End::Lost)
}

/// `08:00:00.123  run_…  send  attempt 1 succeeded in 12 ms`.
fn line(event: &Event, output: &Output) -> Option<String> {
    let data = &event.data;
    let run = text_of(data, "/run");
    let faint = |text: &str| output.paint(Style::Faint, text);
    match event.kind.as_str() {
        "entry" => {
            let entry = at(data, "/entry");
            let (what, style) = happened(entry, data);
            let step = text_of(entry, "/step");
            let time = time_of(&text_of(entry, "/at"));
            Some(format!("{}  {}  {step:<12}  {}", faint(&time), faint(&run), output.paint(style, what)))
        }
        "log" => {
            let (level, time) = (text_of(data, "/level"), time_of(&text_of(data, "/at")));
            let message = text_of(data, "/message").replace('\n', " ");
            Some(format!("{}  {}  {:<12}  {level}: {message}", faint(&time), faint(&run), text_of(data, "/step")))
        }
        "cut" => {
            Some(output.paint(Style::Warn, "… some entries were missed: this client was too slow or away too long"))
        }
        "failed" => Some(output.paint(Style::Bad, text_of(data, "/message"))),
        _ => None,
    }
}

/// The time of day, for people; the date stands in the run's id and in `run show`.
fn time_of(at: &str) -> String {
    at.split_once('T').map_or(at, |(_, time)| time.trim_end_matches('Z')).to_owned()
}

/// What an entry says, in a few words.
fn happened(entry: &Value, data: &Value) -> (String, Style) {
    let attempt = || at(entry, "/attempt").to_string();
    let took = || {
        let ms = at(entry, "/call/duration_ms").as_u64();
        ms.map_or_else(String::new, |ms| format!(" in {}", duration(ms)))
    };
    let error = |pointer: &str| {
        format!("{} [{}]", text_of(entry, &format!("{pointer}/message")), text_of(entry, &format!("{pointer}/code")))
    };
    match text_of(entry, "/type").as_str() {
        "created" => {
            (format!("created: {} version {}", text_of(data, "/workflow"), at(entry, "/version")), Style::Strong)
        }
        "step-started" => (format!("attempt {} started", attempt()), Style::Plain),
        "step-succeeded" => (format!("attempt {} succeeded{}", attempt(), took()), Style::Good),
        "step-failed" => {
            let again = at(entry, "/retry_at").as_str();
            let again = again.map_or_else(String::new, |at| format!(", again at {}", time_of(&printable(at))));
            (format!("attempt {} failed{}: {}{again}", attempt(), took(), error("/error")), Style::Bad)
        }
        "step-deferred" => (format!("waiting: {}", text_of(entry, "/reason")), Style::Warn),
        "step-parked" => (format!("parked: {}", text_of(entry, "/reason")), Style::Warn),
        "finished" => match text_of(entry, "/outcome/status").as_str() {
            "succeeded" => ("succeeded".to_owned(), Style::Good),
            "failed" => (format!("failed: {}", error("/outcome/error")), Style::Bad),
            _ => (format!("cancelled: {}", text_of(entry, "/outcome/reason")), Style::Warn),
        },
        other => (other.replace('-', " "), Style::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_happens_is_one_line() {
        let output = Output::new(false, true);
        let said = |kind: &str, data: Value| line(&Event { kind: kind.to_owned(), id: None, data }, &output);
        let entry = |entry: Value| said("entry", json!({ "run": "run_1", "workflow": "w", "entry": entry })).unwrap();
        let at = "2026-11-23T08:00:00.123Z";
        assert_eq!(
            entry(json!({ "at": at, "type": "created", "version": 2 })),
            "08:00:00.123  run_1                created: w version 2"
        );
        let failed = json!({
            "at": at, "type": "step-failed", "step": "send", "attempt": 1, "retry_at": "2026-11-23T08:00:05Z",
            "error": { "code": "http-status", "message": "503" }, "call": { "duration_ms": 12 },
        });
        let line = entry(failed);
        assert!(
            line.ends_with("send          attempt 1 failed in 12 ms: 503 [http-status], again at 08:00:05"),
            "{line}"
        );
        let log = json!({ "run": "run_1", "at": at, "step": "send", "level": "info", "message": "a\nb\u{1b}[31m" });
        assert_eq!(said("log", log).unwrap(), "08:00:00.123  run_1  send          info: a b\u{fffd}[31m");
        assert_eq!(said("end", json!({})), None);
    }
}
