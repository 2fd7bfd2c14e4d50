//! Answers in the network's place: for a dry run those that somebody gave, for a replay those that were recorded. Nothing here dials, and nothing
//! here decides what is allowed: a dry run comes here after every check that needs no network, a replay asks for no permission, because nothing leaves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flowcell_core::exchange::{AnsweredBy, Exchange};
use flowcell_core::record::{Answer, Answers};
use http::HeaderMap;

use super::EgressConfig;
use super::blobs;
use super::echo::MASK;
use super::error::{SendError, SendErrorCode};
use super::pass::CallPass;
use super::record::Entry;
use super::request::{OutboundRequest, Prepared};
use super::response::OutboundResponse;

/// Who answers the requests of one call.
#[derive(Debug, Default)]
pub(crate) enum Source {
    #[default]
    Network,
    Pinned(Pinned),
    /// The exchanges of the call that is replayed, by number.
    Recorded(Vec<Exchange>),
}

/// Answers that were given, and how often each has been used.
#[derive(Debug)]
pub(crate) struct Pinned {
    answers: Mutex<Vec<(Answer, bool)>>,
}

impl Pinned {
    pub(crate) fn new(answers: &Answers) -> Self {
        Self { answers: Mutex::new(answers.http.iter().map(|answer| (answer.clone(), false)).collect()) }
    }

    /// The first unused answer that fits; when all are used, the last that fits.
    fn take(&self, method: &str, url: &str) -> Option<Answer> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((answer, used)) = answers.iter_mut().find(|(answer, used)| !used && answer.fits(method, url)) {
            *used = true;
            return Some(answer.clone());
        }
        answers.iter().rev().find(|(answer, _)| answer.fits(method, url)).map(|(answer, _)| answer.clone())
    }
}

/// Answers a request that has passed every check, and records it as it would have been sent.
pub(super) fn answer(
    pinned: &Pinned,
    pass: &CallPass,
    prepared: Prepared,
    entry: &mut Entry<'_>,
    config: &EgressConfig,
) -> Result<OutboundResponse, SendError> {
    let (method, mut url) = (prepared.method.clone(), prepared.url.clone());
    url.set_fragment(None);
    let request = prepared.into_http()?;
    entry.set_sent_headers(request.headers());
    entry.set_duration(Duration::ZERO);
    let (answer, by) = match pinned.take(&method, url.as_str()) {
        Some(answer) => (answer, AnsweredBy::Pinned),
        None => (stand_in(), AnsweredBy::StandIn),
    };
    entry.set_answered_by(by);
    if let Some(code) = &answer.error {
        return Err(SendError::rehearsed(code, format!("the answer given for this request is the error `{code}`")));
    }
    let (body, content_type) = answer.body();
    let mut headers: Vec<(String, String)> =
        answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    if let Some(content_type) = content_type.filter(|_| !headers.iter().any(|(name, _)| name == "content-type")) {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    let body = if method == "HEAD" { Bytes::new() } else { Bytes::from(body) };
    let status = answer.status.unwrap_or(200);
    entry.set_head(status, &headers);
    entry.set_body(&body);
    if body.len() > config.response_bytes_max {
        let most = config.response_bytes_max;
        return Err(SendError::too_large(format!("the response's body is larger than the allowed {most} bytes")));
    }
    pass.spend_received(body.len())?;
    Ok(OutboundResponse { status, headers, body, duration: Duration::ZERO })
}

/// What most APIs could have said: it went well, and here is an object.
fn stand_in() -> Answer {
    Answer { json: Some(serde_json::Value::Object(serde_json::Map::new())), ..Answer::default() }
}

/// Answers a request with what the peer had answered to the one with the same number. Whether it is the same request is compared afterwards.
pub(super) fn replay(
    recorded: &[Exchange],
    pass: &CallPass,
    request: OutboundRequest,
    entry: &mut Entry<'_>,
    config: &EgressConfig,
) -> Result<OutboundResponse, SendError> {
    if let Ok(prepared) = Prepared::new(request, pass, config) {
        entry.set_url(&prepared.url);
    }
    entry.set_answered_by(AnsweredBy::Recorded);
    let Some(before) = recorded.iter().find(|exchange| Some(exchange.number) == entry.number()) else {
        entry.set_duration(Duration::ZERO);
        return Err(SendError::rehearsed("connect", "nothing was recorded for this request".to_owned()));
    };
    let duration = Duration::from_millis(before.duration_ms);
    entry.set_duration(duration);
    if let Some(error) = &before.error {
        entry.set_response(before.response.clone());
        return Err(SendError::rehearsed(&error.code, error.message.clone()));
    }
    let kept = before.response.as_ref().and_then(|response| {
        // A body that was kept as a blob did not reach the guest then either.
        let is_blob = response.headers.iter().any(|(name, _)| name == blobs::KEPT);
        Some((response, if is_blob { Vec::new() } else { response.body.whole()? }))
    });
    let Some((response, body)) = kept else {
        return Err(SendError::rehearsed(
            "protocol",
            "the recorded answer to this request was not kept whole".to_owned(),
        ));
    };
    entry.set_response(before.response.clone());
    Ok(OutboundResponse { status: response.status, headers: response.headers.clone(), body: body.into(), duration })
}

/// The headers of a request as they would go out, credentials masked.
pub(super) fn sent_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = if value.is_sensitive() {
                MASK.to_owned()
            } else {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            (name.as_str().to_owned(), value)
        })
        .collect()
}

impl SendError {
    /// A failure that is played, not met.
    fn rehearsed(code: &str, message: String) -> Self {
        let (code, retryable) = match code {
            "denied" => (SendErrorCode::Denied, false),
            "address-denied" => (SendErrorCode::AddressDenied, false),
            "invalid-request" => (SendErrorCode::InvalidRequest, false),
            "dns" => (SendErrorCode::Dns, true),
            "tls" => (SendErrorCode::Tls, false),
            "timeout" => (SendErrorCode::Timeout, true),
            "too-large" => (SendErrorCode::TooLarge, false),
            "budget" => (SendErrorCode::Budget, false),
            "protocol" => (SendErrorCode::Protocol, false),
            _ => (SendErrorCode::Connect, true),
        };
        Self { code, message, retryable, denied_by: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_used_in_their_order_and_the_last_that_fits_stays() {
        let answer = |url: &str, status| Answer { url: Some(url.into()), status: Some(status), ..Answer::default() };
        let pinned = Pinned::new(&Answers {
            http: vec![answer("https://a/*", 201), answer("https://b/", 202), answer("https://a/*", 203)],
        });
        let status = |url: &str| pinned.take("GET", url).and_then(|answer| answer.status);
        assert_eq!(status("https://a/1"), Some(201));
        assert_eq!(status("https://b/"), Some(202));
        assert_eq!(
            [status("https://a/1"), status("https://a/2"), status("https://b/")],
            [Some(203), Some(203), Some(202)]
        );
        assert_eq!(status("https://c/"), None);
    }
}
