//! A rehearsal for people: every step in its order, every request as it would leave, every decision with its reasons.

use std::collections::BTreeMap;

use flowcell_core::exchange::{AnsweredBy, Exchange, RecordedBody};
use flowcell_core::id::{StepId, StepRef};
use flowcell_core::invoke::CallRecord;
use flowcell_core::run::event::{Detail, Outcome, Recorded, ResponseBody, RunEvent};
use flowcell_core::testcase::Story;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::{StepKind, Workflow};
use serde_json::Value;

use super::words::{long_duration, plural};
use crate::cli::output::{Output, Style, printable};
use crate::rehearsal::{Played, Ready};

/// Lines of a body, and characters of one line, that are shown; `--json` has the whole.
const LINES_MAX: usize = 40;
const LINE_CHARS_MAX: usize = 200;

/// Whether what is shown was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Dry,
    Sent,
}

/// Prints the whole run.
pub(super) fn print(played: &Played, (ready, others): (&Ready, &[Ready]), mode: Mode, output: &Output) {
    let (name, id) = (output.paint(Style::Strong, &ready.workflow.name), &ready.workflow.id);
    output.line(match mode {
        Mode::Dry => format!("Dry run of {name} ({id}). Nothing leaves this machine."),
        Mode::Sent => format!("Run of {name} ({id}) in this process. What it sends is sent."),
    });
    print_journal(&played.journal, &ready.workflow, output);
    for (story, journal) in &played.others {
        let Some(other) = others.iter().find(|other| other.workflow.id == story.workflow) else { continue };
        output.line("");
        output.line(format!(
            "{} ({}), which this run has started",
            output.paint(Style::Strong, &other.workflow.name),
            other.workflow.id
        ));
        print_journal(journal, &other.workflow, output);
    }
    output.line("");
    print_end(played, mode, output);
}

fn print_journal(journal: &[Recorded], workflow: &Workflow, output: &Output) {
    let mut page = Page::new(workflow, output, journal.first().map(|first| first.at).unwrap_or_default());
    for entry in journal {
        page.entry(entry);
    }
}

fn print_end(played: &Played, mode: Mode, output: &Output) {
    let Story { status, error, began_at, ended_at, requests, .. } = &played.story;
    let (mark, style) = match status.as_str() {
        "succeeded" => ("✓", Style::Good),
        "failed" | "cancelled" => ("✗", Style::Bad),
        _ => ("…", Style::Warn),
    };
    let said = match error {
        Some(error) => {
            let step = error.step.as_ref().map_or_else(String::new, |step| format!(" at step `{step}`"));
            format!("The run {}{step}: {} [{}]", ended(status.as_str()), printable(&error.message), error.code)
        }
        None => format!("The run {}.", ended(status.as_str())),
    };
    output.line(format!("{} {}", output.paint(style, mark), output.paint(style, said)));
    for note in &played.notes {
        output.line(format!("  {}", printable(note)));
    }
    let took = u64::try_from(ended_at.since(*began_at).as_millis()).unwrap_or(u64::MAX);
    let took = if took == 0 { String::new() } else { format!(", over {}", long_duration(took)) };
    let verb = match mode {
        Mode::Dry => "would send",
        Mode::Sent => "has sent",
    };
    output.line(format!("  It {verb} {}{took}.", plural(requests.len(), "request")));
    let stand_ins = requests.iter().filter(|request| request.exchange.answered_by == Some(AnsweredBy::StandIn)).count();
    if stand_ins > 0 {
        output.line(output.paint(
            Style::Faint,
            format!(
                "  {} got 200 and an empty object for want of a better answer; --pins FILE gives answers.",
                plural(stand_ins, "request")
            ),
        ));
    }
    if !played.story.output.is_null() {
        output.line(format!("  output {}", printable(&cut(&played.story.output.to_string(), LINE_CHARS_MAX))));
    }
}

fn ended(status: &str) -> &str {
    match status {
        "succeeded" => "succeeded",
        "failed" => "failed",
        "cancelled" => "was cancelled",
        "waiting" => "waits, and nothing more happens by itself",
        _ => "has not ended",
    }
}

/// The lines of one run.
struct Page<'w> {
    workflow: &'w Workflow,
    output: &'w Output,
    /// How deep each step lies in the tree.
    depths: BTreeMap<&'w StepId, usize>,
    now: Timestamp,
}

impl<'w> Page<'w> {
    fn new(workflow: &'w Workflow, output: &'w Output, now: Timestamp) -> Self {
        let depths = workflow.all_steps().map(|placed| (&placed.step.id, placed.around.len())).collect();
        Self { workflow, output, depths, now }
    }

    fn entry(&mut self, entry: &Recorded) {
        self.tell_time(entry);
        match &entry.event {
            RunEvent::StepSucceeded { step, attempt, output, call, .. } => {
                self.heading(step, Style::Good, &self.action(step, *attempt));
                self.call(step, call);
                if call.http.is_empty() {
                    self.value(step, "output", output);
                }
            }
            RunEvent::StepFailed { step, attempt, error, retry_at, call, .. } => {
                let again = retry_at.map_or_else(String::new, |at| {
                    let ms = u64::try_from(at.since(entry.at).as_millis()).unwrap_or(u64::MAX);
                    format!(", tried again in {}", long_duration(ms))
                });
                let said = format!("{}  failed{again}", self.action(step, *attempt));
                self.heading(step, Style::Bad, &said);
                self.call(step, call);
                self.line(
                    step,
                    self.output.paint(Style::Bad, printable(&format!("{} [{}]", error.message, error.code))),
                );
            }
            RunEvent::StepDeferred { step, reason, .. } => {
                self.heading(step, Style::Warn, "waiting");
                self.line(step, printable(reason));
            }
            RunEvent::StepParked { step, reason, call, .. } => {
                self.heading(step, Style::Warn, "parked");
                if let Some(call) = call {
                    self.call(step, call);
                }
                self.line(step, printable(reason));
            }
            RunEvent::Entered { step, detail } => self.entered(step, detail),
            RunEvent::Left { step, output } => self.left(step, output),
            RunEvent::Iterated { step, index, error, .. } => {
                let end = error.as_ref().map_or_else(
                    || "ended".to_owned(),
                    |failure| {
                        format!("failed at `{}`: {} [{}]", failure.step, failure.error.message, failure.error.code)
                    },
                );
                let style = if error.is_some() { Style::Bad } else { Style::Faint };
                self.line(step, self.output.paint(style, printable(&format!("item {index} {end}"))));
            }
            RunEvent::TimedOut { step } => {
                self.heading(step, Style::Warn, "nothing came in time; its `on_timeout` steps begin");
            }
            RunEvent::Handled { step, output } => {
                self.heading(step, Style::Warn, "its `on_error` takes the failure, and the run goes on");
                self.value(step, "output", output);
            }
            RunEvent::Cancelled { step, reason } => self.heading(step, Style::Warn, &format!("cancelled: {reason}")),
            RunEvent::Responded { step, status, body, .. } => {
                self.heading(step, Style::Good, &format!("answers the sender with {status}"));
                match body {
                    Some(ResponseBody::Json(json)) => self.value(step, "", json),
                    Some(ResponseBody::Text(text)) => self.text(step, text),
                    None => {}
                }
            }
            RunEvent::Resumed { step, payload } => {
                self.line(step, "somebody opens the resume link");
                self.value(step, "", payload);
            }
            RunEvent::EventArrived { step, payload } => {
                self.line(step, "the event comes");
                self.value(step, "", payload);
            }
            RunEvent::ContactEnrolled { step, contact } => {
                self.line(step, format!("contact {contact} is the run's from now on"));
            }
            RunEvent::ChildEnded { step, outcome, output } => {
                let said = match outcome {
                    Outcome::Succeeded => "the called run has succeeded".to_owned(),
                    Outcome::Failed { error, .. } => {
                        format!("the called run has failed: {} [{}]", error.message, error.code)
                    }
                    Outcome::Cancelled { reason } => format!("the called run was cancelled: {reason}"),
                };
                self.line(step, printable(&said));
                self.value(step, "output", output);
            }
            RunEvent::Created { .. }
            | RunEvent::StepStarted { .. }
            | RunEvent::Kept { .. }
            | RunEvent::Rested { .. }
            | RunEvent::Decided { .. }
            | RunEvent::CancelRequested { .. }
            | RunEvent::Finished { .. } => {}
        }
    }

    /// Says how much time has been skipped.
    fn tell_time(&mut self, entry: &Recorded) {
        if matches!(entry.event, RunEvent::Rested { .. }) {
            return;
        }
        let passed = u64::try_from(entry.at.since(self.now).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            self.output.line("");
            self.output.line(self.output.paint(Style::Faint, format!("{} later", long_duration(passed))));
            self.now = entry.at;
        }
    }

    fn action(&self, step: &StepRef, attempt: u32) -> String {
        let uses = self.workflow.step(step.id()).and_then(|step| step.action()).map(|action| action.uses.to_string());
        let uses = uses.unwrap_or_default();
        if attempt > 1 { format!("{uses}, attempt {attempt}") } else { uses }
    }

    fn entered(&self, step: &StepRef, detail: &Detail) {
        match detail {
            Detail::Decided { branch, name, because } => {
                let taken = match (name, branch) {
                    (Some(name), _) => name.clone(),
                    (None, Some(index)) => format!("branch {index}"),
                    (None, None) => "else".to_owned(),
                };
                self.heading(step, Style::Plain, &format!("if → {taken}"));
                for explanation in because {
                    for line in explanation.to_string().lines() {
                        self.line(step, printable(line));
                    }
                }
            }
            Detail::Each { count, .. } => {
                self.heading(step, Style::Plain, &format!("for each of {}", plural(*count as usize, "item")));
            }
            Detail::Parallel => {
                let branches = match self.workflow.step(step.id()).map(|step| &step.kind) {
                    Some(StepKind::Parallel(parallel)) => {
                        parallel.branches.keys().cloned().collect::<Vec<_>>().join(", ")
                    }
                    _ => String::new(),
                };
                self.heading(step, Style::Plain, &format!("at the same time: {branches}"));
            }
            Detail::Waiting { until, deadline, event, resume } => {
                let what = match (event, resume, until) {
                    (Some(event), ..) => format!("waits for the event `{event}`"),
                    (None, true, _) => "waits for its resume link".to_owned(),
                    (None, false, Some(until)) => format!("waits until {until}"),
                    (None, false, None) => "waits".to_owned(),
                };
                let deadline = deadline.map_or_else(String::new, |at| format!(", until {at} at the latest"));
                self.heading(step, Style::Plain, &format!("{what}{deadline}"));
            }
            Detail::Called { workflow, input, .. } => {
                self.heading(step, Style::Plain, &format!("calls {workflow}"));
                self.value(step, "with", input);
            }
        }
    }

    fn left(&self, step: &StepRef, output: &Value) {
        match self.workflow.step(step.id()).map(|step| &step.kind) {
            Some(StepKind::Set(_)) => {
                self.heading(step, Style::Good, "set");
                self.value(step, "", output);
            }
            Some(StepKind::Stop(_)) => self.heading(step, Style::Good, "stops the run"),
            Some(StepKind::Wait(_)) => {
                let reason = output.get("reason").and_then(Value::as_str).unwrap_or("ended");
                self.heading(step, Style::Good, &format!("goes on: {reason}"));
            }
            Some(StepKind::ForEach(_)) => {
                let number = |key: &str| output.get(key).and_then(Value::as_u64).unwrap_or(0);
                let said = format!("{} succeeded, {} failed", number("succeeded"), number("failed"));
                self.heading(step, Style::Good, &said);
            }
            _ => {}
        }
    }

    fn call(&self, step: &StepRef, call: &CallRecord) {
        for exchange in &call.http {
            self.exchange(step, exchange);
        }
        for line in &call.log {
            self.line(step, self.output.paint(Style::Faint, printable(&format!("log: {}", line.message))));
        }
    }

    fn exchange(&self, step: &StepRef, exchange: &Exchange) {
        let sent = &exchange.request;
        self.line(step, self.output.paint(Style::Strong, printable(&format!("{} {}", sent.method, sent.url))));
        for (name, value) in &sent.headers {
            self.line(step, format!("  {} {}", self.output.paint(Style::Faint, format!("{name}:")), printable(value)));
        }
        self.body(step, &sent.body);
        let by = match exchange.answered_by {
            Some(AnsweredBy::Pinned) => "pinned".to_owned(),
            Some(AnsweredBy::Recorded) => "recorded".to_owned(),
            Some(AnsweredBy::StandIn) => "stand-in".to_owned(),
            None => long_duration(exchange.duration_ms),
        };
        match (&exchange.response, &exchange.error) {
            (Some(response), _) => {
                self.line(step, self.output.paint(Style::Faint, format!("← {}, {by}", response.status)));
                if exchange.answered_by != Some(AnsweredBy::StandIn) {
                    self.body(step, &response.body);
                }
            }
            (None, Some(error)) => {
                let first = error.message.lines().next().unwrap_or_default();
                self.line(step, self.output.paint(Style::Bad, printable(&format!("← {first} [{}]", error.code))));
            }
            (None, None) => {}
        }
    }

    fn body(&self, step: &StepRef, body: &RecordedBody) {
        if body.bytes == 0 {
            return;
        }
        match body.text.as_deref() {
            Some(text) => match serde_json::from_str::<Value>(text) {
                Ok(json) => self.value(step, "", &json),
                Err(_) => self.text(step, text),
            },
            None => self.line(step, format!("  {} bytes that are no text", body.bytes)),
        }
    }

    fn value(&self, step: &StepRef, label: &str, value: &Value) {
        if value.is_null() {
            return;
        }
        let label = if label.is_empty() { String::new() } else { format!("{label} ") };
        let short = value.to_string();
        if short.chars().count() <= 100 {
            self.line(step, printable(&format!("  {label}{short}")));
            return;
        }
        self.text(step, &format!("{label}{}", serde_json::to_string_pretty(value).unwrap_or_default()));
    }

    fn text(&self, step: &StepRef, text: &str) {
        let total = text.lines().count();
        for line in text.lines().take(LINES_MAX) {
            self.line(step, printable(&format!("  {}", cut(line, LINE_CHARS_MAX))));
        }
        if total > LINES_MAX {
            let more = plural(total - LINES_MAX, "more line");
            self.line(step, self.output.paint(Style::Faint, format!("  … {more}; --json shows all")));
        }
    }

    fn depth(&self, step: &StepRef) -> usize {
        self.depths.get(step.id()).copied().unwrap_or(0) * 2
    }

    fn heading(&self, step: &StepRef, style: Style, said: &str) {
        let mark = match style {
            Style::Good => "✓",
            Style::Bad => "✗",
            Style::Warn => "!",
            _ => "▸",
        };
        let step_text = self.output.paint(Style::Strong, step);
        let mark = self.output.paint(style, mark);
        let indent = self.depth(step);
        self.output.line(format!("{:indent$}{mark} {step_text}  {}", "", printable(said)).trim_end());
    }

    fn line(&self, step: &StepRef, text: impl std::fmt::Display) {
        let indent = self.depth(step) + 4;
        self.output.line(format!("{:indent$}{text}", ""));
    }
}

fn cut(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    text.chars().take(characters_max).chain(['…']).collect()
}
