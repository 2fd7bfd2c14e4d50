//! The action `upsert-row`: changes the row with this key, or creates it.

use flowcell_sdk::{ActionError, Context, Output};
use serde_json::{Map, Value};

use crate::cells::{self, pointer};
use crate::create;
use crate::input::{EnterAs, on_worksheet};
use crate::marks::Done;
use crate::search::{Case, Compare, Condition, From, Join, Search};
use crate::update;
use crate::worksheet::Worksheet;

on_worksheet! {
    pub(crate) struct UpsertRow {
        /// The columns that tell rows apart, one or two of those in `values`.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"], min_items = 1, max_items = 2, example = ["Email"])]
        key: Vec<String>,
        /// Whether upper and lower case of the key count as the same.
        #[serde(default)]
        case: Case,
        /// Which row is the first, should several have the key.
        #[serde(default)]
        search_from: From,
        /// The row's values by the columns' names; what is not named stays as it is, or empty in a new row.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        values: Map<String, Value>,
        #[serde(default)]
        enter_as: EnterAs,
    }
}

#[derive(Output)]
pub(crate) struct Upserted {
    outcome: Outcome,
    /// The row's number, or null as in `create-row`.
    row: Option<u64>,
    /// What was put into it.
    values: Map<String, Value>,
    /// An earlier attempt of this step had done it.
    repeated: bool,
}

#[derive(Debug, Clone, Copy, Output)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Created,
    Updated,
}

pub(crate) fn upsert_row(ctx: &Context, input: UpsertRow) -> Result<Upserted, ActionError> {
    let sheet = Worksheet::open(ctx, input.place())?;
    let cells = sheet.cells(&input.values, "/values")?;
    let mut conditions = Vec::new();
    for (place, column) in input.key.iter().enumerate() {
        let at = format!("/key/{place}");
        sheet.header.column(column, &at)?;
        let value = input.values.iter().find(|(name, _)| name.trim() == column.trim()).map(|(_, value)| value.clone());
        let value = value.filter(cells::is_filled).ok_or_else(|| {
            let message = format!("`{column}` is part of the key, so `values` must hold it, and not empty");
            ActionError::invalid_input(&pointer("/values", column), message)
        })?;
        conditions.push(Condition { column: column.clone(), value, compare: Compare::Equals });
    }
    let mut conditions = conditions.into_iter();
    let Some(first) = conditions.next() else {
        return Err(ActionError::invalid_input("/key", "name the column, or the two, that tell rows apart"));
    };
    let search = Search::new(first, conditions.next(), Join::And).from(input.search_from).case(input.case);
    if let Some(found) = search.find(&sheet, 1)?.first() {
        let updated = update::write(ctx, &sheet, &[(found.row, cells)], input.enter_as)?;
        // What is found may be what an earlier attempt created.
        let is_ours = matches!(sheet.done(ctx), Some(Done::Appended(_)));
        let outcome = if is_ours { Outcome::Created } else { Outcome::Updated };
        return Ok(Upserted { outcome, row: Some(found.row), values: input.values, repeated: updated.repeated });
    }
    let created = create::create(ctx, &sheet, input.values, input.enter_as)?;
    Ok(Upserted { outcome: Outcome::Created, row: created.row, values: created.values, repeated: created.repeated })
}
