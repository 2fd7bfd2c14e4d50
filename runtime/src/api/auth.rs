//! Who may use the API: whoever has the administrator's token. More kinds of tokens come with workspaces and roles.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request};

use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// Lets a request pass that brings the token.
pub(crate) async fn require_token(
    State(app): State<Arc<App>>,
    request: Request<Body>,
    next: Next,
) -> Result<Response, Problem> {
    match bearer(request.headers()) {
        Some(token) if app.admin.matches(token) => Ok(next.run(request).await),
        Some(_) => Err(refusal("The token is not valid here.")),
        None => Err(refusal("The request brings no token; send `Authorization: Bearer …`.")),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn refusal(what: &str) -> Problem {
    Problem::new(
        Kind::Unauthorized,
        format!("{what} The administrator's token lies in the file `admin-token` of the server's data directory."),
    )
    .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}
