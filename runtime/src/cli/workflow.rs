//! `flowcell workflow apply|list|show`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable, table};
use crate::cli::rehearse::Rehearse;
use crate::cli::{Failure, input};
use crate::client::{Client, ClientError};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a workflow file and make it the version that new runs take
    Apply(Apply),
    /// List the workflows
    List,
    /// Show a workflow: its versions, trigger URL, plugins and text
    Show(Show),
    /// Run a workflow file in this process, without a server; with --dry nothing leaves
    Run(Rehearse),
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The workflow, YAML or JSON; `-` reads standard input
    file: PathBuf,
    /// Keep it as a draft: new runs go on with the published version
    #[arg(long)]
    draft: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The workflow's id
    id: String,
    /// Another version than the one that runs
    #[arg(long = "at", value_name = "VERSION")]
    version: Option<u32>,
}

pub(crate) async fn run(command: Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Apply(args) => apply(&args, client, output).await,
        Command::List => list(client, output).await,
        Command::Show(args) => show(&args, client, output).await,
        Command::Run(_) => Ok(()), // needs no server and was answered before
    }
}

async fn apply(args: &Apply, client: &Client, output: &Output) -> Result<(), Failure> {
    let text = input::read_workflow(&args.file)?;
    let path = format!("workflows?draft={}", args.draft);
    let applied = match client.post_workflow(&path, text).await {
        Ok(applied) => applied,
        Err(ClientError::Problem(problem)) if problem.errors.iter().any(|fault| fault.line.is_some()) => {
            if output.is_json() {
                output.document(&problem);
            }
            for fault in &problem.errors {
                let (line, column) = (fault.line.unwrap_or(1), fault.column.unwrap_or(1));
                output.error(&format!("{}:{line}:{column}: {}", args.file.display(), printable(&fault.message)));
                if let Some(help) = &fault.help {
                    output.help(&printable(help));
                }
            }
            return Err(Failure::Reported);
        }
        Err(error) => return Err(error.into()),
    };
    if output.is_json() {
        output.document(&applied);
        return Ok(());
    }
    let what =
        format!("{} version {} ({})", text_of(&applied, "/id"), at(&applied, "/version"), text_of(&applied, "/status"));
    output.line(format!("{} {what}", output.paint(Style::Good, "✓")));
    for trigger in items(&applied, "/triggers") {
        output.line(format!("  {}  {}", output.paint(Style::Faint, "trigger"), text_of(trigger, "/url")));
    }
    if args.draft {
        output.line(format!("  {}", after_draft(&applied)));
    }
    Ok(())
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get("workflows").await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let workflows = items(&document, "/workflows");
    if workflows.is_empty() {
        output.line("There are no workflows yet. `flowcell workflow apply FILE` brings one.");
        return Ok(());
    }
    let rows: Vec<_> = workflows
        .iter()
        .map(|workflow| {
            [
                text_of(workflow, "/id"),
                at(workflow, "/version").to_string(),
                text_of(workflow, "/status"),
                text_of(workflow, "/updated_at"),
                text_of(workflow, "/name"),
            ]
        })
        .collect();
    table(output, ["ID", "VERSION", "STATUS", "UPDATED", "NAME"], &rows);
    Ok(())
}

async fn show(args: &Show, client: &Client, output: &Output) -> Result<(), Failure> {
    let query = args.version.map_or_else(String::new, |version| format!("?version={version}"));
    let document = client.get(&format!("workflows/{}{query}", path_segment(&args.id))).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let label = |text: &str| output.paint(Style::Faint, format!("{text:<9}"));
    output.line(output.paint(Style::Strong, text_of(&document, "/name")));
    output.line(format!("{} {}", label("id"), text_of(&document, "/id")));
    output.line(format!(
        "{} {} ({}), newest {}",
        label("version"),
        at(&document, "/version"),
        text_of(&document, "/status"),
        at(&document, "/latest_version")
    ));
    for trigger in items(&document, "/triggers") {
        output.line(format!("{} {}", label("trigger"), text_of(trigger, "/url")));
    }
    for plugin in items(&document, "/plugins") {
        output.line(format!(
            "{} {} → {} {}",
            label("plugin"),
            text_of(plugin, "/uses"),
            text_of(plugin, "/version"),
            output.paint(Style::Faint, text_of(plugin, "/digest"))
        ));
    }
    output.line("");
    output.line(text_of(&document, "/source").trim_end());
    Ok(())
}

/// What an apply with `--draft` came to.
fn after_draft(applied: &Value) -> String {
    if at(applied, "/status") == "published" {
        return "Nothing changed: this text is published already.".to_owned();
    }
    match at(applied, "/published_version").as_u64() {
        Some(version) => {
            format!("New runs go on with version {version}. Apply it without --draft to publish it.")
        }
        None => "A draft takes no deliveries. Apply it without --draft to publish it.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_draft_says_what_new_runs_take() {
        let said = |status: &str, published: Option<u32>| {
            after_draft(&json!({ "status": status, "published_version": published, "version": 3 }))
        };
        assert_eq!(said("published", Some(3)), "Nothing changed: this text is published already.");
        let goes_on = said("draft", Some(2));
        assert_eq!(goes_on, "New runs go on with version 2. Apply it without --draft to publish it.");
        assert!(said("draft", None).starts_with("A draft takes no deliveries."));
    }
}
