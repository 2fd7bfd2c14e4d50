//! The actions `create-sheet`, which adds a worksheet, and `read-range`, which reads cells as they lie.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Map, Value, json};

use crate::api::Book;
use crate::cells::{self, is_filled, lines};
use crate::hash;
use crate::header::Header;

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

#[derive(Input)]
pub(crate) struct ReadRange {
    /// The shared drive whose spreadsheets are offered; only for choosing.
    #[input(options)]
    #[allow(dead_code, reason = "it is for `options` alone")]
    drive: Option<String>,
    /// The spreadsheet's id, or its address in a browser.
    #[input(options, depends_on = "drive")]
    spreadsheet: String,
    /// In A1 notation, or a named range.
    #[input(example = "Orders!A1:C20")]
    range: String,
    /// How cells are given.
    #[serde(default)]
    show: Show,
    /// Give each further row as an object by the names in the first one, too.
    #[serde(default)]
    first_row_is_header: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Show {
    /// Numbers as numbers, true and false as such; dates as the worksheet shows them.
    #[default]
    Values,
    /// As texts, the way the worksheet shows them.
    Formatted,
    /// Formulas instead of what they come to.
    Formulas,
}

#[derive(Output)]
pub(crate) struct Cells {
    /// The whole range, also where nothing stands.
    range: String,
    /// Rows of cells, without empty ends; an empty cell before others is "".
    rows: Vec<Vec<Value>>,
    /// With `first_row_is_header`.
    records: Vec<Map<String, Value>>,
}

pub(crate) fn read_range(ctx: &Context, input: ReadRange) -> Result<Cells, ActionError> {
    let book = Book::parse(ctx, &input.spreadsheet)?;
    let show = match input.show {
        Show::Values => "UNFORMATTED_VALUE",
        Show::Formatted => "FORMATTED_VALUE",
        Show::Formulas => "FORMULA",
    };
    let query = [
        ("ranges", input.range.as_str()),
        ("majorDimension", "ROWS"),
        ("valueRenderOption", show),
        ("dateTimeRenderOption", "FORMATTED_STRING"),
        ("fields", "valueRanges(range,values)"),
    ];
    let answer = book.get("/values:batchGet", &query).map_err(|error| {
        // Google's own words name the range.
        if error.code == "google-refused" { ActionError::invalid_input("/range", error.message) } else { error }
    })?;
    let range = answer.pointer("/valueRanges/0").cloned().unwrap_or_default();
    let rows = lines(&range);
    let mut records = Vec::new();
    if let (true, Some((first, others))) = (input.first_row_is_header, rows.split_first()) {
        let header = Header::new(&input.range, first.iter().map(cells::text));
        let filled = others.iter().filter(|cells| cells.iter().any(is_filled));
        records = filled.map(|cells| cells::named(&header, cells)).collect();
    }
    let range = range.get("range").and_then(Value::as_str).unwrap_or(&input.range).to_owned();
    Ok(Cells { range, rows, records })
}
