//! A worksheet, opened: what it is called, how large it is, its columns, and the marks of earlier steps. One request.

use std::fmt::Write as _;

use flowcell_sdk::{ActionError, Context};
use serde_json::{Value, json};

use crate::api::{Book, is_mark_taken, is_unknown_range};
use crate::cells::{self, letters, quoted};
use crate::header::{Header, nearest};
use crate::marks::{Done, Marks};

/// What is asked of a worksheet: as little as will do.
const FIELDS: &str = "sheets(properties(sheetId,title,gridProperties(rowCount,columnCount)),data(rowData(values(formattedValue))),\
                      developerMetadata(metadataId,metadataKey,metadataValue))";

/// Up to so many rows of the grid, the answer to an append tells the number of the new row: one column of a new worksheet, at most 60 KiB, so that it
/// stays whole in the run's record. Beyond that, knowing it would cost more than the append.
const ROWS_TOLD_MAX: u64 = 1_000;

/// Where a step works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) spreadsheet: &'a str,
    /// None: the first one.
    pub(crate) worksheet: Option<&'a str>,
    pub(crate) header_row: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Worksheet {
    pub(crate) book: Book,
    pub(crate) id: u64,
    pub(crate) title: String,
    pub(crate) header: Header,
    pub(crate) header_row: u64,
    /// Of its grid, empty ones included.
    pub(crate) rows: u64,
    marks: Marks,
}

/// Whether a change has just been made, or by an earlier attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Changed {
    Now(Value),
    Before(Done),
}

impl Worksheet {
    pub(crate) fn open(ctx: &Context, place: Place<'_>) -> Result<Self, ActionError> {
        let book = Book::parse(ctx, place.spreadsheet)?;
        let row = place.header_row;
        let range = match place.worksheet {
            Some(title) => format!("{}!{row}:{row}", quoted(title)),
            None => format!("{row}:{row}"),
        };
        let answer = match book.get("", &[("ranges", &range), ("fields", FIELDS)]) {
            Err(error) if is_unknown_range(&error) => {
                return Err(unknown_worksheet(&book, place.worksheet.unwrap_or_default())?);
            }
            Err(error) if error.message.contains("exceeds grid limits") => {
                let message =
                    format!("the worksheet has no row {row}; `header_row` is the row that holds the columns' names");
                return Err(ActionError::invalid_input("/header_row", message));
            }
            answer => answer?,
        };
        let sheet = answer.pointer("/sheets/0").ok_or_else(|| unexpected("no worksheet"))?;
        let number = |pointer: &str| sheet.pointer(pointer).and_then(Value::as_u64);
        let title = sheet
            .pointer("/properties/title")
            .and_then(Value::as_str)
            .ok_or_else(|| unexpected("a worksheet without a title"))?;
        let names = sheet.pointer("/data/0/rowData/0/values").and_then(Value::as_array).into_iter().flatten();
        let names = names.map(|cell| cell.get("formattedValue").and_then(Value::as_str).unwrap_or_default().to_owned());
        Ok(Self {
            id: number("/properties/sheetId").unwrap_or(0),
            title: title.to_owned(),
            header: Header::new(title, names),
            header_row: row,
            rows: number("/properties/gridProperties/rowCount").unwrap_or(0),
            marks: Marks::read(sheet.get("developerMetadata")),
            book,
        })
    }

    /// What an earlier attempt of this step did: nothing may be changed again then.
    pub(crate) fn done(&self, ctx: &Context) -> Option<Done> {
        self.marks.done(ctx)
    }

    /// Makes changes to these rows and leaves the step's mark, all or nothing.
    pub(crate) fn change(&self, ctx: &Context, changes: Vec<Value>, rows: &[u64]) -> Result<Changed, ActionError> {
        self.send(ctx, changes, Done::of(rows), None)
    }

    /// Adds rows below all others. Returns the first one's number, where the answer tells it.
    pub(crate) fn append(
        &self,
        ctx: &Context,
        rows: &[Vec<Value>],
        must_tell: bool,
    ) -> Result<(Changed, Option<u64>), ActionError> {
        let rows_data: Vec<Value> = rows.iter().map(|cells| json!({ "values": cells })).collect();
        let append = json!({ "appendCells": { "sheetId": self.id, "rows": rows_data, "fields": "userEnteredValue" } });
        // A column in which the last new row has something: whatever is last in it, is that row.
        let told = rows.last().and_then(|last| last.iter().position(|cell| *cell != json!({})));
        let column = told.filter(|_| must_tell || self.rows <= ROWS_TOLD_MAX);
        let changed = self.send(ctx, vec![append], Done::Appended(rows.len()), column)?;
        let first = match (&changed, column) {
            (Changed::Now(answer), Some(_)) => {
                last_filled(answer).and_then(|last| (last + 1).checked_sub(rows.len() as u64))
            }
            _ => None,
        };
        Ok((changed, first))
    }

    fn send(
        &self,
        ctx: &Context,
        mut requests: Vec<Value>,
        done: Done,
        told: Option<usize>,
    ) -> Result<Changed, ActionError> {
        requests.push(self.marks.request(ctx, self.id, done)?);
        let mut body = json!({ "requests": requests });
        let mut fields = "replies.addSheet.properties(sheetId,title)".to_owned();
        if let (Some(column), Some(body)) = (told, body.as_object_mut()) {
            let column = letters(column);
            body.insert("includeSpreadsheetInResponse".to_owned(), json!(true));
            body.insert("responseIncludeGridData".to_owned(), json!(true));
            body.insert("responseRanges".to_owned(), json!([format!("{}!{column}:{column}", quoted(&self.title))]));
            fields.push_str(",updatedSpreadsheet.sheets.data(startRow,rowData.values.userEnteredValue)");
        }
        match self.book.post(":batchUpdate", &[("fields", &fields)], &body) {
            Ok(answer) => {
                self.marks.tidy(&self.book);
                Ok(Changed::Now(answer))
            }
            // An attempt that was given up was still on its way, and came first.
            Err(error) if is_mark_taken(&error) => {
                let place =
                    Place { spreadsheet: self.book.id(), worksheet: Some(&self.title), header_row: self.header_row };
                let again = Self::open(ctx, place)?;
                again.done(ctx).map(Changed::Before).ok_or_else(|| ActionError::transient(error.message))
            }
            Err(error) => Err(error),
        }
    }

    /// Rows of values by `lines` of the same width: columns as the header has them, what is not named stays empty.
    pub(crate) fn cells(
        &self,
        values: &serde_json::Map<String, Value>,
        at: &str,
    ) -> Result<Vec<(usize, Value)>, ActionError> {
        if values.is_empty() {
            return Err(ActionError::invalid_input(at, "give at least one value, by the name of its column"));
        }
        let mut cells = Vec::with_capacity(values.len());
        for (name, value) in values {
            let at = cells::pointer(at, name);
            let column = self.header.column(name, &at)?;
            cells::raw(value, &at)?;
            if cells.iter().any(|(other, _)| *other == column) {
                return Err(ActionError::invalid_input(&at, format!("the column `{}` is given twice", name.trim())));
            }
            cells.push((column, value.clone()));
        }
        cells.sort_by_key(|(column, _)| *column);
        Ok(cells)
    }

    /// Checks that a row can be one of the data.
    pub(crate) fn check_row(&self, row: u64, at: &str) -> Result<(), ActionError> {
        if row <= self.header_row {
            let message = format!(
                "row {row} is not below the header, which is row {}; rows count from 1, as Google Sheets shows them",
                self.header_row
            );
            return Err(ActionError::invalid_input(at, message));
        }
        if row > self.rows {
            return Err(ActionError::invalid_input(
                at,
                format!("`{}` has no row {row}; its last one is {}", self.title, self.rows),
            ));
        }
        Ok(())
    }

    /// A range of it, without its title.
    pub(crate) fn range(&self, cells: &str) -> String {
        format!("{}!{cells}", quoted(&self.title))
    }
}

/// The number of the last row that has something in the column that was asked for.
fn last_filled(answer: &Value) -> Option<u64> {
    let data = answer.pointer("/updatedSpreadsheet/sheets/0/data/0")?;
    let start = data.get("startRow").and_then(Value::as_u64).unwrap_or(0);
    let rows = data.get("rowData")?.as_array()?;
    let last = rows.iter().rposition(|row| row.pointer("/values/0/userEnteredValue").is_some())?;
    Some(start + last as u64 + 1)
}

/// The error for a worksheet that is not there, with those that are.
fn unknown_worksheet(book: &Book, wanted: &str) -> Result<ActionError, ActionError> {
    let titles = titles(book)?;
    let listed: Vec<String> = titles.iter().map(|title| format!("`{title}`")).collect();
    let mut message = format!("the spreadsheet has no worksheet `{wanted}`; it has {}", listed.join(", "));
    let near = nearest(wanted, titles.iter().map(String::as_str));
    if let Some(near) = near {
        let _ = write!(message, ". Did you mean `{near}`?");
    }
    let error = ActionError::invalid_input("/worksheet", message).detail("did_you_mean", near);
    Ok(error.detail("worksheets", &titles))
}

/// The titles of a spreadsheet's worksheets.
pub(crate) fn titles(book: &Book) -> Result<Vec<String>, ActionError> {
    let answer = book.get("", &[("fields", "sheets.properties.title")])?;
    let sheets = answer.get("sheets").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(sheets.iter().filter_map(|sheet| sheet.pointer("/properties/title")?.as_str().map(str::to_owned)).collect())
}

fn unexpected(what: &str) -> ActionError {
    ActionError::permanent("invalid-response", format!("Google's answer has {what}"))
}
