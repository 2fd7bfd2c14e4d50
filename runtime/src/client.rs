//! The CLI's way to a server: the REST API and nothing else.

mod events;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::response::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use url::{Host, Url};

use crate::api;
use crate::http::problem::{Document, TYPE_BASE};
pub(crate) use events::{Event, Events};

/// How long one answer may take; applying a workflow may have to compile a large plugin first.
const TIMEOUT: Duration = Duration::from_mins(3);

/// The largest answer that is read: a run with every attempt at its limits stays below.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long to wait before a broken stream is asked for again, and how often in a row: half a minute outlasts a restart.
const EVENTS_AGAIN_AFTER: Duration = Duration::from_secs(1);
const EVENTS_AGAIN_MAX: u32 = 30;

/// Why there is no answer to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "no Flowcell answers at {server}: {reason}\nhelp: start one with `flowcell serve --data DIR`, or name another with --server or FLOWCELL_SERVER"
    )]
    Unreachable { server: String, reason: String },
    /// The server said what is wrong.
    #[error("{}", .0.detail)]
    Problem(Box<Document>),
    #[error("{server} answers ({status}), but it is not Flowcell. Is the address right?")]
    Foreign { server: String, status: StatusCode },
}

pub(crate) struct Client {
    server: Url,
    token: Option<String>,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new(server: Url, token: Option<String>) -> Self {
        let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Self { server, token, http: HttpClient::builder(TokioExecutor::new()).build(connector) }
    }

    /// `GET /api/v2/{path}`; `path` may have a query.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::GET, path, None).await
    }

    /// `GET /api/v2/{path}` of bytes.
    pub(crate) async fn download(&self, path: &str) -> Result<Bytes, ClientError> {
        let request =
            self.request(Method::GET, path).body(Full::default()).map_err(|error| self.unreachable(&error))?;
        let (head, body) = self.exchange(request).await?;
        if !head.status.is_success() {
            return Err(self.refusal(head.status, &body));
        }
        let (name, value) = api::MARK;
        let is_ours = head.headers.get(name) == Some(&value);
        if is_ours { Ok(body) } else { Err(ClientError::Foreign { server: self.shown(), status: head.status }) }
    }

    /// `POST /api/v2/{path}` with a workflow file.
    pub(crate) async fn post_workflow(&self, path: &str, text: String) -> Result<Value, ClientError> {
        self.send(Method::POST, path, Some(("application/yaml", Bytes::from(text)))).await
    }

    /// `POST /api/v2/{path}` with a JSON document; nothing is sent when there is none.
    pub(crate) async fn post_json(&self, path: &str, document: Option<&Value>) -> Result<Value, ClientError> {
        let body = document.map(|document| ("application/json", Bytes::from(document.to_string())));
        self.send(Method::POST, path, body).await
    }

    /// The same with another method.
    pub(crate) async fn send_json(&self, method: Method, path: &str, document: &Value) -> Result<Value, ClientError> {
        self.send(method, path, Some(("application/json", Bytes::from(document.to_string())))).await
    }

    /// A request that changes something and needs no body.
    pub(crate) async fn change(&self, method: Method, path: &str) -> Result<Value, ClientError> {
        self.send(method, path, None).await
    }

    /// `GET /api/v2/{path}` of a stream of events; `last_id` is the id of the last one that came.
    pub(crate) async fn events(&self, path: &str, last_id: Option<&str>) -> Result<Events, ClientError> {
        let mut request = self.request(Method::GET, path);
        request = request.header(ACCEPT, "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Full::default()).map_err(|error| self.unreachable(&error))?;
        let response = tokio::time::timeout(TIMEOUT, self.http.request(request))
            .await
            .map_err(|_| self.no_answer(format!("nothing came within {} s", TIMEOUT.as_secs())))?
            .map_err(|error| self.unreachable(&error))?;
        let (head, body) = response.into_parts();
        if head.status.is_success() && head.headers.get(api::MARK.0) == Some(&api::MARK.1) {
            return Ok(Events::new(body));
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.unreachable(&*error))?.to_bytes();
        Err(self.refusal(head.status, &body))
    }

    /// The stream again, after it broke: for as long as a restart takes.
    pub(crate) async fn events_again(&self, path: &str, last_id: Option<&str>) -> Result<Events, ClientError> {
        let mut tries = 0;
        loop {
            tokio::time::sleep(EVENTS_AGAIN_AFTER).await;
            tries += 1;
            match self.events(path, last_id).await {
                Err(ClientError::Problem(problem)) if problem.status != 503 => {
                    return Err(ClientError::Problem(problem));
                }
                Err(_) if tries < EVENTS_AGAIN_MAX => {}
                answered => return answered,
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let base = self.server.as_str().trim_end_matches('/');
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}/api/v2/{path}"))
            .header(USER_AGENT, concat!("flowcell/", env!("CARGO_PKG_VERSION")));
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// What an answer means that is no success.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        // A problem says itself whose it is; those of the edge, before any route, bring no header.
        match serde_json::from_slice::<Document>(body) {
            Ok(document) if document.kind.starts_with(TYPE_BASE) => ClientError::Problem(Box::new(document)),
            _ => ClientError::Foreign { server: self.shown(), status },
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, Bytes)>) -> Result<Value, ClientError> {
        let mut request = self.request(method, path).header(ACCEPT, "application/json");
        if let Some((content_type, _)) = &body {
            request = request.header(CONTENT_TYPE, *content_type);
        }
        let body = body.map(|(_, bytes)| bytes).unwrap_or_default();
        let request = request.body(Full::new(body)).map_err(|error| self.unreachable(&error))?;
        let (head, body) = self.exchange(request).await?;
        let status = head.status;
        let foreign = || ClientError::Foreign { server: self.shown(), status };
        let (name, value) = api::MARK;
        if status.is_success() {
            let is_ours = head.headers.get(name) == Some(&value);
            return if is_ours { serde_json::from_slice(&body).map_err(|_| foreign()) } else { Err(foreign()) };
        }
        Err(self.refusal(status, &body))
    }

    /// One answer, whole.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(Parts, Bytes), ClientError> {
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| self.unreachable(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.unreachable(&*error))?.to_bytes();
            Ok((head, body))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(self.no_answer(format!("nothing came within {} s", TIMEOUT.as_secs()))))
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> ClientError {
        let mut cause = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        self.no_answer(cause.to_string())
    }

    fn no_answer(&self, reason: String) -> ClientError {
        ClientError::Unreachable { server: self.shown(), reason }
    }

    fn shown(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }
}

/// Why a token is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("no token in {} ({source}). Is it the data directory of a server that was started once?", data.display())]
    Unreadable { data: PathBuf, source: std::io::Error },
    #[error(
        "the token in {} is this machine's own and is not sent to {server}. Give that server's token with --token or FLOWCELL_TOKEN",
        data.display()
    )]
    NotTheirs { data: PathBuf, server: String },
    #[error(
        "the token would cross the network in clear text on the way to {server}, and whoever sees it owns that server. \
         Use https://, or bring the server to this machine: ssh -L 8080:127.0.0.1:8080 HOST, then --server http://127.0.0.1:8080"
    )]
    InTheClear { server: String },
}

/// The tokens there may be, from where they stand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tokens<'t> {
    /// `--token`
    pub(crate) option: Option<&'t str>,
    /// `FLOWCELL_TOKEN`
    pub(crate) environment: Option<&'t str>,
    /// `--data`
    pub(crate) data: Option<&'t Path>,
}

impl Tokens<'_> {
    /// The token for `server`, if there is one that may be sent there.
    pub(crate) fn choose(self, server: &Url) -> Result<Option<String>, TokenError> {
        let near = is_loopback(server);
        let shown = || server.as_str().trim_end_matches('/').to_owned();
        let token = match self {
            Self { option: Some(token), .. } => token.to_owned(),
            // What stands on the command line is meant more than what lies in the environment.
            Self { data: Some(data), .. } if near => {
                token_of(data).map_err(|source| TokenError::Unreadable { data: data.to_owned(), source })?
            }
            Self { environment: Some(token), .. } => token.to_owned(),
            Self { data: Some(data), .. } => {
                return Err(TokenError::NotTheirs { data: data.to_owned(), server: shown() });
            }
            Self { data: None, .. } => return Ok(None),
        };
        if server.scheme() == "http" && !near {
            return Err(TokenError::InTheClear { server: shown() });
        }
        Ok(Some(token))
    }
}

/// Whether what is sent there stays on this machine.
fn is_loopback(server: &Url) -> bool {
    match server.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Reads the administrator's token from a data directory on this machine.
fn token_of(data: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(crate::data_dir::admin_token_file(data)).map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests;
