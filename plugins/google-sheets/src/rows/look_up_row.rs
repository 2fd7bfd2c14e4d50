//! The action `look-up-row`: the first row with this in its columns.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Map, Value};

use super::create_row::create;
use super::{EnterAs, not_found, on_worksheet};
use crate::sheet::Worksheet;
use crate::sheet::cells::named;
use crate::sheet::search::{Case, Condition, From, Join, Search};

on_worksheet! {
    pub(crate) struct LookUpRow {
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
        /// What to do when no row fits.
        #[serde(default)]
        if_missing: Missing,
        /// The values of the row that `if_missing: create` makes, by the columns' names.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        values: Option<Map<String, Value>>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    /// The step succeeds with `found: false`.
    #[default]
    Continue,
    /// The step fails with `not-found`.
    Fail,
    /// A row is created from `values`.
    Create,
}

#[derive(Output)]
pub(crate) struct LookedUp {
    found: bool,
    /// None fitted, so one was created.
    created: bool,
    /// Null when there is none, or as in `create-row`.
    row: Option<u64>,
    /// By the columns' names; empty cells are null.
    values: Map<String, Value>,
    /// An earlier attempt of this step had created it.
    repeated: bool,
}

pub(crate) fn look_up_row(ctx: &Context, input: LookUpRow) -> Result<LookedUp, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    let search = Search::new(input.condition, input.second, input.join).from(input.search_from).case(input.case);
    if let Some(found) = search.find(&sheet, 1)?.first() {
        let values = named(&sheet.header, &found.cells);
        let is_repeated = input.if_missing == Missing::Create && sheet.done(ctx).is_some();
        return Ok(LookedUp { found: true, created: is_repeated, row: Some(found.row), values, repeated: is_repeated });
    }
    match (input.if_missing, input.values) {
        (Missing::Continue, _) => {
            Ok(LookedUp { found: false, created: false, row: None, values: Map::new(), repeated: false })
        }
        (Missing::Fail, _) => Err(not_found(&sheet)),
        (Missing::Create, None) => {
            Err(ActionError::invalid_input("/values", "`if_missing: create` needs the new row's values"))
        }
        (Missing::Create, Some(values)) => {
            let created = create(ctx, &sheet, values, EnterAs::Raw)?;
            Ok(LookedUp {
                found: false,
                created: true,
                row: created.row,
                values: created.values,
                repeated: created.repeated,
            })
        }
    }
}
