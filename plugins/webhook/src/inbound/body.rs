//! A request's body: decoded for expressions, and as it came.

use flowcell_sdk::json::{LEVELS_MAX, Verbatim};
use flowcell_sdk::media::{Media, base64, form_fields};
use flowcell_sdk::schema::Node;
use flowcell_sdk::trigger::Reply;
use flowcell_sdk::{Output, log, multipart};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::collected;

/// A value that crosses to the host has at most 1 MiB (`wit/1.0.0`, rule 1); 64 KiB of it are left for headers and query, as much as
/// the host takes of headers.
const EVENT_BYTES_MAX: usize = (1024 - 64) * 1024;

/// What expressions read as `trigger.body`.
pub(super) enum Body {
    /// Nothing, or nothing that JSON can hold.
    Null,
    Json(Verbatim),
    Form(Map<String, Value>),
    Text(String),
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, encoder: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => encoder.serialize_unit(),
            Self::Json(json) => json.serialize(encoder),
            Self::Form(fields) => fields.serialize(encoder),
            Self::Text(text) => text.serialize(encoder),
        }
    }
}
impl Output for Body {
    const SCHEMA: &'static Node = &Node::Any;
}

#[derive(Output, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawEncoding {
    /// Text.
    #[serde(rename = "utf-8")]
    Utf8,
    Base64,
}

pub(super) struct Decoded {
    pub(super) body: Body,
    pub(super) raw: Option<String>,
    pub(super) raw_encoding: RawEncoding,
}

impl Decoded {
    /// Reads the body, or says in an answer to the sender why it cannot be read. Without a content type JSON counts as JSON and text as text.
    pub(super) fn read(body: Vec<u8>, media: Option<Media>, keeps_raw: bool) -> Result<Self, Reply> {
        if body.is_empty() && !matches!(media, Some(Media::Form | Media::Binary)) {
            return Ok(Self::text(Body::Null, String::new(), keeps_raw));
        }
        let decoded = match (String::from_utf8(body), media) {
            (Ok(text), Some(Media::Json)) => match parse(&text) {
                Ok(json) => Self::text(Body::Json(json), text, keeps_raw),
                Err(error) => return Err(not_json(&error.to_string())),
            },
            (Ok(text), None) => match parse(&text) {
                Ok(json) => Self::text(Body::Json(json), text, keeps_raw),
                Err(_) => Self::text(Body::Text(text.clone()), text, keeps_raw),
            },
            (Ok(text), Some(Media::Form)) => {
                Self::text(Body::Form(collected(form_fields(text.as_bytes()))), text, keeps_raw)
            }
            (Ok(text), Some(Media::Text)) => Self::text(Body::Text(text.clone()), text, keeps_raw),
            (Ok(text), Some(Media::Binary)) => Self::binary(Body::Null, text.as_bytes(), keeps_raw),
            (Err(error), Some(Media::Json)) => {
                return Err(not_json(&format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())));
            }
            // A form may percent-encode nothing and still decode; what is not UTF-8 in it is replaced, and `raw` has the bytes.
            (Err(error), Some(Media::Form)) => {
                Self::binary(Body::Form(collected(form_fields(error.as_bytes()))), error.as_bytes(), keeps_raw)
            }
            (Err(error), _) => Self::binary(Body::Null, error.as_bytes(), keeps_raw),
        };
        decoded.fitting()
    }

    /// Reads a form with files.
    pub(super) fn read_parts(body: &[u8], boundary: &str, keeps_raw: bool) -> Result<Self, Reply> {
        let parts = multipart::decode(body, boundary).map_err(|error| {
            Reply::problem(400, "Malformed form", &format!("The body is no multipart/form-data: {error}."))
        })?;
        let fields = collected(parts.into_iter().map(|part| (part.name.clone(), field(part))));
        Self::binary(Body::Form(fields), body, keeps_raw).fitting()
    }

    fn text(body: Body, raw: String, keeps_raw: bool) -> Self {
        Self { body, raw: keeps_raw.then_some(raw), raw_encoding: RawEncoding::Utf8 }
    }

    fn binary(body: Body, raw: &[u8], keeps_raw: bool) -> Self {
        Self { body, raw: keeps_raw.then(|| base64(raw)), raw_encoding: RawEncoding::Base64 }
    }

    /// Refuses what the host could not take, while the sender can still be told.
    fn fitting(self) -> Result<Self, Reply> {
        let body = match &self.body {
            Body::Null => 0,
            Body::Json(json) => json.as_str().len(),
            Body::Text(text) => json_bytes(text),
            Body::Form(fields) => serde_json::to_string(fields).map_or(0, |text| text.len()),
        };
        let raw = self.raw.as_deref().map_or(0, json_bytes);
        if body + raw <= EVENT_BYTES_MAX {
            return Ok(self);
        }
        let advice = if raw > 0 && body <= EVENT_BYTES_MAX {
            " The workflow can take it with `raw: false` on its trigger."
        } else {
            ""
        };
        let detail = format!(
            "As an event this body takes {} KiB; a workflow takes at most {} KiB.{advice}",
            (body + raw).div_ceil(1024),
            EVENT_BYTES_MAX / 1024
        );
        log::warn!("a request was refused: {detail}");
        Err(Reply::problem(413, "Body too large", &detail))
    }
}

/// A field as text; a file, or what is no text, as an object.
fn field(part: multipart::Part) -> Value {
    let bytes = part.body.len();
    let body = match (String::from_utf8(part.body), &part.filename) {
        (Ok(text), None) => return Value::String(text),
        (Ok(text), Some(_)) => text.into_bytes(),
        (Err(error), _) => error.into_bytes(),
    };
    json!({ "filename": part.filename, "content_type": part.content_type, "bytes": bytes, "base64": base64(&body) })
}

/// One level is the event around the body. A byte-order mark is no part of the JSON (RFC 8259 §8.1).
fn parse(text: &str) -> Result<Verbatim, serde_json::Error> {
    Verbatim::parse(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(), LEVELS_MAX - 1)
}

fn not_json(why: &str) -> Reply {
    Reply::problem(400, "Malformed JSON", &format!("The body is not JSON: {why}."))
}

/// How long this text is as a JSON string.
fn json_bytes(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..=31 => 6,
        _ => 1,
    });
    escaped.sum::<usize>() + 2
}
