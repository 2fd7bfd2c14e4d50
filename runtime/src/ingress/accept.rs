//! From a trigger's events to runs in the journal, and the answer that is given once they are there: what the filter lets pass starts runs,
//! and what came before starts none.

use axum::response::{IntoResponse, Response};
use flowcell_core::condition::Explanation;
use flowcell_core::id::{EventId, RunId};
use flowcell_core::invoke::TriggerEvent;
use flowcell_core::time::Timestamp;
use flowcell_engine::{Delivered, Incoming, Input};
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::config::size;
use crate::entropy::id_bits;
use crate::http::problem::{Kind, Problem};
use crate::ingress::answer;
use crate::ingress::dedupe::{Key, Sent};
use crate::ingress::published::{Asked, Published};
use crate::ingress::recent::Outcome as Noted;
use crate::ingress::recent::note::Note;
use crate::ingress::routes::Route;
use crate::ingress::tally::{Came, Filtered};

/// An event for which the filter does not hold, and why.
type KeptOut = (EventId, Explanation);

/// What a request to start runs came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) delivered: Vec<Delivered>,
    /// What the filter kept out.
    pub(crate) filtered: Vec<KeptOut>,
}

/// Events that are stored together or not at all, and by what they are recognised.
struct Group {
    key: Option<Key>,
    payloads: Vec<Value>,
}

/// Stores the events and their runs, then answers: with 202, or with what the first run has to say if the workflow's `reply` asks for that.
/// `held` is the room that the request takes in memory.
pub(crate) async fn accept(
    app: &App,
    route: &Route,
    (sent, note): (&Sent, &mut Note),
    (events, held): (Vec<TriggerEvent>, OwnedSemaphorePermit),
) -> Result<Response, Problem> {
    if events.is_empty() {
        return Ok(ignored(&route.published, note, "the trigger found no event in the request"));
    }
    if events.len() > size(app.ingress.events_max) {
        return Err(Problem::new(
            Kind::TooLarge,
            format!(
                "The request brings {} events; {} are accepted at once (`ingress.events_max` in the configuration).",
                events.len(),
                app.ingress.events_max
            ),
        ));
    }
    let now = app.ports.clock.now();
    let trigger = format!("{}/{}", route.hook.workflow, route.hook.trigger);
    let (groups, filtered) = sort(app, &route.published, sent, (now, events))?;
    let mut outcome = Outcome { delivered: Vec::new(), filtered };
    // Whoever waits has to know the run before it begins.
    let reply = route.published.workflow.trigger.reply.filter(|_| !groups.is_empty());
    let first = RunId::from_parts(now, id_bits(&*app.ports.entropy));
    let mut call = reply.and_then(|_| app.waiting.begin(first));
    for (index, Group { key, payloads }) in groups.into_iter().enumerate() {
        let ids = if index == 0 { vec![first] } else { Vec::new() };
        let (dedupe_key, dedupe) = key.map_or_else(Default::default, |key| (Some(key.text), key.terms));
        let incoming = Incoming {
            workspace: route.hook.workspace.clone(),
            workflow: route.hook.workflow.clone(),
            version: Some(route.published.version),
            // Keys of one workflow's trigger say nothing about another's.
            trigger: trigger.clone(),
            dedupe_key,
            dedupe,
            payloads,
            ids,
            input: Input::Trusted,
        };
        outcome.deliver(app, &route.published, incoming).await?;
    }
    // The events are on the disk: whoever waits for the run takes no room from other requests.
    drop(held);
    note.came(outcome.noted());
    let Some(reply) = reply else { return Ok(outcome.answer()) };
    answer::wait(app, (&outcome, reply), &mut call, note.request_id()).await
}

/// What the filter lets pass, in groups: with a key of the whole request one for all; else one for each event with a key of its own, then one
/// for all the others.
///
/// The others come last because nothing recognises them when the sender repeats a request that failed half way: by then everything
/// before them is known by its key, and they are written together or not at all.
fn sort(
    app: &App,
    published: &Published,
    sent: &Sent,
    (now, events): (Timestamp, Vec<TriggerEvent>),
) -> Result<(Vec<Group>, Vec<KeptOut>), Problem> {
    let rule = published.workflow.trigger.dedupe.as_ref();
    let whole = sent.of_request(rule);
    let (mut groups, mut keyless, mut filtered) = (Vec::new(), Vec::new(), Vec::new());
    for TriggerEvent { payload, dedupe_key } in events {
        let event = EventId::from_parts(now, id_bits(&*app.ports.entropy));
        match published.ask(now, event, payload)? {
            Asked::Filtered(because) => {
                published.tally.filtered(Filtered { event_id: event, at: now, because: because.clone() });
                filtered.push((event, because));
            }
            Asked::Passes(payload) if whole.is_some() => keyless.push(payload),
            Asked::Passes(payload) => match sent.of_event(rule, &payload, dedupe_key) {
                Some(key) => groups.push(Group { key: Some(key), payloads: vec![payload] }),
                None => keyless.push(payload),
            },
        }
    }
    if !keyless.is_empty() {
        groups.push(Group { key: whole, payloads: keyless });
    }
    Ok((groups, filtered))
}

impl Outcome {
    /// Asks the filter about one payload and starts a run with it, if it passes.
    pub(crate) async fn start(app: &App, published: &Published, incoming: Incoming) -> Result<Self, Problem> {
        let mut outcome = Self::default();
        let Incoming { payloads, .. } = incoming;
        let now = app.ports.clock.now();
        let mut passing = Vec::new();
        for payload in payloads {
            let event = EventId::from_parts(now, id_bits(&*app.ports.entropy));
            match published.ask(now, event, payload)? {
                Asked::Passes(payload) => passing.push(payload),
                Asked::Filtered(because) => {
                    published.tally.filtered(Filtered { event_id: event, at: now, because: because.clone() });
                    outcome.filtered.push((event, because));
                }
            }
        }
        if !passing.is_empty() {
            outcome.deliver(app, published, Incoming { payloads: passing, ..incoming }).await?;
        }
        Ok(outcome)
    }

    async fn deliver(&mut self, app: &App, published: &Published, incoming: Incoming) -> Result<(), Problem> {
        let delivered = app.control.deliver(incoming).await?;
        published.tally.count(if delivered.accepted.duplicate { Came::Duplicate } else { Came::Started });
        self.delivered.push(delivered);
        Ok(())
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = RunId> {
        self.delivered.iter().flat_map(|one| one.accepted.runs.iter().copied())
    }

    /// Whether everything was there already.
    pub(crate) fn is_duplicate(&self) -> bool {
        !self.delivered.is_empty() && self.delivered.iter().all(|one| one.accepted.duplicate)
    }

    /// What is said about it; the same fields wherever runs are started. It says nothing of why the filter kept something out: whoever has a
    /// webhook's URL could read from a comparison what it is compared with.
    pub(crate) fn document(&self) -> Map<String, Value> {
        let mut document = Map::new();
        let mut put = |key: &str, value: Value| drop(document.insert(key.to_owned(), value));
        let event = self.delivered.first().map(|one| one.accepted.event);
        if let (None, Some((event, _))) = (event, self.filtered.first()) {
            put("event_id", json!(event));
            put("filtered", Value::Bool(true));
            return document;
        }
        put("event_id", json!(event));
        put("run_ids", json!(self.runs().collect::<Vec<_>>()));
        if self.is_duplicate() {
            put("duplicate", Value::Bool(true));
        }
        let several = |of: fn(&Delivered) -> &Vec<RunId>| self.delivered.iter().flat_map(of).collect::<Vec<_>>();
        for (key, runs) in
            [("skipped_for", several(|one| &one.skipped_for)), ("replaced", several(|one| &one.replaced))]
        {
            if !runs.is_empty() {
                put(key, json!(runs));
            }
        }
        if !self.filtered.is_empty() {
            put("filtered_events", json!(self.filtered.len()));
        }
        document
    }

    /// The same with the filter's reasons, for those who may read the workflow.
    pub(crate) fn explained(&self) -> Map<String, Value> {
        let mut document = self.document();
        if let (true, Some((_, because))) = (self.delivered.is_empty(), self.filtered.first()) {
            document.insert("because".to_owned(), json!(because));
        }
        document
    }

    /// What is kept of it with the request.
    fn noted(&self) -> Noted {
        let run_ids = self.runs().collect();
        match (self.delivered.first(), self.filtered.first()) {
            (Some(first), _) if self.is_duplicate() => Noted::Duplicate { event_id: first.accepted.event, run_ids },
            (Some(first), _) => Noted::Started { event_id: first.accepted.event, run_ids },
            (None, Some((event_id, _))) => Noted::Filtered { event_id: *event_id },
            (None, None) => Noted::Ignored { reason: "there was no event in it".to_owned() },
        }
    }

    pub(crate) fn answer(&self) -> Response {
        self.answer_with(self.document())
    }

    pub(crate) fn answer_with(&self, document: Map<String, Value>) -> Response {
        let mut response = json_202(&Value::Object(document));
        let location = self.runs().next().map(|run| HeaderValue::from_str(&format!("/api/v2/runs/{run}")));
        if let Some(Ok(location)) = location {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

/// The trigger saw the request and wants nothing done.
pub(crate) fn ignored(published: &Published, note: &mut Note, reason: &str) -> Response {
    published.tally.count(Came::Ignored);
    note.came(Noted::Ignored { reason: reason.to_owned() });
    json_202(&json!({ "ignored": reason }))
}

/// The request came to a draft: it is kept to look at, and starts nothing.
pub(crate) fn tested(note: &mut Note, events: usize) -> Response {
    note.came(Noted::Test { events });
    json_202(&json!({ "test": true, "request_id": note.request_id(), "events": events }))
}

fn json_202(document: &Value) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (StatusCode::ACCEPTED, headers, document.to_string()).into_response()
}
