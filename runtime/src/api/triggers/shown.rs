//! What people are shown of requests and samples: without what the redaction rules hide of runs, since the same data comes to light here.

use std::sync::Arc;

use flowcell_core::id::WorkflowId;
use flowcell_core::ports::WorkflowHead;
use flowcell_core::redact::{REDACTED, RedactionRules, Redactor};
use serde_json::{Map, Value, json};

use crate::api::redaction;
use crate::app::App;
use crate::http::problem::Problem;
use crate::ingress::recent::Kept;

/// The rules for what comes to a workflow's trigger.
pub(super) async fn rules(app: &App, head: &WorkflowHead) -> Result<Arc<RedactionRules>, Problem> {
    let id: &WorkflowId = &head.id;
    Ok(redaction::rules(app, id, head.published.unwrap_or(head.latest)).await?)
}

/// A request as it is shown. Its body is what was sent, byte by byte, unless something of it is hidden.
pub(super) fn request(kept: &Kept, rules: &Arc<RedactionRules>) -> Value {
    let mut view = kept.view();
    if !rules.is_empty() {
        hide(&mut view, rules);
    }
    view
}

/// A sample of the reference as it is shown.
pub(super) fn sample(sample: &Value, rules: &Arc<RedactionRules>) -> Value {
    let mut sample = sample.clone();
    if !rules.is_empty() {
        let mut redactor = Redactor::new(Arc::clone(rules));
        redactor.learn_trigger(&sample);
        redactor.redact_value(&mut sample);
    }
    sample
}

fn hide(view: &mut Value, rules: &Arc<RedactionRules>) {
    let Some(fields) = view.as_object_mut() else { return };
    let text = fields.get("body").and_then(Value::as_str).map(str::to_owned);
    let is_cut = fields.contains_key("body_cut");
    let body = text.as_deref().map(|text| parsed(text).unwrap_or_else(|| text.into()));
    let mut redactor = Redactor::new(Arc::clone(rules));
    redactor.learn_trigger(&json!({ "body": body, "headers": headers(fields) }));
    // Where nobody can tell which part is meant, nothing is shown.
    if fields.remove("body_base64").is_some() || is_cut {
        fields.insert("body".to_owned(), REDACTED.into());
    } else if let (Some(text), Some(body)) = (text, body) {
        fields.insert("body".to_owned(), hidden(&redactor, text, &body).into());
    }
    for place in ["query", "path"] {
        if let Some(Value::String(text)) = fields.get_mut(place) {
            redactor.redact_text(text);
        }
    }
    if let Some(headers) = fields.get_mut("headers") {
        redactor.redact_value(headers);
    }
}

/// The body without what is hidden; as it came where nothing is.
fn hidden(redactor: &Redactor, mut text: String, body: &Value) -> String {
    let mut shown = body.clone();
    redactor.redact_value(&mut shown);
    match shown {
        shown if shown == *body => {}
        Value::String(shown) => return shown,
        shown => return shown.to_string(),
    }
    redactor.redact_text(&mut text);
    text
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn headers(view: &Map<String, Value>) -> Value {
    let headers = view.get("headers").and_then(Value::as_array).into_iter().flatten();
    let headers =
        headers.filter_map(|header| Some((header.get("name")?.as_str()?.to_owned(), header.get("value")?.clone())));
    Value::Object(headers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_of_runs_is_hidden_of_requests() {
        let rules = Arc::new(RedactionRules::new(&["ssn".to_owned()], []));
        let shown = |body: &str| {
            let mut view = json!({ "body": body, "headers": [{ "name": "x-copy", "value": "078-05-1120" }], "query": "", "path": "/" });
            hide(&mut view, &rules);
            view
        };
        let view = shown(r#"{"ssn": "078-05-1120", "name": "Ann"}"#);
        assert!(!view.to_string().contains("078-05-1120") && view["body"].as_str().unwrap().contains("Ann"), "{view}");
        let view = shown("{\"name\" :  \"Ann\"}");
        assert_eq!(view["body"], "{\"name\" :  \"Ann\"}", "byte by byte, where nothing is hidden");
        let mut binary = json!({ "body_base64": "AAAA", "headers": [] });
        hide(&mut binary, &rules);
        assert_eq!(binary, json!({ "body": REDACTED, "headers": [] }));
    }
}
