//! Redaction: what people are shown of runs, without what rules call secret. A rule names fields wherever they stand (the operator's), or a
//! place in the data of one workflow's runs (its author's).
//!
//! What stands at such a place is hidden there, and its text wherever else it turns up in the same run: in inputs that were built from it,
//! in requests, in messages of errors. The run itself works on true values; nothing here changes what is stored, except where the record of
//! a call is redacted before it is written.

mod event;
mod rule;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::condition::Explanation;
use crate::id::StepRef;
use crate::invoke::CallRecord;
use crate::run::event::{RunEvent, StepError};
use crate::run::fold::Run;
use rule::Part;

pub use rule::{RedactedField, RedactionRules};

/// What stands where something is hidden.
pub const REDACTED: &str = "[redacted]";

/// Texts shorter than this are hidden in their place only: `no` or `12` would be found in everything.
pub const FOUND_CHARACTERS_MIN: usize = 4;

/// Texts that are looked for inside of others, with what they look like in JSON and in URLs. More than people hide in one run; what comes
/// beyond is still hidden where it is the whole of a value.
const FOUND_MAX: usize = 1_000;

/// Hides what the rules say in one run. It has to see everything that has happened to the run before it can hide what came of it.
#[derive(Debug, Clone)]
pub struct Redactor {
    rules: Arc<RedactionRules>,
    /// Every text and number that stands where a rule says.
    values: BTreeSet<String>,
    /// What is looked for inside of texts, the longest first.
    needles: Vec<String>,
}

impl Redactor {
    pub fn new(rules: Arc<RedactionRules>) -> Self {
        Self { rules, values: BTreeSet::new(), needles: Vec::new() }
    }

    /// Whether there are rules at all. Without them only the secrets of resume links are hidden.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Takes in what has happened: the values that are to be hidden from then on.
    pub fn learn(&mut self, event: &RunEvent) {
        if self.rules.is_empty() {
            return;
        }
        let mut hidden = Vec::new();
        let (rules, mut event) = (Arc::clone(&self.rules), event.clone());
        event::each_value(&mut event, &mut |part, value| {
            rules.each_place(part, value, &mut |value| hidden.push(value.take()));
        });
        for value in &hidden {
            self.learn_value(value);
        }
    }

    /// Takes in the data that may start a run.
    pub fn learn_trigger(&mut self, trigger: &Value) {
        self.learn_part(Part::Trigger, Some(trigger));
    }

    /// Hides in an error what is to be hidden.
    pub fn redact_error(&self, error: &mut StepError) {
        self.redact_text(&mut error.message);
        error.details.iter_mut().for_each(|details| self.redact_value(details));
    }

    /// Hides in the explanation of a condition what is to be hidden.
    pub fn redact_explanation(&self, because: &mut Explanation) {
        event::each_shown(because, &mut |text| self.redact_text(text));
    }

    /// Takes in a run as it stands: what started it, and the inputs and outputs of its steps.
    pub fn learn_run(&mut self, run: &Run) {
        if self.rules.is_empty() {
            return;
        }
        self.learn_trigger(&run.trigger);
        if let Some(document) = run.contact.as_ref().and_then(|contact| contact.document.as_ref()) {
            self.learn_contact(document);
        }
        for (step, state) in &run.steps {
            self.learn_part(Part::Output(step), state.output.as_ref());
            for attempt in &state.attempts {
                self.learn_call((step, attempt.input.as_deref().unwrap_or(&Value::Null), attempt.output.as_deref()));
            }
        }
    }

    /// Takes in a contact of the run, or a part of what it was: no entry of the journal has it, and expressions read it.
    pub fn learn_contact(&mut self, document: &Value) {
        self.learn_part(Part::Contact, Some(document));
    }

    /// Takes in the input and the output of a call for a step.
    pub fn learn_call(&mut self, (step, input, output): (&StepRef, &Value, Option<&Value>)) {
        self.learn_part(Part::Input(step), Some(input));
        self.learn_part(Part::Output(step), output);
    }

    fn learn_part(&mut self, part: Part<'_>, value: Option<&Value>) {
        let (rules, mut value) = (Arc::clone(&self.rules), value.cloned().unwrap_or_default());
        let mut hidden = Vec::new();
        rules.each_place(part, &mut value, &mut |value| hidden.push(value.take()));
        for value in &hidden {
            self.learn_value(value);
        }
    }

    fn learn_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.learn_text(text),
            Value::Number(number) => self.learn_text(&number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.learn_value(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.learn_value(field)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn learn_text(&mut self, text: &str) {
        if text.chars().count() < FOUND_CHARACTERS_MIN || !self.values.insert(text.to_owned()) {
            return;
        }
        for needle in text::shapes(text) {
            if self.needles.len() < FOUND_MAX && !self.needles.contains(&needle) {
                let longer = self.needles.partition_point(|other| other.len() >= needle.len());
                self.needles.insert(longer, needle);
            }
        }
    }

    /// Hides in an entry of the journal what is to be hidden.
    pub fn redact(&self, event: &mut RunEvent) {
        event::each_value(event, &mut |part, value| {
            self.rules.each_place(part, value, &mut hide);
            self.redact_value(value);
        });
        event::each_text(event, &mut |text| self.redact_text(text));
        event::each_call(event, &mut |call| self.redact_call(call));
    }

    /// Hides it in the record of a call: addresses, headers, bodies, log lines.
    pub fn redact_call(&self, record: &mut CallRecord) {
        for exchange in &mut record.http {
            let request = &mut exchange.request;
            self.redact_text(&mut request.url);
            self.redact_headers(&mut request.headers);
            self.redact_body(&mut request.body);
            if let Some(response) = &mut exchange.response {
                self.redact_headers(&mut response.headers);
                self.redact_body(&mut response.body);
            }
            if let Some(error) = &mut exchange.error {
                self.redact_text(&mut error.message);
            }
        }
        for call in &mut record.host {
            self.redact_value(&mut call.request);
            match &mut call.outcome {
                Ok(answer) => self.redact_value(answer),
                Err(error) => {
                    self.redact_text(&mut error.message);
                    if let Some(details) = &mut error.details {
                        self.redact_value(details);
                    }
                }
            }
        }
        for line in &mut record.log {
            self.redact_text(&mut line.message);
        }
    }

    fn redact_headers(&self, headers: &mut [(String, String)]) {
        for (name, value) in headers {
            if self.rules.has_name(name) { REDACTED.clone_into(value) } else { self.redact_text(value) }
        }
    }

    fn redact_body(&self, body: &mut crate::exchange::RecordedBody) {
        if let Some(text) = &mut body.text {
            let before = text.len();
            let is_changed = {
                let old = text.clone();
                self.redact_text(text);
                if body.truncated {
                    text::cut_unfinished(text, &self.needles);
                }
                old != *text || before != text.len()
            };
            if is_changed {
                // From the digest of the whole what is hidden could be guessed.
                body.digest = None;
            }
        }
        if let Some(digest) = &body.digest {
            // Of a blob the digest is its name, which may be what is hidden.
            let mut named = digest.to_string();
            self.redact_text(&mut named);
            if named != digest.to_string() {
                body.digest = None;
            }
        }
        if body.base64.is_some() && body.whole().is_some_and(|whole| text::any_in_bytes(&whole, &self.needles)) {
            (body.base64, body.digest, body.truncated) = (None, None, true);
        }
    }

    /// Hides it in any value, by the names of fields and by what was learned.
    pub fn redact_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.redact_text(text),
            Value::Number(number) if self.values.contains(&number.to_string()) => hide(value),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_value(item)),
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    if self.rules.has_name(name) { hide(field) } else { self.redact_value(field) }
                }
                if fields.keys().any(|name| text::is_any_in(name, &self.needles)) {
                    let renamed = std::mem::take(fields).into_iter().map(|(mut name, field)| {
                        self.redact_text(&mut name);
                        (name, field)
                    });
                    *fields = renamed.collect::<Map<String, Value>>();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Hides it in a text, which may be JSON, a form or a URL.
    pub fn redact_text(&self, text: &mut String) {
        text::hide_resume_secrets(text);
        if self.rules.is_empty() {
            return;
        }
        if self.rules.any_name_in(text) {
            match text::as_json(text) {
                Some(mut value) => {
                    let before = value.clone();
                    self.redact_value(&mut value);
                    if value != before {
                        *text = value.to_string();
                    }
                }
                None => self.rules.each_name(|name| text::hide_named(text, name)),
            }
        }
        text::hide_all(text, &self.needles);
        if text.ends_with('…') {
            text::cut_unfinished(text, &self.needles);
        }
    }
}

fn hide(value: &mut Value) {
    if !value.is_null() {
        *value = Value::from(REDACTED);
    }
}

#[cfg(test)]
mod tests;
