//! The keys of a step as they stand in the text, before it is known of which kind it is.
//!
//! The published schema has refused impossible mixtures before this is read; what is said here is for those who write JSON by program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration;
use super::response::Response;
use super::settings::Window;
use super::step::{
    Action, Branch, Call, ForEach, If, Join, Missing, MissingPolicy, OnError, OnItemError, OnUncertain, Parallel,
    Respond, RespondBody, Step, StepKind, Stop, Wait, WaitFor,
};
use crate::condition::Condition;
use crate::id::{ConnectionName, StepId, WorkflowId};
use crate::plugin::Uses;
use crate::run::retry::RetryPolicy;

/// The keys that say the kind of a step.
pub(super) const KINDS: [&str; 9] = ["uses", "if", "for_each", "parallel", "wait", "stop", "call", "set", "respond"];

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenStep {
    id: StepId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uses: Option<Uses>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    with: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<RetryPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_uncertain: Option<OnUncertain>,
    #[serde(default, rename = "timeout", with = "duration::optional", skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<Response>,
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    branches: Option<Vec<Branch>>,
    #[serde(default, rename = "else", skip_serializing_if = "Option::is_none")]
    otherwise: Option<Vec<Step>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_each: Option<Value>,
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    item_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parallel: Option<WrittenParallel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_item_error: Option<OnItemError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collect: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Step>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    join: Option<Join>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait: Option<WrittenWait>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_timeout: Option<Vec<Step>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop: Option<Stop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<WrittenCall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    respond: Option<Respond>,
    #[serde(default, skip_serializing_if = "is_default")]
    on_error: OnError,
    #[serde(default, skip_serializing_if = "is_default")]
    missing: Missing,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Beside `for_each` a number, else the branches.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenParallel {
    AtATime(u32),
    Branches(BTreeMap<String, Vec<Step>>),
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenWait {
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<Window>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<String>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub(super) matches: Option<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resume: Option<bool>,
    #[serde(rename = "timeout", with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub(super) timeout_ms: Option<u64>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCall {
    workflow: WorkflowId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(default = "super::empty_object")]
    with: Value,
}

impl TryFrom<WrittenStep> for Step {
    type Error = String;
    fn try_from(mut written: WrittenStep) -> Result<Self, String> {
        let kind = written.take_kind()?;
        let Some(key) = written.unused() else {
            let WrittenStep { id, name, on_error, missing, .. } = written;
            return Ok(Self { id, name, kind, on_error, missing });
        };
        Err(format!("there is no `{key}` in a step of this kind"))
    }
}

impl WrittenStep {
    /// Takes the keys that belong to the one kind.
    fn take_kind(&mut self) -> Result<StepKind, String> {
        let parallel = if self.for_each.is_none() { self.parallel.take() } else { None };
        let kinds = [
            self.uses.take().map(|uses| StepKind::Action(self.action(uses))),
            self.branches.take().map(|branches| StepKind::If(If { branches, otherwise: self.otherwise.take() })),
            self.for_each.take().map(|items| self.for_each(items)).transpose()?,
            parallel.map(|parallel| self.parallel(parallel)).transpose()?,
            self.wait.take().map(|wait| StepKind::Wait(self.wait(wait))),
            self.stop.take().map(StepKind::Stop),
            self.call.take().map(|call| StepKind::Call(self.call(call))),
            self.set.take().map(StepKind::Set),
            self.respond.take().map(StepKind::Respond),
        ];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(kind),
            _ => Err(format!("exactly one of {} is needed", KINDS.join(", "))),
        }
    }

    fn action(&mut self, uses: Uses) -> Action {
        Action {
            uses,
            with: self.with.take().unwrap_or_else(super::empty_object),
            connection: self.connection.take(),
            retry: self.retry.take(),
            on_uncertain: self.on_uncertain.take().unwrap_or_default(),
            timeout_ms: self.timeout_ms.take(),
            response: self.response.take(),
        }
    }

    fn for_each(&mut self, items: Value) -> Result<StepKind, String> {
        let parallel = match self.parallel.take() {
            None => 1,
            Some(WrittenParallel::AtATime(number)) => number,
            Some(WrittenParallel::Branches(_)) => return Err("`parallel` beside `for_each` is a number".to_owned()),
        };
        Ok(StepKind::ForEach(ForEach {
            items,
            item_name: self.item_name.take().unwrap_or_else(|| DEFAULT_ITEM.to_owned()),
            parallel,
            batch: self.batch.take(),
            on_item_error: self.on_item_error.take().unwrap_or_default(),
            collect: self.collect.take(),
            steps: self.steps.take().ok_or("`steps` is missing beside `for_each`")?,
        }))
    }

    fn parallel(&mut self, parallel: WrittenParallel) -> Result<StepKind, String> {
        let WrittenParallel::Branches(branches) = parallel else {
            return Err("`parallel` is an object of branches; only beside `for_each` it is a number".to_owned());
        };
        Ok(StepKind::Parallel(Parallel { branches, join: self.join.take().unwrap_or_default() }))
    }

    fn wait(&mut self, wait: WrittenWait) -> Wait {
        Wait { timeout_ms: wait.timeout_ms, what: wait.into(), on_timeout: self.on_timeout.take() }
    }

    fn call(&mut self, call: WrittenCall) -> Call {
        let WrittenCall { workflow, version, with } = call;
        Call { workflow, version, with, timeout_ms: self.timeout_ms.take() }
    }

    /// A key that the kind has not taken.
    fn unused(&self) -> Option<&'static str> {
        let left = [
            ("with", self.with.is_some()),
            ("retry", self.retry.is_some()),
            ("on_uncertain", self.on_uncertain.is_some()),
            ("timeout", self.timeout_ms.is_some()),
            ("response", self.response.is_some()),
            ("else", self.otherwise.is_some()),
            ("as", self.item_name.is_some()),
            ("parallel", self.parallel.is_some()),
            ("batch", self.batch.is_some()),
            ("on_item_error", self.on_item_error.is_some()),
            ("collect", self.collect.is_some()),
            ("steps", self.steps.is_some()),
            ("join", self.join.is_some()),
            ("on_timeout", self.on_timeout.is_some()),
        ];
        left.into_iter().find(|(_, is_left)| *is_left).map(|(key, _)| key)
    }
}

/// The name of a loop's item unless `as` says otherwise.
const DEFAULT_ITEM: &str = "item";

impl From<Step> for WrittenStep {
    fn from(step: Step) -> Self {
        let Step { id, name, kind, on_error, missing } = step;
        let mut written = Self::new(id);
        (written.name, written.on_error, written.missing) = (name, on_error, missing);
        match kind {
            StepKind::Action(Action { uses, with, connection, retry, on_uncertain, timeout_ms, response }) => {
                (written.uses, written.with, written.connection) = (Some(uses), Some(with), connection);
                (written.retry, written.on_uncertain, written.timeout_ms) = (retry, Some(on_uncertain), timeout_ms);
                written.response = response;
            }
            StepKind::If(If { branches, otherwise }) => {
                (written.branches, written.otherwise) = (Some(branches), otherwise);
            }
            StepKind::ForEach(ForEach { items, item_name, parallel, batch, on_item_error, collect, steps }) => {
                (written.for_each, written.item_name, written.steps) = (Some(items), Some(item_name), Some(steps));
                written.parallel = Some(WrittenParallel::AtATime(parallel));
                (written.batch, written.on_item_error, written.collect) = (batch, Some(on_item_error), collect);
            }
            StepKind::Parallel(Parallel { branches, join }) => {
                (written.parallel, written.join) = (Some(WrittenParallel::Branches(branches)), Some(join));
            }
            StepKind::Wait(wait) => written.put_wait(wait),
            StepKind::Stop(stop) => written.stop = Some(stop),
            StepKind::Call(Call { workflow, version, with, timeout_ms }) => {
                written.call = Some(WrittenCall { workflow, version, with });
                written.timeout_ms = timeout_ms;
            }
            StepKind::Set(value) => written.set = Some(value),
            StepKind::Respond(respond) => written.respond = Some(respond),
        }
        written
    }
}

impl WrittenStep {
    fn new(id: StepId) -> Self {
        Self {
            id,
            name: None,
            uses: None,
            with: None,
            connection: None,
            retry: None,
            on_uncertain: None,
            timeout_ms: None,
            response: None,
            branches: None,
            otherwise: None,
            for_each: None,
            item_name: None,
            parallel: None,
            batch: None,
            on_item_error: None,
            collect: None,
            steps: None,
            join: None,
            wait: None,
            on_timeout: None,
            stop: None,
            call: None,
            set: None,
            respond: None,
            on_error: OnError::default(),
            missing: Missing::default(),
        }
    }

    fn put_wait(&mut self, wait: Wait) {
        let Wait { what, timeout_ms, on_timeout } = wait;
        let mut written = WrittenWait { timeout_ms, ..WrittenWait::default() };
        match what {
            WaitFor::Duration(text) => written.duration = Some(text),
            WaitFor::Until(text) => written.until = Some(text),
            WaitFor::Window(window) => written.window = Some(window),
            WaitFor::Event { name, matches } => (written.event, written.matches) = (Some(name), matches),
            WaitFor::Resume => written.resume = Some(true),
        }
        (self.wait, self.on_timeout) = (Some(written), on_timeout);
    }
}

impl From<WrittenWait> for WaitFor {
    fn from(written: WrittenWait) -> Self {
        match written {
            WrittenWait { duration: Some(text), .. } => Self::Duration(text),
            WrittenWait { until: Some(text), .. } => Self::Until(text),
            WrittenWait { window: Some(window), .. } => Self::Window(window),
            WrittenWait { event: Some(name), matches, .. } => Self::Event { name, matches },
            _ => Self::Resume,
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRespond {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    /// `json: null` is a body, too.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl TryFrom<WrittenRespond> for Respond {
    type Error = String;
    fn try_from(written: WrittenRespond) -> Result<Self, String> {
        let body = match (written.json, written.text) {
            (Some(_), Some(_)) => return Err("an answer has `json` or `text`, not both".to_owned()),
            (json, text) => json.map(RespondBody::Json).or(text.map(RespondBody::Text)),
        };
        Ok(Self { status: written.status.unwrap_or_else(|| 200.into()), headers: written.headers, body })
    }
}

impl From<Respond> for WrittenRespond {
    fn from(respond: Respond) -> Self {
        let (json, text) = match respond.body {
            Some(RespondBody::Json(value)) => (Some(value), None),
            Some(RespondBody::Text(text)) => (None, Some(text)),
            None => (None, None),
        };
        Self { status: Some(respond.status), headers: respond.headers, json, text }
    }
}

/// One policy for all fields, or one for each of some.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum WrittenMissing {
    All(MissingPolicy),
    Fields(BTreeMap<String, MissingPolicy>),
    /// Neither: for a sentence of our own.
    Other(Value),
}

impl TryFrom<WrittenMissing> for Missing {
    type Error = String;
    fn try_from(written: WrittenMissing) -> Result<Self, String> {
        let fields = match written {
            WrittenMissing::All(policy) => [("*".to_owned(), policy)].into(),
            WrittenMissing::Fields(fields) => fields,
            WrittenMissing::Other(_) => {
                return Err(
                    "`missing` is one of fail, empty, { default: … }, or an object with one of these for each field"
                        .to_owned(),
                );
            }
        };
        match fields.keys().find(|key| *key != "*" && !key.starts_with('/')) {
            Some(key) => Err(format!("`{key}` is neither `*` nor a pointer to a field such as /json/name")),
            None => Ok(Self(fields)),
        }
    }
}

impl From<Missing> for WrittenMissing {
    fn from(missing: Missing) -> Self {
        Self::Fields(missing.0)
    }
}
