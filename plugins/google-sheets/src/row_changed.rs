//! The trigger `row-changed`: asks from time to time which rows are new or changed.
//!
//! What it remembers is a cursor of small hashes, one for each row ([`cursor`]). A poll is a pure function of the worksheet and the cursor: one that
//! dies before its cursor is stored is made again with the same result, and its events carry the same dedupe keys.

mod cursor;

use flowcell_sdk::poll::Polled;
use flowcell_sdk::trigger::Event;
use flowcell_sdk::{ActionError, Context, Input, Output, log};
use serde_json::{Map, Value};

use crate::cells::{is_filled, letters, named, text};
use crate::hash;
use crate::input::on_worksheet;
use crate::search::{self, CELLS_AT_ONCE, Found};
use crate::worksheet::Worksheet;
pub(crate) use cursor::Cursor;
use cursor::{Key, Known, Remember, Seen};

/// A poll starts at most so many runs; the host asks again at once for the others.
const EVENTS_MAX: usize = 100;

/// Rows that are watched: the last ones. With 12 characters each, the cursor stays below the 256 KiB that the host keeps.
#[cfg(not(test))]
const ROWS_MAX: u64 = 20_000;
#[cfg(test)]
const ROWS_MAX: u64 = 500;

on_worksheet! {
    pub(crate) struct RowChanged {
        /// What starts a run.
        #[serde(default)]
        fire_on: FireOn,
        /// A column whose value tells rows apart, such as an order number: then a row is the same wherever it moves. Rows without it wait until they have it.
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        key: Option<String>,
        /// Only changes in these columns count; without them, all columns do.
        #[serde(default)]
        #[input(options, depends_on = ["spreadsheet", "worksheet", "header_row"])]
        columns: Vec<String>,
        /// Start runs for the rows that are there already, too.
        #[serde(default)]
        existing_rows: bool,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Input)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FireOn {
    #[default]
    NewOrChanged,
    New,
    Changed,
}

#[derive(Debug, Output)]
pub(crate) struct RowEvent {
    change: Change,
    /// The row's number, as Google Sheets shows it.
    row: u64,
    /// By the columns' names; empty cells are null.
    values: Map<String, Value>,
    spreadsheet: String,
    worksheet: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Output)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    New,
    Changed,
}

pub(crate) fn row_changed(
    ctx: &Context,
    config: RowChanged,
    cursor: Option<Cursor>,
) -> Result<Polled<RowEvent, Cursor>, ActionError> {
    let sheet = Worksheet::open(ctx, config.place())?;
    let watch = Watch::new(&sheet, &config)?;
    let rows = watch.read(cursor.as_ref().map(|cursor| cursor.first))?;
    let Some(cursor) = cursor else {
        // A plugin has no clock; the deadline makes numbers that were not there before, so that dedupe keys of an earlier cursor never fit.
        let start = Cursor::new(ctx.deadline_ms / 1000, &sheet.header, rows.first, watch.key.is_some());
        return Ok(if config.existing_rows { watch.fire(&start, &rows) } else { watch.begin(start.seq, &rows) });
    };
    if cursor.is_keyed() != watch.key.is_some() {
        log::warn!(
            "`key` was set or taken away: the rows as they are now are the new beginning; nothing fires for them"
        );
        return Ok(watch.begin(cursor.seq + 1, &rows));
    }
    if rows.first < cursor.first {
        log::warn!(
            "`{}` has lost most of its rows: those that are there now are the new beginning; nothing fires for them",
            sheet.title
        );
        return Ok(watch.begin(cursor.seq + 1, &rows));
    }
    if rows.first > cursor.first {
        log::warn!(
            "`{}` has more than {ROWS_MAX} rows: only those from row {} on are watched",
            sheet.title,
            rows.first
        );
    }
    if let Some(changed) = cursor.columns_changed(&sheet.header) {
        let what = changed.what;
        let moved = cursor.compare(&rows.seen).iter().filter(|known| matches!(known, Known::Changed(_))).count();
        if !changed.is_rename && moved > rows.seen.len() / 2 {
            // Every row looks changed because its cells stand elsewhere. Firing for all of them would be wrong, and so would be silence.
            log::warn!(
                "the columns of `{}` are others now ({what}), and by that most rows look changed: the rows as they are now are the new beginning. \
                 Rows that somebody changed since the last look do not fire",
                sheet.title
            );
            return Ok(watch.begin(cursor.seq + 1, &rows));
        }
        log::warn!("the columns of `{}` are others now ({what}): `trigger.values` has the new names", sheet.title);
    }
    Ok(watch.fire(&cursor, &rows))
}

/// What is looked at in a worksheet.
struct Watch<'a> {
    sheet: &'a Worksheet,
    fire_on: FireOn,
    key: Option<usize>,
    /// Empty: all.
    columns: Vec<usize>,
}

struct Rows {
    /// The number of the first row that is watched.
    first: u64,
    found: Vec<Found>,
    /// The same rows, as the cursor compares them.
    seen: Vec<Seen>,
}

impl<'a> Watch<'a> {
    fn new(sheet: &'a Worksheet, config: &RowChanged) -> Result<Self, ActionError> {
        let key = config.key.as_deref().filter(|key| !key.is_empty());
        let key = key.map(|key| sheet.header.column(key, "/key")).transpose()?;
        let columns = config.columns.iter().enumerate();
        let columns = columns
            .map(|(place, name)| sheet.header.column(name, &format!("/columns/{place}")))
            .collect::<Result<_, _>>()?;
        Ok(Self { sheet, fire_on: config.fire_on, key, columns })
    }

    /// The rows that are watched: the last ones, from where it began before.
    fn read(&self, before: Option<u64>) -> Result<Rows, ActionError> {
        let begin = self.sheet.header_row + 1;
        let end = self.sheet.rows + 1;
        let mut first = before.filter(|before| (begin..end).contains(before)).unwrap_or(begin);
        if end - first > ROWS_MAX {
            let last = self.last_row(first, end)?;
            first = first.max((last + 1).saturating_sub(ROWS_MAX));
        }
        let step = CELLS_AT_ONCE / (self.sheet.header.width().max(1) as u64);
        let mut found = Vec::new();
        let mut start = first;
        while start < end {
            let stop = end.min(start + step);
            found.extend(search::read(self.sheet, &(start..stop))?);
            start = stop;
        }
        let seen = found.iter().map(|found| self.seen(found)).collect();
        Ok(Rows { first, found, seen })
    }

    /// The last row with anything in the key's column, or the first named one.
    fn last_row(&self, first: u64, end: u64) -> Result<u64, ActionError> {
        let named = self.sheet.header.keys().next().map_or(0, |(column, _)| column);
        let column = letters(self.key.unwrap_or(named));
        let mut last = first;
        let mut start = first;
        while start < end {
            let stop = end.min(start + CELLS_AT_ONCE);
            let range = self.sheet.range(&format!("{column}{start}:{column}{}", stop - 1));
            let cells = search::values(self.sheet, &[range], "COLUMNS")?
                .pop()
                .and_then(|mut lines| lines.pop())
                .unwrap_or_default();
            if let Some(place) = cells.iter().rposition(is_filled) {
                last = start + place as u64;
            }
            start = stop;
        }
        Ok(last)
    }

    fn seen(&self, found: &Found) -> Seen {
        let cell = |column: usize| found.cells.get(column).filter(|cell| is_filled(cell));
        let columns: Vec<usize> =
            if self.columns.is_empty() { (0..self.sheet.header.width()).collect() } else { self.columns.clone() };
        let mut content: Vec<Option<&Value>> = columns.into_iter().map(cell).collect();
        // A column that came to the right and is empty changes nothing.
        content.truncate(content.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
        let content = serde_json::to_string(&content).unwrap_or_default();
        let key = match self.key {
            None => Key::Unused,
            Some(key) => cell(key).map_or(Key::Missing, |key| Key::Is(hash::of(1, &text(key)))),
        };
        Seen { row: found.row, content: hash::of(0, &content), key }
    }

    /// Remembers the rows as they are; nothing fires.
    fn begin(&self, seq: u64, rows: &Rows) -> Polled<RowEvent, Cursor> {
        let all = rows.seen.iter().map(|seen| (*seen, Remember::Now));
        Polled::nothing(Some(Cursor::after(seq, (&self.sheet.header, rows.first, self.key.is_some()), all)))
    }

    /// Events for what is new or changed since the cursor, and the cursor after them.
    fn fire(&self, cursor: &Cursor, rows: &Rows) -> Polled<RowEvent, Cursor> {
        let mut events = Vec::new();
        let mut more = false;
        let mut remembered = Vec::with_capacity(rows.seen.len());
        for ((found, seen), known) in rows.found.iter().zip(&rows.seen).zip(cursor.compare(&rows.seen)) {
            let mut remember = Remember::Now;
            if let Some(change) = self.wanted(known) {
                if events.len() < EVENTS_MAX {
                    events.push(self.event(cursor.seq, change, (found, seen)));
                } else {
                    more = true;
                    remember = Remember::Before(known);
                }
            }
            remembered.push((*seen, remember));
        }
        let at = (&self.sheet.header, rows.first, self.key.is_some());
        Polled { events, cursor: Some(Cursor::after(cursor.seq + 1, at, remembered.into_iter())), more }
    }

    fn wanted(&self, known: Known) -> Option<Change> {
        let change = match known {
            Known::Same => return None,
            Known::New => Change::New,
            Known::Changed(_) => Change::Changed,
        };
        let is_wanted = match self.fire_on {
            FireOn::NewOrChanged => true,
            FireOn::New => change == Change::New,
            FireOn::Changed => change == Change::Changed,
        };
        is_wanted.then_some(change)
    }

    fn event(&self, seq: u64, change: Change, (found, seen): (&Found, &Seen)) -> Event<RowEvent> {
        let (book, title) = (self.sheet.book.id(), &self.sheet.title);
        let payload = RowEvent {
            change,
            row: found.row,
            values: named(&self.sheet.header, &found.cells),
            spreadsheet: book.to_owned(),
            worksheet: title.clone(),
        };
        // The same for a poll that is made again, another one when the row comes back to this later.
        Event::new(payload).dedupe_key(format!("{book}/{}/{seq}/{}/{:x}", self.sheet.id, found.row, seen.content))
    }
}

#[cfg(test)]
mod tests;
