//! `spreadsheets.values`: cells as plain JSON.

use serde_json::{Value, json};

use super::a1::{self, Range};
use super::discovery::Call;
use super::grid::{Spreadsheet, effective, formatted, plain, raw, typed};
use super::{Played, Refusal, object, text};

pub(super) fn get(book: &Spreadsheet, call: &Call) -> Played {
    let range = a1::parse(book, call.path.get("range").map_or("", String::as_str))?;
    Ok(value_range(book, range, call))
}

pub(super) fn batch_get(book: &Spreadsheet, call: &Call) -> Played {
    let ranges: Result<Vec<Value>, Refusal> =
        call.all("ranges").map(|text| Ok(value_range(book, a1::parse(book, text)?, call))).collect();
    Ok(json!({ "spreadsheetId": book.id, "valueRanges": ranges? }))
}

fn value_range(book: &Spreadsheet, range: Range, call: &Call) -> Value {
    let show = match call.one("valueRenderOption") {
        Some("UNFORMATTED_VALUE") => |cell: &Value| plain(cell),
        Some("FORMULA") => |cell: &Value| match cell.get("formulaValue") {
            Some(formula) => formula.clone(),
            None => plain(cell),
        },
        _ => |cell: &Value| formatted(cell),
    };
    let by_columns = call.one("majorDimension") == Some("COLUMNS");
    let (outer, inner) = if by_columns { (range.columns, range.rows) } else { (range.rows, range.columns) };
    let Some(sheet) = book.sheets.get(range.sheet) else { return Value::Null };
    let mut lines: Vec<Vec<Value>> = (outer.0..outer.1)
        .map(|outer| {
            let cells = (inner.0..inner.1).map(|inner| if by_columns { (inner, outer) } else { (outer, inner) });
            let mut line: Vec<Value> = cells.map(|(row, column)| show(sheet.cell(row, column))).collect();
            line.truncate(line.iter().rposition(|value| value != "").map_or(0, |last| last + 1));
            line
        })
        .collect();
    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
    object(json!({
        "range": range.text(book),
        "majorDimension": if by_columns { "COLUMNS" } else { "ROWS" },
        "values": if lines.is_empty() { Value::Null } else { json!(lines) },
    }))
}

pub(super) fn update(book: &mut Spreadsheet, call: &Call) -> Played {
    let range = call.path.get("range").map_or("", String::as_str).to_owned();
    let enter = entering(call.one("valueInputOption"))?;
    write(book, &range, &call.body, enter)
}

pub(super) fn batch_update(book: &mut Spreadsheet, call: &Call) -> Played {
    let enter = entering(text(&call.body, "valueInputOption"))?;
    // Nothing is written if one of the ranges cannot be.
    let mut after = book.clone();
    let data = call.body.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let responses: Result<Vec<Value>, Refusal> =
        data.iter().map(|one| write(&mut after, text(one, "range").unwrap_or_default(), one, enter)).collect();
    let responses = responses?;
    *book = after;
    Ok(json!({ "spreadsheetId": book.id, "responses": responses }))
}

type Enter = fn(&Value) -> Value;

fn entering(option: Option<&str>) -> Result<Enter, Refusal> {
    match option {
        Some("RAW") => Ok(raw),
        Some("USER_ENTERED") => Ok(typed),
        _ => Err(Refusal::invalid("'valueInputOption' is required but not specified")),
    }
}

/// The lines of a `ValueRange`, as rows.
fn rows(body: &Value) -> Vec<Vec<Value>> {
    let lines = body.get("values").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines: Vec<Vec<Value>> = lines.into_iter().map(|line| line.as_array().cloned().unwrap_or_default()).collect();
    if text(body, "majorDimension") != Some("COLUMNS") {
        return lines;
    }
    let height = lines.iter().map(Vec::len).max().unwrap_or(0);
    (0..height).map(|row| lines.iter().map(|line| line.get(row).cloned().unwrap_or_default()).collect()).collect()
}

fn write(book: &mut Spreadsheet, range: &str, body: &Value, enter: Enter) -> Played {
    let at = a1::parse(book, range)?;
    let rows = rows(body);
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let is_one_cell = at.rows.1 - at.rows.0 == 1 && at.columns.1 - at.columns.0 == 1;
    if !is_one_cell && (rows.len() > at.rows.1 - at.rows.0 || width > at.columns.1 - at.columns.0) {
        return Err(Refusal::invalid(format!(
            "Requested writing within range [{}], but tried writing to row [{}]",
            at.text(book),
            at.rows.0 + rows.len()
        )));
    }
    let cells = put(book, at, &rows, enter);
    let written = Range {
        rows: (at.rows.0, at.rows.0 + rows.len().max(1)),
        columns: (at.columns.0, at.columns.0 + width.max(1)),
        ..at
    };
    Ok(json!({
        "spreadsheetId": book.id, "updatedRange": written.text(book),
        "updatedRows": rows.len(), "updatedColumns": width, "updatedCells": cells,
    }))
}

/// Null leaves a cell as it is; an empty text empties it.
fn put(book: &mut Spreadsheet, at: Range, rows: &[Vec<Value>], enter: Enter) -> usize {
    let mut cells = 0;
    let Some(sheet) = book.sheets.get_mut(at.sheet) else { return 0 };
    for (row, line) in rows.iter().enumerate() {
        for (column, value) in line.iter().enumerate().filter(|(_, value)| !value.is_null()) {
            sheet.enter(at.rows.0 + row, at.columns.0 + column, enter(value));
            cells += 1;
        }
    }
    cells
}

pub(super) fn append(book: &mut Spreadsheet, call: &Call) -> Played {
    let enter = entering(call.one("valueInputOption"))?;
    let at = a1::parse(book, call.path.get("range").map_or("", String::as_str))?;
    let rows = rows(&call.body);
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let Some(sheet) = book.sheets.get_mut(at.sheet) else { return Err(Refusal::invalid("no sheet")) };
    // The table: the rows from the first that holds anything to the next empty one.
    let first = (at.rows.0..at.rows.1).find(|row| !sheet.is_empty_row(*row));
    let end = first.map_or(at.rows.0, |first| {
        (first..sheet.row_count).find(|row| sheet.is_empty_row(*row)).unwrap_or(sheet.row_count)
    });
    if call.one("insertDataOption") == Some("INSERT_ROWS") && end < sheet.end() {
        sheet.insert_rows(end, rows.len());
    }
    let table = first.map(|first| {
        let columns = (first..end)
            .filter_map(|row| (0..sheet.column_count).rev().find(|column| !sheet.cell(row, *column).is_null()))
            .max();
        Range { sheet: at.sheet, rows: (first, end), columns: (at.columns.0, columns.unwrap_or(0) + 1) }
    });
    let start =
        Range { rows: (end, end + rows.len().max(1)), columns: (at.columns.0, at.columns.0 + width.max(1)), ..at };
    let cells = put(book, start, &rows, enter);
    Ok(object(json!({
        "spreadsheetId": book.id,
        "tableRange": table.map(|table| table.text(book)),
        "updates": {
            "spreadsheetId": book.id, "updatedRange": start.text(book),
            "updatedRows": rows.len(), "updatedColumns": width, "updatedCells": cells,
        },
    })))
}

pub(super) fn clear(book: &mut Spreadsheet, call: &Call) -> Played {
    let range = call.path.get("range").map_or("", String::as_str).to_owned();
    Ok(json!({ "spreadsheetId": book.id, "clearedRange": wipe(book, &range)? }))
}

pub(super) fn batch_clear(book: &mut Spreadsheet, call: &Call) -> Played {
    let ranges = call.body.get("ranges").and_then(Value::as_array).cloned().unwrap_or_default();
    let cleared: Result<Vec<String>, Refusal> =
        ranges.iter().map(|range| wipe(book, range.as_str().unwrap_or_default())).collect();
    Ok(json!({ "spreadsheetId": book.id, "clearedRanges": cleared? }))
}

fn wipe(book: &mut Spreadsheet, range: &str) -> Result<String, Refusal> {
    let at = a1::parse(book, range)?;
    let text = at.text(book);
    if let Some(sheet) = book.sheets.get_mut(at.sheet) {
        for row in at.rows.0..at.rows.1.min(sheet.end()) {
            for column in at.columns.0..at.columns.1 {
                if !sheet.cell(row, column).is_null() {
                    sheet.enter(row, column, Value::Null);
                }
            }
        }
    }
    Ok(text)
}

/// The cells of a range as `rowData`, without empty ends.
pub(super) fn row_data(book: &Spreadsheet, range: Range) -> Value {
    let Some(sheet) = book.sheets.get(range.sheet) else { return Value::Null };
    let end = range.rows.1.min(sheet.end());
    let rows = (range.rows.0..end.max(range.rows.0)).map(|row| {
        let cells = (range.columns.0..range.columns.1).map(|column| {
            let cell = sheet.cell(row, column);
            if cell.is_null() {
                return json!({});
            }
            json!({ "userEnteredValue": cell, "effectiveValue": effective(cell), "formattedValue": formatted(cell) })
        });
        let mut cells: Vec<Value> = cells.collect();
        cells.truncate(cells.iter().rposition(|cell| cell != &json!({})).map_or(0, |last| last + 1));
        if cells.is_empty() { json!({}) } else { json!({ "values": cells }) }
    });
    rows.collect()
}
