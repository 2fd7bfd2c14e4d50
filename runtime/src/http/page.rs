//! Small pages for people in browsers: nothing is loaded, nothing runs, whatever text stands in them.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use data_encoding::BASE64;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

/// A column that can be read, in the colours that somebody's system has.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:12vh auto;padding:0 1.5rem;overflow-wrap:anywhere}\
h1{font-size:1.5rem;line-height:1.25}\
code{font:.9em ui-monospace,monospace;background:#8883;border-radius:.25em;padding:.1em .3em}\
button{font:inherit;padding:.4em 1em}";

/// Nothing is loaded but the one style, nothing runs, and no other page may hold this one in a frame.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let style = BASE64.encode(&Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

/// A page with this content, which is HTML.
pub(crate) fn page(status: StatusCode, content: &str) -> Response {
    const NO_INDEX: HeaderName = HeaderName::from_static("x-robots-tag");
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Flowcell</title><style>{STYLE}</style><body>{content}</body></html>"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (NO_INDEX, "noindex"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let policy = POLICY.clone().unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// A heading and a paragraph, both text. What stands between two backticks is set as code.
pub(crate) fn message(title: &str, text: &str) -> String {
    let escaped = escape(text);
    let parts: Vec<&str> = escaped.split('`').collect();
    let paragraph = if parts.len().is_multiple_of(2) {
        escaped
    } else {
        let set =
            |(at, part): (usize, &&str)| if at % 2 == 0 { (*part).to_owned() } else { format!("<code>{part}</code>") };
        parts.iter().enumerate().map(set).collect()
    };
    format!("<h1>{}</h1><p>{paragraph}</p>", escape(title))
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_text_with_names_set_as_code() {
        let shown = |text: &str| message("<T>", text);
        assert_eq!(shown("`crm` is <b>"), "<h1>&lt;T&gt;</h1><p><code>crm</code> is &lt;b&gt;</p>");
        assert_eq!(shown("one ` alone"), "<h1>&lt;T&gt;</h1><p>one ` alone</p>");
    }

    #[test]
    fn the_policy_admits_the_style_and_nothing_else() {
        let response = page(StatusCode::OK, "");
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        let style = BASE64.encode(&Sha256::digest(STYLE));
        assert!(policy.starts_with(&format!("default-src 'none'; style-src 'sha256-{style}'; form-action 'self'")));
    }
}
