//! The workflows that a text names, read from the store before it is checked: the check itself reads nothing.

use std::collections::HashMap;

use flowcell_core::connection::Connection;
use flowcell_core::contact::field::FieldDefinition;
use flowcell_core::id::{ConnectionName, WorkflowId};
use flowcell_core::ports::StoreError;
use flowcell_core::workflow::check::others::{Callee, Found, FoundConnection, Others};
use flowcell_core::workflow::parse::Authored;

use crate::app::App;

/// How many workflows are read for one check: the check itself follows no more.
const WORKFLOWS_MAX: usize = 200;

type Asked = (WorkflowId, Option<u32>);

/// What the store said when the check began.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    found: HashMap<Asked, Found>,
    connections: HashMap<ConnectionName, Connection>,
    contact_fields: Vec<FieldDefinition>,
}

impl Others for Stored {
    fn find(&self, id: &WorkflowId, version: Option<u32>) -> Found {
        self.found.get(&(id.clone(), version)).cloned().unwrap_or(Found::Unknown)
    }

    fn contact_fields(&self) -> Option<Vec<FieldDefinition>> {
        Some(self.contact_fields.clone())
    }

    fn connection(&self, name: &ConnectionName) -> FoundConnection {
        match self.connections.get(name) {
            Some(connection) => FoundConnection::There(Box::new(connection.clone())),
            None => FoundConnection::Missing { known: self.connections.keys().cloned().collect() },
        }
    }
}

impl Stored {
    /// Reads the workflows that `source` calls or names as its error workflow, and those that they call.
    pub(crate) async fn named_in(app: &App, source: &str) -> Result<Self, StoreError> {
        let mut stored = Self::default();
        // A text that cannot be read names nothing; the check says what is wrong with it.
        let Ok(Authored { workflow, .. }) = Authored::parse(source) else { return Ok(stored) };
        let connections = app.connections.list(&app.workspace).await?;
        let named = connections.into_iter().map(|stored| (stored.connection.name.clone(), stored.connection));
        stored.connections = named.collect();
        stored.contact_fields = app.ports.contacts.definitions(&app.workspace).await?;
        let mut asked: Vec<Asked> = workflow.calls().map(|(_, call)| (call.workflow.clone(), call.version)).collect();
        asked.extend(workflow.settings.on_failure.clone().map(|id| (id, None)));
        while let Some(next) = asked.pop() {
            if stored.found.len() >= WORKFLOWS_MAX || stored.found.contains_key(&next) {
                continue;
            }
            let found = find(app, &next).await?;
            if let Found::There(callee) = &found {
                asked.extend(callee.calls.iter().map(|id| (id.clone(), None)));
            }
            stored.found.insert(next, found);
        }
        Ok(stored)
    }
}

async fn find(app: &App, (id, version): &Asked) -> Result<Found, StoreError> {
    let definitions = &app.ports.definitions;
    let Some(head) = definitions.head(&app.workspace, id).await? else {
        let known = definitions.list(&app.workspace).await?.into_iter().map(|head| head.id).collect();
        return Ok(Found::Missing { known });
    };
    let absent = Found::NoVersion { latest: head.latest };
    let Some(number) = version.or(head.published) else { return Ok(absent) };
    let Some(stored) = definitions.version(&app.workspace, id, number).await? else { return Ok(absent) };
    // What an older Flowcell took and this one cannot read says nothing about itself.
    Ok(Authored::parse(&stored.source)
        .map_or(Found::Unknown, |authored| Found::There(Box::new(Callee::of(&authored.workflow, number)))))
}
