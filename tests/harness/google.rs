//! Google, as far as a spreadsheet needs it: the Sheets API v4, Drive's lists and a token endpoint, on loopback.
//!
//! It is held to what Google publishes: every request is checked against Google's own discovery documents (paths, parameters, the schemas of
//! bodies; unknown members are refused), and so is every answer it gives. `tests/blackbox/sheets.rs` plays a public client against it, too.
//! It knows what our plugin and that client use; anything else is refused by name, never half done.

mod a1;
mod batch;
mod discovery;
mod drive;
mod grid;
mod mask;
mod resource;
mod values;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

pub use grid::{Metadata, Sheet, Spreadsheet};

use crate::{Receiver, Reply, Request};
use discovery::{Call, Discovery};

/// What a test wants to go wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// 429 `RESOURCE_EXHAUSTED`, as of a quota per minute; nothing is done.
    Quota { retry_after_s: Option<u64> },
    /// This status, and nothing is done.
    Status(u16),
    /// It is done, and the connection ends instead of an answer.
    CutAfterEffect,
    /// It is done at once, and the answer takes its time.
    Slow(Duration),
}

/// An error in the form that all of Google's APIs share.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    name: &'static str,
    message: String,
    details: Value,
}

impl Refusal {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, name: "INVALID_ARGUMENT", message: message.into(), details: Value::Null }
    }

    fn of(status: u16, message: &str) -> Self {
        let name = match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        Self { status, name, message: message.to_owned(), details: Value::Null }
    }

    fn reply(&self) -> Reply {
        let error = object(json!({
            "code": self.status, "message": self.message, "status": self.name, "details": self.details,
        }));
        as_json(self.status, &json!({ "error": error }))
    }
}

type Played = Result<Value, Refusal>;

/// Everything Google knows.
#[derive(Debug)]
pub struct World {
    discovery: &'static Discovery,
    pub spreadsheets: BTreeMap<String, Spreadsheet>,
    /// Shared drives: id and name.
    pub drives: Vec<(String, String)>,
    /// What happens to requests whose `METHOD /target` contains the text; each once, in this order.
    faults: Vec<(String, Fault)>,
    /// Access tokens that are taken; `None`: requests need none.
    tokens: Option<Vec<String>>,
    /// Each request that came, as `METHOD /target`.
    calls: Vec<String>,
    /// Where a request or an answer was not what Google publishes.
    violations: Vec<String>,
}

impl World {
    /// # Panics
    /// Where `cargo xtask tools` has not been run.
    #[expect(clippy::new_without_default, reason = "it reads files; a default value should not")]
    pub fn new() -> Self {
        Self {
            discovery: Discovery::published(),
            spreadsheets: BTreeMap::new(),
            drives: Vec::new(),
            faults: Vec::new(),
            tokens: None,
            calls: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// A spreadsheet with one worksheet for each pair of title and rows; cells are JSON, a text with `=` is a formula.
    pub fn add(&mut self, id: &str, sheets: &[(&str, Value)]) {
        self.spreadsheets.insert(id.to_owned(), Spreadsheet::new(id, sheets));
    }

    /// The rows of a worksheet as they were entered: formulas are `{"formula": "=…"}`.
    pub fn rows(&self, spreadsheet: &str, title: &str) -> Vec<Vec<Value>> {
        self.sheet(spreadsheet, title).entered()
    }

    pub fn sheet(&self, spreadsheet: &str, title: &str) -> &Sheet {
        let found = self.spreadsheets.get(spreadsheet).and_then(|book| book.sheets.iter().find(|s| s.title == title));
        found.unwrap_or_else(|| panic!("there is no {spreadsheet}/{title}"))
    }

    pub fn sheet_mut(&mut self, spreadsheet: &str, title: &str) -> &mut Sheet {
        let book = self.spreadsheets.get_mut(spreadsheet);
        let found = book.and_then(|book| book.sheets.iter_mut().find(|s| s.title == title));
        found.unwrap_or_else(|| panic!("there is no {spreadsheet}/{title}"))
    }

    /// The next request whose `METHOD /target` contains `text` meets this.
    pub fn fail(&mut self, text: &str, fault: Fault) {
        self.faults.push((text.to_owned(), fault));
    }

    /// From now on, only requests with a token that the token endpoint gave are taken.
    pub fn lock(&mut self) {
        self.tokens = Some(Vec::new());
    }

    pub fn calls(&self) -> &[String] {
        &self.calls
    }

    /// The requests since the last time.
    pub fn take_calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.calls)
    }

    /// Where somebody did not keep to what Google publishes.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    pub fn forget_violations(&mut self) {
        self.violations.clear();
    }

    /// Plays one request. `None`: the connection ends.
    pub fn answer(&mut self, request: &Request) -> Option<Reply> {
        let target = request.target.clone();
        let line = format!("{} {target}", request.method);
        self.calls.push(line.clone());
        if request.target == "/token" {
            return Some(self.token(request));
        }
        let fault = self.faults.iter().position(|(text, _)| line.contains(text.as_str()));
        let fault = fault.map(|place| self.faults.remove(place).1);
        let mut reply = match &fault {
            Some(Fault::Quota { retry_after_s }) => return Some(exhausted(*retry_after_s)),
            Some(Fault::Status(status)) => {
                return Some(Refusal::of(*status, "The service is currently unavailable.").reply());
            }
            _ => self.play(request).unwrap_or_else(|refusal| refusal.reply()),
        };
        match fault {
            Some(Fault::CutAfterEffect) => return None,
            Some(Fault::Slow(time)) => reply.after = time,
            _ => {}
        }
        Some(reply)
    }

    fn play(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.authorize(request)?;
        let discovery = self.discovery;
        let call = discovery.read(request).inspect_err(|refusal| {
            self.violations.push(format!("{} {}: {}", request.method, request.target, refusal.message));
        })?;
        let whole = self.dispatch(&call)?;
        if let Err(problem) = discovery.check(&call.answer_schema, &whole) {
            self.violations.push(format!("the double's answer to {}: {problem}", call.id));
            return Err(Refusal::of(500, &problem));
        }
        let shown = match call.one("fields") {
            Some(fields) => mask::apply(fields, &whole)?,
            None => whole,
        };
        Ok(as_json(200, &shown))
    }

    fn authorize(&self, request: &Request) -> Result<(), Refusal> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let sent = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if sent.is_some_and(|sent| tokens.iter().any(|token| token == sent)) {
            return Ok(());
        }
        Err(Refusal::of(401, "Request had invalid authentication credentials. Expected OAuth 2 access token."))
    }

    fn dispatch(&mut self, call: &Call) -> Played {
        match call.id.as_str() {
            "drive.files.list" => return Ok(drive::files(self, call)),
            "drive.drives.list" => return Ok(drive::drives(self, call)),
            "sheets.spreadsheets.create" => return resource::create(self, &call.body),
            _ => {}
        }
        let id = call.path.get("spreadsheetId").cloned().unwrap_or_default();
        let Some(book) = self.spreadsheets.get_mut(&id) else {
            return Err(Refusal::of(404, "Requested entity was not found."));
        };
        if !book.shared {
            return Err(Refusal::of(403, "The caller does not have permission"));
        }
        match call.id.as_str() {
            "sheets.spreadsheets.get" => resource::get(book, call),
            "sheets.spreadsheets.batchUpdate" => batch::update(book, &call.body),
            "sheets.spreadsheets.values.get" => values::get(book, call),
            "sheets.spreadsheets.values.batchGet" => values::batch_get(book, call),
            "sheets.spreadsheets.values.update" => values::update(book, call),
            "sheets.spreadsheets.values.batchUpdate" => values::batch_update(book, call),
            "sheets.spreadsheets.values.append" => values::append(book, call),
            "sheets.spreadsheets.values.clear" => values::clear(book, call),
            "sheets.spreadsheets.values.batchClear" => values::batch_clear(book, call),
            "sheets.spreadsheets.developerMetadata.search" => Ok(resource::search_metadata(book, &call.body)),
            other => Err(Refusal::invalid(format!("this double does not play {other}"))),
        }
    }

    /// The token endpoint, for the assertions of service accounts and for refresh tokens.
    fn token(&mut self, request: &Request) -> Reply {
        let form: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let grant = form.get("grant_type").map(String::as_str).unwrap_or_default();
        let is_known = match grant {
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                form.get("assertion").is_some_and(|assertion| assertion.split('.').count() == 3)
            }
            "refresh_token" => form.contains_key("refresh_token"),
            _ => false,
        };
        if !is_known {
            return as_json(400, &json!({ "error": "invalid_grant", "error_description": "Invalid grant" }));
        }
        let tokens = self.tokens.get_or_insert_default();
        let token = format!("ya29.double-{}-0123456789abcdef", tokens.len());
        tokens.push(token.clone());
        as_json(200, &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }))
    }
}

fn as_json(status: u16, value: &Value) -> Reply {
    Reply::status(status).header("content-type", "application/json; charset=UTF-8").body(value.to_string())
}

fn exhausted(retry_after_s: Option<u64>) -> Reply {
    let mut refusal = Refusal::of(
        429,
        "Quota exceeded for quota metric 'Write requests' and limit 'Write requests per minute per user' of service \
         'sheets.googleapis.com' for consumer 'project_number:1'.",
    );
    refusal.details = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com",
        "metadata": { "quota_limit": "WriteRequestsPerMinutePerUser", "quota_limit_value": "60", "service": "sheets.googleapis.com" },
    }]);
    let reply = refusal.reply();
    match retry_after_s {
        Some(seconds) => reply.header("retry-after", &seconds.to_string()),
        None => reply,
    }
}

/// The world behind an HTTP server. Runs until dropped.
#[derive(Debug)]
pub struct Google {
    receiver: Receiver,
    world: Arc<Mutex<World>>,
}

impl Google {
    pub fn start(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        // One request after the other: so each is done as a whole, as Google promises.
        let receiver = Receiver::answering(move |_, request| {
            let mut world = shared.lock().unwrap_or_else(PoisonError::into_inner);
            world.answer(request).unwrap_or_else(Reply::cut)
        });
        Self { receiver, world }
    }

    /// `http://127.0.0.1:port`.
    pub fn origin(&self) -> String {
        self.receiver.origin()
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A member of an object, as text.
pub(crate) fn text<'a>(of: &'a Value, member: &str) -> Option<&'a str> {
    of.get(member).and_then(Value::as_str)
}

/// A member of an object, as a number.
pub(crate) fn number(of: &Value, member: &str) -> Option<usize> {
    of.get(member).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok())
}

/// An object without the members that are null.
pub(crate) fn object(members: Value) -> Value {
    match members {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        }
        other => other,
    }
}
