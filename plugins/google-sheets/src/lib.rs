//! Google Sheets: rows by the names of their columns, and a trigger for new and changed ones.
//!
//! Reading order: `worksheet` (what each action opens), `marks` (why a repetition does nothing twice), `header` and `search`; then the actions.

#![expect(
    clippy::needless_pass_by_value,
    reason = "actions, polls and choices take their input by value: the SDK calls them so"
)]

mod api;
mod cells;
mod create;
mod delete;
mod hash;
mod header;
mod input;
mod look_up;
mod marks;
mod options;
mod row_changed;
mod search;
mod update;
mod upsert;
mod worksheet;
mod worksheets;

flowcell_sdk::plugin! {
    actions: {
        "create-row" => create::create_row,
        "create-rows" => create::create_rows,
        "look-up-row" => look_up::look_up_row,
        "look-up-rows" => look_up::look_up_rows,
        "update-row" => update::update_row,
        "update-rows" => update::update_rows,
        "update-by-look-up" => update::update_by_look_up,
        "delete-row" => delete::delete_row,
        "delete-by-look-up" => delete::delete_by_look_up,
        "upsert-row" => upsert::upsert_row,
        "create-sheet" => worksheets::create_sheet,
        "read-range" => worksheets::read_range,
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
