//! JSON, base64, hexadecimal and URL encoding.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value as Json;

use super::call::{Call, Refusal};
use super::{Filter, Outcome, filter};
use crate::expression::template::Bounded;

pub(super) const FILTERS: &[Filter] = &[
    filter("to_json", &["indent"], to_json),
    filter("from_json", &[], from_json),
    filter("base64_encode", &[], |call| {
        let text = call.text()?;
        call.text_done(BASE64.encode(text.as_bytes()))
    }),
    filter("base64url_encode", &[], |call| {
        let text = call.text()?;
        call.text_done(BASE64URL_NOPAD.encode(text.as_bytes()))
    }),
    filter("base64_decode", &[], base64_decode),
    filter("hex_encode", &[], |call| {
        let text = call.text()?;
        call.text_done(HEXLOWER.encode(text.as_bytes()))
    }),
    filter("hex_decode", &[], |call| {
        let text = call.text()?;
        let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
        decoded(call, bytes, "hexadecimal digits")
    }),
    filter("url_encode", &[], |call| {
        let text = call.text()?;
        call.text_done(utf8_percent_encode(&text, &COMPONENT).to_string())
    }),
    filter("url_decode", &[], |call| {
        let text = call.text()?.replace('+', " ");
        let bytes = percent_decode_str(&text).collect();
        decoded(call, Some(bytes), "URL encoding")
    }),
    filter("parse_url", &[], parse_url),
    filter("parse_query", &[], |call| {
        let text = call.text()?;
        let pairs = url::form_urlencoded::parse(text.trim_start_matches('?').as_bytes());
        call.done(&query(pairs))
    }),
    filter("to_query", &[], to_query),
];

/// Everything but the unreserved characters of RFC 3986.
const COMPONENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn to_json(call: &mut Call<'_, '_, '_>) -> Outcome {
    let value = call.json(call.value())?;
    let text = match call.argument_count(0, 8)? {
        None | Some(0) => value.to_string(),
        Some(width) => {
            let indent = " ".repeat(width);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            // Indentation multiplies what is deeply nested.
            let mut text = Bounded::default();
            let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
            let written = serde::Serialize::serialize(&value, &mut serializer);
            written.map_err(|_| crate::expression::template::too_long())?;
            String::from_utf8(text.0).map_err(|error| error.to_string())?
        }
    };
    call.text_done(text)
}

fn from_json(call: &mut Call<'_, '_, '_>) -> Outcome {
    let minijinja::value::ValueKind::String = call.value().kind() else { return Err(call.wrong("a text")) };
    let text = call.text()?;
    // Parsing is as dear as walking what comes out of it.
    call.pay(text.len() / 16)?;
    let value: Json = serde_json::from_str(&text)
        .map_err(|error| call.says(&format!("takes JSON; line {}, column {} is none", error.line(), error.column())))?;
    call.done(&value)
}

/// Takes both alphabets, with and without padding, and passes over white space.
fn base64_decode(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text: String = call.text()?.split_whitespace().collect();
    let is_url_safe = text.contains(['-', '_']);
    let encoding = match (is_url_safe, text.ends_with('=')) {
        (true, true) => BASE64URL,
        (true, false) => BASE64URL_NOPAD,
        (false, true) => BASE64,
        (false, false) => BASE64_NOPAD,
    };
    decoded(call, encoding.decode(text.as_bytes()).ok(), "base64")
}

fn decoded(call: &Call<'_, '_, '_>, bytes: Option<Vec<u8>>, what: &str) -> Outcome {
    let bytes = bytes.ok_or_else(|| call.says(&format!("takes {what} and got a text that is none")))?;
    let text = String::from_utf8(bytes);
    call.text_done(
        text.map_err(|_| call.says(&format!("takes {what} of a text in UTF-8, and got that of something else")))?,
    )
}

fn query<'q>(pairs: impl Iterator<Item = (std::borrow::Cow<'q, str>, std::borrow::Cow<'q, str>)>) -> Json {
    let mut fields = serde_json::Map::new();
    for (key, value) in pairs {
        let value = Json::from(value.into_owned());
        match fields.get_mut(&*key) {
            None => {
                fields.insert(key.into_owned(), value);
            }
            // A key that occurs again makes an array.
            Some(Json::Array(values)) => values.push(value),
            Some(first) => *first = Json::Array(vec![first.take(), value]),
        }
    }
    Json::Object(fields)
}

fn parse_url(call: &mut Call<'_, '_, '_>) -> Outcome {
    let text = call.text()?;
    call.pay(text.len() / 8)?;
    let url = url::Url::parse(&text).map_err(|error| {
        call.says(&format!("takes a URL such as `https://example.com/a?b=c` and got none: {error}"))
    })?;
    let mut parts = serde_json::json!({
        "scheme": url.scheme(),
        "host": url.host_str(),
        "port": url.port_or_known_default(),
        "path": url.path(),
        "fragment": url.fragment(),
    });
    if let Some(parts) = parts.as_object_mut() {
        parts.insert("query".to_owned(), query(url.query_pairs()));
    }
    call.done(&parts)
}

fn to_query(call: &mut Call<'_, '_, '_>) -> Outcome {
    let fields = call.fields()?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let plain = |call: &Call<'_, '_, '_>, value: &Json| -> Result<String, Refusal> {
        match value {
            Json::String(text) => Ok(text.clone()),
            Json::Bool(_) | Json::Number(_) => Ok(value.to_string()),
            _ => Err(call.says("takes an object whose values are texts, numbers, true or false, or arrays of these")),
        }
    };
    for (key, value) in &fields {
        match value {
            Json::Null => {}
            Json::Array(values) => {
                for value in values {
                    query.append_pair(key, &plain(call, value)?);
                }
            }
            value => {
                query.append_pair(key, &plain(call, value)?);
            }
        }
    }
    call.text_done(query.finish())
}
