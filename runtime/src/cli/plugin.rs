//! `flowcell plugin list|inspect|build`.

pub(crate) mod build;
pub(crate) mod inspect;

use clap::Subcommand;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::document::{at, items, text_of};
use crate::cli::output::{Output, table};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the plugins that the server has
    List,
    /// Show what a plugin file is and what it asks for, without running it
    Inspect(inspect::Inspect),
    /// Build a plugin from its source: a Rust crate with a plugin.toml
    Build(build::Build),
}

pub(crate) async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get("plugins").await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let mut rows = Vec::new();
    for plugin in items(&document, "/plugins") {
        let members = items(plugin, "/triggers").iter().chain(items(plugin, "/actions"));
        let uses: Vec<String> = members.map(|member| text_of(member, "/id")).collect();
        rows.push([
            text_of(plugin, "/id"),
            text_of(plugin, "/version"),
            uses.join(", "),
            text_of(plugin, "/origin"),
            short(at(plugin, "/digest")),
        ]);
    }
    if rows.is_empty() {
        output.line("There are no plugins: this binary was built without them. `cargo xtask build` builds both.");
    } else {
        table(output, ["PLUGIN", "VERSION", "TRIGGERS AND ACTIONS", "ORIGIN", "DIGEST"], &rows);
    }
    for problem in items(&document, "/problems") {
        output.warning(&format!("{}: {}", text_of(problem, "/origin"), text_of(problem, "/message")));
    }
    Ok(())
}

/// Enough of a digest to tell plugins apart.
fn short(digest: &Value) -> String {
    digest.as_str().unwrap_or_default().chars().take("sha256:".len() + 12).collect()
}
