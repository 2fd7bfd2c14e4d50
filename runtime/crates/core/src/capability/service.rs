//! What a plugin may ask of the host besides requests: a capability of the manifest and a grant for each service.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::contacts::ContactsCapability;
use super::decide::{Denial, DeniedBy};
use super::grant::Rights;
use crate::id::InvalidId;
use crate::serde_text::serde_as_text;

/// A service of the host, as grants name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    KeyValue,
    Mail,
    Inbox,
    Contacts,
    /// A private directory.
    Files,
}

impl Service {
    pub const ALL: [Self; 5] = [Self::KeyValue, Self::Mail, Self::Inbox, Self::Contacts, Self::Files];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyValue => "key-value",
            Self::Mail => "mail",
            Self::Inbox => "inbox",
            Self::Contacts => "contacts",
            Self::Files => "files",
        }
    }

    /// What using it means, for a message: `store values`.
    fn doing(self) -> &'static str {
        match self {
            Self::KeyValue => "store values",
            Self::Mail => "send mail",
            Self::Inbox => "write to the inbox of people",
            Self::Contacts => "work with contacts",
            Self::Files => "keep files",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl FromStr for Service {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL.into_iter().find(|service| service.as_str() == text).ok_or_else(|| InvalidId {
            text: text.to_owned(),
            expected: "a service: key-value, mail, inbox, contacts or files",
        })
    }
}
serde_as_text!(Service);

/// What a manifest asks for besides requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ServiceCapabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_value: Option<KeyValueCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<ServiceCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox: Option<ServiceCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contacts: Option<ContactsCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesCapability>,
}

impl ServiceCapabilities {
    /// Which services are asked for, and why.
    pub fn asked(&self) -> impl Iterator<Item = (Service, &str)> {
        [
            (Service::KeyValue, self.key_value.as_ref().map(|asked| asked.reason.as_str())),
            (Service::Mail, self.mail.as_ref().map(|asked| asked.reason.as_str())),
            (Service::Inbox, self.inbox.as_ref().map(|asked| asked.reason.as_str())),
            (Service::Contacts, self.contacts.as_ref().map(|asked| asked.reason.as_str())),
            (Service::Files, self.files.as_ref().map(|asked| asked.reason.as_str())),
        ]
        .into_iter()
        .filter_map(|(service, reason)| Some((service, reason?)))
    }

    pub fn asks_for(&self, service: Service) -> bool {
        self.asked().any(|(asked, _)| asked == service)
    }

    pub fn is_empty(&self) -> bool {
        self.asked().next().is_none()
    }
}

/// `mail = { reason = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceCapability {
    /// For people who decide about a grant: why it is needed.
    pub reason: String,
}

/// `key-value = { reason = "…", quota-kib = 256 }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyValueCapability {
    pub reason: String,
    /// Room for keys and values together, per workspace. 256 KiB unless it is said: some thousand cursors and counters.
    #[serde(default = "KeyValueCapability::default_quota_kib")]
    pub quota_kib: u32,
}

impl KeyValueCapability {
    /// The most that is asked for: 64 MiB, a thousand of the largest values. More belongs into a database.
    pub const QUOTA_KIB_MAX: u32 = 64 * 1024;

    fn default_quota_kib() -> u32 {
        256
    }

    pub fn quota_bytes(&self) -> u64 {
        u64::from(self.quota_kib) * 1024
    }
}

/// `files = { reason = "…", quota-mib = 16 }`: a private directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FilesCapability {
    pub reason: String,
    /// Room for files, per workspace. 16 MiB unless it is said: a model, a table, a cache.
    #[serde(default = "FilesCapability::default_quota_mib")]
    pub quota_mib: u32,
}

impl FilesCapability {
    /// The most that is asked for. 1 GiB: what an operator will give a plugin of a disk.
    pub const QUOTA_MIB_MAX: u32 = 1024;

    fn default_quota_mib() -> u32 {
        16
    }

    pub fn quota_bytes(&self) -> u64 {
        u64::from(self.quota_mib) * 1024 * 1024
    }
}

/// What one plugin asks for and was given of services in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRights {
    pub asked: ServiceCapabilities,
    pub granted: BTreeSet<Service>,
}

impl Rights {
    /// Decides whether the plugin may use `service` at all: the manifest asks for it, and the workspace gave it.
    pub fn decide_service(&self, service: Service) -> Result<(), Denial> {
        let (plugin, doing) = (&self.plugin, service.doing());
        if !self.services.asked.asks_for(service) {
            return Err(Denial {
                rule: DeniedBy::Manifest,
                message: format!(
                    "plugin {plugin} may not {doing}: its manifest does not ask for the capability `{service}`. No grant can add it; the \
                     plugin's author would have to ask for it"
                ),
                grant_to_add: None,
            });
        }
        if self.services.granted.contains(&service) {
            return Ok(());
        }
        let grant = super::Grant { plugin: plugin.clone(), http: Vec::new(), services: vec![service] }.to_string();
        Err(Denial {
            rule: DeniedBy::Grant,
            message: format!(
                "plugin {plugin} may not {doing}: it asks for the capability `{service}`, but this workspace has not granted it. \
                 To allow it, add to the configuration:\n{grant}"
            ),
            grant_to_add: Some(grant),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Grant;

    fn rights(asked: &str, granted: &str) -> Rights {
        let asked: ServiceCapabilities = toml::from_str(asked).expect("capabilities");
        let grant: Grant = toml::from_str(granted).expect("a grant");
        Rights::new("acme/p".parse().expect("an id"), vec![], std::slice::from_ref(&grant))
            .with_services(asked, &[grant])
    }

    #[test]
    fn a_service_needs_the_manifest_and_the_grant_and_the_denial_names_what_is_missing() {
        let (asked, granted) = ("mail = { reason = 'r' }", "plugin = 'acme/p'\nservices = ['mail']");
        assert!(rights(asked, granted).decide_service(Service::Mail).is_ok());

        let denial = rights(asked, granted).decide_service(Service::Inbox).expect_err("nobody asked");
        assert_eq!((denial.rule, denial.grant_to_add), (DeniedBy::Manifest, None));
        assert!(denial.message.contains("acme/p") && denial.message.contains("`inbox`"), "{}", denial.message);

        for other in
            ["plugin = 'acme/p'", "plugin = 'acme/p'\nservices = ['inbox']", "plugin = 'acme/q'\nservices = ['mail']"]
        {
            let denial = rights(asked, other).decide_service(Service::Mail).expect_err(other);
            assert_eq!(denial.rule, DeniedBy::Grant);
            let pasted: std::collections::BTreeMap<String, Vec<Grant>> =
                toml::from_str(&denial.grant_to_add.expect("a grant to add")).expect("it is TOML");
            let fixed = rights(asked, "plugin = 'acme/q'")
                .with_services(toml::from_str(asked).expect("capabilities"), pasted.get("grants").expect("grants"));
            assert!(fixed.decide_service(Service::Mail).is_ok());
        }
    }
}
