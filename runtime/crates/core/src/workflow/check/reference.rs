//! What expressions read of the trigger, held against the requests that the mapping is made against. Samples show what comes, not all that may
//! come, so everything here is a warning.

use serde_json::Value;

use super::Check;
use super::fields::Field;
use super::reads::Read;
use super::types::{Found, Key, Known, article, keys};
use crate::workflow::compiled::expression_text;
use crate::workflow::problem::similar;
use crate::workflow::step::StepKind;

/// What is known from samples, and what they are called.
pub(super) struct Samples<'s> {
    pub(super) known: Known,
    pub(super) of: &'s str,
}

impl Check<'_> {
    /// Warns of what no sample has, or not every one. `root` is the name that the path begins with.
    pub(super) fn against_reference(&mut self, read: &Read<'_, '_>, root: &str, keys: &[Key]) {
        let Some(known) = self.reference_of(root, read.field) else { return };
        self.against_samples(read, Samples { known, of: "the mapping reference" }, root, keys);
    }

    /// The same for any samples; `from` is what they are samples of, as a path.
    pub(super) fn against_samples(&mut self, read: &Read<'_, '_>, samples: Samples<'_>, from: &str, keys: &[Key]) {
        // What is wrong by the plugin's own schema is said already.
        if self.has_problem_at(&read.pointer) || read.is_guarded {
            return;
        }
        let Samples { mut known, of } = samples;
        let mut at = from.to_owned();
        for key in keys {
            let Some((message, help)) = missing((&known, of), key, &at) else {
                if let (Key::Name(name), true) = (key, is_optional(&known, key)) {
                    self.warn(
                        &read.pointer,
                        format!("`{at}.{name}` is not in every sample of {of}"),
                        Some("provide for its absence: `| default(…)`, or a condition with `is: exists`".to_owned()),
                    );
                    return;
                }
                let Found::There(child) = known.child(key) else { return };
                known = child;
                match key {
                    Key::Name(name) => at = format!("{at}.{name}"),
                    Key::Index => at.push_str("[…]"),
                }
                continue;
            };
            self.warn(&read.pointer, message, help);
            return;
        }
    }

    /// What the samples say of a name: of the trigger, or of the item of a loop over a part of it.
    fn reference_of(&self, root: &str, field: &Field<'_>) -> Option<Known> {
        let trigger = Known::schema(self.reference?);
        if root == "trigger" {
            return Some(trigger);
        }
        let each = field.place.around.iter().rev().find_map(|(step, _)| match &step.kind {
            StepKind::ForEach(each) if each.item_name == root && each.batch.is_none() => Some(each),
            _ => None,
        })?;
        let Value::String(text) = &each.items else { return None };
        let text = expression_text(text);
        let path = text.as_str()?.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let mut known = trigger;
        for key in keys(path.strip_prefix("trigger")?)?.iter().chain([&Key::Index]) {
            let Found::There(child) = known.child(key) else { return None };
            known = child;
        }
        Some(known)
    }
}

/// The warning about a part that no sample has.
fn missing((known, of): (&Known, &str), key: &Key, at: &str) -> Option<(String, Option<String>)> {
    match (known.child(key), key) {
        (Found::There(_), _) => None,
        (Found::NoField { fields }, Key::Name(name)) => {
            let help = match similar(name, fields.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{at}.{near}`?"),
                None if fields.is_empty() => format!("`{at}` has no fields there"),
                None => format!("`{at}` has {} there", fields.join(", ")),
            };
            Some((format!("no sample of {of} has `{name}` in `{at}`"), Some(help)))
        }
        (Found::NoField { .. } | Found::Nothing { .. }, _) => {
            let is = article(&known.types());
            let message = match key {
                Key::Name(name) => format!("there is no `{name}` in `{at}`, which is {is} in {of}"),
                Key::Index => format!("`{at}` is {is} in {of}: it has no items"),
            };
            Some((message, None))
        }
    }
}

/// Whether some samples have the field and others do not.
fn is_optional(known: &Known, key: &Key) -> bool {
    let (Known::Schema { at, .. }, Key::Name(name)) = (known, key) else { return false };
    let is_named = at.get("properties").is_some_and(|fields| fields.get(name).is_some());
    let required = at.get("required").and_then(Value::as_array);
    is_named && !required.is_some_and(|names| names.iter().any(|required| required == name))
}
