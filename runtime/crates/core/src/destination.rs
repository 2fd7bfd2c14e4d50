//! Where deliveries go, and how it goes there: what an author's URL fixes of a receiver, what an attempt tells of its health, and the record of it.

mod health;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::capability::{HttpCapability, Origin, UrlScope};
use crate::id::{InvalidId, RunId, WorkspaceId};
use crate::invoke::CallRecord;
use crate::serde_text::serde_as_text;
use crate::time::Timestamp;

pub use health::{HOURS_MAX, Health, Hour};

/// What stands for an expression in a destination's path.
const FROM_DATA: &str = "{…}";

/// The longest URL that names a destination, in characters. A longer one is cut: its record is to stay within one block of the store.
const URL_CHARS_MAX: usize = 500;

/// Scheme, host, port and path of the URL that a step's author wrote: a receiver, as far as no run data decides it. Never the query, which may
/// carry keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    pub origin: Origin,
    /// `/hooks/{…}` where an expression stands in it.
    pub path: String,
    /// Whether the whole URL is the author's: then what the receiver says of it holds for every run.
    pub is_literal: bool,
}

impl Destination {
    /// Reads the text of a URL field. `None` where an expression decides the origin, or the text leads nowhere.
    pub fn from_authored(text: &str) -> Option<Self> {
        let UrlScope::Fixed { origin } = UrlScope::from_authored(text) else { return None };
        let text = text.trim_matches([' ', '\n', '\r', '\t']);
        let (plain, is_literal) = without_expressions(text);
        let plain = plain.split(['?', '#']).next().unwrap_or_default();
        let after_scheme = plain.find("://").map_or(0, |at| at + 3);
        let authored = plain.get(after_scheme..).and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)));
        let path = match (is_literal, Url::parse(plain)) {
            (true, Ok(url)) => url.path().to_owned(),
            _ => authored.unwrap_or("/").to_owned(),
        };
        Some(Self { origin, path, is_literal })
    }

    /// Of a step: the first of its URL fields that its author fixed.
    pub fn of_step(asked: &[HttpCapability], with: &Value) -> Option<Self> {
        let fields = asked.iter().filter_map(|capability| capability.from_input.as_ref());
        let texts = fields.filter_map(|field| with.pointer(&format!("/{field}")).and_then(Value::as_str));
        texts.into_iter().find_map(Self::from_authored)
    }

    /// For people, and what its id is made of.
    pub fn url(&self) -> String {
        let url = format!("{}{}", self.origin, self.path);
        if url.chars().count() <= URL_CHARS_MAX {
            return url;
        }
        // What was cut still tells destinations apart.
        let digest = hex(&Sha256::digest(url.as_bytes()), 4);
        url.chars().take(URL_CHARS_MAX - 10).chain("…".chars()).chain(digest.chars()).collect()
    }

    pub fn id(&self) -> DestinationId {
        DestinationId::of(&self.url())
    }
}

/// The text with [`FROM_DATA`] in place of its expressions, and whether there were none.
fn without_expressions(text: &str) -> (String, bool) {
    let (mut plain, mut rest) = (String::new(), text);
    let mut is_literal = true;
    loop {
        let opened = ["{{", "{%", "{#"].into_iter().filter_map(|opener| rest.find(opener)).min();
        let Some(start) = opened else {
            plain.push_str(rest);
            return (plain, is_literal);
        };
        is_literal = false;
        plain.push_str(rest.get(..start).unwrap_or_default());
        plain.push_str(FROM_DATA);
        let inside = rest.get(start + 2..).unwrap_or_default();
        let closed = ["}}", "%}", "#}"].into_iter().filter_map(|closer| inside.find(closer)).min();
        let Some(end) = closed else { return (plain, is_literal) };
        rest = inside.get(end + 2..).unwrap_or_default();
    }
}

/// Names a destination of a workspace; `dst_` and twenty hexadecimal digits in text. Made of its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId([u8; 10]);

impl DestinationId {
    /// Of a URL as [`Destination::url`] writes it.
    pub fn of(url: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(url.as_bytes()).into();
        let mut id = [0; 10];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(id)
    }
    /// What somebody means who names a destination: its id, its URL as a workflow has it, or as it is shown. `None` when it is none of these.
    pub fn named(text: &str) -> Option<Self> {
        if text.contains(FROM_DATA) {
            return Some(Self::of(text));
        }
        text.parse().ok().or_else(|| Destination::from_authored(text).map(|destination| destination.id()))
    }
    pub fn as_bytes(&self) -> &[u8; 10] {
        &self.0
    }
}

impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dst_{}", hex(&self.0, 10))
    }
}
impl FromStr for DestinationId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.to_owned(), expected: "a destination id, `dst_…`" };
        let digits = text.strip_prefix("dst_").filter(|hex| hex.len() == 20).ok_or_else(invalid)?;
        let mut id = [0; 10];
        for (byte, pair) in id.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(pair.ok_or_else(invalid)?, 16).map_err(|_| invalid())?;
        }
        Ok(Self(id))
    }
}
serde_as_text!(DestinationId);

fn hex(bytes: &[u8], count: usize) -> String {
    use fmt::Write as _;
    bytes.iter().take(count).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What is known of a destination, and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationRecord {
    pub workspace: WorkspaceId,
    /// As [`Destination::url`] writes it.
    pub url: String,
    #[serde(default)]
    pub health: Health,
    /// Nothing is sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
}

impl DestinationRecord {
    pub fn new(workspace: WorkspaceId, url: String) -> Self {
        Self { workspace, url, health: Health::default(), disabled: None }
    }
    pub fn id(&self) -> DestinationId {
        DestinationId::of(&self.url)
    }
    pub fn origin(&self) -> Option<Origin> {
        Url::parse(&self.url).ok().and_then(|url| Origin::of(&url))
    }
}

/// Since when nothing is sent to a destination, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    pub since: Timestamp,
    /// The run that was told 410 Gone; absent when somebody disabled it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    pub reason: String,
}

/// What an attempt tells of the receiver it was made at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, and not with what passes by itself.
    Well { status: u16 },
    /// It could not be reached, did not answer in time, or said 408, 425 or 5xx.
    Sick { status: Option<u16>, error: String },
    /// 429: it is there, and wants less for a while. It says itself when.
    Busy,
    /// 410: it is there no more, and nobody is to ask again.
    Gone,
}

/// A receiver that was waited for less than this, and did not answer, need not be sick: the limits of the door itself begin at ten seconds, so a shorter one was
/// the author's. 5 s: what the slowest of ordinary interfaces take.
const PATIENCE_MS: u64 = 5_000;

impl Verdict {
    /// What the last exchange with the destination tells, or with another path of its origin when nothing went to the author's URL; `None` when
    /// nothing was sent there, or not for long enough to say something.
    pub fn of(destination: &Destination, record: &CallRecord) -> Option<Self> {
        let sent = record.http.iter().rev().filter(|exchange| exchange.answered_by.is_none());
        let own_url = format!("{}{}", destination.origin, destination.path);
        let there = sent.filter_map(|exchange| {
            if exchange.request.url == own_url {
                return Some((exchange, true));
            }
            let asked = Destination::from_authored(&exchange.request.url)?;
            (asked.origin == destination.origin).then(|| (exchange, asked.path == destination.path))
        });
        let told = there.filter(|(exchange, _)| {
            // What the door refused tells of the step, not of the receiver.
            let refused =
                |code: &str| matches!(code, "denied" | "address-denied" | "invalid-request" | "budget" | "too-large");
            !exchange.error.as_ref().is_some_and(|error| refused(&error.code))
        });
        let told: Vec<_> = told.collect();
        let (last, is_authored) = told.iter().find(|(_, is_authored)| *is_authored).or(told.first()).copied()?;
        if let Some(error) = &last.error {
            // Who gives a receiver next to no time learns nothing about it, and must not shut it to others.
            if error.code == "timeout" && last.duration_ms < PATIENCE_MS {
                return None;
            }
            let status = last.response.as_ref().map(|response| response.status);
            return Some(Self::Sick { status, error: error.message.clone() });
        }
        let status = last.response.as_ref()?.status;
        Some(match status {
            // Of another resource of the same server: it speaks of that one.
            410 if !is_authored && destination.is_literal => Self::Well { status },
            410 => Self::Gone,
            429 => Self::Busy,
            408 | 425 | 500..=599 => Self::Sick { status: Some(status), error: format!("it answered {status}") },
            status => Self::Well { status },
        })
    }
}

#[cfg(test)]
mod tests;
