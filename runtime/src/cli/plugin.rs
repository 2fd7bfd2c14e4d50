//! `flowcell plugin list|inspect|build|examples|release`.

pub(crate) mod build;
pub(crate) mod examples;
pub(crate) mod inspect;
pub(crate) mod options;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, table};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the plugins that the server has
    List,
    /// Show what a plugin file is and what it asks for, without running it
    Inspect(inspect::Inspect),
    /// Build a plugin from its source: a Rust crate with a plugin.toml
    Build(build::Build),
    /// Run the examples in a plugin's README and hold them against what it says
    Examples(examples::Examples),
    /// Let a plugin out of quarantine; the runs that were parked for it go on
    Release(Release),
    /// Print what a plugin gives to choose from for a field
    Options(options::Options),
}

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The plugin's digest, `sha256:…`, as `flowcell plugin list` prints it
    digest: String,
}

pub(crate) async fn release(args: &Release, client: &Client, output: &Output) -> Result<(), Failure> {
    let released = client.post_json(&format!("quarantine/{}/release", path_segment(&args.digest)), None).await?;
    if output.is_json() {
        output.document(&released);
        return Ok(());
    }
    let runs = items(&released, "/run_ids");
    output.line(format!(
        "{} {} is called again; {} run(s) go on",
        output.paint(Style::Good, "✓"),
        args.digest,
        runs.len()
    ));
    for run in runs {
        output.line(format!("  {}", text_of(run, "")));
    }
    Ok(())
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
    for plugin in items(&client.get("quarantine").await?, "/plugins") {
        output.warning(&format!(
            "{} {} is in quarantine: the sandbox had to end its calls again and again",
            text_of(plugin, "/id"),
            text_of(plugin, "/version")
        ));
        output.help(&format!("flowcell plugin release {}", text_of(plugin, "/digest")));
    }
    Ok(())
}

/// Enough of a digest to tell plugins apart.
fn short(digest: &Value) -> String {
    digest.as_str().unwrap_or_default().chars().take("sha256:".len() + 12).collect()
}
