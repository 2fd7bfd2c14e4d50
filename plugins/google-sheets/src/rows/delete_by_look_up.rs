//! The action `delete-by-look-up`: the rows with this in their columns are gone, not emptied.

use flowcell_sdk::{ActionError, Context, Input};
use serde_json::Map;

use super::delete_row::{Deleted, delete, earlier};
use super::{Which, not_found, on_worksheet};
use crate::sheet::Worksheet;
use crate::sheet::cells::named;
use crate::sheet::search::{Case, Condition, FOUND_MAX, From, Join, Search};

on_worksheet! {
    pub(crate) struct DeleteByLookUp {
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
        /// Only the first row that fits, or all of them (at most 1,000).
        #[serde(default)]
        which: Which,
        /// What to do when no row fits.
        #[serde(default)]
        if_missing: IfGone,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IfGone {
    /// The step succeeds with `deleted: 0`.
    #[default]
    Continue,
    /// The step fails with `not-found`.
    Fail,
}

pub(crate) fn delete_by_look_up(ctx: &Context, input: DeleteByLookUp) -> Result<Deleted, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    if let Some(deleted) = earlier(ctx, &sheet) {
        return Ok(deleted);
    }
    let limit = if input.which == Which::All { FOUND_MAX as usize } else { 1 };
    let search = Search::new(input.condition, input.second, input.join).from(input.search_from).case(input.case);
    let found = search.find(&sheet, limit)?;
    let Some(first) = found.first() else {
        return match input.if_missing {
            IfGone::Continue => Ok(Deleted { deleted: 0, rows: Vec::new(), values: Map::new(), repeated: false }),
            IfGone::Fail => Err(not_found(&sheet)),
        };
    };
    let values = named(&sheet.header, &first.cells);
    delete(ctx, &sheet, found.iter().map(|found| found.row).collect(), values)
}
