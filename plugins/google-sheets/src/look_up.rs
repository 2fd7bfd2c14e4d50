//! The actions `look-up-row` and `look-up-rows`: finding rows by what stands in their columns.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Map, Value};

use crate::cells::named;
use crate::create;
use crate::input::{EnterAs, Row, on_worksheet};
use crate::search::{Case, Condition, FOUND_MAX, From, Join, Search};
use crate::worksheet::Worksheet;

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

#[derive(Output)]
pub(crate) struct LookedUpRows {
    count: usize,
    rows: Vec<Row>,
    /// There are more than `limit`.
    has_more: bool,
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
        (Missing::Fail, _) => Err(crate::update::not_found(&sheet)),
        (Missing::Create, None) => {
            Err(ActionError::invalid_input("/values", "`if_missing: create` needs the new row's values"))
        }
        (Missing::Create, Some(values)) => {
            let created = create::create(ctx, &sheet, values, EnterAs::Raw)?;
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
