//! Digests: what several steps have to say, as one message. What is collected lies under one key of the plugin; the step that opened it waits, and
//! sends it when its time is over. If that step is gone by then, the next one that has something to say takes over what was collected.

use std::time::Duration;

use flowcell_sdk::key_value::{self, Entry, Expected, Write};
use flowcell_sdk::{ActionError, Context};
use serde::{Deserialize, Serialize};

use super::{KEPT, Message};

/// Messages that a digest shows; those beyond are counted. Together they stay below what one value may hold (64 KiB).
const SHOWN_MAX: usize = 50;

/// Characters of a text in a digest: its beginning.
const TEXT_CHARS_MAX: usize = 300;

/// How long after its time a digest is left to the step that opened it: what a machine takes to come back, and a mail server to answer.
const OVERDUE: Duration = Duration::from_mins(15);

/// How often a change is made again that somebody else's was before: each try sees a newer digest.
const TRIES: usize = 30;

/// What was collected under a key.
#[derive(Serialize, Deserialize, Default, Clone)]
#[serde(default)]
struct Collected {
    /// The key of the step that waits to send it.
    opened_by: Option<String>,
    entries: Vec<Item>,
    more: u32,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The step's key: it is there once, however often the step is tried.
    id: String,
    title: String,
    text: Option<String>,
    link: Option<String>,
}

/// What the step itself knows.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(super) struct Own {
    waits: bool,
    /// What it sends.
    pub(super) batch: Vec<Item>,
    more: u32,
}

pub(super) enum Turn {
    /// Another step sends it.
    Joined,
    /// It was opened: it is this step's to send, later.
    Wait,
    /// Its time is over.
    Send,
}

/// What the step does now. `key` comes with how long the digest is open.
pub(super) fn turn(
    ctx: &Context,
    (key, open): (&str, Duration),
    message: &Message,
    own: &mut Own,
) -> Result<Turn, ActionError> {
    if !own.batch.is_empty() {
        return Ok(Turn::Send);
    }
    let me = &ctx.idempotency_key;
    for _ in 0..TRIES {
        let (mut collected, expected) = read(key)?;
        if own.waits {
            if collected.opened_by.as_ref() != Some(me) {
                // It was taken over while this step was held up: what it had to say went with it.
                return Ok(Turn::Joined);
            }
            if collected.entries.is_empty() {
                add(&mut collected, me, message);
            }
            (own.batch, own.more) = (collected.entries, collected.more);
            return Ok(Turn::Send);
        }
        let is_there = collected.entries.iter().any(|item| item.id == *me);
        if !is_there {
            add(&mut collected, me, message);
        }
        let is_waited_for = match &collected.opened_by {
            Some(by) if by != me => key_value::plugin().get::<String>(&marker(key))?.is_some(),
            _ => false,
        };
        if !is_waited_for {
            collected.opened_by = Some(me.clone());
        }
        match key_value::plugin().set(&place(key), &collected, Write { ttl: Some(KEPT), expected }) {
            Ok(_) if collected.opened_by.as_ref() == Some(me) => {
                own.waits = true;
                // Gone when whoever waits is overdue.
                let ttl = Some(open + OVERDUE);
                key_value::plugin().set(&marker(key), me, Write { ttl, ..Write::default() })?;
                return Ok(Turn::Wait);
            }
            Ok(_) => return Ok(Turn::Joined),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ActionError::transient(
        "so many steps write to this digest at the same time that this one did not get its turn",
    ))
}

/// Takes what is sent now out of the digest; what came since stays, and whoever comes next opens it anew.
pub(super) fn close(ctx: &Context, key: &str, own: &Own) -> Result<(), ActionError> {
    for _ in 0..TRIES {
        let (mut collected, expected) = read(key)?;
        if collected.opened_by.as_ref() != Some(&ctx.idempotency_key) {
            return Ok(());
        }
        collected.entries.retain(|item| !own.batch.contains(item));
        collected.more = collected.more.saturating_sub(own.more);
        collected.opened_by = None;
        match key_value::plugin().set(&place(key), &collected, Write { ttl: Some(KEPT), expected }) {
            Ok(_) => {
                key_value::plugin().delete(&marker(key), Expected::Anything)?;
                return Ok(());
            }
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ActionError::transient("so many steps write to this digest at the same time that it could not be closed"))
}

/// One message of all of them; a single one stays as it was.
#[expect(clippy::needless_pass_by_value, reason = "what it returns takes its place")]
pub(super) fn combined(message: Message, own: &Own) -> Message {
    let [item] = own.batch.as_slice() else {
        let count = own.batch.len() + own.more as usize;
        let lines = own.batch.iter().map(|item| {
            let parts = [Some(item.title.as_str()), item.text.as_deref(), item.link.as_deref()];
            format!("• {}", parts.into_iter().flatten().collect::<Vec<_>>().join("\n  "))
        });
        let more = (own.more > 0).then(|| format!("and {} more", own.more));
        let text = lines.chain(more).collect::<Vec<_>>().join("\n");
        let title = own.batch.first().map_or(message.title.as_str(), |item| item.title.as_str());
        let title = format!("{count} messages: {title} …").chars().take(200).collect();
        return Message { title, text: Some(text), link: None, ..message };
    };
    Message { title: item.title.clone(), text: item.text.clone(), link: item.link.clone(), ..message }
}

fn add(collected: &mut Collected, id: &str, message: &Message) {
    if collected.entries.len() >= SHOWN_MAX {
        collected.more = collected.more.saturating_add(1);
        return;
    }
    let short = |text: &String| text.chars().take(TEXT_CHARS_MAX).collect();
    collected.entries.push(Item {
        id: id.to_owned(),
        title: message.title.clone(),
        text: message.text.as_ref().map(short),
        link: message.link.clone(),
    });
}

fn read(key: &str) -> Result<(Collected, Expected), ActionError> {
    Ok(match key_value::plugin().get::<Collected>(&place(key))? {
        Some(Entry { value, version, .. }) => (value, Expected::Version(version)),
        None => (Collected::default(), Expected::Absent),
    })
}

fn place(key: &str) -> String {
    format!("digest/{key}")
}

fn marker(key: &str) -> String {
    format!("digest-open/{key}")
}
