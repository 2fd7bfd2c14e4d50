//! `GET /workflows/{id}/requests/tail`: requests to a trigger as they come, as server-sent events; each is a `request` with the number of the
//! request as its id. After `Last-Event-ID` it goes on behind that one, as far back as requests are kept.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use flowcell_core::id::WorkflowId;
use flowcell_core::redact::RedactionRules;
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::shown;
use crate::api::query::ApiPath;
use crate::api::tail::{Pieces, answer, last_event_id, no_place, not_an_id};
use crate::app::App;
use crate::http::problem::Problem;
use crate::ingress::tally::Tally;

/// As for runs: proxies keep a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<WorkflowId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let head = super::head(&app, &id).await?;
    let rules = shown::rules(&app, &head).await?;
    let place = Arc::clone(&app.followers).try_acquire_owned().map_err(|_| no_place())?;
    let tally = app.tallies.of(&id);
    let (latest, told) = tally.recent.follow();
    let reached = match last_event_id(&headers)? {
        // A server that was started anew counts from the beginning.
        Some(text) => Some(text.parse().map_err(|_| not_an_id(text))?).filter(|id| *id <= latest).unwrap_or(0),
        None => latest,
    };
    Ok(answer(Feed { app, rules, tally, told, reached, has_begun: false, _place: place }))
}

struct Feed {
    app: Arc<App>,
    /// Those of the time when it began.
    rules: Arc<RedactionRules>,
    tally: Arc<Tally>,
    told: watch::Receiver<u64>,
    /// The number of the last request that was sent.
    reached: u64,
    has_begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Pieces for Feed {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            let mut text = String::new();
            if !std::mem::replace(&mut self.has_begun, true) {
                // So that the client sees at once that it is connected, and how long to wait before it comes again.
                text.push_str("retry: 1000\n\n");
            }
            for kept in self.tally.recent.after(self.reached) {
                self.reached = kept.number;
                let lines =
                    format!("event: request\nid: {}\ndata: {}\n\n", kept.number, shown::request(&kept, &self.rules));
                text.push_str(&lines);
            }
            if !text.is_empty() {
                return Some((Bytes::from(text), self));
            }
            tokio::select! {
                changed = self.told.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some((Bytes::from_static(b": keep-alive\n\n"), self)),
                () = self.app.closing.cancelled() => return None,
            }
        }
    }
}
