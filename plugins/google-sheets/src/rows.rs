//! The actions on rows, each a file named like it, and what their inputs have in common.

pub(crate) mod create_row;
pub(crate) mod create_rows;
pub(crate) mod delete_by_look_up;
pub(crate) mod delete_row;
pub(crate) mod look_up_row;
pub(crate) mod look_up_rows;
pub(crate) mod update_by_look_up;
pub(crate) mod update_row;
pub(crate) mod update_rows;
pub(crate) mod upsert_row;

use flowcell_sdk::{ActionError, Input};

use crate::sheet::Worksheet;
pub(crate) use crate::sheet::write::EnterAs;

/// An action's input: where it works, and fields of its own.
macro_rules! on_worksheet {
    ($(#[$outer:meta])* pub(crate) struct $name:ident { $($fields:tt)* }) => {
        $(#[$outer])*
        #[derive(flowcell_sdk::Input)]
        pub(crate) struct $name {
            /// The shared drive whose spreadsheets are offered; only for choosing.
            #[input(options)]
            #[allow(dead_code, reason = "it is for `options` alone")]
            drive: Option<String>,
            /// The spreadsheet's id, or its address in a browser.
            #[input(options, depends_on = "drive", example = "1qpyC0XzvTcKT6EISywvqESX3A0MwQoFDE8p-Bll4hps")]
            pub(crate) spreadsheet: String,
            /// The worksheet's name; without one, the first.
            #[input(options, depends_on = "spreadsheet", example = "Orders")]
            pub(crate) worksheet: Option<String>,
            /// The row that holds the columns' names.
            #[serde(default = "crate::rows::first_row")]
            #[input(default = 1, minimum = 1)]
            pub(crate) header_row: u64,
            $($fields)*
        }

        impl $name {
            fn place(&self) -> crate::sheet::Place<'_> {
                crate::sheet::Place {
                    spreadsheet: &self.spreadsheet,
                    worksheet: self.worksheet.as_deref().filter(|title| !title.is_empty()),
                    header_row: self.header_row.max(1),
                }
            }
        }
    };
}
pub(crate) use on_worksheet;

pub(crate) fn first_row() -> u64 {
    1
}

/// Which of several rows that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Which {
    #[default]
    First,
    All,
}

/// The error of an action whose row is not there.
fn not_found(sheet: &Worksheet) -> ActionError {
    let message = format!("no row of `{}` fits; with `if_missing` the step can go on, or create one", sheet.title);
    ActionError::permanent("not-found", message)
}
