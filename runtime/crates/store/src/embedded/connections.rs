//! [`Connections`]: read from memory, where every connection lies once its group is synced; its secret is sealed there, too.

use async_trait::async_trait;
use flowcell_core::connection::{Connections, StoredConnection};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::ports::StoreError;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::codec::{self, Body, PayloadRef};
use super::journal::Rows;
use super::shared::{damaged, reading};
use super::tables::{self, Table};
use super::writer::{ConnectionWrite, Write};

#[async_trait]
impl Connections for EmbeddedStore {
    async fn put(&self, connection: StoredConnection) -> Result<(), StoreError> {
        let place = (connection.connection.workspace.clone(), connection.connection.name.clone());
        let number = self.workspace_number(&place.0).await?;
        let key = tables::connection(number, &place.1);
        let before = self.file_of(&key).await?;
        let mut rows = Rows::default();
        rows.add(Table::Connections, key.clone(), &connection)?;
        let written = rows.files();
        let rows = self.persist_payloads(rows).await?;
        let (reply, answer) = oneshot::channel();
        let write = ConnectionWrite { place, key, rows, connection: Some(connection), reply };
        self.writer.reserve().await?.send(Write::Connection(Box::new(write)));
        let answered = self.writer.answer(answer).await;
        // The file of whichever record is not there: the one before, or one that was refused.
        self.drop_payloads(if answered.is_ok() { before } else { written }).await;
        answered
    }

    async fn get(
        &self,
        workspace: &WorkspaceId,
        name: &ConnectionName,
    ) -> Result<Option<StoredConnection>, StoreError> {
        self.shared.check_alive()?;
        Ok(self.shared.directory().connections.get(&(workspace.clone(), name.clone())).cloned())
    }

    async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<StoredConnection>, StoreError> {
        self.shared.check_alive()?;
        let directory = self.shared.directory();
        let of_workspace = directory.connections.iter().filter(|((owner, _), _)| owner == workspace);
        Ok(of_workspace.map(|(_, stored)| stored.clone()).collect())
    }

    async fn remove(&self, workspace: &WorkspaceId, name: &ConnectionName) -> Result<bool, StoreError> {
        let Some(number) = self.known_workspace(workspace) else { return Ok(false) };
        let key = tables::connection(number, name);
        let before = self.file_of(&key).await?;
        let (reply, answer) = oneshot::channel();
        let place = (workspace.clone(), name.clone());
        let write = ConnectionWrite { place, key, rows: Vec::new(), connection: None, reply };
        self.writer.reserve().await?.send(Write::Connection(Box::new(write)));
        match self.writer.answer(answer).await {
            Ok(()) => {
                self.drop_payloads(before).await;
                Ok(true)
            }
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl EmbeddedStore {
    /// The payload file that the stored record names, if it names one.
    async fn file_of(&self, key: &sled::IVec) -> Result<Vec<PayloadRef>, StoreError> {
        let key = key.clone();
        reading(&self.shared, move |shared| {
            let record = shared.record(Table::Connections, &key, "a connection")?;
            let Some(record) = record else { return Ok(Vec::new()) };
            let opened = codec::open(Table::Connections, &key, &record);
            match opened.map_err(|problem| damaged("a connection", problem))?.body {
                Body::File(name) => Ok(vec![name]),
                Body::Inline(_) => Ok(Vec::new()),
            }
        })
        .await
    }
}
