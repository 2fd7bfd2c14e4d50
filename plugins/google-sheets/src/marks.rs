//! Marks: what makes a step's change happen once, however often its attempts are repeated.
//!
//! Each change of a worksheet is one `batchUpdate`, which Google does as a whole or not at all. With the change, it writes a *mark* into the
//! developer metadata of the worksheet, which people do not see: a number that comes from the step's idempotency key. The same request that reads
//! the header row reads the marks, so an attempt knows that an earlier one succeeded before it changes anything; and since such a number may be there
//! once, two attempts that overlap cannot both succeed.
//!
//! Google keeps 30,000 characters of metadata for a worksheet, so old marks are removed.

use std::fmt;

use flowcell_sdk::{ActionError, Context, log};
use serde_json::{Value, json};

use crate::api::Book;
use crate::hash;

const KEY: &str = "flowcell";

/// Beyond so many, old marks go: 400 of at most 36 characters are less than half of what Google keeps, and 40 KiB to read.
const COUNT_MAX: usize = 400;

/// So many stay then.
const COUNT_KEPT: usize = 200;

/// Another step's mark with the same number happens once in some five million changes; a third candidate is never needed.
const CANDIDATES: u64 = 3;

/// The marks of a worksheet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(Vec<Mark>);

#[derive(Debug, Clone)]
struct Mark {
    id: u64,
    /// Of other programs, any text.
    value: String,
    is_ours: bool,
}

/// What a step did, as its mark says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It changed or deleted this row.
    Row(u64),
    /// It changed or deleted so many rows.
    Rows(usize),
    /// It added so many.
    Appended(usize),
}

impl Done {
    /// The last part of a mark's text.
    fn read(text: &str) -> Option<Self> {
        let number = text.get(1..)?;
        match text.get(..1)? {
            "r" => number.parse().ok().map(Self::Row),
            "n" => number.parse().ok().map(Self::Rows),
            "a" => number.parse().ok().map(Self::Appended),
            _ => None,
        }
    }

    /// How many rows.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Row(_) => 1,
            Self::Rows(count) | Self::Appended(count) => count,
        }
    }

    /// Their numbers, as far as they are known.
    pub(crate) fn rows(self) -> Vec<u64> {
        match self {
            Self::Row(row) => vec![row],
            Self::Rows(_) | Self::Appended(_) => Vec::new(),
        }
    }

    /// Of these rows, which are there already.
    pub(crate) fn of(rows: &[u64]) -> Self {
        match rows {
            [row] => Self::Row(*row),
            _ => Self::Rows(rows.len()),
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(row) => write!(f, "r{row}"),
            Self::Rows(count) => write!(f, "n{count}"),
            Self::Appended(count) => write!(f, "a{count}"),
        }
    }
}

impl Marks {
    /// From the `developerMetadata` of a worksheet.
    pub(crate) fn read(metadata: Option<&Value>) -> Self {
        let entries = metadata.and_then(Value::as_array).into_iter().flatten();
        let marks = entries.filter_map(|entry| {
            let text = |member: &str| entry.get(member).and_then(Value::as_str).unwrap_or_default();
            let id = entry.get("metadataId")?.as_u64()?;
            Some(Mark { id, value: text("metadataValue").to_owned(), is_ours: text("metadataKey") == KEY })
        });
        Self(marks.collect())
    }

    /// What an earlier attempt of this step left.
    pub(crate) fn done(&self, ctx: &Context) -> Option<Done> {
        let check = check(ctx);
        let found = candidates(ctx).find_map(|id| {
            self.0.iter().find(|mark| mark.id == id && mark.is_ours && mark.value.starts_with(&check))
        })?;
        // Whatever the mark says: it is this step's, so the change is made.
        Some(found.value.rsplit('-').next().and_then(Done::read).unwrap_or(Done::Rows(0)))
    }

    /// The request that leaves this step's mark.
    pub(crate) fn request(&self, ctx: &Context, worksheet: u64, done: Done) -> Result<Value, ActionError> {
        let free = candidates(ctx).find(|id| self.0.iter().all(|mark| mark.id != *id));
        let id = free.ok_or_else(|| {
            ActionError::transient("the worksheet's developer metadata has no room for this step's mark")
        })?;
        // The time is for those who remove old marks; a plugin has no clock but its deadline.
        let value = format!("{}-{:x}-{done}", check(ctx), ctx.deadline_ms / 1000);
        Ok(json!({ "createDeveloperMetadata": { "developerMetadata": {
            "metadataId": id, "metadataKey": KEY, "metadataValue": value, "location": { "sheetId": worksheet }, "visibility": "DOCUMENT",
        } } }))
    }

    /// Removes old marks when there are many. It costs a request about every 200 changes. Whether it succeeds does not matter: another step may
    /// have removed the same ones at the same time, and the next change tries again.
    pub(crate) fn tidy(&self, book: &Book) {
        let mut ours: Vec<&Mark> = self.0.iter().filter(|mark| mark.is_ours).collect();
        if ours.len() <= COUNT_MAX {
            return;
        }
        ours.sort_by_key(|mark| mark.time());
        let requests: Vec<Value> = ours
            .iter()
            .take(ours.len().saturating_sub(COUNT_KEPT))
            .map(|mark| json!({ "deleteDeveloperMetadata": { "dataFilter": { "developerMetadataLookup": { "metadataId": mark.id } } } }))
            .collect();
        if let Err(error) = book.post(":batchUpdate", &[("fields", "spreadsheetId")], &json!({ "requests": requests }))
        {
            log::info!("old marks of earlier steps were not removed; the next step tries again: {error}");
        }
    }
}

impl Mark {
    fn time(&self) -> u64 {
        self.value.split('-').nth(1).and_then(|time| u64::from_str_radix(time, 16).ok()).unwrap_or(0)
    }
}

/// Numbers that the mark may have: positive, 31 bits.
fn candidates(ctx: &Context) -> impl Iterator<Item = u64> {
    (0..CANDIDATES).map(|candidate| hash::of(candidate, &ctx.idempotency_key) % 0x7fff_fffe + 1)
}

/// Tells this step's mark from another one with the same number.
fn check(ctx: &Context) -> String {
    format!("{:08x}", hash::of(CANDIDATES, &ctx.idempotency_key) >> 32)
}
