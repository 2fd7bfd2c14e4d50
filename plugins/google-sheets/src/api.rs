//! Requests to the Sheets API v4, and what its refusals mean for the step.
//!
//! The plugin sends to `spreadsheets/{id}…` only, with GET and POST; ranges stand in the query or the body, never in the path.

use std::borrow::Cow;

use flowcell_sdk::http::{Request, Response};
use flowcell_sdk::{ActionError, Context};
use serde_json::Value;

const SHEETS: &str = "https://sheets.googleapis.com/v4/spreadsheets";

/// Google counts requests per minute and user, and refills the count each minute: after this time there is room again.
const QUOTA_REFILL_MS: u64 = 60_000;

/// A spreadsheet, by its id.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    id: String,
    /// Of this step, the same on each attempt: it spreads the waiting of many.
    seed: u64,
}

impl Book {
    /// From an id, or the address of the spreadsheet in a browser.
    pub(crate) fn parse(ctx: &Context, text: &str) -> Result<Self, ActionError> {
        let id = match text.split_once("/spreadsheets/d/") {
            Some((_, rest)) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
            None => text.trim(),
        };
        // Google's ids are made of these; anything else could change what the address means.
        let is_id =
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_id {
            let message = "this is neither a spreadsheet's id nor its address; the id stands in the address after `/spreadsheets/d/`";
            return Err(ActionError::invalid_input("/spreadsheet", message));
        }
        Ok(Self { id: id.to_owned(), seed: crate::hash::of(0, &ctx.idempotency_key) })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// `suffix` is `""` or `/values:batchGet`.
    pub(crate) fn get(&self, suffix: &str, query: &[(&str, &str)]) -> Result<Value, ActionError> {
        self.answer(Request::get(format!("{SHEETS}/{}{suffix}", self.id)).query(query.iter().copied()))
    }

    /// `suffix` is `:batchUpdate` or the like.
    pub(crate) fn post(&self, suffix: &str, query: &[(&str, &str)], body: &Value) -> Result<Value, ActionError> {
        self.answer(Request::post(format!("{SHEETS}/{}{suffix}", self.id)).query(query.iter().copied()).json(body))
    }

    fn answer(&self, request: Request) -> Result<Value, ActionError> {
        let response = request.send()?;
        if response.is_success() { response.json() } else { Err(self.refusal(&response)) }
    }

    fn refusal(&self, response: &Response) -> ActionError {
        let error = Refusal::read(response);
        match response.status {
            404 => ActionError::invalid_input(
                "/spreadsheet",
                format!(
                    "Google knows no spreadsheet `{}`: check the id, which stands in its address after `/spreadsheets/d/`",
                    self.id
                ),
            ),
            403 if !error.is_quota() && !error.lacks_access() => ActionError::permanent(
                "forbidden",
                format!(
                    "Google does not let {} see or change the spreadsheet `{}`; {}",
                    who(),
                    self.id,
                    how_to_share()
                ),
            )
            .detail("spreadsheet", &self.id)
            .detail("share_with", account()),
            _ => error.into_error(response, self.seed),
        }
    }
}

/// One of Drive's lists; only for choices.
pub(crate) fn drive(path: &str, query: &[(&str, &str)]) -> Result<Value, ActionError> {
    let response =
        Request::get(format!("https://www.googleapis.com/drive/v3/{path}")).query(query.iter().copied()).send()?;
    if response.is_success() { response.json() } else { Err(Refusal::read(&response).into_error(&response, 0)) }
}

/// What the API says of itself: `{"error": {"code", "message", "status", "details": […]}}`.
pub(crate) struct Refusal {
    pub(crate) message: String,
    status: String,
    /// Of its details and, as Drive says it, of its `errors`.
    reasons: Vec<String>,
    quota: Option<Value>,
}

impl Refusal {
    fn read(response: &Response) -> Self {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let error = body.get("error").cloned().unwrap_or_default();
        let text = |member: &str| error.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let items = |member: &str| error.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
        let details = items("details");
        let reasons = details
            .iter()
            .chain(&items("errors"))
            .filter_map(|detail| detail.get("reason")?.as_str().map(str::to_owned))
            .collect();
        let quota = details.iter().find_map(|detail| detail.pointer("/metadata/quota_limit").cloned());
        Self { message: text("message"), status: text("status"), reasons, quota }
    }

    fn says(&self, reasons: &[&str]) -> bool {
        self.reasons.iter().any(|reason| reasons.contains(&reason.as_str()))
    }

    fn is_quota(&self) -> bool {
        self.status == "RESOURCE_EXHAUSTED"
            || self.says(&["RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "userRateLimitExceeded"])
    }

    /// The credentials are good, and not for this API.
    fn lacks_access(&self) -> bool {
        self.says(&[
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "insufficientPermissions",
            "SERVICE_DISABLED",
            "accessNotConfigured",
        ])
    }

    fn into_error(self, response: &Response, seed: u64) -> ActionError {
        let status = response.status;
        let said = if self.message.is_empty() { format!("status {status}") } else { self.message.clone() };
        match status {
            429 => self.wait(response, seed),
            403 if self.is_quota() => self.wait(response, seed),
            401 => ActionError::unauthorized(format!(
                "Google does not accept the credentials of {} ({said}); connect it again",
                connection_name()
            ))
            .detail("connection", flowcell_sdk::connection::facts().map(|facts| facts.name)),
            403 if self.says(&["SERVICE_DISABLED", "accessNotConfigured"]) => ActionError::permanent(
                "api-disabled",
                format!("the Google Cloud project of {} has not switched this API on: {said}", connection_name()),
            ),
            403 => ActionError::unauthorized(format!(
                "{} may not do this ({said}): it needs the scope https://www.googleapis.com/auth/spreadsheets, and for choosing spreadsheets \
                 https://www.googleapis.com/auth/drive.metadata.readonly; add what is missing, and connect it again",
                connection_name()
            ))
            .detail("connection", flowcell_sdk::connection::facts().map(|facts| facts.name)),
            400 => ActionError::permanent("google-refused", format!("Google refused the request: {said}")).detail("status", 400),
            _ => {
                let mut error = response.status_error();
                error.message = format!("Google answered {status}: {said}");
                error
            }
        }
    }

    /// The quota is used up: when to come back. Without `Retry-After`, those that wait come back spread over half a minute.
    fn wait(&self, response: &Response, seed: u64) -> ActionError {
        let wait_ms = response.retry_after_ms().unwrap_or(QUOTA_REFILL_MS / 2 + seed % (QUOTA_REFILL_MS / 2));
        let limit = self
            .quota
            .as_ref()
            .and_then(Value::as_str)
            .map_or(Cow::Borrowed("requests"), |quota| Cow::Owned(format!("requests ({quota})")));
        let message = format!("Google's quota of {limit} is used up; it is refilled each minute. {}", self.message);
        ActionError::rate_limited(message.trim_end().to_owned()).retry_after_ms(wait_ms).detail("quota", &self.quota)
    }
}

/// Whether Google refused the range's worksheet.
pub(crate) fn is_unknown_range(error: &ActionError) -> bool {
    error.code == "google-refused" && error.message.contains("Unable to parse range")
}

/// Whether Google refused developer metadata that is there already.
pub(crate) fn is_mark_taken(error: &ActionError) -> bool {
    error.code == "google-refused"
        && error.message.contains("createDeveloperMetadata")
        && error.message.contains("exist")
}

/// The account that the connection stands for, if it says so: a service account's address.
fn account() -> Option<String> {
    flowcell_sdk::connection::facts()?.account
}

fn connection_name() -> String {
    match flowcell_sdk::connection::facts() {
        Some(facts) => format!("the connection `{}`", facts.name),
        None => "a step without a connection".to_owned(),
    }
}

fn who() -> String {
    account().unwrap_or_else(connection_name)
}

fn how_to_share() -> String {
    match account() {
        Some(account) => format!("share it with {account} as an editor (the button `Share` in Google Sheets)"),
        None => {
            "share it with the connection's account as an editor (of a service account, the `client_email` of its key)"
                .to_owned()
        }
    }
}
