//! The action `update-row`: new values for some columns of a row that is there.

use flowcell_sdk::{ActionError, Context, Output};
use serde_json::{Map, Value};

use super::{EnterAs, on_worksheet};
use crate::sheet::write::{Row, write};
use crate::sheet::{Changed, Worksheet};

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
    update(ctx, &sheet, &[(input.row, cells)], input.enter_as)
}

/// New values for rows of an open worksheet.
pub(crate) fn update(
    ctx: &Context,
    sheet: &Worksheet,
    rows: &[Row],
    enter_as: EnterAs,
) -> Result<Updated, ActionError> {
    let changed = write(ctx, sheet, rows, enter_as)?;
    let rows: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
    Ok(Updated { updated: rows.len(), rows, created: false, repeated: matches!(changed, Changed::Before(_)) })
}
