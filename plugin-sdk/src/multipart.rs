//! Forms with files: `multipart/form-data` (RFC 7578), written and read.

use std::fmt;

/// One field or file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    pub name: String,
    /// Present for files.
    pub filename: Option<String>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// More parts than any form has; a body of nothing but delimiters must not become millions of values.
const PARTS_MAX: usize = 1000;

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

/// Why a body is not such a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedForm(String);

impl fmt::Display for MalformedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for MalformedForm {}

fn malformed<T>(why: impl Into<String>) -> Result<T, MalformedForm> {
    Err(MalformedForm(why.into()))
}

/// The content type and the body. The delimiter is made from `seed`, so that the same parts and seed give the same bytes: a repeated attempt
/// sends what the first one sent.
pub fn encode(parts: &[Part], seed: &str) -> (String, Vec<u8>) {
    let Laid { content_type, body, .. } = lay(parts, seed);
    (content_type, body)
}

/// A body, and where each part's own body ends in it: there the host can insert a blob ([`crate::http::Request::insert_blob`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    pub content_type: String,
    pub body: Vec<u8>,
    pub ends: Vec<usize>,
}

/// As [`encode`].
pub fn lay(parts: &[Part], seed: &str) -> Laid {
    let mut ends = Vec::with_capacity(parts.len());
    let boundary = boundary(parts, seed);
    let mut body = Vec::with_capacity(parts.iter().map(|part| part.body.len() + part.name.len() + 160).sum());
    for part in parts {
        body.extend_from_slice(
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"", quoted(&part.name)).as_bytes(),
        );
        if let Some(filename) = &part.filename {
            body.extend_from_slice(format!("; filename=\"{}\"", quoted(filename)).as_bytes());
        }
        if let Some(content_type) = &part.content_type {
            // A line break would end the header and begin another.
            let content_type: String = content_type.chars().filter(|c| !c.is_control()).collect();
            body.extend_from_slice(format!("\r\ncontent-type: {content_type}").as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(&part.body);
        ends.push(body.len());
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Laid { content_type: format!("multipart/form-data; boundary={boundary}"), body, ends }
}

/// A delimiter that stands in no part.
fn boundary(parts: &[Part], seed: &str) -> String {
    let seed: String = seed.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let candidates =
        (0_u32..).map(|n| if n == 0 { format!("flowcell-{seed}") } else { format!("flowcell-{seed}-{n}") });
    let mut free =
        candidates.filter(|candidate| !parts.iter().any(|part| find(&part.body, candidate.as_bytes()).is_some()));
    free.next().unwrap_or_default()
}

/// As browsers write names (the HTML standard, "multipart/form-data").
fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// The boundary that a content type names.
pub fn boundary_of(content_type: &str) -> Option<String> {
    let (essence, rest) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(rest, "boundary").filter(|boundary| !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX)
}

/// Reads a whole body.
pub fn decode(body: &[u8], boundary: &str) -> Result<Vec<Part>, MalformedForm> {
    let delimiter = format!("--{boundary}").into_bytes();
    let separator = format!("\r\n--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let Some(start) = find(body, &delimiter) else {
        return malformed("its boundary does not occur in it");
    };
    if start != 0 && !body.get(..start).is_some_and(|before| before.ends_with(b"\r\n")) {
        return malformed("its boundary does not stand at the beginning of a line");
    }
    let mut rest = body.get(start + delimiter.len()..).unwrap_or_default();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        // White space may follow a boundary (RFC 2046 §5.1.1).
        let line = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        let Some(after) = rest.get(line..).and_then(|rest| rest.strip_prefix(b"\r\n")) else {
            return malformed(format!("after part {} there is neither a line break nor the end", parts.len()));
        };
        if parts.len() == PARTS_MAX {
            return malformed(format!("it has more than {PARTS_MAX} parts"));
        }
        let Some(end) = find(after, &separator).or_else(|| after.starts_with(&delimiter).then_some(0)) else {
            return malformed(format!("part {} does not end", parts.len() + 1));
        };
        let (part, next) = after.split_at_checked(end).unwrap_or((after, b""));
        parts.push(read_part(part, parts.len() + 1)?);
        rest = next.get(separator.len()..).unwrap_or_default();
    }
}

fn read_part(part: &[u8], number: usize) -> Result<Part, MalformedForm> {
    let (head, body) = if let Some(body) = part.strip_prefix(b"\r\n") {
        (&[][..], body)
    } else {
        let Some(end) = find(part, b"\r\n\r\n") else {
            return malformed(format!("part {number} has no empty line after its headers"));
        };
        let (head, body) = part.split_at_checked(end).unwrap_or((part, b""));
        (head, body.get(4..).unwrap_or_default())
    };
    let Ok(head) = std::str::from_utf8(head) else {
        return malformed(format!("the headers of part {number} are not UTF-8"));
    };
    let mut read = Part { body: body.to_vec(), ..Part::default() };
    let mut named = false;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            return malformed(format!("a header of part {number} has no colon"));
        };
        if name.eq_ignore_ascii_case("content-disposition") {
            let parameters = value.split_once(';').map_or("", |(_, parameters)| parameters);
            if let Some(name) = parameter(parameters, "name") {
                (read.name, named) = (unquoted(&name), true);
            }
            read.filename = parameter(parameters, "filename").map(|name| unquoted(&name));
        } else if name.eq_ignore_ascii_case("content-type") {
            read.content_type = Some(value.trim().to_owned());
        }
    }
    if named { Ok(read) } else { malformed(format!("part {number} has no name")) }
}

/// What [`quoted`] did, undone.
fn unquoted(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// The value of one of `; name="value"` or `; name=value`; names in any case.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text.trim_start_matches([';', ' ', '\t']);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, next) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            quoted_value(quoted)?
        } else {
            let (value, next) = after.split_at_checked(after.find(';').unwrap_or(after.len()))?;
            (value.trim().to_owned(), next)
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.trim_start_matches([';', ' ', '\t']);
    }
    None
}

/// Up to the closing quote, and what follows it.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            // Only quotes are escaped so: old browsers send Windows paths with single backslashes.
            '\\' if text.get(at + 1..)?.starts_with('"') => {
                value.push('"');
                chars.next();
            }
            c => value.push(c),
        }
    }
    None
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    // To the next first byte, then the comparison: a file has few carriage returns and hyphens in a row.
    while let Some(at) = haystack.get(from..)?.iter().position(|byte| *byte == first) {
        from += at;
        if haystack.get(from..)?.starts_with(needle) {
            return Some(from);
        }
        from += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Part, boundary_of, decode, encode};

    fn field(name: &str, body: &[u8]) -> Part {
        Part { name: name.to_owned(), body: body.to_vec(), ..Part::default() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let file = Part {
            name: "photo".to_owned(),
            filename: Some("a \"b\".png".to_owned()),
            content_type: Some("image/png".to_owned()),
            body: b"\x89PNG\r\n--flowcell-key\r\n\0".to_vec(),
        };
        let parts = vec![field("name", "Zoë".as_bytes()), field("empty", b""), file];
        let (content_type, body) = encode(&parts, "key");
        // The first choice stands in the file.
        assert_eq!(content_type, "multipart/form-data; boundary=flowcell-key-1");
        assert_eq!(decode(&body, &boundary_of(&content_type).unwrap()).unwrap(), parts);
        assert_eq!(encode(&parts, "key"), (content_type, body));
    }

    #[test]
    fn a_browsers_form_is_read() {
        let body = b"preamble\r\n--AaB03x\r\nContent-Disposition: form-data; name=\"submit-name\"\r\n\r\nLarry\r\n--AaB03x  \r\n\
            Content-Disposition: form-data; name=\"files\"; filename=\"C:\\dir\\file1.txt\"\r\nContent-Type: text/plain\r\n\r\n... contents ...\r\n\
            --AaB03x--\r\nepilogue";
        let parts = decode(body, "AaB03x").unwrap();
        assert_eq!(parts[0], field("submit-name", b"Larry"));
        assert_eq!(parts[1].filename.as_deref(), Some("C:\\dir\\file1.txt"));
        assert_eq!(parts[1].body, b"... contents ...");
    }

    #[test]
    fn boundaries_are_read_from_content_types() {
        for (content_type, boundary) in [
            ("multipart/form-data; boundary=x", Some("x")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=x", None),
        ] {
            assert_eq!(boundary_of(content_type).as_deref(), boundary, "{content_type}");
        }
    }

    #[test]
    fn damaged_forms_say_where() {
        for (body, says) in [
            ("", "does not occur"),
            ("x--b\r\n", "beginning of a line"),
            ("--b", "neither a line break"),
            ("--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nv", "part 1 does not end"),
            ("--b\r\ncontent-disposition: form-data; name=\"a\"\r\n--b--", "no empty line"),
            ("--b\r\n\r\nv\r\n--b--", "part 1 has no name"),
            ("--b\r\ncontent-disposition\r\n\r\nv\r\n--b--", "no colon"),
        ] {
            let error = decode(body.as_bytes(), "b").expect_err(body).to_string();
            assert!(error.contains(says), "{body:?}: {error}");
        }
        let many = "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nv\r\n".repeat(1001) + "--b--";
        assert!(decode(many.as_bytes(), "b").expect_err("too many").to_string().contains("1000"));
    }
}
