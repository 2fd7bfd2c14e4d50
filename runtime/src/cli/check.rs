//! `flowcell check FILE…`: what `workflow apply` would say, without a server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use flowcell_core::id::{ConnectionName, WorkflowId};
use flowcell_core::infer::schema_of;
use flowcell_core::ports::CatalogError;
use flowcell_core::workflow::check::others::{Callee, Found, Others};
use flowcell_core::workflow::check::{Findings, Surroundings};
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::{self, Examined};
use serde_json::{Value, json};

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
    /// What the trigger's expressions are measured against: what `flowcell trigger reference --json` prints, or one request as steps see it
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: &Check, output: &Output) -> Result<(), Failure> {
    let config = match &args.config {
        Some(file) => Config::load(file).map_err(anyhow::Error::from)?,
        None => Config::default(),
    };
    let folders = [config.plugins.folders.as_slice(), args.plugins.as_slice()].concat();
    let catalog = crate::assemble::offline_catalog(&folders)?;
    let texts: Vec<_> =
        args.files.iter().map(|file| (file.display().to_string(), input::read_workflow(file))).collect();
    let others = Beside::of(texts.iter().filter_map(|(_, text)| text.as_deref().ok()));
    let reference = args.reference.as_deref().map(read_reference).transpose()?;
    let surroundings =
        Surroundings { catalog: &*catalog, grants: &config.grants, others: &others, reference: reference.as_ref() };
    let mut is_good = true;
    let mut documents = Vec::new();
    for (name, text) in &texts {
        let Findings { problems, not_looked_up, connections_not_looked_up } = match text {
            Ok(text) => findings(text, &surroundings),
            Err(error) => {
                let message = chain(error);
                output.error(&message);
                documents.push(json!({ "file": name, "problems": [{ "message": message }] }));
                is_good = false;
                continue;
            }
        };
        let is_taken = !problems.iter().any(|problem| problem.is_error() || args.strict);
        is_good &= is_taken;
        if output.is_json() {
            documents.push(json!({ "file": name, "problems": problems, "not_looked_up": not_looked_up,
                "connections_not_looked_up": connections_not_looked_up,
            }));
            continue;
        }
        for problem in &problems {
            output.line(problem.in_file(name));
        }
        if is_taken {
            output.line(format!("{} {name}", output.paint(Style::Good, "✓")));
        }
        let lines = [not_looked_up_line(&not_looked_up), connections_line(&connections_not_looked_up)];
        for line in lines.into_iter().flatten() {
            output.line(format!("  {}", output.paint(Style::Faint, line)));
        }
    }
    if output.is_json() {
        output.document(&json!({ "files": documents }));
    }
    if is_good { Ok(()) } else { Err(Failure::Reported) }
}

/// The schema in a document of `trigger reference`; of anything else, which is a sample, the one that fits it.
fn read_reference(file: &Path) -> Result<Value, Failure> {
    let document = input::read_json(file)?;
    let is_reference = document.get("saved_at").is_some() && document.get("schema").is_some_and(Value::is_object);
    if is_reference {
        return Ok(document.get("schema").cloned().unwrap_or_default());
    }
    Ok(schema_of(&[document]))
}

/// What a server would say, and for a plugin that is not here how to bring it: a server may have more than this binary.
fn findings(text: &str, surroundings: &Surroundings<'_>) -> Findings {
    let Examined { workflow, mut findings } = workflow::examine(text, surroundings);
    let Some(workflow) = workflow else { return findings };
    for (pointer, uses) in workflow.uses() {
        if !matches!(surroundings.catalog.resolve(uses), Err(CatalogError::UnknownPlugin { .. })) {
            continue;
        }
        for problem in findings.problems.iter_mut().filter(|problem| problem.pointer == pointer) {
            let known = problem.help.take().map_or_else(String::new, |help| format!("{help}; "));
            problem.help = Some(format!("{known}name the folder of others with --plugins DIR"));
        }
    }
    findings
}

/// Says which workflows only a server can look up.
fn not_looked_up_line(ids: &[WorkflowId]) -> Option<String> {
    let named: Vec<_> = ids.iter().map(|id| format!("`{id}`")).collect();
    let hint = "name their files too, or let the server check (`flowcell workflow apply`)";
    (!named.is_empty()).then(|| format!("not checked here: {}; {hint}", named.join(", ")))
}

/// Says which connections only a server can look up.
fn connections_line(names: &[ConnectionName]) -> Option<String> {
    let named: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let hint = "whether the server has them, `flowcell workflow apply` says";
    (!named.is_empty()).then(|| format!("connections not checked here: {}; {hint}", named.join(", ")))
}

/// The workflows in the other files of the command line.
struct Beside {
    workflows: HashMap<WorkflowId, Callee>,
}

impl Beside {
    fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let parsed = texts.filter_map(|text| Authored::parse(text).ok());
        // Versions are the server's: here each file is the newest.
        let workflows = parsed.map(|authored| (authored.workflow.id.clone(), Callee::of(&authored.workflow, 1)));
        Self { workflows: workflows.collect() }
    }
}

impl Others for Beside {
    fn find(&self, id: &WorkflowId, version: Option<u32>) -> Found {
        match self.workflows.get(id) {
            Some(callee) if version.is_none() => Found::There(Box::new(callee.clone())),
            _ => Found::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_testkit::{StaticCatalog, sample};

    #[test]
    fn a_plugin_that_is_not_here_may_lie_in_a_folder() {
        let catalog = StaticCatalog::of([sample::tools("1.0.0")]);
        let text = sample::workflow("- id: one\n  uses: acme/rockets/start@1");
        let problems = found(&text, &[], &*catalog).problems;
        let helps: Vec<_> = problems.iter().map(|problem| problem.help.clone().unwrap_or_default()).collect();
        assert_eq!(helps, ["the plugins are test/tools; name the folder of others with --plugins DIR"]);
        let good = sample::workflow("- id: one\n  uses: test/tools/send@1");
        assert_eq!(found(&good, &[], &*catalog), Findings::default());
    }

    fn found(text: &str, beside: &[&str], catalog: &dyn flowcell_core::ports::Catalog) -> Findings {
        let others = Beside::of(beside.iter().copied());
        findings(text, &Surroundings { catalog, grants: &[], others: &others, reference: None })
    }

    #[test]
    fn files_of_one_command_know_each_other() {
        let catalog = StaticCatalog::of([sample::tools("1.0.0")]);
        let caller = sample::workflow("- id: one\n  call: { workflow: enrich, with: { emial: x } }");
        let alone = found(&caller, &[], &*catalog);
        assert_eq!(alone.problems, []);
        assert_eq!(
            not_looked_up_line(&alone.not_looked_up).as_deref(),
            Some(
                "not checked here: `enrich`; name their files too, or let the server check (`flowcell workflow apply`)"
            )
        );
        let callee = "id: enrich\nname: E\ntrigger: { manual: true }\ninput: { properties: { email: {} }, additionalProperties: false }\n\
                      steps: [{ id: a, stop: {} }]\n";
        let together = found(&caller, &[&caller, callee], &*catalog);
        let messages: Vec<_> = together.problems.iter().map(ToString::to_string).collect();
        assert_eq!(messages, ["7:39: there is no `emial` in `steps[0].call.with`\n  help: did you mean `email`?"]);
        assert_eq!(together.not_looked_up, []);
    }
}
