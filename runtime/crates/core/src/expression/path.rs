//! Plain paths such as `trigger.body.commits[0].id`: the expressions that need no template engine.
//!
//! Nothing is recognised here that the engine would read differently; whatever is not plainly a path is left to it.

use std::fmt;

use super::Piece;

/// A name and the keys below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: String,
    pub(super) keys: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Name(String),
    Index(usize),
}

impl Path {
    /// Parses `name.name[0]['name']…`, with white space around it; `None` for everything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(JINJA_SPACE);
        let (root, mut rest) = split_name(text)?;
        if matches!(root, "true" | "True" | "false" | "False" | "none" | "None" | "not" | "loop" | "self") {
            return None;
        }
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let (key, after) = if let Some(after) = rest.strip_prefix('.') {
                let (name, after) = split_name(after)?;
                (Key::Name(name.to_owned()), after)
            } else {
                let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
                (parse_subscript(inner)?, after)
            };
            keys.push(key);
            rest = after;
        }
        Some(Self { root: root.to_owned(), keys })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        self.keys.iter().try_for_each(|key| fmt::Display::fmt(key, f))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) if split_name(name).is_some_and(|(_, rest)| rest.is_empty()) => write!(f, ".{name}"),
            Self::Name(name) => write!(f, "['{name}']"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

const JINJA_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The inside of a text that begins with `{{` and ends with `}}`. One line break after it is let pass: YAML's block texts end in one.
pub(super) fn whole_expression(text: &str) -> Option<&str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner))
}

/// Whether the inside of `{{ … }}` may be that of several expressions with text between them.
pub(super) fn may_be_several(inner: &str) -> bool {
    inner.contains("}}") || inner.contains("{{") || inner.contains("%}") || inner.contains("{%")
}

/// Splits a text whose expressions are all plain paths.
pub(super) fn split(text: &str) -> Option<Vec<Piece>> {
    // What the engine trims or treats as a statement or a comment is left to it; so is a last line break, which it drops.
    if text.contains("{%") || text.contains("{#") || text.ends_with('\n') {
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once("{{") {
        let (inner, after) = after.split_once("}}")?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        pieces.push(Piece::Path(Path::parse(inner)?));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Some(pieces)
}

/// Splits off an ASCII identifier.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

/// `0`, `'name'` or `"name"`, where the name needs no escapes.
fn parse_subscript(inner: &str) -> Option<Key> {
    let quoted = |quote: char| inner.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(name) = quoted('\'').or_else(|| quoted('"')) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/' | ':' | '@' | '$');
        return name.chars().all(plain).then(|| Key::Name(name.to_owned()));
    }
    if inner.is_empty() || inner.len() > 9 || !inner.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    inner.parse().ok().map(Key::Index)
}
