//! What an author says of an answer's body: that it can be meant, and what paths into it lead to.

use super::Check;
use super::types::{Found, Key, Known};
use crate::id::StepId;
use crate::infer::schema_of;
use crate::manifest::ActionManifest;
use crate::workflow::Action;
use crate::workflow::response::{MEMBER, Response};
use crate::workflow::step::OnError;

/// What is known of a body, and how sure that is.
pub(super) enum Declared {
    Schema(Known),
    Sample(Known),
}

impl Declared {
    pub(super) fn known(self) -> Known {
        match self {
            Self::Schema(known) | Self::Sample(known) => known,
        }
    }
}

impl Check<'_> {
    /// Refuses what cannot be a schema, and what is said of an output without a body.
    pub(super) fn response(&mut self, step: &str, action: &Action, member: &ActionManifest) {
        let Some(response) = &action.response else { return };
        let pointer = format!("{step}/response");
        if !matches!(Known::schema(&member.output).child(&Key::Name(MEMBER.to_owned())), Found::There(_)) {
            let message = format!("`{}` has no `{MEMBER}` in its output, so nothing can be said of it", action.uses);
            self.add(&pointer, message, Some("leave it out".to_owned()));
        }
        if let Response::Schema(schema) = response
            && let Err(error) = crate::manifest::schema::compile(schema)
        {
            self.add(&format!("{pointer}/schema"), error.to_string(), None);
        }
    }

    /// What the author says of the body of a step's answer.
    pub(super) fn declared_body(&self, name: &str) -> Option<Declared> {
        let step = self.workflow().step(&name.parse::<StepId>().ok()?)?;
        if matches!(step.on_error, OnError::Substitute(_) | OnError::Steps(_)) {
            return None; // its output may be another one
        }
        Some(match step.action()?.response.as_ref()? {
            Response::Schema(schema) => Declared::Schema(Known::schema(schema)),
            Response::Sample(sample) => Declared::Sample(Known::schema(&schema_of(std::slice::from_ref(sample)))),
        })
    }
}
