//! Contacts in a workflow: a run need not have one, so whoever reads `contact` has to know where it comes from, or provide for its absence.

use serde_json::{Map, Value, json};

use super::Check;
use super::reads::Read;
use super::types::Known;
use super::visible::Sight;
use crate::contact::event::Which;
use crate::contact::field::{self, CUSTOM_PREFIX, IDENTITIES};
use crate::plugin::Uses;
use crate::workflow::problem::similar;
use crate::workflow::trigger::TriggerKind;

impl Check<'_> {
    /// Whether the fields that a contact trigger names are fields.
    pub(super) fn contact_trigger(&mut self) {
        let TriggerKind::Contact(trigger) = &self.authored.workflow.trigger.kind else { return };
        let Some(Which::These(names)) = &trigger.changed else { return };
        for (index, name) in names.iter().enumerate() {
            let Some((message, help)) = self.wrong_field(name) else { continue };
            self.add(&format!("/trigger/contact/changed/{index}"), message, Some(help));
        }
    }

    /// What is wrong with the path of a field that somebody can change, and what to do.
    fn wrong_field(&self, path: &str) -> Option<(String, String)> {
        let custom = self.others.contact_fields();
        if let Some(name) = path.strip_prefix(CUSTOM_PREFIX) {
            let custom = custom?;
            let names = custom.iter().map(|definition| definition.name.as_str());
            if names.clone().any(|known| known == name) {
                return None;
            }
            let help = match similar(name, names) {
                Some(near) => format!("did you mean `{CUSTOM_PREFIX}{near}`?"),
                None => format!("define it: flowcell contact field set {name} --kind text"),
            };
            return Some((format!("no field `{name}` is defined in this workspace"), help));
        }
        let standard = || field::STANDARD.iter().map(|(name, _)| *name).chain(IDENTITIES);
        if standard().any(|known| known == path) {
            return None;
        }
        let is_custom = custom.is_some_and(|custom| custom.iter().any(|definition| definition.name.as_str() == path));
        let help = match similar(path, standard()) {
            _ if is_custom => format!("it is one of the workspace's own fields: `{CUSTOM_PREFIX}{path}`"),
            _ if path == "tags" => "tags have triggers of their own: `tag_added` and `tag_removed`".to_owned(),
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the workspace's own fields are written `{CUSTOM_PREFIX}<name>`"),
        };
        Some((format!("no field `{path}` of a contact can change"), help))
    }

    /// Says so where the run has no contact, or perhaps none.
    pub(super) fn has_contact(&mut self, read: &Read<'_, '_>) {
        let workflow = self.workflow();
        if matches!(workflow.trigger.kind, TriggerKind::Contact(_)) {
            return;
        }
        let place = &read.field.place;
        let bringing: Vec<(String, Sight)> = workflow
            .all_steps()
            .filter(|placed| placed.step.action().is_some_and(|action| self.may_bring_contact(&action.uses)))
            .map(|placed| (placed.step.id.to_string(), place.sight(workflow, placed.step.id.as_str())))
            .collect();
        if bringing.iter().any(|(_, sight)| matches!(sight, Sight::There)) {
            return;
        }
        // A workflow that others call has the contact of the run that called it.
        let may_be_called = matches!(workflow.trigger.kind, TriggerKind::Manual);
        let perhaps = bringing
            .iter()
            .find(|(_, sight)| matches!(sight, Sight::Perhaps { .. } | Sight::Failed | Sight::InLoop { .. }));
        let provide = "provide for its absence: `| default(…)`, the step's `missing`, or a condition with `is: exists`";
        match perhaps {
            _ if read.is_guarded => {}
            Some((step, _)) => {
                let message = format!(
                    "the run has a contact only where step `{step}` has run, and this reads `contact` in all runs"
                );
                self.warn(&read.pointer, message, Some(provide.to_owned()));
            }
            None if may_be_called => {
                let message = "the run has a contact only when a run with one calls this workflow".to_owned();
                self.warn(&read.pointer, message, Some(provide.to_owned()));
            }
            None => {
                let help = match bringing.first() {
                    Some((step, _)) => format!("step `{step}` brings one: read `contact` after it"),
                    None => "a contact comes with a contact trigger (`trigger: { contact: … }`) or a step that finds or makes one (`flowcell/contacts/find@1`, `create-or-update@1`); what a webhook sends is under `trigger.body`".to_owned(),
                };
                self.add(&read.pointer, "there is no `contact` here: this run has none", Some(help));
            }
        }
    }

    /// Whether a step of this plugin can give a run its contact.
    fn may_bring_contact(&self, uses: &Uses) -> bool {
        self.catalog.resolve(uses).is_ok_and(|plugin| plugin.manifest.capabilities.contacts.is_some())
    }

    pub(super) fn known_contact(&self) -> Known {
        Known::schema(&self.contact_schema())
    }

    pub(super) fn contact_trigger_output(&self) -> Known {
        let names = json!({ "type": "array", "items": { "type": "string" } });
        Known::schema(&json!({
            "type": "object",
            "properties": {
                "event": { "type": "string" }, "events": names, "event_id": { "type": "string" }, "at": { "type": "string" },
                "contact": self.contact_schema(),
                "change": { "type": "object", "properties": {
                    "fields": { "type": "object", "additionalProperties": true }, "tags_added": names, "tags_removed": names,
                } },
                "by": { "type": "object", "properties": {
                    "via": { "type": "string" }, "workflow": { "type": "string" }, "run": { "type": "string" },
                    "step": { "type": "string" }, "plugin": { "type": "string" },
                } },
                "chain": { "type": "array" },
            },
        }))
    }

    /// A contact as expressions read it.
    fn contact_schema(&self) -> Value {
        let text = || json!({ "type": "string" });
        let mut properties: Map<String, Value> = field::top_names().map(|name| (name.to_owned(), text())).collect();
        properties.insert("version".to_owned(), json!({ "type": "integer" }));
        properties.insert("tags".to_owned(), json!({ "type": "array", "items": { "type": "string" } }));
        let fields = match self.others.contact_fields() {
            None => json!({ "type": "object", "additionalProperties": true }),
            Some(custom) => {
                let fields: Map<String, Value> = custom
                    .iter()
                    .map(|field| (field.name.to_string(), json!({ "type": field.kind.json_type() })))
                    .collect();
                json!({ "type": "object", "properties": fields })
            }
        };
        properties.insert("fields".to_owned(), fields);
        json!({ "type": "object", "properties": properties })
    }
}
