//! Writing down what happened, behind what others have written meanwhile.

use flowcell_core::ports::{Append, Durability, StoreError};
use flowcell_core::run::event::{Recorded, RunEvent};
use flowcell_core::run::fold::Run;

use super::{Drive, DriveError};
use crate::outside;
use crate::patience::Patience;

impl Drive<'_> {
    /// Appends what is unwritten. What came from outside first is taken in, and ours goes behind it.
    pub(super) async fn write(&mut self, durability: Durability) -> Result<(), DriveError> {
        let core = self.core;
        let mut patience = Patience::new(&*core.ports.clock);
        while !self.unwritten.is_empty() {
            let (entries, summary) = (self.unwritten.clone(), self.run.summary());
            let append = Append { run: self.run.id, entries, summary, durability };
            match core.ports.journal.append(append).await {
                Ok(()) => self.unwritten.clear(),
                Err(StoreError::Conflict { actual, .. }) => {
                    let entries = self.load_at_least(actual).await?;
                    self.put_behind(entries)?;
                }
                Err(error) if Patience::covers(&error) => patience.pause("writing what a run did", &error).await,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes in what came from outside while nothing had to be written.
    pub(super) async fn catch_up(&mut self) -> Result<(), DriveError> {
        self.write(Durability::NextGroup).await?;
        let entries = self.load_at_least(self.run.next_seq).await?;
        if entries.len() > self.run.next_seq as usize { self.put_behind(entries) } else { Ok(()) }
    }

    /// The journal; what was queued last may take a moment to show.
    pub(super) async fn load_at_least(&mut self, length: u32) -> Result<Vec<Recorded>, DriveError> {
        let mut patience = Patience::new(&*self.core.ports.clock);
        loop {
            let entries = outside::load(&self.core.ports, self.run.id).await?;
            if entries.len() >= length as usize {
                return Ok(entries);
            }
            patience.pause("loading what was written last", &StoreError::Busy).await;
        }
    }

    /// Puts what is unwritten behind `entries`, the journal as it is now.
    ///
    /// What follows from the events is dropped from the end: with what has come it may follow no longer, and the plan finds it again if it
    /// does. What has happened in the world stays, and what lies before it.
    fn put_behind(&mut self, entries: Vec<Recorded>) -> Result<(), DriveError> {
        let ours = std::mem::take(&mut self.unwritten);
        let known = self.run.next_seq as usize - ours.len();
        let is_from_outside = |entry: &Recorded| entry.event.is_outside();
        if !entries.get(known..).is_some_and(|foreign| foreign.iter().all(is_from_outside)) {
            return Err(DriveError::TakenOver);
        }
        let facts = ours.iter().rposition(|entry| self.run.is_fact(&entry.event)).map_or(0, |last| last + 1);
        self.run = Run::fold_owned(self.run.id, entries)?;
        for entry in ours.into_iter().take(facts) {
            let entry = Recorded { seq: self.run.next_seq, ..entry };
            match self.run.apply(&entry) {
                Ok(()) => self.unwritten.push(entry),
                // What came in between has settled the step already: there is nothing left to cut short.
                Err(_) if matches!(entry.event, RunEvent::Cancelled { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
