//! The lines of an HTTP/1 head as RFC 9112 writes them, and nothing more lenient: what one reader forgives, another reads differently.

use crate::http::refusal::Refusal;

/// The request line's parts that decide how the rest is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub(super) is_http10: bool,
}

/// Reads `METHOD target HTTP/1.x`, without its line end.
pub(super) fn request_line(line: &[u8], target_bytes_max: usize) -> Result<RequestLine, Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(Refusal::RequestLine);
    }
    let is_http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Refusal::Version),
    };
    if target.len() > target_bytes_max {
        return Err(Refusal::TargetTooLong);
    }
    match method {
        b"CONNECT" => Err(Refusal::Connect),
        _ if is_target(method, target) => Ok(RequestLine { is_http10 }),
        _ => Err(Refusal::Target),
    }
}

/// A path, a whole http URL, or `*` for OPTIONS (RFC 9112 §3.2). A fragment is never sent; who cuts it off and who does not would disagree.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    let is_visible = |byte: &u8| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'<' | b'>');
    let begins = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let has_form = target.first() == Some(&b'/') || begins(b"http://") || begins(b"https://");
    (has_form && target.iter().all(is_visible)) || (target == b"*" && method == b"OPTIONS")
}

/// Reads `name: value`, without its line end; the value without the spaces around it.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::FoldedLine);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Refusal::FieldLine)?;
    let (name, rest) = line.split_at(colon);
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Refusal::FieldName);
    }
    let value = rest.get(1..).unwrap_or_default();
    // Without leaving early, so that many bytes are looked at in one go.
    if value.iter().fold(false, |found, byte| found | (byte.is_ascii_control() && *byte != b'\t')) {
        return Err(Refusal::ControlByte);
    }
    Ok((name, trim(value)))
}

/// Without the optional white space of RFC 9110 §5.6.3, which is spaces and tabs only.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// `1*DIGIT`, and no more of them than fit.
pub(super) fn length(value: &[u8]) -> Result<u64, Refusal> {
    number(value, 10).ok_or(Refusal::Length)
}

/// The line before a chunk, without its end: `1*HEXDIG`, and perhaps extensions, which say nothing to us.
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let (size, extensions) = line.split_at(digits);
    if extensions.iter().any(|byte| !matches!(byte, b'\t' | 0x20..=0x7e)) {
        return Err(Refusal::ChunkSize);
    }
    number(size, 16).ok_or(Refusal::ChunkSize)
}

/// Digits only: what `parse` takes beside them, such as a sign, has no place in a length.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    /// All that 64 bits can hold in the smaller of the radixes, less one.
    const DIGITS_MAX: usize = 16;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let mut number = 0u64;
    for byte in digits {
        let digit = char::from(*byte).to_digit(radix)?;
        number = number.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// A byte of a `token` (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~')
}
