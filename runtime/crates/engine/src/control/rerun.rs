//! Repeating a run: the plan, for whoever has to decide, and the new run.

use std::sync::Arc;

use flowcell_core::id::{EventId, RunId};
use flowcell_core::ports::{DedupeTerms, Delivery};
use flowcell_core::run::dead_letter::rerun_bits;
use flowcell_core::run::event::Origin;
use flowcell_core::run::fold::Run;
use flowcell_core::run::rerun::{RerunKeys, RerunPlan, RerunRequest, RerunVersion, plan_rerun};
use flowcell_core::time::Timestamp;

use super::create::{Creation, first_entry, published};
use super::deliver::bits;
use super::{ControlError, RunControl};
use crate::engine::Core;
use crate::workflows::Prepared;

impl RunControl {
    /// Says what a rerun would skip and repeat, and what of that has happened already. Changes nothing.
    pub async fn plan_rerun(&self, run: RunId, request: &RerunRequest) -> Result<RerunPlan, ControlError> {
        Ok(self.planned(run, request).await?.1)
    }

    /// Repeats a run that has ended: a new run, linked to the old one.
    pub async fn rerun(&self, run: RunId, request: &RerunRequest) -> Result<(RunId, RerunPlan), ControlError> {
        let (old, plan, prepared) = self.planned(run, request).await?;
        let core = &*self.0;
        let now = core.ports.clock.now();
        let (id, event) = (RunId::from_parts(now, bits(&*core.ports.entropy)), event_of(core, old.id, now));
        let creation = Creation {
            id,
            event,
            workspace: old.workspace.clone(),
            workflow: old.workflow.clone(),
            version: plan.version,
            trigger: request.trigger.clone().map_or(old.trigger, Arc::new),
            origin: Origin {
                failure_of: old.origin.failure_of,
                rerun_of: Some(old.id),
                keys_of: (request.keys == RerunKeys::Keep).then(|| old.origin.keys_of.unwrap_or(old.id)),
                contact: old.contact.as_ref().map(|contact| contact.id),
                seed: plan.seed.clone(),
                ..Origin::default()
            },
        };
        let (run, _) = first_entry(core, &prepared, creation, now)?;
        let trigger = format!("rerun/{}", old.workflow);
        let workspace = old.workspace;
        let delivery = Delivery {
            event,
            workspace,
            trigger,
            received_at: now,
            dedupe_key: None,
            dedupe: DedupeTerms::default(),
            runs: vec![run],
        };
        core.ports.journal.accept(delivery).await?;
        Ok((id, plan))
    }

    async fn planned(
        &self,
        run: RunId,
        request: &RerunRequest,
    ) -> Result<(Run, RerunPlan, Arc<Prepared>), ControlError> {
        let core = &*self.0;
        let old = self.load(run).await?;
        let version = match request.version {
            RerunVersion::Same => old.version,
            RerunVersion::Latest => published(core, &old.workspace, &old.workflow).await?,
        };
        let prepared = core.workflows.version(&core.ports, &old.workspace, (&old.workflow, version)).await?;
        let plan = plan_rerun(&old, (&prepared.compiled.workflow, version), request)?;
        Ok((old, plan, prepared))
    }
}

/// The event of a rerun: it says of which run (see [`rerun_bits`]).
fn event_of(core: &Core, old: RunId, now: Timestamp) -> EventId {
    let mut chance = [0; 2];
    core.ports.entropy.fill(&mut chance);
    EventId::from_parts(now, rerun_bits(old, u16::from_be_bytes(chance)))
}
