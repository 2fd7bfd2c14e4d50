//! Line items: arrays of objects, objects of arrays, and CSV, each made into the others.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::call::{Call, ITEMS_MAX, Refusal};
use super::{Filter, Outcome, filter};
use crate::expression::template::Bounded;

/// The most cells of a table: five for each of the most rows.
const CELLS_MAX: usize = 500_000;

/// The most bytes of a table, names of columns in every row included: as for any other value (`call.rs`).
const TABLE_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) const FILTERS: &[Filter] = &[
    filter("to_line_items", &[], to_line_items),
    filter("to_columns", &[], to_columns),
    filter("to_csv", &["columns", "separator", "header"], to_csv),
    filter("from_csv", &["separator", "header"], from_csv),
];

/// An object of arrays as an array of objects: `{sku: [a, b], qty: [1, 2]}` → `[{sku: a, qty: 1}, {sku: b, qty: 2}]`.
/// A single value is that of every row, and a short array is filled up with null.
fn to_line_items(call: &mut Call<'_, '_, '_>) -> Outcome {
    let fields = call.fields()?;
    let rows = fields.values().map(|value| value.as_array().map_or(1, Vec::len)).max().unwrap_or_default();
    let mut size = Size::of(rows, fields.len(), call)?;
    let mut items = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut item = Map::new();
        for (name, value) in &fields {
            let cell = match value {
                Json::Array(values) => values.get(row).cloned().unwrap_or_default(),
                single => single.clone(),
            };
            size.add(name.len() + crate::expression::value::approximate_bytes(&cell), call)?;
            item.insert(name.clone(), cell);
        }
        items.push(Json::Object(item));
    }
    call.done(&Json::Array(items))
}

/// An array of objects as an object of arrays; a field that an item lacks is null.
fn to_columns(call: &mut Call<'_, '_, '_>) -> Outcome {
    let rows = rows(call)?;
    let names: BTreeSet<&String> = rows.iter().flat_map(Map::keys).collect();
    Size::of(rows.len(), names.len(), call)?;
    let columns = names.into_iter().map(|name| {
        let column = rows.iter().map(|row| row.get(name).cloned().unwrap_or_default());
        (name.clone(), column.collect())
    });
    call.done(&Json::Object(columns.collect()))
}

fn rows(call: &mut Call<'_, '_, '_>) -> Result<Vec<Map<String, Json>>, Refusal> {
    let items = call.items()?.into_iter().enumerate();
    let rows = items.map(|(index, item)| match item {
        Json::Object(fields) => Ok(fields),
        _ => Err(call.says(&format!("takes an array of objects, and item {index} is none"))),
    });
    rows.collect()
}

fn to_csv(call: &mut Call<'_, '_, '_>) -> Outcome {
    let separator = separator(call, 1)?;
    let has_header = call.argument_bool(2)?.unwrap_or(true);
    let wanted = call.argument_json(0)?;
    let rows = rows(call)?;
    let columns: Vec<String> = match wanted {
        Some(Json::Array(names)) => {
            let names = names.into_iter().map(|name| name.as_str().map(str::to_owned));
            names.collect::<Option<_>>().ok_or_else(|| call.wrong_argument(0, "an array of texts"))?
        }
        Some(_) => return Err(call.wrong_argument(0, "an array of texts")),
        None => rows.iter().flat_map(Map::keys).cloned().collect::<BTreeSet<_>>().into_iter().collect(),
    };
    Size::of(rows.len(), columns.len(), call)?;
    let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(Bounded::default());
    let header = has_header.then(|| columns.clone());
    let cells = |row: &Map<String, Json>| columns.iter().map(|name| cell(row.get(name))).collect::<Vec<_>>();
    for record in header.into_iter().chain(rows.iter().map(cells)) {
        if !record.is_empty() {
            writer.write_record(&record).map_err(|_| crate::expression::template::too_long())?;
        }
    }
    let written = writer.into_inner().map_err(|_| crate::expression::template::too_long())?;
    let text = String::from_utf8(written.0).map_err(|error| error.to_string())?;
    call.text_done(text)
}

fn cell(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Rows as objects by the names of the first row, or as arrays; every cell is a text.
fn from_csv(call: &mut Call<'_, '_, '_>) -> Outcome {
    let separator = separator(call, 0)?;
    let has_header = call.argument_bool(1)?.unwrap_or(true);
    let minijinja::value::ValueKind::String = call.value().kind() else { return Err(call.wrong("a text")) };
    let text = call.text()?;
    call.pay(text.len() / 16)?;
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut size = Size::default();
    let mut names: Option<Vec<String>> = None;
    let mut items = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| call.says("takes CSV and got a text that is none"))?;
        match &names {
            None if has_header => names = Some(record.iter().map(|name| name.trim().to_owned()).collect()),
            None => {
                size.add(record.as_slice().len() + record.len() * 4, call)?;
                items.push(record.iter().map(Json::from).collect());
            }
            Some(names) => {
                let mut item = Map::new();
                for (name, cell) in names.iter().zip(record.iter()) {
                    size.add(name.len() + cell.len() + 4, call)?;
                    item.insert(name.clone(), cell.into());
                }
                items.push(Json::Object(item));
            }
        }
        if items.len() > ITEMS_MAX {
            return Err(call.says(&format!("takes up to {ITEMS_MAX} rows")));
        }
    }
    call.done(&Json::Array(items))
}

fn separator(call: &Call<'_, '_, '_>, index: usize) -> Result<u8, Refusal> {
    match call.argument_text(index)?.as_deref() {
        None => Ok(b','),
        Some("tab") => Ok(b'\t'),
        Some(text) => match text.as_bytes() {
            [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && *one != b'"' => Ok(*one),
            _ => Err(call.wrong_argument(index, "one character, such as `,` or `;`,")),
        },
    }
}

/// How large a table becomes: names are repeated in every row, so that a small value may make a large one.
#[derive(Default)]
struct Size(usize);

impl Size {
    fn of(rows: usize, columns: usize, call: &Call<'_, '_, '_>) -> Result<Self, Refusal> {
        if rows.saturating_mul(columns) > CELLS_MAX || rows > ITEMS_MAX {
            return Err(call.says(&format!("makes tables of up to {ITEMS_MAX} rows and {CELLS_MAX} cells")));
        }
        Ok(Self::default())
    }

    fn add(&mut self, bytes: usize, call: &Call<'_, '_, '_>) -> Result<(), Refusal> {
        self.0 += bytes;
        if self.0 > TABLE_BYTES_MAX {
            return Err(call.says(&format!("makes tables of up to {} MiB", TABLE_BYTES_MAX / 1024 / 1024)));
        }
        Ok(())
    }
}
