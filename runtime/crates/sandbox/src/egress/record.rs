//! Writing an exchange down: from its first moment, so that a denial, a failure and a call that is cut off leave a trace too.
//! What it keeps is bounded, and free of credentials: a guest chooses what it asks for, so nothing here may be as long as a guest likes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use flowcell_core::blob::BlobFacts;
use flowcell_core::exchange::{
    AddedCredentials, AnsweredBy, BodyPolicy, Exchange, ExchangeError, ReceivedResponse, RecordedBody, SentRequest,
};
use flowcell_core::time::Timestamp;
use tokio::time::Instant;
use url::Url;

use super::echo::MASK;
use super::error::SendError;
use super::pass::CallPass;
use super::rehearse;
use super::request::OutboundRequest;

/// Of a URL that cannot be parsed, as much as helps to recognise it.
const RAW_URL_CHARS_MAX: usize = 200;

/// 8 KiB: what a guest may ask for. Percent-encoding can make three times that of it.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Headers of one message that are recorded: as many as a response may have.
const HEADERS_MAX: usize = 200;

/// No header in use has a longer name.
const HEADER_NAME_BYTES_MAX: usize = 256;

/// 4 KiB: the size of a large cookie, and what is kept of a body.
const HEADER_VALUE_BYTES_MAX: usize = 4 * 1024;

/// Names and values of one message together. 16 KiB: twice what common servers accept.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// The longest denial, with the grant to add for a host of the greatest length, has some 1,000 bytes.
const ERROR_BYTES_MAX: usize = 2 * 1024;

/// Of a body in a record that is nearly full. 4 KiB: enough to see an error message.
const EXCERPT_BYTES_MAX: usize = 4 * 1024;

/// Of a URL and an error in an outline: as much as helps to recognise them.
const OUTLINE_TEXT_BYTES_MAX: usize = 256;

/// One exchange while it happens. Dropped before [`Entry::finish`], it records that the call was cut off.
pub(super) struct Entry<'p> {
    pass: &'p CallPass,
    exchange: Option<Exchange>,
    begun: Instant,
    /// Set once it is settled, so that guest, clock and record are told the same.
    duration: Option<Duration>,
    policy: BodyPolicy,
}

impl<'p> Entry<'p> {
    pub(super) fn begin(pass: &'p CallPass, request: &OutboundRequest, now: Timestamp, policy: BodyPolicy) -> Self {
        let sent = SentRequest {
            method: request.method.chars().take(20).collect(),
            url: without_userinfo(&request.url),
            headers: masked(pass, &request.headers),
            body: body(pass, &request.body, policy),
        };
        let exchange = Exchange {
            number: pass.number(),
            started_at: now,
            duration_ms: 0,
            request: sent,
            address: None,
            response: None,
            error: None,
            possibly_sent: false,
            answered_by: None,
            credentials: None,
        };
        Self { pass, exchange: Some(exchange), begun: Instant::now(), duration: None, policy }
    }

    /// Replaces the guest's text by the URL as it is requested.
    pub(super) fn set_url(&mut self, url: &Url) {
        let mut url = url.clone();
        // They fail on URLs that cannot have user names; those have none.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        if let Some(exchange) = &mut self.exchange {
            let hidden = self.pass.masked(url.as_str().as_bytes());
            let text = hidden.as_deref().map_or(url.as_str().into(), String::from_utf8_lossy);
            exchange.request.url = cut(&text, URL_BYTES_MAX);
        }
    }

    /// Shows the URL as it would go out with these parameters.
    pub(super) fn show_query(&mut self, names: &[String]) {
        if let Some(exchange) = &mut self.exchange {
            let url = &mut exchange.request.url;
            let end = url.find('#').unwrap_or(url.len());
            let mut separator = if url.contains('?') { '&' } else { '?' };
            let mut query = String::new();
            for name in names {
                query.push(separator);
                query.extend(form_urlencoded::byte_serialize(name.as_bytes()));
                query.push('=');
                query.push_str(MASK);
                separator = '&';
            }
            url.insert_str(end, &query);
        }
    }

    pub(super) fn set_address(&mut self, address: Option<SocketAddr>) {
        if let Some(exchange) = &mut self.exchange {
            exchange.address = address.map(|address| address.to_string());
        }
    }

    pub(super) fn set_possibly_sent(&mut self, possibly_sent: bool) {
        if let Some(exchange) = &mut self.exchange {
            exchange.possibly_sent = possibly_sent;
        }
    }

    /// `headers` as the guest gets them: masked already.
    pub(super) fn set_head(&mut self, status: u16, headers: &[(String, String)]) {
        if let Some(exchange) = &mut self.exchange {
            let headers = masked(self.pass, headers);
            exchange.response = Some(ReceivedResponse { status, headers, body: RecordedBody::default() });
        }
    }

    /// `bytes` is what came, whole or not, as the guest gets it: masked already.
    pub(super) fn set_body(&mut self, bytes: &[u8]) {
        if let Some(response) = self.exchange.as_mut().and_then(|exchange| exchange.response.as_mut()) {
            response.body = RecordedBody::within(bytes, self.policy);
        }
    }

    /// The body is a blob: the run keeps it, the record only says which.
    pub(super) fn set_kept(&mut self, facts: &BlobFacts) {
        if let Some(response) = self.exchange.as_mut().and_then(|exchange| exchange.response.as_mut()) {
            let digest = Some(facts.blob);
            response.body = RecordedBody { bytes: facts.bytes, truncated: true, digest, ..RecordedBody::default() };
        }
    }

    pub(super) fn set_credentials(&mut self, added: AddedCredentials) {
        if let Some(exchange) = &mut self.exchange {
            exchange.credentials = Some(added);
        }
    }

    /// Whether the peer was told something secret, which its answer may contain.
    pub(super) fn has_credentials(&self) -> bool {
        let credentials = self.exchange.as_ref().and_then(|exchange| exchange.credentials.as_ref());
        credentials.is_some_and(|added| !added.is_empty())
    }

    /// Its number among the exchanges of the call, from 1.
    pub(super) fn number(&self) -> Option<u32> {
        self.exchange.as_ref().map(|exchange| exchange.number)
    }

    pub(super) fn set_answered_by(&mut self, by: AnsweredBy) {
        if let Some(exchange) = &mut self.exchange {
            exchange.answered_by = Some(by);
        }
    }

    /// Replaces the guest's headers by all that would go out, credentials masked.
    pub(super) fn set_sent_headers(&mut self, headers: &http::HeaderMap) {
        if let Some(exchange) = &mut self.exchange {
            exchange.request.headers = masked(self.pass, &rehearse::sent_headers(headers));
        }
    }

    /// Takes over an answer as it was recorded before.
    pub(super) fn set_response(&mut self, response: Option<ReceivedResponse>) {
        if let Some(exchange) = &mut self.exchange {
            exchange.response = response;
        }
    }

    /// Settles how long it took.
    pub(super) fn set_duration(&mut self, duration: Duration) {
        self.duration = Some(duration);
    }

    /// Settles how long it took so far, in whole milliseconds, and says it.
    pub(super) fn settle(&mut self) -> Duration {
        let millis = self.begun.elapsed().as_millis();
        *self.duration.insert(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// Returns how long it took.
    pub(super) fn finish(mut self, error: Option<&SendError>) -> Duration {
        let error = error.map(|error| ExchangeError {
            code: error.code.as_str().to_owned(),
            message: cut(&error.message, ERROR_BYTES_MAX),
        });
        self.keep(error)
    }

    fn keep(&mut self, error: Option<ExchangeError>) -> Duration {
        let duration = self.duration.unwrap_or_else(|| self.settle());
        if let Some(mut exchange) = self.exchange.take() {
            exchange.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            exchange.error = error;
            self.pass.keep(exchange);
        }
        duration
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.keep(Some(ExchangeError {
            code: "timeout".to_owned(),
            message: "the call ended before the response was complete; whether the request was processed is not known"
                .to_owned(),
        }));
    }
}

fn body(pass: &CallPass, bytes: &[u8], policy: BodyPolicy) -> RecordedBody {
    RecordedBody::within(pass.masked(bytes).as_deref().unwrap_or(bytes), policy)
}

/// Headers for the record. The values of those that carry credentials are not kept, whoever set them.
fn masked(pass: &CallPass, headers: &[(String, String)]) -> Vec<(String, String)> {
    // What arrives here may not have been checked yet, and each of it may be as large as a guest's memory.
    let mut left = HEADERS_BYTES_MAX;
    let mut kept = Vec::with_capacity(headers.len().min(HEADERS_MAX));
    for (name, value) in headers.iter().take(HEADERS_MAX) {
        let name = cut(name, HEADER_NAME_BYTES_MAX).to_ascii_lowercase();
        let value = if carries_credentials(&name) {
            MASK.to_owned()
        } else {
            // Masked before it is cut: half a secret would not be recognised.
            let hidden = pass.masked(value.as_bytes());
            let value = hidden.as_deref().map_or(value.as_str().into(), String::from_utf8_lossy);
            cut(&value, HEADER_VALUE_BYTES_MAX.min(left.saturating_sub(name.len())))
        };
        let Some(rest) = left.checked_sub(name.len() + value.len()) else { break };
        left = rest;
        kept.push((name, value));
    }
    kept
}

/// The beginning of `text`, at most `bytes_max`, with a mark where something is missing.
fn cut(text: &str, bytes_max: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let (kept, _) = text.split_at(text.floor_char_boundary(bytes_max.saturating_sub(MARK.len())));
    format!("{kept}{MARK}")
}

/// What an exchange takes up in the journal.
pub(super) fn bytes_of(exchange: &Exchange) -> usize {
    let mut counter = Counter(0);
    // Counting does not fail; what cannot be written must not be kept either.
    serde_json::to_writer(&mut counter, exchange).map_or(usize::MAX, |()| counter.0)
}

/// No less than [`bytes_of`], from the lengths of its texts alone.
pub(super) fn bytes_at_most(exchange: &Exchange) -> usize {
    /// Names of fields, numbers, marks, an address, two digests and a time: below 700 bytes.
    const FRAME: usize = 1024;
    /// `\u001b`: what one byte of text can become.
    const ESCAPED: usize = 6;
    /// Around one header: `["",""],`.
    const AROUND: usize = 8;
    let headers = |headers: &[(String, String)]| {
        headers.iter().map(|(name, value)| (name.len() + value.len()) * ESCAPED + AROUND).sum::<usize>()
    };
    let body = |body: &RecordedBody| {
        body.text.as_ref().map_or(0, |text| text.len() * ESCAPED) + body.base64.as_ref().map_or(0, String::len)
    };
    let (sent, got) = (&exchange.request, &exchange.response);
    let added = exchange.credentials.as_ref().map_or(0, |added| {
        // A name of a connection has at most 64 bytes.
        64 + headers(&added.headers) + added.query.iter().map(|name| name.len() * ESCAPED + AROUND).sum::<usize>()
    });
    let texts = sent.method.len() + sent.url.len() + exchange.error.as_ref().map_or(0, |error| error.message.len());
    FRAME
        + texts * ESCAPED
        + added
        + headers(&sent.headers)
        + body(&sent.body)
        + got.as_ref().map_or(0, |got| headers(&got.headers) + body(&got.body))
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Leaves the beginnings of the bodies: for a call whose record has no room for more.
pub(super) fn excerpt(exchange: &mut Exchange) {
    exchange.request.body.shorten(EXCERPT_BYTES_MAX);
    if let Some(response) = &mut exchange.response {
        response.body.shorten(EXCERPT_BYTES_MAX);
    }
}

/// Leaves method, URL, address, status, error and sizes: for a call whose record is full.
pub(super) fn outline(exchange: &mut Exchange) {
    let empty = |body: &mut RecordedBody| {
        *body = RecordedBody { bytes: body.bytes, truncated: body.bytes > 0, ..RecordedBody::default() }
    };
    exchange.request.url = cut(&exchange.request.url, OUTLINE_TEXT_BYTES_MAX);
    exchange.request.headers = Vec::new();
    exchange.credentials = None;
    empty(&mut exchange.request.body);
    if let Some(response) = &mut exchange.response {
        response.headers = Vec::new();
        empty(&mut response.body);
    }
    if let Some(error) = &mut exchange.error {
        error.message = cut(&error.message, OUTLINE_TEXT_BYTES_MAX);
    }
}

fn carries_credentials(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "proxy-authorization"
            | "cookie"
            | "set-cookie"
            | "x-api-key"
            | "api-key"
            | "apikey"
            | "x-auth-token"
            | "x-access-token"
    )
}

/// The guest's text, shortened, without what stands before an `@` in the authority.
fn without_userinfo(text: &str) -> String {
    let text: String = text.chars().take(RAW_URL_CHARS_MAX).filter(|c| !c.is_control()).collect();
    let start = text.find("//").map_or(0, |at| at + 2);
    let (scheme, rest) = text.split_at_checked(start).unwrap_or((&text, ""));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{host}{tail}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_is_none_too_low() {
        let awkward = "\u{1b}\"\\ü\u{7f}".repeat(50);
        let body = RecordedBody {
            bytes: u64::MAX,
            text: Some(awkward.clone()),
            base64: Some("AA==".repeat(9)),
            truncated: true,
            digest: Some(flowcell_core::id::Digest::of(b"")),
        };
        let headers = vec![(awkward.clone(), awkward.clone()), (String::new(), String::new())];
        let exchange = Exchange {
            number: u32::MAX,
            started_at: Timestamp::from_millis(u64::MAX),
            duration_ms: u64::MAX,
            request: SentRequest {
                method: awkward.clone(),
                url: awkward.clone(),
                headers: headers.clone(),
                body: body.clone(),
            },
            address: Some("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535".into()),
            response: Some(ReceivedResponse { status: u16::MAX, headers, body }),
            error: Some(ExchangeError { code: "invalid-request".into(), message: awkward }),
            possibly_sent: true,
            answered_by: Some(AnsweredBy::Recorded),
            credentials: Some(AddedCredentials {
                connection: "a-connection".parse().expect("a name"),
                headers: vec![("\u{1b}".repeat(50), "\u{1b}".repeat(50))],
                query: vec!["\u{1b}".repeat(50)],
                renewed: true,
            }),
        };
        assert!(bytes_at_most(&exchange) >= bytes_of(&exchange));
    }
}
