//! What the guest of a step may know of its connection: where it leads and whose it is, nothing by which one could authenticate.

use serde::{Deserialize, Serialize};

use super::{Connection, Kind};
use crate::id::ConnectionName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionFacts {
    pub name: ConnectionName,
    /// Absent where nobody knows it: in a dry run away from the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whose it is at the other side, where the kind says it: a user name, a client, a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where it may be used.
    #[serde(default)]
    pub hosts: Vec<String>,
}

impl ConnectionFacts {
    /// Of a connection of which nothing else is known.
    pub fn of_name(name: ConnectionName) -> Self {
        Self { name, kind: None, account: None, scopes: Vec::new(), hosts: Vec::new() }
    }

    pub fn of(connection: &Connection) -> Self {
        let (account, scopes) = match &connection.kind {
            Kind::Basic { username } | Kind::Smtp { username, .. } => (Some(username.clone()), Vec::new()),
            Kind::OauthClientCredentials(client) | Kind::OauthCode { client, .. } => {
                (Some(client.client_id.clone()), client.scopes.clone())
            }
            Kind::GoogleServiceAccount { client_email, scopes, .. } => (Some(client_email.clone()), scopes.clone()),
            Kind::Bearer
            | Kind::ApiKey(_)
            | Kind::Hmac(_)
            | Kind::StandardWebhooks { .. }
            | Kind::WebhookUrl
            | Kind::WebhookSecret
            | Kind::Plugin { .. } => (None, Vec::new()),
        };
        let kind = match &connection.kind {
            Kind::Plugin { id, .. } => id.as_str(),
            other => other.name(),
        };
        let mut hosts: Vec<String> = connection.bound.hosts.iter().map(ToString::to_string).collect();
        if let Kind::Smtp { host, port, .. } = &connection.kind {
            hosts.push(format!("smtp://{host}:{port}"));
        }
        Self { name: connection.name.clone(), kind: Some(kind.to_owned()), account, scopes, hosts }
    }
}
