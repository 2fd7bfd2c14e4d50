//! The action `update-by-look-up`: new values for some columns of the rows with this in others.

use flowcell_sdk::{ActionError, Context, Input};
use serde_json::{Map, Value};

use super::create_row::create;
use super::update_row::{Updated, update};
use super::{EnterAs, Which, not_found, on_worksheet};
use crate::sheet::Worksheet;
use crate::sheet::marks::Done;
use crate::sheet::search::{Case, Condition, FOUND_MAX, From, Join, Search};
use crate::sheet::write::enter;

on_worksheet! {
    pub(crate) struct UpdateByLookUp {
        /// What the row must have.
        #[serde(rename = "where")]
        condition: Condition,
        /// A second condition.
        second: Option<Condition>,
        /// How the second condition joins the first.
        #[serde(default)]
        join: Join,
        /// Which row is the first.
        #[serde(default)]
        search_from: From,
        /// Whether upper and lower case count as the same.
        #[serde(default)]
        case: Case,
        /// Only the first row that fits, or all of them.
        #[serde(default)]
        which: Which,
        /// New values by the columns' names; null or "" empties a cell, what is not named stays.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        values: Map<String, Value>,
        /// What to do when no row fits.
        #[serde(default)]
        if_missing: IfMissing,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IfMissing {
    /// The step fails with `not-found`.
    #[default]
    Fail,
    /// The step succeeds with `updated: 0`.
    Continue,
    /// A row is created from `values`.
    Create,
}

pub(crate) fn update_by_look_up(ctx: &Context, input: UpdateByLookUp) -> Result<Updated, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    let cells = sheet.cells(&input.values, "/values")?;
    let limit = if input.which == Which::All { FOUND_MAX as usize } else { 1 };
    let search = Search::new(input.condition, input.second, input.join).from(input.search_from).case(input.case);
    if let Some(done) = sheet.done(ctx) {
        // The row may fit no more, and another one instead: what was done is done. Only entering may have been cut off.
        if let (Done::Appended(_), EnterAs::UserEntered) = (done, input.enter_as) {
            create(ctx, &sheet, input.values, input.enter_as)?;
        } else if input.enter_as == EnterAs::UserEntered {
            let rows = match done {
                Done::Row(row) => vec![row],
                Done::Rows(_) | Done::Appended(_) => {
                    search.find(&sheet, limit)?.iter().map(|found| found.row).collect()
                }
            };
            enter(&sheet, rows.iter().map(|row| (*row, &cells)))?;
        }
        return Ok(match done {
            Done::Appended(_) => Updated { updated: 0, rows: Vec::new(), created: true, repeated: true },
            Done::Row(_) | Done::Rows(_) => {
                Updated { updated: done.count(), rows: done.rows(), created: false, repeated: true }
            }
        });
    }
    let found = search.find(&sheet, limit)?;
    if found.is_empty() {
        return match input.if_missing {
            IfMissing::Fail => Err(not_found(&sheet)),
            IfMissing::Continue => Ok(Updated { updated: 0, rows: Vec::new(), created: false, repeated: false }),
            IfMissing::Create => {
                let created = create(ctx, &sheet, input.values, input.enter_as)?;
                let rows = created.row.into_iter().collect();
                Ok(Updated { updated: 0, rows, created: true, repeated: created.repeated })
            }
        };
    }
    let rows: Vec<_> = found.iter().map(|found| (found.row, cells.clone())).collect();
    update(ctx, &sheet, &rows, input.enter_as)
}
