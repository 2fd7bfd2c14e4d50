//! The action `update-rows`: new values for some columns of several rows, as a whole.

use flowcell_sdk::{ActionError, Context, Input};
use serde_json::{Map, Value};

use super::update_row::{Updated, update};
use super::{EnterAs, on_worksheet};
use crate::sheet::Worksheet;

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
    update(ctx, &sheet, &rows, input.enter_as)
}
