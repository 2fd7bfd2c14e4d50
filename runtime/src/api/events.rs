//! `POST /api/v2/events`: an event by name. It starts the workflows whose trigger it is, and goes on with the runs that wait for it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::{EventId, WorkflowId};
use flowcell_core::ports::Delivery;
use flowcell_core::workflow::TriggerKind;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::start::{incoming, read_json};
use crate::app::App;
use crate::entropy::id_bits;
use crate::http::problem::{Kind, Problem};
use crate::ingress::accept::Outcome;
use crate::ingress::dedupe::{Key, Sent};
use crate::ingress::published::Published;
use crate::ingress::tally::Rejected;

/// The longest name of an event: what workflow texts take (`event_name` in the schema).
const NAME_BYTES_MAX: usize = 128;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sending {
    name: String,
    #[serde(default)]
    payload: Value,
}

/// What the keys of events are told apart by from those of other deliveries.
const SOURCE: &str = "event";

/// `POST /events {name, payload}`: 202 with what it did, after that is durable. With an `Idempotency-Key` the same event twice is one.
pub(crate) async fn send(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    let document = read_json(&parts.headers, &body)?.unwrap_or(Value::Null);
    let Sending { name, payload } = serde_json::from_value(document).map_err(|error| {
        Problem::new(Kind::InvalidRequest, format!("The body has to be {{\"name\": \"…\", \"payload\": …}}: {error}."))
    })?;
    if !is_name(&name) {
        let detail = format!(
            "`name` has to be an event name: letters, digits and . _ : / -, at most {NAME_BYTES_MAX}, such as order.shipped."
        );
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    let key = Sent::new(parts.headers.clone(), &body, None).idempotency_key();
    let seen = Seen::look(&app, key.as_ref()).await?;
    let (listening, mut failed) = listening(&app, &name).await?;
    let (mut started, mut filtered) = (Vec::new(), Vec::new());
    for published in listening {
        let workflow = &published.workflow.id;
        let rule = published.workflow.trigger.dedupe.as_ref();
        let sent = Sent::new(parts.headers.clone(), &body, rule);
        let own = || sent.of_request(rule).or_else(|| sent.of_event(rule, &payload, None));
        let incoming = incoming(&published, (SOURCE, key.clone().or_else(own)), payload.clone());
        let outcome = match Outcome::start(&app, &published, incoming).await {
            Ok(outcome) => outcome,
            Err(problem) if problem.is_of_the_store() && started.is_empty() => return Err(problem),
            // One workflow's failure is not that of the others, nor of the runs that wait.
            Err(problem) => {
                let (at, status) = (app.ports.clock.now(), problem.status().as_u16());
                published.tally.rejected(Rejected {
                    at,
                    status,
                    code: problem.slug(),
                    message: problem.detail().to_owned(),
                });
                failed.push(failure(workflow, &problem));
                continue;
            }
        };
        filtered
            .extend(outcome.filtered.iter().map(|(_, because)| json!({ "workflow": workflow, "because": because })));
        started.extend(outcome.runs().map(|run| json!({ "workflow": workflow, "run_id": run })));
    }
    let resumed =
        if seen.is_done { Vec::new() } else { app.control.emit_event(&app.workspace, &name, payload).await? };
    let resumed: Vec<Value> = resumed.iter().map(|(run, step)| json!({ "run_id": run, "step": step })).collect();
    seen.done(&app, key.as_ref()).await?;
    let mut document = json!({ "event_id": seen.event, "started": started, "resumed": resumed, "filtered": filtered, "failed": failed });
    if let (true, Some(fields)) = (seen.is_duplicate, document.as_object_mut()) {
        fields.insert("duplicate".to_owned(), Value::Bool(true));
    }
    Ok(json(StatusCode::ACCEPTED, &document))
}

/// Whether a workflow could name the event.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(fits)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn failure(workflow: &WorkflowId, problem: &Problem) -> Value {
    json!({ "workflow": workflow, "detail": problem.detail() })
}

/// The published workflows whose trigger is this event, and those that cannot be read, which may have it.
async fn listening(app: &App, name: &str) -> Result<(Vec<Arc<Published>>, Vec<Value>), Problem> {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for head in app.ports.definitions.list(&app.workspace).await? {
        let Some(version) = head.published else { continue };
        match Published::at(app, &head.id, version).await {
            Ok(published) => {
                if matches!(&published.workflow.trigger.kind, TriggerKind::Event { name: own } if own == name) {
                    found.push(published);
                }
            }
            Err(problem) if problem.is_of_the_store() => return Err(problem),
            Err(problem) => failed.push(failure(&head.id, &problem)),
        }
    }
    Ok((found, failed))
}

/// Whether an event with this key came before, and whether everything that follows from it was done.
///
/// Two notes in the journal tell that: one before and one after. An event that a crash cut off between them is done when its sender repeats it;
/// runs that it started are found by the same key. Without a key nothing is noted: there is nothing to recognise it by.
struct Seen {
    event: EventId,
    is_duplicate: bool,
    is_done: bool,
}

impl Seen {
    async fn look(app: &App, key: Option<&Key>) -> Result<Self, Problem> {
        let begun = note(app, ("events", key)).await?;
        let Some(begun) = begun else {
            let event = EventId::from_parts(app.ports.clock.now(), id_bits(&*app.ports.entropy));
            return Ok(Self { event, is_duplicate: false, is_done: false });
        };
        let (event, is_duplicate) = begun;
        let is_done = is_duplicate && note(app, ("events/done", key)).await?.is_some_and(|(_, was_there)| was_there);
        Ok(Self { event, is_duplicate, is_done })
    }

    async fn done(&self, app: &App, key: Option<&Key>) -> Result<(), Problem> {
        note(app, ("events/done", key)).await.map(drop)
    }
}

/// Notes an event without runs; the first one with the key, and whether that was there before.
async fn note(app: &App, (trigger, key): (&str, Option<&Key>)) -> Result<Option<(EventId, bool)>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let now = app.ports.clock.now();
    let delivery = Delivery {
        event: EventId::from_parts(now, id_bits(&*app.ports.entropy)),
        workspace: app.workspace.clone(),
        trigger: trigger.to_owned(),
        received_at: now,
        dedupe_key: Some(key.text.clone()),
        dedupe: key.terms,
        runs: Vec::new(),
    };
    let accepted = app.ports.journal.accept(delivery).await?;
    Ok(Some((accepted.event, accepted.duplicate)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Bench, sample_workflow};

    fn listener(id: &str, more: &str) -> String {
        let trigger = format!("  event: tick\n{more}");
        sample_workflow("L")
            .replace("id: sample", &format!("id: {id}"))
            .replace("  uses: test/tools/inbound@1\n", &trigger)
    }

    #[tokio::test]
    async fn a_workflow_that_cannot_be_started_does_not_keep_the_event_from_the_others() {
        let bench = Bench::new();
        for workflow in [listener("a-broken", "  filter: trigger.n > 1\n"), listener("b-fine", "")] {
            assert_eq!(bench.api("POST", "/workflows", &workflow).await.status, 201);
        }
        let sent = bench.api("POST", "/events", r#"{"name": "tick", "payload": {}}"#).await;
        assert_eq!((sent.status, &sent.json["started"][0]["workflow"]), (202, &json!("b-fine")), "{sent:?}");
        assert_eq!(sent.json["failed"].as_array().map(Vec::len), Some(1), "{sent:?}");
        assert_eq!(sent.json["failed"][0]["workflow"], "a-broken");
        assert!(sent.json["failed"][0]["detail"].as_str().unwrap().contains("trigger.n"), "{sent:?}");
        let shown = bench.api("GET", "/workflows/a-broken/trigger", "").await;
        assert_eq!(shown.json["last_rejected"][0]["status"], 422, "{shown:?}");
    }

    #[tokio::test]
    async fn dedupe_holds_for_events() {
        let bench = Bench::new();
        assert_eq!(
            bench.api("POST", "/workflows", &listener("by-body", "  dedupe: { body: true }\n")).await.status,
            201
        );
        let send = |number: u8| {
            let (bench, body) = (&bench, format!(r#"{{"name": "tick", "payload": {number}}}"#));
            async move { bench.api("POST", "/events", &body).await.json["started"][0]["run_id"].clone() }
        };
        let (first, again, other) = (send(1).await, send(1).await, send(2).await);
        assert!(first.is_string() && first == again && first != other, "{first} {again} {other}");
    }
}
