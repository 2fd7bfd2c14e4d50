//! Google Sheets: rows by the names of their columns, and a trigger for new and changed ones.
//!
//! Each action is a file named like it, those on rows in `rows`. What they open is a `sheet`; begin there.

#![expect(
    clippy::needless_pass_by_value,
    reason = "actions, polls and choices take their input by value: the SDK calls them so"
)]

mod create_sheet;
mod options;
mod read_range;
mod row_changed;
mod rows;
mod sheet;

use rows::{
    create_row, create_rows, delete_by_look_up, delete_row, look_up_row, look_up_rows, update_by_look_up, update_row,
    update_rows, upsert_row,
};

flowcell_sdk::plugin! {
    actions: {
        "create-row" => create_row::create_row,
        "create-rows" => create_rows::create_rows,
        "look-up-row" => look_up_row::look_up_row,
        "look-up-rows" => look_up_rows::look_up_rows,
        "update-row" => update_row::update_row,
        "update-rows" => update_rows::update_rows,
        "update-by-look-up" => update_by_look_up::update_by_look_up,
        "delete-row" => delete_row::delete_row,
        "delete-by-look-up" => delete_by_look_up::delete_by_look_up,
        "upsert-row" => upsert_row::upsert_row,
        "create-sheet" => create_sheet::create_sheet,
        "read-range" => read_range::read_range,
    },
    polls: { "row-changed" => row_changed::row_changed },
    options: {
        "create-row" => options::choices,
        "create-rows" => options::choices,
        "look-up-row" => options::choices,
        "look-up-rows" => options::choices,
        "update-row" => options::choices,
        "update-rows" => options::choices,
        "update-by-look-up" => options::choices,
        "delete-row" => options::choices,
        "delete-by-look-up" => options::choices,
        "upsert-row" => options::choices,
        "create-sheet" => options::choices,
        "read-range" => options::choices,
        "row-changed" => options::choices,
    },
}

#[cfg(test)]
mod tests;
