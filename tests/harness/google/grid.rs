//! Spreadsheets in memory: worksheets of cells, each as its `userEnteredValue`.

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Spreadsheet {
    pub id: String,
    pub title: String,
    pub sheets: Vec<Sheet>,
    /// Developer metadata of worksheets (and, without one, of the whole spreadsheet).
    pub metadata: Vec<Metadata>,
    /// Whether the caller may see it.
    pub shared: bool,
    /// The shared drive it lies in.
    pub drive: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    pub id: u64,
    pub key: String,
    pub value: Option<String>,
    pub visibility: String,
    pub sheet: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Sheet {
    pub id: u64,
    pub title: String,
    pub row_count: usize,
    pub column_count: usize,
    /// `null`, or `{"stringValue": …}`, `{"numberValue": …}`, `{"boolValue": …}`, `{"formulaValue": …}`.
    cells: Vec<Vec<Value>>,
}

/// The grid of a new worksheet.
const ROWS: usize = 1_000;
const COLUMNS: usize = 26;

impl Spreadsheet {
    pub fn new(id: &str, sheets: &[(&str, Value)]) -> Self {
        let sheets = sheets.iter().zip(0u64..).map(|((title, rows), place)| {
            // The first worksheet of a new spreadsheet has the id 0; others have any.
            let mut sheet = Sheet::new(place * 1_000_003, title);
            for (row, cells) in rows.as_array().into_iter().flatten().enumerate() {
                for (column, cell) in cells.as_array().into_iter().flatten().enumerate() {
                    sheet.enter(row, column, typed(cell));
                }
            }
            sheet
        });
        Self {
            id: id.to_owned(),
            title: format!("The book {id}"),
            sheets: sheets.collect(),
            metadata: Vec::new(),
            shared: true,
            drive: None,
        }
    }

    pub(crate) fn place(&self, sheet: u64) -> Option<usize> {
        self.sheets.iter().position(|known| known.id == sheet)
    }
}

impl Sheet {
    pub(crate) fn new(id: u64, title: &str) -> Self {
        Self { id, title: title.to_owned(), row_count: ROWS, column_count: COLUMNS, cells: Vec::new() }
    }

    pub(crate) fn cell(&self, row: usize, column: usize) -> &Value {
        self.cells.get(row).and_then(|cells| cells.get(column)).unwrap_or(&Value::Null)
    }

    /// Puts a `userEnteredValue` (or null) there; the grid grows to hold it.
    pub fn enter(&mut self, row: usize, column: usize, value: Value) {
        if self.cells.len() <= row {
            self.cells.resize(row + 1, Vec::new());
        }
        if let Some(cells) = self.cells.get_mut(row) {
            if cells.len() <= column {
                cells.resize(column + 1, Value::Null);
            }
            if let Some(cell) = cells.get_mut(column) {
                *cell = value;
            }
        }
        self.row_count = self.row_count.max(row + 1);
        self.column_count = self.column_count.max(column + 1);
    }

    /// As [`Sheet::enter`], for a plain JSON value; a text with `=` is a formula.
    pub fn put(&mut self, row: usize, column: usize, value: &Value) {
        self.enter(row, column, typed(value));
    }

    /// The row after the last one that holds anything.
    pub(crate) fn end(&self) -> usize {
        self.cells.iter().rposition(|cells| cells.iter().any(|cell| !cell.is_null())).map_or(0, |last| last + 1)
    }

    pub(crate) fn is_empty_row(&self, row: usize) -> bool {
        self.cells.get(row).is_none_or(|cells| cells.iter().all(Value::is_null))
    }

    pub fn insert_rows(&mut self, start: usize, count: usize) {
        self.row_count += count;
        if start < self.cells.len() {
            self.cells.splice(start..start, std::iter::repeat_n(Vec::new(), count));
        }
    }

    pub fn delete_rows(&mut self, start: usize, end: usize) {
        self.row_count = self.row_count.saturating_sub(end.saturating_sub(start));
        let known = self.cells.len();
        self.cells.drain(start.min(known)..end.min(known));
    }

    pub(crate) fn delete_columns(&mut self, start: usize, end: usize) {
        self.column_count = self.column_count.saturating_sub(end.saturating_sub(start));
        for cells in &mut self.cells {
            let known = cells.len();
            cells.drain(start.min(known)..end.min(known));
        }
    }

    pub(crate) fn insert_columns(&mut self, start: usize, count: usize) {
        self.column_count += count;
        for cells in &mut self.cells {
            if start < cells.len() {
                cells.splice(start..start, std::iter::repeat_n(Value::Null, count));
            }
        }
    }

    pub(crate) fn resize(&mut self, rows: usize, columns: usize) {
        (self.row_count, self.column_count) = (rows, columns);
        self.cells.truncate(rows);
        for cells in &mut self.cells {
            cells.truncate(columns);
        }
    }

    /// The rows as they were entered, without empty ends.
    pub fn entered(&self) -> Vec<Vec<Value>> {
        let rows = self.cells.iter().take(self.end()).map(|cells| {
            let end = cells.iter().rposition(|cell| !cell.is_null()).map_or(0, |last| last + 1);
            let shown = cells.iter().take(end).map(|cell| match cell.get("formulaValue") {
                Some(formula) => json!({ "formula": formula }),
                None => plain(cell),
            });
            shown.collect()
        });
        rows.collect()
    }
}

/// The `userEnteredValue` of a JSON value, as if it had been typed.
pub(crate) fn typed(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('\'') {
            Some(literal) => json!({ "stringValue": literal }),
            None if text.is_empty() => Value::Null,
            None if text.starts_with('=') => json!({ "formulaValue": text }),
            None if text.eq_ignore_ascii_case("true") => json!({ "boolValue": true }),
            None if text.eq_ignore_ascii_case("false") => json!({ "boolValue": false }),
            None => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => json!({ "numberValue": shortest(number) }),
                _ => json!({ "stringValue": text }),
            },
        },
        other => raw(other),
    }
}

/// The `userEnteredValue` of a JSON value, as it is.
pub(crate) fn raw(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!({ "numberValue": number }),
        Value::Bool(truth) => json!({ "boolValue": truth }),
        Value::String(text) if !text.is_empty() => json!({ "stringValue": text }),
        _ => Value::Null,
    }
}

/// What the cell comes to: formulas are calculated.
pub(crate) fn effective(cell: &Value) -> Value {
    let Some(formula) = cell.get("formulaValue").and_then(Value::as_str) else { return cell.clone() };
    match calculated(formula) {
        Some(sum) => json!({ "numberValue": shortest(sum) }),
        None => {
            json!({ "errorValue": { "type": "NAME", "message": format!("this double cannot calculate {formula}") } })
        }
    }
}

/// The one kind of formula that it can calculate: sums of numbers.
fn calculated(formula: &str) -> Option<f64> {
    formula.strip_prefix('=')?.split('+').map(|part| part.trim().parse::<f64>().ok()).sum()
}

/// A whole number without a fraction, as Google's JSON has it.
fn shortest(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "only whole numbers that a double holds exactly come here")]
    if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
}

/// A cell's value as plain JSON; `""` for nothing.
pub(crate) fn plain(cell: &Value) -> Value {
    let value = effective(cell);
    for kind in ["stringValue", "numberValue", "boolValue"] {
        if let Some(value) = value.get(kind) {
            return value.clone();
        }
    }
    if value.get("errorValue").is_some() { json!("#NAME?") } else { json!("") }
}

/// A cell as people see it.
pub(crate) fn formatted(cell: &Value) -> Value {
    match plain(cell) {
        Value::Bool(truth) => json!(truth.to_string().to_uppercase()),
        Value::Number(number) => json!(number.to_string()),
        other => other,
    }
}
