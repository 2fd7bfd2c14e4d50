//! The action `request`: one HTTP request, with every part from the step.

mod pairs;
mod parts;
mod statuses;

use flowcell_sdk::http::{Blob, Request, Response, SavedResponse};
use flowcell_sdk::json::Verbatim;
use flowcell_sdk::media::from_base64;
use flowcell_sdk::multipart::{self, Laid};
use flowcell_sdk::{ActionError, Context, Input};
use serde_json::{Map, Value};

use statuses::Statuses;

#[derive(Input)]
pub(crate) struct Call {
    #[serde(default)]
    method: Method,
    /// Where to send it. The scheme, host and port must be written out; the path may hold expressions.
    #[input(format = "uri", example = "https://api.example.com/contacts")]
    url: String,
    /// Parameters for the URL's query, encoded for you. A list gives a parameter several times; null leaves it out.
    #[serde(default)]
    query: Map<String, Value>,
    /// Further headers. Credentials do not belong here: a connection adds them.
    #[serde(default)]
    headers: Map<String, Value>,
    /// A body of JSON. At most one of `json`, `form`, `multipart`, `raw` and `blob` may be given.
    json: Option<Verbatim>,
    /// A body of form fields. A list gives a field several times; null leaves it out.
    form: Option<Map<String, Value>>,
    /// A form with files (multipart/form-data): its parts in their order.
    multipart: Option<Vec<parts::Part>>,
    /// A body as it is.
    #[input(multiline)]
    raw: Option<String>,
    /// How `raw` is written here: base64 is decoded before it is sent.
    #[serde(default)]
    raw_encoding: RawEncoding,
    /// A body that an earlier step fetched: {{ steps.download.output.body }}. The host puts its bytes in.
    blob: Option<Blob>,
    /// The body's content type, where it is not what `json`, `form`, `raw` (text/plain) or the blob says.
    #[input(example = "application/xml")]
    content_type: Option<String>,
    /// Statuses that count as success, such as 2xx, 404 or 400-499; on any other the step fails. 408, 425, 429 and 5xx are worth another
    /// attempt.
    #[serde(default = "only_2xx")]
    #[input(default = ["2xx"], min_items = 1)]
    success_statuses: Vec<String>,
    /// The most time for the whole exchange, in milliseconds; the step's own limit holds too.
    #[input(title = "Timeout (ms)", minimum = 1, maximum = 600000)]
    timeout_ms: Option<u32>,
}

#[derive(Input, Clone, Copy, Default)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
    Head,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
        }
    }
}

#[derive(Input, Clone, Copy, Default, PartialEq, Eq)]
enum RawEncoding {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
}

fn only_2xx() -> Vec<String> {
    vec!["2xx".to_owned()]
}

/// Sends the request; a status outside `success_statuses` is a failure whose kind says whether another attempt is worth it.
pub(crate) fn request(ctx: &Context, call: Call) -> Result<SavedResponse, ActionError> {
    let success = Statuses::parse(&call.success_statuses, "/success_statuses")?;
    let mut request = Request::new(call.method.as_str(), call.url)
        .query(pairs::flatten(&call.query, "/query")?)
        .header("idempotency-key", &ctx.idempotency_key)
        .keep_binary();
    for (name, value) in pairs::flatten(&call.headers, "/headers")? {
        refuse_reserved(&name)?;
        request = request.header(name, value);
    }
    let bodies = [
        call.json.map(Body::Json),
        call.form.map(Body::Form),
        call.multipart.map(Body::Multipart),
        call.raw.map(|text| Body::Raw(text, call.raw_encoding)),
        call.blob.map(Body::Blob),
    ];
    let mut bodies = bodies.into_iter().flatten();
    let body = bodies.next();
    if let Some(second) = bodies.next() {
        let message = "a request has one body: give `json`, `form`, `multipart`, `raw` or `blob`, not several";
        return Err(ActionError::invalid_input(second.place(), message));
    }
    if let Some(content_type) = call.content_type {
        if matches!(body, Some(Body::Multipart(_))) {
            let message = "a multipart body names its own content type, with its boundary; remove this";
            return Err(ActionError::invalid_input("/content_type", message));
        }
        request = request.header("content-type", content_type);
    }
    if let Some(body) = body {
        request = body.put_into(request, &ctx.idempotency_key)?;
    }
    if let Some(timeout_ms) = call.timeout_ms {
        request = request.timeout_ms(timeout_ms);
    }
    let response = request.send()?;
    if success.contains(response.status) {
        Ok(response.save())
    } else {
        Err(failure(&response, &call.success_statuses))
    }
}

/// The one body.
enum Body {
    Json(Verbatim),
    Form(Map<String, Value>),
    Multipart(Vec<parts::Part>),
    Raw(String, RawEncoding),
    Blob(Blob),
}

impl Body {
    /// Its place in the input.
    fn place(&self) -> &'static str {
        match self {
            Self::Json(_) => "/json",
            Self::Form(_) => "/form",
            Self::Multipart(_) => "/multipart",
            Self::Raw(..) => "/raw",
            Self::Blob(_) => "/blob",
        }
    }

    fn put_into(self, request: Request, seed: &str) -> Result<Request, ActionError> {
        Ok(match self {
            Self::Json(json) => request.body("application/json", json),
            Self::Form(form) => request.form(pairs::flatten(&form, "/form")?),
            Self::Multipart(written) => {
                let (parts, blobs) = parts::parts(written)?;
                let Laid { content_type, body, ends } = multipart::lay(&parts, seed);
                let inserts = ends.into_iter().zip(blobs).filter_map(|(end, blob)| Some((end, blob?)));
                inserts.fold(request.body(&content_type, body), |request, (end, blob)| request.insert_blob(end, &blob))
            }
            Self::Blob(blob) => {
                let content_type = blob.content_type.as_deref().unwrap_or("application/octet-stream");
                request.body(content_type, Vec::new()).insert_blob(0, &blob)
            }
            Self::Raw(text, RawEncoding::Utf8) => request.body("text/plain; charset=utf-8", text),
            Self::Raw(text, RawEncoding::Base64) => {
                let bytes = from_base64(&text).ok_or_else(|| {
                    let message = "`raw_encoding` says base64, and this is none; give it with padding, or say utf-8";
                    ActionError::invalid_input("/raw", message)
                })?;
                request.body("application/octet-stream", bytes)
            }
        })
    }
}

/// What the response's status says; for a 2xx or 3xx that the author did not want, what they wanted.
fn failure(response: &Response, wanted: &[String]) -> ActionError {
    let mut error = response.status_error();
    if response.is_success() {
        error.message =
            format!("the server answered {}, and only {} counts as success here", response.status, wanted.join(", "));
    }
    error
}

/// What the step sets by other means, or always.
fn refuse_reserved(name: &str) -> Result<(), ActionError> {
    let is_the_hosts = ["flowcell-keep-body", "flowcell-insert-blobs"].iter().any(|own| name.eq_ignore_ascii_case(own));
    let advice = if is_the_hosts {
        "it never leaves the host; give `blob`, or a part's `blob`"
    } else if name.eq_ignore_ascii_case("idempotency-key") {
        "each request carries the step's own key, the same on each attempt; remove this header"
    } else if name.eq_ignore_ascii_case("content-type") {
        "write it as the step's `content_type`"
    } else {
        return Ok(());
    };
    Err(ActionError::invalid_input(
        &pairs::pointer("/headers", name),
        format!("{name} cannot be given as a header: {advice}"),
    ))
}

#[cfg(test)]
mod tests;
