//! A package for the person who decides about it: what it does, what it may reach, what it is made of. The same facts as text and as JSON.

use std::fmt;

use flowcell_core::id::Digest;
use flowcell_core::manifest::lint::Finding;
use flowcell_core::manifest::sentences;
use flowcell_core::manifest::{Limits, Manifest, TriggerKind};
use serde::Serialize;

use crate::package::{Package, Sizes};

/// Everything there is to say about a package, for `--json` and the API.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report<'a> {
    pub digest: Digest,
    pub manifest: &'a Manifest,
    /// What it asks for, in sentences.
    pub capabilities: Vec<String>,
    /// Which connections it works with, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<String>,
    pub imports: &'a [String],
    pub exports: &'a [String],
    pub sizes: Sizes,
    pub warnings: Vec<Finding>,
}

impl<'a> Report<'a> {
    pub fn of(package: &'a Package) -> Self {
        Self {
            digest: package.digest,
            manifest: &package.manifest,
            capabilities: sentences::sentences(&package.manifest.capabilities),
            connections: sentences::connections(&package.manifest),
            imports: &package.imports,
            exports: &package.exports,
            sizes: package.sizes,
            warnings: package.warnings(),
        }
    }
}

/// Versions whose changes are printed; JSON has them all.
const RELEASES_SHOWN: usize = 3;

/// Describes a package in plain text.
pub fn describe(package: &Package) -> String {
    Report::of(package).to_string()
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manifest = self.manifest;
        // An icon may be a whole SVG; only an emoji is for a terminal.
        match manifest.icon.as_deref().filter(|icon| !icon.trim_start().starts_with('<')) {
            Some(emoji) => writeln!(f, "{emoji} {}", manifest.title)?,
            None => writeln!(f, "{}", manifest.title)?,
        }
        writeln!(f, "{}@{}, for {}", manifest.id, manifest.version, manifest.api)?;
        if !manifest.description.is_empty() {
            writeln!(f, "\n{}", manifest.description.trim_end())?;
        }
        members(
            f,
            "Triggers",
            manifest.triggers.iter().map(|trigger| {
                let kind = match trigger.kind {
                    TriggerKind::Webhook if trigger.subscribes => "called by HTTP requests; registers its URL itself",
                    TriggerKind::Webhook => "called by HTTP requests",
                    TriggerKind::Poll => "asks from time to time what is new",
                };
                (trigger.id.as_str(), trigger.title.as_str(), kind)
            }),
        )?;
        members(
            f,
            "Actions",
            manifest.actions.iter().map(|action| {
                let repeat = if action.idempotent { "may be repeated safely" } else { "repeating it may do it twice" };
                (action.id.as_str(), action.title.as_str(), repeat)
            }),
        )?;
        section(f, "Capabilities", self.capabilities.iter())?;
        section(f, "Connections", self.connections.iter())?;
        section(f, "Limits it asks for, per call", limits(&manifest.limits).iter())?;
        let changes = manifest.changelog.iter().take(RELEASES_SHOWN);
        section(
            f,
            "Changes",
            changes
                .flat_map(|release| release.changes.iter().map(move |change| format!("{}  {change}", release.version))),
        )?;
        let width = self.imports.iter().map(String::len).max().unwrap_or_default();
        section(
            f,
            "Imports",
            self.imports.iter().map(|name| format!("{name:width$}  {}", meaning(name)).trim_end().to_owned()),
        )?;
        section(f, "Exports", self.exports.iter())?;
        section(f, "Warnings", self.warnings.iter().map(|warning| &warning.message))?;
        let sizes = self.sizes;
        writeln!(
            f,
            "\nSize    {} ({} of code in {} functions, {} of data, {} of manifest), at least {} of memory",
            bytes(sizes.bytes as u64),
            bytes(sizes.code_bytes as u64),
            sizes.functions,
            bytes(sizes.data_bytes as u64),
            bytes(sizes.manifest_bytes as u64),
            bytes(sizes.memory_bytes_min),
        )?;
        writeln!(f, "Digest  {}", self.digest)
    }
}

/// What an import is good for, so that `wasi:sockets` in every Python plugin frightens nobody.
fn meaning(import: &str) -> &'static str {
    let path = import.split('@').next().unwrap_or(import);
    match path {
        "flowcell:plugin/log" => "writes lines to the run's log",
        "flowcell:plugin/http" | "wasi:http/outgoing-handler" => "sends requests, within what was granted",
        "flowcell:plugin/key-value" => "keeps values between calls",
        "flowcell:plugin/mail" => "sends mail through the step's connection",
        "flowcell:plugin/inbox" => "writes to people's inbox",
        "flowcell:plugin/contacts" => "works with contacts, within the fields it names",
        "flowcell:plugin/connection" => "reads facts about the step's connection, no secrets",
        _ if path.starts_with("wasi:filesystem/") => "there are no files but its own",
        _ if path.starts_with("wasi:sockets/") => "every connection is refused",
        "wasi:cli/environment" => "the environment is empty",
        _ => "",
    }
}

/// Three columns, as wide as their longest entries.
fn members<'a>(
    f: &mut fmt::Formatter<'_>,
    heading: &str,
    rows: impl Iterator<Item = (&'a str, &'a str, &'a str)> + Clone,
) -> fmt::Result {
    let width =
        |column: fn((&'a str, &'a str, &'a str)) -> &'a str| rows.clone().map(|row| column(row).chars().count()).max();
    let (Some(id_width), Some(title_width)) = (width(|row| row.0), width(|row| row.1)) else { return Ok(()) };
    section(f, heading, rows.map(|(id, title, note)| format!("{id:id_width$}  {title:title_width$}  {note}")))
}

fn section(f: &mut fmt::Formatter<'_>, heading: &str, lines: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        writeln!(f, "\n{heading}")?;
    }
    lines.try_for_each(|line| writeln!(f, "  {line}"))
}

fn limits(limits: &Limits) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |value: Option<u64>, what: &str| {
        if let Some(value) = value {
            lines.push(format!("{value} {what}"));
        }
    };
    say(limits.memory_mib.map(u64::from), "MiB of memory");
    say(limits.cpu_ms.map(u64::from), "ms of processor time");
    say(limits.wall_ms.map(u64::from), "ms from beginning to end");
    say(limits.http_requests.map(u64::from), "HTTP requests");
    say(limits.host_calls.map(u64::from), "calls of the host's services");
    say(limits.fuel, "WebAssembly instructions (fuel)");
    lines
}

/// In the largest unit that leaves a number before the point: `63.4 KiB`.
fn bytes(count: u64) -> String {
    // Tenths of the next unit, in whole numbers: sizes are no place for rounding surprises.
    let tenths = |unit: u64| count.saturating_mul(10) / unit;
    let (unit, name) = match count {
        0..1024 => return format!("{count} bytes"),
        1024..1_048_576 => (1024, "KiB"),
        _ => (1_048_576, "MiB"),
    };
    format!("{}.{} {name}", tenths(unit) / 10, tenths(unit) % 10)
}

#[cfg(test)]
mod tests;
