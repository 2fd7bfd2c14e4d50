//! Triggers that ask from time to time what is new: `kind = "poll"` in `plugin.toml`, `polls: { "row-changed" => row_changed }` in `plugin!`.
//!
//! ```
//! use flowcell_sdk::poll::Polled;
//! use flowcell_sdk::trigger::Event;
//! use flowcell_sdk::{ActionError, Context};
//! use serde_json::{Value, json};
//!
//! fn rows(_: &Context, config: Value, cursor: Option<u64>) -> Result<Polled<Value, u64>, ActionError> {
//!     let next = cursor.unwrap_or(0) + 1;
//!     let event = Event::new(json!({ "row": next })).dedupe_key(format!("row-{next}"));
//!     Ok(Polled { events: vec![event], cursor: Some(next), more: false })
//! }
//! ```
//! The host stores the cursor in one transaction with the runs of the events. A poll that dies before is made again with the cursor of before: give
//! events a dedupe key if what they are about could come twice for another reason. A first poll gets no cursor; it should begin with now.

use serde::Serialize;

use crate::ActionError;
use crate::trigger::Event;

/// What a poll brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Polled<E, C> {
    /// Each starts a run; at most 100.
    pub events: Vec<Event<E>>,
    /// Where the next poll goes on; at most 256 KiB as JSON. `None` begins anew.
    pub cursor: Option<C>,
    /// More is there already: the host polls again at once.
    pub more: bool,
}

impl<E, C> Polled<E, C> {
    /// Nothing new.
    pub fn nothing(cursor: Option<C>) -> Self {
        Self { events: Vec::new(), cursor, more: false }
    }
}

impl<E: Serialize, C: Serialize> Polled<E, C> {
    pub(crate) fn encode(self) -> Result<Polled<String, String>, ActionError> {
        let json = |value: Result<String, serde_json::Error>, what: &str| {
            value.map_err(|error| ActionError::permanent("invalid-output", format!("{what} has no JSON form: {error}")))
        };
        let events = self.events.into_iter().map(|event| {
            Ok(Event {
                payload: json(serde_json::to_string(&event.payload), "an event")?,
                dedupe_key: event.dedupe_key,
            })
        });
        Ok(Polled {
            events: events.collect::<Result<_, ActionError>>()?,
            cursor: self.cursor.map(|cursor| json(serde_json::to_string(&cursor), "the cursor")).transpose()?,
            more: self.more,
        })
    }
}
