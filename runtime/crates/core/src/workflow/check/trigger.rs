//! What a plugin's trigger is given: settings that fit, a connection that it may use, an interval that its provider can bear.

use super::connection::Naming;
use super::others::FoundConnection;
use super::{Check, texts_with_expressions};
use crate::manifest::{Interval, TriggerKind as Kind, TriggerManifest};
use crate::plugin::Uses;
use crate::workflow::duration;
use crate::workflow::trigger::{DedupeBy, Trigger, TriggerKind};
use crate::workflow::verify::{Scheme, Verify};

impl Check<'_> {
    pub(super) fn trigger(&mut self) {
        self.contact_trigger();
        let trigger = &self.authored.workflow.trigger;
        let TriggerKind::Plugin { uses, with } = &trigger.kind else { return };
        let mut places = Vec::new();
        texts_with_expressions(with, "/trigger/with", &mut places);
        for pointer in &places {
            self.add(
                pointer,
                "the trigger's settings cannot have expressions: there is no run yet that they could read",
                None,
            );
        }
        let Some(manifest) = self.manifest("/trigger/uses", uses) else { return };
        let Some(member) = manifest.trigger(&uses.member) else {
            let triggers: Vec<_> = manifest.triggers.iter().map(|trigger| trigger.id.as_str()).collect();
            return self.wrong_kind("/trigger/uses", uses, ("an action", "a trigger"), &triggers);
        };
        self.fits("/trigger/with", with, &member.config, "the plugin's schema");
        self.connection(&Naming {
            at: "/trigger",
            uses,
            connection: trigger.connection.as_ref(),
            slot: member.connection.as_ref(),
            manifest: &manifest,
        });
        match member.kind {
            Kind::Webhook if trigger.every_ms.is_some() => {
                let message = format!("`{uses}` is called by its senders; it is asked for nothing");
                self.add("/trigger/every", message, Some("leave `every` out".to_owned()));
            }
            Kind::Webhook => self.sender(trigger),
            Kind::Poll => self.poll(trigger, uses, member),
        }
    }

    /// The secret of `verify` is looked at where the workflow is published; here it is only said that it was not.
    fn sender(&mut self, trigger: &Trigger) {
        let Some(name) = trigger.verify.as_ref().and_then(Verify::scheme).and_then(Scheme::secret) else { return };
        if matches!(self.others.connection(name), FoundConnection::Unknown) {
            self.connections_not_looked_up.push(name.clone());
        }
    }

    fn poll(&mut self, trigger: &Trigger, uses: &Uses, member: &TriggerManifest) {
        let least = member.interval.unwrap_or(Interval::DEFAULT);
        if trigger.every_ms.is_some_and(|every| every < least.as_millis()) {
            let message = format!("`{uses}` may be asked every {} at most", duration::format(least.as_millis()));
            self.add("/trigger/every", message, Some("write a longer interval, or leave `every` out".to_owned()));
        }
        if trigger.every_ms.is_some_and(|every| every > Interval::MAX.as_millis()) {
            let longest = duration::format(Interval::MAX.as_millis());
            let help = format!("write {longest} or less; a `schedule` starts runs more rarely");
            self.add("/trigger/every", format!("the longest interval is {longest}"), Some(help));
        }
        let has_no_request = format!("`{uses}` is asked what is new: no request comes");
        if trigger.verify.is_some() {
            self.add(
                "/trigger/verify",
                format!("{has_no_request} that could be verified"),
                Some("leave `verify` out".to_owned()),
            );
        }
        if trigger.reply.is_some() {
            self.add(
                "/trigger/reply",
                format!("{has_no_request} that could be answered"),
                Some("leave `reply` out".to_owned()),
            );
        }
        if let Some(dedupe) = &trigger.dedupe
            && !matches!(dedupe.by, DedupeBy::Path(_))
        {
            let help = "name a place in what comes: `dedupe: { path: id }`".to_owned();
            self.add(
                "/trigger/dedupe",
                format!("{has_no_request}, so there is neither header nor body to go by"),
                Some(help),
            );
        }
    }
}
