//! Consent to a connection (OAuth 2.0, authorization code): `POST /api/v2/connections/{name}/consent` gives an address for a browser, `/oauth/start/{ticket}`
//! sends it to the other side, `/oauth/callback` takes it back. The address works once; what comes back must come to the browser that left.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use flowcell_core::connection::Kind as ConnectionKind;
use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use http::header::{COOKIE, REFRESH, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use url::Url;

use super::json as json_answer;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::connections::WriteError;
use crate::connections::oauth::consent::{Connected, TIME_MAX};
use crate::http::page::{escape, message, page};
use crate::http::problem::{Kind, Problem};

/// What browsers are sent to; they have no token.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/oauth/start/{ticket}", get(ask).post(start))
        .route("/oauth/callback", get(callback))
        .with_state(app)
}

/// `POST /connections/{name}/consent`.
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
) -> Result<Response, Problem> {
    let stored = app.connections.get(&app.workspace, &name).await?;
    let stored = stored.ok_or_else(|| WriteError::Unknown(name.clone()))?;
    if !matches!(stored.connection.kind, ConnectionKind::OauthCode { .. }) {
        let kind = stored.connection.kind.name();
        let detail = format!("Connection `{name}` is of the kind {kind}, which needs nobody's consent in a browser.");
        return Err(Problem::new(Kind::InvalidConnection, detail));
    }
    let (ticket, until) = app.consents.ticket((app.workspace.clone(), name)).map_err(|_| crowded())?;
    let url = format!("{}/oauth/start/{}", app.base_url(), ticket.expose());
    Ok(json_answer(StatusCode::OK, &json!({ "url": url, "expires_at": until })))
}

fn crowded() -> Problem {
    Problem::new(Kind::Busy, "Too many consents are under way.").retry_after_ms(Some(30_000))
}

/// A page that asks whoever opens the address; opening it does nothing else, since mail programs and chats open links to show what is behind them.
async fn ask(State(app): State<Arc<App>>, Path(ticket): Path<String>) -> Response {
    let Some((_, name)) = app.consents.opens(&ticket) else { return used_up() };
    let stored = match app.connections.get(&app.workspace, &name).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return failed(&format!("The connection `{name}` is not there any more.")),
        Err(error) => return failed(&format!("The connection cannot be read now: {error}.")),
    };
    let ConnectionKind::OauthCode { authorize_url, .. } = &stored.connection.kind else {
        return failed(&format!("The connection `{name}` needs nobody's consent."));
    };
    let to = authorize_url.host_str().unwrap_or_default();
    let text = format!(
        "You are asked to sign in at `{to}` and to consent, so that workflows can use the connection `{name}`."
    );
    let form = "<form method=\"post\"><p><button type=\"submit\">Go there</button></p></form><p>This works once.</p>";
    page(StatusCode::OK, &(message("Connect an account", &text) + form))
}

fn used_up() -> Response {
    let text =
        "It was opened before, or it is older than ten minutes. `flowcell connection connect NAME` prints a new one.";
    page(StatusCode::GONE, &message("This link opens nothing any more", text))
}

/// Sends the browser on. Not by a redirect: the page that asked lets its form lead nowhere else (`form-action`), and browsers hold redirects to that.
async fn start(State(app): State<Arc<App>>, Path(ticket): Path<String>) -> Response {
    let Some((workspace, name)) = app.consents.redeem(&ticket) else { return used_up() };
    let departure = match app.connections.get(&workspace, &name).await {
        Ok(Some(stored)) => app.consents.begin(&stored, &redirect(&app)),
        Ok(None) => Ok(None),
        Err(error) => return failed(&format!("The connection cannot be read now: {error}.")),
    };
    let departure = match departure {
        Ok(Some(departure)) => departure,
        Ok(None) => return failed(&format!("The connection `{name}` is not there any more.")),
        Err(_) => return failed("Too many people do this at the moment. Try again in a minute."),
    };
    let cookie = cookie(&app, departure.session.expose(), TIME_MAX.as_secs());
    let refresh = HeaderValue::from_str(&format!("0;url={}", departure.to));
    let (Ok(refresh), Ok(cookie)) = (refresh, HeaderValue::from_str(&cookie)) else {
        return failed("The connection's `authorize_url` cannot be sent to a browser.");
    };
    let link = format!("<p><a href=\"{}\">Go on</a></p>", escape(departure.to.as_str()));
    let text = "You are being sent to the other side.";
    let mut response = page(StatusCode::OK, &(message("One moment", text) + &link));
    response.headers_mut().insert(REFRESH, refresh);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// The parameters of RFC 6749 §4.1.2, and RFC 9207's.
#[derive(Default)]
struct Answer {
    state: String,
    code: Option<Secret<String>>,
    error: Option<String>,
    description: Option<String>,
    iss: Option<String>,
}

impl Answer {
    fn read(query: &str) -> Self {
        let mut answer = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "state" => answer.state = value.into_owned(),
                "code" => answer.code = Some(Secret::new(value.into_owned())),
                "error" => answer.error = Some(value.into_owned()),
                // Of two that differ neither is believed.
                "iss" if answer.iss.as_ref().is_some_and(|iss| *iss != *value) => answer.iss = Some(String::new()),
                "iss" => answer.iss = Some(value.into_owned()),
                "error_description" => answer.description = Some(value.into_owned()),
                _ => {}
            }
        }
        answer
    }
}

async fn callback(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let answer = Answer::read(query.as_deref().unwrap_or_default());
    let session = session(&headers, cookie_name(&app));
    let Some(back) = app.consents.come_back(&answer.state, session) else {
        let text = "It is not the answer to a consent that began in this browser, or it came after ten minutes, or for the second time. Nothing was changed. `flowcell connection connect NAME` begins anew.";
        return forget(&app, page(StatusCode::BAD_REQUEST, &message("This cannot be accepted", text)));
    };
    let name = back.place.1.clone();
    let refused = |what: &str| {
        let text = format!("`{name}` was not connected: {what}. Nothing was changed.");
        forget(&app, page(StatusCode::BAD_REQUEST, &message("Not connected", &text)))
    };
    if let Err(why) = back.is_from(answer.iss.as_deref()) {
        tracing::warn!(connection = %name, why, "an answer to a consent was refused: another server gave it");
        return refused(&format!("this is the answer of another server than the one you were sent to: {why}"));
    }
    if let Some(error) = &answer.error {
        let said = answer.description.as_deref().map_or_else(|| error.clone(), |text| format!("{error} ({text})"));
        return refused(&format!("the other side said {said}"));
    }
    let Some(code) = answer.code.filter(|code| !code.expose().is_empty()) else {
        return refused("the other side sent no code");
    };
    match app.tokens.connect(back, code, redirect(&app)).await {
        Ok(connected) => forget(&app, connected_page(&app, &connected).await),
        Err(error) => refused(&error.to_string()),
    }
}

/// Lets the runs go on that waited for it.
async fn connected_page(app: &App, Connected { stored, can_renew }: &Connected) -> Response {
    let name = &stored.connection.name;
    let mut text = format!("`{name}` is connected. You can close this page.");
    match app.reconnected(name, app.ports.clock.now()).await {
        Ok(runs) if runs.is_empty() => {}
        Ok(runs) => {
            let _ = write!(text, " Runs that waited for it go on: {}.", runs.len());
        }
        Err(error) => {
            tracing::error!(%error, connection = %name, "runs that waited for a connection could not be released");
            text.push_str(" Runs that wait for it could not be told; release them with `flowcell connection rotate`, or connect again.");
        }
    }
    if !can_renew {
        text.push_str(
            " The other side gave no refresh token, so it ends with its access token. Many services give one when offline access is asked for in `authorize_url`.",
        );
    }
    page(StatusCode::OK, &message("Connected", &text))
}

fn failed(text: &str) -> Response {
    page(StatusCode::SERVICE_UNAVAILABLE, &message("This did not work", text))
}

/// Exactly this address is registered with the other side.
fn redirect(app: &App) -> Url {
    let mut url = app.base().clone();
    url.set_path("/oauth/callback");
    url
}

/// Over TLS the prefix keeps other hosts and paths from setting it (RFC 6265bis §4.1.3.2).
fn cookie_name(app: &App) -> &'static str {
    if app.base().scheme() == "https" { "__Host-flowcell-consent" } else { "flowcell-consent" }
}

/// `Lax`: the way back is a navigation from another site, which `Strict` would leave without it.
fn cookie(app: &App, value: &str, max_age_s: u64) -> String {
    let secure = if app.base().scheme() == "https" { "; Secure" } else { "" };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}{secure}", cookie_name(app))
}

fn forget(app: &App, mut response: Response) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(&cookie(app, "", 0)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn session<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    let mut named = cookies.filter_map(|cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='));
    named.next()
}
