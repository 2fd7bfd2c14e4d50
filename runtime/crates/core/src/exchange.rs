//! The record of a step's host calls: what went out, what came back, what was said. Bounded, and free of credentials.

use serde::{Deserialize, Serialize};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::id::{ConnectionName, Digest};
use crate::time::Timestamp;

/// One HTTP exchange as the door saw it, free of secrets.
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
    /// Who answered in the peer's place: then nothing was sent. Absent when the network was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
    /// What the step's connection added to what the guest asked for. Absent when the step names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<AddedCredentials>,
}

/// What a connection added to one request: nothing, where it is not bound to where the request went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedCredentials {
    pub connection: ConnectionName,
    /// What is secret is masked; ids and times are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Names of parameters; their values are secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    /// Whether the peer refused the first credentials (401), and this is what came of a second try with renewed ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renewed: bool,
}

impl AddedCredentials {
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }
}

/// Who answers a request that does not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnsweredBy {
    /// An answer that somebody gave for this request.
    Pinned,
    /// Nobody gave one: 200 with an empty JSON object.
    StandIn,
    /// What the peer had answered in the call that is replayed.
    Recorded,
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

/// How much of a body is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPolicy {
    /// A body up to this size is kept whole, text or not: a replay needs it.
    pub whole_bytes_max: usize,
    /// Of a larger one, so much of the beginning, if it is text, and its SHA-256.
    pub excerpt_bytes_max: usize,
}

/// A body, or what the log keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecordedBody {
    /// The whole size, whatever is kept.
    pub bytes: u64,
    /// The beginning, when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The whole, when it is not text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Whether less than the whole is here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Of the whole, when less than that is here: a replay can still tell whether the same was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl RecordedBody {
    /// Keeps what `policy` says.
    pub fn within(body: &[u8], policy: BodyPolicy) -> Self {
        if body.len() > policy.whole_bytes_max.max(policy.excerpt_bytes_max) {
            return Self { digest: Some(Digest::of(body)), ..Self::of(body, policy.excerpt_bytes_max) };
        }
        match std::str::from_utf8(body) {
            Ok(text) => {
                Self { bytes: body.len() as u64, text: (!text.is_empty()).then(|| text.to_owned()), ..Self::default() }
            }
            Err(_) if body.len() > policy.whole_bytes_max => {
                Self { digest: Some(Digest::of(body)), ..Self::of(body, policy.excerpt_bytes_max) }
            }
            Err(_) => Self { bytes: body.len() as u64, base64: Some(BASE64_STANDARD.encode(body)), ..Self::default() },
        }
    }

    /// The whole body; `None` when only a part was kept.
    pub fn whole(&self) -> Option<Vec<u8>> {
        match (&self.text, &self.base64) {
            _ if self.truncated => None,
            (Some(text), _) => Some(text.as_bytes().to_vec()),
            (None, Some(coded)) => BASE64_STANDARD.decode(coded).ok(),
            (None, None) => (self.bytes == 0).then(Vec::new),
        }
    }

    /// Whether both are records of the same bytes, however much of them was kept. Where neither the whole nor its digest is left, size and
    /// beginning decide.
    pub fn is_same_as(&self, other: &Self) -> bool {
        if self == other || self.bytes != other.bytes {
            return self == other;
        }
        let digest = |body: &Self| body.digest.or_else(|| body.whole().map(|whole| Digest::of(&whole)));
        if let (Some(ours), Some(theirs)) = (digest(self), digest(other)) {
            return ours == theirs;
        }
        let beginning = |body: &Self| body.text.clone().unwrap_or_default();
        let (ours, theirs) = (beginning(self), beginning(other));
        ours.starts_with(&theirs) || theirs.starts_with(&ours)
    }

    /// Leaves the size, the digest and at most so much of the beginning.
    pub fn shorten(&mut self, text_bytes_max: usize) {
        if self.text.as_ref().is_none_or(|text| text.len() <= text_bytes_max) && self.base64.is_none() {
            return;
        }
        self.digest = self.digest.or_else(|| self.whole().map(|whole| Digest::of(&whole)));
        self.base64 = None;
        self.truncated = true;
        if let Some(text) = &mut self.text {
            text.truncate(text.floor_char_boundary(text_bytes_max));
        }
        self.text = self.text.take().filter(|text| !text.is_empty());
    }

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
            ..Self::default()
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
        assert_eq!(
            RecordedBody::of(b"ok", 3),
            RecordedBody { bytes: 2, text: Some("ok".into()), ..RecordedBody::default() }
        );
        assert_eq!(
            RecordedBody::of(&[0xff, 0xfe], 9),
            RecordedBody { bytes: 2, truncated: true, ..RecordedBody::default() }
        );
        assert_eq!(RecordedBody::of(b"", 9), RecordedBody::default());
    }

    #[test]
    fn what_fits_is_kept_whole_and_what_does_not_leaves_its_beginning_and_its_digest() {
        let policy = BodyPolicy { whole_bytes_max: 8, excerpt_bytes_max: 3 };
        for whole in [&b""[..], b"12345678", &[0xff, 0xfe]] {
            let kept = RecordedBody::within(whole, policy);
            assert_eq!((kept.whole().as_deref(), kept.truncated, kept.digest), (Some(whole), false, None));
        }
        let cut = RecordedBody::within(b"123456789", policy);
        assert_eq!((cut.text.as_deref(), cut.whole(), cut.truncated), (Some("123"), None, true));
        assert_eq!(cut.digest, Some(Digest::of(b"123456789")));
        assert_eq!(RecordedBody::within(&[0xff; 9], policy).digest, Some(Digest::of(&[0xff; 9])));

        let mut shortened = RecordedBody::within(b"12345678", policy);
        shortened.shorten(3);
        assert_eq!((shortened.text.as_deref(), shortened.whole()), (Some("123"), None));
        assert!(shortened.is_same_as(&RecordedBody::within(b"12345678", policy)));
        assert!(!shortened.is_same_as(&RecordedBody::within(b"12345679", policy)));
    }

    #[test]
    fn records_of_before_are_read() {
        let body: RecordedBody = serde_json::from_str(r#"{"bytes":2,"text":"ok"}"#).expect("an old record");
        assert_eq!(body.whole().as_deref(), Some(&b"ok"[..]));
        assert_eq!(serde_json::to_string(&body).expect("writes"), r#"{"bytes":2,"text":"ok"}"#);
    }
}
