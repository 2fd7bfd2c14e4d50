//! `flowcell destination list|show|enable|disable`: the receivers of deliveries, and how it goes there.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, table};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the receivers of deliveries and how it goes there
    List(List),
    /// Show one, hour by hour
    Show(Named),
    /// Send to it again
    Enable(Named),
    /// Send nothing to it any more; deliveries fail and can be sent later
    Disable(Disable),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those that stand so
    #[arg(long, value_parser = ["ready", "failing", "disabled"])]
    status: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its URL, as a workflow has it, or its id, `dst_…`
    #[arg(value_name = "URL|ID")]
    destination: String,
}

#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    named: Named,
    /// Why, for those who find deliveries failed
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, client, output).await,
        Command::Show(named) => {
            let shown = client.get(&path(named, "")).await?;
            show(&shown, output);
            Ok(())
        }
        Command::Enable(named) => {
            let enabled = client.post_json(&path(named, "/enable"), None).await?;
            if output.is_json() {
                output.document(&enabled);
                return Ok(());
            }
            let url = text_of(&enabled, "/url");
            output.line(format!("{} deliveries go to {url} again", output.paint(Style::Good, "✓")));
            output.line(format!(
                "  `flowcell dead-letter recover --since TIME --destination {url}` sends what failed meanwhile"
            ));
            Ok(())
        }
        Command::Disable(args) => {
            let body = args.reason.as_ref().map(|reason| json!({ "reason": reason }));
            let disabled = client.post_json(&path(&args.named, "/disable"), body.as_ref()).await?;
            if output.is_json() {
                output.document(&disabled);
            } else {
                let url = text_of(&disabled, "/url");
                output.line(format!("{} nothing is sent to {url} any more", output.paint(Style::Good, "✓")));
            }
            Ok(())
        }
    }
}

fn path(named: &Named, verb: &str) -> String {
    format!("destinations/{}{verb}", path_segment(&named.destination))
}

async fn list(args: &List, client: &Client, output: &Output) -> Result<(), Failure> {
    let query = args.status.as_ref().map(|status| format!("?status={status}")).unwrap_or_default();
    let document = client.get(&format!("destinations{query}")).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let destinations = items(&document, "/destinations");
    if destinations.is_empty() {
        output.line("There are no such destinations. One is known once a step has sent something to it.");
        return Ok(());
    }
    let rows: Vec<_> = destinations
        .iter()
        .map(|destination| {
            let count = |pointer: &str| at(destination, pointer).as_u64().unwrap_or(0).to_string();
            [
                text_of(destination, "/status"),
                text_of(destination, "/url"),
                count("/succeeded"),
                count("/failed"),
                at(destination, "/last_status").as_u64().map_or_else(|| "-".to_owned(), |status| status.to_string()),
                said(destination),
            ]
        })
        .collect();
    table(output, ["STATUS", "DESTINATION", "ARRIVED (48 H)", "FAILED", "LAST", ""], &rows);
    Ok(())
}

/// What there is to say of one that is not well.
fn said(destination: &Value) -> String {
    let until = text_of(destination, "/breaker/until");
    match text_of(destination, "/status").as_str() {
        "disabled" => {
            let (since, reason) = (text_of(destination, "/disabled/since"), text_of(destination, "/disabled/reason"));
            format!("since {since}: {reason}")
        }
        "failing" if !until.is_empty() => format!("deliveries wait; next try at {until}"),
        "failing" => text_of(destination, "/last_error"),
        _ => String::new(),
    }
}

fn show(destination: &Value, output: &Output) {
    if output.is_json() {
        output.document(destination);
        return;
    }
    let status = text_of(destination, "/status");
    let style = match status.as_str() {
        "ready" => Style::Good,
        "disabled" => Style::Bad,
        _ => Style::Warn,
    };
    output.line(format!(
        "{}  {}  {}",
        output.paint(Style::Strong, text_of(destination, "/url")),
        output.paint(style, &status),
        output.paint(Style::Faint, text_of(destination, "/id"))
    ));
    let said = said(destination);
    if !said.is_empty() {
        output.line(format!("  {said}"));
    }
    for (what, pointer) in [
        ("failing since", "/failing_since"),
        ("last success", "/last_success_at"),
        ("last failure", "/last_failure_at"),
        ("last error", "/last_error"),
        ("breaker", "/breaker/state"),
        ("disabled by", "/disabled/run_id"),
    ] {
        let text = text_of(destination, pointer);
        if !text.is_empty() {
            output.line(format!("  {what:<14} {text}"));
        }
    }
    let hours = items(destination, "/hours");
    if !hours.is_empty() {
        output.line("");
        let count = |hour: &Value, pointer: &str| at(hour, pointer).as_u64().unwrap_or(0).to_string();
        let rows: Vec<_> = hours
            .iter()
            .map(|hour| [text_of(hour, "/begins_at"), count(hour, "/succeeded"), count(hour, "/failed")])
            .collect();
        table(output, ["HOUR", "ARRIVED", "FAILED"], &rows);
    }
    if status == "disabled" {
        output.help(&format!("flowcell destination enable {}", text_of(destination, "/url")));
    }
}
