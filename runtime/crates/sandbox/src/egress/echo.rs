//! Finding secrets in what a peer sends back, as they are and as programs commonly write them, and masking them before the guest or the
//! log gets them. It finds what a careless peer echoes; against one that works for the guest there is the binding: such a peer gets no secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use data_encoding::HEXLOWER;
use flowcell_core::secret::Secret;
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::{Zeroize as _, Zeroizing};

/// Stands where a secret stood.
pub(super) const MASK: &str = "•••";

/// What is shorter can be guessed as fast as it can be read, and masking it would mark every place where it is part of a word.
const SECRET_BYTES_MIN: usize = 4;

/// The same for encodings: base64 of 4 bytes leaves 5 characters that do not depend on what stands before and after.
const ENCODED_BYTES_MIN: usize = 5;

/// A part of a header's value that is secret by itself: a signature, a token. Shorter ones are words such as `Bearer` or `sha256`.
const PART_BYTES_MIN: usize = 16;

/// What `encodeURIComponent` and RFC 3986 leave as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What to look for.
#[derive(Default)]
pub(super) struct Echo {
    needles: Vec<Zeroizing<Vec<u8>>>,
}

impl Echo {
    pub(super) fn of(secrets: &[Secret<String>]) -> Self {
        let mut echo = Self::default();
        echo.expect(secrets);
        echo
    }

    /// Looks for `secrets` too, in every encoding.
    pub(super) fn expect(&mut self, secrets: &[Secret<String>]) {
        for secret in secrets {
            let text = secret.expose().as_str();
            if text.len() >= SECRET_BYTES_MIN && !self.needles.iter().any(|needle| **needle == text.as_bytes()) {
                self.expect_encodings(text);
            }
        }
    }

    /// Looks for the parts of a header's or parameter's value, as they are: `Bearer …`, `sha256=…`, `v1,… v1a,…`.
    pub(super) fn expect_parts_of(&mut self, value: &str) {
        for part in value.split([' ', ',', '=', ';', '"']).filter(|part| part.len() >= PART_BYTES_MIN) {
            self.push(part.as_bytes().to_vec());
        }
    }

    fn expect_encodings(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.push(bytes.to_vec());
        let mut encoded = vec![text.to_lowercase(), text.to_uppercase(), HEXLOWER.encode(bytes)];
        encoded.extend(encoded.last().map(|hex| hex.to_uppercase()));
        for percent in [
            utf8_percent_encode(text, UNRESERVED).to_string(),
            utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
            form_urlencoded::byte_serialize(bytes).collect(),
        ] {
            encoded.push(lower_escapes(&percent));
            encoded.push(percent);
        }
        if let Ok(json) = serde_json::to_string(text) {
            let json = json.trim_matches('"').to_owned();
            encoded.push(json.replace('/', "\\/"));
            encoded.push(json);
        }
        encoded.extend(html(text));
        // What stands before a text in the same base64 shifts it by none, two or four of six bits.
        for shift in 0..3 {
            let shifted = [vec![0; shift], bytes.to_vec()].concat();
            for alphabet in [STANDARD, URL_SAFE] {
                encoded.push(base64_within(&alphabet.encode(&shifted), shift, bytes.len()));
            }
        }
        for encoding in encoded {
            if encoding.len() >= ENCODED_BYTES_MIN {
                self.push(encoding.into_bytes());
            }
        }
    }

    fn push(&mut self, mut needle: Vec<u8>) {
        if self.needles.iter().any(|known| **known == needle) {
            needle.zeroize();
        } else {
            self.needles.push(Zeroizing::new(needle));
        }
    }

    pub(super) fn stands_in(&self, bytes: &[u8]) -> bool {
        self.needles.iter().any(|needle| memmem::find(bytes, needle).is_some())
    }

    /// `bytes` with every find replaced by [`MASK`]; `None` where there is none.
    pub(super) fn masked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut finds: Vec<(usize, usize)> = Vec::new();
        for needle in &self.needles {
            finds.extend(memmem::find_iter(bytes, &***needle).map(|at| (at, at + needle.len())));
        }
        if finds.is_empty() {
            return None;
        }
        finds.sort_unstable();
        let mut masked = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for (start, end) in finds {
            if start >= done {
                masked.extend_from_slice(bytes.get(done..start).unwrap_or_default());
                masked.extend_from_slice(MASK.as_bytes());
            }
            done = done.max(end);
        }
        masked.extend_from_slice(bytes.get(done..).unwrap_or_default());
        Some(masked)
    }

    /// How many bytes at the end may be the beginning of a find that was cut off.
    pub(super) fn cut_at_the_end(&self, bytes: &[u8]) -> usize {
        let cut = |needle: &[u8]| {
            (1..needle.len()).rev().find(|length| needle.get(..*length).is_some_and(|begin| bytes.ends_with(begin)))
        };
        self.needles.iter().filter_map(|needle| cut(needle)).max().unwrap_or(0)
    }
}

/// The characters of a base64 text that depend on nothing but the `length` bytes from byte `start` on.
fn base64_within(encoded: &str, start: usize, length: usize) -> String {
    let first = (start * 8).div_ceil(6);
    let end = (start + length) * 8 / 6;
    encoded.get(first..end).unwrap_or_default().to_owned()
}

/// `%2F` as `%2f`.
fn lower_escapes(percent: &str) -> String {
    let mut after_sign = usize::MAX >> 1;
    let lower = |c: char| {
        after_sign = if c == '%' { 0 } else { after_sign + 1 };
        if after_sign <= 2 { c.to_ascii_lowercase() } else { c }
    };
    percent.chars().map(lower).collect()
}

/// What libraries make of it in HTML: all escape `&` and `<`, some also `>`, `"` or `'`.
fn html(text: &str) -> Vec<String> {
    let mut writings = vec![text.replace('&', "&amp;").replace('<', "&lt;")];
    for (sign, escapes) in [(">", &["&gt;"][..]), ("\"", &["&quot;", "&#34;"]), ("'", &["&#39;", "&#x27;", "&apos;"])] {
        if text.contains(sign) {
            let escaped =
                escapes.iter().flat_map(|escape| writings.iter().map(|writing| writing.replace(sign, escape)));
            let escaped: Vec<String> = escaped.collect();
            writings.extend(escaped);
        }
    }
    writings
}
