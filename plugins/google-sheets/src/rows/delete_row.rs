//! The action `delete-row`: a row that is gone, not emptied.

use flowcell_sdk::{ActionError, Context, Output};
use serde_json::{Map, Value, json};

use super::on_worksheet;
use crate::sheet::{Changed, Worksheet};

on_worksheet! {
    pub(crate) struct DeleteRow {
        /// The row's number, as Google Sheets shows it. The rows below it move up.
        #[input(minimum = 1, example = 7)]
        row: u64,
    }
}

#[derive(Output)]
#[expect(clippy::struct_field_names, reason = "`deleted` is what people read as `steps.<id>.output.deleted`")]
pub(crate) struct Deleted {
    pub(super) deleted: usize,
    /// The numbers that the rows had.
    pub(super) rows: Vec<u64>,
    /// What stood in the first of them, where it was looked up.
    pub(super) values: Map<String, Value>,
    /// An earlier attempt of this step had deleted it.
    pub(super) repeated: bool,
}

pub(crate) fn delete_row(ctx: &Context, input: DeleteRow) -> Result<Deleted, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    if let Some(deleted) = earlier(ctx, &sheet) {
        return Ok(deleted);
    }
    sheet.check_row(input.row, "/row")?;
    delete(ctx, &sheet, vec![input.row], Map::new())
}

/// What an earlier attempt deleted: the row that has the number now is another one.
pub(super) fn earlier(ctx: &Context, sheet: &Worksheet) -> Option<Deleted> {
    let done = sheet.done(ctx)?;
    Some(Deleted { deleted: done.count(), rows: done.rows(), values: Map::new(), repeated: true })
}

/// Deletes rows of an open worksheet and leaves the step's mark.
pub(super) fn delete(
    ctx: &Context,
    sheet: &Worksheet,
    rows: Vec<u64>,
    values: Map<String, Value>,
) -> Result<Deleted, ActionError> {
    let mut downwards = rows.clone();
    // From the last one, so that no other moves before its turn.
    downwards.sort_unstable_by(|a, b| b.cmp(a));
    let range = |row: &u64| json!({ "sheetId": sheet.id, "dimension": "ROWS", "startIndex": row - 1, "endIndex": row });
    let changes = downwards.iter().map(|row| json!({ "deleteDimension": { "range": range(row) } })).collect();
    let changed = sheet.change(ctx, changes, &rows)?;
    Ok(Deleted { deleted: rows.len(), rows, values, repeated: matches!(changed, Changed::Before(_)) })
}
