//! The action `create-sheet`: adds a worksheet.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Value, json};

use crate::sheet::api::Book;
use crate::sheet::{cells, hash};

/// Google's own for a new worksheet.
const ROWS: usize = 1_000;
const COLUMNS: usize = 26;

#[derive(Input)]
pub(crate) struct CreateSheet {
    /// The shared drive whose spreadsheets are offered; only for choosing.
    #[input(options)]
    #[allow(dead_code, reason = "it is for `options` alone")]
    drive: Option<String>,
    /// The spreadsheet's id, or its address in a browser.
    #[input(options, depends_on = "drive")]
    spreadsheet: String,
    /// The new worksheet's name.
    #[input(example = "Orders", min_length = 1, max_length = 100)]
    title: String,
    /// The columns' names, for the first row.
    #[serde(default)]
    #[input(example = ["Email", "Total"])]
    columns: Vec<String>,
    /// What to do when there is a worksheet with this name.
    #[serde(default)]
    if_exists: IfExists,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IfExists {
    /// The step succeeds with `created: false`; nothing is changed.
    #[default]
    Use,
    /// The step fails with `already-exists`.
    Fail,
}

#[derive(Output)]
pub(crate) struct Sheet {
    /// The number that Google gave it (`gid` in its address).
    id: u64,
    title: String,
    created: bool,
    /// An earlier attempt of this step had created it.
    repeated: bool,
}

pub(crate) fn create_sheet(ctx: &Context, input: CreateSheet) -> Result<Sheet, ActionError> {
    let book = Book::parse(ctx, &input.spreadsheet)?;
    // A number of ours: a repetition finds its own worksheet by it.
    let id = hash::of(0, &ctx.idempotency_key) % 0x7fff_fffe + 1;
    let properties = json!({
        "sheetId": id, "title": input.title,
        "gridProperties": { "rowCount": ROWS, "columnCount": COLUMNS.max(input.columns.len()) },
    });
    let mut requests = vec![json!({ "addSheet": { "properties": properties } })];
    if !input.columns.is_empty() {
        let at = |place: usize| format!("/columns/{place}");
        let names = input.columns.iter().enumerate().map(|(place, name)| cells::raw(&json!(name), &at(place)));
        requests.push(json!({ "updateCells": {
            "rows": [{ "values": names.collect::<Result<Vec<_>, _>>()? }],
            "fields": "userEnteredValue", "start": { "sheetId": id, "rowIndex": 0, "columnIndex": 0 },
        } }));
    }
    let refused = match book.post(":batchUpdate", &[("fields", "spreadsheetId")], &json!({ "requests": requests })) {
        Ok(_) => return Ok(Sheet { id, title: input.title, created: true, repeated: false }),
        Err(error) if error.code == "google-refused" && error.message.contains("already exists") => error,
        Err(error) => return Err(error),
    };
    let answer = book.get("", &[("fields", "sheets.properties(sheetId,title)")])?;
    let sheets = answer.get("sheets").and_then(Value::as_array).cloned().unwrap_or_default();
    let known = sheets.iter().filter_map(|sheet| {
        let properties = sheet.get("properties")?;
        Some((properties.get("sheetId").and_then(Value::as_u64).unwrap_or(0), properties.get("title")?.as_str()?))
    });
    let same = known.filter(|(other, title)| *other == id || title.to_lowercase() == input.title.to_lowercase());
    match same.min_by_key(|(other, _)| *other != id) {
        Some((other, title)) if other == id => Ok(Sheet { id, title: title.to_owned(), created: true, repeated: true }),
        Some((other, title)) if input.if_exists == IfExists::Use => {
            Ok(Sheet { id: other, title: title.to_owned(), created: false, repeated: false })
        }
        Some((_, title)) => {
            let message =
                format!("the spreadsheet has a worksheet `{title}`; choose another title, or `if_exists: use`");
            Err(ActionError::permanent("already-exists", message).detail("field", "/title"))
        }
        None => Err(refused),
    }
}
