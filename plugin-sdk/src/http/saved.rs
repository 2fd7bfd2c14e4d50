//! A response as a step's output: what later steps read as `steps.<id>.output`.

use std::collections::BTreeMap;

use super::Response;
use crate::Output;
use crate::json::{LEVELS_MAX, Verbatim};
use crate::media::{Media, base64};

/// A whole response.
#[derive(Debug, Clone, Output)]
pub struct SavedResponse {
    /// The HTTP status.
    #[output(example = 200)]
    pub status: u16,
    /// Names in lower case; what came several times is joined with commas.
    pub headers: BTreeMap<String, String>,
    /// JSON as it is, text as text, anything else as the name of a blob (`{"blob": "sha256:…", "bytes", "content_type"?, "filename"?}`); null when
    /// there is none.
    pub body: Option<SavedBody>,
    /// How the body stands here.
    pub body_encoding: BodyEncoding,
    /// How long the exchange took, in milliseconds.
    pub duration_ms: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Output)]
#[serde(rename_all = "lowercase")]
pub enum BodyEncoding {
    /// There is no body.
    None,
    Json,
    Text,
    /// The host keeps it; the body says which one it is.
    Blob,
    /// From a host that keeps none.
    Base64,
}

/// A body in the form that its content type allows.
#[derive(Debug, Clone)]
pub enum SavedBody {
    Json(Verbatim),
    Text(String),
}

impl serde::Serialize for SavedBody {
    fn serialize<S: serde::Serializer>(&self, encoder: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(json) => json.serialize(encoder),
            Self::Text(text) => encoder.serialize_str(text),
        }
    }
}
impl Output for SavedBody {
    const SCHEMA: &'static crate::schema::Node = &crate::schema::Node::Any;
}

impl Response {
    /// Keeps everything. A body that is not what its content type says is kept as text or base64 rather than lost.
    pub fn save(self) -> SavedResponse {
        let media = self.header("content-type").map_or(Media::Binary, Media::of);
        let blob = self.blob().and_then(|facts| Verbatim::parse(facts.to_owned(), LEVELS_MAX - 1).ok());
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in self.headers.into_iter().filter(|(name, _)| name != "flowcell-blob") {
            headers
                .entry(name)
                .and_modify(|joined| {
                    joined.push_str(", ");
                    joined.push_str(&value);
                })
                .or_insert(value);
        }
        let (body, body_encoding) = match blob {
            Some(facts) => (Some(SavedBody::Json(facts)), BodyEncoding::Blob),
            None => save_body(self.body, media),
        };
        SavedResponse { status: self.status, headers, body, body_encoding, duration_ms: self.duration_ms }
    }
}

fn save_body(body: Vec<u8>, media: Media) -> (Option<SavedBody>, BodyEncoding) {
    if body.is_empty() {
        return (None, BodyEncoding::None);
    }
    if media == Media::Binary {
        return (Some(SavedBody::Text(base64(&body))), BodyEncoding::Base64);
    }
    let text = match String::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return (Some(SavedBody::Text(base64(error.as_bytes()))), BodyEncoding::Base64),
    };
    // One level is the output around it.
    if media == Media::Json
        && let Ok(json) = Verbatim::parse(text.clone(), LEVELS_MAX - 1)
    {
        return (Some(SavedBody::Json(json)), BodyEncoding::Json);
    }
    (Some(SavedBody::Text(text)), BodyEncoding::Text)
}
