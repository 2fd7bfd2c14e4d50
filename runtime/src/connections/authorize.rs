//! From a connection and its secret to what is added to requests. Each kind is a few lines: [`fixed`] for those that send the same texts every
//! time, [`hmac`] and [`standard_webhooks`] for those that sign, [`declared`] for those that a plugin's manifest describes.
//!
//! Nothing here reads a store, renews anything or talks to a network, and what is built lives for one call; those that sign are kept by the broker
//! until their connection changes.

mod declared;
mod fixed;
mod hmac;
mod nothing;
mod standard_webhooks;
mod webhook_url;

use std::sync::Arc;

use flowcell_core::capability::{HttpRule, RequestTarget};
use flowcell_core::connection::{Authorizer, Connection, CredentialError, Kind, Outgoing};
use flowcell_core::id::ConnectionName;

use self::fixed::Fixed;
use self::hmac::Hmac;
pub(crate) use self::nothing::Nothing;
use self::standard_webhooks::StandardWebhooks;
use self::webhook_url::WebhookUrl;
use super::document::SecretDocument;

/// The authorizer of one call, for kinds whose secrets stay as they are until somebody rotates them.
pub(crate) fn authorizer(
    connection: &Connection,
    secret: SecretDocument,
) -> Result<Arc<dyn Authorizer>, CredentialError> {
    let bound = Bound::of(connection);
    let unreadable = |reason| CredentialError::Sealed { name: connection.name.clone(), reason };
    Ok(match (&connection.kind, secret) {
        (Kind::Bearer, SecretDocument::Bearer { token }) => Arc::new(Fixed::bearer(bound, token)),
        (Kind::ApiKey(place), SecretDocument::ApiKey { key }) => Arc::new(Fixed::api_key(bound, place, key)),
        (Kind::Basic { username }, SecretDocument::Password { password }) => {
            Arc::new(Fixed::basic(bound, username, password))
        }
        (Kind::Hmac(signing), SecretDocument::Signing(secrets)) => Arc::new(Hmac::new(bound, signing.clone(), secrets)),
        (Kind::StandardWebhooks { .. }, SecretDocument::Signing(secrets)) => {
            Arc::new(StandardWebhooks::new(bound, &secrets).map_err(unreadable)?)
        }
        (Kind::WebhookUrl, SecretDocument::WebhookUrl { url }) => {
            Arc::new(WebhookUrl::new(bound, &url).map_err(unreadable)?)
        }
        (Kind::Plugin { inject, fields, .. }, SecretDocument::Plugin { fields: secrets }) => {
            Arc::new(declared::authorizer(bound, inject, (fields, secrets)).map_err(unreadable)?)
        }
        _ => return Err(CredentialError::WrongKind { name: connection.name.clone(), kind: connection.kind.name() }),
    })
}

/// A connection's name, and where what it adds may go.
pub(crate) struct Bound {
    name: ConnectionName,
    to: Vec<HttpRule>,
    /// Kinds that only sign may go where the step may, when that was said.
    is_anywhere: bool,
}

impl Bound {
    pub(crate) fn of(connection: &Connection) -> Self {
        let to = connection.bound.hosts.clone();
        let is_anywhere = connection.bound.anywhere && connection.kind.only_signs();
        Self { name: connection.name.clone(), to, is_anywhere }
    }

    pub(crate) fn name(&self) -> &ConnectionName {
        &self.name
    }

    pub(crate) fn admits(&self, request: &Outgoing<'_>) -> bool {
        self.is_anywhere
            || RequestTarget::new(request.method, request.url)
                .is_ok_and(|target| self.to.iter().any(|rule| rule.matches(&target)))
    }
}

#[cfg(test)]
mod tests;
