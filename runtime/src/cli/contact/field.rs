//! `flowcell contact field`: the fields of contacts that the workspace defines.

use clap::{Args, Subcommand};
use flowcell_core::contact::field::Kind;
use http::Method;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::document::{items, path_segment, text_of};
use crate::cli::output::{Output, Style, table};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List them
    List,
    /// Define a field, or define it anew
    Set(Set),
    /// Remove a definition; values that contacts have of it stay until they change
    Remove(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    /// What it holds
    #[arg(long, value_parser = Kind::NAMES)]
    kind: String,
    /// What people see
    #[arg(long)]
    label: Option<String>,
    /// One of the texts that a choice or a list takes
    #[arg(long = "option", value_name = "TEXT")]
    options: Vec<String>,
}

pub(super) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List => list(&client.get("contact-fields").await?, output),
        Command::Set(args) => {
            let mut document = json!({ "kind": args.kind, "options": args.options });
            if let (Some(label), Some(members)) = (&args.label, document.as_object_mut()) {
                members.insert("label".to_owned(), label.as_str().into());
            }
            let path = format!("contact-fields/{}", path_segment(&args.named.name));
            let defined = client.send_json(Method::PUT, &path, &document).await?;
            said(&defined, output, |name| format!("`contact.fields.{name}` can be set now"));
        }
        Command::Remove(named) => {
            let path = format!("contact-fields/{}", path_segment(&named.name));
            let removed = client.change(Method::DELETE, &path).await?;
            said(&removed, output, |name| format!("`{name}` can be set no more; values that contacts have stay"));
        }
    }
    Ok(())
}

fn said(document: &Value, output: &Output, what: impl Fn(&str) -> String) {
    if output.is_json() {
        output.document(document);
    } else {
        output.line(format!("{} {}", output.paint(Style::Good, "✓"), what(&text_of(document, "/name"))));
    }
}

fn list(document: &Value, output: &Output) {
    if output.is_json() {
        output.document(document);
        return;
    }
    let fields = items(document, "/fields");
    if fields.is_empty() {
        output.line("No fields are defined. `flowcell contact field set plan --kind choice --option free --option gold` defines one.");
        return;
    }
    let row = |field: &Value| {
        let options: Vec<_> = items(field, "/options").iter().filter_map(Value::as_str).collect();
        [text_of(field, "/name"), text_of(field, "/kind"), text_of(field, "/label"), options.join(", ")]
    };
    table(output, ["FIELD", "KIND", "LABEL", "OPTIONS"], &fields.iter().map(row).collect::<Vec<_>>());
}
