//! The attempts of one run that are under way.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use flowcell_core::id::StepRef;

use crate::attempt::Landed;

type Flight<'e> = Pin<Box<dyn Future<Output = Landed> + Send + 'e>>;

/// They are few (`EngineConfig::attempts_per_run`): each wake-up polls them all, in the order in which they began.
#[derive(Default)]
pub(super) struct Flights<'e> {
    flying: Vec<(StepRef, Flight<'e>)>,
    steps: BTreeSet<StepRef>,
}

impl<'e> Flights<'e> {
    pub(super) fn begin(&mut self, step: StepRef, flight: Flight<'e>) {
        self.steps.insert(step.clone());
        self.flying.push((step, flight));
    }

    /// The end of the first attempt that ends; never, if none is under way.
    pub(super) async fn next(&mut self) -> Landed {
        let (index, landed) = poll_fn(|context| {
            for (index, (_, flight)) in self.flying.iter_mut().enumerate() {
                if let Poll::Ready(landed) = flight.as_mut().poll(context) {
                    return Poll::Ready((index, landed));
                }
            }
            Poll::Pending
        })
        .await;
        let (step, _) = self.flying.remove(index);
        self.steps.remove(&step);
        landed
    }

    /// Drops an attempt in the middle: its sandbox goes with it.
    pub(super) fn abort(&mut self, step: &StepRef) {
        if self.steps.remove(step) {
            self.flying.retain(|(flying, _)| flying != step);
        }
    }

    pub(super) fn steps(&self) -> &BTreeSet<StepRef> {
        &self.steps
    }
    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }
    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }
}
