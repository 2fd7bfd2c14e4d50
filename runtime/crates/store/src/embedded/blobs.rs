//! [`Blobs`]: the bytes of a blob are a payload file as they are, and a record beside the run's journal names it.

use async_trait::async_trait;
use flowcell_core::blob::{Blob, BlobFacts};
use flowcell_core::id::{Digest, RunId, WorkspaceId};
use flowcell_core::ports::{Blobs, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::codec::{self, Body, PayloadRef};
use super::group::Row;
use super::guard::without_panic;
use super::journal::Rows;
use super::shared::{Shared, damaged, reading};
use super::tables::{self, Table};
use super::writer::{RowsWrite, Write};
use crate::rules;

const WHAT: &str = "the record of a blob";

/// The record of [`Table::Blobs`]: the members of [`PayloadRef`], and what is known of the bytes beside.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    digest: Digest,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
}

#[async_trait]
impl Blobs for EmbeddedStore {
    async fn keep(&self, workspace: &WorkspaceId, run: RunId, blob: Blob) -> Result<(), StoreError> {
        self.shared.space.admit_entry()?;
        let number = self.workspace_number(workspace).await?;
        let Blob { facts: BlobFacts { blob: digest, content_type, filename, .. }, bytes } = blob;
        let name = PayloadRef { digest, bytes: bytes.len() as u64 };
        let key = tables::blob(number, run, &digest);
        let of_run = tables::run(number, run);
        let (own, adds) = (key.clone(), name.bytes);
        let is_there = reading(&self.shared, move |shared| {
            let is_there = shared.holds(Table::Blobs, &own)?;
            rules::check_blobs(run, kept(shared, &of_run)?.saturating_add(if is_there { 0 } else { adds }))?;
            Ok(is_there)
        })
        .await?;
        if is_there {
            return Ok(());
        }
        let facts = Stored { digest, bytes: name.bytes, content_type, filename };
        let record = codec::encode_file(Table::Blobs, &key, &facts)?;
        let rows = Rows::with_file(Row { table: Table::Blobs, key, record }, (name, bytes));
        let rows = self.persist_payloads(rows).await?;
        let (reply, answer) = oneshot::channel();
        self.writer.reserve().await?.send(Write::Rows(Box::new(RowsWrite { remove: Vec::new(), rows, reply })));
        self.writer.answer(answer).await
    }

    async fn blob(&self, workspace: &WorkspaceId, run: RunId, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        self.shared.check_alive()?;
        let Some(number) = self.known_workspace(workspace) else { return Ok(None) };
        let key = tables::blob(number, run, digest);
        reading(&self.shared, move |shared| {
            let Some(record) = shared.record(Table::Blobs, &key, WHAT)? else { return Ok(None) };
            let opened = codec::open(Table::Blobs, &key, &record).map_err(|problem| damaged(WHAT, problem))?;
            let Body::File(name) = opened.body else { return Err(damaged(WHAT, "it names no file".to_owned())) };
            let stored: Stored = codec::file_facts(&record).map_err(|problem| damaged(WHAT, problem))?;
            let bytes = match shared.payloads.read(&name) {
                Ok(bytes) => bytes,
                // Removed with its run between the two reads.
                Err(_) if !shared.holds(Table::Blobs, &key)? => return Ok(None),
                Err(problem) => return Err(damaged("a blob", problem)),
            };
            let Stored { digest, content_type, filename, .. } = stored;
            let facts = BlobFacts { blob: digest, bytes: name.bytes, content_type, filename };
            Ok(Some(Blob { facts, bytes }))
        })
        .await
    }
}

/// What a run keeps in blobs, in bytes.
fn kept(shared: &Shared, of_run: &sled::IVec) -> Result<u64, StoreError> {
    let rows = without_panic(|| {
        shared.database().trees.get(Table::Blobs).scan_prefix(of_run).values().collect::<Result<Vec<_>, _>>()
    })
    .and_then(|rows| rows.map_err(|error| error.to_string()))
    .map_err(|problem| damaged(WHAT, problem))?;
    rows.iter().try_fold(0_u64, |sum, record| {
        let stored: Stored = codec::file_facts(record).map_err(|problem| damaged(WHAT, problem))?;
        Ok(sum.saturating_add(stored.bytes))
    })
}
