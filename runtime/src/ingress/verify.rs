//! Whether a request comes from who may send it, by the scheme that its trigger names. Pure: headers, query, raw body, secrets and time go in,
//! a proof or a refusal comes out. It is asked before anything of the body is read, and before a plugin sees any of it.
//!
//! Nothing here logs, parses a body or knows where secrets come from. Comparisons take the same time wherever two values differ.

mod delivery;
mod explain;
mod github;
mod highlevel;
mod hmac;
mod mac;
mod public_key;
mod read;
pub(crate) mod secrets;
mod shared_secret;
mod shopify;
mod slack;
mod standard_webhooks;
mod stripe;

use flowcell_core::id::ConnectionName;
use flowcell_core::secret::Secret;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::Scheme;
use http::HeaderMap;

use self::mac::Key;
use self::public_key::PublicKey;

/// How far a signed time may lie from ours, before or after, in seconds: what Standard Webhooks, Stripe and Slack recommend.
pub(crate) const TOLERANCE_S: u64 = 300;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: &'a str,
    /// As it came, byte by byte.
    pub(crate) body: &'a [u8],
    pub(crate) now: Timestamp,
}

/// What a request was verified by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    CurrentSecret,
    /// A secret that was replaced and counts for a while yet.
    PreviousSecret,
    PublicKey,
}

impl Proof {
    /// As the API names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CurrentSecret => "current-secret",
            Self::PreviousSecret => "previous-secret",
            Self::PublicKey => "public-key",
        }
    }
}

/// Why a request is not believed. The sender is told none of it; the owner finds it with the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the header `{header}` is missing{}", more(.other.as_ref()))]
    Missing { header: String, other: Option<String> },
    #[error("the query parameter `{name}` is missing")]
    MissingParameter { name: String },
    #[error("`{what}` is there {times} times; one is expected")]
    Repeated { what: String, times: usize },
    #[error("the header `{header}` is malformed: {problem}")]
    Malformed { header: String, problem: String },
    /// The signature fits; only the time does not.
    #[error("the signature fits, but its time is {}: the clock of the sender or of this server is wrong, the request was held up, or it is sent a second time", apart(*.seconds))]
    ClockSkew { seconds: i128 },
    #[error("the signature fits no secret of this trigger: it was made with another key, or the body was changed on its way (these two cannot be told apart){}", more(.hint.as_ref()))]
    NoMatch { hint: Option<String> },
    #[error("{what} is wrong")]
    WrongSecret { what: String },
    /// Ours to mend: nothing can be verified with it.
    #[error("the secret cannot be used: {problem}")]
    UnusableSecret { problem: String },
}

impl Refusal {
    /// Stable and machine-readable.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::MissingParameter { .. } => "signature-missing",
            Self::Repeated { .. } => "signature-repeated",
            Self::Malformed { .. } => "signature-malformed",
            Self::ClockSkew { .. } => "clock-skew",
            Self::NoMatch { .. } => "signature-mismatch",
            Self::WrongSecret { .. } => "secret-mismatch",
            Self::UnusableSecret { .. } => "secret-unusable",
        }
    }
}

fn more(hint: Option<&String>) -> String {
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

fn apart(seconds: i128) -> String {
    if seconds >= 0 { format!("{seconds} s old") } else { format!("{} s in the future", -seconds) }
}

/// A trigger's scheme with everything parsed that does not change from request to request.
#[derive(Debug)]
pub(crate) struct Verifier {
    scheme: Scheme,
    /// Those the trigger names, or the ones that the sender publishes.
    public_keys: Vec<PublicKey>,
}

impl Verifier {
    /// The error says what is wrong with the trigger's `public_key`.
    pub(crate) fn new(scheme: &Scheme) -> Result<Self, String> {
        let public_keys = match scheme {
            Scheme::StandardWebhooks { public_key, .. } => standard_webhooks::public_keys(public_key.as_deref())?,
            Scheme::Highlevel { public_key } => highlevel::public_keys(public_key.as_deref())?,
            _ => Vec::new(),
        };
        Ok(Self { scheme: scheme.clone(), public_keys })
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// By what a verified delivery is recognised when it comes again: an id or a body that the signature covers.
    pub(crate) fn delivery_key(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        delivery::key(&self.scheme, headers, body)
    }

    /// What the sender wants to hear instead of a run: Slack's question when its URL is entered there. Only asked about a verified request.
    pub(crate) fn challenge(&self, body: &[u8]) -> Option<String> {
        match self.scheme {
            Scheme::Slack { .. } => slack::challenge(body),
            _ => None,
        }
    }

    /// The connection whose secrets it needs.
    pub(crate) fn secret(&self) -> Option<&ConnectionName> {
        self.scheme.secret()
    }

    /// Whether these secrets can verify anything.
    pub(crate) fn takes(&self, secrets: &[Secret<Vec<u8>>]) -> Result<(), Refusal> {
        self.keys(secrets).map(drop)
    }

    /// Verifies a request. `secrets` are those that count now, the current one first.
    pub(crate) fn check(&self, request: &Presented<'_>, secrets: &[Secret<Vec<u8>>]) -> Result<Proof, Refusal> {
        let keys = self.keys(secrets)?;
        match &self.scheme {
            Scheme::StandardWebhooks { .. } => standard_webhooks::check(request, &keys, &self.public_keys),
            Scheme::Github { .. } => github::check(request, &keys),
            Scheme::Stripe { .. } => stripe::check(request, &keys),
            Scheme::Slack { .. } => slack::check(request, &keys),
            Scheme::Shopify { .. } => shopify::check(request, &keys),
            Scheme::Highlevel { .. } => highlevel::check(request, &self.public_keys),
            Scheme::Hmac { .. } => match self.scheme.signing() {
                Some(signing) => hmac::check(request, &keys, &signing),
                None => Err(Refusal::NoMatch { hint: None }),
            },
            Scheme::Bearer { .. } => shared_secret::bearer(request, &keys),
            Scheme::Basic { username, .. } => shared_secret::basic(request, &keys, username),
            Scheme::ApiKey { header: Some(header), .. } => shared_secret::in_header(request, &keys, header),
            Scheme::ApiKey { query, .. } => {
                shared_secret::in_query(request, &keys, query.as_deref().unwrap_or_default())
            }
        }
    }

    fn keys(&self, secrets: &[Secret<Vec<u8>>]) -> Result<Vec<Key>, Refusal> {
        if self.secret().is_none() {
            return Ok(Vec::new());
        }
        if secrets.is_empty() {
            return Err(Refusal::UnusableSecret { problem: "the connection has none".to_owned() });
        }
        let keys = secrets.iter().map(|secret| match &self.scheme {
            Scheme::StandardWebhooks { .. } => standard_webhooks::key(secret.expose()),
            _ => Ok(Key::new(secret.expose().clone())),
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        // Anybody can sign with nothing.
        if keys.iter().any(Key::is_empty) {
            return Err(Refusal::UnusableSecret { problem: "it is empty".to_owned() });
        }
        Ok(keys)
    }
}

/// Which secret it was: the first is the current one.
fn proof_by(index: usize) -> Proof {
    if index == 0 { Proof::CurrentSecret } else { Proof::PreviousSecret }
}

/// A signature that fits counts only near the time it was made for.
fn in_time(request: &Presented<'_>, signed_at_s: u64, proof: Proof) -> Result<Proof, Refusal> {
    let seconds = i128::from(request.now.as_millis() / 1_000) - i128::from(signed_at_s);
    if seconds.unsigned_abs() > u128::from(TOLERANCE_S) {
        return Err(Refusal::ClockSkew { seconds });
    }
    Ok(proof)
}

#[cfg(test)]
mod tests;

/// What Slack sends as `x-slack-signature`, for tests elsewhere.
#[cfg(test)]
pub(crate) fn signed_for_slack(secret: &[u8], at: &str, body: &[u8]) -> String {
    let code =
        mac::code(secret, flowcell_core::connection::HmacAlgorithm::Sha256, &[b"v0:", at.as_bytes(), b":", body]);
    format!("v0={}", data_encoding::HEXLOWER.encode(&code))
}
