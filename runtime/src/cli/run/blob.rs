//! `flowcell run blob`: what a run keeps beside its journal, listed and fetched.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use flowcell_core::blob::{BlobFacts, named_in};
use flowcell_core::id::Digest;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::document::{items, path_segment, text_of};
use crate::cli::output::{Output, bytes, table};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Blob {
    /// The run's id, `run_…`
    id: String,
    /// A step whose output has one blob, or the blob's digest, `sha256:…`. Without it those that there are are listed
    which: Option<String>,
    /// Where to write it; `-` is standard output. Without it the name that its sender gave is taken, in this folder
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(args: &Blob, client: &Client, output: &Output) -> Result<(), Failure> {
    let run = client.get(&format!("runs/{}", path_segment(&args.id))).await?;
    let found = of_run(&run);
    let Some(which) = &args.which else {
        list(&found, output);
        return Ok(());
    };
    let digest = chosen(which, &found)?;
    let fetched = client.download(&format!("runs/{}/blobs/{digest}", path_segment(&args.id))).await?;
    if args.output.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        std::io::stdout().lock().write_all(&fetched).map_err(|error| anyhow!("standard output: {error}"))?;
        return Ok(());
    }
    let named = found.iter().find(|(_, facts)| facts.blob == digest).and_then(|(_, facts)| facts.filename.clone());
    let is_chosen = args.output.is_some();
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from(safe(named.as_deref(), &digest)));
    let mut options = std::fs::OpenOptions::new();
    // A name that somebody else chose replaces nothing.
    let opened =
        if is_chosen { options.write(true).create(true).truncate(true) } else { options.write(true).create_new(true) };
    let written = opened.open(&file).and_then(|mut open| open.write_all(&fetched));
    written
        .map_err(|error| anyhow!("{} cannot be written: {error}; name another file with --output", file.display()))?;
    output.line(format!("{} ({})", file.display(), bytes(fetched.len() as u64)));
    Ok(())
}

/// The sender's file name, without what could lead elsewhere or hide the file.
fn safe(name: Option<&str>, digest: &Digest) -> String {
    let letter = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' };
    let name: String = name.unwrap_or_default().chars().map(letter).collect();
    let name = name.trim_start_matches(['.', '-', ' ']);
    if name.is_empty() { format!("{}.bin", digest.to_hex()) } else { name.to_owned() }
}

/// The blobs that the outputs of a run name, with the step.
fn of_run(run: &Value) -> Vec<(String, BlobFacts)> {
    let mut found = Vec::new();
    for step in items(run, "/steps") {
        // An action's output stands with its attempt, that of a control step with the step.
        let of_attempts = items(step, "/attempts").iter().filter_map(|attempt| attempt.get("output"));
        let outputs: Value = of_attempts.chain(step.get("output")).cloned().collect();
        let mut facts = BTreeMap::new();
        collect(&outputs, &mut facts);
        let own = named_in(&outputs).into_iter().filter_map(|digest| facts.remove(&digest));
        found.extend(own.map(|facts| (text_of(step, "/id"), facts)));
    }
    found
}

fn collect(value: &Value, found: &mut BTreeMap<Digest, BlobFacts>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => {
            if let Ok(facts) = serde_json::from_value::<BlobFacts>(value.clone()) {
                found.entry(facts.blob).or_insert(facts);
            }
            members.values().for_each(|member| collect(member, found));
        }
        _ => {}
    }
}

fn chosen(which: &str, found: &[(String, BlobFacts)]) -> Result<Digest, Failure> {
    if let Ok(digest) = which.parse() {
        return Ok(digest);
    }
    let mut of_step = found.iter().filter(|(step, _)| step == which).map(|(_, facts)| facts.blob);
    match (of_step.next(), of_step.next()) {
        (Some(digest), None) => Ok(digest),
        (Some(_), Some(_)) => Err(anyhow!("step `{which}` has several blobs; name one by its digest").into()),
        (None, _) => Err(anyhow!("step `{which}` has no blob in its output; without a step they are listed").into()),
    }
}

fn list(found: &[(String, BlobFacts)], output: &Output) {
    if output.is_json() {
        let rows: Vec<_> =
            found.iter().map(|(step, facts)| serde_json::json!({ "step": step, "blob": facts })).collect();
        return output.document(&rows);
    }
    if found.is_empty() {
        return output.line("No output of this run names a blob.");
    }
    let row = |(step, facts): &(String, BlobFacts)| {
        let (kind, name) = (facts.content_type.clone(), facts.filename.clone());
        [step.clone(), bytes(facts.bytes), kind.unwrap_or_default(), name.unwrap_or_default(), facts.blob.to_string()]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    table(output, ["STEP", "SIZE", "TYPE", "NAME", "BLOB"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blobs_are_found_in_outputs_and_named_safely() {
        let digest = Digest::of(b"x");
        let blob = json!({ "blob": digest, "bytes": 1, "filename": "../-rf.pdf" });
        let run = json!({ "steps": [{ "id": "get", "attempts": [{ "error": {} }, { "output": { "body": blob, "again": [blob] } }] }, { "id": "none" }] });
        let found = of_run(&run);
        assert_eq!(found.len(), 1);
        assert_eq!(chosen("get", &found).ok(), Some(digest));
        assert!(chosen("none", &found).is_err());
        assert_eq!(safe(found[0].1.filename.as_deref(), &digest), "_-rf.pdf");
        assert_eq!(safe(None, &digest), format!("{}.bin", digest.to_hex()));
    }
}
