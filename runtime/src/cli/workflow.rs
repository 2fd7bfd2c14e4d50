//! `flowcell workflow apply|list|show|start`.

mod preview;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use flowcell_core::id::StepId;
use flowcell_core::workflow::rename;
use serde_json::{Value, json};

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable, table};
use crate::cli::rehearse::Rehearse;
use crate::cli::start::{self, Start};
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
    /// Show what one step would send, with the server's connections, and send nothing
    Preview(preview::Preview),
    /// Start a run by hand
    Start(Start),
    /// Give a step of a workflow file another id, in every expression that reads it too
    RenameStep(RenameStep),
}

#[derive(Debug, Args)]
pub(crate) struct RenameStep {
    /// The workflow file, YAML or JSON; it is changed in place, `-` reads standard input and prints the result
    file: PathBuf,
    /// The step's id
    #[arg(value_name = "OLD")]
    old: String,
    /// Its new id
    #[arg(value_name = "NEW")]
    new: String,
}

/// Works on a file, without a server.
pub(crate) fn rename_step(args: &RenameStep, output: &Output) -> Result<(), Failure> {
    let id = |text: &str| text.parse::<StepId>().map_err(|error| Failure::Usage(format!("{error}.")));
    let (old, new) = (id(&args.old)?, id(&args.new)?);
    let text = input::read_workflow(&args.file)?;
    let renamed = match rename::rename_step(&text, &old, &new) {
        Ok(renamed) => renamed,
        Err(problems) => {
            let name = args.file.display().to_string();
            if output.is_json() {
                output.document(&json!({ "file": name, "problems": problems }));
            } else {
                for problem in &problems {
                    output.line(problem.in_file(&name));
                }
            }
            return Err(Failure::Reported);
        }
    };
    if args.file == Path::new("-") {
        output.line(renamed.trim_end_matches('\n'));
        return Ok(());
    }
    input::replace_file(&args.file, &renamed)?;
    let lines = text.lines().zip(renamed.lines()).filter(|(before, after)| before != after).count();
    if output.is_json() {
        output.document(&json!({ "file": args.file, "old": old, "new": new, "lines_changed": lines }));
    } else {
        let lines = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
        output.line(format!("{} {old} is {new} now ({lines} changed)", output.paint(Style::Good, "✓")));
    }
    Ok(())
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
        Command::Preview(args) => preview::run(&args, client, output).await,
        Command::Start(args) => start::run(&args, client, output).await,
        Command::RenameStep(args) => rename_step(&args, output),
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
        output.line(format!("  {}  {}", output.paint(Style::Faint, "trigger"), started_by(trigger)));
    }
    if let Some(said) = after_cursor(&applied) {
        output.line(format!("  {}   {said}", output.paint(Style::Faint, "polls")));
    }
    for warning in items(&applied, "/warnings") {
        let place = format!("{}:{}:{}", args.file.display(), at(warning, "/line"), at(warning, "/column"));
        output.warning(&format!("{place}: {}", printable(&text_of(warning, "/message"))));
    }
    if args.draft {
        output.line(format!("  {}", after_draft(&applied)));
    }
    Ok(())
}

/// Where the next poll of its trigger goes on.
fn after_cursor(applied: &Value) -> Option<&'static str> {
    match at(applied, "/cursor").as_str()? {
        "kept" => Some("go on where they were: `uses`, `with` and `connection` are the same"),
        "reset" => Some("begin anew: `uses`, `with` or `connection` has changed, so the former cursor means nothing"),
        _ => Some("begin now"),
    }
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
        output.line(format!("{} {}", label("trigger"), started_by(trigger)));
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

/// The URL that starts runs, or what else does.
fn started_by(trigger: &Value) -> String {
    match (at(trigger, "/url").as_str(), at(trigger, "/kind").as_str()) {
        (Some(url), _) => url.to_owned(),
        (None, Some("schedule")) => "a schedule; `flowcell schedule list` says when it comes".to_owned(),
        (None, Some("manual")) => "by hand; `flowcell workflow start` starts a run".to_owned(),
        (None, Some("event")) => "an event; `flowcell event send` brings one".to_owned(),
        (None, Some("error")) => "failures of workflows that name this one as `on_failure`".to_owned(),
        (None, kind) => kind.unwrap_or("unknown").to_owned(),
    }
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

    #[test]
    fn a_step_is_renamed_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.yaml");
        let text = "id: w\nname: W # steps.a\ntrigger: { manual: true }\nsteps:\n- { id: a, set: {} }\n- { id: b, set: { x: '{{ steps.a.output }}' } }\n";
        std::fs::write(&file, text).unwrap();
        let rename = |old: &str, new: &str| {
            rename_step(
                &RenameStep { file: file.clone(), old: old.to_owned(), new: new.to_owned() },
                &Output::new(false, true),
            )
        };
        assert!(matches!(rename("nobody", "x"), Err(Failure::Reported)));
        assert!(matches!(rename("a", "Not-An-Id"), Err(Failure::Usage(_))));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        rename("a", "first").unwrap();
        let expected = text.replace("id: a", "id: first").replace("{{ steps.a", "{{ steps.first");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left in the folder");
    }

    #[test]
    fn only_a_trigger_with_a_url_shows_one() {
        assert_eq!(
            started_by(&json!({ "id": "trigger", "kind": "uses", "url": "http://f.test/hooks/x" })),
            "http://f.test/hooks/x"
        );
        for (kind, words) in [
            ("schedule", "schedule list"),
            ("manual", "workflow start"),
            ("event", "event send"),
            ("error", "on_failure"),
        ] {
            assert!(started_by(&json!({ "id": "trigger", "kind": kind })).contains(words), "{kind}");
        }
    }

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
