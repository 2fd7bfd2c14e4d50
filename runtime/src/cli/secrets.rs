//! `flowcell secrets new-key|show|rotate-key`: the key that the secrets of connections are sealed with.

use clap::Subcommand;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::document::{at, text_of};
use crate::cli::output::{Output, Style};
use crate::client::Client;
use crate::entropy::SystemEntropy;
use crate::vault::MasterKey;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a new key, for a key store or the environment
    NewKey,
    /// Show which key the server uses, and where it comes from
    Show,
    /// Wrap every secret with a new key, while the server goes on
    RotateKey,
}

/// Prints a key. Nothing keeps it.
pub(crate) fn new_key(output: &Output) {
    let key = MasterKey::generate(&SystemEntropy);
    if output.is_json() {
        output.document(&json!({ "key": *key.to_text(), "id": key.id().to_string() }));
    } else {
        output.line(key.to_text().as_str());
    }
}

pub(crate) async fn show(client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get("secrets").await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    output.line(format!("key {} from {}", text_of(&document, "/key"), text_of(&document, "/source")));
    if at(&document, "/is_exchanging").as_bool() == Some(true) {
        output.warning("an exchange of the key has begun and not ended");
        output.help("flowcell secrets rotate-key");
    }
    Ok(())
}

pub(crate) async fn rotate_key(client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.post_json("secrets/rotate-key", None).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let (key, wrapped) = (text_of(&document, "/key"), at(&document, "/wrapped"));
    output.line(format!("{} {wrapped} connection(s) are under the key {key} now", output.paint(Style::Good, "✓")));
    if let Some(unreadable) = at(&document, "/unreadable").as_u64().filter(|count| *count > 0) {
        output.warning(&format!(
            "{unreadable} connection(s) have a secret that no key opens; the server's log names them"
        ));
    }
    Ok(())
}
