//! The action `look-up-rows`: all rows with this in their columns.

use flowcell_sdk::{ActionError, Context, Output};
use serde_json::{Map, Value};

use super::on_worksheet;
use crate::sheet::Worksheet;
use crate::sheet::cells::named;
use crate::sheet::search::{Case, Condition, FOUND_MAX, From, Join, Search};

on_worksheet! {
    pub(crate) struct LookUpRows {
        /// What the rows must have; without it, every row fits.
        #[serde(rename = "where")]
        condition: Option<Condition>,
        /// A second condition.
        second: Option<Condition>,
        /// How the second condition joins the first.
        #[serde(default)]
        join: Join,
        /// The order of the rows.
        #[serde(default)]
        search_from: From,
        /// Whether upper and lower case count as the same.
        #[serde(default)]
        case: Case,
        /// At most so many rows.
        #[serde(default = "hundred")]
        #[input(default = 100, minimum = 1, maximum = 1000)]
        limit: u32,
    }
}

fn hundred() -> u32 {
    100
}

#[derive(Output)]
pub(crate) struct LookedUpRows {
    count: usize,
    rows: Vec<Row>,
    /// There are more than `limit`.
    has_more: bool,
}

/// A row with its number, as Google Sheets shows it.
#[derive(Debug, Clone, Output)]
pub(crate) struct Row {
    #[output(example = 7)]
    pub(crate) row: u64,
    /// By the columns' names; empty cells are null.
    pub(crate) values: Map<String, Value>,
}

pub(crate) fn look_up_rows(ctx: &Context, input: LookUpRows) -> Result<LookedUpRows, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    let limit = input.limit.clamp(1, FOUND_MAX) as usize;
    let search = match (input.condition, input.second) {
        (Some(first), second) => Search::new(first, second, input.join),
        (None, None) => Search { conditions: Vec::new(), join: Join::And, from: From::Top, case: Case::Match },
        (None, Some(_)) => {
            return Err(ActionError::invalid_input("/second", "a second condition needs a first one: `where`"));
        }
    };
    let mut found = search.from(input.search_from).case(input.case).find(&sheet, limit + 1)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let rows: Vec<Row> =
        found.iter().map(|found| Row { row: found.row, values: named(&sheet.header, &found.cells) }).collect();
    Ok(LookedUpRows { count: rows.len(), rows, has_more })
}
