//! The other workflows and the connections, as far as a check needs to know them. Looking them up is somebody else's business: the check stays pure.

use serde_json::Value;

use crate::connection::Connection;
use crate::contact::field::FieldDefinition;
use crate::id::{ConnectionName, WorkflowId};

/// What a look-up says of another workflow.
#[derive(Debug, Clone)]
pub enum Found {
    There(Box<Callee>),
    /// There is none; these are there.
    Missing {
        known: Vec<WorkflowId>,
    },
    /// There is one, and no such version of it, or none that is published.
    NoVersion {
        latest: u32,
    },
    /// Nobody can tell here.
    Unknown,
}

/// Another workflow from outside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Callee {
    /// Its version that would be called.
    pub version: u32,
    /// The kind of its trigger: `manual`, `error`, …
    pub trigger: String,
    /// Its `input`.
    pub input: Option<Value>,
    /// Its `output`, as it was written.
    pub output: Option<Value>,
    /// The workflows that it calls itself.
    pub calls: Vec<WorkflowId>,
}

impl Callee {
    /// What others see of a workflow.
    pub fn of(workflow: &super::super::Workflow, version: u32) -> Self {
        Self {
            version,
            trigger: workflow.trigger.key().to_owned(),
            input: workflow.input.clone(),
            output: workflow.output.clone(),
            calls: workflow.calls().map(|(_, call)| call.workflow.clone()).collect(),
        }
    }
}

/// Where a check learns about other workflows.
pub trait Others {
    /// The workflow in this version, or in the published one.
    fn find(&self, id: &WorkflowId, version: Option<u32>) -> Found;

    /// The connection of this name.
    fn connection(&self, _name: &ConnectionName) -> FoundConnection {
        FoundConnection::Unknown
    }

    /// The fields of contacts that the workspace has defined; nothing when nobody can tell here.
    fn contact_fields(&self) -> Option<Vec<FieldDefinition>> {
        None
    }
}

/// What a look-up says of a connection.
#[derive(Debug, Clone)]
pub enum FoundConnection {
    There(Box<Connection>),
    /// There is none; these are there.
    Missing {
        known: Vec<ConnectionName>,
    },
    /// Nobody can tell here.
    Unknown,
}

/// Knows nothing: for checks without a server.
#[derive(Debug, Clone, Copy)]
pub struct Unknown;

impl Others for Unknown {
    fn find(&self, _: &WorkflowId, _: Option<u32>) -> Found {
        Found::Unknown
    }
}
