//! `/api/v2/workflows`: apply a workflow file, list, show.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flowcell_core::id::WorkflowId;
use flowcell_core::ports::{WorkflowHead, WorkflowVersion};
use flowcell_core::workflow::duration;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::trigger::{Trigger, TriggerKind};
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery, PageQuery};
use crate::app::{App, TRIGGER_ID};
use crate::http::problem::{Fault, Kind, Problem};
use crate::ingress::published::Published;
use crate::plugin_triggers::{What, asked};
use crate::publish::{self, Intent, PublishError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyQuery {
    #[serde(default)]
    draft: bool,
}

/// `POST /workflows?draft=true|false`, the file as the body: 201 for a new version, 200 when nothing changed.
pub(crate) async fn apply(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ApplyQuery>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    check_content_type(request.headers())?;
    let (parts, body) = request.into_parts();
    let bytes = app.bodies.read(&parts.headers, body).await?;
    let source = std::str::from_utf8(&bytes).map_err(|error| {
        let detail = format!("The workflow is not UTF-8 text; the first {} bytes are.", error.valid_up_to());
        Problem::new(Kind::InvalidRequest, detail)
    })?;
    let intent = if query.draft { Intent::Draft } else { Intent::Publish };
    let applied = publish::apply(&app, source, intent).await?;
    let status = if applied.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut document = view(&app, &applied.head, applied.version).await?;
    if let Some(fields) = document.as_object_mut() {
        let warnings: Vec<Fault> = applied.warnings.into_iter().map(Fault::from).collect();
        fields.insert("warnings".to_owned(), json!(warnings));
        fields.extend(applied.cursor.map(|cursor| ("cursor".to_owned(), json!(cursor))));
    }
    let mut response = json(status, &document);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v2/workflows/{}", applied.head.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `GET /workflows?cursor=&limit=`: by id.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<PageQuery>,
) -> Result<Response, Problem> {
    let heads = app.ports.definitions.list(&app.workspace).await?;
    let page = query.cut(heads, |head| head.id.to_string())?;
    let mut workflows = Vec::with_capacity(page.items.len());
    for head in &page.items {
        workflows.push(view(&app, head, current(head)).await?);
    }
    Ok(json(StatusCode::OK, &json!({ "workflows": workflows, "next_cursor": page.next })))
}

/// `GET /workflows/{id}`: the version that runs, or the newest draft; `?version=n` for another.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<WorkflowId>,
    ApiQuery(query): ApiQuery<ShowQuery>,
) -> Result<Response, Problem> {
    let missing =
        |what: String| Problem::new(Kind::NotFound, format!("{what} `flowcell workflow list` prints those there are."));
    let head = app.ports.definitions.head(&app.workspace, &id).await?;
    let head = head.ok_or_else(|| missing(format!("There is no workflow `{id}`.")))?;
    let number = query.version.unwrap_or_else(|| current(&head));
    let version = app.ports.definitions.version(&app.workspace, &id, number).await?;
    let version = version
        .ok_or_else(|| missing(format!("Workflow `{id}` has no version {number}; the newest is {}.", head.latest)))?;
    Ok(json(StatusCode::OK, &detailed(view(&app, &head, version.version).await?, &version)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShowQuery {
    version: Option<u32>,
}

/// The version to speak of: the one that runs, or the newest draft.
fn current(head: &WorkflowHead) -> u32 {
    head.published.unwrap_or(head.latest)
}

/// What starts the runs of a version. Only what requests can start has a URL.
async fn trigger(app: &App, head: &WorkflowHead, number: u32) -> Result<Value, Problem> {
    let is_published = head.published == Some(number);
    let version =
        if is_published { None } else { app.ports.definitions.version(&app.workspace, &head.id, number).await? };
    let asks = match &version {
        Some(version) => asked(version, &*app.ports.catalog).ok().flatten().map(Arc::new),
        None => app.plugin_triggers.of(head).await?,
    };
    let published = if is_published { Published::at(app, &head.id, number).await.ok() } else { None };
    let draft = version.and_then(|version| Authored::parse(&version.source).ok());
    let trigger = published.as_ref().map(|published| &published.workflow.trigger);
    let trigger = trigger.or(draft.as_ref().map(|draft| &draft.workflow.trigger));
    let mut shown = json!({ "id": TRIGGER_ID, "kind": trigger.map(Trigger::key) });
    if let (Some(TriggerKind::Plugin { .. }), Some(fields)) = (trigger.map(|it| &it.kind), shown.as_object_mut()) {
        // One that asks its provider takes no requests.
        match asks.map(|asked| asked.what) {
            Some(What::Poll { every }) => {
                let every = duration::format(u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
                fields.insert("every".to_owned(), every.into());
            }
            Some(What::Subscription) | None => {
                fields.insert("url".to_owned(), app.hook_url(&head.id, head.hook_generation).into());
            }
        }
    }
    Ok(shown)
}

async fn view(app: &App, head: &WorkflowHead, version: u32) -> Result<Value, Problem> {
    let trigger = trigger(app, head, version).await?;
    Ok(json!({
        "id": head.id,
        "name": head.name,
        "version": version,
        "status": if head.published == Some(version) { "published" } else { "draft" },
        "published_version": head.published,
        "latest_version": head.latest,
        "updated_at": head.updated_at,
        "triggers": [trigger],
    }))
}

fn detailed(view: Value, version: &WorkflowVersion) -> Value {
    let mut document = view;
    let plugins: Vec<Value> = version
        .pins
        .iter()
        .map(|(uses, pin)| json!({ "uses": uses, "id": pin.plugin, "version": pin.version, "digest": pin.digest }))
        .collect();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("created_at".to_owned(), json!(version.created_at));
        fields.insert("plugins".to_owned(), Value::Array(plugins));
        fields.insert("source".to_owned(), Value::String(version.source.clone()));
    }
    document
}

/// Workflow files are YAML, of which JSON is a part; a missing type is taken for one of them.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    const KNOWN: [&str; 6] =
        ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "application/json", "text/plain"];
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if KNOWN.contains(&essence.as_str()) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::UnsupportedMediaType,
        format!("A workflow is sent as `application/yaml` or `application/json`, not as `{essence}`."),
    ))
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Invalid(faults) => {
                let detail = match faults.as_slice() {
                    [only] => format!("{}.", only.message),
                    several => {
                        format!("There are {} problems in it; `errors` lists them with their places.", several.len())
                    }
                };
                let errors = faults.into_iter().map(Fault::from).collect();
                Self::new(Kind::InvalidWorkflow, detail).with_errors(errors)
            }
            error @ PublishError::UnusablePlugin { .. } => Self::new(Kind::UnusablePlugin, format!("{error}.")),
            PublishError::Store(error) => error.into(),
        }
    }
}

impl From<flowcell_core::workflow::problem::Problem> for Fault {
    fn from(problem: flowcell_core::workflow::problem::Problem) -> Self {
        Self {
            line: Some(problem.line as u64),
            column: Some(problem.column as u64),
            pointer: problem.pointer,
            message: problem.message,
            help: problem.help,
        }
    }
}
