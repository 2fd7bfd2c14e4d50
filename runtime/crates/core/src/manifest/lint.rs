//! What is wrong with a manifest: all of it at once, each with its place and what to do. `plugin build` refuses errors before a file exists,
//! reading a package refuses them again, because nobody promised that it was built here.

mod changelog;
mod connection;
mod service;

use serde::Serialize;
use serde_json::Value;

use crate::capability::HttpCapability;
use crate::manifest::{Limits, Manifest, schema};
use crate::plugin::is_name;

/// The largest icon: an SVG of one glyph has well under 2 KiB; every list of plugins carries all of them.
pub const ICON_BYTES_MAX: usize = 4 * 1024;

/// Titles stand in lists and on the canvas, in one line.
pub const TITLE_CHARS_MAX: usize = 80;

/// A description is a paragraph; more belongs into the plugin's README.
pub const DESCRIPTION_CHARS_MAX: usize = 2_000;

/// A reason is a sentence for the person who decides about a grant.
pub const REASON_CHARS_MAX: usize = 300;

/// One place of a manifest that should be otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A JSON Pointer into the manifest.
    pub pointer: String,
    pub severity: Severity,
    /// What is wrong, and what to do.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Such a plugin is neither built nor installed.
    Error,
    /// It works, and its author should know.
    Warning,
}

/// Lists everything that is wrong with `manifest`, from top to bottom.
pub fn lint(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    findings.identity(manifest);
    findings.members(manifest);
    for (index, capability) in manifest.capabilities.http.iter().enumerate() {
        findings.http(&format!("/capabilities/http/{index}"), capability, manifest);
    }
    findings.services(manifest);
    findings.connections(manifest);
    findings.limits(&manifest.limits);
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { pointer: pointer.into(), severity: Severity::Error, message: message.into() });
    }

    fn warning(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { pointer: pointer.into(), severity: Severity::Warning, message: message.into() });
    }

    fn identity(&mut self, manifest: &Manifest) {
        if Manifest::api_major(&manifest.api).is_none() {
            self.error("/api", format!("`{}` is no contract; write `{}`", manifest.api, super::API));
        }
        self.title("/title", &manifest.title);
        self.description("/description", &manifest.description);
        if manifest.description.trim().is_empty() {
            self.warning(
                "/description",
                "a description helps people choose; write what the plugin does in a sentence or two",
            );
        }
        if let Some(icon) = &manifest.icon {
            self.icon(icon);
        }
        self.changelog(manifest);
        if manifest.actions.is_empty() && manifest.triggers.is_empty() {
            self.error("", "there is neither an action nor a trigger; add `[[actions]]` or `[[triggers]]`");
        }
    }

    fn members(&mut self, manifest: &Manifest) {
        let mut seen: Vec<&str> = Vec::new();
        for (index, action) in manifest.actions.iter().enumerate() {
            let at = format!("/actions/{index}");
            self.member(&at, &action.id, &action.title, &action.description);
            self.unique(&at, &action.id, &mut seen);
            self.schema(&format!("{at}/input"), &action.input, Root::Object);
            self.options(&format!("{at}/input"), &action.input);
            self.schema(&format!("{at}/output"), &action.output, Root::Any);
        }
        for (index, trigger) in manifest.triggers.iter().enumerate() {
            let at = format!("/triggers/{index}");
            self.member(&at, &trigger.id, &trigger.title, &trigger.description);
            self.unique(&at, &trigger.id, &mut seen);
            self.trigger(&at, trigger);
            self.schema(&format!("{at}/config"), &trigger.config, Root::Object);
            self.options(&format!("{at}/config"), &trigger.config);
            self.schema(&format!("{at}/output"), &trigger.output, Root::Any);
        }
    }

    fn member(&mut self, at: &str, id: &str, title: &str, description: &str) {
        if !is_name(id) {
            self.error(
                format!("{at}/id"),
                format!("`{id}` is no id: use a letter, then letters, digits and hyphens in lower case, at most 64, such as `create-row`"),
            );
        }
        self.title(&format!("{at}/title"), title);
        self.description(&format!("{at}/description"), description);
    }

    fn unique<'a>(&mut self, at: &str, id: &'a str, seen: &mut Vec<&'a str>) {
        if seen.contains(&id) {
            self.error(
                format!("{at}/id"),
                format!("`{id}` is there twice; workflows name actions and triggers by their id"),
            );
        }
        seen.push(id);
    }

    fn schema(&mut self, at: &str, value: &Value, root: Root) {
        if let Err(error) = schema::compile(value) {
            let inner = match &error {
                schema::SchemaError::Invalid { pointer, .. } => pointer.as_str(),
                _ => "",
            };
            self.error(format!("{at}{inner}"), error.to_string());
        } else if root == Root::Object && value.get("type").and_then(Value::as_str) != Some("object") {
            self.error(
                at,
                "this schema describes what stands under `with`, which is an object: write `type = \"object\"`",
            );
        }
    }

    fn http(&mut self, at: &str, capability: &HttpCapability, manifest: &Manifest) {
        self.text(
            &format!("{at}/reason"),
            &capability.reason,
            Text { what: "a reason", chars_max: REASON_CHARS_MAX, lines: false },
        );
        if capability.reason.trim().is_empty() {
            self.error(format!("{at}/reason"), "people decide by the reason; write in one sentence why this is needed");
        }
        match (&capability.from_input, capability.hosts.is_empty()) {
            (None, true) => self.error(
                at,
                "this asks for no destination: write `hosts = [\"https://api.example.com/*\"]`, or `from-input` with the input \
                 field that holds the address",
            ),
            (Some(_), false) => self.error(at, "`from-input` and `hosts` are two capabilities with a reason each; write two `[[capabilities.http]]`"),
            (Some(field), true) => self.input_field(at, field, manifest),
            (None, false) => {}
        }
    }

    /// A misspelt field would deny every request at run time. Fields are only known where the schema lists its `properties`.
    fn input_field(&mut self, at: &str, field: &str, manifest: &Manifest) {
        let listed: Option<Vec<_>> =
            manifest.actions.iter().map(|action| action.input.get("properties").and_then(Value::as_object)).collect();
        let Some(listed) = listed else { return };
        let top = field.split('/').next().unwrap_or(field);
        if !listed.iter().any(|properties| properties.contains_key(top)) {
            let near = listed
                .iter()
                .flat_map(|properties| properties.keys())
                .find(|key| strsim::damerau_levenshtein(key, top) <= 2)
                .map_or_else(String::new, |key| format!("; did you mean `{key}`?"));
            self.error(format!("{at}/from-input"), format!("no action has an input field `{top}`{near}"));
        }
    }

    fn limits(&mut self, limits: &Limits) {
        // Upper ends: what no operator will grant to one call (wasm32 ends at 4 GiB), so that a slip of the unit is found while building.
        for (key, value, most, unit) in [
            ("memory_mib", limits.memory_mib.map(u64::from), 4_096, "MiB"),
            ("cpu_ms", limits.cpu_ms.map(u64::from), 600_000, "ms"),
            ("wall_ms", limits.wall_ms.map(u64::from), 3_600_000, "ms"),
            ("http_requests", limits.http_requests.map(u64::from), 10_000, "requests"),
            ("host_calls", limits.host_calls.map(u64::from), 10_000, "calls"),
            // Ten for each nanosecond of the longest processor time: no processor runs that many.
            ("fuel", limits.fuel, 6_000_000_000_000, "instructions"),
        ] {
            if let Some(value) = value.filter(|value| *value == 0 || *value > most) {
                self.error(
                    format!("/limits/{key}"),
                    format!("{value} is outside 1 to {most} {unit}; leave it away for the host's default"),
                );
            }
        }
        if let (Some(cpu), Some(wall)) = (limits.cpu_ms, limits.wall_ms)
            && cpu > wall
        {
            self.warning(
                "/limits/cpu_ms",
                format!("a call ends after {wall} ms (`wall_ms`) and can never use {cpu} ms of processor time"),
            );
        }
    }

    fn title(&mut self, at: &str, title: &str) {
        if title.trim().is_empty() {
            self.error(at, "there is no title; it is what people see in lists and on the canvas");
        }
        self.text(at, title, Text { what: "a title", chars_max: TITLE_CHARS_MAX, lines: false });
    }

    fn description(&mut self, at: &str, description: &str) {
        self.text(at, description, Text { what: "a description", chars_max: DESCRIPTION_CHARS_MAX, lines: true });
    }

    fn text(&mut self, at: &str, text: &str, rule: Text) {
        let chars = text.chars().count();
        if chars > rule.chars_max {
            self.error(at, format!("{} has at most {} characters; this one has {chars}", rule.what, rule.chars_max));
        }
        if let Some(bad) = text.chars().find(|c| deceives(*c) && !(rule.lines && *c == '\n')) {
            self.error(
                at,
                format!(
                    "{} is printed on terminals and consent pages and must not hold U+{:04X}; remove it",
                    rule.what,
                    u32::from(bad)
                ),
            );
        }
    }

    fn icon(&mut self, icon: &str) {
        let at = "/icon";
        if icon.len() > ICON_BYTES_MAX {
            self.error(
                at,
                format!(
                    "the icon has {} bytes; at most {ICON_BYTES_MAX} are allowed. Simplify the SVG, or use an emoji",
                    icon.len()
                ),
            );
        } else if icon.trim_start().starts_with("<svg") {
            let lower = icon.to_ascii_lowercase();
            if !lower.trim_end().ends_with("</svg>") {
                self.error(at, "the SVG does not end with `</svg>`");
            }
            if let Some(active) = ["<script", "<foreignobject", "javascript:", "<!doctype", "<!entity"]
                .iter()
                .find(|word| lower.contains(**word))
            {
                self.error(at, format!("the SVG holds `{active}`; an icon is a picture and nothing more"));
            }
        } else if icon.is_empty() || icon.chars().count() > 16 || icon.chars().any(deceives) {
            // The longest emoji sequences (families, flags) have some ten code points.
            self.error(at, "the icon is neither an emoji nor an SVG that begins with `<svg`");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Object,
    Any,
}

#[derive(Clone, Copy)]
struct Text {
    what: &'static str,
    chars_max: usize,
    /// Line ends are allowed.
    lines: bool,
}

/// Control characters move a terminal's cursor; bidirectional controls make a sentence read as another one.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
