//! `POST /api/v2/connections/{name}/test`: one request with the credentials, through the door, to see whether the other side takes them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::capability::{Grant, HttpCapability, HttpRule, Rights, StepScope};
use flowcell_core::connection::{CredentialError, Kind as ConnectionKind, Outgoing, StoredConnection};
use flowcell_core::id::ConnectionName;
use flowcell_core::plugin::PluginId;
use flowcell_sandbox::egress::{Budget, CallPass, OutboundRequest};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::read;
use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::connections::WriteError;
use crate::entropy::id_bits;
use crate::http::problem::{Kind, Problem};

/// How long a trial takes at most: somebody waits for it.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// Absent for what is not used with HTTP.
    #[serde(default)]
    url: Option<Url>,
    #[serde(default = "get")]
    method: String,
}

fn get() -> String {
    "GET".to_owned()
}

/// Says how the request was answered, and nothing of the answer but its status: a body may hold anything.
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    ApiPath(name): ApiPath<ConnectionName>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let trial: Trial = read(&app, request).await?;
    let stored = app.connections.get(&app.workspace, &name).await?;
    let stored = stored.ok_or(WriteError::Unknown(name))?;
    if matches!(stored.connection.kind, ConnectionKind::Smtp { .. }) {
        return Ok(json(StatusCode::OK, &sign_in(&app, &stored).await));
    }
    let Some(url) = trial.url else {
        let detail = "Say where to send the request (`url`): an address that the connection is bound to.";
        return Err(Problem::new(Kind::InvalidRequest, detail));
    };
    let authorizer = match app.tokens.authorizer_for_owner(stored.clone()).await {
        Ok(authorizer) => authorizer,
        Err(error @ CredentialError::Sealed { .. }) => return Err(WriteError::Sealed(error).into()),
        // Its token endpoint gives none: that is what somebody wants to know who tries it out.
        Err(error) => {
            return Ok(json(StatusCode::OK, &json!({ "is_accepted": false, "message": format!("{error}.") })));
        }
    };
    let now = app.ports.clock.now();
    let message_id = format!("msg_test_{:032x}", id_bits(&*app.ports.entropy));
    let outgoing = Outgoing { method: &trial.method, url: &url, body: b"", message_id: &message_id, now };
    if !authorizer.is_bound_to(&outgoing) {
        let hosts: Vec<String> = stored.connection.bound.hosts.iter().map(ToString::to_string).collect();
        let detail = format!(
            "The connection is not bound to {} {}, so the request would go without its credentials. It is bound to: {}.",
            trial.method,
            url.origin().ascii_serialization(),
            hosts.join("; ")
        );
        return Err(Problem::new(Kind::InvalidConnection, detail));
    }
    let budget = Budget { requests: 1, ..Budget::default() };
    let rights = Arc::new(rights(&stored, &url)?);
    let pass =
        CallPass::new(rights, StepScope::default(), now + TIMEOUT, budget).with_authorizer(authorizer, message_id);
    let request = OutboundRequest {
        method: trial.method.clone(),
        url: url.to_string(),
        timeout: Some(TIMEOUT),
        ..OutboundRequest::default()
    };
    let document = match app.door.send(&pass, request).await {
        Ok(answer) => answered(answer.status),
        Err(error) => match pass.take_credential_error() {
            Some(error) => json!({ "is_accepted": false, "message": format!("{error}.") }),
            None => json!({ "is_accepted": false, "message": format!("No answer came: {}.", error.message) }),
        },
    };
    Ok(json(StatusCode::OK, &document))
}

/// Signs in to the mail server, and sends nothing.
async fn sign_in(app: &App, stored: &StoredConnection) -> Value {
    match app.mailer.try_out(stored, app.ports.clock.now() + TIMEOUT).await {
        Ok(()) => {
            json!({ "is_accepted": true, "message": "The mail server takes the user name and password. Nothing was sent." })
        }
        Err(failure) => json!({ "is_accepted": false, "message": format!("{}.", failure.message) }),
    }
}

/// Whether the credentials were taken: 401 and 403 say no, a failure of the other side says nothing.
fn answered(status: u16) -> Value {
    let (is_accepted, what) = match status {
        401 => (false, "the other side does not take the credentials"),
        403 => (false, "the other side knows the credentials, or not, and does not allow this request"),
        407 => (false, "a proxy in between wants credentials of its own"),
        300..=399 => (true, "a redirect; the credentials are not sent on to where it leads"),
        500.. => (false, "the other side failed, which says nothing about the credentials"),
        404 => (true, "there is nothing at this address; the credentials were not refused"),
        _ => (true, "the credentials were not refused"),
    };
    json!({ "is_accepted": is_accepted, "status": status, "message": format!("{status}: {what}.") })
}

/// As much as the connection is bound to; where one that only signs may go anywhere, this one address.
fn rights(stored: &StoredConnection, url: &Url) -> Result<Rights, Problem> {
    let plugin: PluginId = "flowcell/connections".parse().map_err(|_| Problem::internal())?;
    let bound = &stored.connection.bound.hosts;
    let hosts =
        if bound.is_empty() {
            let rule = HttpRule::parse(&url.origin().ascii_serialization());
            vec![rule.map_err(|error| {
                Problem::new(Kind::InvalidConnection, format!("The address cannot be used: {error}."))
            })?]
        } else {
            bound.clone()
        };
    let asked = vec![HttpCapability { reason: String::new(), from_input: None, hosts }];
    let grants = [Grant::as_asked(plugin.clone(), &asked)];
    Ok(Rights::new(plugin, asked, &grants))
}
