//! How a trigger's polls and its registration at a provider go, and `flowcell trigger poll-now`.

use clap::Args;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct PollNow {
    /// The workflow's id
    id: String,
}

/// Asks now, whenever its time is, and prints what came of it.
pub(crate) async fn now(args: &PollNow, client: &Client, output: &Output) -> Result<(), Failure> {
    let path = format!("workflows/{}/trigger/poll", path_segment(&args.id));
    let document = client.post_json(&path, None).await?;
    if output.is_json() {
        output.document(&document);
    } else {
        outcome(at(&document, "/outcome"), output);
        poll(&document, output);
    }
    match at(&document, "/outcome/is").as_str() {
        Some("failed" | "held") => Err(Failure::Reported),
        _ => Ok(()),
    }
}

fn outcome(outcome: &Value, output: &Output) {
    let count = |name: &str| at(outcome, name).as_u64().unwrap_or_default();
    match at(outcome, "/is").as_str() {
        Some("answered") => {
            let counts = [
                ("started", "/started"),
                ("known already", "/duplicate"),
                ("filtered", "/filtered"),
                ("skipped", "/skipped"),
            ];
            let shown: Vec<String> = counts
                .iter()
                .filter(|(name, place)| *name == "started" || count(place) > 0)
                .map(|(name, place)| format!("{} {name}", count(place)))
                .collect();
            let more = if at(outcome, "/has_more").as_bool() == Some(true) {
                "; there is more, which is asked for at once"
            } else {
                ""
            };
            output.line(format!("{} {}{more}", output.paint(Style::Good, "✓"), shown.join(", ")));
        }
        Some("failed") => output.error(&text_of(outcome, "/error/message")),
        Some("held") => output.error(&text_of(outcome, "/hold/message")),
        Some("superseded") => output.line("The workflow was applied meanwhile; nothing of this poll was stored."),
        _ => output.line("It is being asked; `flowcell trigger show` will say what came of it."),
    }
}

/// The lines of `flowcell trigger show` for a trigger that is polled.
pub(crate) fn poll(poll: &Value, output: &Output) {
    if !poll.is_object() {
        return;
    }
    output.line(format!("  asks        every {}", text_of(poll, "/every")));
    if at(poll, "/has_begun").as_bool() != Some(true) {
        output.line("  next        at once: it has never been asked");
        return;
    }
    let next = if at(poll, "/has_more").as_bool() == Some(true) { " (there is more already)" } else { "" };
    output.line(format!("  next        {}{next}", text_of(poll, "/next_at")));
    let success = text_of(poll, "/last_success_at");
    let success = if success.is_empty() { "never".to_owned() } else { success };
    output.line(format!("  succeeded   {success}"));
    let cursor =
        at(poll, "/cursor_bytes").as_u64().map_or_else(|| "none yet".to_owned(), |bytes| format!("{bytes} bytes"));
    output.line(format!("  cursor      {cursor}"));
    let counts = at(poll, "/counts").as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(name, count)| format!("{count} {name}")).collect();
    output.line(format!("  in all      {}", printable(&counts.join(", "))));
    trouble(poll, output);
}

/// The same for one that registers its URL.
pub(crate) fn subscription(subscription: &Value, output: &Output) {
    let is = text_of(subscription, "/is");
    let shown = match is.as_str() {
        "" => return,
        "registered" => output.paint(Style::Good, "registered at the provider"),
        "pending" => "about to be registered at the provider".into(),
        "ending" => "about to be taken away from the provider".into(),
        _ => output.paint(Style::Bad, "not registered as it should be"),
    };
    output.line(format!("  URL is      {shown}"));
    for (label, place) in
        [("since       ", "/registered_at"), ("expires     ", "/expires_at"), ("next        ", "/next_at")]
    {
        let value = text_of(subscription, place);
        if !value.is_empty() {
            output.line(format!("    {label}{value}"));
        }
    }
    let left = items(subscription, "/to_be_removed");
    if !left.is_empty() {
        output.line(format!("    {} former registration(s) are to be taken away yet", left.len()));
    }
    trouble(subscription, output);
}

fn trouble(document: &Value, output: &Output) {
    let failures = at(document, "/failures").as_u64().unwrap_or_default();
    if at(document, "/error").is_object() {
        let (code, message) = (text_of(document, "/error/code"), text_of(document, "/error/message"));
        let times = if failures > 1 { format!(" {failures} times in a row") } else { String::new() };
        output.line(format!("  {} {code}{times}: {message}", output.paint(Style::Bad, "failed    ")));
    }
    let held = text_of(document, "/hold/message");
    if !held.is_empty() {
        output.line(format!("  {} {held}", output.paint(Style::Warn, "waits     ")));
    }
}
