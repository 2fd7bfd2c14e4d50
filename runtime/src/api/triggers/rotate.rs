//! `POST /workflows/{id}/trigger/rotate-url`: gives a trigger another URL; the former one counts for as long as is said, so that senders can be
//! told without haste.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use flowcell_core::ports::{FormerHook, Hook, HookBinding, WorkflowHead};
use flowcell_core::workflow::duration;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::{App, TRIGGER_ID};
use crate::http::problem::{Kind, Problem};
use crate::ingress::late;
use crate::token::TokenHash;

/// How long a former URL counts at most: a quarter is enough for any sender.
const KEEP_MAX: Duration = Duration::from_hours(24 * 92);

/// Former URLs that count at the same time.
const FORMER_MAX: usize = 5;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// `7d`; nothing: the former URL leads nowhere from now on.
    #[serde(with = "duration::optional")]
    keep_old: Option<u64>,
}

pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<WorkflowId>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = app.bodies.read(&parts.headers, body).await?;
    let invalid = |detail: String| Problem::new(Kind::InvalidRequest, detail);
    let wanted: Wanted = if bytes.is_empty() {
        Wanted::default()
    } else {
        serde_json::from_slice(&bytes).map_err(|error| invalid(format!("The body does not fit: {error}.")))?
    };
    let keep = Duration::from_millis(wanted.keep_old.unwrap_or(0));
    if keep > KEEP_MAX {
        let days = KEEP_MAX.as_secs() / 86_400;
        return Err(invalid(format!("A former URL is kept for {days} days at most (`keep_old`).")));
    }
    let stored = super::head(&app, &id).await?;
    let (head, gone) = next(&app, stored, keep)?;
    let hook = HookBinding {
        token_hash: hash(&app, &head, head.hook_generation),
        hook: Hook { workspace: app.workspace.clone(), workflow: id.clone(), trigger: TRIGGER_ID.to_owned() },
    };
    app.ports.definitions.rotate(head.clone(), hook, gone).await?;
    app.routes.forget(&id);
    app.plugin_triggers.tell();
    let late = late::of(&app, &id).await?;
    let document = json!({
        "workflow": id,
        "url": app.hook_url(&id, head.hook_generation),
        "former_urls": super::former_urls(&app, &head, &late),
    });
    Ok(json(StatusCode::OK, &document))
}

/// The head after the rotation, and the tokens that lead nowhere then.
fn next(app: &App, stored: WorkflowHead, keep: Duration) -> Result<(WorkflowHead, Vec<[u8; 32]>), Problem> {
    let now = app.ports.clock.now();
    let mut head = stored;
    let replaced = FormerHook { generation: head.hook_generation, valid_until: now + keep };
    let all = std::iter::once(replaced).chain(std::mem::take(&mut head.former_hooks));
    let (valid, ended): (Vec<_>, Vec<_>) = all.partition(|former| now < former.valid_until);
    if valid.len() > FORMER_MAX {
        let detail = format!(
            "{FORMER_MAX} former URLs of this trigger count already, the first until {}. Wait, or replace this one without `keep_old`.",
            valid.last().map_or(now, |former| former.valid_until)
        );
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let gone = ended.iter().map(|former| hash(app, &head, former.generation)).collect();
    head.former_hooks = valid;
    head.hook_generation += 1;
    Ok((head, gone))
}

fn hash(app: &App, head: &WorkflowHead, generation: u32) -> [u8; 32] {
    TokenHash::of(&app.hook_token(&head.id, generation)).bytes()
}
