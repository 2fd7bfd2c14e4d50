//! Bytes that are no JSON: a picture, a PDF. A step's output names one, and the store keeps its bytes with the run. What an output says about a
//! blob is an object with the member `blob`: `{"blob": "sha256:…", "bytes": 1234, "content_type": "image/png", "filename": "logo.png"}`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Digest;

/// The member of a JSON object that makes it the name of a blob.
pub const MEMBER: &str = "blob";

/// What a run may keep in blobs. 256 MiB: 32 of the largest responses, and a four-hundredth of a disk of 100 GiB.
pub const RUN_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is known of a blob, as it stands in an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobFacts {
    /// The SHA-256 of its bytes, which is its name.
    pub blob: Digest,
    pub bytes: u64,
    /// As its sender said; absent when it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// As its sender said, without folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub facts: BlobFacts,
    pub bytes: Vec<u8>,
}

/// The blobs that a document names, each once, in the order they stand there.
pub fn named_in(document: &Value) -> Vec<Digest> {
    let mut found = Vec::new();
    collect(document, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<Digest>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => {
            if let Some(digest) = members.get(MEMBER).and_then(Value::as_str).and_then(|text| text.parse().ok())
                && !found.contains(&digest)
            {
                found.push(digest);
            }
            members.values().for_each(|member| collect(member, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The file name that a `content-disposition` gives (RFC 6266), without folders and control characters; `None` where it gives none.
pub fn filename_of(disposition: &str) -> Option<String> {
    let (mut plain, mut extended) = (None, None);
    for (name, value) in parameters(disposition) {
        match name.to_ascii_lowercase().as_str() {
            "filename" => plain = plain.or(Some(value)),
            // `UTF-8'en'na%C3%AFve.txt` (RFC 8187).
            "filename*" => extended = extended.or_else(|| decoded(&value)),
            _ => {}
        }
    }
    let name = extended.or(plain)?;
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(FILENAME_CHARS_MAX).collect();
    let name = name.trim().trim_start_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

/// 200: what file systems take, even where each character has some bytes less than two.
const FILENAME_CHARS_MAX: usize = 200;

/// `; name=value` and `; name="value"`, quotes and backslashes undone.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut chars = header.chars().peekable();
    while let Some(c) = chars.next() {
        if c != ';' {
            continue;
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| !matches!(c, '=' | ';')) {
            name.push(c);
        }
        if chars.next_if_eq(&'=').is_none() {
            continue;
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => value.extend(chars.next()),
                    c => value.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ';') {
                value.push(c);
            }
            value.truncate(value.trim_end().len());
        }
        found.push((name.trim().to_owned(), value));
    }
    found
}

fn decoded(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, text) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? * 16 + digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_names_blobs_wherever_they_stand_and_each_once() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let document = json!({
            "body": { "blob": one, "bytes": 1 },
            "files": [{ "blob": two, "bytes": 1 }, { "blob": one, "bytes": 1 }, { "blob": "sha256:12" }, { "blob": 7 }],
            "text": one,
        });
        assert_eq!(named_in(&document), [one, two]);
    }

    #[test]
    fn file_names_lead_nowhere_else() {
        for (disposition, name) in [
            (r#"attachment; filename="invoice.pdf""#, Some("invoice.pdf")),
            ("attachment; FileName=invoice.pdf ; size=3", Some("invoice.pdf")),
            (r#"attachment; filename="a \"b\".pdf""#, Some("a \"b\".pdf")),
            (r#"attachment; filename="x.pdf"; filename*=UTF-8''na%C3%AFve.pdf"#, Some("naïve.pdf")),
            (r#"attachment; filename="../../etc/passwd""#, Some("passwd")),
            (r#"attachment; filename="C:\\dir\\x.txt""#, Some("x.txt")),
            ("attachment; filename=\"a\u{7}\r\nb\"", Some("ab")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename*=UTF-8''%GG", None),
            ("attachment", None),
            ("inline; filename", None),
        ] {
            assert_eq!(filename_of(disposition).as_deref(), name, "{disposition}");
        }
    }
}
