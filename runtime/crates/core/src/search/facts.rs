//! What an index keeps of a run: which steps it reached, which errors it had, and the fields its workflow has asked for.

use super::field::{FieldPath, FieldValue};
use super::{failed, reached};
use crate::run::event::RunEvent;

/// Steps, errors and field values of one run that an index keeps, and the bytes of all their names. A run with more is decided by
/// its journal. With these numbers a run takes less than 4 KiB of an index at worst, and a usual one some 30 bytes.
const STEPS_MAX: usize = 64;
const ERRORS_MAX: usize = 32;
const FIELDS_MAX: usize = 8;
const NAMES_BYTES_MAX: usize = 2 << 10;

/// Grows with the entries of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFacts {
    steps: Vec<Box<str>>,
    errors: Vec<(Box<str>, Box<str>)>,
    fields: Vec<FieldFact>,
    has_more: bool,
    names_bytes: usize,
    next_seq: u32,
}

/// A value of an indexed field; absent: the run has none there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFact {
    pub path: Box<str>,
    pub value: Option<FieldValue>,
}

impl RunFacts {
    /// As after the first entry of a run, for a workflow that has no field indexed: nothing in it is a fact.
    pub fn begun() -> Self {
        Self { next_seq: 1, ..Self::default() }
    }

    /// Takes in the next entry; `indexed` are the fields its workflow has asked for.
    pub fn note(&mut self, event: &RunEvent, indexed: &[FieldPath]) {
        self.next_seq = self.next_seq.saturating_add(1);
        if let Some(step) = reached(event)
            && !self.steps.iter().any(|known| **known == *step)
        {
            let has_room = self.steps.len() < STEPS_MAX && self.takes(step.len());
            if has_room { self.steps.push(step.into()) } else { self.has_more = true }
        }
        if let Some((step, error)) = failed(event)
            && !self.errors.iter().any(|(known, code)| **known == *step && **code == *error.code)
        {
            let has_room = self.errors.len() < ERRORS_MAX && self.takes(step.len() + error.code.len());
            if has_room { self.errors.push((step.into(), error.code.as_str().into())) } else { self.has_more = true }
        }
        for path in indexed {
            let Some(value) = path.scalar_in(event) else { continue };
            let fact = FieldFact { path: path.as_str().into(), value: Some(FieldValue::of(&value)) };
            if self.fields.contains(&fact) {
                continue;
            }
            let has_room = self.fields.len() < FIELDS_MAX;
            if has_room { self.fields.push(fact) } else { self.has_more = true }
        }
    }

    /// Whether names of this length still fit; counts them.
    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.names_bytes + bytes <= NAMES_BYTES_MAX && bytes < 255;
        self.names_bytes += if fits { bytes } else { 0 };
        fits
    }

    /// What cannot be told from these entries: the journal decides about the run.
    pub fn leave_out(&mut self) {
        self.has_more = true;
    }

    /// Called at the end of the run: an indexed field without a value is a fact, too.
    pub fn close(&mut self, indexed: &[FieldPath]) {
        for path in indexed {
            if self.fields.len() < FIELDS_MAX && !self.fields.iter().any(|fact| *fact.path == *path.as_str()) {
                self.fields.push(FieldFact { path: path.as_str().into(), value: None });
            }
        }
    }

    /// The number of entries taken in.
    pub fn next_seq(&self) -> u32 {
        self.next_seq
    }
    /// Whether the run has more than is kept here.
    pub fn has_more(&self) -> bool {
        self.has_more
    }
    pub fn steps(&self) -> &[Box<str>] {
        &self.steps
    }
    /// Step and code.
    pub fn errors(&self) -> &[(Box<str>, Box<str>)] {
        &self.errors
    }
    pub fn fields(&self) -> &[FieldFact] {
        &self.fields
    }
}
