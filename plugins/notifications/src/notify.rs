//! The action `notify`: tells people, each by the first channel that works.
//!
//! Who was told is written down as soon as they were, so that an attempt that is made again goes on with the others. Who wants to be left alone, or
//! can be reached by nothing at the moment, makes the step wait and try again; nobody is forgotten. A digest is opened by the first step that has
//! something for it; that step waits until its time is over and sends everything that came meanwhile as one message.

mod digest;
mod reach;

use std::collections::BTreeMap;
use std::time::Duration;

use flowcell_sdk::inbox::{Audience, Person, people};
use flowcell_sdk::key_value::{self, Write};
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde::{Deserialize, Serialize};

use crate::in_app::Priority;
use digest::Turn;
use reach::Reached;

/// How long a step's own notes are kept: longer than it waits and is tried again.
const KEPT: Duration = Duration::from_hours(14 * 24);

/// The code by which a step says that it has time: it is made again then, and no attempt is used up.
const DEFERRED: &str = "deferred";

#[derive(Input)]
pub(crate) struct Call {
    /// Users by their ids.
    #[serde(default)]
    users: Vec<String>,
    /// Everybody who has one of these roles.
    #[serde(default)]
    roles: Vec<String>,
    /// Every user of the workspace.
    #[serde(default)]
    everyone: bool,
    /// People who are no users: e-mail addresses and telephone numbers (E.164).
    #[serde(default)]
    #[input(max_items = 100)]
    addresses: Vec<String>,
    /// One line: the subject of a mail, the first line elsewhere.
    #[input(example = "An invoice is paid", max_length = 200)]
    title: String,
    #[input(multiline)]
    text: Option<String>,
    /// Where to read on.
    #[input(max_length = 1000)]
    link: Option<String>,
    /// "urgent" disturbs in quiet hours, too.
    #[serde(default)]
    priority: Priority,
    /// The channels that may be used, the first one first; a user's own order goes before. Beside the inbox only those of the step's connection work:
    /// email (smtp), sms and whatsapp (Twilio), slack (a bot's token).
    #[serde(default = "all")]
    #[input(default = ["in-app", "email", "slack", "sms", "whatsapp"], min_items = 1)]
    channels: Vec<Channel>,
    /// sms, whatsapp: your number, or a messaging service.
    from: Option<String>,
    /// sms, whatsapp: the account's SID, where the connection's user name is an API key.
    account: Option<String>,
    /// Another server of Twilio or Slack.
    #[input(format = "uri")]
    server: Option<String>,
    /// Collect messages for a while and send them as one.
    digest: Option<Digest>,
}

#[derive(Input, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Channel {
    InApp,
    Email,
    Slack,
    Sms,
    Whatsapp,
}

#[derive(Input)]
struct Digest {
    /// What is collected together; without one, what this step of this workflow says.
    #[input(max_length = 200)]
    key: Option<String>,
    /// How long, in minutes.
    #[input(minimum = 1, maximum = 1440)]
    minutes: u32,
}

fn all() -> Vec<Channel> {
    vec![Channel::InApp, Channel::Email, Channel::Slack, Channel::Sms, Channel::Whatsapp]
}

impl Channel {
    fn as_str(self) -> &'static str {
        match self {
            Self::InApp => "in-app",
            Self::Email => "email",
            Self::Slack => "slack",
            Self::Sms => "sms",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// Quiet hours do not count for what nobody hears.
    fn disturbs(self) -> bool {
        self != Self::InApp
    }
}

#[derive(Output)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
pub(crate) struct Told {
    /// Each person who was told, and by what.
    told: Vec<Report>,
    /// Those whom nothing reached.
    unreached: Vec<Report>,
    /// "sent", or "joined": another step sends it with the rest. Null without a digest.
    digest: Option<String>,
    /// How many messages it was.
    messages: u32,
}

#[derive(Output, Deserialize, Clone, Default)]
struct Report {
    /// A user's id, or the address.
    id: String,
    /// The channel that took it; null when none did.
    channel: Option<String>,
    /// What was tried before, and why it did not work.
    tried: Vec<Tried>,
}

#[derive(Output, Deserialize, Clone)]
struct Tried {
    channel: String,
    why: String,
}

/// What the step has noted of itself.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Notes {
    told: BTreeMap<String, Report>,
    digest: digest::Own,
}

/// What is said.
struct Message {
    title: String,
    text: Option<String>,
    link: Option<String>,
    priority: Priority,
}

pub(crate) fn notify(ctx: &Context, call: Call) -> Result<Told, ActionError> {
    let place = format!("notify/{}", ctx.idempotency_key);
    let mut notes: Notes = key_value::workflow().get(&place)?.map(|entry| entry.value).unwrap_or_default();
    let people = audience(&call)?;
    let mut message = Message {
        title: call.title.clone(),
        text: call.text.clone(),
        link: call.link.clone(),
        priority: call.priority,
    };
    let mut messages = 1;
    if let Some(wanted) = &call.digest {
        let key = wanted.key.clone().unwrap_or_else(|| format!("{}/{}", ctx.workflow, ctx.step));
        let open = Duration::from_mins(u64::from(wanted.minutes));
        match digest::turn(ctx, (&key, open), &message, &mut notes.digest)? {
            Turn::Joined => {
                return Ok(Told {
                    told: Vec::new(),
                    unreached: Vec::new(),
                    digest: Some("joined".to_owned()),
                    messages: 1,
                });
            }
            Turn::Wait => {
                save(&place, &notes)?;
                let wait = u64::from(wanted.minutes) * 60_000;
                return Err(deferred("the digest is open, and is sent when its time is over", wait));
            }
            Turn::Send => {
                // Noted before it is taken out of the digest: what is sent now is never sent by another.
                save(&place, &notes)?;
                digest::close(ctx, &key, &notes.digest)?;
                messages = u32::try_from(notes.digest.batch.len()).unwrap_or(u32::MAX);
                message = digest::combined(message, &notes.digest);
            }
        }
    }
    let mut later = Later::default();
    let mut unreached = Vec::new();
    for person in &people {
        if notes.told.contains_key(&person.id) {
            continue;
        }
        match reach::reach(ctx, &call, (person, &message)) {
            Reached::By(report) => {
                notes.told.insert(person.id.clone(), report);
                save(&place, &notes)?;
            }
            Reached::ByNothing(report) => unreached.push(report),
            Reached::Later(why) => later.add(why),
        }
    }
    if let Some(error) = later.error() {
        return Err(error.detail("told", notes.told.len()));
    }
    let told: Vec<Report> = notes.told.into_values().collect();
    if told.is_empty() && !people.is_empty() {
        let all: Vec<String> = unreached.iter().map(Report::said).collect();
        let error = ActionError::permanent("unreached", format!("nobody could be told: {}", all.join("; ")));
        return Err(error.detail("unreached", unreached));
    }
    Ok(Told { told, unreached, digest: call.digest.map(|_| "sent".to_owned()), messages })
}

/// Everybody, each once.
fn audience(call: &Call) -> Result<Vec<Person>, ActionError> {
    let has_users = call.everyone || !call.users.is_empty() || !call.roles.is_empty();
    if !has_users && call.addresses.is_empty() {
        return Err(ActionError::invalid_input(
            "/users",
            "nobody is named: give `users`, `roles`, `everyone: true` or `addresses`",
        ));
    }
    let audience = Audience { users: call.users.clone(), roles: call.roles.clone(), everyone: call.everyone };
    let mut all = if has_users { people(&audience)? } else { Vec::new() };
    for (at, address) in call.addresses.iter().enumerate() {
        if all.iter().any(|person| person.email.as_ref() == Some(address) || person.phone.as_ref() == Some(address)) {
            continue;
        }
        let is_number =
            address.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_number && !address.contains('@') {
            let message = "this is neither an e-mail address nor a number such as +4930901820";
            return Err(ActionError::invalid_input(&format!("/addresses/{at}"), message));
        }
        let given = Some(address.clone());
        let (email, phone) = if is_number { (None, given) } else { (given, None) };
        all.push(Person { id: address.clone(), name: address.clone(), email, phone, ..Person::default() });
    }
    Ok(all)
}

fn save(place: &str, notes: &Notes) -> Result<(), ActionError> {
    key_value::workflow().set(place, notes, Write { ttl: Some(KEPT), ..Write::default() })?;
    Ok(())
}

fn deferred(why: &str, wait_ms: u64) -> ActionError {
    ActionError { code: DEFERRED.into(), ..ActionError::transient(why) }.retry_after_ms(wait_ms)
}

/// Why somebody is told later.
enum Why {
    Quiet { wait_ms: u64 },
    Failed(ActionError),
}

/// What the step waits for.
#[derive(Default)]
struct Later {
    quiet_ms: Option<u64>,
    failed: Option<ActionError>,
}

impl Later {
    fn add(&mut self, why: Why) {
        match why {
            Why::Quiet { wait_ms } => self.quiet_ms = Some(self.quiet_ms.map_or(wait_ms, |wait| wait.min(wait_ms))),
            Why::Failed(error) => drop(self.failed.get_or_insert(error)),
        }
    }

    /// A failure is tried again as the step's `retry` says; quiet hours are only waited for.
    fn error(self) -> Option<ActionError> {
        let quiet = self.quiet_ms.map(|wait| deferred("somebody has quiet hours, and is told when they end", wait));
        self.failed.or(quiet)
    }
}

impl Report {
    fn said(&self) -> String {
        let tried: Vec<String> = self.tried.iter().map(|tried| format!("{}: {}", tried.channel, tried.why)).collect();
        format!("{} ({})", self.id, tried.join(", "))
    }
}

#[cfg(test)]
mod tests;
