//! `POST /api/v2/plugins/{publisher}/{name}/options`: the choices for one field of an action or trigger, as its plugin knows them: the sheets of a
//! document, the columns of a sheet. The plugin may only read then. An answer is good for a while for whoever asks the same; a caller who goes away ends
//! the call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::connection::CredentialError;
use flowcell_core::id::{ConnectionName, Digest, WorkflowId};
use flowcell_core::invoke::{Disposition, InvokeError, OptionsCall};
use flowcell_core::manifest::options;
use flowcell_core::plugin::PluginId;
use flowcell_core::ports::InstalledPlugin;
use flowcell_core::time::Timestamp;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::api::json;
use crate::api::query::ApiPath;
use crate::app::App;
use crate::config::{Triggers, size};
use crate::http::problem::{Fault, Kind, Problem};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The action's or trigger's id.
    member: String,
    /// Of its input, as a JSON Pointer.
    field: String,
    /// What is filled in so far.
    #[serde(default = "nothing")]
    input: Value,
    #[serde(default)]
    connection: Option<ConnectionName>,
    #[serde(default)]
    workflow: Option<WorkflowId>,
    /// What somebody types to find a choice.
    #[serde(default)]
    search: Option<String>,
    /// The `next` of the page before.
    #[serde(default)]
    after: Option<String>,
    /// The major version of the plugin; the newest when absent.
    #[serde(default)]
    major: Option<u64>,
}

fn nothing() -> Value {
    json!({})
}

/// What somebody types is short; longer texts find nothing.
const SEARCH_BYTES_MAX: usize = 1_000;

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiPath((publisher, name)): ApiPath<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = app.bodies.read(&parts.headers, body).await?;
    let wanted: Wanted = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Kind::InvalidRequest, format!("The body does not fit: {error}.")))?;
    if wanted.search.as_ref().is_some_and(|text| text.len() > SEARCH_BYTES_MAX) {
        let detail = format!("`search` has more than {SEARCH_BYTES_MAX} bytes.");
        return Err(Problem::new(Kind::InvalidRequest, detail));
    }
    let plugin = find(&app, &format!("{publisher}/{name}"), wanted.major)?;
    let slot = check(&plugin, &wanted)?;
    let connection = wanted.connection.clone().or(slot);
    let key = key(&plugin.digest, &wanted, connection.as_ref());
    if let Some(known) = app.options.get(&key, app.ports.clock.now()) {
        return Ok(json(StatusCode::OK, &known));
    }
    // Dropped with this request: whoever has gone takes no place, and the call ends.
    let Ok(_place) = app.options.places.try_acquire() else {
        let detail = "As many choices are being asked for as the server asks for at a time (`triggers.options_max`).";
        return Err(Problem::new(Kind::Busy, detail).retry_after_ms(None));
    };
    let call = OptionsCall {
        digest: plugin.digest,
        member: wanted.member,
        workspace: app.workspace.clone(),
        workflow: wanted.workflow,
        deadline: app.ports.clock.now() + Duration::from_millis(app.triggers.options_timeout_ms),
        field: wanted.field.clone(),
        input: wanted.input,
        search: wanted.search,
        after: wanted.after,
        connection,
    };
    match app.ports.invoker.options(call).await.outcome {
        Ok(choices) => {
            app.options.put(key, &choices, app.ports.clock.now());
            Ok(json(StatusCode::OK, &choices))
        }
        Err(error) => Err(problem(&error, &wanted.field)),
    }
}

/// The newest version with this major number.
fn find(app: &App, id: &str, major: Option<u64>) -> Result<Arc<InstalledPlugin>, Problem> {
    let missing = || {
        let which = major.map_or_else(String::new, |major| format!(" in version {major}.x"));
        let detail = format!("There is no plugin `{id}`{which}. `flowcell plugin list` prints those there are.");
        Problem::new(Kind::NotFound, detail)
    };
    let id: PluginId = id.parse().map_err(|_| missing())?;
    let plugins = app.ports.catalog.list();
    let mut fitting = plugins
        .into_iter()
        .filter(|plugin| plugin.manifest.id == id && major.is_none_or(|major| plugin.manifest.version.major == major));
    fitting.next().ok_or_else(missing)
}

/// Refuses what the plugin gives no choices for, without calling it. Returns the connection that it uses where none is named.
fn check(plugin: &InstalledPlugin, wanted: &Wanted) -> Result<Option<ConnectionName>, Problem> {
    let manifest = &plugin.manifest;
    let action = manifest.action(&wanted.member).map(|action| &action.input);
    let schema = action.or_else(|| manifest.trigger(&wanted.member).map(|trigger| &trigger.config));
    let Some(schema) = schema else {
        let detail = format!("Plugin `{}` has no action or trigger `{}`.", manifest.id, wanted.member);
        return Err(Problem::new(Kind::NotFound, detail));
    };
    let Some(needed) = options::depends_on(schema, &wanted.field) else {
        let detail = format!(
            "The field `{}` of `{}` does not get its choices from the plugin: its schema has no `{}`.",
            wanted.field,
            wanted.member,
            options::KEYWORD
        );
        return Err(Problem::new(Kind::NotFound, detail));
    };
    let is_missing = |pointer: &&str| {
        wanted.input.pointer(pointer).is_none_or(|value| value.is_null() || *value == Value::String(String::new()))
    };
    let faults: Vec<Fault> = needed
        .into_iter()
        .filter(is_missing)
        .map(|pointer| Fault {
            pointer: pointer.to_owned(),
            message: format!("`{pointer}` is to be filled in first"),
            ..Fault::default()
        })
        .collect();
    if let Some(first) = faults.first() {
        let detail = format!("{}: the choices for `{}` depend on it.", first.message, wanted.field);
        return Err(Problem::new(Kind::InvalidInput, detail).with_errors(faults));
    }
    Ok(manifest.slot(&wanted.member).and_then(|slot| slot.default.clone()))
}

/// What two questions have in common that have the same answer.
fn key(digest: &Digest, wanted: &Wanted, connection: Option<&ConnectionName>) -> Digest {
    let Wanted { member, field, input, search, after, .. } = wanted;
    let parts = (digest, member, field, input, search, after, connection);
    Digest::of(&serde_json::to_vec(&parts).unwrap_or_default())
}

/// How a failure looks to whoever fills in a form. `asked` is the field whose choices were asked for.
fn problem(error: &InvokeError, asked: &str) -> Problem {
    let field = error.field();
    let fault = |pointer: &str| Fault { pointer: pointer.to_owned(), message: error.to_string(), ..Fault::default() };
    match error {
        InvokeError::Connection(CredentialError::Unavailable { retry_after_ms, .. }) => {
            Problem::new(Kind::Busy, format!("{error}.")).retry_after_ms(*retry_after_ms)
        }
        InvokeError::Connection(_) => Problem::new(Kind::ConnectionNeeded, format!("{error}.")),
        error if error.is_unauthorized() => {
            let detail = format!(
                "The other side refuses the connection: {error}. Its owner can give it another secret or consent again."
            );
            Problem::new(Kind::ConnectionNeeded, detail)
        }
        InvokeError::InvalidInput { .. } => Problem::new(Kind::InvalidInput, format!("{error}."))
            .with_errors(vec![fault(field.as_deref().unwrap_or(asked))]),
        error if field.is_some() => Problem::new(Kind::InvalidInput, format!("{error}."))
            .with_errors(field.iter().map(|field| fault(field)).collect()),
        error => match error.disposition() {
            Disposition::Transient { after_ms } => {
                Problem::new(Kind::Busy, format!("The choices cannot be had now: {error}.")).retry_after_ms(after_ms)
            }
            Disposition::Permanent => {
                tracing::warn!(%error, code = error.code(), "a plugin gives no choices");
                Problem::new(Kind::NoOptions, format!("{error}.")).with_errors(vec![fault(asked)])
            }
        },
    }
}

/// Answers of plugins that are good for a while yet, and places for those who ask.
pub(crate) struct OptionsCache {
    kept: Duration,
    places: Semaphore,
    answers: Mutex<HashMap<Digest, (Timestamp, Value)>>,
}

/// Answers are a page of choices, mostly below 50 KiB: some 6 MiB in all.
const ANSWERS_MAX: usize = 128;

/// Larger answers are not kept: many of them would be.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

impl OptionsCache {
    pub(crate) fn new(settings: &Triggers) -> Self {
        Self {
            kept: Duration::from_millis(settings.options_kept_ms),
            places: Semaphore::new(size(settings.options_max)),
            answers: Mutex::default(),
        }
    }

    fn get(&self, key: &Digest, now: Timestamp) -> Option<Value> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).filter(|(until, _)| now < *until).map(|(_, answer)| answer.clone())
    }

    fn put(&self, key: Digest, answer: &Value, now: Timestamp) {
        if answer.to_string().len() > ANSWER_BYTES_MAX {
            return;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|_, (until, _)| now < *until);
        if answers.len() >= ANSWERS_MAX {
            let oldest = answers.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| *key);
            oldest.and_then(|key| answers.remove(&key));
        }
        answers.insert(key, (now + self.kept, answer.clone()));
    }
}

impl fmt::Debug for OptionsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OptionsCache").field("kept", &self.kept).finish_non_exhaustive()
    }
}
