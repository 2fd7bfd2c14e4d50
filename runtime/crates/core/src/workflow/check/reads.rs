//! What expressions read: steps that will be there, fields that exist, values of a fitting type.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::Check;
use super::fields::{Field, What, is_guarded, operands};
use super::reference::Samples;
use super::response::Declared;
use super::types::{Found, Key, Known, article, keys, overlap};
use super::visible::Sight;
use crate::condition::CompiledCondition;
use crate::expression::{Program, Reference};
use crate::workflow::problem::similar;
use crate::workflow::response::MEMBER;
use crate::workflow::schema::readable;
use crate::workflow::step::{MissingPolicy, OnError, StepKind, WaitFor};

/// One expression's reading of a path.
pub(super) struct Read<'f, 'w> {
    pub(super) field: &'f Field<'w>,
    pub(super) pointer: String,
    path: String,
    /// Whether the expression provides for a value that is not there.
    pub(super) is_guarded: bool,
    /// Whether the expression is this path and nothing else.
    is_whole: bool,
}

impl Check<'_> {
    /// Compiles what the field holds and judges everything it reads.
    pub(super) fn field(&mut self, field: &Field<'_>) {
        let values = match &field.what {
            What::Value(value) => vec![(String::new(), value.clone(), false)],
            What::Condition(condition) => {
                if let Err(errors) = CompiledCondition::compile(condition, &field.locals) {
                    for error in errors {
                        self.add(&format!("{}{}", field.pointer, error.pointer), error.message, None);
                    }
                    return;
                }
                operands(condition, "")
            }
        };
        for (at, value, may_be_missing) in values {
            let place = format!("{}{at}", field.pointer);
            match Program::compile_with(&value, &field.locals) {
                Ok(program) => {
                    for Reference { pointer, path } in program.references() {
                        let text = value.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
                        let is_guarded = may_be_missing || is_guarded(text) || self.fills_in(field, &pointer);
                        let inner = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
                        let is_whole = inner.is_some_and(|inner| inner.trim_matches(['-', ' ']) == path);
                        let pointer = format!("{place}{pointer}");
                        self.read(&Read { field, pointer, path, is_guarded, is_whole });
                    }
                }
                Err(errors) => {
                    for error in errors {
                        self.add(&format!("{place}{}", error.pointer), error.message, None);
                    }
                }
            }
        }
    }

    /// Whether the step's `missing` provides for a value that is not there.
    fn fills_in(&self, field: &Field<'_>, pointer: &str) -> bool {
        let step = field.place.own.and_then(|id| self.workflow().step(id));
        step.is_some_and(|step| *step.missing.policy(pointer) != MissingPolicy::Fail)
    }

    fn read(&mut self, read: &Read<'_, '_>) {
        let end = read.path.find(['.', '[']).unwrap_or(read.path.len());
        let (root, rest) = read.path.split_at(end);
        let Some(keys) = keys(rest) else { return };
        if root == "resume" {
            let leaf = self.resume_link(read, &keys);
            self.fits_place(read, &leaf);
            return;
        }
        if root == "contact" {
            self.has_contact(read);
        }
        if root != "steps" {
            let known = self.root(root, read.field);
            let leaf = self.follow(read, root, known, &keys);
            self.fits_place(read, &leaf);
            self.against_reference(read, root, &keys);
            return;
        }
        match keys.as_slice() {
            [Key::Name(name), rest @ ..] => {
                self.read_steps.insert(name.clone());
                if self.is_in_sight(read, name) {
                    self.part_of_step(read, name, rest);
                }
            }
            // Any of them may be meant.
            _ => self.reads_all_steps = true,
        }
    }

    /// Says what is wrong with reading the step `name` here, if something is.
    fn is_in_sight(&mut self, read: &Read<'_, '_>, name: &str) -> bool {
        let place = &read.field.place;
        let sight = place.sight(self.workflow(), name);
        let (message, help) = match sight {
            Sight::There | Sight::Failed => return true,
            Sight::Perhaps { decided_by } => {
                if !read.is_guarded {
                    self.warn(
                        &read.pointer,
                        format!("step `{name}` runs in some runs only (`{decided_by}` decides), and this reads it in all"),
                        Some(format!("provide for its absence: `| default(…)`, a condition with `is: exists`, or read `steps.{decided_by}`")),
                    );
                }
                return true;
            }
            Sight::Own => (format!("step `{name}` reads its own result, which is not there yet"), None),
            Sight::Encloses => (
                format!("step `{name}` has not ended here: this step is a part of it"),
                Some("read the steps before this one".to_owned()),
            ),
            Sight::Inside { step } => (
                format!("step `{name}` is a part of `{step}` and has not run yet"),
                Some("read the steps before this one".to_owned()),
            ),
            Sight::OtherBranch { of, at_once: true } => (
                format!("step `{name}` runs in another branch of `{of}` at the same time"),
                Some(format!("read it after `{of}`, where both branches have ended")),
            ),
            Sight::OtherBranch { of, at_once: false } => (
                format!("step `{name}` is in another branch of `{of}`: where this one runs, that one does not"),
                Some("read the steps of this branch and those before it".to_owned()),
            ),
            Sight::InLoop { of } => (
                format!(
                    "step `{name}` runs inside the loop `{of}`, once for each item: outside of it there is not one result"
                ),
                Some(format!(
                    "let the loop collect it (`collect: \"{{{{ steps.{name}.output }}}}\"`) and read `steps.{of}.output.results`"
                )),
            ),
            Sight::Later if place.is_start() => (
                "no step has run when this is asked".to_owned(),
                Some("read `trigger` here: it is asked before the run begins".to_owned()),
            ),
            Sight::Later => (
                format!("`steps.{name}` runs later than this step"),
                Some("a step can read the steps before it; change the order, or read another step".to_owned()),
            ),
            Sight::Unknown => {
                let workflow = self.workflow();
                let ids = workflow.all_steps().map(|placed| placed.step.id.as_str());
                let seen = ids.filter(|id| matches!(place.sight(workflow, id), Sight::There | Sight::Perhaps { .. }));
                let earlier: Vec<&str> = seen.collect();
                let help = match similar(name, earlier.iter().copied()) {
                    Some(near) => format!("did you mean `steps.{near}`?"),
                    None if earlier.is_empty() => "no step runs before this one".to_owned(),
                    None => format!("the steps before this one are {}", earlier.join(", ")),
                };
                (format!("there is no step `{name}`"), Some(help))
            }
        };
        self.add(&read.pointer, message, help);
        false
    }

    fn part_of_step(&mut self, read: &Read<'_, '_>, name: &str, rest: &[Key]) {
        let failed = read.field.place.sight(self.workflow(), name) == Sight::Failed;
        match rest {
            [Key::Name(part), rest @ ..] if part == "output" => {
                if failed {
                    let help = Some(format!("it has `steps.{name}.error` (code, message, details)"));
                    self.add(&read.pointer, format!("step `{name}` has failed here and has no output"), help);
                    return;
                }
                let step = self.workflow().all_steps().find(|placed| placed.step.id.as_str() == name);
                let goes_on_without = step.is_some_and(|placed| placed.step.on_error == OnError::Continue);
                if goes_on_without && !read.is_guarded {
                    self.warn(
                        &read.pointer,
                        format!(
                            "step `{name}` has no output when it has failed, and its `on_error: continue` goes on then"
                        ),
                        Some(
                            "provide for its absence: `| default(…)`, or `on_error: { substitute: … }` there"
                                .to_owned(),
                        ),
                    );
                }
                let from = format!("steps.{name}.output");
                let leaf = match (rest, self.declared_body(name)) {
                    ([Key::Name(member), rest @ ..], Some(declared)) if member == MEMBER => {
                        let from = format!("{from}.{MEMBER}");
                        match declared {
                            Declared::Schema(known) => self.follow(read, &from, known, rest),
                            Declared::Sample(known) => {
                                let samples = Samples { known, of: &format!("the response of `{name}`") };
                                self.against_samples(read, samples, &from, rest);
                                Known::Anything
                            }
                        }
                    }
                    _ => {
                        let known = self.output_of(name);
                        self.follow(read, &from, known, rest)
                    }
                };
                self.fits_place(read, &leaf);
            }
            [Key::Name(part), ..] if !matches!(part.as_str(), "status" | "error") => {
                let near = similar(part, ["output", "status", "error"]).unwrap_or("output");
                self.add(
                    &read.pointer,
                    format!("`steps.{name}.{part}`: a step has `output`, `status` and `error`"),
                    Some(format!("did you mean `steps.{name}.{near}`?")),
                );
            }
            _ => {}
        }
    }

    /// Follows a path as far as something is known; what it leads to.
    pub(super) fn follow(&mut self, read: &Read<'_, '_>, from: &str, known: Known, keys: &[Key]) -> Known {
        let (mut known, mut at) = (known, from.to_owned());
        for key in keys {
            match known.child(key) {
                Found::There(child) => known = child,
                Found::NoField { fields } => {
                    let Key::Name(name) = key else { return Known::Anything };
                    let help = match similar(name, fields.iter().map(String::as_str)) {
                        Some(near) => format!("did you mean `{at}.{near}`?"),
                        None if fields.is_empty() => format!("`{at}` has no fields"),
                        None => format!("`{at}` has {}", fields.join(", ")),
                    };
                    self.add(&read.pointer, format!("there is no `{name}` in `{at}`"), Some(help));
                    return Known::Anything;
                }
                Found::Nothing { is } => {
                    let message = match key {
                        Key::Name(name) => format!("there is no `{name}` in `{at}`, which is {is}"),
                        Key::Index => format!("`{at}` is {is}: it has no items"),
                    };
                    self.add(&read.pointer, message, None);
                    return Known::Anything;
                }
            }
            match key {
                Key::Name(name) => at = format!("{at}.{name}"),
                Key::Index => at.push_str("[…]"),
            }
        }
        known
    }

    /// Compares what an expression yields with what its place takes.
    fn fits_place(&mut self, read: &Read<'_, '_>, leaf: &Known) {
        let types = leaf.types();
        if !read.is_whole || types.is_empty() {
            return;
        }
        let Some(wanted) = self.wanted(read) else { return };
        if !overlap(&types, &wanted) {
            let place = readable(&read.pointer);
            let message = format!("`{}` is {}; {place} takes {}", read.path, article(&types), article(&wanted));
            self.add(&read.pointer, message, None);
        }
    }

    /// The types that the place of the expression takes, if that is known.
    fn wanted(&self, read: &Read<'_, '_>) -> Option<Vec<String>> {
        let step = self.workflow().step(read.field.place.own?)?;
        match &step.kind {
            StepKind::ForEach(_) if read.pointer == read.field.pointer => Some(vec!["array".to_owned()]),
            StepKind::Wait(wait) if matches!(wait.what, WaitFor::Until(_) | WaitFor::Duration(_)) => {
                Some(vec!["string".to_owned()])
            }
            StepKind::Action(action) => {
                let plugin = self.catalog.resolve(&action.uses).ok()?;
                let mut known = Known::schema(&plugin.manifest.action(&action.uses.member)?.input);
                for segment in read.pointer.strip_prefix(&read.field.pointer)?.split('/').skip(1) {
                    let is_index = segment.bytes().all(|byte| byte.is_ascii_digit());
                    let key = if is_index { Key::Index } else { Key::Name(segment.to_owned()) };
                    match known.child(&key) {
                        Found::There(child) => known = child,
                        Found::NoField { .. } | Found::Nothing { .. } => return None,
                    }
                }
                Some(known.types())
            }
            _ => None,
        }
    }

    /// Steps whose only purpose is their result, which nobody reads.
    pub(super) fn unread(&mut self) {
        if self.reads_all_steps {
            return;
        }
        let read: HashSet<String> = std::mem::take(&mut self.read_steps);
        let unread: HashMap<String, (String, &'static str)> = self
            .workflow()
            .all_steps()
            .filter(|placed| !read.contains(placed.step.id.as_str()))
            .filter_map(|placed| {
                let what = match &placed.step.kind {
                    StepKind::Set(_) => "set",
                    StepKind::ForEach(each) if each.collect.is_some() => "collect",
                    _ => return None,
                };
                Some((format!("{}/{what}", placed.pointer), (placed.step.id.to_string(), what)))
            })
            .collect();
        for (pointer, (id, what)) in unread {
            let message = match what {
                "set" => format!("nobody reads what step `{id}` sets"),
                _ => format!("nobody reads what step `{id}` collects"),
            };
            self.warn(&pointer, message, Some(format!("read `steps.{id}.output` somewhere, or leave it out")));
        }
    }
}
