//! Why a mail was not sent: what a server's answers mean (RFC 5321 §4.2, RFC 3463, RFC 4954), said so that somebody can do something about it.

use std::time::Duration;

use flowcell_core::connection::CredentialError;
use flowcell_core::host_call::{HostError, UNCERTAIN};
use flowcell_core::mail::InvalidMail;
use flowcell_core::ports::StoreError;
use flowcell_sandbox::egress::{SendError, SendErrorCode};
use lettre::transport::smtp;
use serde_json::{Value, json};

/// How long a server that says "later" is left alone. Greylisting wants some minutes (RFC 6647 §5.2: at least one, commonly five); whoever says
/// that it has too much to do wants a pause, too.
const LATER: Duration = Duration::from_mins(5);

/// How much of a server's own words is kept: its first sentences.
const WORDS_MAX: usize = 300;

/// As the contract's `host-error`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) retryable: bool,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) details: Option<Value>,
    /// The server had the whole mail, and nobody knows whether it took it.
    pub(crate) is_uncertain: bool,
    /// Why the connection cannot be used: the run waits, or fails with that.
    pub(crate) credentials: Option<Box<CredentialError>>,
}

/// Where in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Greeting,
    SigningIn,
    Sender,
    Recipient,
    Data,
    /// The whole mail has gone, and its answer is awaited.
    Taken,
    Leaving,
}

impl Phase {
    fn doing(self) -> &'static str {
        match self {
            Self::Greeting => "greeting the server",
            Self::SigningIn => "signing in",
            Self::Sender => "naming the sender",
            Self::Recipient => "naming a recipient",
            Self::Data => "handing over the mail",
            Self::Taken => "waiting for the answer to the mail",
            Self::Leaving => "saying goodbye",
        }
    }
}

impl Failure {
    fn new(code: &'static str, retryable: bool, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable,
            retry_after_ms: None,
            details: None,
            is_uncertain: false,
            credentials: None,
        }
    }

    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new("denied", false, message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new("unavailable", true, message)
    }

    /// `field` is a JSON Pointer into the mail.
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self { details: Some(json!({ "field": field })), ..Self::new("invalid-input", false, message) }
    }

    pub(super) fn tls(message: impl Into<String>) -> Self {
        Self::new("unavailable", false, message)
    }

    pub(super) fn out_of_time(doing: &str, is_uncertain: bool) -> Self {
        let unknown = if is_uncertain { "; whether it took the mail is not known" } else { "" };
        let message = format!("the mail server did not answer in time while {doing}{unknown}");
        Self { is_uncertain, ..Self::unavailable(message) }
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        self.code == "unauthorized" && self.credentials.is_none()
    }

    /// The conversation went wrong in `phase`.
    pub(super) fn of(error: &smtp::Error, phase: Phase) -> Self {
        let Some(code) = error.status() else { return Self::cut(error, phase) };
        let code: u16 = code.into();
        let said = words(error);
        let doing = phase.doing();
        let details = json!({ "smtp": code, "said": said });
        let failure = match (phase, code) {
            // RFC 4954 §6: 530 sign in first, 534 the mechanism is too weak, 535 the credentials are invalid, 538 encryption is needed.
            (Phase::SigningIn, 500..) | (_, 530 | 534 | 535 | 538) => Self::new(
                "unauthorized",
                false,
                format!("the mail server does not take the user name and password ({code} {said})"),
            ),
            (_, 400..=499) => Self {
                retry_after_ms: Some(millis(LATER)),
                ..Self::unavailable(format!("the mail server asks to come back later while {doing} ({code} {said})"))
            },
            (Phase::Sender, _) => Self::new(
                "rejected",
                false,
                format!(
                    "the mail server does not take mail from this sender ({code} {said}); name one that belongs to the connection's user"
                ),
            ),
            // RFC 5321 §4.5.3.1.10 and RFC 1870 §6: too large.
            (Phase::Data | Phase::Taken, 552) => Self::new(
                "too-large",
                false,
                format!("the mail is larger than the server takes ({code} {said}); link to what is attached"),
            ),
            (..) => {
                Self::new("rejected", false, format!("the mail server refuses the mail while {doing} ({code} {said})"))
            }
        };
        Self { details: Some(details), ..failure }
    }

    /// There is no answer: the connection broke, or what came is not SMTP.
    fn cut(error: &smtp::Error, phase: Phase) -> Self {
        let doing = phase.doing();
        if error.is_client() {
            return Self::new(
                "rejected",
                false,
                format!("the mail server cannot be spoken to while {doing}: {}", words(error)),
            );
        }
        let is_uncertain = phase == Phase::Taken;
        let unknown = if is_uncertain { "; it had the whole mail, and whether it took it is not known" } else { "" };
        let message = format!("the connection to the mail server broke while {doing}{unknown} ({})", words(error));
        Self { is_uncertain, ..Self::unavailable(message) }
    }

    /// Nobody of those it goes to is taken.
    pub(super) fn nobody(rejected: &[(String, Self)]) -> Self {
        let named: Vec<String> =
            rejected.iter().map(|(address, failure)| format!("{address}: {}", failure.said())).collect();
        let list: Vec<Value> = rejected.iter().map(|(address, failure)| json!([address, failure.said()])).collect();
        let may_pass = rejected.iter().any(|(_, failure)| failure.retryable);
        let mut failure = if may_pass {
            let later = format!("the mail server takes nobody it goes to at the moment: {}", named.join("; "));
            Self { retry_after_ms: Some(millis(LATER)), ..Self::unavailable(later) }
        } else {
            Self::new("rejected", false, format!("the mail server takes nobody it goes to: {}", named.join("; ")))
        };
        failure.details = Some(json!({ "rejected": list }));
        failure
    }

    /// The server's code and words.
    pub(super) fn said(&self) -> String {
        let said = |key: &str| self.details.as_ref().and_then(|details| details.get(key)).cloned().unwrap_or_default();
        match (said("smtp").as_u64(), said("said").as_str()) {
            (Some(code), Some(words)) => format!("{code} {words}"),
            _ => self.message.clone(),
        }
    }
}

/// What the server or the network said last, fit for people: one line, not too long.
fn words(error: &smtp::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    one_line(&cause.to_string())
}

pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(WORDS_MAX).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<Failure> for HostError {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, retryable, retry_after_ms, details, is_uncertain, credentials: _ } = failure;
        let mut details = details;
        if is_uncertain {
            let all = details.get_or_insert_with(|| json!({}));
            if let Some(fields) = all.as_object_mut() {
                fields.insert(UNCERTAIN.to_owned(), json!(true));
            }
        }
        Self { code: code.to_owned(), message, retryable, retry_after_ms, details }
    }
}

impl From<InvalidMail> for Failure {
    fn from(error: InvalidMail) -> Self {
        Self::invalid(&error.field, error.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unavailable(format!("whether the mail was sent before cannot be looked up: {error}"))
    }
}

impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Self {
        let (code, retryable) = match error {
            CredentialError::Unavailable { .. } => ("unavailable", true),
            CredentialError::NeedsReconnecting { .. } => ("unauthorized", false),
            _ => ("denied", false),
        };
        let retry_after_ms = match &error {
            CredentialError::Unavailable { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        };
        Self {
            retry_after_ms,
            credentials: Some(Box::new(error.clone())),
            ..Self::new(code, retryable, error.to_string())
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let code = match error.code {
            SendErrorCode::Denied | SendErrorCode::AddressDenied => "denied",
            _ => "unavailable",
        };
        Self::new(code, error.retryable, format!("the mail server cannot be reached: {}", error.message))
    }
}
