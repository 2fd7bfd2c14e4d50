//! Taking a response within its limits: headers, size, the pauses between its pieces, the whole time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::EgressConfig;
use super::blobs;
use super::credentials::CallCredentials;
use super::error::SendError;
use super::pass::CallPass;
use super::record::Entry;

/// Headers of one response. Twice hyper's default: real sites send many cookies and policies.
pub(super) const HEADERS_MAX: usize = 200;

/// A body's buffer starts at what the peer announces, but not above this: an announcement costs the peer nothing.
const BUFFER_BYTES_FIRST: u64 = 256 * 1024;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundResponse {
    pub status: u16,
    /// Names in lower case, in the order they came; repeated headers are repeated here.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// From asking to the last byte.
    pub duration: Duration,
}

impl OutboundResponse {
    pub(super) fn into_http(self) -> http::Response<Bytes> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// Takes `response` whole and tells `entry` what came, even if the rest does not.
pub(super) async fn take(
    response: http::Response<Incoming>,
    is_head: bool,
    pass: &CallPass,
    entry: &mut Entry<'_>,
    config: &EgressConfig,
    deadline: Instant,
) -> Result<OutboundResponse, SendError> {
    let status = response.status().as_u16();
    let mut headers = headers(response.headers(), pass);
    entry.set_head(status, &headers);
    let header_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if header_bytes > config.header_bytes_max {
        return Err(SendError::too_large(format!(
            "the response's headers have {header_bytes} bytes; {} are allowed",
            config.header_bytes_max
        )));
    }
    let is_secret = entry.has_credentials() && pass.credentials().is_some_and(CallCredentials::are_secret);
    if is_secret && is_encoded(&headers) {
        return Err(SendError::protocol(
            "the response is compressed, though nothing else than `identity` was accepted: what the step's connection sent could not be found in it",
        ));
    }
    let mut taking = Taking { body: response.into_body(), taken: Taken::Nothing, deadline };
    let outcome = if is_head { Ok(()) } else { taking.all(pass, config).await };
    let body = taking.taken.into_bytes();
    let Some(credentials) = pass.credentials() else {
        entry.set_body(&body);
        return outcome.map(|()| OutboundResponse { status, headers, body, duration: entry.settle() });
    };
    let body = match credentials.masked(&body) {
        Some(masked) => {
            set_length(&mut headers, masked.len());
            entry.set_head(status, &headers);
            Bytes::from(masked)
        }
        None => body,
    };
    entry.set_body(if outcome.is_ok() { &body } else { credentials.without_cut_secret(&body) });
    outcome.map(|()| OutboundResponse { status, headers, body, duration: entry.settle() })
}

/// Makes an announced length that of the body the guest gets.
fn set_length(headers: &mut [(String, String)], length: usize) {
    for (_, value) in headers.iter_mut().filter(|(name, _)| name == "content-length") {
        *value = length.to_string();
    }
}

fn is_encoded(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(name, value)| {
        (name == "content-encoding" || name == "transfer-encoding")
            && value
                .split(',')
                .any(|coding| !matches!(coding.trim().to_ascii_lowercase().as_str(), "" | "identity" | "chunked"))
    })
}

/// Headers as texts, secrets masked; a byte that is not UTF-8 is read as Latin-1, as RFC 9110 §5.5 suggests. What credentials travel in is left out.
fn headers(headers: &http::HeaderMap, pass: &CallPass) -> Vec<(String, String)> {
    let texts = texts(headers);
    match pass.credentials() {
        Some(credentials) => credentials.masked_headers(texts),
        None => texts,
    }
}

fn texts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        // Only the host says that it kept a body.
        .filter(|(name, _)| name.as_str() != blobs::KEPT)
        .map(|(name, value)| {
            let text = std::str::from_utf8(value.as_bytes())
                .map_or_else(|_| value.as_bytes().iter().map(|byte| char::from(*byte)).collect(), str::to_owned);
            (name.as_str().to_owned(), text)
        })
        .collect()
}

struct Taking {
    body: Incoming,
    taken: Taken,
    deadline: Instant,
}

impl Taking {
    async fn all(&mut self, pass: &CallPass, config: &EgressConfig) -> Result<(), SendError> {
        let announced = self.body.size_hint().lower();
        if announced > config.response_bytes_max as u64 {
            return Err(too_large(config));
        }
        loop {
            let idle = Instant::now() + config.idle_body_timeout;
            let until = idle.min(self.deadline);
            let frame = match timeout_at(until, self.body.frame()).await {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => frame.map_err(|error| SendError::from_transport(&error))?,
                Err(_) if until < self.deadline => {
                    let limit = config.idle_body_timeout.as_millis();
                    return Err(SendError::timeout(format!("the response stalled: nothing came for {limit} ms")));
                }
                Err(_) => {
                    return Err(SendError::timeout("the response was not complete when the time for it was over"));
                }
            };
            // Trailers are dropped: the contract has no place for them.
            let Ok(data) = frame.into_data() else { continue };
            if self.taken.len() + data.len() > config.response_bytes_max {
                return Err(too_large(config));
            }
            pass.spend_received(data.len())?;
            self.taken.push(data, announced);
        }
    }
}

fn too_large(config: &EgressConfig) -> SendError {
    SendError::too_large(format!("the response's body is larger than the allowed {} bytes", config.response_bytes_max))
}

/// A body so far. Most come in one piece and are never copied.
enum Taken {
    Nothing,
    Whole(Bytes),
    Pieces(BytesMut),
}

impl Taken {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Whole(bytes) => bytes.len(),
            Self::Pieces(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, data: Bytes, announced: u64) {
        match self {
            Self::Nothing => *self = Self::Whole(data),
            Self::Whole(first) => {
                let capacity = usize::try_from(announced.min(BUFFER_BYTES_FIRST)).unwrap_or_default();
                let mut pieces = BytesMut::with_capacity(capacity.max(first.len() + data.len()));
                pieces.extend_from_slice(first);
                pieces.extend_from_slice(&data);
                *self = Self::Pieces(pieces);
            }
            Self::Pieces(pieces) => pieces.extend_from_slice(&data),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Whole(bytes) => bytes,
            Self::Pieces(bytes) => bytes.freeze(),
        }
    }
}
