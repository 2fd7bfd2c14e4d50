//! The action `create-rows`: several rows below all others, as a whole.

use flowcell_sdk::{ActionError, Context, Output};
use serde_json::{Map, Value};

use super::{EnterAs, on_worksheet};
use crate::sheet::Worksheet;
use crate::sheet::write::{Entry, append};

/// Rows of one step: an input has at most 1 MiB, and Google takes some 2 MiB at a time.
const ROWS_MAX: usize = 1_000;

on_worksheet! {
    pub(crate) struct CreateRows {
        /// The rows in their order, each as an object of values by the columns' names.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"], min_items = 1, max_items = 1000)]
        rows: Vec<Map<String, Value>>,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

#[derive(Output)]
pub(crate) struct CreatedRows {
    count: usize,
    /// The first new row's number, or null as in `create-row`.
    first_row: Option<u64>,
    /// An earlier attempt of this step had added them.
    repeated: bool,
}

pub(crate) fn create_rows(ctx: &Context, input: CreateRows) -> Result<CreatedRows, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    if input.rows.is_empty() || input.rows.len() > ROWS_MAX {
        let message = format!("give 1 to {ROWS_MAX} rows; more of them with `for_each` over parts");
        return Err(ActionError::invalid_input("/rows", message));
    }
    let at = |row: usize| format!("/rows/{row}");
    let rows = input.rows.iter().enumerate().map(|(row, values)| sheet.cells(values, &at(row)));
    let appended =
        append(ctx, &sheet, &rows.collect::<Result<Vec<_>, _>>()?, &Entry { enter_as: input.enter_as, at: &at })?;
    Ok(CreatedRows { count: input.rows.len(), first_row: appended.first, repeated: appended.is_repeated })
}
