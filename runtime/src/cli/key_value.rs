//! `flowcell key-value list|get|delete`: what plugins keep between calls.

use clap::{Args, Subcommand};
use http::Method;

use crate::cli::document::{items, path_segment, text_of};
use crate::cli::output::{Output, Style, table};
use crate::cli::{Failure, confirmed};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List keys with their sizes and when they expire
    List(List),
    /// Show a value
    Get(Place),
    /// Delete a value, whatever the plugin expects there
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this plugin only: publisher/name
    plugin: Option<String>,
    /// Those after a page before, as its last line says
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The plugin: publisher/name
    plugin: String,
    key: String,
    /// The workflow whose value it is; without it, what all workflows share
    #[arg(long, value_name = "ID")]
    workflow: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    place: Place,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Place {
    fn path(&self) -> String {
        let workflow = self.workflow.as_ref().map(|id| format!("&workflow={}", path_segment(id))).unwrap_or_default();
        format!("key-values/value?plugin={}&key={}{workflow}", path_segment(&self.plugin), path_segment(&self.key))
    }
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, client, output).await,
        Command::Get(place) => {
            output.document(&client.get(&place.path()).await?);
            Ok(())
        }
        Command::Delete(args) => {
            let (plugin, key) = (&args.place.plugin, &args.place.key);
            if !args.yes && !confirmed(&format!("Delete `{key}` of {plugin}?"))? {
                return Err(Failure::Usage("nothing was deleted; say --yes to delete without being asked".to_owned()));
            }
            let document = client.change(Method::DELETE, &args.place.path()).await?;
            if output.is_json() {
                output.document(&document);
            } else {
                output.line(format!("{} `{key}` of {plugin} is deleted", output.paint(Style::Good, "✓")));
            }
            Ok(())
        }
    }
}

async fn list(args: &List, client: &Client, output: &Output) -> Result<(), Failure> {
    let given = [("plugin", &args.plugin), ("cursor", &args.cursor)];
    let given = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", path_segment(value.as_ref()?))));
    let document = client.get(&format!("key-values?{}", given.collect::<Vec<_>>().join("&"))).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let values = items(&document, "/key_values");
    if values.is_empty() {
        output.line("Plugins keep nothing.");
        return Ok(());
    }
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let rows: Vec<_> = values
        .iter()
        .map(|value| {
            [
                text_of(value, "/plugin"),
                or(text_of(value, "/workflow"), "(all)"),
                text_of(value, "/key"),
                text_of(value, "/bytes"),
                or(text_of(value, "/expires_at"), "never"),
            ]
        })
        .collect();
    table(output, ["PLUGIN", "WORKFLOW", "KEY", "BYTES", "EXPIRES"], &rows);
    let next = text_of(&document, "/next_cursor");
    if !next.is_empty() {
        output.line(format!("There are more: --cursor '{next}'"));
    }
    Ok(())
}
