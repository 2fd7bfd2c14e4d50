//! The action `read-range`: cells as they lie.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Map, Value};

use crate::sheet::api::Book;
use crate::sheet::cells::{self, is_filled, lines};
use crate::sheet::header::Header;

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
