//! One request to a token endpoint (RFC 6749 §3.2), through the door like everything that leaves: the address policy and the limits hold here too.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use flowcell_core::capability::{Grant, HttpCapability, HttpRule, Rights, StepScope};
use flowcell_core::connection::{ClientAuthentication, OauthClient};
use flowcell_core::ports::Clock;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use flowcell_sandbox::egress::{Budget, CallPass, Door, OutboundRequest, OutboundResponse};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::super::document::OauthSecret;

/// A token endpoint that takes longer does not work; a step waits for it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Tokens have some 4 KiB at most; an answer that is larger is none.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The longest lifetime that is believed. A year: some services say so, and a number beyond it is a mistake.
const LIFETIME_MAX: Duration = Duration::from_hours(366 * 24);

pub(super) struct Endpoint {
    door: Door,
    clock: Arc<dyn Clock>,
}

/// What a token endpoint gives.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) access_token: Secret<String>,
    pub(super) refresh_token: Option<Secret<String>>,
    /// Absent: it did not say.
    pub(super) lifetime: Option<Duration>,
}

/// Why it gives nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Asking again will not help: the owner has to.
    ForGood(String),
    ForNow {
        reason: String,
        retry_after_ms: Option<u64>,
    },
}

pub(super) type Form = Vec<(&'static str, Secret<String>)>;

impl Endpoint {
    pub(super) fn new(door: Door, clock: Arc<dyn Clock>) -> Self {
        Self { door, clock }
    }

    pub(super) async fn ask(&self, client: &OauthClient, secret: &OauthSecret, form: Form) -> Result<Granted, Refusal> {
        let rights = rights(&client.token_url).map_err(Refusal::ForGood)?;
        let now = self.clock.now();
        let budget = Budget { requests: 1, ..Budget::default() };
        // Nobody takes its record: the exchange is full of secrets.
        let pass = CallPass::new(Arc::new(rights), StepScope::default(), now + TIMEOUT, budget);
        let (headers, body) = written(client, secret, &form);
        let request = OutboundRequest {
            method: "POST".to_owned(),
            url: client.token_url.to_string(),
            headers,
            body: body.into(),
            timeout: Some(TIMEOUT),
        };
        let host = client.token_url.host_str().unwrap_or_default().to_owned();
        match self.door.send(&pass, request).await {
            Ok(answer) => read(&without_echo(answer, secret, &form), &host, self.clock.now()),
            Err(error) if error.retryable => Err(Refusal::ForNow {
                reason: format!("its token endpoint at {host} does not answer: {}", error.message),
                retry_after_ms: None,
            }),
            Err(error) => Err(Refusal::ForNow {
                reason: format!("its token endpoint at {host} cannot be asked: {}", error.message),
                retry_after_ms: Some(60_000),
            }),
        }
    }
}

/// Shorter ones stand in ordinary words, and are no secrets.
const MASKED_BYTES_MIN: usize = 4;

/// The answer without what was sent to get it: the words of a refusal are written down and shown.
fn without_echo(answer: OutboundResponse, secret: &OauthSecret, form: &Form) -> OutboundResponse {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { return answer };
    let sent = form.iter().filter(|(name, _)| *name != "grant_type" && *name != "redirect_uri").map(|(_, value)| value);
    let held = [&secret.client_secret, &secret.access_token, &secret.refresh_token];
    let secrets: Vec<&String> = sent.chain(held.into_iter().flatten()).map(Secret::expose).collect();
    for name in ["error", "error_description"] {
        let Some(serde_json::Value::String(text)) = document.get_mut(name) else { continue };
        for value in secrets.iter().filter(|value| value.len() >= MASKED_BYTES_MIN) {
            let encoded: String = byte_serialize(value.as_bytes()).collect();
            for shown in [*value, &encoded, &BASE64.encode(value.as_bytes())] {
                *text = text.replace(shown.as_str(), "•••");
            }
        }
    }
    if document.get("error").is_none_or(serde_json::Value::is_null) {
        return answer; // it is not shown, and a token in it is what was asked for
    }
    OutboundResponse { body: document.to_string().into_bytes().into(), ..answer }
}

/// The origin: paths may hold what a rule cannot say, and nothing else is sent with these rights.
fn rights(url: &Url) -> Result<Rights, String> {
    let rule = HttpRule::parse(&format!("POST {}", url.origin().ascii_serialization()));
    let rule = rule.map_err(|error| format!("its token_url cannot be used: {error}"))?;
    let plugin: flowcell_core::plugin::PluginId =
        "flowcell/connections".parse().map_err(|_| "this is a defect of Flowcell".to_owned())?;
    let asked = vec![HttpCapability { reason: String::new(), from_input: None, hosts: vec![rule] }];
    let grants = [Grant::as_asked(plugin.clone(), &asked)];
    Ok(Rights::new(plugin, asked, &grants))
}

/// The headers and the body of the request.
fn written(client: &OauthClient, secret: &OauthSecret, form: &Form) -> (Vec<(String, String)>, Vec<u8>) {
    let mut headers = vec![
        ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
        ("accept".to_owned(), "application/json".to_owned()),
    ];
    let mut body = Serializer::new(String::new());
    for (name, value) in form {
        body.append_pair(name, value.expose());
    }
    if !client.scopes.is_empty() && form.iter().any(|(_, value)| value.expose() == "client_credentials") {
        body.append_pair("scope", &client.scopes.join(" "));
    }
    for (name, value) in &client.parameters {
        body.append_pair(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str());
    }
    let client_secret = secret.client_secret.as_ref().map_or("", |secret| secret.expose().as_str());
    match client.authentication {
        ClientAuthentication::ClientSecretBasic => {
            // RFC 6749 §2.3.1: both are form-encoded first.
            let encode = |text: &str| Zeroizing::new(byte_serialize(text.as_bytes()).collect::<String>());
            let pair = Zeroizing::new(format!("{}:{}", *encode(&client.client_id), *encode(client_secret)));
            headers.push(("authorization".to_owned(), format!("Basic {}", BASE64.encode(pair.as_bytes()))));
        }
        ClientAuthentication::ClientSecretPost => {
            body.append_pair("client_id", &client.client_id);
            body.append_pair("client_secret", client_secret);
        }
        ClientAuthentication::None if client.client_id.is_empty() => {}
        ClientAuthentication::None => {
            body.append_pair("client_id", &client.client_id);
        }
    }
    (headers, body.finish().into_bytes())
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
}

fn read(answer: &OutboundResponse, host: &str, now: Timestamp) -> Result<Granted, Refusal> {
    let for_now = |reason: String| Refusal::ForNow { reason, retry_after_ms: retry_after(answer, now) };
    if answer.body.len() > ANSWER_BYTES_MAX {
        return Err(for_now(format!(
            "its token endpoint at {host} answers {} bytes, which are no token",
            answer.body.len()
        )));
    }
    let parsed = serde_json::from_slice::<Answer>(&answer.body);
    match answer.status {
        // Some services refuse so.
        200..=299 => {
            if let Ok(Answer { error: Some(code), access_token: None, error_description, .. }) = &parsed {
                return Err(refused(host, (code, error_description.as_deref()), for_now));
            }
        }
        408 | 425 | 429 | 500.. => {
            return Err(for_now(format!("its token endpoint at {host} answered {}", answer.status)));
        }
        status @ 300..=399 => {
            let reason = format!(
                "its token endpoint at {host} answered {status}, a redirect, which is not followed: the address it leads to belongs into `token_url`"
            );
            return Err(Refusal::ForGood(reason));
        }
        status => {
            if let Ok(Answer { error: Some(code), error_description, .. }) = &parsed {
                return Err(refused(host, (code, error_description.as_deref()), for_now));
            }
            // A proxy, a firewall, a page that moved: not the words of an authorization server (RFC 6749 §5.2), and no reason to give a consent up.
            let retry_after_ms = retry_after(answer, now).or(Some(UNEXPLAINED_RETRY_MS));
            let reason = format!(
                "its token endpoint at {host} answered {status} without an OAuth error; is `token_url` right, and does something stand in between?"
            );
            return Err(Refusal::ForNow { reason, retry_after_ms });
        }
    }
    let unreadable = || for_now(format!("its token endpoint at {host} answered something that is no token"));
    let parsed = parsed.map_err(|_| unreadable())?;
    let secret = |token: Option<String>| token.map(Secret::new).filter(|token| !token.expose().is_empty());
    let (access_token, refresh_token) = (secret(parsed.access_token), secret(parsed.refresh_token));
    let access_token = access_token.filter(|token| is_token(token.expose())).ok_or_else(unreadable)?;
    if let Some(kind) = parsed.token_type.filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(Refusal::ForGood(format!(
            "{host} gives tokens of the type `{}`; only Bearer is spoken here",
            plain(&kind)
        )));
    }
    let lifetime = parsed.expires_in.and_then(|seconds| match seconds {
        serde_json::Value::Number(number) => number.as_u64(),
        // Some services write it as text.
        serde_json::Value::String(text) => text.parse().ok(),
        _ => None,
    });
    Ok(Granted {
        access_token,
        refresh_token,
        lifetime: lifetime.map(|seconds| Duration::from_secs(seconds).min(LIFETIME_MAX)),
    })
}

/// When an endpoint is asked again that refused without saying why. A minute: somebody may be mending it.
const UNEXPLAINED_RETRY_MS: u64 = 60_000;

/// What an error of RFC 6749 §5.2 means.
fn refused(host: &str, (code, description): (&str, Option<&str>), for_now: impl Fn(String) -> Refusal) -> Refusal {
    // Codes of the authorization endpoint that services answer here too.
    if matches!(code, "temporarily_unavailable" | "server_error" | "slow_down") {
        return for_now(format!("its token endpoint at {host} says {code}"));
    }
    let description = description.map_or_else(String::new, |text| format!(" ({})", plain(text)));
    Refusal::ForGood(format!("{host} refuses to give a token: {}{description}", plain(code)))
}

/// Whether it can stand in a header.
fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Words of the other side, fit for a message.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The longest wait that a token endpoint can ask for: beyond an hour somebody may have mended it.
const RETRY_AFTER_MAX_S: u64 = 3_600;

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(answer: &OutboundResponse, now: Timestamp) -> Option<u64> {
    let (_, value) = answer.headers.iter().find(|(name, _)| name == "retry-after")?;
    let value = value.trim();
    let seconds = value.parse::<u64>().ok().or_else(|| {
        let at = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(at.as_secs().saturating_sub(now.as_millis() / 1_000))
    });
    seconds.map(|seconds| seconds.min(RETRY_AFTER_MAX_S) * 1_000)
}

#[cfg(test)]
mod tests;
