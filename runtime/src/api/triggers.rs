//! `/api/v2/workflows/{id}/trigger` and what came to it: what starts a workflow, its URLs, who is late in using the new one, the latest requests
//! and what became of them, and the one that the mapping is made against.

pub(crate) mod polled;
pub(crate) mod reference;
pub(crate) mod requests;
pub(crate) mod rotate;
mod shown;
pub(crate) mod tail;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use flowcell_core::ports::{LateCallers, WorkflowHead};
use flowcell_core::workflow::{TriggerKind, Verify};
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::http::problem::{Kind, Problem};
use crate::ingress::late;
use crate::ingress::published::Published;

/// `GET /workflows/{id}/trigger`
pub(crate) async fn show(State(app): State<Arc<App>>, ApiPath(id): ApiPath<WorkflowId>) -> Result<Response, Problem> {
    let head = head(&app, &id).await?;
    let published = Published::at(&app, &id, head.published.unwrap_or(head.latest)).await?;
    let trigger = &published.workflow.trigger;
    let mut document = json!({
        "workflow": id,
        "version": published.version,
        "is_draft": head.published.is_none(),
        "kind": trigger.key(),
        "trigger": trigger,
        "url": Value::Null,
        "since": app.tallies.since(),
    });
    let Some(fields) = document.as_object_mut() else { return Err(Problem::internal()) };
    let poll = polled::poll(&app, &head).await?;
    let takes_requests = matches!(trigger.kind, TriggerKind::Plugin { .. }) && poll.is_none();
    fields.extend(poll.map(|poll| ("poll".to_owned(), poll)));
    fields.extend(polled::subscription(&app, &head).await?.map(|one| ("subscription".to_owned(), one)));
    if takes_requests {
        fields.insert("url".to_owned(), app.hook_url(&id, head.hook_generation).into());
        fields.insert("verified".to_owned(), verified(trigger.verify.as_ref()).into());
        let late = late::of(&app, &id).await?;
        fields.insert("former_urls".to_owned(), former_urls(&app, &head, &late));
        fields.insert("previous_secret".to_owned(), json!(late.previous_secret));
    }
    if let Value::Object(tally) = published.tally.view() {
        fields.extend(tally);
    }
    Ok(json(StatusCode::OK, &document))
}

/// By what a sender is believed.
fn verified(verify: Option<&Verify>) -> &'static str {
    match verify {
        None => "url-only",
        Some(Verify::Unsigned) => "unsigned",
        Some(Verify::By(scheme)) => scheme.name(),
    }
}

/// The URLs that were replaced, how long they count, and who calls them yet.
fn former_urls(app: &App, head: &WorkflowHead, late: &LateCallers) -> Value {
    let now = app.ports.clock.now();
    let urls = head.former_hooks.iter().map(|former| {
        let used = late.urls.get(&former.generation).copied().unwrap_or_default();
        json!({
            "generation": former.generation,
            "url": app.hook_url(&head.id, former.generation),
            "valid_until": former.valid_until,
            "is_valid": now < former.valid_until,
            "count": used.count,
            "last_at": used.last_at,
        })
    });
    urls.collect()
}

/// What the store knows of the workflow.
async fn head(app: &App, id: &WorkflowId) -> Result<WorkflowHead, Problem> {
    app.ports.definitions.head(&app.workspace, id).await?.ok_or_else(|| {
        let detail = format!("There is no workflow `{id}`. `flowcell workflow list` prints those there are.");
        Problem::new(Kind::NotFound, detail)
    })
}

#[cfg(test)]
mod tests;
