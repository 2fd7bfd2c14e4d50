//! [`Destinations`]: written together every few seconds, read once at the start.

use async_trait::async_trait;
use flowcell_core::destination::DestinationRecord;
use flowcell_core::ports::{Destinations, StoreError};
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::guard::without_panic;
use super::journal::Rows;
use super::shared::{damaged, reading};
use super::tables::{self, Table};
use super::writer::{RowsWrite, Write};

const WHAT: &str = "what is known of destinations";

#[async_trait]
impl Destinations for EmbeddedStore {
    async fn put(&self, changed: Vec<DestinationRecord>, removed: Vec<DestinationRecord>) -> Result<(), StoreError> {
        let mut rows = Rows::default();
        for record in &changed {
            let number = self.workspace_number(&record.workspace).await?;
            rows.add(Table::Destinations, tables::destination(number, record.id()), record)?;
        }
        let rows = self.persist_payloads(rows).await?;
        let removed = removed.iter().filter_map(|record| {
            let number = self.known_workspace(&record.workspace)?;
            Some((Table::Destinations, tables::destination(number, record.id())))
        });
        let (reply, answer) = oneshot::channel();
        let write = RowsWrite { remove: removed.collect(), rows, reply };
        self.writer.reserve().await?.send(Write::Rows(Box::new(write)));
        self.writer.answer(answer).await
    }

    async fn list(&self) -> Result<Vec<DestinationRecord>, StoreError> {
        let read = reading(&self.shared, |shared| {
            let mut records: Vec<DestinationRecord> = Vec::new();
            without_panic(|| {
                for row in shared.database().trees.get(Table::Destinations) {
                    let (key, record) = row.map_err(|error| damaged(WHAT, error.to_string()))?;
                    records.push(shared.decode(Table::Destinations, &key, &record, WHAT)?);
                }
                Ok(())
            })
            .map_err(|problem| damaged(WHAT, problem))
            .and_then(|read| read)?;
            Ok(records)
        });
        let mut records = read.await?;
        records.sort_by(|a, b| (&a.workspace, &a.url).cmp(&(&b.workspace, &b.url)));
        Ok(records)
    }
}
