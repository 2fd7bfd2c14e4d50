//! A guest's request, made fit to be sent or refused: URL, headers, body, sizes. Knows nothing of grants and addresses.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flowcell_core::capability::Origin;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body_util::{BodyExt, Full};
use url::Url;

use super::EgressConfig;
use super::error::SendError;
use super::pass::CallPass;

/// Headers of one request. 100 is what servers commonly accept.
const HEADERS_MAX: usize = 100;

/// 8 KiB: the request line that common servers accept.
const URL_BYTES_MAX: usize = 8 * 1024;

/// What a guest wants sent.
#[derive(Debug, Clone, Default)]
pub struct OutboundRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// For the whole exchange; the host shortens it.
    pub timeout: Option<Duration>,
}

/// Whether guests may not set a header: it belongs to the connection, or frames the message, or names another destination.
/// `name` in lower case.
pub fn is_forbidden_header(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "connection"
            | "keep-alive"
            | "content-length"
            | "transfer-encoding"
            | "te"
            | "trailer"
            | "upgrade"
            | "expect"
            | "http2-settings"
    ) || name.starts_with("proxy-")
}

/// A request that has been checked for everything but its destination.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Prepared {
    pub(super) fn new(request: OutboundRequest, pass: &CallPass, config: &EgressConfig) -> Result<Self, SendError> {
        if request.body.len() > config.request_bytes_max {
            return Err(SendError::too_large(format!(
                "the request's body has {} bytes; {} are allowed",
                request.body.len(),
                config.request_bytes_max
            )));
        }
        let url = parse_url(&request.url)?;
        if let Some(name) = pass.credentials().and_then(|credentials| credentials.owned_parameter(&url)) {
            return Err(SendError::invalid(format!(
                "plugins may not set the query parameter `{name}`; the step's connection does"
            )));
        }
        let headers = headers(request.headers, pass, config.header_bytes_max)?;
        Ok(Self { method: request.method, url, headers, body: request.body })
    }

    pub(super) fn into_http(mut self) -> Result<http::Request<Full<Bytes>>, SendError> {
        let method = http::Method::from_bytes(self.method.as_bytes())
            .map_err(|_| SendError::invalid("the method is not one"))?;
        let uri = uri(&self.url)?;
        if !self.headers.contains_key(http::header::USER_AGENT) {
            self.headers.insert(
                http::header::USER_AGENT,
                HeaderValue::from_static(concat!("flowcell/", env!("CARGO_PKG_VERSION"))),
            );
        }
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// Parses as the URL standard does, but refuses what it would silently repair where a destination is read: a reader with other
/// repairs would see another host.
fn parse_url(text: &str) -> Result<Url, SendError> {
    if text.len() > URL_BYTES_MAX {
        return Err(SendError::invalid(format!("the URL has {} bytes; {URL_BYTES_MAX} are allowed", text.len())));
    }
    if text.contains(|c: char| c.is_control()) {
        return Err(SendError::invalid(
            "the URL contains a line break, tab or control character; percent-encode it (the filter `urlencode` does)",
        ));
    }
    let before_query = text.split(['?', '#']).next().unwrap_or(text);
    if before_query.contains('\\') {
        return Err(SendError::invalid("the URL contains a backslash; use `/`, or percent-encode it as %5C"));
    }
    Url::parse(text).map_err(|error| SendError::invalid(format!("the URL is not one that can be requested: {error}")))
}

/// The URL as it is sent: without fragment, the host without its trailing dot (one pool entry, one SNI, one Host).
fn uri(url: &Url) -> Result<Uri, SendError> {
    let origin = Origin::of(url).ok_or_else(|| SendError::invalid("the URL's host cannot be reached"))?;
    let mut text = format!("{origin}{}", url.path());
    if let Some(query) = url.query() {
        text.push('?');
        text.push_str(query);
    }
    Uri::try_from(text).map_err(|_| SendError::invalid("the URL contains characters that must be percent-encoded"))
}

fn headers(given: Vec<(String, String)>, pass: &CallPass, bytes_max: usize) -> Result<HeaderMap, SendError> {
    if given.len() > HEADERS_MAX {
        return Err(SendError::too_large(format!(
            "the request has {} headers; {HEADERS_MAX} are allowed",
            given.len()
        )));
    }
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > bytes_max {
        return Err(SendError::too_large(format!("the request's headers have {bytes} bytes; {bytes_max} are allowed")));
    }
    let mut headers = HeaderMap::with_capacity(given.len() + 2);
    for (name, value) in given {
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(SendError::invalid(format!("`{}` is not a header name", name.escape_debug())));
        };
        if is_forbidden_header(parsed.as_str()) {
            return Err(SendError::invalid(format!("plugins may not set the header `{parsed}`; the host does")));
        }
        if pass.credential_header(&parsed) {
            return Err(SendError::invalid(format!(
                "plugins may not set the header `{parsed}`; the step's connection does"
            )));
        }
        // The value is not shown: it may be a secret.
        let value = HeaderValue::try_from(value).map_err(|_| {
            SendError::invalid(format!("the value of the header `{parsed}` contains a line break or control character"))
        })?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// Takes a request of the `http` crate whole.
pub(super) async fn take<B>(request: http::Request<B>, bytes_max: usize) -> Result<OutboundRequest, SendError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let (parts, body) = request.into_parts();
    let headers = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::CONTENT_LENGTH)
        .map(|(name, value)| {
            let value = value
                .to_str()
                .map_err(|_| SendError::invalid(format!("the value of the header `{name}` is not plain text")))?;
            Ok((name.as_str().to_owned(), value.to_owned()))
        })
        .collect::<Result<_, SendError>>()?;
    let mut body = std::pin::pin!(body);
    let mut taken = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| SendError::invalid(format!("the request's body ended early: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if taken.len() + data.len() > bytes_max {
            return Err(SendError::too_large(format!(
                "the request's body has more than the allowed {bytes_max} bytes"
            )));
        }
        taken.extend_from_slice(&data);
    }
    let announced = parts.headers.get_all(http::header::CONTENT_LENGTH);
    if announced.iter().any(|length| length.as_bytes() != taken.len().to_string().as_bytes()) {
        return Err(SendError::invalid(format!(
            "the request's body has {} bytes, and its content-length says otherwise",
            taken.len()
        )));
    }
    Ok(OutboundRequest {
        method: parts.method.as_str().to_owned(),
        url: parts.uri.to_string(),
        headers,
        body: taken.freeze(),
        timeout: None,
    })
}
