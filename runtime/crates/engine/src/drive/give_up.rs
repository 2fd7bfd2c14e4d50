//! What is done when the journal refuses for good what has happened.

use std::sync::Arc;

use flowcell_core::ports::{Durability, StoreError};
use flowcell_core::run::event::{Outcome, RunEvent, StepError};
use flowcell_core::run::fold::{Phase, Run};
use serde_json::Value;

use super::flights::Flights;
use super::{Drive, DriveError};

impl Drive<'_> {
    /// Ends the run without what the journal refuses.
    pub(super) async fn give_up(&mut self, refusal: &StoreError) -> Result<(), DriveError> {
        let refused = std::mem::take(&mut self.unwritten);
        // The attempts in progress end with the run.
        self.flights = Flights::default();
        let result = refused.iter().find(|entry| super::is_result(&entry.event)).or(refused.first());
        let named = result.and_then(|entry| entry.event.step().cloned());
        // What is refused may be the end itself, or what another run is told of it: then the last step stands for the run.
        let first = || self.workflow.compiled.workflow.steps.first().map(|step| step.id.clone().into());
        let Some(step) = named.or_else(|| self.run.steps.keys().last().cloned()).or_else(first) else {
            return Err(StoreError::Refused { message: refusal.to_string() }.into());
        };
        let length = refused.first().map_or(self.run.next_seq, |first| first.seq);
        self.run = Run::fold_owned(self.run.id, self.load_at_least(length).await?)?;
        tracing::warn!(run = %self.run.id, %step, error = %refusal, "a run ends here, because its journal cannot take what happened");
        let error = StepError::permanent(
            "journal-refused",
            format!(
                "what step `{step}` did cannot be written down ({refusal}); it may have happened all the same. Let it return less, or something flatter"
            ),
        );
        // Starts that were held back can be written.
        for entry in refused.into_iter().take_while(|entry| !super::is_result(&entry.event)) {
            if matches!(entry.event, RunEvent::StepStarted { .. }) && self.note(entry.event).is_err() {
                break;
            }
        }
        let open = self.run.steps.get(&step).filter(|state| state.phase == Phase::Started);
        if let Some(attempt) = open.and_then(|state| state.attempts.last()).map(|last| last.number) {
            let (step, error, call) = (step.clone(), error.clone(), Arc::default());
            self.note(RunEvent::StepFailed { step, attempt, error, retry_at: None, input: None, origin: None, call })?;
        }
        let open: Vec<_> = self.run.open().map(|(step, _)| step.clone()).collect();
        for step in open {
            self.note(RunEvent::Cancelled { step, reason: "the run has failed".to_owned() })?;
        }
        let outcome = Outcome::Failed { step, error };
        self.tell_family(&outcome, &Value::Null).await?;
        self.note(RunEvent::Finished { outcome, output: Value::Null })?;
        self.write(Durability::NextGroup).await
    }
}
