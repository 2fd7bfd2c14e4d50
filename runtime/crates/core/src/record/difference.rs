//! What went differently in a replay: the first thing, in the order it happened, with both sides.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{RecordedFailure, Recording};
use crate::exchange::{Exchange, RecordedBody};
use crate::host_call::HostCall;
use crate::invoke::{CallRecord, InvokeError};

/// Of a value in an explanation. 200 characters: as in the explanation of a condition.
const SHOWN_CHARS_MAX: usize = 200;

/// The first thing that was not as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Difference {
    /// It asked for something else. `part` is `method`, `url`, `headers` or `body`.
    Request { number: u32, part: &'static str, recorded: String, now: String },
    /// It asked for more than was recorded.
    NewRequest { number: u32, now: String },
    /// It no longer asked for this.
    MissingRequest { number: u32, recorded: String },
    /// The record does not hold the answer whole, so nothing can be said of what comes after it.
    NotKept { number: u32, recorded: String },
    /// It asked the host for something else.
    HostCall { number: u32, recorded: String, now: String },
    /// It asked the host for more than was recorded.
    NewHostCall { number: u32, now: String },
    /// It no longer asked the host for this.
    MissingHostCall { number: u32, recorded: String },
    /// The record does not hold what the host answered, so nothing can be said of what comes after it.
    HostAnswerNotKept { number: u32, recorded: String },
    /// It returned something else. `pointer` leads to the first place.
    Output { pointer: String, recorded: String, now: String },
    /// It failed where it had succeeded, succeeded where it had failed, or failed otherwise.
    Outcome { recorded: String, now: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { number, part, recorded, now } => {
                write!(f, "request {number} differs in its {part}: recorded {recorded}, now {now}")
            }
            Self::NewRequest { number, now } => write!(f, "request {number} is new: {now}"),
            Self::MissingRequest { number, recorded } => {
                write!(f, "request {number} is no longer made; recorded was {recorded}")
            }
            Self::NotKept { number, recorded } => write!(
                f,
                "the answer to request {number} ({recorded}) was not kept whole, so what comes after it cannot be compared; `egress.recorded_whole_bytes_max` says how large a body may be that is kept"
            ),
            Self::HostCall { number, recorded, now } => {
                write!(f, "host call {number} differs: recorded {recorded}, now {now}")
            }
            Self::NewHostCall { number, now } => write!(f, "host call {number} is new: {now}"),
            Self::MissingHostCall { number, recorded } => {
                write!(f, "host call {number} is no longer made; recorded was {recorded}")
            }
            Self::HostAnswerNotKept { number, recorded } => write!(
                f,
                "the answer to host call {number} ({recorded}) was too large to be kept, so what comes after it cannot be compared"
            ),
            Self::Output { pointer, recorded, now } => {
                let place = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
                write!(f, "the output differs{place}: recorded {recorded}, now {now}")
            }
            Self::Outcome { recorded, now } => write!(f, "it ended otherwise: recorded was {recorded}, now {now}"),
        }
    }
}

/// Compares a replay with what it replays.
pub fn first_difference(
    recording: &Recording,
    outcome: &Result<Value, InvokeError>,
    record: &CallRecord,
) -> Option<Difference> {
    requests(&recording.record.http, &record.http)
        .or_else(|| host_calls(&recording.record.host, &record.host))
        .or_else(|| outcomes(&recording.outcome, outcome))
}

fn host_calls(recorded: &[HostCall], now: &[HostCall]) -> Option<Difference> {
    let line = |call: &HostCall| shown(&format!("{} {}", call.call, call.request));
    for (before, after) in recorded.iter().zip(now) {
        let number = before.number;
        if !before.truncated && !after.truncated && (&before.call, &before.request) != (&after.call, &after.request) {
            return Some(Difference::HostCall { number, recorded: line(before), now: line(after) });
        }
        if before.truncated && before.outcome.is_ok() {
            return Some(Difference::HostAnswerNotKept { number, recorded: before.call.clone() });
        }
    }
    match (recorded.get(now.len()), now.get(recorded.len())) {
        (Some(missing), _) => Some(Difference::MissingHostCall { number: missing.number, recorded: line(missing) }),
        (None, Some(new)) => Some(Difference::NewHostCall { number: new.number, now: line(new) }),
        (None, None) => None,
    }
}

fn requests(recorded: &[Exchange], now: &[Exchange]) -> Option<Difference> {
    for (before, after) in recorded.iter().zip(now) {
        let number = before.number;
        let (was, is) = (&before.request, &after.request);
        let differs = |part, recorded: String, now: String| {
            Some(Difference::Request { number, part, recorded: shown(&recorded), now: shown(&now) })
        };
        if was.method != is.method {
            return differs("method", was.method.clone(), is.method.clone());
        }
        if was.url != is.url {
            return differs("url", was.url.clone(), is.url.clone());
        }
        if was.headers != is.headers {
            let (was, is) = first_unequal(&was.headers, &is.headers);
            return differs("headers", header(was), header(is));
        }
        if !was.body.is_same_as(&is.body) {
            return differs("body", body(&was.body), body(&is.body));
        }
        let kept = before.error.is_some() || before.response.as_ref().is_some_and(|got| got.body.whole().is_some());
        if !kept {
            return Some(Difference::NotKept { number, recorded: line(before) });
        }
    }
    match (recorded.get(now.len()), now.get(recorded.len())) {
        (Some(missing), _) => Some(Difference::MissingRequest { number: missing.number, recorded: line(missing) }),
        (None, Some(new)) => Some(Difference::NewRequest { number: new.number, now: line(new) }),
        (None, None) => None,
    }
}

fn outcomes(recorded: &Result<Value, RecordedFailure>, now: &Result<Value, InvokeError>) -> Option<Difference> {
    let failed = |code: &str, message: &str| format!("the error `{code}` ({})", shown(message));
    match (recorded, now) {
        (Ok(was), Ok(is)) => {
            let (pointer, was, is) = unequal(was, is, String::new())?;
            Some(Difference::Output { pointer, recorded: was, now: is })
        }
        (Err(was), Err(is)) => (was.code != is.code()).then(|| Difference::Outcome {
            recorded: failed(&was.code, &was.message),
            now: failed(is.code(), &is.to_string()),
        }),
        (Ok(was), Err(is)) => Some(Difference::Outcome {
            recorded: format!("the output {}", shown(&was.to_string())),
            now: failed(is.code(), &is.to_string()),
        }),
        (Err(was), Ok(is)) => Some(Difference::Outcome {
            recorded: failed(&was.code, &was.message),
            now: format!("the output {}", shown(&is.to_string())),
        }),
    }
}

/// Where two documents differ first, and how.
fn unequal(was: &Value, is: &Value, pointer: String) -> Option<(String, String, String)> {
    const NOTHING: &str = "nothing";
    let text = |value: Option<&Value>| value.map_or_else(|| NOTHING.to_owned(), |value| shown(&value.to_string()));
    match (was, is) {
        _ if was == is => None,
        (Value::Object(before), Value::Object(after)) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort();
            keys.into_iter().find_map(|key| {
                let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (before.get(key), after.get(key)) {
                    (Some(was), Some(is)) => unequal(was, is, below),
                    (was, is) => Some((below, text(was), text(is))),
                }
            })
        }
        (Value::Array(before), Value::Array(after)) => (0..before.len().max(after.len())).find_map(|index| {
            let below = format!("{pointer}/{index}");
            match (before.get(index), after.get(index)) {
                (Some(was), Some(is)) => unequal(was, is, below),
                (was, is) => Some((below, text(was), text(is))),
            }
        }),
        _ => Some((pointer, text(Some(was)), text(Some(is)))),
    }
}

type Header = (String, String);

fn first_unequal<'h>(was: &'h [Header], is: &'h [Header]) -> (Option<&'h Header>, Option<&'h Header>) {
    let at = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    (was.get(at), is.get(at))
}

fn header(header: Option<&Header>) -> String {
    header.map_or_else(|| "no such header".to_owned(), |(name, value)| format!("{name}: {value}"))
}

fn body(body: &RecordedBody) -> String {
    match &body.text {
        Some(text) => format!("{} ({} bytes)", shown(text), body.bytes),
        None => format!("{} bytes", body.bytes),
    }
}

fn line(exchange: &Exchange) -> String {
    shown(&format!("{} {}", exchange.request.method, exchange.request.url))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
