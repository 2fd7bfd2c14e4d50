//! What did not arrive.

use flowcell_core::id::{RunId, StepRef};
use flowcell_core::run::dead_letter::{DeadLetter, Wanted, undelivered};

use super::{ControlError, RunControl};

impl RunControl {
    /// The run as a dead letter; `None` when it is none.
    pub async fn dead_letter(&self, run: RunId) -> Result<Option<DeadLetter>, ControlError> {
        let run = self.load(run).await?;
        let prepared = self.0.workflows.get(&self.0.ports, &run).await?;
        Ok(DeadLetter::of(&run, &prepared.compiled))
    }

    /// The wanted deliveries of an ended run that never succeeded.
    pub async fn undelivered(&self, run: RunId, wanted: &Wanted) -> Result<Vec<StepRef>, ControlError> {
        let run = self.load(run).await?;
        let prepared = self.0.workflows.get(&self.0.ports, &run).await?;
        Ok(undelivered(&run, &prepared.compiled, wanted))
    }
}
