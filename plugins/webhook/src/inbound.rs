//! The trigger `inbound`: one request becomes one event, or an answer that says what is wrong with it.

mod body;

use std::collections::BTreeMap;

use flowcell_sdk::media::{Media, form_fields};
use flowcell_sdk::multipart::boundary_of;
use flowcell_sdk::trigger::{Event, Outcome, Reply, WebhookRequest};
use flowcell_sdk::{ActionError, Context, Input, Output};
use serde_json::{Map, Value};

use body::{Body, Decoded, RawEncoding};

/// Names by which senders mark a delivery, so that one sent twice starts one run: Standard Webhooks, the IETF draft, GitHub.
const DELIVERY_HEADERS: [&str; 3] = ["webhook-id", "idempotency-key", "x-github-delivery"];

/// Provider ids and hashes have below 100 bytes; the host takes keys of 512 bytes, with the header's name.
const DELIVERY_ID_BYTES_MAX: usize = 256;

#[derive(Input)]
pub(crate) struct Config {
    /// The methods that start a run; others are answered with 405.
    #[serde(default = "only_post")]
    #[input(default = ["POST"], min_items = 1)]
    methods: Vec<Method>,
    /// How to read the body. "auto" goes by its content type.
    #[serde(default)]
    body: BodyKind,
    /// Keep the body as it came in `trigger.raw` too. Signatures and exact copies need it; large bodies fit better without.
    #[input(default = true)]
    raw: bool,
}

#[derive(Input, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

fn only_post() -> Vec<Method> {
    vec![Method::Post]
}

#[derive(Input, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum BodyKind {
    #[default]
    Auto,
    Json,
    Form,
    Text,
    Binary,
}

/// What the workflow reads as `trigger`.
#[derive(Output)]
pub(crate) struct Payload {
    /// In upper case.
    #[output(example = "POST")]
    method: String,
    /// Names in lower case; what came several times is joined with commas.
    headers: BTreeMap<String, String>,
    /// The query's parameters; one that came several times is a list.
    query: Map<String, Value>,
    /// JSON as it is, a form as an object, text as text; null for nothing and for binary bodies. A form's files are objects with
    /// `filename`, `content_type`, `bytes` and `base64`.
    body: Body,
    /// The body as it came: text, or base64 where `raw_encoding` says so; null if it is not kept.
    raw: Option<String>,
    /// How `raw` is written.
    raw_encoding: RawEncoding,
}

/// What this request means. Anything wrong with it is the sender's to know, so it is a reply; an error would be this workflow's fault.
pub(crate) fn inbound(
    _ctx: &Context,
    Config { methods, body, raw }: Config,
    request: WebhookRequest,
) -> Result<Outcome<Payload>, ActionError> {
    if methods.is_empty() {
        return Err(ActionError::invalid_input("/methods", "no method starts a run: name at least one, such as POST"));
    }
    if !methods.iter().any(|method| method.as_str() == request.method) {
        return Ok(Outcome::Reply(wrong_method(&methods, &request.method)));
    }
    let dedupe_key = match delivery_id(&request) {
        Ok(key) => key,
        Err(reply) => return Ok(Outcome::Reply(reply)),
    };
    let boundary = form_boundary(body, &request.headers);
    let decoded = match boundary {
        Some(boundary) => Decoded::read_parts(&request.body, &boundary, raw),
        None => Decoded::read(request.body, media(body, &request.headers), raw),
    };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(reply) => return Ok(Outcome::Reply(reply)),
    };
    let payload = Payload {
        method: request.method,
        headers: joined(request.headers),
        query: collected(form_fields(request.query.as_bytes())),
        body: decoded.body,
        raw: decoded.raw,
        raw_encoding: decoded.raw_encoding,
    };
    Ok(Outcome::Events(vec![Event { payload, dedupe_key }]))
}

fn wrong_method(methods: &[Method], method: &str) -> Reply {
    let allowed = methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    let detail = format!("This URL does not take {method}. It takes: {allowed}.");
    Reply::problem(405, "Method not allowed", &detail).header("allow", &allowed)
}

/// What makes a repeated delivery known: the sender's own id for it.
fn delivery_id(request: &WebhookRequest) -> Result<Option<String>, Reply> {
    let found =
        DELIVERY_HEADERS.iter().find_map(|name| Some((*name, request.header(name)?)).filter(|(_, id)| !id.is_empty()));
    match found {
        None => Ok(None),
        Some((name, id)) if id.len() > DELIVERY_ID_BYTES_MAX => {
            let detail =
                format!("The header {name} has {} bytes; at most {DELIVERY_ID_BYTES_MAX} are taken.", id.len());
            Err(Reply::problem(400, "Bad delivery id", &detail))
        }
        Some((name, id)) => Ok(Some(format!("{name}:{id}"))),
    }
}

/// The boundary of a form with files, where the body may be read as one.
fn form_boundary(kind: BodyKind, headers: &[(String, String)]) -> Option<String> {
    let (_, content_type) = headers.iter().find(|(name, _)| name == "content-type")?;
    matches!(kind, BodyKind::Auto | BodyKind::Form).then(|| boundary_of(content_type)).flatten()
}

/// How to read the body; `None` where neither author nor sender say.
fn media(kind: BodyKind, headers: &[(String, String)]) -> Option<Media> {
    match kind {
        BodyKind::Json => Some(Media::Json),
        BodyKind::Form => Some(Media::Form),
        BodyKind::Text => Some(Media::Text),
        BodyKind::Binary => Some(Media::Binary),
        BodyKind::Auto => headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| Media::of(value)),
    }
}

/// Header fields as an object: repeated ones joined as RFC 9110 §5.3 says, cookies as RFC 6265 does.
fn joined(headers: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut object = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let separator = if name == "cookie" { "; " } else { ", " };
        object
            .entry(name)
            .and_modify(|joined| {
                joined.push_str(separator);
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    object
}

/// Parameters as an object; one that comes several times becomes a list.
fn collected<V: Into<Value>>(parameters: impl Iterator<Item = (String, V)>) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in parameters {
        let value = value.into();
        match object.get_mut(&name) {
            None => {
                object.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    object
}

#[cfg(test)]
mod tests;
