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
//! A request that nothing expects panics, and so does the harness's end while something expected has not happened.

#![expect(clippy::missing_panics_doc, reason = "everything here panics when a test is wrong: that is its answer")]
#![expect(clippy::needless_pass_by_value, reason = "`json!` in the call reads best without a borrow")]

mod answer;

pub use answer::Answer;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;

use serde_json::Value;

use crate::http::{Request, Response, SendError};
use crate::log::Level;
use crate::register::{call_action, call_trigger};
use crate::trigger::{Outcome, WebhookRequest};
use crate::{ActionError, Context, Input, Output, Plugin};

thread_local! {
    /// Guests call plain functions, so the double stands beside the call: one for each thread, as each test has its own.
    static DOUBLE: RefCell<Option<Double>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Double {
    expected: VecDeque<(String, String, Answer)>,
    requests: Vec<Request>,
    lines: Vec<(Level, String)>,
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

pub(crate) fn log(level: Level, message: &str) {
    with(|double| double.lines.push((level, message.to_owned())));
}

pub(crate) fn send(request: Request) -> Result<Response, SendError> {
    let answer = with(|double| {
        let Some((method, url, answer)) = double.expected.pop_front() else {
            panic!("the plugin sent {} {}, and nothing expects another request", request.method, request.url);
        };
        assert_eq!(
            (method, url),
            (request.method.clone(), request.url.clone()),
            "expected the left request, the plugin sent the right one"
        );
        double.requests.push(request);
        answer
    });
    answer.0
}
