//! `flowcell workflow preview`: the requests of one step as a server would send them, with its connections, and nothing sent.

use std::path::PathBuf;

use clap::Args;
use flowcell_core::exchange::Exchange;
use serde_json::{Map, Value, json};

use crate::cli::document::{at, items, text_of};
use crate::cli::output::{Output, Style, printable};
use crate::cli::rehearse::read_input;
use crate::cli::{Failure, input};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Preview {
    /// The workflow: a file, `-` for standard input, or the id of one that the server has
    workflow: PathBuf,
    /// The step's id
    step: String,
    /// What the workflow reads as `trigger`, YAML or JSON
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The outputs of the steps before it, an object by their ids, YAML or JSON
    #[arg(long, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// The items of the loops around it, an object by their names, YAML or JSON
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
}

pub(super) async fn run(args: &Preview, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut asked = Map::from_iter([("step".to_owned(), json!(args.step))]);
    let is_file = args.workflow.as_os_str() == "-" || args.workflow.exists();
    let (key, value) = if is_file {
        ("workflow", input::read_workflow(&args.workflow)?)
    } else {
        ("id", args.workflow.display().to_string())
    };
    asked.insert(key.to_owned(), json!(value));
    for (key, file) in [("trigger", &args.input), ("outputs", &args.outputs), ("items", &args.items)] {
        asked.extend(file.as_deref().map(read_input).transpose()?.map(|value| (key.to_owned(), value)));
    }
    let shown = client.post_json("workflows/preview", Some(&Value::Object(asked))).await?;
    if output.is_json() {
        output.document(&shown);
    } else {
        print(&shown, output);
    }
    if shown.get("error").is_some() { Err(Failure::Reported) } else { Ok(()) }
}

fn print(shown: &Value, output: &Output) {
    for warning in items(shown, "/warnings") {
        output.warning(&printable(&text_of(warning, "/message")));
    }
    let requests = items(shown, "/requests");
    let exchanges = requests.iter().filter_map(|request| serde_json::from_value::<Exchange>(request.clone()).ok());
    for Exchange { request, error, credentials, .. } in exchanges {
        output.line(output.paint(Style::Strong, printable(&format!("{} {}", request.method, request.url))));
        for (name, value) in &request.headers {
            output.line(printable(&format!("  {name}: {value}")));
        }
        if let Some(text) = &request.body.text {
            output.line(printable(&format!("\n{text}")));
        } else if request.body.bytes > 0 {
            output.line(format!("\n  ({} bytes)", request.body.bytes));
        }
        if let Some(added) = credentials.filter(flowcell_core::exchange::AddedCredentials::is_empty) {
            output.warning(&format!("connection `{}` is not bound to this address: it adds nothing", added.connection));
        }
        if let Some(error) = error {
            output.error(&printable(&error.message));
        }
    }
    if requests.is_empty() {
        output.line("The step would send nothing.");
    }
    if shown.get("error").is_some() {
        output.error(&printable(&text_of(at(shown, "/error"), "/message")));
    }
}
