//! `flowcell:plugin/http`: one buffered request, one response, one host call. Nothing is decided here: the door decides.

use std::sync::Arc;
use std::time::Duration;

use crate::egress::{CallPass, Door, OutboundRequest, SendErrorCode};
use crate::host::{State, contract::http};

/// The door, and this call's pass through it.
#[derive(Clone)]
pub(crate) struct Outbound {
    pub(crate) door: Door,
    pub(crate) pass: Arc<CallPass>,
}

impl http::Host for State {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, http::SendError>> {
        let request = OutboundRequest {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body.into(),
            timeout: request.timeout_ms.map(|millis| Duration::from_millis(u64::from(millis))),
        };
        let Outbound { door, pass } = &self.outbound;
        Ok(match door.send(pass, request).await {
            Ok(response) => Ok(http::Response {
                status: response.status,
                headers: response.headers,
                body: response.body.into(),
                duration_ms: u32::try_from(response.duration.as_millis()).unwrap_or(u32::MAX),
            }),
            Err(error) => {
                Err(http::SendError { code: code(error.code), message: error.message, retryable: error.retryable })
            }
        })
    }
}

fn code(code: SendErrorCode) -> http::ErrorCode {
    match code {
        SendErrorCode::Denied => http::ErrorCode::Denied,
        SendErrorCode::AddressDenied => http::ErrorCode::AddressDenied,
        SendErrorCode::InvalidRequest => http::ErrorCode::InvalidRequest,
        SendErrorCode::Dns => http::ErrorCode::Dns,
        SendErrorCode::Connect => http::ErrorCode::Connect,
        SendErrorCode::Tls => http::ErrorCode::Tls,
        SendErrorCode::Timeout => http::ErrorCode::Timeout,
        SendErrorCode::TooLarge => http::ErrorCode::TooLarge,
        SendErrorCode::Budget => http::ErrorCode::Budget,
        SendErrorCode::Protocol => http::ErrorCode::Protocol,
    }
}
