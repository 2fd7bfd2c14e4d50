//! A run for people: what happened step by step, and for each failure what to do.

use std::fmt::Display;

use serde_json::Value;

use crate::cli::document::{at, items, text_of};
use crate::cli::output::{Output, Style, bytes, duration, printable};

/// Lines of a value, and characters of one line, that are shown; `--json` has the whole.
const VALUE_LINES_MAX: usize = 24;
const VALUE_LINE_CHARS_MAX: usize = 160;

pub(crate) fn print(run: &Value, output: &Output) {
    for line in render(run, output) {
        output.line(line);
    }
}

/// The lines of a run.
struct Page<'o> {
    output: &'o Output,
    lines: Vec<String>,
}

impl Page<'_> {
    fn line(&mut self, text: impl Into<String>) {
        self.lines.push(text.into());
    }
    fn paint(&self, style: Style, text: impl Display) -> String {
        self.output.paint(style, text)
    }
}

fn render(run: &Value, output: &Output) -> Vec<String> {
    let mut page = Page { output, lines: Vec::new() };
    print_run(run, &mut page);
    page.lines
}

fn print_run(run: &Value, page: &mut Page<'_>) {
    let (mark, style) = mark(&text_of(run, "/status"));
    page.line(format!(
        "{} {}  {}{}",
        page.paint(style, mark),
        page.paint(Style::Strong, text_of(run, "/id")),
        page.paint(style, text_of(run, "/status")),
        at(run, "/duration_ms").as_u64().map_or_else(String::new, |ms| format!(" in {}", duration(ms))),
    ));
    page.line(page.paint(
        Style::Faint,
        format!(
            "  workflow {} version {}, created {}",
            text_of(run, "/workflow/id"),
            at(run, "/workflow/version"),
            text_of(run, "/created_at")
        ),
    ));
    for step in items(run, "/steps") {
        print_step(step, page);
    }
    if at(run, "/error").is_object() {
        page.line("");
        let code = text_of(run, "/error/code");
        page.line(page.paint(Style::Bad, end_of(run, &code)));
        if let Some(advice) = advice(&code) {
            page.line(format!("  {advice}"));
        }
    }
}

/// Where the run ended; what went wrong stands there already, unless it went wrong outside of an attempt.
fn end_of(run: &Value, code: &str) -> String {
    let id = at(run, "/error/step");
    let message = text_of(run, "/error/message");
    let step = items(run, "/steps").iter().find(|step| id.is_string() && at(step, "/id") == id);
    let attempt = step.and_then(|step| items(step, "/attempts").last());
    match (attempt, id.as_str()) {
        (Some(attempt), Some(id)) if at(attempt, "/error/message") == at(run, "/error/message") => {
            format!("The run ended at step `{}`, attempt {}.", printable(id), at(attempt, "/number"))
        }
        (_, Some(id)) => format!("The run ended at step `{}`: {message} [{code}]", printable(id)),
        (_, None) => format!("The run ended: {message} [{code}]"),
    }
}

fn print_step(step: &Value, page: &mut Page<'_>) {
    let status = text_of(step, "/status");
    let (mark, style) = mark(&status);
    page.line("");
    let name = text_of(step, "/name");
    page.line(format!(
        "{} {} {}{}",
        page.paint(style, mark),
        page.paint(Style::Strong, text_of(step, "/id")),
        page.paint(style, &status),
        if name.is_empty() { String::new() } else { format!("  {name}") },
    ));
    if at(step, "/plugin").is_object() {
        page.line(page.paint(
            Style::Faint,
            format!(
                "  {} {}  {}",
                text_of(step, "/plugin/id"),
                text_of(step, "/plugin/version"),
                text_of(step, "/plugin/digest")
            ),
        ));
    }
    let attempts = items(step, "/attempts");
    // A step without attempts, such as `set`, has its output and its error itself.
    if attempts.is_empty() {
        print_value("output", at(step, "/output"), page);
        if at(step, "/error").is_object() {
            let code = text_of(step, "/error/code");
            page.line(page.paint(Style::Bad, format!("    error   {} [{code}]", text_of(step, "/error/message"))));
        }
    }
    if let Some(link) = at(step, "/resume_url").as_str() {
        page.line(format!("    resume  {}", printable(link)));
    }
    for (index, attempt) in attempts.iter().enumerate() {
        let is_open = status == "running" && index + 1 == attempts.len();
        let unended = if is_open { "still running" } else { "cut off: its end is not in the journal" };
        print_attempt(attempt, unended, page);
    }
    if let Some(time) = at(step, "/retry_at").as_str() {
        page.line(format!("  next attempt at {time}"));
    }
    if let Some(reason) = at(step, "/deferred/reason").as_str() {
        page.line(page.paint(Style::Warn, format!("  waiting: {}", printable(reason))));
    }
    if let Some(reason) = at(step, "/parked").as_str() {
        page.line(page.paint(Style::Warn, format!("  parked: {}", printable(reason))));
        page.line(
            "  Find out whether it happened. `on_uncertain: repeat` in the workflow lets such steps be repeated.",
        );
    }
}

/// `unended` is what an attempt without an end is called.
fn print_attempt(attempt: &Value, unended: &str, page: &mut Page<'_>) {
    let took = at(attempt, "/duration_ms").as_u64().map_or_else(|| unended.to_owned(), duration);
    let mut facts = vec![took];
    // Nothing of either: the plugin was never started.
    let (cpu, memory) = (at(attempt, "/cpu_ms").as_f64(), at(attempt, "/memory_bytes").as_u64());
    let has_run = cpu.is_some_and(|ms| ms > 0.0) || memory.is_some_and(|bytes| bytes > 0);
    if let Some(cpu) = cpu.filter(|_| has_run) {
        facts.push(format!("{cpu:.2} ms of processor time"));
    }
    if let Some(memory) = memory.filter(|_| has_run) {
        facts.push(format!("{} of memory", bytes(memory)));
    }
    page.line(format!("  attempt {}  {}", at(attempt, "/number"), page.paint(Style::Faint, facts.join(", "))));
    print_value("input", at(attempt, "/input"), page);
    for exchange in items(attempt, "/http") {
        print_exchange(exchange, page);
    }
    for line in items(attempt, "/log") {
        page.line(format!("    log     {}  {}", text_of(line, "/level"), text_of(line, "/message").replace('\n', " ")));
    }
    if let Some(dropped) = at(attempt, "/log_lines_dropped").as_u64().filter(|dropped| *dropped > 0) {
        page.line(format!("    log     … and {dropped} lines beyond the budget"));
    }
    print_value("output", at(attempt, "/output"), page);
    if at(attempt, "/error").is_object() {
        let code = text_of(attempt, "/error/code");
        page.line(page.paint(Style::Bad, format!("    error   {} [{code}]", text_of(attempt, "/error/message"))));
        print_value("details", at(attempt, "/error/details"), page);
    }
}

/// `http    POST https://… → 201, 12 ms, 340 B sent, 18 B received (203.0.113.7:443)`.
fn print_exchange(exchange: &Value, page: &mut Page<'_>) {
    let size = |pointer: &str| exchange.pointer(pointer).and_then(Value::as_u64).map(bytes);
    let mut line =
        format!("    http    {} {}", text_of(exchange, "/request/method"), text_of(exchange, "/request/url"));
    let mut facts = Vec::new();
    let response = at(exchange, "/response/status").as_u64();
    let style = if let Some(status) = response {
        facts.push(status.to_string());
        if status < 400 { Style::Good } else { Style::Bad }
    } else {
        let message = text_of(exchange, "/error/message");
        // The rest of it, such as a grant to paste, stands below with the error of the attempt.
        let first_line = message.lines().next().unwrap_or_default();
        let code = text_of(exchange, "/error/code");
        let what = match code.as_str() {
            "denied" | "address-denied" => "denied",
            "dns" | "connect" | "tls" | "budget" | "invalid-request" => "not sent",
            _ => "no response",
        };
        facts.push(format!("{what}: {first_line} [{code}]"));
        Style::Bad
    };
    facts.extend(at(exchange, "/duration_ms").as_u64().map(duration));
    // Without a response nobody knows how much of the request arrived.
    facts.extend(size("/request/body/bytes").filter(|_| response.is_some()).map(|size| format!("{size} sent")));
    facts.extend(size("/response/body/bytes").map(|size| format!("{size} received")));
    line.push_str(" → ");
    line.push_str(&page.paint(style, facts.join(", ")));
    if let Some(address) = at(exchange, "/address").as_str() {
        line.push_str(&page.paint(Style::Faint, format!(" ({})", printable(address))));
    }
    page.line(line);
    print_credentials(at(exchange, "/credentials"), page);
}

/// `            with crm: authorization, webhook-id`.
fn print_credentials(added: &Value, page: &mut Page<'_>) {
    let connection = text_of(added, "/connection");
    if connection.is_empty() {
        return;
    }
    let headers = items(added, "/headers").iter().map(|header| text_of(header, "/0"));
    let names: Vec<String> =
        headers.chain(items(added, "/query").iter().map(|name| format!("?{}", text_of(name, "")))).collect();
    let line = if names.is_empty() {
        page.paint(Style::Warn, format!("            without {connection}: it is not bound to this address"))
    } else {
        let renewed = if at(added, "/renewed") == true { ", renewed after a 401" } else { "" };
        page.paint(Style::Faint, format!("            with {connection}: {}{renewed}", printable(&names.join(", "))))
    };
    page.line(line);
}

fn print_value(label: &str, value: &Value, page: &mut Page<'_>) {
    if value.is_null() {
        return;
    }
    let text = match value {
        Value::Object(_) | Value::Array(_) => serde_json::to_string_pretty(value).unwrap_or_default(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = printable(&text);
    let total = text.lines().count();
    for (index, line) in text.lines().take(VALUE_LINES_MAX).enumerate() {
        let shown: String = line.chars().take(VALUE_LINE_CHARS_MAX).collect();
        let cut = if shown.len() < line.len() { "…" } else { "" };
        page.line(format!("    {:<7} {shown}{cut}", if index == 0 { label } else { "" }));
    }
    if total > VALUE_LINES_MAX {
        page.line(
            page.paint(Style::Faint, format!("            … {} more lines; --json shows all", total - VALUE_LINES_MAX)),
        );
    }
}

fn mark(status: &str) -> (&'static str, Style) {
    match status {
        "succeeded" => ("✓", Style::Good),
        "failed" | "cancelled" => ("✗", Style::Bad),
        "waiting" | "parked" => ("…", Style::Warn),
        "running" => ("▶", Style::Plain),
        _ => ("·", Style::Faint),
    }
}

/// What to do about an error that the host itself raised; plugins say it in their messages.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "plugin-crashed" => "This is a fault of the plugin; its author needs the input above.",
        "cpu-exhausted" | "fuel-exhausted" | "memory-exhausted" | "limit-exceeded" => {
            "The plugin may ask for more in its manifest (`[limits]`), up to the operator's ceiling."
        }
        "plugin-unavailable" => {
            "The plugin's file is missing or damaged; the server's log has more. Restore the data directory's `plugins` from a backup."
        }
        "deadline-exceeded" => "`timeout` in the step gives it more time, up to the operator's ceiling.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
