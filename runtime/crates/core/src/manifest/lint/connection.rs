//! What is wrong with what a manifest says of connections.

use serde_json::Value;

use super::{Findings, REASON_CHARS_MAX, Root, Text};
use crate::connection::{InjectedInto, Kind};
use crate::manifest::{ConnectionKind, ConnectionSlot, Manifest};
use crate::plugin::is_name;

impl Findings {
    pub(super) fn connections(&mut self, manifest: &Manifest) {
        let mut seen: Vec<&str> = Vec::new();
        for (index, kind) in manifest.connections.iter().enumerate() {
            let at = format!("/connections/{index}");
            self.member(&at, &kind.id, &kind.title, &kind.description);
            if is_name(&kind.id) && Kind::NAMES.contains(&kind.id.as_str()) {
                self.error(
                    format!("{at}/id"),
                    format!("`{}` is a kind of Flowcell itself; choose another id", kind.id),
                );
            }
            if seen.contains(&kind.id.as_str()) {
                self.error(
                    format!("{at}/id"),
                    format!("`{}` is there twice; connections name kinds by their id", kind.id),
                );
            }
            seen.push(&kind.id);
            self.schema(&format!("{at}/fields"), &kind.fields, Root::Object);
            self.injections(&at, kind);
        }
        for (index, action) in manifest.actions.iter().enumerate() {
            if let Some(slot) = &action.connection {
                self.slot(&format!("/actions/{index}/connection"), slot, manifest);
            }
        }
        for (index, trigger) in manifest.triggers.iter().enumerate() {
            if let Some(slot) = &trigger.connection {
                self.slot(&format!("/triggers/{index}/connection"), slot, manifest);
            }
        }
    }

    fn slot(&mut self, at: &str, slot: &ConnectionSlot, manifest: &Manifest) {
        let reason = format!("{at}/reason");
        self.text(&reason, &slot.reason, Text { what: "a reason", chars_max: REASON_CHARS_MAX, lines: false });
        if slot.reason.trim().is_empty() {
            self.error(reason, "people decide by the reason; write in one sentence what the connection is for");
        }
        for (index, kind) in slot.kinds.iter().enumerate() {
            if !Kind::NAMES.contains(&kind.as_str()) && manifest.connection(kind).is_none() {
                let own: Vec<&str> = manifest.connections.iter().map(|kind| kind.id.as_str()).collect();
                let there = [Kind::NAMES.as_slice(), &own].concat().join(", ");
                self.error(format!("{at}/kinds/{index}"), format!("there is no kind `{kind}`; there are: {there}"));
            }
        }
        if manifest.capabilities.http.is_empty() && slot.kinds.iter().all(|kind| kind != "smtp") {
            self.warning(at, "the plugin asks for no requests (`[[capabilities.http]]`), so a connection has no use");
        }
    }

    fn injections(&mut self, at: &str, kind: &ConnectionKind) {
        if kind.inject.is_empty() {
            self.error(
                format!("{at}/inject"),
                "nothing is added to requests: write `inject = [{ header = \"X-Api-Key\", value = \"{{ secret.key }}\" }]`",
            );
        }
        for (index, injection) in kind.inject.iter().enumerate() {
            let (InjectedInto::Header(name) | InjectedInto::Query(name)) = &injection.into;
            let is_token =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !is_token {
                let message = "the header or parameter has no usable name: letters, digits, `-` and `_`";
                self.error(format!("{at}/inject/{index}"), message);
            }
            if !injection.value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                self.error(format!("{at}/inject/{index}/value"), "only printable ASCII can stand in a request's head");
            }
        }
        match kind.places() {
            Err(template) => {
                self.error(format!("{at}/inject"), format!("`{template}` has a `{{{{` without its `}}}}`"));
            }
            Ok(places) => self.places(at, kind, &places),
        }
        for (name, schema) in kind.properties() {
            if schema.get("type").and_then(Value::as_str) != Some("string") {
                self.error(
                    format!("{at}/fields/properties/{name}"),
                    "fields of a connection are texts: write `type = \"string\"`",
                );
            }
        }
        if !kind.properties().any(|(name, _)| kind.is_secret(name)) {
            self.error(format!("{at}/fields"), "no field is marked with `secret = true`, so there is nothing to keep");
        }
    }

    fn places(&mut self, at: &str, kind: &ConnectionKind, places: &[&str]) {
        for place in places {
            let is_there = match place.split_once('.') {
                Some(("secret", field)) => kind.is_secret(field),
                Some(("field", field)) => !kind.is_secret(field) && kind.properties().any(|(name, _)| name == field),
                _ => false,
            };
            if !is_there {
                self.error(
                    format!("{at}/inject"),
                    format!("`{{{{ {place} }}}}` names no field: write `secret.<field>` for one that is marked as secret, `field.<field>` for another"),
                );
            }
        }
    }
}
