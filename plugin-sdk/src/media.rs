//! What a content type says about a body.

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    Text,
    Binary,
}

impl Media {
    /// From the value of a `content-type` header.
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "application/xml"
            | "application/yaml"
            | "application/x-yaml"
            | "application/javascript"
            | "application/x-ndjson"
            | "application/graphql" => Self::Text,
            other if other.ends_with("+json") => Self::Json,
            other if other.starts_with("text/") || other.ends_with("+xml") || other.ends_with("+yaml") => Self::Text,
            _ => Self::Binary,
        }
    }
}

/// Bytes as text in JSON (standard alphabet, padded).
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The bytes behind such a text.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// A form's fields, in their order, decoded.
pub fn form_fields(encoded: &[u8]) -> impl Iterator<Item = (String, String)> + '_ {
    form_urlencoded::parse(encoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::Media;

    #[test]
    fn content_types_are_read_without_their_parameters() {
        for (content_type, media) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=utf-8", Media::Json),
            ("application/cloudevents+json", Media::Json),
            ("application/x-www-form-urlencoded;charset=UTF-8", Media::Form),
            ("text/plain", Media::Text),
            ("image/svg+xml", Media::Text),
            ("application/xml", Media::Text),
            ("application/octet-stream", Media::Binary),
            ("multipart/form-data; boundary=x", Media::Binary),
            ("image/png", Media::Binary),
            ("", Media::Binary),
        ] {
            assert_eq!(Media::of(content_type), media, "{content_type}");
        }
    }
}
