//! Values written into rows: new rows below all others, and new values of rows that are there; as they are, or entered as if typed.
//!
//! Google appends each request's rows as a whole after the last row with data, so steps that append at the same time lose nothing to each other.

use flowcell_sdk::{ActionError, Context, Input};
use serde_json::{Value, json};

use super::cells::{self, letters};
use super::search;
use super::{Changed, Worksheet};

/// A row's number and its cells, each with its column, by `Worksheet::cells`.
pub(crate) type Row = (u64, Vec<(usize, Value)>);

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

/// How rows are entered, and where each stands in the input.
pub(crate) struct Entry<'a> {
    pub(crate) enter_as: EnterAs,
    pub(crate) at: &'a dyn Fn(usize) -> String,
}

pub(crate) struct Appended {
    /// The first new row's number, where it is known.
    pub(crate) first: Option<u64>,
    /// An earlier attempt of this step had added them.
    pub(crate) is_repeated: bool,
}

/// Adds rows below all others and leaves the step's mark.
pub(crate) fn append(
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
            enter(sheet, (first..).zip(rows))?;
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

/// Writes cells of rows and leaves the step's mark.
pub(crate) fn write(ctx: &Context, sheet: &Worksheet, rows: &[Row], enter_as: EnterAs) -> Result<Changed, ActionError> {
    let numbers: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
    let earlier = sheet.done(ctx);
    if enter_as == EnterAs::UserEntered {
        // Google enters values only in a request that leaves no mark. So the mark comes first, with the row, and entering can be repeated.
        let changed = match earlier {
            Some(done) => Changed::Before(done),
            None => sheet.change(ctx, Vec::new(), &numbers)?,
        };
        enter(sheet, rows.iter().map(|(row, cells)| (*row, cells)))?;
        return Ok(changed);
    }
    if let Some(done) = earlier {
        return Ok(Changed::Before(done));
    }
    let mut changes = Vec::new();
    for (row, cells) in rows {
        for (column, value) in cells {
            let cell = cells::raw(value, "/values")?;
            changes.push(json!({ "updateCells": {
                "rows": [{ "values": [cell] }],
                "fields": "userEnteredValue",
                "start": { "sheetId": sheet.id, "rowIndex": row - 1, "columnIndex": column },
            } }));
        }
    }
    sheet.change(ctx, changes, &numbers)
}

/// Enters values as if somebody typed them.
pub(crate) fn enter<'a>(
    sheet: &Worksheet,
    rows: impl Iterator<Item = (u64, &'a Vec<(usize, Value)>)>,
) -> Result<(), ActionError> {
    let mut data = Vec::new();
    for (row, cells) in rows {
        for (column, value) in cells {
            let range = sheet.range(&format!("{}{row}", letters(*column)));
            data.push(json!({ "range": range, "values": [[cells::typed(value, "/values")?]] }));
        }
    }
    if data.is_empty() {
        return Ok(());
    }
    let body = json!({ "valueInputOption": "USER_ENTERED", "data": data });
    sheet.book.post("/values:batchUpdate", &[("fields", "totalUpdatedCells")], &body).map(drop)
}
