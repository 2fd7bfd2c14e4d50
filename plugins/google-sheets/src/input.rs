//! What the inputs and outputs of the row actions have in common.

use flowcell_sdk::{Input, Output};
use serde_json::{Map, Value};

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
            #[serde(default = "crate::input::first_row")]
            #[input(default = 1, minimum = 1)]
            pub(crate) header_row: u64,
            $($fields)*
        }

        impl $name {
            fn place(&self) -> crate::worksheet::Place<'_> {
                crate::worksheet::Place {
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

/// How values are put into cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EnterAs {
    /// As they are: text stays text, also when it begins with `=`.
    #[default]
    Raw,
    /// As if somebody had typed them: `=SUM(A1:A9)` becomes a formula, `1/2/2026` a date. Never for text that others wrote.
    UserEntered,
}

/// Which of several rows that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Which {
    #[default]
    First,
    All,
}

/// A row with its number, as Google Sheets shows it.
#[derive(Debug, Clone, Output)]
pub(crate) struct Row {
    #[output(example = 7)]
    pub(crate) row: u64,
    /// By the columns' names; empty cells are null.
    pub(crate) values: Map<String, Value>,
}
