//! Whether a run of a block passes a filter, as far as the block can tell.

use flowcell_core::search::{FieldTest, FieldValue, RunFilter};

use super::{Reader, Row, View, read_field, status_code};

/// What the index says; it never says more than it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Fails,
    /// The journal decides.
    Unsure,
    Passes,
}

/// A filter in the numbers of one block.
#[derive(Debug)]
pub(crate) struct Wanted<'f> {
    filter: &'f RunFilter,
    workflow: Option<u16>,
    status: Option<u8>,
    step: Option<u16>,
    error: Option<u16>,
    field: Option<Field<'f>>,
}

#[derive(Debug)]
struct Field<'f> {
    path: u16,
    test: &'f FieldTest,
    value: FieldValue,
}

/// Stands for a name that the block does not have.
const NOBODY: u16 = u16::MAX;

impl<'f> Wanted<'f> {
    /// Nothing when no run of the block can pass.
    pub(crate) fn of(filter: &'f RunFilter, block: &View<'_>) -> Option<Self> {
        let number = |name: &str| {
            let found = block.names.iter().position(|known| *known == name);
            found.and_then(|number| u16::try_from(number).ok())
        };
        let workflow = match &filter.workflow {
            Some(workflow) => Some(number(workflow.as_str())?),
            None => None,
        };
        let status = match filter.status {
            Some(status) => Some(status_code(status)?),
            None => None,
        };
        let or_nobody = |name: &str| number(name).unwrap_or(NOBODY);
        let field = filter.field.as_ref().map(|field| Field {
            path: or_nobody(field.path.as_str()),
            test: &field.test,
            value: match &field.test {
                FieldTest::Equals(text) | FieldTest::StartsWith(text) => FieldValue::of(text),
            },
        });
        Some(Self {
            filter,
            workflow,
            status,
            step: filter.step.as_ref().map(|step| or_nobody(step.as_str())),
            error: filter.error.as_deref().map(or_nobody),
            field,
        })
    }

    pub(crate) fn verdict(&self, row: &Row<'_>) -> Verdict {
        let differs = |wanted: Option<u16>, found: u16| wanted.is_some_and(|wanted| wanted != found);
        if differs(self.workflow, row.workflow)
            || self.status.is_some_and(|status| status != row.status)
            || !self.filter.includes(row.run)
        {
            return Verdict::Fails;
        }
        self.step_and_error(row).min(self.field(row))
    }

    fn step_and_error(&self, row: &Row<'_>) -> Verdict {
        let number = |bytes: &[u8]| bytes.first_chunk::<2>().map_or(NOBODY, |bytes| u16::from_be_bytes(*bytes));
        let mut errors = row.errors.chunks_exact(4).map(|pair| (number(pair), pair.get(2..).map_or(NOBODY, number)));
        let holds = match (self.step, self.error) {
            (None, None) => return Verdict::Passes,
            (Some(step), None) => row.steps.chunks_exact(2).any(|known| number(known) == step),
            (None, Some(error)) => errors.any(|(_, code)| code == error),
            (Some(step), Some(error)) => errors.any(|pair| pair == (step, error)),
        };
        if holds {
            Verdict::Passes
        } else if row.has_more {
            Verdict::Unsure
        } else {
            Verdict::Fails
        }
    }

    fn field(&self, row: &Row<'_>) -> Verdict {
        let Some(wanted) = &self.field else { return Verdict::Passes };
        let mut rest = Reader(row.fields);
        let mut best = None;
        while let Some((path, value)) = read_field(&mut rest) {
            if path == wanted.path {
                let verdict = value.map_or(Verdict::Fails, |(hash, start)| wanted.compare(hash, start));
                best = best.max(Some(verdict));
            }
        }
        match best {
            // Not indexed when the run ended.
            None => Verdict::Unsure,
            Some(Verdict::Fails) if row.has_more => Verdict::Unsure,
            Some(verdict) => verdict,
        }
    }
}

impl Field<'_> {
    fn compare(&self, hash: [u8; 4], start: &[u8]) -> Verdict {
        let wanted = &*self.value.start;
        let (holds, is_whole) = match self.test {
            // A start that is shorter than it may be is the whole value.
            FieldTest::Equals(_) => (hash == self.value.hash && *start == *wanted, FieldValue::is_whole(wanted)),
            FieldTest::StartsWith(text) => (start.starts_with(wanted), text.len() == wanted.len()),
        };
        match (holds, is_whole) {
            (false, _) => Verdict::Fails,
            (true, false) => Verdict::Unsure,
            (true, true) => Verdict::Passes,
        }
    }
}
