//! What the author of a step fixed: where its URL fields may lead, from the authored text, before any run data is seen.
//! A text whose destination is not wholly literal is never guessed at.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::HttpCapability;
use super::target::Origin;

/// Where a step's URL field may lead, from what its author wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum UrlScope {
    /// The author's literal text fixes it.
    Fixed { origin: Origin },
    /// An expression decides scheme, host or port: allowed only where a workspace grant names the destination.
    FromData {
        /// The authored text, for the denial.
        authored: String,
    },
    /// Literal text that leads nowhere: not a URL that can be requested.
    Invalid { authored: String, reason: String },
}

impl UrlScope {
    /// Reads the text of a URL field, which may contain `{{ … }}`, `{% … %}` and `{# … #}`.
    ///
    /// An expression cannot influence the destination only if the literal text before it has ended the authority with `/`, `?` or `#`.
    /// In `https://api.example.com{{ x }}` data could append `.evil.example` or `@evil.example`.
    pub fn from_authored(text: &str) -> Self {
        let expression = ["{{", "{%", "{#"].iter().filter_map(|opener| text.find(opener)).min();
        let literal = text.get(..expression.unwrap_or(text.len())).unwrap_or(text);
        if expression.is_some() && !ends_its_authority(literal) {
            return Self::FromData { authored: shown(text) };
        }
        match parse(literal) {
            Ok(origin) => Self::Fixed { origin },
            Err(reason) => Self::Invalid { authored: shown(text), reason: reason.to_owned() },
        }
    }
}

/// Whether `scheme://authority` and the character that ends it are all there. Stricter than the URL standard, which forgives
/// missing and surplus slashes and drops tabs and line breaks: `https:///{{ x }}` would take its host from the data.
fn ends_its_authority(literal: &str) -> bool {
    let Some((scheme, rest)) = literal.split_once("://") else { return false };
    let authority_is_ended = rest.find(['/', '?', '#']).is_some_and(|at| at > 0);
    let plain = !authority(literal).contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace());
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) && authority_is_ended && plain
}

fn parse(literal: &str) -> Result<Origin, &'static str> {
    let literal = literal.trim_matches([' ', '\n', '\r', '\t']);
    if authority(literal).contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
        return Err("white space, control characters and backslashes do not belong before the path");
    }
    let url = Url::parse(literal).map_err(|_| "it is not an absolute URL such as https://api.example.com/path")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https can be requested");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it carries a user name or password; use a connection for credentials");
    }
    Origin::of(&url).filter(|origin| origin.port != 0).ok_or("its host is not an address or host name")
}

/// From the start to the end of the authority, as far as it is there; backslashes do not end it.
fn authority(text: &str) -> &str {
    let start = text.find("://").map_or(0, |at| at + 3);
    let rest = text.get(start..).unwrap_or_default();
    let end = start + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    text.get(..end).unwrap_or(text)
}

/// The text for people: without a user name or password, and not longer than a line or two.
fn shown(text: &str) -> String {
    let head = authority(text);
    let kept = match head.rfind('@') {
        Some(at) => {
            let start = head.find("://").map_or(0, |at| at + 3);
            [text.get(..start), Some("…"), text.get(at..)].into_iter().flatten().collect()
        }
        None => text.to_owned(),
    };
    kept.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// What the author of a step fixed: one entry for each `from-input` field of the plugin's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepScope {
    pub urls: Vec<(String, UrlScope)>,
}

impl StepScope {
    /// Derives the scope from a step's authored `with`, before anything is rendered. A field that is absent gets no entry.
    pub fn from_authored(asked: &[HttpCapability], with: &Value) -> Self {
        let urls = asked
            .iter()
            .filter_map(|capability| capability.from_input.as_ref())
            .filter_map(|field| {
                let scope = match with.pointer(&format!("/{field}"))? {
                    Value::String(text) => UrlScope::from_authored(text),
                    other => {
                        UrlScope::Invalid { authored: shown(&other.to_string()), reason: "it is not a text".to_owned() }
                    }
                };
                Some((field.clone(), scope))
            })
            .collect();
        Self { urls }
    }

    pub(super) fn of(&self, field: &str) -> Option<&UrlScope> {
        self.urls.iter().find(|(name, _)| name == field).map(|(_, scope)| scope)
    }
}

#[cfg(test)]
mod tests;
