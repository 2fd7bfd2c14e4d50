//! One message of a stream. `entry`: an entry of a journal; `log`: a line that a step wrote; `cut`: something was missed; `end`: the run
//! is over; `failed`: the stream cannot go on.

use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::ports::TailPosition;
use flowcell_core::run::event::Recorded;
use serde_json::{Value, json};

/// An entry beyond this, as JSON, is sent without its values; `GET /runs/{id}` has them.
const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// The messages of an entry: its log lines, then itself. Only the last has an id, so that whoever goes on from it has seen all.
pub(super) fn entry(text: &mut String, run: RunId, workflow: &WorkflowId, (recorded, id): (&Recorded, Option<&str>)) {
    let whole = json!(recorded);
    let part = |pointer: &str| whole.pointer(pointer).cloned().unwrap_or(Value::Null);
    for line in whole.pointer("/call/log").and_then(Value::as_array).into_iter().flatten() {
        let mut document = json!({ "run": run, "workflow": workflow, "at": recorded.at });
        if let Some(fields) = document.as_object_mut() {
            fields.insert("step".to_owned(), part("/step"));
            fields.insert("attempt".to_owned(), part("/attempt"));
            for key in ["level", "message"] {
                fields.insert(key.to_owned(), line.get(key).cloned().unwrap_or(Value::Null));
            }
        }
        write(text, "log", None, &document);
    }
    let bytes = whole.to_string().len();
    let document = if bytes <= ENTRY_BYTES_MAX {
        json!({ "run": run, "workflow": workflow, "entry": whole })
    } else {
        let short: serde_json::Map<_, _> =
            ["seq", "at", "type", "step", "attempt", "error", "retry_at", "until", "reason"]
                .into_iter()
                .filter_map(|key| {
                    Some((key.to_owned(), whole.get(key).filter(|value| value.to_string().len() < 4_096)?.clone()))
                })
                .collect();
        json!({ "run": run, "workflow": workflow, "entry": short, "left_out_bytes": bytes })
    };
    write(text, "entry", id, &document);
}

/// What a client missed begins after `missed_after`; the stream goes on behind `resumes_after`.
pub(super) fn cut(text: &mut String, missed_after: TailPosition, resumes_after: TailPosition) {
    let document = json!({
        "missed_after": missed_after.to_string(),
        "resumes_after": resumes_after.to_string(),
        "help": "this client was too slow, or away for too long; `GET /api/v2/runs?from=…` lists the runs of the time in between",
    });
    write(text, "cut", Some(&resumes_after.to_string()), &document);
}

pub(super) fn end(text: &mut String, run: RunId) {
    write(text, "end", None, &json!({ "run": run }));
}

pub(super) fn failed(text: &mut String, message: &str) {
    write(text, "failed", None, &json!({ "message": message }));
}

fn write(text: &mut String, event: &str, id: Option<&str>, document: &Value) {
    use std::fmt::Write as _;
    // JSON in one line: no line break can end the field early.
    let _ = match id {
        Some(id) => write!(text, "event: {event}\nid: {id}\ndata: {document}\n\n"),
        None => write!(text, "event: {event}\ndata: {document}\n\n"),
    };
}
