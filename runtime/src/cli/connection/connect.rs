//! `flowcell connection connect`: an address to open in a browser, and waiting until somebody has consented there.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::document::{path_segment, text_of};
use crate::cli::output::{Output, printable};
use crate::client::Client;

/// How often the server is asked.
const EVERY: Duration = Duration::from_secs(1);

/// As long as the address opens anything.
const WAIT_MAX: Duration = Duration::from_mins(10);

#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The connection's name
    name: String,
    /// Print the address and do not wait
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn run(args: &Connect, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = format!("connections/{}", path_segment(&args.name));
    let before = client.get(&path).await?;
    let consent = client.post_json(&format!("{path}/consent"), Some(&json!({}))).await?;
    if output.is_json() {
        output.document(&consent);
        return Ok(());
    }
    output.line(format!(
        "Open this in a browser, within ten minutes; it works once:\n\n  {}\n",
        printable(&text_of(&consent, "/url"))
    ));
    if args.no_wait {
        return Ok(());
    }
    let changed = |document: &serde_json::Value| document.pointer("/updated_at") != before.pointer("/updated_at");
    let consented = async {
        loop {
            let now = client.get(&path).await?;
            if changed(&now) && text_of(&now, "/state/is") == "ready" {
                return Ok::<(), Failure>(());
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    match tokio::time::timeout(WAIT_MAX, consented).await {
        Ok(consented) => consented?,
        Err(_) => return Err(anyhow::anyhow!("nobody consented within ten minutes; run this again").into()),
    }
    output.line(format!("{} is connected.", printable(&args.name)));
    Ok(())
}
