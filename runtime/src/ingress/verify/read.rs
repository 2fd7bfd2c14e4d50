//! Reads what a sender sent to prove itself: strictly, so that no two parties read it differently.

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};

use super::explain;
use super::{Presented, Refusal};

/// The longest value of a header that is looked at: a dozen signatures stay below 2 KiB.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Signatures in one header: a sender signs with two or three keys while it changes them.
pub(super) const SIGNATURES_MAX: usize = 16;

/// The one value of a header, which is printable text.
pub(super) fn header<'a>(request: &Presented<'a>, name: &str) -> Result<&'a str, Refusal> {
    let mut values = request.headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Err(Refusal::Missing { header: name.to_owned(), other: explain::other_scheme(request) });
    };
    let more = values.count();
    if more > 0 {
        return Err(Refusal::Repeated { what: name.to_owned(), times: more.saturating_add(1) });
    }
    let malformed = |problem: String| malformed(name, problem);
    if value.len() > VALUE_BYTES_MAX {
        return Err(malformed(format!("it has {} bytes; at most {VALUE_BYTES_MAX} are read", value.len())));
    }
    let text = value.to_str().map_err(|_| malformed("it is no plain text".to_owned()))?;
    if text.is_empty() { Err(malformed("it is empty".to_owned())) } else { Ok(text) }
}

pub(super) fn malformed(header: &str, problem: impl Into<String>) -> Refusal {
    Refusal::Malformed { header: header.to_owned(), problem: problem.into() }
}

/// Seconds since 1970, written as a number and nothing else.
pub(super) fn seconds(header: &str, text: &str) -> Result<u64, Refusal> {
    // A plus sign, leading zeros and white space would be read by some and not by others.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let seconds = is_plain.then(|| text.parse().ok()).flatten();
    seconds.ok_or_else(|| malformed(header, "its time is no number of seconds since 1970"))
}

/// A signature in the notation of a scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// As the named providers write it.
    HexLower,
    /// Either case.
    Hex,
    Base64,
}

pub(super) fn signature(header: &str, text: &str, notation: Notation) -> Result<Vec<u8>, Refusal> {
    let (encoding, name) = match notation {
        Notation::HexLower => (HEXLOWER, "hexadecimal in lower case"),
        Notation::Hex => (HEXLOWER_PERMISSIVE, "hexadecimal"),
        Notation::Base64 => (BASE64, "base64"),
    };
    encoding.decode(text.as_bytes()).map_err(|_| malformed(header, format!("its signature is no {name}")))
}
