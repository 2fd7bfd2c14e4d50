//! The actions against a double of Google that is held to Google's own discovery documents (`tests/harness/google.rs`).

mod actions;
mod failures;
mod options;
mod repeated;

use std::cell::RefCell;
use std::rc::Rc;

use flowcell_sdk::http::ErrorCode;
use flowcell_sdk::test::{Answer, Harness};
use flowcell_sdk::{ActionError, Context, Input, Output};
use flowcell_tests::Request;
use flowcell_tests::google::World;
use serde_json::{Value, json};

/// A host whose requests end in a world with the spreadsheet `book`.
pub(crate) struct Lab {
    pub(crate) host: Harness,
    pub(crate) world: Rc<RefCell<World>>,
    /// The next step's number.
    steps: u64,
}

pub(crate) fn orders() -> Value {
    json!([
        ["Email", "Name", "Total", "Paid"],
        ["ada@example.com", "Ada", 12.5, true],
        ["grace@example.com", "Grace", 7, false],
        ["ada@example.com", "Ada again", "'007", false],
    ])
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(&[("Orders", orders()), ("It's empty", json!([]))])
    }

    pub(crate) fn with(sheets: &[(&str, Value)]) -> Self {
        let mut world = World::new();
        world.add("book", sheets);
        let world = Rc::new(RefCell::new(world));
        let (host, played) = (Harness::new(), Rc::clone(&world));
        host.answer_with(move |sent| {
            let target = sent
                .url
                .strip_prefix("https://sheets.googleapis.com")
                .or(sent.url.strip_prefix("https://www.googleapis.com"));
            let request = Request {
                method: sent.method.clone(),
                target: target.unwrap_or_else(|| panic!("a request to somebody else: {}", sent.url)).to_owned(),
                headers: sent.headers.clone(),
                body: sent.body.clone(),
            };
            match played.borrow_mut().answer(&request) {
                None => Answer::fails(ErrorCode::Connect, "the connection was lost"),
                Some(reply) => reply.headers.iter().fold(
                    Answer::status(reply.status).body("application/json", reply.body.clone()),
                    |answer, (name, value)| if name == "content-type" { answer } else { answer.header(name, value) },
                ),
            }
        });
        Self { host, world, steps: 0 }
    }

    /// Another step: with a key of its own.
    fn next_step(&mut self) {
        self.steps += 1;
        self.host.context.idempotency_key = format!("run_01/step-{}", self.steps);
    }

    /// An action of a step of its own, on `Orders`.
    fn run<I: Input, O: Output>(
        &mut self,
        action: fn(&Context, I) -> Result<O, ActionError>,
        with: Value,
    ) -> Result<Value, ActionError> {
        self.next_step();
        self.again(action, with)
    }

    /// Another attempt of the same step.
    fn again<I: Input, O: Output>(
        &self,
        action: fn(&Context, I) -> Result<O, ActionError>,
        with: Value,
    ) -> Result<Value, ActionError> {
        let mut input = json!({ "spreadsheet": "book", "worksheet": "Orders" });
        for (name, value) in with.as_object().expect("an object") {
            input[name] = value.clone();
        }
        if input["worksheet"].is_null() {
            input.as_object_mut().expect("an object").remove("worksheet");
        }
        self.host.call(action, input)
    }

    fn rows(&self) -> Vec<Vec<Value>> {
        self.world.borrow().rows("book", "Orders")
    }

    /// How many requests came since the last time.
    fn requests(&self) -> usize {
        self.world.borrow_mut().take_calls().len()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let world = self.world.borrow();
            assert!(world.violations().is_empty(), "{:#?}", world.violations());
        }
    }
}
