//! Lets only those requests in that prove what their trigger asks for. Without the secrets nobody comes in.

use flowcell_core::connection::CredentialError;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};

use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::recent::note::Note;
use crate::ingress::routes::Route;
use crate::ingress::verify::{Presented, Proof, Refusal, Verifier, secrets};

/// When a sender may come again while the secrets cannot be opened: their owner has to do something, or the store is busy.
const RETRY_AFTER_MS: u64 = 30_000;

/// Verifies a request before anything of it is read. What the owner is told of a refusal stands in `note`.
pub(super) async fn pass(
    app: &App,
    route: &Route,
    (headers, query, body): (&HeaderMap, &str, &[u8]),
    note: &mut Note,
) -> Result<Option<Proof>, Problem> {
    let Some(verifier) = &route.published.verifier else { return Ok(None) };
    let presented = Presented { headers, query, body, now: note.at() };
    let outcome = verify(app, route, verifier, &presented).await;
    let proof = outcome.map_err(|turned| {
        let (workflow, request) = (&route.hook.workflow, note.request_id());
        let (code, reason) = (turned.code, turned.reason.as_str());
        tracing::info!(request, %workflow, code, reason, "a request was turned away: its sender is not verified");
        note.because(turned.code, turned.reason);
        turned.problem
    })?;
    note.verified(proof);
    Ok(Some(proof))
}

/// What the sender is told, and what the owner is.
struct Turned {
    problem: Problem,
    code: &'static str,
    reason: String,
}

async fn verify(app: &App, route: &Route, verifier: &Verifier, presented: &Presented<'_>) -> Result<Proof, Turned> {
    let secrets = match verifier.secret() {
        Some(name) => secrets::of(app, &route.hook.workspace, name).await.map_err(|error| no_secret(&error))?,
        None => Vec::new(),
    };
    verifier.check(presented, &secrets).map_err(|refusal| refused(&refusal, verifier))
}

fn no_secret(error: &CredentialError) -> Turned {
    Turned { problem: unverifiable(), code: error.code(), reason: error.to_string() }
}

fn refused(refusal: &Refusal, verifier: &Verifier) -> Turned {
    let (code, reason) = (refusal.code(), refusal.to_string());
    if matches!(refusal, Refusal::UnusableSecret { .. }) {
        return Turned { problem: unverifiable(), code, reason };
    }
    // The same whatever is wrong: nobody finds a secret by trying.
    let detail = "The request does not prove who sent it in the way this trigger asks for. Nothing was stored; the reason is in the trigger's \
                  list of requests (`flowcell trigger requests`).";
    let challenge = match verifier.scheme().name() {
        "bearer" => "Bearer",
        "basic" => "Basic realm=\"trigger\", charset=\"UTF-8\"",
        _ => "Signature",
    };
    let problem =
        Problem::new(Kind::Unverified, detail).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    Turned { problem, code, reason }
}

fn unverifiable() -> Problem {
    let detail = "The request cannot be verified now, since the trigger's secret cannot be used; so it is not taken. Nothing was stored; send it \
                  again later. The owner finds the reason with `flowcell trigger requests`.";
    Problem::new(Kind::Unverifiable, detail).retry_after_ms(Some(RETRY_AFTER_MS))
}
