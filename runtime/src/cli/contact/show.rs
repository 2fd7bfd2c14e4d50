//! How contacts, notes and changes look in a terminal.

use serde_json::Value;

use crate::cli::document::{at, items, text_of};
use crate::cli::output::{Output, Style, printable};

/// One contact.
pub(super) fn contact(document: &Value, output: &Output) {
    if output.is_json() {
        output.document(document);
        return;
    }
    let name = [text_of(document, "/name"), text_of(document, "/email"), text_of(document, "/phone")];
    let name = name.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    output.line(format!(
        "{}  {}",
        output.paint(Style::Strong, name),
        output.paint(Style::Faint, format!("{} version {}", text_of(document, "/id"), at(document, "/version")))
    ));
    let tags: Vec<_> = items(document, "/tags").iter().filter_map(Value::as_str).collect();
    if !tags.is_empty() {
        output.line(format!("  {:<14} {}", "tags", printable(&tags.join(", "))));
    }
    let hidden = ["id", "name", "tags", "fields", "version"];
    let known = document.as_object().into_iter().flatten().filter(|(name, _)| !hidden.contains(&name.as_str()));
    let custom = at(document, "/fields").as_object().into_iter().flatten();
    let custom = custom.map(|(name, value)| (format!("fields.{name}"), value));
    for (name, value) in known.map(|(name, value)| (name.clone(), value)).chain(custom) {
        output.line(format!("  {name:<14} {}", plain(value)));
    }
}

/// What became of a change.
pub(super) fn written(document: &Value, output: &Output) {
    if output.is_json() {
        output.document(document);
        return;
    }
    let id = text_of(document, "/contact/id");
    let changed: Vec<_> = items(document, "/changed").iter().filter_map(Value::as_str).collect();
    let what = match text_of(document, "/outcome").as_str() {
        "created" => format!("{id} is made"),
        "unchanged" => format!("{id} was so already"),
        _ => format!("{id} is changed: {}", changed.join(", ")),
    };
    output.line(format!("{} {what}", output.paint(Style::Good, "✓")));
}

pub(super) fn notes(document: &Value, output: &Output) {
    if output.is_json() {
        output.document(document);
        return;
    }
    let notes = items(document, "/notes");
    if notes.is_empty() {
        output.line("There are no notes.");
    }
    for note in notes {
        let head = format!("{}  {}", text_of(note, "/at"), by(at(note, "/by")));
        output.line(output.paint(Style::Faint, head));
        output.line(text_of(note, "/text"));
    }
}

pub(super) fn history(document: &Value, output: &Output) {
    if output.is_json() {
        output.document(document);
        return;
    }
    for change in items(document, "/changes") {
        let head = format!(
            "{}  version {}  {}  by {}",
            text_of(change, "/at"),
            at(change, "/version"),
            text_of(change, "/kind"),
            by(at(change, "/by"))
        );
        output.line(output.paint(Style::Strong, head));
        for (name, pair) in at(change, "/fields").as_object().into_iter().flatten() {
            output.line(format!("  {name:<14} {} → {}", plain(at(pair, "/from")), plain(at(pair, "/to"))));
        }
        for (sign, pointer) in [("+", "/tags_added"), ("-", "/tags_removed")] {
            for tag in items(change, pointer).iter().filter_map(Value::as_str) {
                output.line(format!("  tag {sign} {}", printable(tag)));
            }
        }
    }
}

/// Who did it, in words.
fn by(actor: &Value) -> String {
    match text_of(actor, "/via").as_str() {
        "run" => {
            format!("{} ({}, step {})", text_of(actor, "/workflow"), text_of(actor, "/run"), text_of(actor, "/step"))
        }
        via => via.to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}
