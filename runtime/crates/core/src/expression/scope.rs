//! What expressions can see, borrowed from the run: nothing is copied before an expression asks for it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::library::right_now;
use super::path::{Key, Path};
use crate::id::{StepId, StepRefKey};
use crate::run::event::StepError;
use crate::run::fold::{Phase, Run, RunContact, StepState};
use crate::run::resume::{ResumeLinks, resume_place, resume_waits};
use crate::time::Timestamp;
use crate::workflow::Workflow;

/// What expressions can see: `trigger`, `steps.<id>.output`, `.status` and `.error`, `contact.<field>`, `workflow.id`, `.name` and `.version`,
/// `run.id` and `.created_at`, `custom_values.<name>`, `resume.<wait>`, and `right_now`.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'r> {
    run: &'r Run,
    workflow: &'r Workflow,
    now: Timestamp,
    zone: &'r str,
    custom_values: Option<&'r Value>,
    links: Option<&'r dyn ResumeLinks>,
    /// The iteration of the enclosing loops, the outermost first.
    at: &'r [u32],
    /// Names of this place alone, the innermost last.
    locals: &'r [Local<'r>],
}

/// A name that is known in one place only.
#[derive(Debug, Clone, PartialEq)]
pub struct Local<'r> {
    pub name: &'r str,
    pub value: Cow<'r, Value>,
}

/// The names at the top, for messages and checks.
pub const ROOTS: [&str; 9] =
    ["trigger", "steps", "contact", "workflow", "run", "custom_values", "resume", "right_now", INBOUND];

/// What HighLevel calls the request that started the run: `trigger.body`, and `.headers`, `.query` and `.method` beside it.
const INBOUND: &str = "inboundWebhookRequest";

/// Fields of [`INBOUND`] that are the trigger's own, whatever the body calls its fields: a sender must not be able to invent headers.
const INBOUND_PARTS: [&str; 3] = ["headers", "query", "method"];

/// A place in the scope: part of the run's data, or something put together for the question.
enum Place<'r> {
    Data(&'r Value),
    Steps,
    Step(&'r StepState),
    Inbound,
    Resume,
    Made(Value),
    /// Nothing, and why.
    None(String),
}

impl<'r> Scope<'r> {
    pub fn of(run: &'r Run, workflow: &'r Workflow) -> Self {
        let zone = workflow.settings.timezone.as_deref().unwrap_or("UTC");
        Self { run, workflow, now: run.created_at, zone, custom_values: None, links: None, at: &[], locals: &[] }
    }

    /// The moment that `now()`, `right_now` and dates go by, and the time zone (its IANA name). Without it: when the run was created, by the
    /// clocks of the workflow's zone.
    #[must_use]
    pub fn at(self, now: Timestamp, zone: &'r str) -> Self {
        Self { now, zone, ..self }
    }

    /// The moment alone.
    #[must_use]
    pub fn now_is(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// The workspace's values, an object: `custom_values.<name>`.
    #[must_use]
    pub fn with_custom_values(self, values: &'r Value) -> Self {
        Self { custom_values: Some(values), ..self }
    }

    /// Who makes resume links. Without it there are none.
    #[must_use]
    pub fn with_resume_links(self, links: &'r dyn ResumeLinks) -> Self {
        Self { links: Some(links), ..self }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn zone(&self) -> &'r str {
        self.zone
    }

    /// The same within the iteration `at` of some loops, where `locals` are known too (see [`crate::run::place`]).
    #[must_use]
    pub fn within(self, at: &'r [u32], locals: &'r [Local<'r>]) -> Self {
        Self { at, locals, ..self }
    }

    /// The step of the same iteration, else of the one around it.
    fn step(&self, id: &str) -> Option<&'r StepState> {
        let lengths = (0..=self.at.len()).rev();
        let run = self.run;
        lengths.filter_map(|length| self.at.get(..length)).find_map(|at| run.steps.get(&StepRefKey { id, at }))
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
        match place {
            Place::None(reason) => Err(reason),
            place => Ok(self.read(place)),
        }
    }

    /// The value under a top-level name, for the template engine.
    pub(super) fn whole(&self, root: &str) -> Option<Cow<'r, Value>> {
        match self.root(root)? {
            // Its fields are what is not there: `contact.email | default(…)` provides for that.
            Place::None(_) if root == "contact" => Some(Cow::Owned(Value::Object(Map::new()))),
            Place::None(_) => None,
            place => Some(self.read(place)),
        }
    }

    fn root(&self, name: &str) -> Option<Place<'r>> {
        if let Some(local) = self.locals.iter().rev().find(|local| local.name == name) {
            return Some(match &local.value {
                Cow::Borrowed(value) => Place::Data(value),
                Cow::Owned(value) => Place::Data(value),
            });
        }
        Some(match name {
            "trigger" => Place::Data(&self.run.trigger),
            "steps" => Place::Steps,
            "contact" => self.contact(),
            "workflow" => Place::Made(serde_json::json!({
                "id": self.workflow.id, "name": self.workflow.name, "version": self.run.version,
            })),
            "run" => Place::Made(serde_json::json!({ "id": self.run.id, "created_at": self.run.created_at })),
            "custom_values" => self.custom_values.map_or_else(|| Place::Made(Value::Object(Map::new())), Place::Data),
            "resume" => Place::Resume,
            "right_now" => right_now(self.now, self.zone).map_or_else(Place::None, Place::Made),
            INBOUND => Place::Inbound,
            _ => return None,
        })
    }

    /// The run's contact, as it was when somebody looked last.
    fn contact(&self) -> Place<'r> {
        match &self.run.contact {
            None => Place::None(
                "`contact` is undefined: this run has no contact. A contact trigger brings one, and so does a step of a plugin that finds or makes one; what a webhook sends is under `trigger.body`".to_owned(),
            ),
            Some(RunContact { document: Some(document), .. }) => Place::Data(document),
            Some(RunContact { id, document: None }) => {
                Place::None(format!("`contact` is undefined: {id} has been deleted since it became this run's contact"))
            }
        }
    }

    fn child(&self, place: &Place<'r>, key: &Key) -> Option<Place<'r>> {
        match (place, key) {
            // It stays what it is: what is missing is the contact, not its field.
            (Place::None(reason), _) => Some(Place::None(reason.clone())),
            (Place::Inbound, Key::Name(name)) if INBOUND_PARTS.contains(&name.as_str()) => {
                self.run.trigger.get(name).map(Place::Data)
            }
            (Place::Inbound, key) => self.child(&Place::Data(self.run.trigger.get("body")?), key),
            (Place::Data(Value::Object(fields)), Key::Name(name)) => fields.get(name).map(Place::Data),
            (Place::Data(Value::Array(items)), Key::Index(index)) => items.get(*index).map(Place::Data),
            (place, Key::Index(index)) => {
                let character = place.value()?.as_str()?.chars().nth(*index)?;
                Some(Place::Made(character.to_string().into()))
            }
            (Place::Resume, Key::Name(name)) => self.resume_link(name).map(Place::Made),
            (Place::Steps, Key::Name(name)) => self.step(name).map(Place::Step),
            (Place::Step(step), Key::Name(name)) => match name.as_str() {
                "output" => step.output().map(Place::Data),
                "status" => Some(Place::Made(status(step).into())),
                "error" => step.error().map(|error| Place::Made(error_value(error))),
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
            Place::Inbound => Cow::Owned(self.inbound()),
            Place::Resume => {
                let links = resume_waits(self.workflow).map(StepId::to_string);
                let links = links.filter_map(|id| self.resume_link(&id).map(|link| (id, link)));
                Cow::Owned(Value::Object(links.collect()))
            }
            Place::None(_) => Cow::Owned(Value::Null),
            Place::Steps => {
                // What is nearer comes later and stands.
                let mut steps: Vec<_> =
                    self.run.steps.iter().filter(|(place, _)| self.at.starts_with(place.at())).collect();
                steps.sort_by_key(|(place, _)| place.at().len());
                let steps = steps.into_iter().map(|(place, step)| (place.id().to_string(), step_value(step)));
                Cow::Owned(Value::Object(steps.collect()))
            }
        }
    }

    /// The link of a wait that is seen from here.
    fn resume_link(&self, wait: &str) -> Option<Value> {
        let place = resume_place(self.workflow, wait, self.at)?;
        self.links.map(|links| links.resume_link(self.run.id, &place).into())
    }

    /// The whole of [`INBOUND`].
    fn inbound(&self) -> Value {
        let mut whole = self.run.trigger.get("body").cloned().unwrap_or_default();
        if let Value::Object(fields) = &mut whole {
            for part in INBOUND_PARTS {
                fields.extend(self.run.trigger.get(part).map(|value| (part.to_owned(), value.clone())));
            }
        }
        whole
    }

    /// The ids of the steps that are there.
    fn visible(&self) -> impl Iterator<Item = &'r str> + Clone {
        let (run, at) = (self.run, self.at);
        run.steps.keys().filter(move |place| at.starts_with(place.at())).map(|place| place.id().as_str())
    }

    /// Says what is missing, and what is there instead.
    fn missing(&self, path: &Path, depth: usize, parent: &Place<'r>) -> String {
        let upto = |count| Path { root: path.root.clone(), keys: path.keys.iter().take(count).cloned().collect() };
        let (prefix, wanted) = (upto(depth), upto(depth + 1));
        let because = |reason: String| format!("`{wanted}` is undefined: {reason}");
        if let Place::None(reason) = parent {
            return reason.clone();
        }
        let body;
        let parent = match parent {
            Place::Inbound => {
                body = self.run.trigger.get("body").map_or(Place::Made(Value::Object(Map::new())), Place::Data);
                &body
            }
            parent => parent,
        };
        let (parent, name) = match (parent, path.keys.get(depth)) {
            (parent, Some(Key::Name(name))) => (parent, name.as_str()),
            (Place::Data(Value::Array(items)), _) => {
                return because(format!("`{prefix}` has {} items, counted from 0", items.len()));
            }
            (parent, _) => return because(format!("`{prefix}` is {}", parent.kind())),
        };
        match parent {
            Place::Resume if self.links.is_none() => because("there is no run yet that could be resumed".to_owned()),
            Place::Resume => {
                let waits: Vec<_> = resume_waits(self.workflow).map(StepId::as_str).collect();
                if waits.is_empty() {
                    return because("no step of this workflow waits for a resume link".to_owned());
                }
                undefined(&wanted, &prefix, name, waits.into_iter())
            }
            Place::Steps if name.parse().is_ok_and(|id| self.workflow.step(&id).is_some()) => {
                because(format!("step `{name}` has not run yet"))
            }
            Place::Steps => undefined(&wanted, &prefix, name, self.visible()),
            Place::Step(step) if name == "output" => because(format!("the step is {} and has no output", status(step))),
            Place::Step(_) => undefined(&wanted, &prefix, name, ["output", "status", "error"].into_iter()),
            _ => match parent.value().and_then(Value::as_object) {
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
            Self::Steps | Self::Step(_) | Self::Inbound | Self::Resume | Self::None(_) => None,
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

/// Refuses a name that is neither of [`ROOTS`] nor of the place.
pub(super) fn check_root(name: &str, locals: &[&str]) -> Result<(), String> {
    match name {
        name if ROOTS.contains(&name) || locals.contains(&name) => Ok(()),
        name => Err(unknown_root(name)),
    }
}

fn unknown_root(name: &str) -> String {
    let known =
        "expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`";
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
    if let Some(error) = step.error() {
        value.insert("error".to_owned(), error_value(error));
    }
    Value::Object(value)
}

fn error_value(error: &StepError) -> Value {
    serde_json::json!({ "code": error.code, "message": error.message, "details": error.details })
}

fn status(step: &StepState) -> &'static str {
    match step.phase {
        Phase::Started | Phase::Entered => "running",
        Phase::Succeeded => "succeeded",
        Phase::Retrying { .. } | Phase::Deferred { .. } => "waiting",
        Phase::Failed { .. } => "failed",
        Phase::Handled { .. } => "handled",
        Phase::Parked { .. } => "parked",
        Phase::Cancelled { .. } => "cancelled",
    }
}
