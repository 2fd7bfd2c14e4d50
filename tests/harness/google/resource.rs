//! `spreadsheets` as resources: properties, grids, developer metadata.

use serde_json::{Value, json};

use super::a1;
use super::discovery::Call;
use super::grid::{Metadata, Spreadsheet};
use super::values::row_data;
use super::{Played, Refusal, World, number, object, text};

pub(super) fn get(book: &Spreadsheet, call: &Call) -> Played {
    let ranges: Vec<String> = call.all("ranges").map(str::to_owned).collect();
    let is_asked = call.one("includeGridData").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    // With a field mask, the parameter does not count.
    let with_grid = call.one("fields").map_or(is_asked, |fields| fields.contains("data"));
    spreadsheet(book, &ranges, with_grid)
}

/// The resource. With ranges, only the worksheets that they touch.
pub(super) fn spreadsheet(book: &Spreadsheet, ranges: &[String], with_grid: bool) -> Played {
    let ranges = ranges.iter().map(|text| a1::parse(book, text)).collect::<Result<Vec<_>, Refusal>>()?;
    let sheets = book.sheets.iter().enumerate().filter_map(|(place, sheet)| {
        let mine: Vec<_> = ranges.iter().filter(|range| range.sheet == place).collect();
        if mine.is_empty() && !ranges.is_empty() {
            return None;
        }
        let data = with_grid.then(|| -> Value {
            if mine.is_empty() {
                let all = a1::Range { sheet: place, rows: (0, sheet.row_count), columns: (0, sheet.column_count) };
                return json!([{ "rowData": row_data(book, all) }]);
            }
            let grids = mine.iter().map(|range| {
                let start = |at: usize| if at == 0 { Value::Null } else { json!(at) };
                object(json!({
                    "startRow": start(range.rows.0), "startColumn": start(range.columns.0), "rowData": row_data(book, **range),
                }))
            });
            grids.collect()
        });
        let marks: Vec<Value> =
            book.metadata.iter().filter(|mark| mark.sheet == Some(sheet.id)).map(metadata).collect();
        Some(object(json!({
            "properties": {
                "sheetId": sheet.id, "title": sheet.title, "index": place, "sheetType": "GRID",
                "gridProperties": { "rowCount": sheet.row_count, "columnCount": sheet.column_count },
            },
            "data": data,
            "developerMetadata": if marks.is_empty() { Value::Null } else { json!(marks) },
        })))
    });
    let sheets: Vec<Value> = sheets.collect();
    Ok(json!({
        "spreadsheetId": book.id,
        "properties": { "title": book.title, "locale": "en_US", "autoRecalc": "ON_CHANGE", "timeZone": "Etc/UTC" },
        "sheets": sheets,
        "spreadsheetUrl": format!("https://docs.google.com/spreadsheets/d/{}/edit", book.id),
    }))
}

pub(super) fn create(world: &mut World, body: &Value) -> Played {
    let id = format!("book-{}", world.spreadsheets.len() + 1);
    let title = body.pointer("/properties/title").and_then(Value::as_str).unwrap_or("Untitled spreadsheet").to_owned();
    let mut book = Spreadsheet::new(&id, &[("Sheet1", json!([]))]);
    book.title = title;
    let made = spreadsheet(&book, &[], false);
    world.spreadsheets.insert(id, book);
    made
}

pub(super) fn metadata(mark: &Metadata) -> Value {
    object(json!({
        "metadataId": mark.id, "metadataKey": mark.key, "metadataValue": mark.value, "visibility": mark.visibility,
        "location": match mark.sheet {
            Some(sheet) => json!({ "locationType": "SHEET", "sheetId": sheet }),
            None => json!({ "locationType": "SPREADSHEET", "spreadsheet": true }),
        },
    }))
}

pub(super) fn search_metadata(book: &Spreadsheet, body: &Value) -> Value {
    let filters = body.get("dataFilters").and_then(Value::as_array).cloned().unwrap_or_default();
    let found = book.metadata.iter().filter(|mark| filters.iter().any(|filter| is_meant(filter, mark)));
    let found: Vec<Value> =
        found.map(|mark| json!({ "developerMetadata": metadata(mark), "dataFilters": filters })).collect();
    object(json!({ "matchedDeveloperMetadata": if found.is_empty() { Value::Null } else { json!(found) } }))
}

/// Whether a `DataFilter` selects this metadata.
pub(super) fn is_meant(filter: &Value, mark: &Metadata) -> bool {
    let Some(lookup) = filter.get("developerMetadataLookup") else { return false };
    number(lookup, "metadataId").is_none_or(|id| id as u64 == mark.id)
        && text(lookup, "metadataKey").is_none_or(|key| key == mark.key)
        && text(lookup, "metadataValue").is_none_or(|value| Some(value) == mark.value.as_deref())
}
