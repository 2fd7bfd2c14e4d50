//! `GET /api/v2/runs/{id}/blobs/{digest}`: the bytes that an output of the run names, as a download that no browser opens.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flowcell_core::blob::{Blob, named_in};
use flowcell_core::id::{Digest, RunId};
use flowcell_core::run::event::{Recorded, RunEvent};
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::query::ApiPath;
use crate::api::{redaction, runs};
use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// What may stand in a `filename*` as it is (RFC 8187, attr-char).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ApiPath((id, digest)): ApiPath<(String, String)>,
) -> Result<Response, Problem> {
    let run = runs::find(&app, &id).await?;
    let digest: Digest = digest.parse().map_err(|_| {
        let detail =
            format!("`{digest}` names no blob; `flowcell run show {run}` shows them as \"blob\": \"sha256:…\".");
        Problem::new(Kind::InvalidRequest, detail)
    })?;
    let gone = || {
        let detail = format!("{run} shows no blob {digest}. `flowcell run blob {run}` lists those that it has.");
        Problem::new(Kind::NotFound, detail)
    };
    if !is_shown(&app, run, &digest).await? {
        return Err(gone());
    }
    let blob = app.ports.blobs.blob(&app.workspace, run, &digest).await?.ok_or_else(gone)?;
    Ok(download(blob))
}

/// Whether the run, as it is shown, names the blob: what redaction hides of a run is not downloaded either.
async fn is_shown(app: &App, run: RunId, digest: &Digest) -> Result<bool, Problem> {
    let entries = app.ports.journal.load(run).await?;
    let Some(RunEvent::Created { workflow, version, .. }) = entries.first().map(|first| &first.event) else {
        return Ok(false);
    };
    let rules = redaction::rules(app, workflow, *version).await?;
    Ok(redaction::redacted(rules, entries).iter().any(|entry| names(entry, digest)))
}

fn names(entry: &Recorded, digest: &Digest) -> bool {
    serde_json::to_value(&entry.event).is_ok_and(|event| named_in(&event).contains(digest))
}

fn download(blob: Blob) -> Response {
    let facts = blob.facts;
    let plain = HeaderValue::from_static("application/octet-stream");
    let content_type = facts.content_type.and_then(|text| HeaderValue::try_from(text).ok()).unwrap_or(plain);
    let name = facts.filename.unwrap_or_else(|| facts.blob.to_hex());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_DISPOSITION, disposition(&name));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    (headers, blob.bytes).into_response()
}

/// `attachment` with the name for every reader: in plain letters, and as it is (RFC 6266 §5).
fn disposition(name: &str) -> HeaderValue {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let plain: String = name.chars().map(|c| if is_plain(&c) { c } else { '_' }).collect();
    let full = utf8_percent_encode(name, ATTRIBUTE);
    HeaderValue::try_from(format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(
            disposition("naïve \"x\";\r\n y.pdf"),
            "attachment; filename=\"na_ve _x____ y.pdf\"; filename*=UTF-8''na%C3%AFve%20%22x%22%3B%0D%0A%20y.pdf"
        );
    }
}
