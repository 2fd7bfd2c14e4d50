//! Answers for requests that do not leave, as people write them in a test case, or as they were recorded.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exchange::Exchange;

/// The answers of one call, in the order they are used: a request takes the first unused one that fits; when all that fit are used, the last of them
/// again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    pub http: Vec<Answer>,
}

/// One answer, and which requests it fits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// `POST`; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The whole URL; with a `*` at its end, any that begins so; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// 200 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// A body of JSON; at most one of `json`, `text` and `base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The request fails instead: `timeout`, `connect`, `dns`, `tls` … (the codes of `http.send`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why an answer cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("answer {number}: {problem}")]
pub struct InvalidAnswer {
    /// Counted from 1.
    pub number: usize,
    pub problem: &'static str,
}

/// The codes with which `http.send` fails.
const ERRORS: [&str; 10] = [
    "denied",
    "address-denied",
    "invalid-request",
    "dns",
    "connect",
    "tls",
    "timeout",
    "too-large",
    "budget",
    "protocol",
];

impl Answers {
    /// What the peers answered in an earlier call, each for its method and URL. Of an answer that was not kept whole, what is left is given.
    pub fn recorded(exchanges: &[Exchange]) -> Self {
        Self { http: exchanges.iter().filter_map(Answer::recorded).collect() }
    }

    /// Says what is wrong with the first answer that cannot be given.
    pub fn check(&self) -> Result<(), InvalidAnswer> {
        self.http.iter().enumerate().try_for_each(|(index, answer)| {
            answer.check().map_err(|problem| InvalidAnswer { number: index + 1, problem })
        })
    }
}

impl Answer {
    fn recorded(exchange: &Exchange) -> Option<Self> {
        let fits = Self {
            method: Some(exchange.request.method.clone()),
            url: Some(exchange.request.url.clone()),
            ..Self::default()
        };
        match (&exchange.response, &exchange.error) {
            (_, Some(error)) => Some(Self { error: Some(error.code.clone()), ..fits }),
            (Some(response), None) => Some(Self {
                status: Some(response.status),
                headers: response.headers.iter().cloned().collect(),
                text: response.body.text.clone(),
                base64: response.body.base64.clone(),
                ..fits
            }),
            (None, None) => None,
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let bodies = [self.json.is_some(), self.text.is_some(), self.base64.is_some()];
        match &self.error {
            _ if bodies.iter().filter(|given| **given).count() > 1 => {
                Err("it has several bodies; give `json`, `text` or `base64`")
            }
            Some(code) if !ERRORS.contains(&code.as_str()) => Err(
                "its `error` is none a request can end with: denied, address-denied, invalid-request, dns, connect, tls, timeout, too-large, budget or protocol",
            ),
            Some(_) if self.status.is_some() || bodies.contains(&true) => {
                Err("it is an error and a response; give `error` or `status`, `headers` and a body")
            }
            _ if self.status.is_some_and(|status| !(100..=599).contains(&status)) => {
                Err("its `status` is outside 100 to 599")
            }
            _ if self.base64.as_ref().is_some_and(|coded| BASE64_STANDARD.decode(coded).is_err()) => {
                Err("its `base64` is none; give it with padding")
            }
            _ => Ok(()),
        }
    }

    /// Whether it answers such a request.
    pub fn fits(&self, method: &str, url: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.url.as_ref().is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(beginning) => url.starts_with(beginning),
                None => wanted == url,
            })
    }

    /// The bytes of its body, and the content type they have when no header says otherwise.
    pub fn body(&self) -> (Vec<u8>, Option<&'static str>) {
        match (&self.json, &self.text, &self.base64) {
            (Some(json), ..) => (json.to_string().into_bytes(), Some("application/json")),
            (None, Some(text), _) => (text.clone().into_bytes(), Some("text/plain; charset=utf-8")),
            (None, None, Some(coded)) => {
                (BASE64_STANDARD.decode(coded).unwrap_or_default(), Some("application/octet-stream"))
            }
            (None, None, None) => (Vec::new(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Answer {
        serde_json::from_str(json).expect("an answer")
    }

    #[test]
    fn an_answer_fits_by_method_and_url() {
        let url = "https://api.example.com/contacts/7";
        for (json, fits) in [
            ("{}", true),
            (r#"{"method":"post"}"#, true),
            (r#"{"method":"GET"}"#, false),
            (r#"{"url":"https://api.example.com/contacts/7"}"#, true),
            (r#"{"url":"https://api.example.com/contacts"}"#, false),
            (r#"{"url":"https://api.example.com/contacts*"}"#, true),
            (r#"{"url":"https://api.example.org/*"}"#, false),
        ] {
            assert_eq!(answer(json).fits("POST", url), fits, "{json}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_given_is_refused_by_its_number() {
        for (json, part) in [
            (r#"{"json":{},"text":"x"}"#, "several bodies"),
            (r#"{"error":"teapot"}"#, "none a request can end with"),
            (r#"{"error":"timeout","status":200}"#, "an error and a response"),
            (r#"{"status":99}"#, "100 to 599"),
            (r#"{"base64":"?"}"#, "with padding"),
        ] {
            let error = Answers { http: vec![Answer::default(), answer(json)] }.check().expect_err(json).to_string();
            assert!(error.starts_with("answer 2: ") && error.contains(part), "{json}: {error}");
        }
        let good = r#"{"method":"GET","status":404,"headers":{"x":"y"},"json":{"a":[1]}}"#;
        assert_eq!(answer(good).check(), Ok(()));
        assert_eq!(answer(good).body(), (br#"{"a":[1]}"#.to_vec(), Some("application/json")));
        assert!(serde_json::from_str::<Answer>(r#"{"stauts":200}"#).is_err(), "a slip of the pen is no answer");
    }
}
