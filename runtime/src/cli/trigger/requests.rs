//! `flowcell trigger requests` and `listen`: what came to a trigger, and what comes.

use clap::Args;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Requests {
    /// The workflow's id
    id: String,
    /// Only those with this outcome: started, duplicate, filtered, ignored, answered, test, rejected
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// How many, the newest first
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// The workflow's id
    id: String,
    /// End after this many requests
    #[arg(long, value_name = "NUMBER")]
    count: Option<usize>,
}

pub(super) async fn list(args: &Requests, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut path = format!("workflows/{}/requests?limit={}", path_segment(&args.id), args.limit);
    if let Some(outcome) = &args.outcome {
        path.push_str("&outcome=");
        path.push_str(&path_segment(outcome));
    }
    let document = client.get(&path).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let requests = items(&document, "/requests");
    if requests.is_empty() {
        output.line(format!("No such request came since {}.", text_of(&document, "/since")));
    }
    for request in requests {
        print(request, output);
    }
    Ok(())
}

pub(super) async fn listen(args: &Listen, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = format!("workflows/{}/requests/tail", path_segment(&args.id));
    // What is wrong from the start is an error; what breaks later is tried again.
    let mut events = client.events(&path, None).await?;
    if !output.is_json() {
        let trigger = client.get(&format!("workflows/{}/trigger", path_segment(&args.id))).await?;
        output.line(format!("Waiting for requests to {} (Ctrl-C ends)", text_of(&trigger, "/url")));
    }
    let (mut last, mut seen) = (None, 0);
    loop {
        while let Some(event) = events.next().await {
            if event.kind != "request" {
                continue;
            }
            last = event.id.or(last);
            if output.is_json() {
                // One line each: a stream is no document.
                output.line(&event.data);
            } else {
                print(&event.data, output);
            }
            seen += 1;
            if args.count.is_some_and(|count| seen >= count) {
                return Ok(());
            }
        }
        output.warning("the connection was lost; trying again");
        events = client.events_again(&path, last.as_deref()).await?;
    }
}

/// One request: a line, what became of it, its headers and its body.
fn print(request: &Value, output: &Output) {
    let (method, path) = (text_of(request, "/method"), text_of(request, "/path"));
    let query = text_of(request, "/query");
    let query = if query.is_empty() { query } else { format!("?{query}") };
    let faint = |text: String| output.paint(Style::Faint, text);
    output.line("");
    let head = output.paint(Style::Strong, format!("{method} {path}{query}"));
    output.line(format!("{}  {head}  {}", text_of(request, "/at"), faint(text_of(request, "/id"))));
    output.line(format!("  {}", outcome(request, output)));
    if at(request, "/former_url").is_number() {
        output.line(format!("  {}", output.paint(Style::Warn, "it came to a former URL")));
    }
    if at(request, "/verified_by").as_str() == Some("previous-secret") {
        output.line(format!("  {}", output.paint(Style::Warn, "it is signed with the previous secret")));
    }
    for header in items(request, "/headers") {
        output.line(faint(format!("  {}: {}", text_of(header, "/name"), text_of(header, "/value"))));
    }
    let body = match (at(request, "/body").as_str(), at(request, "/body_base64").as_str()) {
        (Some(""), _) | (None, None) => return,
        (Some(text), _) => text.to_owned(),
        (None, Some(base64)) => format!("base64: {base64}"),
    };
    output.line("");
    for line in body.lines() {
        output.line(format!("  {}", printable(line)));
    }
    if at(request, "/body_cut").as_bool() == Some(true) {
        output.line(faint(format!("  … the body has {} bytes", at(request, "/body_bytes"))));
    }
}

fn outcome(request: &Value, output: &Output) -> String {
    let text = |pointer: &str| text_of(request, &format!("/outcome{pointer}"));
    let runs = || {
        let runs = items(request, "/outcome/run_ids").iter().filter_map(Value::as_str);
        runs.map(printable).collect::<Vec<_>>().join(", ")
    };
    match text("/is").as_str() {
        "started" => output.paint(Style::Good, format!("started {}", runs())),
        "duplicate" => format!("came before: {}", runs()),
        "filtered" => format!("filtered ({}); `flowcell trigger show` says why", text("/event_id")),
        "ignored" => format!("ignored: {}", text("/reason")),
        "answered" => format!("answered by the trigger with {}", at(request, "/outcome/status")),
        "test" => format!("a test: it would bring {} event(s)", at(request, "/outcome/events")),
        "rejected" => {
            let (status, code) = (at(request, "/outcome/status"), text("/code"));
            output.paint(Style::Bad, format!("rejected with {status} [{code}]: {}", text("/reason")))
        }
        other => other.to_owned(),
    }
}
