//! The action `create-row`: one row below all others.

use flowcell_sdk::{ActionError, Context, Output};
use serde_json::{Map, Value};

use super::{EnterAs, on_worksheet};
use crate::sheet::Worksheet;
use crate::sheet::write::{Entry, append};

on_worksheet! {
    pub(crate) struct CreateRow {
        /// The row's values by the columns' names. What is not named stays empty.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        values: Map<String, Value>,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

#[derive(Output)]
pub(crate) struct Created {
    /// The new row's number. Null when finding it out would cost more than the row: in worksheets with more than 1,000 rows.
    pub(crate) row: Option<u64>,
    /// What was put into it.
    pub(crate) values: Map<String, Value>,
    /// An earlier attempt of this step had added it.
    pub(crate) repeated: bool,
}

pub(crate) fn create_row(ctx: &Context, input: CreateRow) -> Result<Created, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    create(ctx, &sheet, input.values, input.enter_as)
}

/// One row at the end of an open worksheet.
pub(crate) fn create(
    ctx: &Context,
    sheet: &Worksheet,
    values: Map<String, Value>,
    enter_as: EnterAs,
) -> Result<Created, ActionError> {
    let cells = sheet.cells(&values, "/values")?;
    let appended = append(ctx, sheet, &[cells], &Entry { enter_as, at: &|_| "/values".to_owned() })?;
    Ok(Created { row: appended.first, values, repeated: appended.is_repeated })
}
