//! `flowcell trigger save-reference` and `reference`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// The workflow's id
    id: String,
    /// The requests' ids (`req_…`); the latest one when none is named
    #[arg(value_name = "REQUEST")]
    requests: Vec<String>,
    /// The latest requests, so many of them: what not all of them have is optional
    #[arg(long, value_name = "NUMBER", conflicts_with = "requests")]
    latest: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// The workflow's id
    id: String,
}

pub(super) async fn save(args: &Save, client: &Client, output: &Output) -> Result<(), Failure> {
    let wanted = if args.requests.is_empty() {
        json!({ "latest": args.latest.unwrap_or(1) })
    } else {
        json!({ "requests": args.requests })
    };
    let path = format!("workflows/{}/reference", path_segment(&args.id));
    let document = client.post_json(&path, Some(&wanted)).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let made_of: Vec<String> = items(&document, "/requests").iter().filter_map(Value::as_str).map(printable).collect();
    output.line(format!("{} saved from {}", output.paint(Style::Good, "✓"), made_of.join(", ")));
    fields(&document, output);
    Ok(())
}

pub(super) async fn show(args: &Reference, client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get(&format!("workflows/{}/reference", path_segment(&args.id))).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    output.line(format!(
        "saved {} from {} request(s)",
        text_of(&document, "/saved_at"),
        items(&document, "/requests").len()
    ));
    fields(&document, output);
    Ok(())
}

/// Every path that expressions can read, with its type.
fn fields(document: &Value, output: &Output) {
    let mut lines = Vec::new();
    collect(at(document, "/schema"), "trigger", &mut lines);
    let width = lines.iter().map(|(path, _)| path.chars().count()).max().unwrap_or(0);
    for (path, kind) in lines {
        output.line(format!("  {:<width$}  {}", printable(&path), output.paint(Style::Faint, printable(&kind))));
    }
}

fn collect(schema: &Value, path: &str, lines: &mut Vec<(String, String)>) {
    let fields = at(schema, "/properties").as_object();
    let required = items(schema, "/required");
    for (name, field) in fields.into_iter().flatten() {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let path = if is_plain { format!("{path}.{name}") } else { format!("{path}['{name}']") };
        let mut kind = kind(field);
        if !required.iter().any(|required| required == name) {
            kind.push_str(", not in every sample");
        }
        lines.push((path.clone(), kind));
        collect(field, &path, lines);
    }
    if at(schema, "/items").is_object() {
        collect(at(schema, "/items"), &format!("{path}[0]"), lines);
    }
}

fn kind(schema: &Value) -> String {
    let types = match at(schema, "/type") {
        Value::String(one) => one.clone(),
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    };
    match at(schema, "/format").as_str() {
        Some(format) => format!("{types} ({format})"),
        None => types,
    }
}
