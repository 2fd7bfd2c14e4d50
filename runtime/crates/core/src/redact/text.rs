//! Hiding inside of texts: JSON, forms, URLs, messages.

use serde_json::Value;

use super::{FOUND_CHARACTERS_MIN, REDACTED};

/// What a text looks like where it may turn up: as it is, inside of JSON, inside of a URL or a form.
pub(super) fn shapes(text: &str) -> Vec<String> {
    let json = Value::from(text).to_string();
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let coded: String = text.bytes().map(percent).collect();
    let form = coded.replace("%20", "+");
    let small = text.bytes().map(percent).map(|byte| if byte.len() == 3 { byte.to_ascii_lowercase() } else { byte });
    // Writers of JSON that keep to ASCII (RFC 8259 §7).
    let ascii = |c: char| if c.is_ascii() { c.to_string() } else { units(c) };
    let escaped: String = json.chars().map(ascii).collect();
    let mut shapes = vec![text.to_owned(), json, escaped, coded, form, small.collect()];
    shapes.dedup();
    shapes
}

/// A character as JSON escapes it, in UTF-16.
fn units(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat()
}

/// A byte in a URL (RFC 3986 §2).
fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// The document that a text is, if it is one that has fields.
pub(super) fn as_json(text: &str) -> Option<Value> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

pub(super) fn is_any_in(text: &str, needles: &[String]) -> bool {
    needles.iter().any(|needle| text.contains(needle.as_str()))
}

pub(super) fn any_in_bytes(bytes: &[u8], needles: &[String]) -> bool {
    needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

pub(super) fn hide_all(text: &mut String, needles: &[String]) {
    for needle in needles {
        if text.contains(needle.as_str()) {
            *text = text.replace(needle.as_str(), REDACTED);
        }
    }
}

/// Hides the beginning of something hidden at the end of a text that was cut.
pub(super) fn cut_unfinished(text: &mut String, needles: &[String]) {
    let end = text.trim_end_matches('…').len();
    let Some(kept) = text.get(..end) else { return };
    let unfinished = |needle: &String| {
        let places = needle.char_indices().map(|(place, _)| place).skip(FOUND_CHARACTERS_MIN).chain([needle.len()]);
        places.filter(|place| needle.get(..*place).is_some_and(|start| kept.ends_with(start))).max()
    };
    if let Some(length) = needles.iter().filter_map(unfinished).max() {
        text.truncate(end - length);
        text.push_str(REDACTED);
    }
}

/// Hides the value behind a name in a text that is no whole document: `"name": …`, `name=…`.
pub(super) fn hide_named(text: &mut String, name: &str) {
    let lower = text.to_ascii_lowercase(); // as long as the text: only ASCII letters change
    let mut hidden = Vec::new();
    for (start, _) in lower.match_indices(name) {
        let end = start + name.len();
        let (Some(before), Some(after)) = (lower.get(..start), text.get(end..)) else { continue };
        let value = if before.ends_with('"') && after.starts_with('"') {
            json_value(after).map(|(skip, length)| (end + skip, length))
        } else if before.is_empty() || before.ends_with(['?', '&', ';', ' ', '\n', '#']) {
            after.strip_prefix('=').map(|value| {
                let length = value.find(['&', ';', ' ', '\n', '"', '#']).unwrap_or(value.len());
                (end + 1, length)
            })
        } else {
            None
        };
        hidden.extend(value.filter(|(_, length)| *length > 0));
    }
    for (start, length) in hidden.into_iter().rev() {
        if text.get(start..start + length).is_some() {
            text.replace_range(start..start + length, REDACTED);
        }
    }
}

/// Where the value of a JSON field begins and how long it is, from behind the letters of its name. What nests is hidden to the end.
fn json_value(after: &str) -> Option<(usize, usize)> {
    let colon = after.get(1..)?.trim_start().strip_prefix(':')?;
    let value = colon.trim_start();
    let start = after.len() - value.len();
    if let Some(text) = value.strip_prefix('"') {
        let mut is_escaped = false;
        let end = text.find(|c: char| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        return Some((start + 1, end.unwrap_or(text.len())));
    }
    let length = if value.starts_with(['{', '[']) {
        value.len()
    } else {
        value.find([',', '}', ']', '\n']).unwrap_or(value.len())
    };
    Some((start, length))
}

/// The secret of a resume link opens something until it is used: nobody needs to see it in a log.
pub(super) fn hide_resume_secrets(text: &mut String) {
    const PREFIX: &str = "rs_";
    const DIGITS: usize = 64;
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(PREFIX)) {
        from += found + PREFIX.len();
        let digits = text.get(from..).unwrap_or_default().bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits >= DIGITS {
            text.replace_range(from..from + digits, REDACTED);
        }
    }
}
