//! The actions `create-row` and `create-rows`: rows below all others.
//!
//! Google appends each request's rows as a whole after the last row with data, so steps that append at the same time lose nothing to each other.

use flowcell_sdk::{ActionError, Context, Output};
use serde_json::{Map, Value, json};

use crate::cells;
use crate::input::{EnterAs, on_worksheet};
use crate::search;
use crate::update;
use crate::worksheet::{Changed, Worksheet};

/// Rows of one step: an input has at most 1 MiB, and Google takes some 2 MiB at a time.
const ROWS_MAX: usize = 1_000;

on_worksheet! {
    pub(crate) struct CreateRow {
        /// The row's values by the columns' names. What is not named stays empty.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        values: Map<String, Value>,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

on_worksheet! {
    pub(crate) struct CreateRows {
        /// The rows in their order, each as an object of values by the columns' names.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"], min_items = 1, max_items = 1000)]
        rows: Vec<Map<String, Value>>,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

#[derive(Output)]
pub(crate) struct Created {
    /// The new row's number. Null when finding it out would cost more than the row: in worksheets with more than 1,000 rows.
    pub(crate) row: Option<u64>,
    /// What was put into it.
    pub(crate) values: Map<String, Value>,
    /// An earlier attempt of this step had added it.
    pub(crate) repeated: bool,
}

#[derive(Output)]
pub(crate) struct CreatedRows {
    count: usize,
    /// The first new row's number, or null as in `create-row`.
    first_row: Option<u64>,
    /// An earlier attempt of this step had added them.
    repeated: bool,
}

pub(crate) fn create_row(ctx: &Context, input: CreateRow) -> Result<Created, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    create(ctx, &sheet, input.values, input.enter_as)
}

pub(crate) fn create_rows(ctx: &Context, input: CreateRows) -> Result<CreatedRows, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    if input.rows.is_empty() || input.rows.len() > ROWS_MAX {
        let message = format!("give 1 to {ROWS_MAX} rows; more of them with `for_each` over parts");
        return Err(ActionError::invalid_input("/rows", message));
    }
    let at = |row: usize| format!("/rows/{row}");
    let rows = input.rows.iter().enumerate().map(|(row, values)| sheet.cells(values, &at(row)));
    let appended =
        append(ctx, &sheet, &rows.collect::<Result<Vec<_>, _>>()?, &Entry { enter_as: input.enter_as, at: &at })?;
    Ok(CreatedRows { count: input.rows.len(), first_row: appended.first, repeated: appended.is_repeated })
}

/// One row at the end of an open worksheet.
pub(crate) fn create(
    ctx: &Context,
    sheet: &Worksheet,
    values: Map<String, Value>,
    enter_as: EnterAs,
) -> Result<Created, ActionError> {
    let cells = sheet.cells(&values, "/values")?;
    let appended = append(ctx, sheet, &[cells], &Entry { enter_as, at: &|_| "/values".to_owned() })?;
    Ok(Created { row: appended.first, values, repeated: appended.is_repeated })
}

/// How rows are entered, and where each stands in the input.
struct Entry<'a> {
    enter_as: EnterAs,
    at: &'a dyn Fn(usize) -> String,
}

struct Appended {
    first: Option<u64>,
    is_repeated: bool,
}

fn append(
    ctx: &Context,
    sheet: &Worksheet,
    rows: &[Vec<(usize, Value)>],
    entry: &Entry<'_>,
) -> Result<Appended, ActionError> {
    let mut data = Vec::with_capacity(rows.len());
    for (place, cells) in rows.iter().enumerate() {
        let at = (entry.at)(place);
        if !cells.iter().any(|(_, value)| cells::is_filled(value)) {
            return Err(ActionError::invalid_input(
                &at,
                "a row needs at least one value that is not empty: Google would not see it",
            ));
        }
        let mut row = vec![json!({}); cells.last().map_or(0, |(column, _)| column + 1)];
        for (column, value) in cells {
            if let Some(cell) = row.get_mut(*column) {
                *cell = cells::raw(value, &at)?;
            }
        }
        data.push(row);
    }
    let is_typed = entry.enter_as == EnterAs::UserEntered;
    let (changed, mut first) = match sheet.done(ctx) {
        Some(done) => (Changed::Before(done), None),
        None => sheet.append(ctx, &data, is_typed)?,
    };
    let is_repeated = matches!(changed, Changed::Before(_));
    if is_typed {
        // The rows are there once, as text. Entering them anew can be repeated; an attempt that was cut off before looks for its rows.
        if first.is_none() {
            first = untyped(sheet, rows)?;
        }
        if let Some(first) = first {
            update::enter(sheet, (first..).zip(rows))?;
        }
    }
    Ok(Appended { first, is_repeated })
}

/// The first of these rows where they stand as text, nearest to the end.
fn untyped(sheet: &Worksheet, rows: &[Vec<(usize, Value)>]) -> Result<Option<u64>, ActionError> {
    let all = search::read(sheet, &(sheet.header_row + 1..sheet.rows + 1))?;
    let is_row = |found: &search::Found, row: &[(usize, Value)]| {
        let wanted = |column: usize| {
            row.iter()
                .find(|(other, _)| *other == column)
                .map(|(_, value)| value)
                .filter(|value| cells::is_filled(value))
        };
        (0..sheet.header.width())
            .all(|column| found.cells.get(column).filter(|cell| cells::is_filled(cell)) == wanted(column))
    };
    let fits = |window: &&[search::Found]| window.iter().zip(rows).all(|(found, row)| is_row(found, row));
    Ok(all.windows(rows.len()).rev().find(fits).and_then(|window| window.first()).map(|found| found.row))
}
