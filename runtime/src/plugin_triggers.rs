//! The published workflows whose triggers are asked what is new, or register their URL at a provider: read from their text once per version, for
//! the poller and the subscriber.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::connection::State;
use flowcell_core::id::{ConnectionName, Digest, WorkflowId, WorkspaceId};
use flowcell_core::manifest::{Interval, TriggerKind as Kind};
use flowcell_core::polling::Source;
use flowcell_core::ports::{Catalog, Changed, Definitions, StoreError, Wanted, WorkflowHead, WorkflowVersion};
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::TriggerKind;
use flowcell_core::workflow::parse::Authored;
use flowcell_core::workflow::trigger::Dedupe;
use flowcell_engine::polling::{PollOutcome, PollSource, PolledTrigger};
use flowcell_engine::subscribing::{SubscribedTrigger, SubscriptionSource};
use serde_json::Value;
use tokio::sync::Notify;

use crate::app::{Ports, TRIGGER_ID};
use crate::connections::Broker;
use crate::ingress::tally::{Came, Filtered, Tallies};
use crate::token::InstanceKey;

/// What the URLs of triggers are made of.
pub(crate) struct Urls {
    pub(crate) key: InstanceKey,
    pub(crate) base_url: String,
    pub(crate) workspace: WorkspaceId,
}

/// A version, and what it asks for.
type Read = (u32, Option<Arc<Asked>>);

pub(crate) struct PluginTriggers {
    definitions: Arc<dyn Definitions>,
    catalog: Arc<dyn Catalog>,
    connections: Arc<Broker>,
    tallies: Arc<Tallies>,
    urls: Urls,
    changed: Arc<Notify>,
    /// By workflow, the newest version that was read and what it asks for: nothing when something else starts it. A version never changes.
    read: Mutex<HashMap<WorkflowId, Read>>,
}

/// What a version asks of its trigger's plugin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) what: What,
    digest: Digest,
    member: String,
    pub(crate) source: Digest,
    config: Value,
    connection: Option<ConnectionName>,
    dedupe: Option<Dedupe>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Poll { every: Duration },
    Subscription,
}

impl PluginTriggers {
    pub(crate) fn new(ports: &Ports, (connections, tallies): (Arc<Broker>, Arc<Tallies>), urls: Urls) -> Self {
        Self {
            definitions: Arc::clone(&ports.definitions),
            catalog: Arc::clone(&ports.catalog),
            connections,
            tallies,
            urls,
            changed: Arc::new(Notify::new()),
            read: Mutex::default(),
        }
    }

    /// Called when a workflow was applied, a URL replaced, or an owner acted on a connection.
    pub(crate) fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// What the published version asks for; nothing when something else starts it, or nothing is published.
    pub(crate) async fn of(&self, head: &WorkflowHead) -> Result<Option<Arc<Asked>>, StoreError> {
        let Some(number) = head.published else { return Ok(None) };
        {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, known)) = read.get(&head.id).filter(|(known, _)| *known == number) {
                return Ok(known.clone());
            }
        }
        let Some(version) = self.definitions.version(&head.workspace, &head.id, number).await? else {
            tracing::error!(workflow = %head.id, version = number, "the published version is missing from the store");
            return Ok(None);
        };
        match asked(&version, &*self.catalog) {
            Ok(asked) => {
                let asked = asked.map(Arc::new);
                let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                read.insert(head.id.clone(), (number, asked.clone()));
                Ok(asked)
            }
            Err(problem) => {
                tracing::error!(workflow = %head.id, version = number, problem, "the trigger of a stored workflow cannot be looked after");
                Ok(None)
            }
        }
    }

    async fn all(&self) -> Result<Vec<(WorkflowHead, Arc<Asked>)>, StoreError> {
        let mut found = Vec::new();
        for head in self.definitions.list(&self.urls.workspace).await? {
            if let Some(asked) = self.of(&head).await? {
                found.push((head, asked));
            }
        }
        Ok(found)
    }
}

/// What a version asks of its trigger's plugin.
pub(crate) fn asked(version: &WorkflowVersion, catalog: &dyn Catalog) -> Result<Option<Asked>, String> {
    let authored = Authored::parse(&version.source).map_err(|problems| format!("it cannot be read: {problems:?}"))?;
    let trigger = authored.workflow.trigger;
    let TriggerKind::Plugin { uses, with } = &trigger.kind else { return Ok(None) };
    let pin = version.pins.get(uses).ok_or_else(|| format!("it has no plugin for `{uses}`"))?;
    let plugin = catalog.by_digest(&pin.digest).ok_or_else(|| format!("plugin {} is gone", pin.digest))?;
    let member =
        plugin.manifest.trigger(&pin.member).ok_or_else(|| format!("its plugin has no trigger `{}`", pin.member))?;
    let what = match member.kind {
        Kind::Poll => {
            let least = member.interval.unwrap_or(Interval::DEFAULT).as_millis();
            // A newer version of the plugin may want to be asked less often than the workflow says.
            What::Poll { every: Duration::from_millis(trigger.every_ms.unwrap_or(least).max(least)) }
        }
        Kind::Webhook if member.subscribes => What::Subscription,
        Kind::Webhook => return Ok(None),
    };
    Ok(Some(Asked {
        what,
        digest: pin.digest,
        member: pin.member.clone(),
        source: Source { uses, config: with, connection: trigger.connection.as_ref() }.digest(),
        config: with.clone(),
        connection: trigger.connection,
        dedupe: trigger.dedupe,
    }))
}

#[async_trait]
impl PollSource for PluginTriggers {
    async fn polled(&self) -> Result<Vec<PolledTrigger>, StoreError> {
        let all = self.all().await?.into_iter();
        let polled = all.filter_map(|(head, asked)| {
            let (What::Poll { every }, Some(version)) = (asked.what, head.published) else { return None };
            let Asked { what: _, digest, member, source, config, connection, dedupe } = Asked::clone(&asked);
            let (workspace, workflow, trigger) = (head.workspace, head.id, TRIGGER_ID.to_owned());
            Some(PolledTrigger {
                workspace,
                workflow,
                version,
                trigger,
                digest,
                member,
                source,
                config,
                connection,
                every,
                dedupe,
            })
        });
        Ok(polled.collect())
    }

    fn changed(&self) -> Changed {
        // `notify_waiters` reaches every future made before it, polled or not: that is the subscription.
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }

    fn became(&self, trigger: &PolledTrigger, now: Timestamp, became: &PollOutcome) {
        let PollOutcome::Answered { started, duplicate, skipped, filtered, .. } = became else { return };
        let tally = self.tallies.of(&trigger.workflow);
        (0..started + skipped).for_each(|_| tally.count(Came::Started));
        (0..*duplicate).for_each(|_| tally.count(Came::Duplicate));
        for (event, because) in filtered {
            tally.filtered(Filtered { event_id: *event, at: now, because: because.clone() });
        }
    }
}

#[async_trait]
impl SubscriptionSource for PluginTriggers {
    async fn subscribed(&self) -> Result<Vec<SubscribedTrigger>, StoreError> {
        let all = self.all().await?.into_iter();
        let subscribed = all.filter(|(_, asked)| asked.what == What::Subscription).map(|(head, asked)| {
            let Asked { what: _, digest, member, source, config, connection, dedupe: _ } = Asked::clone(&asked);
            let (url_generation, base_url) = (head.hook_generation, self.urls.base_url.clone());
            let wanted = Wanted { digest, member, source, config, connection, url_generation, base_url };
            SubscribedTrigger { workspace: head.workspace, workflow: head.id, wanted }
        });
        Ok(subscribed.collect())
    }

    fn callback_url(&self, workflow: &WorkflowId, wanted: &Wanted) -> String {
        let token = self.urls.key.hook_token(&self.urls.workspace, workflow, TRIGGER_ID, wanted.url_generation);
        format!("{}/hooks/{token}", wanted.base_url)
    }

    fn changed(&self) -> Changed {
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }

    async fn reconnected(&self) -> Result<Vec<(ConnectionName, Timestamp)>, StoreError> {
        let all = self.connections.list(&self.urls.workspace).await?.into_iter().map(|stored| stored.connection);
        let ready = all.filter(|connection| connection.state == State::Ready);
        Ok(ready.map(|connection| (connection.name, connection.updated_at)).collect())
    }
}

impl std::fmt::Debug for PluginTriggers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginTriggers").field("workspace", &self.urls.workspace).finish_non_exhaustive()
    }
}
