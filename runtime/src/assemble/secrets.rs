//! The secrets of a server at its start: the key, what an earlier process left unfinished, and the connection that every server has.

use std::sync::Arc;

use anyhow::{Context, Result};
use flowcell_core::connection::{Binding, Connection, Connections, Kind, State};
use flowcell_core::id::WorkspaceId;
use flowcell_core::ports::{Clock, Entropy};
use flowcell_store::embedded::EmbeddedStore;

use crate::config::{Config, KeyFrom, secret_variable};
use crate::connections::generate::generate;
use crate::connections::keys::{Keys, Unreadable, give_up};
use crate::connections::{Broker, Change, WriteError};
use crate::data_dir::DataDir;
use crate::vault::source::{KeySource, PREVIOUS_VARIABLE, VARIABLE};

/// What signs outbound webhooks whose steps name no connection.
const WEBHOOK_SIGNING: &str = "webhook-signing";

/// Opens the stored connections.
pub(super) async fn open(
    (config, data): (&Config, &DataDir),
    store: &Arc<EmbeddedStore>,
    (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
    unreadable: Unreadable,
) -> Result<(Arc<Broker>, Keys)> {
    let workspace = WorkspaceId::default_workspace();
    let stored = Connections::list(&**store, &workspace).await?;
    let is_new = stored.is_empty();
    let keys = Keys::new(source(config, data), data.secrets_rotation(), Arc::clone(entropy));
    let vault = keys.open(&stored, unreadable).await?;
    if unreadable == Unreadable::GiveUp {
        let given_up = give_up(&**store, &vault, (stored, &**clock)).await?;
        tracing::warn!(
            given_up,
            "secrets were given up; their connections wait for new ones (`flowcell connection list`)"
        );
    }
    let broker = Arc::new(Broker::new(Arc::clone(store) as _, vault, Arc::clone(clock)));
    match keys.resume(&broker, &workspace).await {
        Ok(Some(done)) => tracing::info!(wrapped = done.wrapped, "an exchange of the secrets key was finished"),
        Ok(None) => {}
        // Everything is readable all the same, with both keys.
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "an exchange of the secrets key is not finished; `flowcell secrets rotate-key` goes on with it"
        ),
    }
    if is_new {
        sign_webhooks(&broker, (&workspace, &**clock, &**entropy)).await?;
    }
    say_anywhere(&broker, &workspace).await?;
    Ok((broker, keys))
}

fn source(config: &Config, data: &DataDir) -> KeySource {
    match config.secrets.key_from {
        KeyFrom::File => KeySource::File(config.secrets.key_file.clone().unwrap_or_else(|| data.secrets_key())),
        KeyFrom::Environment => {
            KeySource::Environment { key: secret_variable(VARIABLE), previous: secret_variable(PREVIOUS_VARIABLE) }
        }
        KeyFrom::Command => KeySource::Command(config.secrets.key_command.clone()),
    }
}

/// Connections that only sign went anywhere when they named no host, before that had to be said. Those that there are go on so, and say it.
async fn say_anywhere(broker: &Broker, workspace: &WorkspaceId) -> Result<()> {
    for stored in broker.list(workspace).await? {
        let Connection { name, kind, bound, .. } = &stored.connection;
        if !kind.only_signs() || !bound.hosts.is_empty() || bound.anywhere {
            continue;
        }
        let changed = broker.change::<WriteError>(workspace, name, |stored| {
            let mut connection = stored.connection.clone();
            connection.bound.anywhere = true;
            Ok(Change { connection, usage: stored.usage.clone(), secret: None })
        });
        match changed.await {
            Ok(_) => tracing::info!(connection = %name, "it signs for any host, and says so now: `anywhere`"),
            // Its owner has to give the secret again anyway.
            Err(WriteError::Sealed(error)) => {
                tracing::warn!(connection = %name, %error, "it could not be brought up to date");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes the connection with which outbound webhooks are signed from the first one on. Nobody has its secret yet: receivers get one when it is rotated.
async fn sign_webhooks(
    broker: &Broker,
    (workspace, clock, entropy): (&WorkspaceId, &dyn Clock, &dyn Entropy),
) -> Result<()> {
    let made = generate(&Kind::StandardWebhooks { public_key: None }, entropy).context("this kind is generated")?;
    let now = clock.now();
    let connection = Connection {
        workspace: workspace.clone(),
        name: WEBHOOK_SIGNING.parse()?,
        kind: Kind::StandardWebhooks { public_key: made.public_key },
        bound: Binding { hosts: Vec::new(), anywhere: true, plugins: vec!["flowcell/webhook".parse()?] },
        note: "Signs what flowcell/webhook/send sends, where a step names no other connection.".to_owned(),
        state: State::Ready,
        created_at: now,
        updated_at: now,
    };
    broker.add(connection, &made.document).await?;
    Ok(())
}
