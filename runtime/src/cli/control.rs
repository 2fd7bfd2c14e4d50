//! `flowcell run cancel|decide`: what is done to a run that goes on.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use crate::cli::document::path_segment;
use crate::cli::output::{Output, Style};
use crate::cli::{Failure, input};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The run's id, `run_…`
    id: String,
    /// Why, for whoever looks at the run
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("decision").required(true))]
pub(crate) struct Decide {
    /// The run's id, `run_…`
    id: String,
    /// The parked step, as `flowcell run show` names it
    step: String,
    /// Its effect took place: the run goes on behind it
    #[arg(long, group = "decision")]
    happened: bool,
    /// Its effect did not take place and is not to: the step has failed
    #[arg(long, group = "decision")]
    failed: bool,
    /// Make it again, under the same idempotency key
    #[arg(long, group = "decision")]
    repeat: bool,
    /// With --happened: what later steps read as its output, JSON
    #[arg(long, requires = "happened", value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn cancel(args: &Cancel, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(reason) = &args.reason {
        body.insert("reason".to_owned(), json!(reason));
    }
    let path = format!("runs/{}/cancel", path_segment(&args.id));
    let document = client.post_json(&path, Some(&Value::Object(body))).await?;
    say(&document, &format!("{} is being cancelled", args.id), output);
    Ok(())
}

pub(crate) async fn decide(args: &Decide, client: &Client, output: &Output) -> Result<(), Failure> {
    let body = match (args.repeat, args.happened) {
        (true, _) => json!({ "repeat": true }),
        (false, true) => {
            let output = args.output.as_deref().map(input::read_json).transpose()?;
            json!({ "happened": true, "output": output })
        }
        (false, false) => json!({ "happened": false }),
    };
    let path = format!("runs/{}/steps/{}/decide", path_segment(&args.id), path_segment(&args.step));
    let document = client.post_json(&path, Some(&body)).await?;
    say(&document, &format!("step {} of {} goes on", args.step, args.id), output);
    Ok(())
}

fn say(document: &Value, text: &str, output: &Output) {
    if output.is_json() {
        output.document(document);
    } else {
        output.line(format!("{} {text}", output.paint(Style::Good, "✓")));
    }
}
