//! `spreadsheets:batchUpdate`: several changes, all or none of them.

use serde_json::{Value, json};

use super::grid::{Metadata, Sheet, Spreadsheet};
use super::resource::{is_meant, metadata, spreadsheet};
use super::{Played, Refusal, number, object, text};

/// "30,000 characters for each sheet", says Google's guide to developer metadata; keys and values count.
const METADATA_CHARS_MAX: usize = 30_000;

pub(super) fn update(book: &mut Spreadsheet, body: &Value) -> Played {
    let requests = body.get("requests").and_then(Value::as_array).cloned().unwrap_or_default();
    if requests.is_empty() {
        return Err(Refusal::invalid("Must specify at least one request."));
    }
    let mut after = book.clone();
    let mut replies = Vec::new();
    for (place, request) in requests.iter().enumerate() {
        let Some((kind, change)) = request.as_object().filter(|one| one.len() == 1).and_then(|one| one.iter().next())
        else {
            return Err(Refusal::invalid(format!(
                "Invalid requests[{place}]: exactly one kind of request belongs here"
            )));
        };
        let reply = apply(&mut after, kind, change)
            .map_err(|problem| Refusal::invalid(format!("Invalid requests[{place}].{kind}: {problem}")))?;
        replies.push(reply);
    }
    *book = after;
    let is_asked = |member: &str| body.get(member) == Some(&json!(true));
    let ranges: Vec<String> = body
        .get("responseRanges")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|range| range.as_str().map(str::to_owned))
        .collect();
    let updated = if is_asked("includeSpreadsheetInResponse") {
        spreadsheet(book, &ranges, is_asked("responseIncludeGridData"))?
    } else {
        Value::Null
    };
    Ok(object(json!({ "spreadsheetId": book.id, "replies": replies, "updatedSpreadsheet": updated })))
}

type Applied = Result<Value, String>;

fn apply(book: &mut Spreadsheet, kind: &str, change: &Value) -> Applied {
    match kind {
        "addSheet" => add_sheet(book, change),
        "deleteSheet" => {
            let place = sheet_place(book, change)?;
            let gone = book.sheets.remove(place);
            book.metadata.retain(|mark| mark.sheet != Some(gone.id));
            Ok(json!({}))
        }
        "updateSheetProperties" => update_properties(book, change),
        "appendCells" => append_cells(book, change),
        "updateCells" => update_cells(book, change),
        "deleteDimension" | "insertDimension" => dimension(book, kind, change),
        "createDeveloperMetadata" => create_metadata(book, change),
        "deleteDeveloperMetadata" => {
            let filter = change.get("dataFilter").cloned().unwrap_or_default();
            let (gone, kept): (Vec<_>, Vec<_>) = book.metadata.drain(..).partition(|mark| is_meant(&filter, mark));
            book.metadata = kept;
            if gone.is_empty() {
                return Err("No matching developer metadata found.".to_owned());
            }
            let gone: Vec<Value> = gone.iter().map(metadata).collect();
            Ok(json!({ "deleteDeveloperMetadata": { "deletedDeveloperMetadata": gone } }))
        }
        other => Err(format!("this double does not play {other}")),
    }
}

fn sheet_place(book: &Spreadsheet, of: &Value) -> Result<usize, String> {
    let id = of.get("sheetId").and_then(Value::as_u64).unwrap_or(0);
    book.place(id).ok_or_else(|| format!("No grid with id: {id}"))
}

fn sheet_of<'a>(book: &'a mut Spreadsheet, of: &Value) -> Result<&'a mut Sheet, String> {
    let place = sheet_place(book, of)?;
    book.sheets.get_mut(place).ok_or_else(|| "it was there".to_owned())
}

fn add_sheet(book: &mut Spreadsheet, change: &Value) -> Applied {
    let wanted = change.get("properties").cloned().unwrap_or_default();
    let title = text(&wanted, "title").map_or_else(|| format!("Sheet{}", book.sheets.len() + 1), str::to_owned);
    if book.sheets.iter().any(|sheet| sheet.title.eq_ignore_ascii_case(&title)) {
        return Err(format!("A sheet with the name \"{title}\" already exists. Please enter another name."));
    }
    let free = || (1..10_000_u64).map(|number| number * 7_919).find(|id| book.place(*id).is_none()).unwrap_or(1);
    let id = wanted.get("sheetId").and_then(Value::as_u64).unwrap_or_else(free);
    if book.place(id).is_some() {
        return Err(format!("Sheet with id {id} already exists."));
    }
    let mut sheet = Sheet::new(id, &title);
    if let Some(grid) = wanted.get("gridProperties") {
        let size = (number(grid, "rowCount"), number(grid, "columnCount"));
        sheet.resize(size.0.unwrap_or(sheet.row_count), size.1.unwrap_or(sheet.column_count));
    }
    let properties = json!({
        "sheetId": id, "title": title, "index": book.sheets.len(), "sheetType": "GRID",
        "gridProperties": { "rowCount": sheet.row_count, "columnCount": sheet.column_count },
    });
    book.sheets.push(sheet);
    Ok(json!({ "addSheet": { "properties": properties } }))
}

fn update_properties(book: &mut Spreadsheet, change: &Value) -> Applied {
    let wanted = change.get("properties").cloned().unwrap_or_default();
    let fields = text(change, "fields").ok_or("At least one field must be listed in 'fields'.")?.to_owned();
    let sheet = sheet_of(book, &wanted)?;
    for field in fields.split(',') {
        match field {
            "title" => text(&wanted, "title").unwrap_or_default().clone_into(&mut sheet.title),
            "gridProperties.rowCount"
            | "gridProperties.columnCount"
            | "gridProperties/rowCount"
            | "gridProperties/columnCount" => {
                let grid = wanted.get("gridProperties").cloned().unwrap_or_default();
                let rows = number(&grid, "rowCount").unwrap_or(sheet.row_count);
                let columns = number(&grid, "columnCount").unwrap_or(sheet.column_count);
                sheet.resize(rows, columns);
            }
            other => return Err(format!("this double does not change {other}")),
        }
    }
    Ok(json!({}))
}

/// The `userEnteredValue`s of `rows`; the double knows no other field of a cell.
fn rows(change: &Value) -> Result<Vec<Vec<Value>>, String> {
    match text(change, "fields") {
        None | Some("") => {
            return Err("At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)".to_owned());
        }
        Some("userEnteredValue" | "*") => {}
        Some(other) => return Err(format!("this double does not write {other}")),
    }
    let rows = change.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let cells = |row: &Value| -> Vec<Value> {
        let cells = row.get("values").and_then(Value::as_array).into_iter().flatten();
        let values = cells.map(|cell| cell.get("userEnteredValue").cloned().unwrap_or_default());
        values.map(|value| if value.get("stringValue") == Some(&json!("")) { Value::Null } else { value }).collect()
    };
    Ok(rows.iter().map(cells).collect())
}

fn append_cells(book: &mut Spreadsheet, change: &Value) -> Applied {
    let rows = rows(change)?;
    let sheet = sheet_of(book, change)?;
    // After the last row with data; an empty one leaves no trace.
    let start = sheet.end();
    for (row, cells) in rows.into_iter().enumerate() {
        for (column, value) in cells.into_iter().enumerate() {
            sheet.enter(start + row, column, value);
        }
    }
    Ok(json!({}))
}

fn update_cells(book: &mut Spreadsheet, change: &Value) -> Applied {
    let rows = rows(change)?;
    let start = change.get("start").cloned().ok_or("this double wants a 'start'")?;
    let sheet = sheet_of(book, &start)?;
    let (top, left) = (number(&start, "rowIndex").unwrap_or(0), number(&start, "columnIndex").unwrap_or(0));
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    if top + rows.len() > sheet.row_count || left + width > sheet.column_count {
        return Err("Attempting to write outside of the grid".to_owned());
    }
    for (row, cells) in rows.into_iter().enumerate() {
        for (column, value) in cells.into_iter().enumerate() {
            sheet.enter(top + row, left + column, value);
        }
    }
    Ok(json!({}))
}

fn dimension(book: &mut Spreadsheet, kind: &str, change: &Value) -> Applied {
    let range = change.get("range").cloned().unwrap_or_default();
    let sheet = sheet_of(book, &range)?;
    let is_rows = match text(&range, "dimension") {
        Some("ROWS") => true,
        Some("COLUMNS") => false,
        _ => return Err("'dimension' must be ROWS or COLUMNS".to_owned()),
    };
    let size = if is_rows { sheet.row_count } else { sheet.column_count };
    let start = number(&range, "startIndex").unwrap_or(0);
    let end = number(&range, "endIndex").unwrap_or(size);
    if start >= end || (kind == "deleteDimension" && end > size) || start > size {
        return Err(format!("range [{start}, {end}) does not lie in a grid of {size}"));
    }
    match (kind, is_rows) {
        ("deleteDimension", _) if end - start == size => {
            return Err("You can't delete all the rows on the sheet.".to_owned());
        }
        ("deleteDimension", true) => sheet.delete_rows(start, end),
        ("deleteDimension", false) => sheet.delete_columns(start, end),
        (_, true) => sheet.insert_rows(start, end - start),
        (_, false) => sheet.insert_columns(start, end - start),
    }
    Ok(json!({}))
}

fn create_metadata(book: &mut Spreadsheet, change: &Value) -> Applied {
    let wanted = change.get("developerMetadata").cloned().unwrap_or_default();
    let location = wanted.get("location").cloned().unwrap_or_default();
    let sheet = match (location.get("sheetId").and_then(Value::as_u64), location.get("spreadsheet")) {
        (Some(sheet), None) if book.place(sheet).is_some() => Some(sheet),
        (None, Some(_)) => None,
        _ => return Err("this double knows the metadata of worksheets and of the spreadsheet".to_owned()),
    };
    let key = text(&wanted, "metadataKey").filter(|key| !key.is_empty()).ok_or("A key must be specified.")?.to_owned();
    let visibility = text(&wanted, "visibility").ok_or("A visibility must be specified.")?.to_owned();
    let free =
        || (1..10_000_u64).map(|number| number * 104_729).find(|id| book.metadata.iter().all(|mark| mark.id != *id));
    let id = wanted.get("metadataId").and_then(Value::as_u64).or_else(free).unwrap_or(1);
    if id == 0 || i32::try_from(id).is_err() {
        return Err("The metadata id must be positive.".to_owned());
    }
    if book.metadata.iter().any(|mark| mark.id == id) {
        return Err(format!("Developer metadata with id {id} already exists."));
    }
    let mark = Metadata { id, key, value: text(&wanted, "metadataValue").map(str::to_owned), visibility, sheet };
    let size =
        |mark: &Metadata| mark.key.chars().count() + mark.value.as_ref().map_or(0, |value| value.chars().count());
    let taken: usize = book.metadata.iter().filter(|other| other.sheet == sheet).map(size).sum();
    if taken + size(&mark) > METADATA_CHARS_MAX {
        return Err("This location has more developer metadata than it may have.".to_owned());
    }
    let shown = metadata(&mark);
    book.metadata.push(mark);
    Ok(json!({ "createDeveloperMetadata": { "developerMetadata": shown } }))
}
