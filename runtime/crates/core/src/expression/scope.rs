//! What expressions can see, borrowed from the run: nothing is copied before an expression asks for it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::path::{Key, Path};
use crate::id::StepId;
use crate::run::fold::{Phase, Run, StepState};
use crate::workflow::Workflow;

/// What expressions can see: `trigger`, `steps.<id>.output` and `.status`, `workflow.id`, `.name` and `.version`,
/// `run.id` and `.created_at`.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'r> {
    run: &'r Run,
    workflow: &'r Workflow,
}

/// The names at the top, for messages and checks.
pub const ROOTS: [&str; 4] = ["trigger", "steps", "workflow", "run"];

/// A place in the scope: part of the run's data, or something put together for the question.
enum Place<'r> {
    Data(&'r Value),
    Steps,
    Step(&'r StepState),
    Made(Value),
}

impl<'r> Scope<'r> {
    pub fn of(run: &'r Run, workflow: &'r Workflow) -> Self {
        Self { run, workflow }
    }

    /// Looks a path up; the error says how far it led and what is there.
    pub(super) fn resolve(&self, path: &Path) -> Result<Cow<'r, Value>, String> {
        let mut place = self.root(&path.root).ok_or_else(|| unknown_root(&path.root))?;
        for (depth, key) in path.keys.iter().enumerate() {
            place = match self.child(&place, key) {
                Some(child) => child,
                None => return Err(self.missing(path, depth, &place)),
            };
        }
        Ok(self.read(place))
    }

    /// The value under a top-level name, for the template engine.
    pub(super) fn whole(&self, root: &str) -> Option<Cow<'r, Value>> {
        self.root(root).map(|place| self.read(place))
    }

    fn root(&self, name: &str) -> Option<Place<'r>> {
        Some(match name {
            "trigger" => Place::Data(&self.run.trigger),
            "steps" => Place::Steps,
            "workflow" => Place::Made(serde_json::json!({
                "id": self.workflow.id, "name": self.workflow.name, "version": self.run.version,
            })),
            "run" => Place::Made(serde_json::json!({ "id": self.run.id, "created_at": self.run.created_at })),
            _ => return None,
        })
    }

    fn child(&self, place: &Place<'r>, key: &Key) -> Option<Place<'r>> {
        match (place, key) {
            (Place::Data(Value::Object(fields)), Key::Name(name)) => fields.get(name).map(Place::Data),
            (Place::Data(Value::Array(items)), Key::Index(index)) => items.get(*index).map(Place::Data),
            (place, Key::Index(index)) => {
                let character = place.value()?.as_str()?.chars().nth(*index)?;
                Some(Place::Made(character.to_string().into()))
            }
            (Place::Steps, Key::Name(name)) => {
                let id: StepId = name.parse().ok()?;
                self.run.steps.get(&id).map(Place::Step)
            }
            (Place::Step(step), Key::Name(name)) => match name.as_str() {
                "output" => step.output().map(Place::Data),
                "status" => Some(Place::Made(status(step).into())),
                _ => None,
            },
            (Place::Made(Value::Object(fields)), Key::Name(name)) => fields.get(name).cloned().map(Place::Made),
            _ => None,
        }
    }

    fn read(&self, place: Place<'r>) -> Cow<'r, Value> {
        match place {
            Place::Data(value) => Cow::Borrowed(value),
            Place::Made(value) => Cow::Owned(value),
            Place::Step(step) => Cow::Owned(step_value(step)),
            Place::Steps => {
                let steps = self.run.steps.iter().map(|(id, step)| (id.to_string(), step_value(step)));
                Cow::Owned(Value::Object(steps.collect()))
            }
        }
    }

    /// Says what is missing, and what is there instead.
    fn missing(&self, path: &Path, depth: usize, parent: &Place<'r>) -> String {
        let upto = |count| Path { root: path.root.clone(), keys: path.keys.iter().take(count).cloned().collect() };
        let (prefix, wanted) = (upto(depth), upto(depth + 1));
        let because = |reason: String| format!("`{wanted}` is undefined: {reason}");
        let (parent, name) = match (parent, path.keys.get(depth)) {
            (parent, Some(Key::Name(name))) => (parent, name.as_str()),
            (Place::Data(Value::Array(items)), _) => {
                return because(format!("`{prefix}` has {} items, counted from 0", items.len()));
            }
            (parent, _) => return because(format!("`{prefix}` is {}", parent.kind())),
        };
        match parent {
            Place::Steps if self.workflow.steps.iter().any(|step| step.id.as_str() == name) => {
                because(format!("step `{name}` has not run yet"))
            }
            Place::Steps => undefined(&wanted, &prefix, name, self.run.steps.keys().map(StepId::as_str)),
            Place::Step(step) if name == "output" => because(format!("the step is {} and has no output", status(step))),
            Place::Step(_) => undefined(&wanted, &prefix, name, ["output", "status"].into_iter()),
            Place::Data(_) | Place::Made(_) => match parent.value().and_then(Value::as_object) {
                Some(fields) => undefined(&wanted, &prefix, name, fields.keys().map(String::as_str)),
                None => because(format!("`{prefix}` is {}", parent.kind())),
            },
        }
    }
}

impl Place<'_> {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Data(value) => Some(value),
            Self::Made(value) => Some(value),
            Self::Steps | Self::Step(_) => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self.value() {
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "true or false",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(_)) => "a text",
            Some(Value::Array(_)) => "an array",
            Some(Value::Object(_)) | None => "an object",
        }
    }
}

/// Refuses a name that is none of [`ROOTS`].
pub(super) fn check_root(name: &str) -> Result<(), String> {
    if ROOTS.contains(&name) { Ok(()) } else { Err(unknown_root(name)) }
}

fn unknown_root(name: &str) -> String {
    let known = "expressions read `trigger`, `steps`, `workflow` and `run`";
    match crate::workflow::problem::similar(name, ROOTS) {
        Some(near) => format!("`{name}` is undefined; did you mean `{near}`? ({known})"),
        None => format!("`{name}` is undefined: {known}"),
    }
}

fn undefined<'n>(wanted: &Path, prefix: &Path, name: &str, there: impl Iterator<Item = &'n str> + Clone) -> String {
    /// As many names as are read at a glance.
    const NAMES_MAX: usize = 12;
    let mut listed = there.clone().take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    if listed.is_empty() {
        return format!("`{wanted}` is undefined: `{prefix}` is empty");
    }
    let more = there.clone().count().saturating_sub(NAMES_MAX);
    if more > 0 {
        let _ = write!(listed, " and {more} more");
    }
    let near = crate::workflow::problem::similar(name, there);
    let guess = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("`{wanted}` is undefined{guess} (`{prefix}` has {listed})")
}

fn step_value(step: &StepState) -> Value {
    let mut value = Map::new();
    if let Some(output) = step.output() {
        value.insert("output".to_owned(), output.clone());
    }
    value.insert("status".to_owned(), status(step).into());
    Value::Object(value)
}

fn status(step: &StepState) -> &'static str {
    match step.phase {
        Phase::Started => "running",
        Phase::Succeeded => "succeeded",
        Phase::Retrying { .. } => "waiting",
        Phase::Failed { .. } => "failed",
        Phase::Parked { .. } => "parked",
    }
}
