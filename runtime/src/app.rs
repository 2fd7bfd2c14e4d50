//! What the API and the ingress share: the ports, and the few facts about this installation. Assembled in [`crate::assemble`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use flowcell_core::capability::Grant;
use flowcell_core::contact::port::Contacts;
use flowcell_core::id::{ConnectionName, RunId, StepRef, WorkflowId, WorkspaceId};
use flowcell_core::inbox::Inbox;
use flowcell_core::key_value::KeyValues;
use flowcell_core::people::People;
use flowcell_core::ports::{
    Blobs, Catalog, Clock, Definitions, Entropy, InstalledPlugin, Invoker, Journal, Polls, Rehearsal, Retention,
    RunIndex, Schedules, Subscriptions, Tail, Triggers,
};
use flowcell_core::receipt::Receipts;
use flowcell_core::time::Timestamp;
use flowcell_engine::polling::PollHandle;
use flowcell_engine::{ControlError, RunControl};
use flowcell_sandbox::egress::Door;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::api::options::OptionsCache;
use crate::api::redaction::Redactions;
use crate::api::tail::FOLLOWERS_MAX;
use crate::config::{Ingress, Triggers as TriggersConfig, size};
use crate::connections::Broker;
use crate::connections::keys::Keys;
use crate::connections::oauth::Tokens;
use crate::connections::oauth::consent::Consents;
use crate::contacts::PublishedListeners;
use crate::http::body::BodyReader;
use crate::http::limits::Limits;
use crate::ingress::published::Cache;
use crate::ingress::recent;
use crate::ingress::routes::Routes;
use crate::ingress::tally::Tallies;
use crate::ingress::waiting::Waiting;
use crate::plugin_triggers::{PluginTriggers, Urls};
use crate::schedules::PublishedSchedules;
use crate::services::mail::Mailer;
use crate::token::{InstanceKey, TokenHash};

/// Everything behind the edge, as the traits of `core`.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) runs: Arc<dyn RunIndex>,
    pub(crate) tail: Arc<dyn Tail>,
    pub(crate) retention: Arc<dyn Retention>,
    pub(crate) definitions: Arc<dyn Definitions>,
    pub(crate) schedules: Arc<dyn Schedules>,
    pub(crate) triggers: Arc<dyn Triggers>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) contacts: Arc<dyn Contacts>,
    pub(crate) people: Arc<dyn People>,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) receipts: Arc<dyn Receipts>,
    /// What plugins keep between calls.
    pub(crate) values: Arc<dyn KeyValues>,
    pub(crate) polls: Arc<dyn Polls>,
    pub(crate) subscriptions: Arc<dyn Subscriptions>,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) rehearsal: Arc<dyn Rehearsal>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) preparer: Arc<dyn Preparer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// Makes a plugin ready to be called, so that what cannot be loaded is an error before anything depends on it.
#[async_trait]
pub(crate) trait Preparer: Send + Sync {
    /// Compiles the plugin, or finds it compiled. The error is for people.
    async fn prepare(&self, plugin: &InstalledPlugin) -> Result<(), String>;
}

pub(crate) struct App {
    /// The one there is for now.
    pub(crate) workspace: WorkspaceId,
    pub(crate) ports: Ports,
    pub(crate) key: InstanceKey,
    pub(crate) admin: TokenHash,
    pub(crate) bodies: BodyReader,
    pub(crate) ingress: Ingress,
    /// What the configuration gives to plugins.
    pub(crate) grants: Vec<Grant>,
    /// What trigger URLs begin with.
    base: Url,
    /// The same, without a slash at the end.
    base_url: String,
    pub(crate) routes: Routes,
    /// What the scheduler looks at; told here when a workflow is applied.
    pub(crate) scheduled: Arc<PublishedSchedules>,
    /// What the dispatcher of changes of contacts looks at.
    pub(crate) listeners: Arc<PublishedListeners>,
    /// What the poller and the subscriber look at; told here when a workflow is applied or a URL replaced.
    pub(crate) plugin_triggers: Arc<PluginTriggers>,
    /// Asks the poller.
    pub(crate) polling: PollHandle,
    /// The choices of fields that were asked for just now.
    pub(crate) options: OptionsCache,
    /// What the configuration says of triggers that nobody calls.
    pub(crate) triggers: TriggersConfig,
    pub(crate) published: Cache,
    /// Starts, resumes and cancels runs.
    pub(crate) control: RunControl,
    pub(crate) connections: Arc<Broker>,
    /// Those of connections that end and are renewed.
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) consents: Consents,
    /// Of the secrets of connections.
    pub(crate) keys: Keys,
    /// The one way out, for what the host itself sends on somebody's behalf.
    pub(crate) door: Door,
    /// For mail, the way of the host's own.
    pub(crate) mailer: Arc<Mailer>,
    /// The senders that wait for a run's answer.
    pub(crate) waiting: Arc<Waiting>,
    /// What came to the triggers.
    pub(crate) tallies: Arc<Tallies>,
    /// What is hidden of runs, by workflow and version.
    pub(crate) redactions: Redactions,
    pub(crate) readiness: Readiness,
    /// Places for clients that follow runs.
    pub(crate) followers: Arc<Semaphore>,
    /// Cancelled when the server shuts down: answers without an end come to theirs.
    pub(crate) closing: CancellationToken,
}

impl App {
    pub(crate) fn new(ports: Ports, key: InstanceKey, admin: TokenHash, settings: Settings) -> Self {
        let published_max = size(settings.ingress.routes_cached_max);
        let base_url = settings.base_url.as_str().trim_end_matches('/').to_owned();
        let definitions = Arc::clone(&ports.definitions);
        let kept = recent::Limits::new(
            size(settings.ingress.requests_kept_max),
            size(settings.ingress.requests_kept_bytes_max),
        );
        let tallies = Arc::new(Tallies::new(ports.clock.now(), kept));
        let scheduled =
            Arc::new(PublishedSchedules::new(WorkspaceId::default_workspace(), definitions, Arc::clone(&tallies)));
        let listeners = Arc::new(PublishedListeners::new(
            WorkspaceId::default_workspace(),
            Arc::clone(&ports.definitions),
            Arc::clone(&tallies),
        ));
        let urls = Urls { key: key.clone(), base_url: base_url.clone(), workspace: WorkspaceId::default_workspace() };
        let plugin_triggers =
            Arc::new(PluginTriggers::new(&ports, (Arc::clone(&settings.connections), Arc::clone(&tallies)), urls));
        Self {
            workspace: WorkspaceId::default_workspace(),
            scheduled,
            listeners,
            plugin_triggers,
            polling: PollHandle::default(),
            options: OptionsCache::new(&settings.triggers),
            triggers: settings.triggers,
            published: Cache::new(published_max),
            tallies,
            redactions: Redactions::default(),
            control: settings.control,
            consents: Consents::new(Arc::clone(&ports.clock), Arc::clone(&ports.entropy)),
            keys: settings.keys,
            tokens: settings.tokens,
            mailer: settings.mailer,
            connections: settings.connections,
            door: settings.door,
            waiting: settings.waiting,
            ports,
            key,
            admin,
            bodies: BodyReader::new(&settings.limits),
            routes: Routes::new(size(settings.ingress.routes_cached_max)),
            ingress: settings.ingress,
            grants: settings.grants,
            base: settings.base_url,
            base_url,
            readiness: Readiness::default(),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            closing: CancellationToken::new(),
        }
    }

    /// The address of this server as others know it.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The same as text, without a slash at the end.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The token in the URL of a workflow's trigger.
    pub(crate) fn hook_token(&self, workflow: &WorkflowId, generation: u32) -> String {
        self.key.hook_token(&self.workspace, workflow, TRIGGER_ID, generation)
    }

    /// The resume link of a wait.
    pub(crate) fn resume_url(&self, run: RunId, step: &StepRef) -> String {
        self.control.resume_link(run, step)
    }

    /// Everything goes on that waits for the owner of this connection, who acted at `at`: runs, which are returned, and triggers.
    pub(crate) async fn reconnected(&self, name: &ConnectionName, at: Timestamp) -> Result<Vec<RunId>, ControlError> {
        self.polling.reconnected(name, at).await;
        self.plugin_triggers.tell();
        self.control.reconnected(&self.workspace, name, at).await
    }

    /// The URL of a workflow's trigger.
    pub(crate) fn hook_url(&self, workflow: &WorkflowId, generation: u32) -> String {
        format!("{}/hooks/{}", self.base_url, self.hook_token(workflow, generation))
    }
}

/// A workflow has one trigger. Its id is part of what its URL is derived from, so that a trigger that changes its kind keeps its URL.
pub(crate) const TRIGGER_ID: &str = "trigger";

/// What the edge is made of beside its ports.
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) grants: Vec<Grant>,
    pub(crate) ingress: Ingress,
    pub(crate) triggers: TriggersConfig,
    pub(crate) base_url: Url,
    pub(crate) control: RunControl,
    pub(crate) connections: Arc<Broker>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) keys: Keys,
    pub(crate) door: Door,
    pub(crate) mailer: Arc<Mailer>,
    pub(crate) waiting: Arc<Waiting>,
}

/// Whether the server wants new work: what `/readyz` says.
#[derive(Debug, Default)]
pub(crate) struct Readiness(AtomicU8);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Unfinished runs of the last start are being taken up.
    Recovering,
    Ready,
    Draining,
}

impl Readiness {
    pub(crate) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
    pub(crate) fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Recovering,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}
