//! The kinds of steps. Each is named in the text by a key of its own: `uses`, `if`, `for_each`, `parallel`, `wait`, `stop`, `call`, `set`,
//! `respond`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::response::Response;
use super::settings::Window;
use super::written::{WrittenMissing, WrittenRespond, WrittenStep};
use crate::condition::Condition;
use crate::id::{ConnectionName, StepId, WorkflowId};
use crate::plugin::Uses;
use crate::run::retry::RetryPolicy;

/// A step of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenStep", into = "WrittenStep")]
pub struct Step {
    pub id: StepId,
    pub name: Option<String>,
    pub kind: StepKind,
    /// What becomes of the run when the step has failed for good.
    pub on_error: OnError,
    pub missing: Missing,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    Action(Action),
    If(If),
    ForEach(ForEach),
    Parallel(Parallel),
    Wait(Wait),
    Stop(Stop),
    Call(Call),
    /// An object with expressions; rendered, it is the step's output.
    Set(Value),
    Respond(Respond),
}

/// A call of a plugin's action.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub uses: Uses,
    /// The input, with expressions in its texts.
    pub with: Value,
    /// The credential the door adds to its requests. The author's literal text: run data cannot choose it.
    pub connection: Option<ConnectionName>,
    /// Absent: as the action's manifest says, else as [`RetryPolicy::default`].
    pub retry: Option<RetryPolicy>,
    pub on_uncertain: OnUncertain,
    /// How long one attempt may take; the operator's ceiling cuts it.
    pub timeout_ms: Option<u64>,
    /// What the answer's body looks like.
    pub response: Option<Response>,
}

/// What happens to an attempt of which a crash left it unknown whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUncertain {
    /// As the action's manifest says: idempotent actions are repeated, others parked.
    #[default]
    Auto,
    Repeat,
    Park,
}

/// The first branch whose condition holds.
#[derive(Debug, Clone, PartialEq)]
pub struct If {
    pub branches: Vec<Branch>,
    /// `else`.
    pub otherwise: Option<Vec<Step>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub when: Condition,
    pub steps: Vec<Step>,
}

/// The same steps for each item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ForEach {
    /// An expression that yields a list, or a list.
    pub items: Value,
    /// The name under which expressions read the item.
    pub item_name: String,
    /// How many iterations go on at a time.
    pub parallel: u32,
    /// The item is then a list of up to this many.
    pub batch: Option<u32>,
    pub on_item_error: OnItemError,
    /// Rendered at the end of each iteration; what it yields stands in the output's `results`.
    pub collect: Option<Value>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnItemError {
    /// The loop fails, and iterations in progress are cancelled.
    #[default]
    Fail,
    /// The others go on; the failed ones are listed in the output.
    Continue,
}

/// Named branches at the same time.
#[derive(Debug, Clone, PartialEq)]
pub struct Parallel {
    pub branches: BTreeMap<String, Vec<Step>>,
    pub join: Join,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// All have to succeed; the first failure cancels the rest.
    #[default]
    All,
    /// The first success cancels the rest.
    Race,
    /// All come to an end, well or not.
    Settled,
}

/// A pause of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    pub what: WaitFor,
    /// After this long it has been in vain.
    pub timeout_ms: Option<u64>,
    /// What happens then instead of a failure.
    pub on_timeout: Option<Vec<Step>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WaitFor {
    /// A duration, or an expression that yields one as text.
    Duration(String),
    /// An expression that yields a date and time (RFC 3339).
    Until(String),
    /// The next moment inside it.
    Window(Window),
    /// An event of this name, for which `matches` holds.
    Event { name: String, matches: Option<Condition> },
    /// Somebody opens the resume link.
    Resume,
}

/// The end of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    #[serde(default)]
    pub status: StopStatus,
    /// Texts may have expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopStatus {
    #[default]
    Succeeded,
    Failed,
    Cancelled,
}

/// Another workflow, as a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub workflow: WorkflowId,
    /// Without it, the one that is published when this version is applied.
    pub version: Option<u32>,
    /// What the other one reads as `trigger`.
    pub with: Value,
    pub timeout_ms: Option<u64>,
}

/// The answer to the sender that waits for this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRespond", into = "WrittenRespond")]
pub struct Respond {
    /// 200 to 599, or an expression that yields it.
    pub status: Value,
    pub headers: BTreeMap<String, String>,
    pub body: Option<RespondBody>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RespondBody {
    Json(Value),
    Text(String),
}

/// What becomes of the run when a step has failed for good.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It fails.
    #[default]
    Fail,
    /// It goes on; the step has no output.
    Continue,
    /// It goes on with this as the step's output; texts may have expressions.
    Substitute(Value),
    /// These steps run, then it goes on.
    Steps(Vec<Step>),
}

/// What a value that is not there becomes, by the place in the step's fields: a JSON Pointer, or `*` for all others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "WrittenMissing", into = "WrittenMissing")]
pub struct Missing(pub BTreeMap<String, MissingPolicy>);

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingPolicy {
    /// The step fails.
    #[default]
    Fail,
    /// An empty text.
    Empty,
    Default(Value),
}

impl Missing {
    /// The same for the expressions of the step's fields.
    pub fn compiled(&self) -> crate::expression::MissingPolicy {
        let of = |policy: &MissingPolicy| match policy {
            MissingPolicy::Fail => crate::expression::OnMissing::Fail,
            MissingPolicy::Empty => crate::expression::OnMissing::Empty,
            MissingPolicy::Default(value) => crate::expression::OnMissing::Default(value.clone()),
        };
        let others = self.0.get("*").map_or(crate::expression::OnMissing::Fail, of);
        let fields = self.0.iter().filter(|(pointer, _)| *pointer != "*");
        crate::expression::MissingPolicy::new(
            fields.map(|(pointer, policy)| (pointer.clone(), of(policy))).collect(),
            others,
        )
    }

    pub fn is_strict(&self) -> bool {
        self.0.values().all(|policy| *policy == MissingPolicy::Fail)
    }

    /// What holds for the field at `pointer`: its own policy, else that of the nearest field around it, else that of `*`.
    pub fn policy(&self, pointer: &str) -> &MissingPolicy {
        let mut place = pointer;
        loop {
            if let Some(policy) = self.0.get(place).filter(|_| !place.is_empty()) {
                return policy;
            }
            match place.rsplit_once('/') {
                Some((around, _)) => place = around,
                None => return self.0.get("*").unwrap_or(&MissingPolicy::Fail),
            }
        }
    }
}

/// One of the lists of steps inside a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Within<'w> {
    /// The branch of an `if` with this index.
    Branch(usize),
    Else,
    /// The body of a `for_each`.
    Each,
    /// The branch of a `parallel` with this name.
    Parallel(&'w str),
    OnTimeout,
    /// `on_error: { steps }`.
    OnError,
}

impl Step {
    pub fn action(&self) -> Option<&Action> {
        match &self.kind {
            StepKind::Action(action) => Some(action),
            _ => None,
        }
    }

    /// The key that says its kind, for messages.
    pub fn key(&self) -> &'static str {
        match &self.kind {
            StepKind::Action(_) => "uses",
            StepKind::If(_) => "if",
            StepKind::ForEach(_) => "for_each",
            StepKind::Parallel(_) => "parallel",
            StepKind::Wait(_) => "wait",
            StepKind::Stop(_) => "stop",
            StepKind::Call(_) => "call",
            StepKind::Set(_) => "set",
            StepKind::Respond(_) => "respond",
        }
    }

    /// The lists of steps inside it, in the order of the text.
    pub fn lists(&self) -> Vec<(Within<'_>, &[Step])> {
        let mut lists: Vec<(Within<'_>, &[Step])> = Vec::new();
        match &self.kind {
            StepKind::If(each) => {
                let branches = each.branches.iter().enumerate();
                lists.extend(branches.map(|(index, branch)| (Within::Branch(index), branch.steps.as_slice())));
                lists.extend(each.otherwise.as_deref().map(|steps| (Within::Else, steps)));
            }
            StepKind::ForEach(each) => lists.push((Within::Each, &each.steps)),
            StepKind::Parallel(parallel) => {
                let branches = parallel.branches.iter();
                lists.extend(branches.map(|(name, steps)| (Within::Parallel(name), steps.as_slice())));
            }
            StepKind::Wait(wait) => lists.extend(wait.on_timeout.as_deref().map(|steps| (Within::OnTimeout, steps))),
            StepKind::Action(_) | StepKind::Stop(_) | StepKind::Call(_) | StepKind::Set(_) | StepKind::Respond(_) => {}
        }
        if let OnError::Steps(steps) = &self.on_error {
            lists.push((Within::OnError, steps));
        }
        lists
    }

    /// The steps of one of its lists.
    pub fn list(&self, within: Within<'_>) -> Option<&[Step]> {
        self.lists().into_iter().find(|(at, _)| *at == within).map(|(_, steps)| steps)
    }
}
