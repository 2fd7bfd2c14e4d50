//! `/api/v2/key-values`: what plugins keep between calls, for whoever operates the workspace.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::host_call::key_value::{Expected, Namespace, Request};
use flowcell_core::id::WorkflowId;
use flowcell_core::key_value::{Space, StoredValue, ValueWrite};
use flowcell_core::plugin::PluginId;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiQuery, PageQuery};
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// Of which plugin; with `key`, which value.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    plugin: PluginId,
    /// Absent: what all workflows share.
    workflow: Option<WorkflowId>,
    key: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    plugin: Option<PluginId>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// `GET /key-values?plugin=&cursor=&limit=`: by plugin, workflow and key; without the values themselves.
pub(crate) async fn list(State(app): State<Arc<App>>, ApiQuery(filter): ApiQuery<Filter>) -> Result<Response, Problem> {
    let now = app.ports.clock.now();
    let mut all = app.ports.values.values(&app.workspace, filter.plugin.as_ref()).await?;
    all.retain(|stored| stored.entry.is_there(now));
    let name = |stored: &StoredValue| {
        let workflow = stored.space.workflow.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{}#{workflow}#{}", stored.space.plugin, stored.key)
    };
    let page = PageQuery::new(filter.cursor, filter.limit).cut(all, name)?;
    let values: Vec<Value> = page.items.iter().map(view).collect();
    Ok(json(StatusCode::OK, &json!({ "key_values": values, "next_cursor": page.next })))
}

/// `GET /key-values/value?plugin=&workflow=&key=`.
pub(crate) async fn show(State(app): State<Arc<App>>, ApiQuery(place): ApiQuery<Place>) -> Result<Response, Problem> {
    let (space, key) = place.within(&app);
    let now = app.ports.clock.now();
    let entry = app.ports.values.get(&space, &key).await?.filter(|entry| entry.is_there(now));
    let entry = entry.ok_or_else(|| unknown(&key))?;
    let stored = StoredValue { space, key, entry };
    let mut shown = view(&stored);
    if let Value::Object(fields) = &mut shown {
        fields.insert("value".to_owned(), stored.entry.value);
    }
    Ok(json(StatusCode::OK, &shown))
}

/// `DELETE /key-values/value?plugin=&workflow=&key=`: whatever a plugin expects there.
pub(crate) async fn remove(State(app): State<Arc<App>>, ApiQuery(place): ApiQuery<Place>) -> Result<Response, Problem> {
    let (space, key) = place.within(&app);
    let namespace = if space.workflow.is_some() { Namespace::Workflow } else { Namespace::Plugin };
    let request = Request::Delete { namespace, key: key.clone(), expected: Expected::Anything };
    let now = app.ports.clock.now();
    let write = ValueWrite { space, request, quota_bytes: 0, now, receipt_key: None };
    match app.ports.values.write(write).await? {
        Ok(Value::Bool(true)) => Ok(json(StatusCode::OK, &json!({ "key": key, "removed": true }))),
        Ok(_) => Err(unknown(&key)),
        Err(error) => Err(Problem::new(Kind::Conflict, error.message)),
    }
}

impl Place {
    fn within(self, app: &App) -> (Space, String) {
        (Space { workspace: app.workspace.clone(), plugin: self.plugin, workflow: self.workflow }, self.key)
    }
}

fn unknown(key: &str) -> Problem {
    let detail = format!("There is nothing under `{key}` there; `flowcell key-value list` prints what plugins keep.");
    Problem::new(Kind::NotFound, detail)
}

/// The shape is public: fields are added, never changed.
fn view(stored: &StoredValue) -> Value {
    json!({
        "plugin": stored.space.plugin,
        "workflow": stored.space.workflow,
        "key": stored.key,
        "version": stored.entry.version,
        "bytes": StoredValue::bytes(&stored.key, &stored.entry),
        "expires_at": stored.entry.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use flowcell_core::host_call::key_value::{Expected, Namespace, Request};
    use flowcell_core::key_value::{Space, ValueWrite};
    use serde_json::json;

    use crate::testing::Bench;

    #[tokio::test]
    async fn what_plugins_keep_is_listed_shown_and_deleted() {
        let bench = Bench::new();
        for (workflow, key) in [(None, "a/1"), (Some("push"), "n")] {
            let workflow: Option<flowcell_core::id::WorkflowId> = workflow.map(|id: &str| id.parse().unwrap());
            let namespace = if workflow.is_some() { Namespace::Workflow } else { Namespace::Plugin };
            let space = Space { workspace: bench.app.workspace.clone(), plugin: "acme/p".parse().unwrap(), workflow };
            let (key, value) = (key.to_owned(), json!({"n": 7}));
            let request = Request::Set { namespace, key, value, ttl_ms: None, expected: Expected::Anything };
            let now = bench.app.ports.clock.now();
            let write = ValueWrite { space, request, quota_bytes: 1_000, now, receipt_key: None };
            bench.app.ports.values.write(write).await.unwrap().unwrap();
        }
        let listed = bench.api("GET", "/key-values?plugin=acme/p", "").await;
        assert_eq!((listed.status, &listed.json["key_values"][1]["workflow"]), (200, &json!("push")), "{listed:?}");
        assert!(!listed.json.to_string().contains("\"n\":7"), "values are shown one by one");
        let place = "/key-values/value?plugin=acme/p&workflow=push&key=n";
        assert_eq!(bench.api("GET", place, "").await.json["value"], json!({"n": 7}));
        assert_eq!(bench.api("DELETE", place, "").await.status, 200);
        assert_eq!((bench.api("GET", place, "").await.status, bench.api("DELETE", place, "").await.status), (404, 404));
        assert_eq!(bench.api("GET", "/key-values/value?plugin=acme/p&key=a/1", "").await.status, 200);
        assert_eq!(bench.api("GET", "/key-values?plugin=nonsense", "").await.status, 400);
    }
}
