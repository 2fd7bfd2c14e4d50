//! `flowcell trigger`: what starts a workflow and what came to it; following requests, saving one for the mapping, another URL.

mod late;
mod polled;
mod reference;
mod requests;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what starts a workflow, what came, and why the latest deliveries started nothing
    Show(Show),
    /// Print the latest requests with their headers, bodies and what became of them
    Requests(requests::Requests),
    /// Print requests as they come, until Ctrl-C
    Listen(requests::Listen),
    /// Save requests as what the workflow's expressions are checked against
    SaveReference(reference::Save),
    /// Print the mapping reference: the JSON Schema of the requests, and a sample
    Reference(reference::Reference),
    /// Give the trigger another URL; the former one may count for a while yet
    RotateUrl(late::Rotate),
    /// Ask a polling trigger now, and say what came of it
    PollNow(polled::PollNow),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The workflow's id
    id: String,
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Show(args) => show(args, client, output).await,
        Command::Requests(args) => requests::list(args, client, output).await,
        Command::Listen(args) => requests::listen(args, client, output).await,
        Command::SaveReference(args) => reference::save(args, client, output).await,
        Command::Reference(args) => reference::show(args, client, output).await,
        Command::RotateUrl(args) => late::rotate(args, client, output).await,
        Command::PollNow(args) => polled::now(args, client, output).await,
    }
}

async fn show(args: &Show, client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get(&format!("workflows/{}/trigger", path_segment(&args.id))).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let (workflow, version) = (text_of(&document, "/workflow"), at(&document, "/version"));
    output.line(format!("{} version {version}", output.paint(Style::Strong, workflow)));
    output.line(format!("  started by  {}", text_of(&document, "/kind")));
    if at(&document, "/url").is_string() {
        output.line(format!("  URL         {}", text_of(&document, "/url")));
    }
    if at(&document, "/is_draft").as_bool() == Some(true) {
        output.line(format!(
            "  {}",
            output.paint(Style::Warn, "a draft: requests are kept to look at, and start no run")
        ));
    }
    match text_of(&document, "/verified").as_str() {
        "" => {}
        "unsigned" => {
            output.line(format!(
                "  senders     {}",
                output.paint(Style::Warn, "unsigned: whoever knows the URL is believed")
            ));
        }
        "url-only" => output.line(
            "  senders     not verified: whoever knows the URL is believed (`verify` in the workflow changes that)",
        ),
        scheme => output.line(format!("  senders     verified by {scheme}")),
    }
    polled::poll(at(&document, "/poll"), output);
    polled::subscription(at(&document, "/subscription"), output);
    late::print(&document, output);
    output.line(format!("  since       {}", text_of(&document, "/since")));
    let counts = at(&document, "/counts").as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(name, count)| format!("{count} {name}")).collect();
    output.line(format!("  came        {}", printable(&counts.join(", "))));
    let filtered = items(&document, "/last_filtered");
    if !filtered.is_empty() {
        output.line("");
        output.line("Filtered, the latest first:");
    }
    for one in filtered {
        output.line(format!("  {}  {}", text_of(one, "/at"), text_of(one, "/event_id")));
        explain(at(one, "/because"), 2, output);
    }
    let rejected = items(&document, "/last_rejected");
    if !rejected.is_empty() {
        output.line("");
        output.line("Rejected, the latest first:");
    }
    for one in rejected {
        output.line(format!("  {}  {}  {}", text_of(one, "/at"), at(one, "/status"), text_of(one, "/message")));
    }
    Ok(())
}

/// One condition and what became of it, and those inside it.
fn explain(because: &Value, depth: usize, output: &Output) {
    let mark = match at(because, "/holds").as_bool() {
        Some(true) => output.paint(Style::Good, "holds   "),
        Some(false) => output.paint(Style::Bad, "does not"),
        None => output.paint(Style::Faint, "not asked"),
    };
    let line = |text: String| output.line(format!("{}{mark} {}", "  ".repeat(depth), printable(&text)));
    let operand = |value: &Value| {
        let text = text_of(value, "/text");
        at(value, "/value").as_str().map_or_else(|| text.clone(), |value| format!("{text} = {value}"))
    };
    if at(because, "/expression").is_object() {
        line(operand(at(because, "/expression")));
    } else if at(because, "/compare").is_object() {
        let compare = at(because, "/compare");
        let to = at(compare, "/to");
        let to = if to.is_object() { format!(" {}", operand(to)) } else { String::new() };
        line(format!("{} is {}{to}", operand(at(compare, "/value")), text_of(compare, "/is")));
    } else if at(because, "/not").is_object() {
        line("not".to_owned());
        explain(at(because, "/not"), depth + 1, output);
    } else {
        for group in ["all", "any"] {
            let of = at(because, &format!("/{group}"));
            if let Some(of) = of.as_array() {
                line(group.to_owned());
                for inner in of {
                    explain(inner, depth + 1, output);
                }
            }
        }
    }
}
