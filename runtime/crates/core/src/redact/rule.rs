//! What is to be hidden: fields by their name, places by their path.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::id::{StepId, StepRef};
use crate::search::{FieldPath, InvalidField};
use crate::serde_text::serde_as_text;

/// As deep as a path may lead, and as long as it may be: what fields of a search may be.
const SEGMENTS_MAX: usize = 16;
const PATH_BYTES_MAX: usize = 128;

/// A place in the data of a workflow's runs: `trigger.body.card.number`, `steps.pay.output.token`, `steps.pay.input.pin`, `contact.fields.iban`.
/// `*` stands for any one name or index; lists on the way are gone through without being named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedField {
    text: String,
    root: Root,
    segments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    Trigger,
    Input(StepId),
    Output(StepId),
    /// Of the run's contact.
    Contact,
}

/// What a value of an event is a part of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'e> {
    Trigger,
    Input(&'e StepRef),
    Output(&'e StepRef),
    /// A field of a step's output to be.
    OutputField(&'e StepRef, &'static str),
    /// What expressions read as `contact`.
    Contact,
    /// Of nothing that a path can name.
    Other,
}

/// The rules for one workflow's runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedactionRules {
    /// In small letters.
    names: Vec<String>,
    paths: Vec<RedactedField>,
}

impl RedactionRules {
    /// `names` of fields, in any case, wherever they stand; `paths` as the workflow has them.
    pub fn new(names: &[String], paths: impl IntoIterator<Item = RedactedField>) -> Self {
        let names = names.iter().map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
        Self { names: names.collect(), paths: paths.into_iter().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.paths.is_empty()
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    pub(super) fn each_name(&self, mut each: impl FnMut(&str)) {
        self.names.iter().for_each(|name| each(name));
    }

    /// Whether one of the names stands in a text: a quick look before a long one.
    pub(super) fn any_name_in(&self, text: &str) -> bool {
        !self.names.is_empty() && {
            let text = text.to_ascii_lowercase();
            self.names.iter().any(|name| text.contains(name.as_str()))
        }
    }

    /// Goes to every place in `value` that is to be hidden.
    pub(super) fn each_place(&self, part: Part<'_>, value: &mut Value, found: &mut impl FnMut(&mut Value)) {
        for path in &self.paths {
            let segments = path.segments.as_slice();
            if let (Root::Contact, Part::Trigger, Some(brought)) = (&path.root, part, value.get_mut("contact")) {
                // A contact trigger brings it.
                at(brought, segments, found);
                continue;
            }
            let below = match (&path.root, part) {
                (Root::Trigger, Part::Trigger) | (Root::Contact, Part::Contact) => Some(segments),
                (Root::Input(id), Part::Input(step)) | (Root::Output(id), Part::Output(step)) if id == step.id() => {
                    Some(segments)
                }
                (Root::Output(id), Part::OutputField(step, field)) if id == step.id() => {
                    segments.split_first().filter(|(first, _)| *first == field || *first == "*").map(|(_, rest)| rest)
                }
                _ => None,
            };
            if let Some(segments) = below {
                at(value, segments, found);
            }
        }
        if !self.names.is_empty() {
            self.named(value, found);
        }
    }

    fn named(&self, value: &mut Value, found: &mut impl FnMut(&mut Value)) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    if self.has_name(name) { found(field) } else { self.named(field, found) }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.named(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn at(value: &mut Value, segments: &[String], found: &mut impl FnMut(&mut Value)) {
    let Some((first, rest)) = segments.split_first() else { return found(value) };
    match value {
        Value::Object(fields) => {
            for (_, field) in fields.iter_mut().filter(|(name, _)| first == "*" || first == *name) {
                at(field, rest, found);
            }
        }
        Value::Array(items) => match first.parse::<usize>() {
            Ok(index) => {
                if let Some(item) = items.get_mut(index) {
                    at(item, rest, found);
                }
            }
            Err(_) if first == "*" => items.iter_mut().for_each(|item| at(item, rest, found)),
            Err(_) => items.iter_mut().for_each(|item| at(item, segments, found)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl RedactedField {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The step whose data it is.
    pub fn step(&self) -> Option<&StepId> {
        match &self.root {
            Root::Trigger | Root::Contact => None,
            Root::Input(step) | Root::Output(step) => Some(step),
        }
    }

    /// Whether the field of a search lies at this place, or below it.
    pub fn covers(&self, field: &FieldPath) -> bool {
        let ours = self.text.split('.');
        let mut theirs = field.as_str().split('.');
        ours.into_iter().all(|ours| theirs.next().is_some_and(|theirs| ours == "*" || ours == theirs))
    }
}

impl FromStr for RedactedField {
    type Err = InvalidField;
    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let invalid = |problem| InvalidField { text: text.chars().take(PATH_BYTES_MAX).collect(), problem };
        let mut segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        if text.len() > PATH_BYTES_MAX || segments.len() > SEGMENTS_MAX || segments.iter().any(String::is_empty) {
            return Err(invalid("is no path of up to 16 names and 128 bytes with single dots between the names"));
        }
        let root = match segments.as_slice() {
            [root, _, ..] if root == "trigger" => {
                segments.drain(..1);
                Root::Trigger
            }
            [root, _, ..] if root == "contact" => {
                segments.drain(..1);
                Root::Contact
            }
            [root, step, part, _, ..] if root == "steps" && (part == "output" || part == "input") => {
                let id = step.parse().map_err(|_| invalid("names no step after `steps.`"))?;
                let root = if part == "output" { Root::Output(id) } else { Root::Input(id) };
                segments.drain(..3);
                root
            }
            _ => {
                let problem = "is no place; write `trigger.body.card`, `steps.<id>.output.<name>`, `steps.<id>.input.<name>` or `contact.<field>`";
                return Err(invalid(problem));
            }
        };
        Ok(Self { text: text.to_owned(), root, segments })
    }
}

impl fmt::Display for RedactedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(RedactedField);
