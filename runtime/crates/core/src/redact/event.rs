//! Where in an event there is data: every value with what it is a part of, every text for people, every record of a call.

use std::sync::Arc;

use serde_json::Value;

use super::rule::Part;
use crate::condition::{Asked, Explanation};
use crate::invoke::CallRecord;
use crate::run::event::{Decision, Detail, Failure, Outcome, ResponseBody, RunEvent, StepError};

/// Every value that an author or a sender has made.
pub(super) fn each_value(event: &mut RunEvent, each: &mut impl FnMut(Part<'_>, &mut Value)) {
    match event {
        RunEvent::Created { trigger, origin, .. } => {
            each(Part::Trigger, Arc::make_mut(trigger));
            for event in &mut origin.seed {
                each_seed_value(event, each);
            }
        }
        RunEvent::StepSucceeded { step, output, input, .. } => {
            each(Part::Input(step), Arc::make_mut(input));
            each(Part::Output(step), Arc::make_mut(output));
        }
        RunEvent::StepFailed { step, error, input, .. } => {
            if let Some(input) = input {
                each(Part::Input(step), Arc::make_mut(input));
            }
            each_detail(error, each);
        }
        RunEvent::StepParked { step, error, input, .. } => {
            if let Some(input) = input {
                each(Part::Input(step), Arc::make_mut(input));
            }
            if let Some(error) = error {
                each_detail(error, each);
            }
        }
        RunEvent::Entered { step, detail } => match detail {
            Detail::Each { items, .. } => each(Part::Other, items),
            Detail::Called { input, .. } => each(Part::Input(step), input),
            Detail::Decided { .. } | Detail::Parallel | Detail::Waiting { .. } => {}
        },
        RunEvent::Left { step, output } | RunEvent::Kept { step, output } | RunEvent::Handled { step, output } => {
            each(Part::Output(step), output);
        }
        RunEvent::Iterated { step, collected, error, .. } => {
            each(Part::OutputField(step, "results"), collected);
            if let Some(failure) = error {
                each_detail(&mut failure.error, each);
            }
        }
        RunEvent::Responded { body: Some(ResponseBody::Json(body)), .. } => each(Part::Other, body),
        RunEvent::Resumed { step, payload } => each(Part::OutputField(step, "payload"), payload),
        RunEvent::EventArrived { step, payload } => each(Part::OutputField(step, "event"), payload),
        RunEvent::ChildEnded { step, outcome, output } => {
            each(Part::Output(step), output);
            each_outcome_detail(outcome, each);
        }
        RunEvent::Decided { step, decision: Decision::Succeeded { output } } => each(Part::Output(step), output),
        RunEvent::Finished { outcome, output } => {
            each(Part::Other, output);
            each_outcome_detail(outcome, each);
        }
        RunEvent::StepStarted { .. }
        | RunEvent::StepDeferred { .. }
        | RunEvent::TimedOut { .. }
        | RunEvent::Cancelled { .. }
        | RunEvent::Responded { .. }
        | RunEvent::Rested { .. }
        | RunEvent::CancelRequested { .. }
        | RunEvent::ContactEnrolled { .. }
        | RunEvent::Decided { .. } => {}
    }
}

/// What a rerun takes over is made of the same events, one level deep.
fn each_seed_value(event: &mut RunEvent, each: &mut impl FnMut(Part<'_>, &mut Value)) {
    match event {
        RunEvent::Kept { step, output } => each(Part::Output(step), output),
        RunEvent::Entered { detail: Detail::Each { items, .. }, .. } => each(Part::Other, items),
        RunEvent::Entered { step, detail: Detail::Called { input, .. } } => each(Part::Input(step), input),
        RunEvent::Iterated { step, collected, .. } => each(Part::OutputField(step, "results"), collected),
        _ => {}
    }
}

fn each_detail(error: &mut StepError, each: &mut impl FnMut(Part<'_>, &mut Value)) {
    if let Some(details) = &mut error.details {
        each(Part::Other, details);
    }
}

fn each_outcome_detail(outcome: &mut Outcome, each: &mut impl FnMut(Part<'_>, &mut Value)) {
    if let Outcome::Failed { error, .. } = outcome {
        each_detail(error, each);
    }
}

/// Every text that data may have got into.
pub(super) fn each_text(event: &mut RunEvent, each: &mut impl FnMut(&mut String)) {
    match event {
        RunEvent::Created { origin, .. } => {
            // A key is made of data.
            origin.slot.iter_mut().chain(&mut origin.subject).for_each(&mut *each);
            for event in &mut origin.seed {
                each_seed_text(event, each);
            }
        }
        RunEvent::StepParked { reason, error, .. } => {
            each(reason);
            if let Some(error) = error {
                each(&mut error.message);
            }
        }
        RunEvent::Entered { detail: Detail::Decided { because, .. }, .. } => {
            for because in because {
                each_shown(because, each);
            }
        }
        RunEvent::StepFailed { error, .. } | RunEvent::Iterated { error: Some(Failure { error, .. }), .. } => {
            each(&mut error.message);
        }
        RunEvent::StepDeferred { reason, .. }
        | RunEvent::Cancelled { reason, .. }
        | RunEvent::CancelRequested { reason } => each(reason),
        RunEvent::Responded { headers, body, .. } => {
            headers.values_mut().for_each(&mut *each);
            if let Some(ResponseBody::Text(text)) = body {
                each(text);
            }
        }
        RunEvent::ChildEnded { outcome, .. } | RunEvent::Finished { outcome, .. } => match outcome {
            Outcome::Failed { error, .. } => each(&mut error.message),
            Outcome::Cancelled { reason } => each(reason),
            Outcome::Succeeded => {}
        },
        _ => {}
    }
}

fn each_seed_text(event: &mut RunEvent, each: &mut impl FnMut(&mut String)) {
    match event {
        RunEvent::Entered { detail: Detail::Decided { because, .. }, .. } => {
            for because in because {
                each_shown(because, each);
            }
        }
        RunEvent::Iterated { error: Some(Failure { error, .. }), .. } => each(&mut error.message),
        _ => {}
    }
}

/// The operands of a decision, with their values.
pub(super) fn each_shown(because: &mut Explanation, each: &mut impl FnMut(&mut String)) {
    match &mut because.asked {
        Asked::Expression(shown) => shown.value.iter_mut().for_each(each),
        Asked::Compare { value, to, .. } => {
            value.value.iter_mut().for_each(&mut *each);
            to.iter_mut().filter_map(|to| to.value.as_mut()).for_each(each);
        }
        Asked::All(list) | Asked::Any(list) => list.iter_mut().for_each(|inner| each_shown(inner, each)),
        Asked::Not(inner) => each_shown(inner, each),
    }
}

pub(super) fn each_call(event: &mut RunEvent, each: &mut impl FnMut(&mut CallRecord)) {
    match event {
        RunEvent::StepSucceeded { call, .. } | RunEvent::StepFailed { call, .. } => each(Arc::make_mut(call)),
        RunEvent::StepParked { call, .. } => call.iter_mut().for_each(|call| each(Arc::make_mut(call))),
        _ => {}
    }
}
