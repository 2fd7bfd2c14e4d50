//! The host, played for unit tests: scripted HTTP answers, captured log lines, a context. Runs under plain `cargo test`.
//!
//! ```
//! # use flowcell_sdk::{ActionError, Context, Input, Output, http::Request};
//! # #[derive(Input)] struct Note { text: String }
//! # #[derive(Output)] struct Sent { id: u64 }
//! # fn send(_: &Context, note: Note) -> Result<Sent, ActionError> {
//! #     let answer: serde_json::Value =
//! #         Request::post("https://api.example.com/notes").json(&note.text).send()?.error_for_status()?.json()?;
//! #     Ok(Sent { id: answer["id"].as_u64().unwrap_or(0) })
//! # }
//! use flowcell_sdk::test::{Answer, Harness};
//! use serde_json::json;
//!
//! let host = Harness::new();
//! host.expect("POST", "https://api.example.com/notes", Answer::status(201).json(&json!({"id": 7})));
//! let output = host.call(send, json!({"text": "hello"})).unwrap();
//! assert_eq!(output, json!({"id": 7}));
//! assert_eq!(host.requests()[0].body, b"\"hello\"");
//! ```
//! `key_value`, `mail`, `inbox`, `contacts` and `connection` are played in memory: prepare them with [`Harness::add_person`], [`Harness::add_contact`],
//! [`Harness::set_connection`], and look at what became of them. A request that nothing expects panics, and so does the harness's end while something expected has not happened.

#![expect(clippy::missing_panics_doc, reason = "everything here panics when a test is wrong: that is its answer")]
#![expect(clippy::needless_pass_by_value, reason = "`json!` in the call reads best without a borrow")]

mod answer;
mod contacts;
pub(crate) mod host;
mod key_value;

pub use answer::Answer;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::connection::Facts;
use crate::http::Request;
use crate::log::Level;
use crate::mail::Message;
use crate::options::{Options, OptionsQuery};
use crate::poll::Polled;
use crate::register::{call_action, call_options, call_poll, call_subscribe, call_trigger, call_unsubscribe};
use crate::subscription::{Subscribe, Subscription};
use crate::trigger::{Event, Outcome, WebhookRequest};
use crate::{ActionError, Context, HostError, Input, Output, Plugin};

thread_local! {
    /// Guests call plain functions, so the double stands beside the call: one for each thread, as each test has its own.
    static DOUBLE: RefCell<Option<Double>> = const { RefCell::new(None) };
}

/// Answers each request by itself: a whole service, played.
type Answering = Box<dyn FnMut(&Request) -> Answer>;

#[derive(Default)]
struct Double {
    expected: VecDeque<(String, String, Answer)>,
    answering: Option<Answering>,
    requests: Vec<Request>,
    lines: Vec<(Level, String)>,
    /// What the next calls of other interfaces than HTTP fail with.
    failures: VecDeque<HostError>,
    /// What fails after so many calls.
    later: Option<(usize, HostError)>,
    values: key_value::Values,
    mails: Vec<Message>,
    /// Addresses that the mail server refuses.
    unknown: Vec<String>,
    notifications: Vec<Value>,
    people: Vec<Value>,
    contacts: contacts::Contacts,
    connection: Option<Facts>,
}

impl Double {
    fn is_due(&mut self) -> Option<HostError> {
        let (calls, error) = self.later.take()?;
        match calls.checked_sub(1) {
            Some(calls) => {
                self.later = Some((calls, error));
                None
            }
            None => Some(error),
        }
    }

    fn people_of(&self, audience: &Value) -> Vec<Value> {
        let listed = |key: &str, value: &Value| audience[key].as_array().is_some_and(|listed| listed.contains(value));
        let is_meant = |person: &&Value| {
            let roles = person["roles"].as_array();
            audience["everyone"] == true
                || listed("users", &person["id"])
                || roles.is_some_and(|roles| roles.iter().any(|role| listed("roles", role)))
        };
        self.people.iter().filter(is_meant).cloned().collect()
    }
}

/// The host, for one test on one thread.
#[derive(Debug)]
pub struct Harness {
    pub context: Context,
    bound_to_thread: PhantomData<*const ()>,
}

impl Harness {
    /// Takes the host's place on this thread until it is dropped.
    #[expect(clippy::new_without_default, reason = "it takes a place; a default value should not")]
    pub fn new() -> Self {
        DOUBLE.with_borrow_mut(|double| {
            assert!(double.is_none(), "one test::Harness at a time on a thread");
            *double = Some(Double::default());
        });
        Self { context: context(), bound_to_thread: PhantomData }
    }

    /// The next request must be this one, and is answered so. Call it once for each request, in their order.
    pub fn expect(&self, method: &str, url: &str, answer: Answer) {
        with(|double| double.expected.push_back((method.to_owned(), url.to_owned(), answer)));
    }

    /// From now on, requests are answered by a service that is played, in whatever order they come.
    pub fn answer_with(&self, answering: impl FnMut(&Request) -> Answer + 'static) {
        with(|double| double.answering = Some(Box::new(answering)));
    }

    /// What was sent so far.
    pub fn requests(&self) -> Vec<Request> {
        with(|double| double.requests.clone())
    }

    /// What was logged so far.
    pub fn lines(&self) -> Vec<(Level, String)> {
        with(|double| double.lines.clone())
    }

    /// Runs an action as the host would: JSON in, JSON out.
    pub fn call<I: Input, O: Output>(
        &self,
        action: fn(&Context, I) -> Result<O, ActionError>,
        input: Value,
    ) -> Result<Value, ActionError> {
        call_action(action, &self.context, &input.to_string()).map(|output| value(&output))
    }

    /// Asks a trigger as the host would what a request means.
    pub fn request<C: Input, O: Output>(
        &self,
        trigger: fn(&Context, C, WebhookRequest) -> Result<Outcome<O>, ActionError>,
        config: Value,
        request: WebhookRequest,
    ) -> Result<Outcome<Value>, ActionError> {
        call_trigger(trigger, &self.context, &config.to_string(), request)?.try_map(|payload| Ok(value(&payload)))
    }
}

/// What is not HTTP.
impl Harness {
    /// The next call of `key_value`, `mail`, `inbox` or `contacts` fails so. Call it once for each failure, in their order.
    pub fn fail(&self, error: HostError) {
        with(|double| double.failures.push_back(error));
    }

    /// As many calls go well before the next one fails so.
    pub fn fail_after(&self, calls: usize, error: HostError) {
        with(|double| double.later = Some((calls, error)));
    }

    /// Lets time pass for what `key_value` keeps.
    pub fn advance(&self, time: Duration) {
        with(|double| double.values.now_ms += u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// The mail server will refuse this address.
    pub fn refuse_mail_to(&self, address: &str) {
        with(|double| double.unknown.push(address.to_owned()));
    }

    /// What was sent so far.
    pub fn mails(&self) -> Vec<Message> {
        with(|double| double.mails.clone())
    }

    /// `{"id", "name", "email"?, "phone"?, "roles"?, "quiet_hours"?, "channels"?}`.
    pub fn add_person(&self, person: Value) {
        with(|double| double.people.push(person));
    }

    /// What was put into the inbox so far.
    pub fn notifications(&self) -> Vec<Value> {
        with(|double| double.notifications.clone())
    }

    /// Returns it with its id.
    pub fn add_contact(&self, contact: Value) -> Value {
        with(|double| double.contacts.add(contact))
    }

    pub fn contacts(&self) -> Vec<Value> {
        with(|double| double.contacts.all.clone())
    }

    /// The id of the run's contact.
    pub fn enrolled(&self) -> Option<String> {
        with(|double| double.contacts.enrolled.clone())
    }

    pub fn set_connection(&self, facts: Facts) {
        with(|double| double.connection = Some(facts));
    }

    /// Asks a polling trigger as the host would. Cursors are JSON here.
    #[expect(clippy::type_complexity, reason = "the signature that authors write, spelled out")]
    pub fn poll<C: Input, O: Output, Cursor: Serialize + DeserializeOwned>(
        &self,
        poll: fn(&Context, C, Option<Cursor>) -> Result<Polled<O, Cursor>, ActionError>,
        config: Value,
        cursor: Option<Value>,
    ) -> Result<Polled<Value, Value>, ActionError> {
        let polled = call_poll(poll, &self.context, &config.to_string(), cursor.map(|cursor| cursor.to_string()))?;
        let events = polled.events.into_iter();
        Ok(Polled {
            events: events
                .map(|event| Event { payload: value(&event.payload), dedupe_key: event.dedupe_key })
                .collect(),
            cursor: polled.cursor.map(|cursor| value(&cursor)),
            more: polled.more,
        })
    }

    /// Registers a trigger's URL as the host would. Registrations are JSON here.
    #[expect(clippy::type_complexity, reason = "the signature that authors write, spelled out")]
    pub fn subscribe<C: Input, R: Serialize + DeserializeOwned>(
        &self,
        subscribe: fn(&Context, C, Subscribe<R>) -> Result<Subscription<R>, ActionError>,
        config: Value,
        wanted: Subscribe<Value>,
    ) -> Result<Subscription<Value>, ActionError> {
        let registration = wanted.registration.map(|registration| registration.to_string());
        let wanted = Subscribe { callback_url: wanted.callback_url, registration };
        let made = call_subscribe(subscribe, &self.context, &config.to_string(), wanted)?;
        Ok(Subscription { registration: value(&made.registration), renew_before: made.renew_before })
    }

    pub fn unsubscribe<C: Input, R: DeserializeOwned>(
        &self,
        unsubscribe: fn(&Context, C, R) -> Result<(), ActionError>,
        config: Value,
        registration: Value,
    ) -> Result<(), ActionError> {
        call_unsubscribe(unsubscribe, &self.context, &config.to_string(), &registration.to_string())
    }

    /// Asks for the choices of a field as the host would.
    pub fn options(
        &self,
        choose: fn(&Context, &str, &Value, OptionsQuery) -> Result<Options, ActionError>,
        field: &str,
        input: Value,
        query: OptionsQuery,
    ) -> Result<Value, ActionError> {
        call_options(choose, &self.context, (field, &input.to_string()), query).map(|choices| value(&choices))
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        let double = DOUBLE.take();
        if let Some((method, url, _)) = double.as_ref().and_then(|double| double.expected.front())
            && !std::thread::panicking()
        {
            panic!("the plugin never sent {method} {url}");
        }
    }
}

/// The schemas that a plugin's types gave, one object for each action and trigger (SCHEMAS.md).
pub fn schemas<P: Plugin>() -> Vec<Value> {
    P::SCHEMAS.iter().map(|line| serde_json::from_slice(line).expect("the SDK writes JSON")).collect()
}

/// A context like those of a run's first attempt.
pub fn context() -> Context {
    Context {
        workspace: "default".to_owned(),
        workflow: "test".to_owned(),
        run: "run_01JTESTTESTTESTTESTTESTTES".to_owned(),
        step: "step".to_owned(),
        attempt: 1,
        idempotency_key: "key-of-this-step".to_owned(),
        deadline_ms: 1_767_225_600_000,
    }
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("the SDK writes JSON")
}

fn with<T>(work: impl FnOnce(&mut Double) -> T) -> T {
    DOUBLE.with_borrow_mut(|double| {
        work(
            double.as_mut().expect(
                "the code under test calls the host: create a flowcell_sdk::test::Harness first, on this thread",
            ),
        )
    })
}

#[cfg(test)]
mod tests;
