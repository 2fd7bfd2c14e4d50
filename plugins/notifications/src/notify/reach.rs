//! One person, one message: the channels in their order, until one takes it.

use flowcell_sdk::inbox::{Audience, Notification, Person};
use flowcell_sdk::mail;
use flowcell_sdk::{ActionError, Context, connection};

use super::{Call, Channel, Message, Report, Tried, Why};
use crate::twilio::Place;
use crate::{slack, twilio};

pub(super) enum Reached {
    By(Report),
    ByNothing(Report),
    Later(Why),
}

/// Why a channel was not used, or did not work.
enum Passed {
    /// It is not for this person, or not for this step.
    Not(String),
    Failed(ActionError),
}

pub(super) fn reach(ctx: &Context, call: &Call, (person, message): (&Person, &Message)) -> Reached {
    let mut report = Report { id: person.id.clone(), ..Report::default() };
    let mut failed = None;
    for channel in order(call, person) {
        if let (true, Some(wait_ms)) = (channel.disturbs() && !message.is_urgent(), person.quiet_for_ms)
            && address(channel, person).is_ok()
            && is_open(channel)
        {
            // It would be taken: the person is told by it when they may be disturbed.
            return Reached::Later(Why::Quiet { wait_ms });
        }
        let why = match tell(ctx, call, channel, (person, message)) {
            Ok(()) => {
                report.channel = Some(channel.as_str().to_owned());
                return Reached::By(report);
            }
            Err(Passed::Not(why)) => why,
            Err(Passed::Failed(error)) => {
                let why = error.message.clone();
                if error.retryable || error.code == "unauthorized" {
                    failed.get_or_insert(error);
                }
                why
            }
        };
        report.tried.push(Tried { channel: channel.as_str().to_owned(), why });
    }
    match failed {
        Some(error) => Reached::Later(Why::Failed(error)),
        None => Reached::ByNothing(report),
    }
}

/// The person's own order, as far as the step allows it; then the step's.
fn order(call: &Call, person: &Person) -> Vec<Channel> {
    let named = |name: &String| call.channels.iter().copied().find(|channel| channel.as_str() == name);
    let own: Vec<Channel> = person.channels.iter().filter_map(named).collect();
    let rest = call.channels.iter().copied().filter(|channel| !own.contains(channel));
    own.iter().copied().chain(rest).collect()
}

/// Where the channel leads for this person; the inbox knows users alone.
fn address(channel: Channel, person: &Person) -> Result<&str, Passed> {
    let (address, what) = match channel {
        Channel::InApp => {
            let is_user = person.email.as_ref() != Some(&person.id) && person.phone.as_ref() != Some(&person.id);
            (is_user.then_some(&person.id), "this is no user of the workspace")
        }
        Channel::Email | Channel::Slack => (person.email.as_ref(), "there is no e-mail address"),
        Channel::Sms | Channel::Whatsapp => (person.phone.as_ref(), "there is no telephone number"),
    };
    address.map(String::as_str).ok_or_else(|| Passed::Not(what.to_owned()))
}

/// Whether the step's connection is one that the channel works with.
fn is_open(channel: Channel) -> bool {
    let kind = connection::facts().and_then(|facts| facts.kind);
    match channel {
        Channel::InApp => true,
        Channel::Email => kind.as_deref() == Some("smtp"),
        Channel::Slack => kind.as_deref() == Some("bearer"),
        Channel::Sms | Channel::Whatsapp => kind.as_deref() == Some("basic"),
    }
}

fn tell(ctx: &Context, call: &Call, channel: Channel, (person, message): (&Person, &Message)) -> Result<(), Passed> {
    let address = address(channel, person)?;
    if !is_open(channel) {
        return Err(Passed::Not("the step has no connection for it".to_owned()));
    }
    let key = format!("{}/{}", channel.as_str(), person.id);
    let told = match channel {
        Channel::InApp => in_app(&key, address, message),
        Channel::Email => email(&key, address, message),
        Channel::Slack => {
            let key = format!("{}/{key}", ctx.idempotency_key);
            slack::tell(call.server.as_deref(), (address, &message.whole()), &key)
        }
        Channel::Sms | Channel::Whatsapp => {
            let from = call
                .from
                .as_deref()
                .ok_or_else(|| Passed::Not("the step names no number to send `from`".to_owned()))?;
            let place = Place { account: call.account.clone(), server: call.server.clone() };
            twilio::tell(channel.as_str(), (address, from, &message.whole()), &place)
        }
    };
    told.map_err(Passed::Failed)
}

fn in_app(key: &str, user: &str, message: &Message) -> Result<(), ActionError> {
    let to = Audience { users: vec![user.to_owned()], ..Audience::default() };
    let notification = Notification {
        body: message.text.as_deref().map(short),
        link: message.link.clone(),
        priority: Some(message.priority.as_str().to_owned()),
        key: Some(key.to_owned()),
        ..Notification::new(to, message.title.clone())
    };
    notification.send()?;
    Ok(())
}

/// The most that an inbox takes of a text, in bytes.
const BODY_BYTES_MAX: usize = 2_000;

fn short(text: &str) -> String {
    if text.len() <= BODY_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(BODY_BYTES_MAX - '…'.len_utf8());
    format!("{}…", text.get(..end).unwrap_or_default())
}

fn email(key: &str, address: &str, message: &Message) -> Result<(), ActionError> {
    let parts = [message.text.as_deref(), message.link.as_deref()];
    let text: Vec<&str> = parts.into_iter().flatten().collect();
    let text = if text.is_empty() { message.title.clone() } else { text.join("\n\n") };
    let receipt = mail::Message::new(address, message.title.clone()).text(text).key(key).send()?;
    match receipt.rejected.into_iter().next() {
        Some((address, said)) => {
            Err(ActionError::permanent("rejected", format!("the mail server does not take {address}: {said}")))
        }
        None => Ok(()),
    }
}

impl Message {
    fn is_urgent(&self) -> bool {
        self.priority == crate::in_app::Priority::Urgent
    }

    /// All of it, for channels that know texts alone.
    fn whole(&self) -> String {
        let parts = [Some(self.title.as_str()), self.text.as_deref(), self.link.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}
