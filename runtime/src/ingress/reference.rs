//! The mapping reference: requests that came, as the workflow's steps would see them, and the schema that fits them all.

use std::sync::Arc;

use flowcell_core::infer::schema_of;
use flowcell_core::invoke::{WebhookOutcome, WebhookRequest};
use flowcell_core::ports::Reference;
use serde_json::Value;

use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::call;
use crate::ingress::recent::{Kept, Outcome};
use crate::ingress::routes::Route;

/// Requests that one reference is made of: a handful shows which fields may be missing.
pub(crate) const REQUESTS_MAX: usize = 20;

/// What the samples of one reference may take in the store, in bytes.
const SAMPLES_BYTES_MAX: usize = 1024 * 1024;

/// Makes a reference of these requests and stores it. The trigger's plugin is asked again what each of them means; no run starts.
pub(crate) async fn save(app: &App, route: &Route, requests: &[Arc<Kept>]) -> Result<Reference, Problem> {
    let (mut samples, mut bytes) = (Vec::new(), 0);
    for kept in requests {
        for sample in samples_of(app, route, kept).await? {
            bytes += sample.to_string().len();
            samples.push(sample);
        }
        if bytes > SAMPLES_BYTES_MAX {
            let detail = format!(
                "The requests have {bytes} bytes of JSON up to `{}`; a reference takes {SAMPLES_BYTES_MAX}. Choose fewer or smaller ones.",
                kept.id
            );
            return Err(Problem::new(Kind::InvalidRequest, detail));
        }
    }
    let reference = Reference {
        workspace: app.workspace.clone(),
        workflow: route.hook.workflow.clone(),
        saved_at: app.ports.clock.now(),
        requests: requests.iter().map(|kept| kept.id.clone()).collect(),
        schema: schema_of(&samples),
        samples,
    };
    app.ports.triggers.put_reference(reference.clone()).await?;
    Ok(reference)
}

/// The latest requests that can be part of a reference.
pub(crate) fn usable(kept: &Kept) -> bool {
    kept.is_whole()
        && matches!(
            kept.outcome,
            Outcome::Started { .. } | Outcome::Duplicate { .. } | Outcome::Filtered { .. } | Outcome::Test { .. }
        )
}

async fn samples_of(app: &App, route: &Route, kept: &Kept) -> Result<Vec<Value>, Problem> {
    let refused = |why: &str| {
        Problem::new(Kind::InvalidRequest, format!("The request `{}` cannot be the reference: {why}.", kept.id))
    };
    if !kept.is_whole() {
        return Err(refused("its body is longer than what is kept of it; send a smaller one"));
    }
    if matches!(kept.outcome, Outcome::Rejected { .. }) {
        return Err(refused("it was refused, so nobody knows who sent it"));
    }
    let request = WebhookRequest {
        method: kept.method.as_str().to_owned(),
        path: kept.path.clone(),
        query: kept.query.clone(),
        headers: kept.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: kept.body.to_vec(),
    };
    match call(app, route, &kept.id, request).await? {
        WebhookOutcome::Events(events) if !events.is_empty() => {
            Ok(events.into_iter().map(|event| event.payload).collect())
        }
        WebhookOutcome::Events(_) => Err(refused("the trigger finds no event in it")),
        WebhookOutcome::Ignore { reason } => {
            Err(refused(&format!("the trigger wants nothing done with it ({reason})")))
        }
        WebhookOutcome::Reply { status, .. } => {
            Err(refused(&format!("the trigger answers it itself (status {status})")))
        }
    }
}
