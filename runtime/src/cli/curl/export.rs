//! `flowcell curl export FILE`: a dry run's requests as commands that people can try.

use anyhow::anyhow;
use clap::Args;
use flowcell_core::exchange::{Exchange, SentRequest};
use flowcell_core::id::StepId;
use flowcell_core::run::event::RunEvent;
use serde_json::json;

use super::step::quoted;
use crate::cli::output::Output;
use crate::cli::rehearse::{self, Source};
use crate::cli::{Failure, Global};
use crate::config::Environment;

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    source: Source,
    /// Only this step's requests
    #[arg(long, value_name = "ID")]
    step: Option<StepId>,
}

pub(super) fn run(args: &Export, global: &Global, environment: &Environment, output: &Output) -> Result<(), Failure> {
    let played = rehearse::play(&args.source, global, environment, output)?;
    let mut commands = Vec::new();
    for recorded in &played.journal {
        let (RunEvent::StepSucceeded { step, call, .. } | RunEvent::StepFailed { step, call, .. }) = &recorded.event
        else {
            continue;
        };
        if args.step.as_ref().is_none_or(|wanted| step.id() == wanted) {
            commands.extend(call.http.iter().map(|exchange| (step.to_string(), command(exchange))));
        }
    }
    if commands.is_empty() {
        let whose = args.step.as_ref().map_or("the workflow".to_owned(), |step| format!("step `{step}`"));
        return Err(
            anyhow!("{whose} sent nothing in this dry run; `flowcell workflow run FILE --dry` shows why").into()
        );
    }
    if output.is_json() {
        let document: Vec<_> = commands.iter().map(|(step, curl)| json!({ "step": step, "curl": curl })).collect();
        output.document(&document);
        return Ok(());
    }
    for (step, curl) in &commands {
        output.line(format!("# {step}\n{curl}"));
    }
    Ok(())
}

/// One request. What a connection adds is a variable, for whoever tries it to fill in.
fn command(exchange: &Exchange) -> String {
    let SentRequest { method, url, headers, body } = &exchange.request;
    let mut words = vec![format!("curl -X {method} {}", argument(url))];
    for (name, value) in headers.iter().filter(|(name, _)| name != "content-length" && name != "host") {
        words.push(format!("-H {}", argument(&format!("{name}: {value}"))));
    }
    let mut before = String::new();
    if let Some(text) = &body.text {
        if body.truncated {
            before.push_str("# the body is longer than what is kept of it\n");
        }
        words.push(format!("--data-raw {}", quoted(text)));
    } else if let Some(encoded) = &body.base64 {
        before = format!("echo {} | base64 -d | ", quoted(encoded));
        words.push("--data-binary @-".to_owned());
    }
    format!("{before}{}", words.join(" \\\n  "))
}

/// A masked credential becomes `$SECRET`, between double quotes so that the shell fills it in.
fn argument(text: &str) -> String {
    if !text.contains(MASK) {
        return quoted(text);
    }
    let escaped: String =
        text.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "\"\\$`".contains(c)).chain([c])).collect();
    format!("\"{}\"", escaped.replace(MASK, "$SECRET"))
}

/// What stands in a record where a credential was.
const MASK: &str = "•••";
