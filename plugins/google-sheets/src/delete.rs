//! The actions `delete-row` and `delete-by-look-up`: rows that are gone, not emptied.

use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Map, Value, json};

use crate::cells::named;
use crate::input::{Which, on_worksheet};
use crate::search::{Case, Condition, FOUND_MAX, From, Join, Search};
use crate::update::not_found;
use crate::worksheet::{Changed, Worksheet};

on_worksheet! {
    pub(crate) struct DeleteRow {
        /// The row's number, as Google Sheets shows it. The rows below it move up.
        #[input(minimum = 1, example = 7)]
        row: u64,
    }
}

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

#[derive(Output)]
#[expect(clippy::struct_field_names, reason = "`deleted` is what people read as `steps.<id>.output.deleted`")]
pub(crate) struct Deleted {
    deleted: usize,
    /// The numbers that the rows had.
    rows: Vec<u64>,
    /// What stood in the first of them, where it was looked up.
    values: Map<String, Value>,
    /// An earlier attempt of this step had deleted it.
    repeated: bool,
}

pub(crate) fn delete_row(ctx: &Context, input: DeleteRow) -> Result<Deleted, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    if let Some(deleted) = earlier(ctx, &sheet) {
        return Ok(deleted);
    }
    sheet.check_row(input.row, "/row")?;
    delete(ctx, &sheet, vec![input.row], Map::new())
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

/// What an earlier attempt deleted: the row that has the number now is another one.
fn earlier(ctx: &Context, sheet: &Worksheet) -> Option<Deleted> {
    let done = sheet.done(ctx)?;
    Some(Deleted { deleted: done.count(), rows: done.rows(), values: Map::new(), repeated: true })
}

fn delete(
    ctx: &Context,
    sheet: &Worksheet,
    rows: Vec<u64>,
    values: Map<String, Value>,
) -> Result<Deleted, ActionError> {
    let mut downwards = rows.clone();
    // From the last one, so that no other moves before its turn.
    downwards.sort_unstable_by(|a, b| b.cmp(a));
    let range = |row: &u64| json!({ "sheetId": sheet.id, "dimension": "ROWS", "startIndex": row - 1, "endIndex": row });
    let changes = downwards.iter().map(|row| json!({ "deleteDimension": { "range": range(row) } })).collect();
    let changed = sheet.change(ctx, changes, &rows)?;
    Ok(Deleted { deleted: rows.len(), rows, values, repeated: matches!(changed, Changed::Before(_)) })
}
