//! A server that runs, and how it ends: readiness off, no new connections, what is in flight finishes, the engine drains, the store closes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use flowcell_engine::{EngineStopped, Shutdown};
use flowcell_sandbox::Sandbox;
use flowcell_sandbox::egress::Door;
use flowcell_store::embedded::EmbeddedStore;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Phase};
use crate::ingress;

pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) data: PathBuf,
    pub(crate) token_file: PathBuf,
    /// Each in a few words.
    pub(crate) plugins: Vec<String>,
    /// Plugin files that are there and not used, and why.
    pub(crate) plugin_problems: Vec<String>,
    pub(super) app: Arc<App>,
    pub(super) store: Arc<EmbeddedStore>,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) door: Door,
    pub(super) shutdown: Shutdown,
    pub(super) stop_http: CancellationToken,
    /// Cancelled when a write to the store failed for good.
    pub(super) fatal: CancellationToken,
    pub(super) http: JoinHandle<()>,
    pub(super) engine: JoinHandle<Result<(), EngineStopped>>,
    pub(super) scheduler: JoinHandle<Result<(), EngineStopped>>,
    /// Of changes of contacts.
    pub(super) dispatcher: JoinHandle<Result<(), EngineStopped>>,
    /// Polls and subscriptions.
    pub(super) triggers: JoinHandle<Result<(), EngineStopped>>,
}

impl Running {
    /// Serves until a signal; the first one drains, a second one ends at once.
    pub(crate) async fn until_stopped(mut self) -> Result<()> {
        let mut signals = Signals::new()?;
        tokio::select! {
            () = signals.next() => {}
            () = self.fatal.cancelled() => return Err(stopped_by_store()),
            ended = &mut self.engine => {
                ended.map_err(|_| anyhow!("the engine crashed; the log has more. Start Flowcell again: nothing accepted is lost"))??;
                bail!("the engine ended without being asked to");
            }
            ended = &mut self.scheduler => {
                ended.map_err(|_| anyhow!("the scheduler crashed; the log has more. Start Flowcell again: nothing scheduled is lost"))??;
                bail!("the scheduler ended without being asked to");
            }
            ended = &mut self.dispatcher => {
                ended.map_err(|_| anyhow!("the dispatcher of contact changes crashed; the log has more. Start Flowcell again: no change is lost"))??;
                bail!("the dispatcher of contact changes ended without being asked to");
            }
            ended = &mut self.triggers => {
                ended.map_err(|_| anyhow!("the poller or the subscriber crashed; the log has more. Start Flowcell again: nothing polled is lost"))??;
                bail!("the poller ended without being asked to");
            }
            ended = &mut self.http => {
                ended.map_err(|_| anyhow!("the HTTP server crashed; the log has more. Start Flowcell again: nothing accepted is lost"))?;
                bail!("the HTTP server ended without being asked to");
            }
        }
        tracing::info!("draining: finishing what has begun; a second signal ends at once");
        self.app.readiness.set(Phase::Draining);
        self.app.closing.cancel();
        // Whoever waits for a run learns where to look: the run goes on, if need be at the next start.
        self.app.waiting.stop();
        self.stop_http.cancel();
        self.shutdown.request();
        let fatal = self.fatal.clone();
        tokio::select! {
            drained = self.drain() => drained,
            () = fatal.cancelled() => Err(stopped_by_store()),
            // Whatever was in flight is in the journal as far as it came, as after a crash.
            () = signals.next() => Err(anyhow!("ended at once by a second signal; what was in flight is taken up at the next start")),
        }
    }

    async fn drain(self) -> Result<()> {
        let _ = self.http.await;
        self.scheduler
            .await
            .map_err(|_| anyhow!("the scheduler crashed while it drained; nothing scheduled is lost"))??;
        self.dispatcher
            .await
            .map_err(|_| anyhow!("the dispatcher of contact changes crashed while it drained; no change is lost"))??;
        self.triggers.await.map_err(|_| anyhow!("the poller crashed while it drained; nothing polled is lost"))??;
        self.engine.await.map_err(|_| anyhow!("the engine crashed while it drained; nothing accepted is lost"))??;
        // What the last attempts told; a crash may lose it.
        if let Err(error) = self.app.control.flush_destinations().await {
            tracing::warn!(%error, "how the last deliveries went is not counted");
        }
        self.sandbox.shut_down().await;
        // Before the door and the store: a renewal needs both to its end.
        self.app.tokens.close().await;
        self.app.mailer.close().await;
        self.door.close().await;
        ingress::late::write(&self.app).await;
        self.store.close().await?;
        tracing::info!("drained");
        Ok(())
    }
}

fn stopped_by_store() -> anyhow::Error {
    anyhow!(
        "a write to the disk failed, so nothing more can be promised. Everything acknowledged is on the disk: repair it, then start Flowcell again"
    )
}

/// SIGTERM and SIGINT alike.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
