//! What becomes of what somebody asks for, given what is there. Pure: every backend calls it inside the transaction that writes the outcome,
//! so that two who ask for one person at the same time get one contact.

use serde::{Deserialize, Serialize};

use super::event::{ContactEvent, Link};
use super::wanted::Wanted;
use super::{Actor, Change, ChangeKind, Contact, FromTo, Identity, Note, field};
use crate::id::{ContactEventId, ContactId, NoteId, WorkspaceId};
use crate::time::Timestamp;

/// The longest note, in bytes: some ten pages.
pub const NOTE_BYTES_MAX: usize = 32 << 10;

/// What a contact may measure, in bytes of JSON: what expressions read and plugins get with every call.
pub const CONTACT_BYTES_MAX: usize = 64 << 10;

/// Something asked of the contacts of a workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactWrite {
    pub workspace: WorkspaceId,
    pub wish: Wish,
    pub by: Actor,
    pub at: Timestamp,
    /// The random part of the ids of what is made.
    pub random: u128,
    /// The workflows and runs that led to this, the first one first.
    pub chain: Vec<Link>,
    /// What is asked again under the same key is answered as it was the first time, for 72 hours.
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Changes the contact with this id, or that one of the identities names, or makes it.
    Upsert {
        id: Option<ContactId>,
        wanted: Wanted,
    },
    /// Changes this one.
    Change {
        id: ContactId,
        wanted: Wanted,
    },
    Delete {
        id: ContactId,
        if_version: Option<u32>,
    },
    Note {
        id: ContactId,
        text: String,
    },
}

/// What a backend looks up for the decision. `E` is why it could not.
pub trait Lookup<E> {
    fn contact(&mut self, id: ContactId) -> Result<Option<Contact>, E>;
    fn owner(&mut self, identity: &Identity) -> Result<Option<ContactId>, E>;
}

/// Why it is not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no contact {id}")]
    NotFound { id: ContactId },
    #[error(
        "{first_by} belongs to {first} and {second_by} to {second}: one change cannot make two contacts one. Name one of both only, or change or delete the other contact first"
    )]
    TwoContacts { first_by: Identity, first: ContactId, second_by: Identity, second: ContactId },
    #[error("{identity} belongs to {owner} already, and each is one contact's only")]
    Taken { identity: Identity, owner: ContactId },
    #[error(
        "{id} has version {actual}, not {expected}: somebody else has changed it. Read it again, then repeat the change"
    )]
    VersionMoved { id: ContactId, expected: u32, actual: u32 },
    #[error(
        "a new contact needs an e-mail address, a telephone number or an external id: without any it could not be found again"
    )]
    NoIdentity,
    #[error("{message}")]
    TooLarge { message: String },
}

impl Refusal {
    /// Stable and machine-readable, as plugins see it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::TwoContacts { .. } | Self::Taken { .. } | Self::VersionMoved { .. } => "conflict",
            Self::NoIdentity => "invalid-input",
            Self::TooLarge { .. } => "too-large",
        }
    }

    /// The contacts that stand in the way, for programs.
    pub fn contacts(&self) -> Vec<ContactId> {
        match self {
            Self::NotFound { id } | Self::VersionMoved { id, .. } => vec![*id],
            Self::TwoContacts { first, second, .. } => vec![*first, *second],
            Self::Taken { owner, .. } => vec![*owner],
            Self::NoIdentity | Self::TooLarge { .. } => Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Created,
    Changed,
    Unchanged,
    Deleted,
    Noted,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub outcome: Outcome,
    pub before: Option<Contact>,
    /// Nothing: it is deleted.
    pub after: Option<Contact>,
    /// Its entry of the history and what it sets off; nothing where nothing changes.
    pub event: Option<ContactEvent>,
    pub note: Option<Note>,
}

impl Decided {
    /// The identities that lead nowhere from now on, and those that lead to the contact.
    pub fn keys(&self) -> (Vec<Identity>, Vec<Identity>) {
        let of = |contact: &Option<Contact>| contact.iter().flat_map(Contact::identities).collect::<Vec<_>>();
        let (before, after) = (of(&self.before), of(&self.after));
        let gone = before.iter().filter(|identity| !after.contains(identity)).cloned().collect();
        let come = after.into_iter().filter(|identity| !before.contains(identity)).collect();
        (gone, come)
    }

    /// The names of what changed.
    pub fn changed(&self) -> Vec<String> {
        self.event.iter().flat_map(|event| event.change.names()).collect()
    }
}

/// Decides. The outer error is the backend's.
pub fn decide<E>(write: &ContactWrite, look: &mut impl Lookup<E>) -> Result<Result<Decided, Refusal>, E> {
    match &write.wish {
        Wish::Upsert { id, wanted } => upsert(write, *id, wanted, look),
        Wish::Change { id, wanted } => match look.contact(*id)? {
            None => Ok(Err(Refusal::NotFound { id: *id })),
            Some(contact) => change(write, contact, wanted, look),
        },
        Wish::Delete { id, if_version } => Ok(match look.contact(*id)? {
            None => Err(Refusal::NotFound { id: *id }),
            Some(contact) => check_version(&contact, *if_version).map(|()| deleted(write, contact)),
        }),
        Wish::Note { id, text } => Ok(match look.contact(*id)? {
            None => Err(Refusal::NotFound { id: *id }),
            Some(contact) => noted(write, contact, text),
        }),
    }
}

fn upsert<E>(
    write: &ContactWrite,
    id: Option<ContactId>,
    wanted: &Wanted,
    look: &mut impl Lookup<E>,
) -> Result<Result<Decided, Refusal>, E> {
    if let Some(id) = id {
        return match look.contact(id)? {
            None => Ok(Err(Refusal::NotFound { id })),
            Some(contact) => change(write, contact, wanted, look),
        };
    }
    let mut found: Option<(Identity, ContactId)> = None;
    // What another system gave comes first, because it is the surest; all of them have to lead to one.
    let mut identities: Vec<Identity> = wanted.identities().collect();
    identities.sort_by_key(|identity| !matches!(identity, Identity::ExternalId(_)));
    let has_identity = !identities.is_empty();
    for identity in identities {
        let Some(owner) = look.owner(&identity)? else { continue };
        match &found {
            Some((_, first)) if *first == owner => {}
            Some((first_by, first)) => {
                let (first_by, first) = (first_by.clone(), *first);
                return Ok(Err(Refusal::TwoContacts { first_by, first, second_by: identity, second: owner }));
            }
            None => found = Some((identity, owner)),
        }
    }
    if let Some((_, owner)) = found
        && let Some(contact) = look.contact(owner)?
    {
        return change(write, contact, wanted, look);
    }
    if let Some(expected) = wanted.if_version {
        // It is to be a contact that somebody has read.
        let id = ContactId::from_parts(write.at, write.random);
        return Ok(Err(Refusal::VersionMoved { id, expected, actual: 0 }));
    }
    if !has_identity {
        return Ok(Err(Refusal::NoIdentity));
    }
    let mut contact = Contact::new(ContactId::from_parts(write.at, write.random), write.at);
    wanted.apply(&mut contact);
    contact.version = 1;
    Ok(check_size(&contact).map(|()| decided(write, Outcome::Created, None, Some(contact))))
}

fn change<E>(
    write: &ContactWrite,
    before: Contact,
    wanted: &Wanted,
    look: &mut impl Lookup<E>,
) -> Result<Result<Decided, Refusal>, E> {
    if let Err(refusal) = check_version(&before, wanted.if_version) {
        return Ok(Err(refusal));
    }
    let mut after = before.clone();
    wanted.apply(&mut after);
    if after == before {
        let (outcome, after) = (Outcome::Unchanged, Some(before.clone()));
        return Ok(Ok(Decided { outcome, before: Some(before), after, event: None, note: None }));
    }
    for identity in after.identities() {
        if let Some(owner) = look.owner(&identity)?.filter(|owner| *owner != after.id) {
            return Ok(Err(Refusal::Taken { identity, owner }));
        }
    }
    after.version = before.version.saturating_add(1);
    after.updated_at = write.at.max(before.updated_at);
    Ok(check_size(&after).map(|()| decided(write, Outcome::Changed, Some(before), Some(after))))
}

fn deleted(write: &ContactWrite, before: Contact) -> Decided {
    decided(write, Outcome::Deleted, Some(before), None)
}

fn noted(write: &ContactWrite, contact: Contact, text: &str) -> Result<Decided, Refusal> {
    if text.trim().is_empty() || text.len() > NOTE_BYTES_MAX {
        let message = format!("a note has 1 to {NOTE_BYTES_MAX} bytes, and this one has {}", text.len());
        return Err(Refusal::TooLarge { message });
    }
    let id = NoteId::from_parts(write.at, write.random);
    let note = Note { id, text: text.to_owned(), at: write.at, by: write.by.clone() };
    let after = Some(contact.clone());
    Ok(Decided { outcome: Outcome::Noted, before: Some(contact), after, event: None, note: Some(note) })
}

fn decided(write: &ContactWrite, outcome: Outcome, before: Option<Contact>, after: Option<Contact>) -> Decided {
    let event = event(write, before.as_ref(), after.as_ref());
    Decided { outcome, before, after, event, note: None }
}

fn event(write: &ContactWrite, before: Option<&Contact>, after: Option<&Contact>) -> Option<ContactEvent> {
    let contact = after.or(before)?;
    let kind = match (before, after) {
        (None, _) => ChangeKind::Created,
        (_, None) => ChangeKind::Deleted,
        _ => ChangeKind::Changed,
    };
    // What goes with a deletion is all of it, and stands in the event's contact.
    let (fields, tags_added, tags_removed) = match kind {
        ChangeKind::Deleted => Default::default(),
        _ => difference(before, contact),
    };
    let version = contact.version.saturating_add(u32::from(kind == ChangeKind::Deleted));
    let change = Change { kind, version, at: write.at, by: write.by.clone(), fields, tags_added, tags_removed };
    // In the order of the changes, of one contact within one millisecond too: the version comes first in what follows the time.
    let random = u128::from(version) << 48 | u128::from_be_bytes(contact.id.to_bytes()) & 0xffff_ffff_ffff;
    let id = ContactEventId::from_parts(write.at, random);
    let (workspace, contact, chain) = (write.workspace.clone(), contact.clone(), write.chain.clone());
    Some(ContactEvent { id, workspace, contact, change, chain })
}

type Difference = (std::collections::BTreeMap<String, FromTo>, Vec<String>, Vec<String>);

fn difference(before: Option<&Contact>, after: &Contact) -> Difference {
    let empty = Contact::new(after.id, after.created_at);
    let before = before.unwrap_or(&empty);
    let names = |contact: &Contact| {
        let custom = contact.fields.keys().map(|name| format!("{}{name}", field::CUSTOM_PREFIX));
        let standard = contact.standard.keys().cloned();
        field::IDENTITIES.map(str::to_owned).into_iter().chain(standard).chain(custom).collect::<Vec<_>>()
    };
    let paths: std::collections::BTreeSet<String> = names(before).into_iter().chain(names(after)).collect();
    let changed = paths.into_iter().filter_map(|path| {
        let (from, to) = (before.value(&path), after.value(&path));
        (from != to).then_some((path, FromTo { from, to }))
    });
    let added = after.tags.difference(&before.tags).cloned().collect();
    let removed = before.tags.difference(&after.tags).cloned().collect();
    (changed.collect(), added, removed)
}

fn check_version(contact: &Contact, expected: Option<u32>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != contact.version => {
            Err(Refusal::VersionMoved { id: contact.id, expected, actual: contact.version })
        }
        _ => Ok(()),
    }
}

fn check_size(contact: &Contact) -> Result<(), Refusal> {
    if contact.tags.len() > field::TAGS_MAX {
        let message =
            format!("a contact has at most {} tags, and this one would have {}", field::TAGS_MAX, contact.tags.len());
        return Err(Refusal::TooLarge { message });
    }
    let bytes = serde_json::to_vec(contact).map_or(usize::MAX, |json| json.len());
    if bytes > CONTACT_BYTES_MAX {
        let message = format!(
            "a contact has at most {CONTACT_BYTES_MAX} bytes, and this one would have {bytes}; long texts are notes"
        );
        return Err(Refusal::TooLarge { message });
    }
    Ok(())
}
