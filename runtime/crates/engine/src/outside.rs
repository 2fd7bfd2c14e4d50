//! Events from outside: appended to a run's journal by whoever brings them, whether or not somebody drives the run at the moment.

use flowcell_core::id::RunId;
use flowcell_core::ports::{Append, Durability, StoreError};
use flowcell_core::run::event::{Recorded, RunEvent};
use flowcell_core::run::fold::{ImpossibleJournal, Run};

use crate::engine::{Core, Ports};
use crate::patience::Patience;

/// Why something could not be appended from outside.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    #[error("the store refused")]
    Store(#[from] StoreError),
    #[error("the journal tells no possible story")]
    Journal(#[from] ImpossibleJournal),
}

impl OutsideError {
    /// Whether the store as a whole refused, rather than one run being at fault.
    pub(crate) fn is_of_store(&self) -> bool {
        matches!(self, Self::Store(error) if is_of_store(error))
    }
}

pub(crate) fn is_of_store(error: &StoreError) -> bool {
    !matches!(error, StoreError::Damaged { .. } | StoreError::NotFound { .. } | StoreError::Refused { .. })
}

/// The journal of a run, waited for while the store is busy.
pub(crate) async fn load(ports: &Ports, id: RunId) -> Result<Vec<Recorded>, StoreError> {
    let mut patience = Patience::new(&*ports.clock);
    loop {
        match ports.journal.load(id).await {
            Err(error) if Patience::covers(&error) => patience.pause("loading a run", &error).await,
            result => return result,
        }
    }
}

/// Appends what `decide` makes of the run as it is, until that is not overtaken by another write; returns after the sync.
/// `None` when it makes nothing of it.
pub(crate) async fn append<T>(
    core: &Core,
    id: RunId,
    decide: impl Fn(&Run) -> Result<RunEvent, T>,
) -> Result<Result<Run, T>, OutsideError> {
    let ports = &core.ports;
    let mut patience = Patience::new(&*ports.clock);
    loop {
        let mut run = Run::fold_owned(id, load(ports, id).await?)?;
        let event = match decide(&run) {
            Ok(event) => event,
            Err(why_not) => return Ok(Err(why_not)),
        };
        let recorded = Recorded { seq: run.next_seq, at: ports.clock.now(), event };
        run.apply(&recorded)?;
        let append =
            Append { run: id, entries: vec![recorded], summary: run.summary(), durability: Durability::Synced };
        match ports.journal.append(append).await {
            Ok(()) => {
                core.hub.poke(id);
                return Ok(Ok(run));
            }
            // The run's own worker writes without waiting: what it wrote last may take a moment to show.
            Err(error @ StoreError::Conflict { .. }) => {
                patience.pause("appending behind the run's worker", &error).await;
            }
            Err(error) if Patience::covers(&error) => patience.pause("appending from outside", &error).await,
            // It has ended meanwhile: `decide` sees that.
            Err(StoreError::Refused { .. }) if has_ended(core, id).await? => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn has_ended(core: &Core, id: RunId) -> Result<bool, OutsideError> {
    Ok(Run::fold_owned(id, load(&core.ports, id).await?)?.outcome.is_some())
}
