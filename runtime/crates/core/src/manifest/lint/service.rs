//! What is wrong with what a manifest says of services, of polling and subscribing triggers, and of fields of choices.

use serde_json::Value;

use super::{Findings, REASON_CHARS_MAX, Text};
use crate::capability::{FilesCapability, KeyValueCapability, Service};
use crate::manifest::{Interval, Manifest, TriggerKind, TriggerManifest, options};
use crate::workflow::duration;

/// A list of fields is read by the person who decides.
const FIELDS_MAX: usize = 100;

impl Findings {
    pub(super) fn services(&mut self, manifest: &Manifest) {
        let asked = &manifest.capabilities;
        for (service, reason) in asked.services().asked() {
            let at = format!("/capabilities/{service}/reason");
            self.text(&at, reason, Text { what: "a reason", chars_max: REASON_CHARS_MAX, lines: false });
            if reason.trim().is_empty() {
                self.error(at, "people decide by the reason; write in one sentence why this is needed");
            }
        }
        for (service, key, quota, most, unit) in [
            (
                Service::KeyValue,
                "quota-kib",
                asked.key_value.as_ref().map(|asked| asked.quota_kib),
                KeyValueCapability::QUOTA_KIB_MAX,
                "KiB",
            ),
            (
                Service::Files,
                "quota-mib",
                asked.files.as_ref().map(|asked| asked.quota_mib),
                FilesCapability::QUOTA_MIB_MAX,
                "MiB",
            ),
        ] {
            if let Some(quota) = quota.filter(|quota| *quota == 0 || *quota > most) {
                self.error(
                    format!("/capabilities/{service}/{key}"),
                    format!("{quota} is outside 1 to {most} {unit}; leave it away for the default"),
                );
            }
        }
        if let Some(contacts) = &asked.contacts {
            let at = "/capabilities/contacts";
            for (key, fields) in [("read", &contacts.read), ("write", &contacts.write)] {
                if fields.len() > FIELDS_MAX {
                    self.error(
                        format!("{at}/{key}"),
                        format!("{} fields; at most {FIELDS_MAX} can be listed, or `*`", fields.len()),
                    );
                }
                for (index, field) in fields.iter().enumerate() {
                    let name = field.strip_prefix("fields.").unwrap_or(field);
                    let is_name = !name.is_empty()
                        && name.len() <= 64
                        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
                    if field != "*" && !is_name {
                        self.error(
                            format!("{at}/{key}/{index}"),
                            format!("`{field}` names no field of contacts: write `email`, `tags`, `fields.vip` for a custom one, `fields` for all of those, or `*`"),
                        );
                    }
                }
            }
            if contacts.read.is_empty() && contacts.write.is_empty() && !contacts.delete {
                self.error(at, "nothing is read, written or deleted; list fields in `read` and `write`");
            }
        }
        if asked.mail.is_some() && !sends_mail(manifest) {
            self.warning(
                "/capabilities/mail",
                "no action takes a connection of the kind `smtp`, so nothing can be sent: add `connection = { kinds = [\"smtp\"], … }` to an action",
            );
        }
    }

    pub(super) fn trigger(&mut self, at: &str, trigger: &TriggerManifest) {
        let is_poll = trigger.kind == TriggerKind::Poll;
        if is_poll && trigger.subscribes {
            self.error(
                format!("{at}/subscribes"),
                "a polling trigger has no URL that could be registered; remove `subscribes`, or write `kind = \"webhook\"`",
            );
        }
        match trigger.interval {
            Some(_) if !is_poll => self.error(
                format!("{at}/interval"),
                "only polling triggers are asked from time to time; remove `interval`, or write `kind = \"poll\"`",
            ),
            Some(interval) if !(Interval::MIN..=Interval::MAX).contains(&interval) => self.error(
                format!("{at}/interval"),
                format!(
                    "an interval lies between {} and {}",
                    duration::format(Interval::MIN.as_millis()),
                    duration::format(Interval::MAX.as_millis())
                ),
            ),
            _ => {}
        }
    }

    /// `at` is the place of `schema`, which describes what stands under `with`.
    pub(super) fn options(&mut self, at: &str, schema: &Value) {
        for (place, choices) in options::all(schema) {
            let at = format!("{at}{place}");
            let unknown = choices.as_object().and_then(|members| members.keys().find(|key| *key != "depends_on"));
            if !choices.is_object() || unknown.is_some() {
                self.error(&at, "choices of the plugin are written as `{}` or `{\"depends_on\": [\"/field\"]}`");
                continue;
            }
            let Some(listed) = choices.get("depends_on") else { continue };
            let Some(listed) = listed.as_array() else {
                self.error(
                    format!("{at}/depends_on"),
                    "a list of JSON Pointers into the input belongs here, such as `[\"/spreadsheet\"]`",
                );
                continue;
            };
            for (index, pointer) in listed.iter().enumerate() {
                if pointer.as_str().is_none_or(|pointer| options::below(schema, pointer).is_none()) {
                    self.error(format!("{at}/depends_on/{index}"), format!("{pointer} leads to no field of the input"));
                }
            }
        }
    }
}

fn sends_mail(manifest: &Manifest) -> bool {
    let mut slots = manifest.actions.iter().filter_map(|action| action.connection.as_ref());
    slots.any(|slot| slot.kinds.iter().any(|kind| kind == "smtp"))
}
