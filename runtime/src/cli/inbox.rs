//! `flowcell inbox list|read|unread|delete`: the messages that one user has.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a user's messages, newest first
    List(List),
    /// Mark messages as read: one, or all
    Read(Which),
    /// Mark a message as not read
    Unread(One),
    /// Delete messages from this inbox: one, or all
    Delete(Which),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Whose
    user: String,
    /// Only those that are not read
    #[arg(long)]
    unread: bool,
    /// As many
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u32,
    /// Those after a page before, as its last line says
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Whose
    user: String,
    /// The message, `ntf_…`
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// Whose
    user: String,
    /// The message, `ntf_…`
    id: String,
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    let of = |path: &str, user: &str| format!("notifications{path}?user={}", path_segment(user));
    let one = |id: &str| format!("/{}", path_segment(id));
    match command {
        Command::List(args) => return list(args, client, output).await,
        Command::Read(which) => {
            let path = which.id.as_ref().map_or_else(|| "/read".to_owned(), |id| one(id) + "/read");
            marked(&client.post_json(&of(&path, &which.user), None).await?, output);
        }
        Command::Unread(args) => {
            let path = one(&args.id) + "/unread";
            marked(&client.post_json(&of(&path, &args.user), None).await?, output);
        }
        Command::Delete(which) => {
            let path = which.id.as_ref().map_or_else(String::new, |id| one(id));
            let document = client.change(Method::DELETE, &of(&path, &which.user)).await?;
            if output.is_json() {
                output.document(&document);
            } else {
                let count = at(&document, "/deleted").as_u64().unwrap_or(1);
                output.line(format!("{} {count} deleted", output.paint(Style::Good, "✓")));
            }
        }
    }
    Ok(())
}

fn marked(document: &Value, output: &Output) {
    if output.is_json() {
        output.document(document);
        return;
    }
    let count = |pointer: &str| at(document, pointer).as_u64().unwrap_or(0);
    let mark = output.paint(Style::Good, "✓");
    output.line(format!("{mark} {} changed; {} are not read", count("/changed"), count("/unread")));
}

async fn list(args: &List, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut path = format!("notifications?user={}&limit={}", path_segment(&args.user), args.limit);
    if args.unread {
        path.push_str("&unread=true");
    }
    if let Some(cursor) = &args.cursor {
        path.push_str("&cursor=");
        path.push_str(&path_segment(cursor));
    }
    let document = client.get(&path).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let messages = items(&document, "/notifications");
    for message in messages {
        let is_read = !at(message, "/read_at").is_null();
        let title = text_of(message, "/title");
        let title = output.paint(if is_read { Style::Faint } else { Style::Strong }, title);
        let priority = text_of(message, "/priority");
        let style = if matches!(priority.as_str(), "urgent" | "high") { Style::Bad } else { Style::Faint };
        output.line(format!(
            "{} {title}  {}  {}",
            if is_read { " " } else { "●" },
            output.paint(style, priority),
            output.paint(Style::Faint, text_of(message, "/created_at"))
        ));
        for line in at(message, "/body").as_str().unwrap_or_default().lines() {
            output.line(printable(&format!("    {line}")));
        }
        let link = text_of(message, "/link");
        if !link.is_empty() {
            output.line(format!("    {link}"));
        }
        output.line(format!("    {}", output.paint(Style::Faint, text_of(message, "/id"))));
    }
    let unread = at(&document, "/unread").as_u64().unwrap_or(0);
    output.line(format!("{} shown; {unread} are not read", messages.len()));
    let next = text_of(&document, "/next_cursor");
    if !next.is_empty() {
        output.help(&format!("flowcell inbox list {} --cursor {next}", args.user));
    }
    Ok(())
}
