//! `flowcell trigger rotate-url`, and who still uses what was replaced.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The workflow's id
    id: String,
    /// How long the former URL counts, such as 7d; without it, it leads nowhere from now on
    #[arg(long, value_name = "DURATION")]
    keep_old: Option<String>,
}

pub(super) async fn rotate(args: &Rotate, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = format!("workflows/{}/trigger/rotate-url", path_segment(&args.id));
    let wanted = args.keep_old.as_ref().map(|keep| json!({ "keep_old": keep }));
    let document = client.post_json(&path, wanted.as_ref()).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    output.line(format!("  URL         {}", text_of(&document, "/url")));
    print(&document, output);
    Ok(())
}

/// A line for each former URL, and one for the previous secret where somebody uses it.
pub(super) fn print(document: &Value, output: &Output) {
    for former in items(document, "/former_urls") {
        let until = if at(former, "/is_valid").as_bool() == Some(true) {
            format!("counts until {}", text_of(former, "/valid_until"))
        } else {
            output.paint(Style::Faint, "counts no more")
        };
        output.line(format!("  former URL  {}", text_of(former, "/url")));
        output.line(format!("              {until}; {}", uses(former)));
    }
    let previous = at(document, "/previous_secret");
    if at(previous, "/count").as_u64().unwrap_or(0) > 0 {
        output.line(format!("  secret      the previous one: {}", uses(previous)));
    }
}

fn uses(late: &Value) -> String {
    match at(late, "/count").as_u64() {
        Some(1) => format!("1 request, at {}", text_of(late, "/last_at")),
        Some(count) if count > 1 => format!("{count} requests, the last at {}", text_of(late, "/last_at")),
        _ => "no request".to_owned(),
    }
}
