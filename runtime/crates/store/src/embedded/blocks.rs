//! The index of runs that have ended: blocks, each of runs that ended together and were created within the same four minutes. A run is
//! written into one once, in the transaction of its end; so a block costs a group commit one row, however many runs end in it.
//!
//! A search goes through the blocks, newest first, and compares numbers: names stand once in each block. Some 25 bytes a run.
//!
//! ```text
//! key    workspace (4), time of creation / 2^18 ms (4), group and part (8)
//! body   1, names (2), each: length (1) and UTF-8; runs (2), each:
//!        id without its first 3 bytes (13), workflow (2), status and "has more" (1),
//!        steps (1), each a name (2); errors (1), each step and code (4);
//!        fields (1), each: path (2), length of the start or 255 for no value (1), hash (4), start
//! ```

mod edit;
mod matching;

use flowcell_core::id::{RunId, WorkflowId};
use flowcell_core::run::fold::RunStatus;
use flowcell_core::search::RunFacts;

use super::tables::WorkspaceNumber;

pub(crate) use edit::{OpenBlocks, Unchanged, without};
pub(crate) use matching::{Verdict, Wanted};

/// A bucket is 2^18 ms, some four minutes: at a thousand runs a second a page sorts 7 MB, and at one run a minute a block holds four.
const BUCKET_BITS: u32 = 18;

const VERSION: u8 = 1;

/// The most a block's body may take: what lies in a tree (see `codec::INLINE_BYTES_MAX`), less its header.
pub(crate) const BODY_BYTES_MAX: usize = super::codec::INLINE_BYTES_MAX - 16;

const HAS_MORE: u8 = 0x80;
const NO_VALUE: u8 = u8::MAX;

/// A run that has ended, as the index has it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) workspace: WorkspaceNumber,
    pub(crate) run: RunId,
    pub(crate) workflow: WorkflowId,
    pub(crate) status: RunStatus,
    pub(crate) facts: RunFacts,
}

/// The bucket a run belongs to.
pub(crate) fn bucket(run: RunId) -> u32 {
    u32::try_from(run.created_at().as_millis() >> BUCKET_BITS).unwrap_or(u32::MAX)
}

/// The least id a run of the bucket may have.
pub(crate) fn first_of(bucket: u32) -> RunId {
    let ms = u64::from(bucket) << BUCKET_BITS;
    RunId::from_parts(flowcell_core::time::Timestamp::from_millis(ms), 0)
}

fn status_code(status: RunStatus) -> Option<u8> {
    match status {
        RunStatus::Succeeded => Some(0),
        RunStatus::Failed => Some(1),
        RunStatus::Cancelled => Some(2),
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => None,
    }
}

/// A block in the making or taken apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    names: Vec<Box<str>>,
    runs: Vec<Vec<u8>>,
    bytes: usize,
}

impl Block {
    /// Takes a run in, unless the block would grow beyond `bytes_max`.
    fn add(&mut self, ended: &Ended, bytes_max: usize) -> bool {
        let names_before = self.names.len();
        let bytes_before = self.bytes;
        let run = self.encode(ended);
        if !self.runs.is_empty() && self.encoded_bytes() + run.len() > bytes_max {
            self.names.truncate(names_before);
            self.bytes = bytes_before;
            return false;
        }
        self.bytes += run.len();
        self.runs.push(run);
        true
    }

    fn encode(&mut self, ended: &Ended) -> Vec<u8> {
        let facts = &ended.facts;
        let mut run = Vec::with_capacity(48);
        run.extend(ended.run.to_bytes().iter().skip(3));
        run.extend(self.name(ended.workflow.as_str()));
        let more = if facts.has_more() { HAS_MORE } else { 0 };
        run.push(status_code(ended.status).unwrap_or_default() | more);
        run.push(count(facts.steps()));
        for step in facts.steps() {
            run.extend(self.name(step));
        }
        run.push(count(facts.errors()));
        for (step, code) in facts.errors() {
            run.extend(self.name(step));
            run.extend(self.name(code));
        }
        run.push(count(facts.fields()));
        for field in facts.fields() {
            run.extend(self.name(&field.path));
            if let Some(value) = &field.value {
                run.push(count(&value.start));
                run.extend(value.hash);
                run.extend(value.start.iter());
            } else {
                run.push(NO_VALUE);
                run.extend([0; 4]);
            }
        }
        run
    }

    /// The number of a name in this block.
    fn name(&mut self, name: &str) -> [u8; 2] {
        let known = self.names.iter().position(|known| **known == *name);
        let number = known.unwrap_or_else(|| {
            self.bytes += 1 + name.len();
            self.names.push(name.into());
            self.names.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
    }

    fn encoded_bytes(&self) -> usize {
        5 + self.bytes
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.encoded_bytes());
        body.push(VERSION);
        body.extend(u16::try_from(self.names.len()).unwrap_or(u16::MAX).to_be_bytes());
        for name in &self.names {
            body.push(count(name.as_bytes()));
            body.extend(name.bytes());
        }
        body.extend(u16::try_from(self.runs.len()).unwrap_or(u16::MAX).to_be_bytes());
        for run in &self.runs {
            body.extend(run);
        }
        body
    }
}

/// The facts' own limits keep every count below 255.
fn count<T>(items: &[T]) -> u8 {
    u8::try_from(items.len()).unwrap_or(u8::MAX)
}

/// A block as it is read.
#[derive(Debug)]
pub(crate) struct View<'b> {
    pub(crate) names: Vec<&'b str>,
    bucket: u32,
    runs: u16,
    rest: Reader<'b>,
}

/// One run of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'b> {
    pub(crate) run: RunId,
    workflow: u16,
    status: u8,
    has_more: bool,
    steps: &'b [u8],
    errors: &'b [u8],
    fields: &'b [u8],
    raw: &'b [u8],
}

impl<'b> View<'b> {
    /// Reads the head of a block; nothing when it is malformed.
    pub(crate) fn open(key: &[u8], body: &'b [u8]) -> Option<Self> {
        let bucket = u32::from_be_bytes(*key.get(4..)?.first_chunk::<4>()?);
        let mut rest = Reader(body);
        if rest.byte()? != VERSION {
            return None;
        }
        let mut names = Vec::new();
        for _ in 0..rest.number()? {
            let length = rest.byte()?;
            names.push(std::str::from_utf8(rest.take(usize::from(length))?).ok()?);
        }
        let runs = rest.number()?;
        Some(Self { names, bucket, runs, rest })
    }

    /// How many runs it says it has.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.runs)
    }

    /// The next run; an end before `len` runs means that the block is damaged.
    pub(crate) fn next(&mut self) -> Option<Row<'b>> {
        let before = self.rest.0;
        let tail = self.rest.take(13)?;
        let mut id = [0; 16];
        let head = (self.bucket >> 6).to_be_bytes();
        for (to, from) in id.iter_mut().zip(head.iter().skip(1).chain(tail)) {
            *to = *from;
        }
        let workflow = self.rest.number()?;
        let status = self.rest.byte()?;
        let steps = self.rest.byte()?;
        let steps = self.rest.take(usize::from(steps) * 2)?;
        let errors = self.rest.byte()?;
        let errors = self.rest.take(usize::from(errors) * 4)?;
        let count = self.rest.byte()?;
        let start = self.rest.0;
        for _ in 0..count {
            read_field(&mut self.rest)?;
        }
        let fields = start.get(..start.len() - self.rest.0.len())?;
        let raw = before.get(..before.len() - self.rest.0.len())?;
        let has_more = status & HAS_MORE != 0;
        let run = RunId::from_bytes(id);
        Some(Row { run, workflow, status: status & !HAS_MORE, has_more, steps, errors, fields, raw })
    }
}

/// Path, and hash and start of the value if there is one.
type StoredField<'b> = (u16, Option<([u8; 4], &'b [u8])>);

fn read_field<'b>(rest: &mut Reader<'b>) -> Option<StoredField<'b>> {
    let path = rest.number()?;
    let length = rest.byte()?;
    let hash = *rest.take(4)?.first_chunk::<4>()?;
    if length == NO_VALUE {
        return Some((path, None));
    }
    Some((path, Some((hash, rest.take(usize::from(length))?))))
}

#[derive(Debug, Clone, Copy)]
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }
    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk::<2>()?))
    }
}

#[cfg(test)]
mod tests;
