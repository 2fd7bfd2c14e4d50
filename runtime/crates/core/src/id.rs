//! Identifiers: a type each, a prefix each in text, parsed at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Says why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    pub text: String,
    pub expected: &'static str,
}

/// A time-ordered identifier (ULID) with a prefix in text.
macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ulid::Ulid);

        impl $name {
            /// Builds the id from a time and 80 random bits; later times sort later.
            pub fn from_parts(at: Timestamp, random: u128) -> Self {
                Self(ulid::Ulid::from_parts(at.as_millis(), random))
            }
            /// The sixteen bytes, big-endian: they sort as the ids do.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(ulid::Ulid::from_bytes(bytes))
            }
            /// When the id was made, by the clock of that moment.
            pub fn created_at(self) -> Timestamp {
                Timestamp::from_millis(self.0.timestamp_ms())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|rest| ulid::Ulid::from_string(rest).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId {
                        text: text.to_owned(),
                        expected: concat!("an id of the form ", $prefix, "_… (26 characters)"),
                    })
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

ulid_id!(
    /// One execution of a workflow.
    RunId, "run"
);
ulid_id!(
    /// One accepted delivery to a trigger; it started one run or several.
    EventId, "evt"
);
ulid_id!(
    /// A person of the workspace.
    ContactId, "con"
);
ulid_id!(
    /// What somebody wrote about a contact.
    NoteId, "note"
);
ulid_id!(
    /// One change of a contact.
    ContactEventId, "cev"
);
ulid_id!(
    /// One notification, in the inbox of everybody it went to.
    NotificationId, "ntf"
);

/// A short name that people write: lower-case letters, digits and hyphens, 1 to 64 of them, a letter first.
macro_rules! slug_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_slug(text, $extra) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { text: text.to_owned(), expected: $expected })
                }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

slug_id!(
    /// Whose data it is.
    WorkspaceId, "a workspace id (a letter, then letters, digits and hyphens in lower case, at most 64)", '-'
);
slug_id!(
    /// A workflow, stable over its versions.
    WorkflowId, "a workflow id (a letter, then letters, digits and hyphens in lower case, at most 64)", '-'
);
slug_id!(
    /// A stored credential.
    ConnectionName, "a connection's name (a letter, then letters, digits and hyphens in lower case, at most 64)", '-'
);
slug_id!(
    /// A field of contacts that the workspace has defined. An underscore is allowed, for `contact.fields.<name>` in expressions.
    FieldName, "a field's name (a letter, then letters, digits and underscores in lower case, at most 64)", '_'
);
slug_id!(
    /// Somebody who uses the workspace.
    UserId, "a user's id (a letter, then letters, digits and hyphens in lower case, at most 64)", '-'
);
slug_id!(
    /// What several users are together: `support`, `on-call`.
    RoleName, "a role (a letter, then letters, digits and hyphens in lower case, at most 64)", '-'
);
slug_id!(
    /// A named place in a workflow. An underscore is allowed, for `steps.<id>` in expressions.
    StepId, "a step id (a letter, then letters, digits and underscores in lower case, at most 64)", '_'
);

/// A place in a run: a step, and within loops which iteration of each, the outermost first.
///
/// In text `send`, `send[3]`, `send[3.1]`; without loops it reads and writes exactly as the step's id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepRef {
    id: StepId,
    at: Vec<u32>,
}

/// Looks a [`StepRef`] up without making one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepRefKey<'k> {
    pub id: &'k str,
    pub at: &'k [u32],
}

impl indexmap::Equivalent<StepRef> for StepRefKey<'_> {
    fn equivalent(&self, place: &StepRef) -> bool {
        self.id == place.id.as_str() && self.at == place.at
    }
}

impl StepRef {
    /// The step `id` in the iteration `at` of the loops around it.
    pub fn new(id: StepId, at: &[u32]) -> Self {
        Self { id, at: at.to_vec() }
    }
    pub fn id(&self) -> &StepId {
        &self.id
    }
    /// The indices of the enclosing loops, the outermost first.
    pub fn at(&self) -> &[u32] {
        &self.at
    }
    /// Whether it lies in the iteration `at` of some loops, or in one inside of it.
    pub fn is_within(&self, at: &[u32]) -> bool {
        self.at.starts_with(at)
    }
}

impl From<StepId> for StepRef {
    fn from(id: StepId) -> Self {
        Self { id, at: Vec::new() }
    }
}
impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id.as_str())?;
        let mut before = '[';
        for index in &self.at {
            write!(f, "{before}{index}")?;
            before = '.';
        }
        if self.at.is_empty() { Ok(()) } else { f.write_str("]") }
    }
}
impl fmt::Debug for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for StepRef {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            text: text.to_owned(),
            expected: "a step (its id, within loops with the iterations: `send[3]`, `send[3.1]`)",
        };
        let Some((id, rest)) = text.split_once('[') else {
            return text.parse().map(StepId::into).map_err(|_| invalid());
        };
        let indices = rest.strip_suffix(']').ok_or_else(invalid)?;
        // One way to write each: `send[03]` is none.
        let index = |part: &str| part.parse().ok().filter(|index: &u32| index.to_string() == part);
        let at = indices.split('.').map(index).collect::<Option<Vec<u32>>>().ok_or_else(invalid)?;
        Ok(Self { id: id.parse().map_err(|_| invalid())?, at })
    }
}
crate::serde_text::serde_as_text!(StepRef);

impl RunId {
    /// The id of a run that follows from another, always the same: the child of its step `of`, or its error workflow.
    #[must_use]
    pub fn derived(self, at: Timestamp, of: &str) -> Self {
        Self::from_parts(at, self.bits(of))
    }

    fn bits(self, of: &str) -> u128 {
        use sha2::Digest as _;
        // Sixteen bytes always, so that no two pairs read the same.
        let hash = sha2::Sha256::new().chain_update(self.to_bytes()).chain_update(of).finalize();
        hash.iter().take(10).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
    }
}

impl EventId {
    /// The event that starts a run which follows from another (see [`RunId::derived`]).
    pub fn derived(from: RunId, at: Timestamp, of: &str) -> Self {
        Self::from_parts(at, from.bits(of))
    }
}

impl WorkspaceId {
    /// The one workspace there is for now.
    pub fn default_workspace() -> Self {
        Self("default".to_owned())
    }
}

fn is_slug(text: &str, extra: char) -> bool {
    let mut chars = text.chars();
    text.len() <= 64
        && chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == extra)
}

/// The SHA-256 of a plugin's bytes, `sha256:…` in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// The 64 hexadecimal digits, fit for a file name.
    pub fn to_hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid =
            || InvalidId { text: text.to_owned(), expected: "a digest (`sha256:` and 64 hexadecimal digits)" };
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?;
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}
impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text_and_refuse_the_wrong_prefix() {
        let run = RunId::from_parts(Timestamp::from_millis(1_764_000_000_000), 42);
        assert_eq!(run.to_string().parse::<RunId>(), Ok(run));
        assert!(run.to_string().parse::<EventId>().is_err());
        assert_eq!(run.created_at().as_millis(), 1_764_000_000_000);
        let digest = Digest::of(b"flowcell");
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }

    #[test]
    fn a_place_without_loops_is_its_step_in_text_and_any_other_has_one_way_to_be_written() {
        for text in ["send", "send[3]", "send[3.1]", "a_b[0.10.4294967295]"] {
            let place: StepRef = text.parse().expect(text);
            assert_eq!(place.to_string(), text);
            assert_eq!(serde_json::to_string(&place).expect("JSON"), format!("\"{text}\""));
        }
        for text in
            ["", "send[", "send[]", "send[01]", "send[1.]", "send[-1]", "send[+1]", "send[1]x", "Send[1]", "[1]"]
        {
            assert!(text.parse::<StepRef>().is_err(), "{text}");
        }
        let place: StepRef = "send[3.1]".parse().expect("a place");
        assert!(place.is_within(&[]) && place.is_within(&[3]) && place.is_within(&[3, 1]) && !place.is_within(&[1]));
        let map = indexmap::IndexMap::from([(place, 1)]);
        assert_eq!(map.get(&StepRefKey { id: "send", at: &[3, 1] }), Some(&1));
        assert_eq!(map.get(&StepRefKey { id: "send", at: &[3] }), None);
    }

    #[test]
    fn what_follows_from_a_run_has_an_id_of_its_own_each_time_the_same() {
        let at = Timestamp::from_millis(1_764_000_000_000);
        let run = |n| RunId::from_parts(at, n);
        assert_eq!(run(1).derived(at, "call"), run(1).derived(at, "call"));
        assert_ne!(run(1).derived(at, "call"), run(1).derived(at, "call[1]"));
        assert_ne!(run(1).derived(at, "call"), run(2).derived(at, "call"));
    }

    #[test]
    fn slugs_are_lower_case_and_bounded() {
        for (text, good) in [
            ("push-to-build", true),
            ("a", true),
            ("a1", true),
            ("", false),
            ("1a", false),
            ("A", false),
            ("a_b", false),
            ("a b", false),
            ("ä", false),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(text.parse::<WorkflowId>().is_ok(), good, "{text}");
        }
        assert!("a_b".parse::<StepId>().is_ok());
        assert!("a-b".parse::<StepId>().is_err());
    }
}
