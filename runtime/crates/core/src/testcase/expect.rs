//! What a case expects of its run, and what is different.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::differ::{Difference, differences};
use super::story::{Request, Story};
use crate::id::StepRef;
use crate::run::fold::RunStatus;
use crate::workflow::duration;

/// What is expected; what is not named may be anything, except that a run whose status and error are not named has to succeed.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    pub status: Option<RunStatus>,
    pub error: Option<ExpectError>,
    /// What came starts no run: the trigger passes it by, or the input does not fit.
    pub no_run: bool,
    /// By `if` step: the branch's name, its index, or `else`.
    pub branches: BTreeMap<StepRef, Value>,
    /// What became of a step; `absent` when it was never reached.
    pub steps: BTreeMap<StepRef, String>,
    /// By place and path: `create.body.id`, `send[2].status`.
    pub outputs: BTreeMap<String, Value>,
    pub output: Option<Value>,
    /// All of them, in any order, each by what is named of it.
    pub requests: Option<Vec<ExpectRequest>>,
    /// By `for_each` step: how many iterations, or `{ count, succeeded, failed }`.
    pub iterations: BTreeMap<StepRef, Value>,
    /// What the sender was answered, by what is named of it.
    pub response: Option<Value>,
    /// From the run's first event to its last, waits included.
    #[serde(with = "duration::optional")]
    pub lasted: Option<u64>,
}

/// A text is the code.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ExpectError {
    Code(String),
    Parts(ExpectErrorParts),
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectErrorParts {
    pub code: Option<String>,
    pub step: Option<StepRef>,
    /// A part of it.
    pub message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The whole URL; with a `*` at its end, any that begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Value>,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// `status`, `outputs.create.body.id`, `requests[0].json.email` …
    pub what: String,
    pub expected: String,
    pub came: String,
    /// Where in the run: a step, a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// `create` and `body.id` of `create.body.id`; the indices of `send[3.1].status` belong to the place.
pub(super) fn place_and_path(key: &str) -> (&str, &str) {
    let end = match (key.find('['), key.find(']'), key.find('.')) {
        (Some(open), Some(close), Some(dot)) if open < dot => close + 1,
        (Some(_), Some(close), None) => close + 1,
        (_, _, Some(dot)) => dot,
        _ => key.len(),
    };
    let (place, rest) = key.split_at(end.min(key.len()));
    (place, rest.strip_prefix('.').unwrap_or(rest))
}

impl Expect {
    /// Everything that is not as expected.
    pub fn check(&self, story: &Story) -> Vec<Mismatch> {
        let mut found = Vec::new();
        if self.no_run {
            found.push(mismatch("no_run", "no run", format!("a run; it is {}", text(story.status))));
            return found;
        }
        self.end(story, &mut found);
        self.steps(story, &mut found);
        for (key, value) in &self.outputs {
            let (place, path) = place_and_path(key);
            let step = place.parse::<StepRef>().ok().and_then(|place| story.steps.get(&place));
            let output = step.and_then(|step| step.output.as_ref());
            let came = output.and_then(|output| at(output, path));
            let hint = match (step, output) {
                (None, _) => Some(format!("step `{place}` was never reached")),
                (Some(step), None) => Some(format!("step `{place}` has no output: it is {}", step.status)),
                _ => None,
            };
            compare(value, came, &format!("outputs.{key}"), hint.as_deref(), &mut found);
        }
        if let Some(output) = &self.output {
            compare(output, Some(&story.output), "output", None, &mut found);
        }
        if let Some(response) = &self.response {
            compare(response, story.response.as_ref(), "response", None, &mut found);
        }
        if let Some(requests) = &self.requests {
            check_requests(requests, &story.requests, &mut found);
        }
        if let Some(lasted) = self.lasted {
            let came = u64::try_from(story.ended_at.since(story.began_at).as_millis()).unwrap_or(u64::MAX);
            if came != lasted {
                found.push(mismatch("lasted", duration::format(lasted), duration::format(came)));
            }
        }
        found
    }

    /// What is not as expected when no run came of it; `None` when that was expected (`no_run`).
    pub fn without_run(&self, said: &str) -> Option<Mismatch> {
        if self.no_run {
            return None;
        }
        let wanted = self.status.map_or_else(|| "a run".to_owned(), text);
        Some(Mismatch { place: Some(said.to_owned()), ..mismatch("status", wanted, "no run was started") })
    }

    fn end(&self, story: &Story, found: &mut Vec<Mismatch>) {
        let wanted = self.status.or(if self.error.is_none() { Some(RunStatus::Succeeded) } else { None });
        if let Some(wanted) = wanted.filter(|wanted| *wanted != story.status) {
            let place = story.error.as_ref().map(|error| {
                let step = error.step.as_ref().map_or_else(String::new, |step| format!("step `{step}`: "));
                format!("{step}{} [{}]", error.message, error.code)
            });
            found.push(Mismatch { place, ..mismatch("status", text(wanted), text(story.status)) });
        }
        let Some(wanted) = &self.error else { return };
        let Some(error) = &story.error else {
            let code = match wanted {
                ExpectError::Code(code) => code.clone(),
                ExpectError::Parts(parts) => parts.code.clone().unwrap_or_else(|| "an error".to_owned()),
            };
            found.push(mismatch("error", code, format!("none; the run is {}", text(story.status))));
            return;
        };
        let parts = match wanted {
            ExpectError::Code(code) => ExpectErrorParts { code: Some(code.clone()), ..ExpectErrorParts::default() },
            ExpectError::Parts(parts) => parts.clone(),
        };
        let place = Some(format!("{} [{}]", error.message, error.code));
        if let Some(code) = parts.code.filter(|code| *code != error.code) {
            found.push(Mismatch { place: place.clone(), ..mismatch("error.code", code, error.code.clone()) });
        }
        if let Some(step) = parts.step.filter(|step| Some(step) != error.step.as_ref()) {
            let came = error.step.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            found.push(Mismatch { place, ..mismatch("error.step", step.to_string(), came) });
        }
        if let Some(part) = parts.message.filter(|part| !error.message.contains(part.as_str())) {
            found.push(mismatch("error.message", format!("something that contains {part:?}"), error.message.clone()));
        }
    }

    fn steps(&self, story: &Story, found: &mut Vec<Mismatch>) {
        for (place, wanted) in &self.steps {
            let came = story.steps.get(place).map_or("absent", |step| step.status);
            if came != wanted {
                found.push(mismatch(&format!("steps.{place}"), wanted.clone(), came.to_owned()));
            }
        }
        for (place, wanted) in &self.branches {
            let branch = story.steps.get(place).map(|step| step.branch.as_ref());
            let came = match branch {
                None => "nothing: the step was never reached".to_owned(),
                Some(None) => "nothing: it has not decided".to_owned(),
                Some(Some(branch)) => match (&branch.name, branch.index) {
                    (Some(name), _) => name.clone(),
                    (None, Some(index)) => index.to_string(),
                    (None, None) => "else".to_owned(),
                },
            };
            let index = branch.flatten().and_then(|branch| branch.index);
            let fits =
                wanted.as_str() == Some(came.as_str()) || index.is_some() && wanted.as_u64() == index.map(u64::from);
            if !fits {
                let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
                found.push(mismatch(&format!("branches.{place}"), wanted, came));
            }
        }
        for (place, wanted) in &self.iterations {
            let wanted = if wanted.is_number() { json!({ "count": wanted }) } else { wanted.clone() };
            let came = story.steps.get(place).and_then(|step| step.iterations).map(|iterations| json!(iterations));
            compare(&wanted, came.as_ref(), &format!("iterations.{place}"), None, found);
        }
    }
}

fn mismatch(what: &str, expected: impl Into<String>, came: impl Into<String>) -> Mismatch {
    Mismatch { what: what.to_owned(), expected: expected.into(), came: came.into(), place: None }
}

fn text(status: RunStatus) -> String {
    json!(status).as_str().unwrap_or_default().to_owned()
}

fn compare(expected: &Value, came: Option<&Value>, path: &str, place: Option<&str>, found: &mut Vec<Mismatch>) {
    let mut different = Vec::new();
    differences(expected, came, path, &mut different);
    found.extend(different.into_iter().map(|difference| of(difference, place)));
}

fn of((what, expected, came): Difference, place: Option<&str>) -> Mismatch {
    Mismatch { what, expected, came, place: place.map(str::to_owned) }
}

/// The part of a value at a dotted path; digits are indices of a list.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}

/// Finds for each expected request one that fits best among those not taken yet: one that fits wholly before any other.
fn check_requests(expected: &[ExpectRequest], came: &[Request], found: &mut Vec<Mismatch>) {
    let mut free: Vec<&Request> = came.iter().collect();
    let mut unfit = Vec::new();
    for (index, wanted) in expected.iter().enumerate() {
        let fitting = free.iter().position(|request| wanted.differences(request, "").is_empty());
        match fitting {
            Some(place) => drop(free.remove(place)),
            None => unfit.push((index, wanted)),
        }
    }
    for (index, wanted) in unfit {
        let what = format!("requests[{index}]");
        // The nearest is the one that was probably meant: the same step and address, and as little as possible beside.
        let near = free.iter().enumerate().min_by_key(|(_, request)| wanted.distance(request)).map(|(place, _)| place);
        if let Some(place) = near {
            let request = free.remove(place);
            let place = request.sentence();
            let different = wanted.differences(request, &what);
            found.extend(different.into_iter().map(|difference| of(difference, Some(&place))));
        } else {
            found.push(mismatch(&what, json!(wanted).to_string(), "nothing: no further request was sent"));
        }
    }
    for request in free {
        found.push(mismatch("requests", "no further request", request.sentence()));
    }
}

impl Request {
    /// `POST https://… (step create, attempt 1)`.
    fn sentence(&self) -> String {
        let sent = &self.exchange.request;
        format!("{} {} (step {}, attempt {})", sent.method, sent.url, self.step, self.attempt)
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.exchange.request.body.whole()?).ok()
    }
}

impl ExpectRequest {
    fn differences(&self, request: &Request, what: &str) -> Vec<Difference> {
        let sent = &request.exchange.request;
        let mut found = Vec::new();
        let mut plain = |name: &str, wanted: Option<&String>, came: &str, fits: bool| {
            if let Some(wanted) = wanted.filter(|_| !fits) {
                found.push((format!("{what}.{name}"), wanted.clone(), came.to_owned()));
            }
        };
        let is = |wanted: &Option<String>, came: &str| wanted.as_ref().is_none_or(|wanted| wanted == came);
        plain("step", self.step.as_ref(), &request.step, is(&self.step, &request.step));
        let method = self.method.as_ref().map(|method| method.to_ascii_uppercase());
        plain("method", method.as_ref(), &sent.method, is(&method, &sent.method));
        let url = self.url.as_ref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => sent.url.starts_with(beginning),
            None => *wanted == sent.url,
        });
        plain("url", self.url.as_ref(), &sent.url, url);
        for (name, wanted) in &self.headers {
            let came =
                sent.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| json!(value));
            differences(wanted, came.as_ref(), &format!("{what}.headers.{name}"), &mut found);
        }
        if let Some(wanted) = &self.json {
            differences(wanted, request.json().as_ref(), &format!("{what}.json"), &mut found);
        }
        if let Some(wanted) = &self.text {
            let came = sent.body.text.as_ref().map(|text| json!(text));
            differences(wanted, came.as_ref(), &format!("{what}.text"), &mut found);
        }
        found
    }

    /// How unlike: another step or address counts more than any part of the content.
    fn distance(&self, request: &Request) -> usize {
        let differences = self.differences(request, "");
        let weight = |path: &str| match path {
            ".step" => 1_000,
            ".method" | ".url" => 100,
            _ => 1,
        };
        differences.iter().map(|(path, ..)| weight(path)).sum()
    }
}
