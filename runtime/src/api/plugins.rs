//! `/api/v2/plugins`: what workflows can use, and what each plugin asks for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use flowcell_core::plugin::PluginId;
use flowcell_core::ports::InstalledPlugin;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::json;
use crate::api::query::{ApiPath, ApiQuery, PageQuery};
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// `GET /plugins?cursor=&limit=`: every plugin, newest version first, and the files that cannot be used.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<PageQuery>,
) -> Result<Response, Problem> {
    let page = query.cut(app.ports.catalog.list(), |plugin| plugin.digest.to_string())?;
    let plugins: Vec<Value> = page.items.iter().map(|plugin| brief(plugin)).collect();
    let problems = app.ports.catalog.problems();
    Ok(json(StatusCode::OK, &json!({ "plugins": plugins, "next_cursor": page.next, "problems": problems })))
}

/// `GET /plugins/{publisher}/{name}`: its versions with their manifests, newest first.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ApiPath((publisher, name)): ApiPath<(String, String)>,
) -> Result<Response, Problem> {
    let missing = || {
        let detail = format!("There is no plugin `{publisher}/{name}`. `flowcell plugin list` prints those there are.");
        Problem::new(Kind::NotFound, detail)
    };
    let id: PluginId = format!("{publisher}/{name}").parse().map_err(|_| missing())?;
    let plugins = app.ports.catalog.list();
    let versions: Vec<Value> =
        plugins.iter().filter(|plugin| plugin.manifest.id == id).map(|plugin| whole(plugin)).collect();
    if versions.is_empty() {
        return Err(missing());
    }
    Ok(json(StatusCode::OK, &json!({ "id": id, "versions": versions })))
}

fn brief(plugin: &InstalledPlugin) -> Value {
    let manifest = &plugin.manifest;
    let members = |ids: Vec<(&str, &str)>| -> Vec<Value> {
        let uses = |id: &str| format!("{}/{id}@{}", manifest.id, manifest.version.major);
        ids.into_iter().map(|(id, title)| json!({ "id": id, "title": title, "uses": uses(id) })).collect()
    };
    json!({
        "id": manifest.id,
        "version": manifest.version,
        "digest": plugin.digest,
        "title": manifest.title,
        "description": manifest.description,
        "origin": plugin.origin,
        "bytes": plugin.bytes.len(),
        "triggers": members(manifest.triggers.iter().map(|t| (t.id.as_str(), t.title.as_str())).collect()),
        "actions": members(manifest.actions.iter().map(|a| (a.id.as_str(), a.title.as_str())).collect()),
    })
}

fn whole(plugin: &InstalledPlugin) -> Value {
    json!({
        "version": plugin.manifest.version,
        "digest": plugin.digest,
        "origin": plugin.origin,
        "bytes": plugin.bytes.len(),
        "manifest": plugin.manifest,
    })
}
