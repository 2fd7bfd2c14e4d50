//! The connection that a step or trigger names: that it is there, fits the plugin's member, and lets the plugin use it.

use super::Check;
use super::others::FoundConnection;
use crate::connection::Connection;
use crate::id::ConnectionName;
use crate::manifest::{ConnectionSlot, Manifest};
use crate::plugin::Uses;
use crate::workflow::problem::similar;

/// Who names a connection, and what its manifest says of that.
pub(super) struct Naming<'n> {
    /// The step or trigger, as a JSON Pointer.
    pub(super) at: &'n str,
    pub(super) uses: &'n Uses,
    pub(super) connection: Option<&'n ConnectionName>,
    pub(super) slot: Option<&'n ConnectionSlot>,
    pub(super) manifest: &'n Manifest,
}

impl Check<'_> {
    pub(super) fn connection(&mut self, naming: &Naming<'_>) {
        let Naming { at, uses, connection, slot, manifest } = *naming;
        let place = format!("{at}/connection");
        let Some(name) = connection else {
            if let Some(slot) = slot.filter(|slot| slot.required && slot.default.is_none()) {
                let message = format!("`{uses}` needs a connection: {}", slot.reason);
                let help = "name one with `connection:`; `flowcell connection list` prints those there are".to_owned();
                self.add(at, message, Some(help));
            }
            return;
        };
        if slot.is_none() && manifest.capabilities.http.is_empty() {
            let message = format!("`{uses}` sends no requests, so it has no use for a connection");
            return self.add(&place, message, Some("leave `connection` out".to_owned()));
        }
        match self.others.connection(name) {
            FoundConnection::Unknown => self.connections_not_looked_up.push(name.clone()),
            FoundConnection::Missing { known } => self.missing_connection(&place, name, &known),
            FoundConnection::There(connection) => {
                self.fits_slot(&place, &connection, (uses, slot.map_or(&[], |slot| &slot.kinds)));
                if !connection.bound.plugins.contains(&manifest.id) {
                    let message = format!("plugin `{}` may not use connection `{name}`", manifest.id);
                    let help = format!("its owner allows it with `flowcell connection allow {name} {}`", manifest.id);
                    self.add(&place, message, Some(help));
                }
            }
        }
    }

    fn missing_connection(&mut self, place: &str, name: &ConnectionName, known: &[ConnectionName]) {
        let similar = similar(name.as_str(), known.iter().map(ConnectionName::as_str));
        let hint = similar.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let help = format!("add it with `flowcell connection add {name}`");
        self.add(place, format!("there is no connection `{name}`{hint}"), Some(help));
    }

    fn fits_slot(&mut self, place: &str, connection: &Connection, (uses, kinds): (&Uses, &[String])) {
        if connection.kind.is_among(kinds, &uses.plugin) {
            return;
        }
        let (name, kind) = (&connection.name, connection.kind.name());
        let (message, help) = if kinds.is_empty() {
            let message = format!("connection `{name}` is of the kind {kind}, which does not authenticate requests");
            (message, "name one of another kind".to_owned())
        } else {
            let message = format!("connection `{name}` is of the kind {kind}, with which `{uses}` does not work");
            (message, format!("it works with: {}", kinds.join(", ")))
        };
        self.add(place, message, Some(help));
    }
}
