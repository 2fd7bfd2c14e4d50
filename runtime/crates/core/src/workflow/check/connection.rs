//! The connection that a step names: that it is there, fits the action, and lets the plugin use it.

use super::Check;
use super::others::FoundConnection;
use crate::connection::Connection;
use crate::id::ConnectionName;
use crate::manifest::{ActionManifest, Manifest};
use crate::workflow::problem::similar;
use crate::workflow::step::Action;

impl Check<'_> {
    pub(super) fn connection(&mut self, step: &str, action: &Action, (manifest, member): (&Manifest, &ActionManifest)) {
        let place = format!("{step}/connection");
        let slot = member.connection.as_ref();
        let Some(name) = &action.connection else {
            if let Some(slot) = slot.filter(|slot| slot.required && slot.default.is_none()) {
                let message = format!("`{}` needs a connection: {}", action.uses, slot.reason);
                let help = "name one with `connection:`; `flowcell connection list` prints those there are".to_owned();
                self.add(step, message, Some(help));
            }
            return;
        };
        if slot.is_none() && manifest.capabilities.http.is_empty() {
            let message = format!("`{}` sends no requests, so it has no use for a connection", action.uses);
            return self.add(&place, message, Some("leave `connection` out".to_owned()));
        }
        match self.others.connection(name) {
            FoundConnection::Unknown => self.connections_not_looked_up.push(name.clone()),
            FoundConnection::Missing { known } => self.missing_connection(&place, name, &known),
            FoundConnection::There(connection) => {
                self.fits_action(&place, &connection, (action, slot.map_or(&[], |slot| &slot.kinds)));
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

    fn fits_action(&mut self, place: &str, connection: &Connection, (action, kinds): (&Action, &[String])) {
        if connection.kind.is_among(kinds, &action.uses.plugin) {
            return;
        }
        let (name, kind) = (&connection.name, connection.kind.name());
        let (message, help) = if kinds.is_empty() {
            let message = format!("connection `{name}` is of the kind {kind}, which does not authenticate requests");
            (message, "name one of another kind".to_owned())
        } else {
            let message =
                format!("connection `{name}` is of the kind {kind}, with which `{}` does not work", action.uses);
            (message, format!("it works with: {}", kinds.join(", ")))
        };
        self.add(place, message, Some(help));
    }
}
