//! What the journal of a passing run must contain, byte for byte: looked for before a journal is decoded, at a tenth of the cost. It may be
//! there without the run passing (in another field); then the journal decides as always.

use flowcell_core::id::RunId;
use flowcell_core::ports::{RunFilter, StoreError};
use flowcell_core::search::FieldTest;
use memchr::memmem::Finder;

use crate::embedded::codec::{self, Body};
use crate::embedded::shared::{Shared, damaged};
use crate::embedded::tables::{self, Table, WorkspaceNumber};

#[derive(Debug)]
pub(super) struct Needles(Vec<Finder<'static>>);

/// What a journal tells at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glance {
    /// Something that it must contain is not there.
    Fails,
    Unsure,
}

impl Needles {
    pub(super) fn of(filter: &RunFilter) -> Self {
        let step = filter.step.as_ref().map(|step| step.as_str());
        let value = filter.field.as_ref().map(|field| match &field.test {
            FieldTest::Equals(text) | FieldTest::StartsWith(text) => text.as_str(),
        });
        let texts = [step, filter.error.as_deref(), value].into_iter().flatten();
        Self(texts.filter_map(written).map(|text| Finder::new(text.as_bytes()).into_owned()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks through a run's journal; `bytes` becomes less by what was looked at.
    pub(super) fn glance(
        &self,
        shared: &Shared,
        (workspace, run): (WorkspaceNumber, RunId),
        bytes: &mut usize,
    ) -> Result<Glance, StoreError> {
        let what = format!("the journal of {run}");
        let mut missing: Vec<&Finder<'static>> = self.0.iter().collect();
        let mut rows = shared.database().trees.get(Table::Journal).scan_prefix(tables::run(workspace, run));
        while let Some((key, record)) = super::next(&mut rows, &what)? {
            let opened = codec::open(Table::Journal, &key, &record).map_err(|problem| damaged(&what, problem))?;
            let mut look = |json: &[u8]| {
                *bytes = bytes.saturating_sub(json.len());
                missing.retain(|needle| needle.find(json).is_none());
            };
            match opened.body {
                Body::Inline(json) => look(json),
                Body::File(name) => match shared.payloads.read(&name) {
                    Ok(json) => look(&json),
                    // Removed at this moment, or damaged: whoever reads the journal finds out.
                    Err(_) => return Ok(Glance::Unsure),
                },
            }
            if missing.is_empty() {
                return Ok(Glance::Unsure);
            }
        }
        Ok(Glance::Fails)
    }
}

/// How a text stands in a record: with the escapes of JSON and without its quotes, so that its beginning is found too, and a number. Nothing
/// for the empty text, which is everywhere.
fn written(text: &str) -> Option<String> {
    let json = serde_json::to_string(text).ok()?;
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.is_empty()).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_value_and_its_beginning_stand_in_the_record_as_they_are_looked_for() {
        let values: [Value; 8] = [
            json!("anna@example.com"),
            json!("ä€𝄞 \u{0}\u{1f}\u{7f}\"\\/\n\t\u{8}\u{c}\u{2028}"),
            json!(-0.0),
            json!(1e300),
            json!(2.638_344_616_030_823e-256),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(true),
        ];
        for value in values {
            let record = serde_json::to_vec(&json!({"deep": [value]})).unwrap();
            let text = match &value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            for (end, _) in text.char_indices().skip(1).chain([(text.len(), ' ')]) {
                let needle = written(&text[..end]).unwrap();
                assert!(Finder::new(needle.as_bytes()).find(&record).is_some(), "{needle} in {value}");
            }
        }
        assert_eq!(written(""), None);
    }
}
