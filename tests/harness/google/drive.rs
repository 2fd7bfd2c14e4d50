//! Drive's lists: spreadsheets and shared drives.

use serde_json::{Value, json};

use super::discovery::Call;
use super::{World, object};

/// Spreadsheets whose name holds what `q` asks for (`name contains '…'`), a page at a time.
pub(super) fn files(world: &World, call: &Call) -> Value {
    let query = call.one("q").unwrap_or_default();
    let wanted = query.split("name contains '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
    let drive = call.one("driveId");
    let found = world.spreadsheets.values().filter(|book| {
        book.shared
            && drive.is_none_or(|drive| book.drive.as_deref() == Some(drive))
            && book.title.to_lowercase().contains(&wanted.to_lowercase())
    });
    let files: Vec<Value> = found
        .map(|book| {
            json!({ "kind": "drive#file", "mimeType": "application/vnd.google-apps.spreadsheet", "id": book.id, "name": book.title })
        })
        .collect();
    page(call, "drive#fileList", "files", &files)
}

pub(super) fn drives(world: &World, call: &Call) -> Value {
    let drives: Vec<Value> =
        world.drives.iter().map(|(id, name)| json!({ "kind": "drive#drive", "id": id, "name": name })).collect();
    page(call, "drive#driveList", "drives", &drives)
}

fn page(call: &Call, kind: &str, member: &str, all: &[Value]) -> Value {
    let start: usize = call.one("pageToken").and_then(|token| token.parse().ok()).unwrap_or(0);
    let size: usize = call.one("pageSize").and_then(|size| size.parse().ok()).unwrap_or(100);
    let next = (start + size < all.len()).then(|| (start + size).to_string());
    let shown: Vec<&Value> = all.iter().skip(start).take(size).collect();
    object(json!({ "kind": kind, "nextPageToken": next, member: shown }))
}
