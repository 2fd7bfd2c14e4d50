//! The text of what may be reached: `[METHOD,…] scheme://host[:port][/path/*]`. Parsing is strict, because a rule that is read more widely
//! than it was meant is a hole; printing gives the canonical form.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use url::Url;

use super::target::{Origin, RequestTarget, is_host_name};
use crate::serde_text::serde_as_text;

/// The methods a guest may use. CONNECT and TRACE are absent on purpose: one makes tunnels, the other mirrors credentials.
pub const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// The longest rule that is read: a URL of the common 2,048 characters and its methods.
const TEXT_BYTES_MAX: usize = 2_200;

/// Says why a text is not a rule, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a rule of the form [METHOD,…] scheme://host[:port][/path/*]: {reason}")]
pub struct InvalidRule {
    pub text: String,
    pub reason: &'static str,
}

/// One thing that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpRule {
    /// Empty: every one of [`METHODS`].
    pub methods: BTreeSet<String>,
    /// `http` or `https`.
    pub scheme: String,
    /// Exact, or `*.suffix` for every name below; as in [`Origin`] otherwise.
    pub host: String,
    pub port: u16,
    /// A path that must match exactly, or with a trailing `/*` everything below it. A rule without a path has `/*`.
    pub path: String,
}

impl HttpRule {
    /// Parses `[METHOD,…] scheme://host[:port][/path/*]`.
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        parse(text).map_err(|reason| InvalidRule { text: text.chars().take(200).collect(), reason })
    }

    /// The rule that allows one method at one origin, on every path.
    pub fn for_origin(method: &str, origin: &Origin) -> Self {
        Self {
            methods: BTreeSet::from([method.to_owned()]),
            scheme: origin.scheme.clone(),
            host: origin.host.clone(),
            port: origin.port,
            path: "/*".to_owned(),
        }
    }

    pub fn matches(&self, request: &RequestTarget<'_>) -> bool {
        let origin = request.origin();
        (self.methods.is_empty() || self.methods.contains(request.method()))
            && self.scheme == origin.scheme
            && self.port == origin.port
            && host_matches(&self.host, &origin.host)
            && self.matches_path(request)
    }

    fn matches_path(&self, request: &RequestTarget<'_>) -> bool {
        if self.path == "/*" {
            return true;
        }
        // A server may resolve `%2e`, `%2f`, `\` and `//` in its own way: each reading must be inside the rule.
        request.path_readings().iter().all(|path| match self.path.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => *path == self.path,
        })
    }
}

fn parse(text: &str) -> Result<HttpRule, &'static str> {
    if text.len() > TEXT_BYTES_MAX {
        return Err("it is too long");
    }
    let (methods, url) = match text.split_once(' ') {
        Some((methods, url)) => (parse_methods(methods)?, url),
        None => (BTreeSet::new(), text),
    };
    if url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("white space, control characters and backslashes do not belong into it");
    }
    let (scheme, rest) = url.split_once("://").ok_or("the scheme is missing; write https://… or http://…")?;
    if !matches!(scheme, "http" | "https") {
        return Err("the scheme must be http or https");
    }
    if rest.contains(['?', '#']) {
        return Err("a rule ends with the path; a query or fragment cannot be part of it");
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/*"),
    };
    if authority.contains('@') {
        return Err("a user name or password does not belong into it");
    }
    let (below, authority) = match authority.strip_prefix("*.") {
        Some(suffix) => (true, suffix),
        None => (false, authority),
    };
    if authority.contains('*') {
        return Err("`*` stands only for whole labels at the front (*.example.com); name the hosts");
    }
    let parsed = Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| "the host or port is not one")?;
    let origin = Origin::of(&parsed).ok_or("the host is not a host name or address")?;
    if origin.port == 0 {
        return Err("port 0 cannot be reached");
    }
    let host = host_pattern(below, origin.host)?;
    check_path(path)?;
    Ok(HttpRule { methods, scheme: origin.scheme, host, port: origin.port, path: path.to_owned() })
}

fn parse_methods(text: &str) -> Result<BTreeSet<String>, &'static str> {
    text.split(',')
        .map(|method| {
            METHODS
                .contains(&method)
                .then(|| method.to_owned())
                .ok_or("methods are GET, POST, PUT, PATCH, DELETE, HEAD and OPTIONS in upper case, joined by commas")
        })
        .collect()
}

/// Only plain paths: what would be normalised away when a request is compared can never match.
fn check_path(path: &str) -> Result<(), &'static str> {
    let plain = path.strip_suffix("/*").map_or(path, |before| if before.is_empty() { "/" } else { before });
    if plain.contains('*') {
        return Err("`*` stands only at the end of the path, after a slash (/v1/*)");
    }
    if plain.split('/').any(|segment| matches!(segment, "." | "..")) || path.contains("//") {
        return Err("the path must be written without `.`, `..` and empty segments");
    }
    if !plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()+,=:@".contains(&byte)) {
        return Err("the path may contain letters, digits and -._~!$&'()+,=:@ only");
    }
    Ok(())
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if at == 0 { "" } else { "," })?;
        }
        if !self.methods.is_empty() {
            f.write_str(" ")?;
        }
        let origin = Origin { scheme: self.scheme.clone(), host: self.host.clone(), port: self.port };
        write!(f, "{origin}{}", self.path)
    }
}
impl FromStr for HttpRule {
    type Err = InvalidRule;
    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        Self::parse(text)
    }
}

fn host_pattern(below: bool, host: String) -> Result<String, &'static str> {
    if !below {
        return Ok(host);
    }
    if !is_host_name(&host) {
        return Err("`*.` stands before names, not before addresses");
    }
    // A single label is a top-level domain: everybody's names are below it.
    if !host.contains('.') {
        return Err("`*.` needs at least two labels after it (*.example.com)");
    }
    Ok(format!("*.{host}"))
}

/// `host` as in [`Origin`]: lower case, no trailing dot.
pub(super) fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

/// A host, or with `*.` in front every name below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern(String);

impl HostPattern {
    /// `host` as in [`Origin`].
    pub fn matches(&self, host: &str) -> bool {
        host_matches(&self.0, host)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for HostPattern {
    type Err = InvalidRule;
    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let invalid = |reason| InvalidRule { text: text.chars().take(200).collect(), reason };
        let rule = HttpRule::parse(&format!("https://{text}"));
        let rule = rule.map_err(|error| invalid(error.reason))?;
        if rule.port == 443 && rule.path == "/*" && !text.contains(['/', ' ']) && !text.ends_with(":443") {
            Ok(Self(rule.host))
        } else {
            Err(invalid("write the host only"))
        }
    }
}

serde_as_text!(HttpRule, HostPattern);

#[cfg(test)]
mod tests;
