//! The record of a step's host calls: what went out, what came back, what was said. Bounded, and free of credentials.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// One HTTP exchange as the door saw it. Credentials that the door added are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// 1 for the first request of this attempt.
    pub number: u32,
    pub started_at: Timestamp,
    pub duration_ms: u64,
    pub request: SentRequest,
    /// The address that was dialled, `203.0.113.7:443`; absent when nothing was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ReceivedResponse>,
    /// Why there is no response: a denial or a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ExchangeError>,
    /// Whether the request may have reached the peer though no whole answer came back: its effect is then unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub possibly_sent: bool,
}

impl Exchange {
    /// Whether the peer may have changed something without our knowing it: not with a method that asks for no change
    /// (RFC 9110 §9.2.1).
    pub fn is_uncertain(&self) -> bool {
        self.possibly_sent && !matches!(self.request.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: RecordedBody,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: RecordedBody,
}

/// A body cut to what the log keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecordedBody {
    /// The whole size, whatever is kept.
    pub bytes: u64,
    /// The beginning, when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether `text` is less than the whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl RecordedBody {
    /// Keeps at most `text_bytes_max` of `body`, cut at a character; binary bodies leave only their size.
    pub fn of(body: &[u8], text_bytes_max: usize) -> Self {
        let bytes = body.len() as u64;
        let kept = body.get(..text_bytes_max).unwrap_or(body);
        let text = match std::str::from_utf8(kept) {
            Ok(text) => Some(text),
            // A cut may split the last character; anything else is not text.
            Err(error) if error.error_len().is_none() && kept.len() < body.len() => {
                kept.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
            }
            Err(_) => None,
        };
        Self {
            bytes,
            truncated: text.is_none_or(|text| text.len() < body.len()) && bytes > 0,
            text: text.filter(|text| !text.is_empty()).map(str::to_owned),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeError {
    /// `denied`, `address-denied`, `dns`, `connect`, `tls`, `timeout`, `too-large`, `budget`, `protocol` or `invalid-request`.
    pub code: String,
    pub message: String,
}

/// One line a guest wrote to its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_cut_at_a_character_and_binary_keeps_its_size() {
        assert_eq!(RecordedBody::of("grün".as_bytes(), 3).text.as_deref(), Some("gr"));
        assert!(RecordedBody::of("grün".as_bytes(), 3).truncated);
        assert_eq!(RecordedBody::of(b"ok", 3), RecordedBody { bytes: 2, text: Some("ok".into()), truncated: false });
        assert_eq!(RecordedBody::of(&[0xff, 0xfe], 9), RecordedBody { bytes: 2, text: None, truncated: true });
        assert_eq!(RecordedBody::of(b"", 9), RecordedBody::default());
    }
}
