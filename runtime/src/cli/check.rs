//! `flowcell check FILE…`: what `workflow apply` would say, without a server.

use std::path::PathBuf;

use clap::Args;
use flowcell_core::capability::Grant;
use flowcell_core::ports::{Catalog, CatalogError};
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::{self, problem::Problem};
use serde_json::json;

use crate::cli::output::{Output, Style};
use crate::cli::{Failure, chain, input};
use crate::config::Config;

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Workflow files, YAML or JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A folder with more plugins than the built-in ones
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// The server's configuration file, for the grants and plugin folders in it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: &Check, output: &Output) -> Result<(), Failure> {
    let config = match &args.config {
        Some(file) => Config::load(file).map_err(anyhow::Error::from)?,
        None => Config::default(),
    };
    let folders = [config.plugins.folders.as_slice(), args.plugins.as_slice()].concat();
    let catalog = crate::assemble::offline_catalog(&folders)?;
    let mut is_good = true;
    let mut documents = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let problems = match input::read_workflow(file) {
            Ok(text) => problems_of(&text, &*catalog, &config.grants),
            Err(error) => {
                let message = chain(&error);
                output.error(&message);
                documents.push(json!({ "file": name, "problems": [{ "message": message }] }));
                is_good = false;
                continue;
            }
        };
        is_good &= problems.is_empty();
        if output.is_json() {
            documents.push(json!({ "file": name, "problems": problems }));
        } else if problems.is_empty() {
            output.line(format!("{} {name}", output.paint(Style::Good, "✓")));
        } else {
            for problem in &problems {
                output.line(problem.in_file(&name));
            }
        }
    }
    if output.is_json() {
        output.document(&json!({ "files": documents }));
    }
    if is_good { Ok(()) } else { Err(Failure::Reported) }
}

/// What a server would say, and for a plugin that is not here how to bring it: a server may have more than this binary.
fn problems_of(text: &str, catalog: &dyn Catalog, grants: &[Grant]) -> Vec<Problem> {
    let mut problems = workflow::check(text, catalog, grants).err().unwrap_or_default();
    let Ok(authored) = Authored::parse(text) else { return problems };
    for (pointer, uses) in authored.workflow.uses() {
        if !matches!(catalog.resolve(uses), Err(CatalogError::UnknownPlugin { .. })) {
            continue;
        }
        for problem in problems.iter_mut().filter(|problem| problem.pointer == pointer) {
            let known = problem.help.take().map_or_else(String::new, |help| format!("{help}; "));
            problem.help = Some(format!("{known}name the folder of others with --plugins DIR"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_testkit::{StaticCatalog, sample};

    #[test]
    fn a_plugin_that_is_not_here_may_lie_in_a_folder() {
        let catalog = StaticCatalog::of([sample::tools("1.0.0")]);
        let text = sample::workflow("- id: one\n  uses: acme/rockets/start@1");
        let problems = problems_of(&text, &*catalog, &[]);
        let helps: Vec<_> = problems.iter().map(|problem| problem.help.clone().unwrap_or_default()).collect();
        assert_eq!(helps, ["the plugins are test/tools; name the folder of others with --plugins DIR"]);
        let good = sample::workflow("- id: one\n  uses: test/tools/send@1");
        assert_eq!(problems_of(&good, &*catalog, &[]), []);
    }
}
