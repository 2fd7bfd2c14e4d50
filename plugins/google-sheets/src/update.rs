//! The actions `update-row`, `update-rows` and `update-by-look-up`: new values for some columns of rows that are there.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Map, Value, json};

use crate::cells::{self, letters};
use crate::input::{EnterAs, Which, on_worksheet};
use crate::marks::Done;
use crate::search::{Case, Condition, FOUND_MAX, From, Join, Search};
use crate::worksheet::{Changed, Worksheet};

on_worksheet! {
    pub(crate) struct UpdateRow {
        /// The row's number, as Google Sheets shows it.
        #[input(minimum = 1, example = 7)]
        row: u64,
        /// New values by the columns' names; null or "" empties a cell, what is not named stays.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        values: Map<String, Value>,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

on_worksheet! {
    pub(crate) struct UpdateRows {
        #[input(min_items = 1, max_items = 1000)]
        rows: Vec<RowValues>,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

#[derive(Input)]
pub(crate) struct RowValues {
    /// The row's number, as Google Sheets shows it.
    #[input(minimum = 1, example = 7)]
    row: u64,
    /// New values by the columns' names; null or "" empties a cell, what is not named stays.
    #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
    values: Map<String, Value>,
}

on_worksheet! {
    pub(crate) struct UpdateByLookUp {
        /// What the row must have.
        #[serde(rename = "where")]
        condition: Condition,
        /// A second condition.
        second: Option<Condition>,
        /// How the second condition joins the first.
        #[serde(default)]
        join: Join,
        /// Which row is the first.
        #[serde(default)]
        search_from: From,
        /// Whether upper and lower case count as the same.
        #[serde(default)]
        case: Case,
        /// Only the first row that fits, or all of them.
        #[serde(default)]
        which: Which,
        /// New values by the columns' names; null or "" empties a cell, what is not named stays.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        values: Map<String, Value>,
        /// What to do when no row fits.
        #[serde(default)]
        if_missing: IfMissing,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IfMissing {
    /// The step fails with `not-found`.
    #[default]
    Fail,
    /// The step succeeds with `updated: 0`.
    Continue,
    /// A row is created from `values`.
    Create,
}

#[derive(Output)]
#[expect(clippy::struct_field_names, reason = "`updated` is what people read as `steps.<id>.output.updated`")]
pub(crate) struct Updated {
    /// How many rows were changed.
    pub(crate) updated: usize,
    /// Their numbers; after a repetition of `update-by-look-up`, those that are known.
    pub(crate) rows: Vec<u64>,
    /// None fitted, so one was created.
    pub(crate) created: bool,
    /// An earlier attempt of this step had done it.
    pub(crate) repeated: bool,
}

pub(crate) fn update_row(ctx: &Context, input: UpdateRow) -> Result<Updated, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    sheet.check_row(input.row, "/row")?;
    let cells = sheet.cells(&input.values, "/values")?;
    write(ctx, &sheet, &[(input.row, cells)], input.enter_as)
}

pub(crate) fn update_rows(ctx: &Context, input: UpdateRows) -> Result<Updated, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    let mut rows = Vec::with_capacity(input.rows.len());
    for (place, one) in input.rows.iter().enumerate() {
        sheet.check_row(one.row, &format!("/rows/{place}/row"))?;
        if rows.iter().any(|(row, _)| *row == one.row) {
            return Err(ActionError::invalid_input(
                &format!("/rows/{place}/row"),
                format!("row {} is given twice", one.row),
            ));
        }
        rows.push((one.row, sheet.cells(&one.values, &format!("/rows/{place}/values"))?));
    }
    write(ctx, &sheet, &rows, input.enter_as)
}

pub(crate) fn update_by_look_up(ctx: &Context, input: UpdateByLookUp) -> Result<Updated, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    let cells = sheet.cells(&input.values, "/values")?;
    let limit = if input.which == Which::All { FOUND_MAX as usize } else { 1 };
    let search = Search::new(input.condition, input.second, input.join).from(input.search_from).case(input.case);
    if let Some(done) = sheet.done(ctx) {
        // The row may fit no more, and another one instead: what was done is done. Only entering may have been cut off.
        if let (Done::Appended(_), EnterAs::UserEntered) = (done, input.enter_as) {
            crate::create::create(ctx, &sheet, input.values, input.enter_as)?;
        } else if input.enter_as == EnterAs::UserEntered {
            let rows = match done {
                Done::Row(row) => vec![row],
                Done::Rows(_) | Done::Appended(_) => {
                    search.find(&sheet, limit)?.iter().map(|found| found.row).collect()
                }
            };
            enter(&sheet, rows.iter().map(|row| (*row, &cells)))?;
        }
        return Ok(match done {
            Done::Appended(_) => Updated { updated: 0, rows: Vec::new(), created: true, repeated: true },
            Done::Row(_) | Done::Rows(_) => {
                Updated { updated: done.count(), rows: done.rows(), created: false, repeated: true }
            }
        });
    }
    let found = search.find(&sheet, limit)?;
    if found.is_empty() {
        return match input.if_missing {
            IfMissing::Fail => Err(not_found(&sheet)),
            IfMissing::Continue => Ok(Updated { updated: 0, rows: Vec::new(), created: false, repeated: false }),
            IfMissing::Create => {
                let created = crate::create::create(ctx, &sheet, input.values, input.enter_as)?;
                let rows = created.row.into_iter().collect();
                Ok(Updated { updated: 0, rows, created: true, repeated: created.repeated })
            }
        };
    }
    let rows: Vec<_> = found.iter().map(|found| (found.row, cells.clone())).collect();
    write(ctx, &sheet, &rows, input.enter_as)
}

pub(crate) fn not_found(sheet: &Worksheet) -> ActionError {
    let message = format!("no row of `{}` fits; with `if_missing` the step can go on, or create one", sheet.title);
    ActionError::permanent("not-found", message)
}

/// Writes cells of rows and leaves the step's mark.
pub(crate) fn write(
    ctx: &Context,
    sheet: &Worksheet,
    rows: &[(u64, Vec<(usize, Value)>)],
    enter_as: EnterAs,
) -> Result<Updated, ActionError> {
    let numbers: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
    let updated = |repeated: bool| Updated { updated: numbers.len(), rows: numbers.clone(), created: false, repeated };
    let earlier = sheet.done(ctx);
    if enter_as == EnterAs::UserEntered {
        // Google enters values only in a request that leaves no mark. So the mark comes first, with the row, and entering can be repeated.
        let is_repeated = match earlier {
            Some(_) => true,
            None => matches!(sheet.change(ctx, Vec::new(), &numbers)?, Changed::Before(_)),
        };
        enter(sheet, rows.iter().map(|(row, cells)| (*row, cells)))?;
        return Ok(updated(is_repeated));
    }
    if earlier.is_some() {
        return Ok(updated(true));
    }
    let mut changes = Vec::new();
    for (row, cells) in rows {
        for (column, value) in cells {
            let cell = cells::raw(value, "/values")?;
            changes.push(json!({ "updateCells": {
                "rows": [{ "values": [cell] }],
                "fields": "userEnteredValue",
                "start": { "sheetId": sheet.id, "rowIndex": row - 1, "columnIndex": column },
            } }));
        }
    }
    let changed = sheet.change(ctx, changes, &numbers)?;
    Ok(updated(matches!(changed, Changed::Before(_))))
}

/// Enters values as if somebody typed them.
pub(crate) fn enter<'a>(
    sheet: &Worksheet,
    rows: impl Iterator<Item = (u64, &'a Vec<(usize, Value)>)>,
) -> Result<(), ActionError> {
    let mut data = Vec::new();
    for (row, cells) in rows {
        for (column, value) in cells {
            let range = sheet.range(&format!("{}{row}", letters(*column)));
            data.push(json!({ "range": range, "values": [[cells::typed(value, "/values")?]] }));
        }
    }
    if data.is_empty() {
        return Ok(());
    }
    let body = json!({ "valueInputOption": "USER_ENTERED", "data": data });
    sheet.book.post("/values:batchUpdate", &[("fields", "totalUpdatedCells")], &body).map(drop)
}
