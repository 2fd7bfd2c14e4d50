//! What a change of a contact sets off: the workflows whose trigger it is, each once; and the guard against workflows that set each other
//! off without an end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Change, ChangeKind, Contact};
use crate::id::{ContactEventId, RunId, WorkflowId, WorkspaceId};

/// A change of a contact as it waits to be dispatched, written in the transaction of the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactEvent {
    pub id: ContactEventId,
    pub workspace: WorkspaceId,
    /// As it is after the change; one that was deleted as it was.
    pub contact: Contact,
    pub change: Change,
    /// The workflows and runs that led to it, the first one first. Empty where a person or another program made the change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Link>,
}

/// A run that a change of a contact has started, and that has changed one itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub workflow: WorkflowId,
    pub run: RunId,
}

/// Which changes start a workflow: any of those that are named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContactTrigger {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Fields of a contact that was there before; their paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Which>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_added: Option<Which>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_removed: Option<Which>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// All of them (`true`), or these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Which {
    Any(bool),
    These(Vec<String>),
}

impl Which {
    fn takes<'n>(&self, mut names: impl Iterator<Item = &'n String>) -> bool {
        match self {
            Self::Any(any) => *any && names.next().is_some(),
            Self::These(these) => names.any(|name| these.contains(name)),
        }
    }
}

/// What happened, in the word that the trigger has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    Created,
    Changed,
    TagAdded,
    TagRemoved,
    Deleted,
}

impl ContactTrigger {
    /// What of a change it is for; nothing: it is for something else.
    pub fn matches(&self, change: &Change) -> Vec<Happened> {
        let is_new = change.kind == ChangeKind::Created;
        let takes =
            |which: &Option<Which>, names: &[String]| which.as_ref().is_some_and(|which| which.takes(names.iter()));
        let fields: Vec<String> = change.fields.keys().cloned().collect();
        [
            (self.created && is_new, Happened::Created),
            (!is_new && takes(&self.changed, &fields), Happened::Changed),
            (takes(&self.tag_added, &change.tags_added), Happened::TagAdded),
            (takes(&self.tag_removed, &change.tags_removed), Happened::TagRemoved),
            (self.deleted && change.kind == ChangeKind::Deleted, Happened::Deleted),
        ]
        .into_iter()
        .filter_map(|(matches, happened)| matches.then_some(happened))
        .collect()
    }

    /// Whether it is for anything.
    pub fn is_for_something(&self) -> bool {
        let names_some = |which: &Option<Which>| match which {
            Some(Which::Any(any)) => *any,
            Some(Which::These(these)) => !these.is_empty(),
            None => false,
        };
        self.created || self.deleted || [&self.changed, &self.tag_added, &self.tag_removed].into_iter().any(names_some)
    }
}

impl ContactEvent {
    /// What a run that it starts reads as `trigger`.
    pub fn payload(&self, happened: &[Happened]) -> Value {
        let Change { fields, tags_added, tags_removed, by, at, .. } = &self.change;
        json!({
            "event": happened.first(),
            "events": happened,
            "event_id": self.id,
            "at": at,
            "contact": self.contact.document(),
            "change": { "fields": fields, "tags_added": tags_added, "tags_removed": tags_removed },
            "by": by,
            "chain": self.chain,
        })
    }
}

/// How far changes of contacts may set off runs that change contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLimits {
    /// How often one workflow may stand in a chain. 5 is what HighLevel's own guard lets pass, and no story we know that is meant to end
    /// needs more.
    pub same_workflow_max: usize,
    /// How long a chain may be: four workflows, each as often as it may.
    pub length_max: usize,
}

impl Default for ChainLimits {
    fn default() -> Self {
        Self { same_workflow_max: 5, length_max: 20 }
    }
}

/// Why a workflow is not started by a change of a contact, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the workflow was not started, because changes of contacts go in a circle: {}. {what}. \
     To end the circle, let the trigger take less (a `filter`, or `changed:` with the fields that matter), or let a step not change what starts it. \
     The change itself stands; made again by a person, with `flowcell contact` or the API, it starts a chain anew",
    .circle
)]
pub struct Circle {
    pub circle: String,
    pub what: String,
}

/// Refuses to start `workflow` by a change at the end of this chain, when that has gone on for too long.
pub fn guard(event: &ContactEvent, workflow: &WorkflowId, limits: &ChainLimits) -> Result<(), Circle> {
    let times = event.chain.iter().filter(|link| link.workflow == *workflow).count();
    let what = if times >= limits.same_workflow_max {
        format!("`{workflow}` stands in this chain {times} times already, and {} is the most", limits.same_workflow_max)
    } else if event.chain.len() >= limits.length_max {
        format!("this chain has {} runs already, and {} is the most", event.chain.len(), limits.length_max)
    } else {
        return Ok(());
    };
    let first = event.chain.first().map(|link| link.run);
    let named: BTreeSet<&WorkflowId> = event.chain.iter().map(|link| &link.workflow).collect();
    let names: Vec<String> = named.into_iter().map(|workflow| format!("`{workflow}`")).collect();
    let last: Vec<String> =
        event.chain.iter().rev().take(LINKS_SHOWN).map(|link| format!("{} ({})", link.workflow, link.run)).collect();
    let last: Vec<String> = last.into_iter().rev().collect();
    let since = first.map_or_else(String::new, |run| format!(", since {run}"));
    let circle = format!(
        "runs of {} change {} in turn{since}; the last were {}",
        names.join(" and "),
        event.contact.id,
        last.join(" → ")
    );
    Err(Circle { circle, what })
}

/// Runs of a chain that an explanation names: twice around the usual circle of two.
const LINKS_SHOWN: usize = 4;
