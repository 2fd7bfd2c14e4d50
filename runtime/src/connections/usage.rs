//! What connections were used for: coarse, bounded, written once in a while. It tells an owner who would miss a connection, not who did what when;
//! that the runs tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::connection::{
    Additions, Asking, Authorizer, ConnectionFacts, Connections, CredentialError, Outgoing, StoredConnection, Usage,
};
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::plugin::PluginId;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::authorize::Bound;
use super::broker::{Broker, Change, WriteError, admitted};

/// How often uses are written: a connection in steady use costs one small write a minute.
const EVERY: Duration = Duration::from_mins(1);

/// Origins that are kept of a connection, the latest first: as many as a binding commonly names, and a screen shows.
const ORIGINS_MAX: usize = 20;

/// Uses since the last write.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pending: Mutex<HashMap<(WorkspaceId, ConnectionName), Usage>>,
}

impl Notes {
    /// A call of the plugin got the connection.
    pub(super) fn given(&self, place: (WorkspaceId, ConnectionName), plugin: &PluginId, now: Timestamp) {
        let mut pending = self.lock();
        let usage = pending.entry(place).or_default();
        usage.last_used_at = Some(now);
        if !usage.plugins.contains(plugin) {
            usage.plugins.push(plugin.clone());
        }
    }

    /// Something that the secret made went to this URL. Only its origin is kept: paths and queries may tell about people.
    pub(super) fn sent(&self, place: &(WorkspaceId, ConnectionName), url: &Url, now: Timestamp) {
        let mut pending = self.lock();
        let usage = pending.entry(place.clone()).or_default();
        usage.last_used_at = Some(now);
        first(&mut usage.origins, url.origin().ascii_serialization());
    }

    fn take(&self) -> HashMap<(WorkspaceId, ConnectionName), Usage> {
        std::mem::take(&mut *self.lock())
    }

    fn of(&self, place: &(WorkspaceId, ConnectionName)) -> Option<Usage> {
        self.lock().get(place).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(WorkspaceId, ConnectionName), Usage>> {
        // No code that holds the lock can panic half-way through a change.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An authorizer that notes where it was asked for something, and asks itself each time whether what was true when the call began still is: a
/// connection that was removed, taken from the plugin or bound to fewer hosts meanwhile gives no more.
pub(super) struct Noted {
    pub(super) place: (WorkspaceId, ConnectionName),
    pub(super) plugin: PluginId,
    pub(super) store: Arc<dyn Connections>,
    pub(super) inner: Arc<dyn Authorizer>,
    pub(super) notes: Arc<Notes>,
}

#[async_trait]
impl Authorizer for Noted {
    fn connection(&self) -> &ConnectionName {
        self.inner.connection()
    }
    fn headers(&self) -> &[String] {
        self.inner.headers()
    }
    fn query(&self) -> &[String] {
        self.inner.query()
    }
    fn is_bound_to(&self, request: &Outgoing<'_>) -> bool {
        self.inner.is_bound_to(request)
    }
    async fn authorize(&self, request: &Outgoing<'_>) -> Result<Additions, CredentialError> {
        let (workspace, name) = &self.place;
        let now = admitted(&*self.store, Asking { workspace, name, plugin: &self.plugin }).await?;
        if !Bound::of(&now.connection).admits(request) {
            return Ok(Additions::default());
        }
        let additions = self.inner.authorize(request).await?;
        self.notes.sent(&self.place, request.url, request.now);
        Ok(additions)
    }
    async fn refused(&self) -> Result<bool, CredentialError> {
        self.inner.refused().await
    }
    fn secrets(&self) -> Vec<Secret<String>> {
        self.inner.secrets()
    }
    /// Read when a guest asks: hardly any does.
    async fn facts(&self) -> ConnectionFacts {
        let (workspace, name) = &self.place;
        match self.store.get(workspace, name).await {
            Ok(Some(stored)) => ConnectionFacts::of(&stored.connection),
            Ok(None) | Err(_) => ConnectionFacts::of_name(name.clone()),
        }
    }
}

/// Moves `origin` to the front; the last one falls off when there are too many.
fn first(origins: &mut Vec<String>, origin: String) {
    if origins.first() == Some(&origin) {
        return;
    }
    origins.retain(|known| *known != origin);
    origins.insert(0, origin);
    origins.truncate(ORIGINS_MAX);
}

/// What is known with what came since.
fn merged(known: &Usage, newer: &Usage) -> Usage {
    let mut usage = known.clone();
    usage.last_used_at = usage.last_used_at.max(newer.last_used_at);
    for origin in newer.origins.iter().rev() {
        first(&mut usage.origins, origin.clone());
    }
    usage.plugins.extend(newer.plugins.iter().filter(|plugin| !known.plugins.contains(plugin)).cloned());
    usage.plugins.sort();
    usage
}

impl Broker {
    /// What the connection was used for, up to now.
    pub(crate) fn usage(&self, stored: &StoredConnection) -> Usage {
        let place = (stored.connection.workspace.clone(), stored.connection.name.clone());
        self.notes.of(&place).map_or_else(|| stored.usage.clone(), |newer| merged(&stored.usage, &newer))
    }

    /// Writes uses again and again until `stop`, and once more then.
    pub(crate) async fn keep_usage(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let next = self.clock.now() + EVERY;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.clock.sleep_until(next) => {}
            }
            self.write_usage().await;
        }
    }

    /// Writes what is noted. A connection that is gone by now has nothing to be remembered.
    async fn write_usage(&self) {
        for ((workspace, name), newer) in self.notes.take() {
            let written = self.change::<WriteError>(&workspace, &name, |stored| {
                let usage = merged(&stored.usage, &newer);
                Ok(Change { connection: stored.connection.clone(), usage, secret: None })
            });
            match written.await {
                Ok(_) | Err(WriteError::Unknown(_)) => {}
                // It may be a full disk; what was noted is about the past and is worth no alarm.
                Err(error) => tracing::debug!(%error, %name, "the use of a connection was not noted"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_origins_are_kept_each_once() {
        let mut origins = Vec::new();
        for number in 0..30 {
            first(&mut origins, format!("https://{number}.example"));
        }
        first(&mut origins, "https://25.example".to_owned());
        assert_eq!(origins.len(), ORIGINS_MAX);
        assert_eq!(origins[..3], ["https://25.example", "https://29.example", "https://28.example"]);
    }

    #[test]
    fn paths_and_queries_are_not_noted() {
        let notes = Notes::default();
        let place = (WorkspaceId::default_workspace(), "crm".parse().unwrap());
        let url: Url = "https://a.example:8443/people/ada?token=x".parse().unwrap();
        notes.sent(&place, &url, Timestamp::from_millis(5));
        notes.given(place.clone(), &"acme/crm".parse().unwrap(), Timestamp::from_millis(7));
        let usage = merged(&Usage::default(), &notes.of(&place).unwrap());
        assert_eq!(usage.origins, ["https://a.example:8443"]);
        assert_eq!((usage.last_used_at, usage.plugins.len()), (Some(Timestamp::from_millis(7)), 1));
        assert_eq!(notes.take().len(), 1);
        assert!(notes.of(&place).is_none());
    }
}
