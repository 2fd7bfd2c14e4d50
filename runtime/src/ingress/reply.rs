//! A trigger's own answer (a challenge, a wrong method), made harmless: it speaks from the origin of the web page and the API.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::http::problem::Kind;

/// Headers of a reply that a plugin does not choose: framing, what belongs to the connection, cookies and policies of our origin.
const REFUSED: [&str; 18] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "content-security-policy",
    "x-content-type-options",
    "x-request-id",
    "clear-site-data",
    "service-worker-allowed",
    "alt-svc",
];

/// Renders the reply. What is not an answer (a status below 200 or above 599) becomes 502.
pub(crate) fn render(status: u16, headers: Vec<(String, String)>, body: Vec<u8>, request_id: &str) -> Response {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let kept = response.headers_mut();
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) else {
            continue;
        };
        if !REFUSED.contains(&name.as_str()) && !name.as_str().starts_with("access-control-") {
            kept.append(name, value);
        }
    }
    let body = if is_problem(kept) { complete(body, status, request_id) } else { body };
    *response.body_mut() = Body::from(body);
    let kept = response.headers_mut();
    // Should a plugin answer with a page, it runs no script here and reads nothing of ours.
    kept.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    kept.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn is_problem(headers: &HeaderMap) -> bool {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/problem+json")
}

/// Adds to a plugin's problem what only the server knows: where the request stands in the log, and what kind of problem it is if the
/// plugin does not say.
fn complete(body: Vec<u8>, status: StatusCode, request_id: &str) -> Vec<u8> {
    let Ok(Value::Object(mut document)) = serde_json::from_slice(&body) else { return body };
    document
        .entry("type")
        .or_insert_with(|| Kind::of_reply(status).map_or_else(|| "about:blank".into(), |kind| kind.uri().into()));
    document.insert("instance".to_owned(), request_id.into());
    Value::Object(document).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_plugins_problem_gets_a_type_and_the_id_of_the_request() {
        for (status, content_type, body, expected) in [
            (
                405,
                "application/problem+json",
                r#"{"title":"T"}"#,
                r#"{"instance":"req_1","title":"T","type":"https://flowcell.dev/problems/method-not-allowed"}"#,
            ),
            (
                418,
                "Application/Problem+JSON; charset=utf-8",
                r#"{"instance":"x"}"#,
                r#"{"instance":"req_1","type":"about:blank"}"#,
            ),
            (400, "application/problem+json", r#"{"type":"urn:x"}"#, r#"{"instance":"req_1","type":"urn:x"}"#),
            (400, "application/problem+json", "no JSON", "no JSON"),
            (400, "application/json", "{}", "{}"),
        ] {
            let headers = vec![("content-type".to_owned(), content_type.to_owned())];
            let response = render(status, headers, body.into(), "req_1");
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
            assert_eq!(body, expected, "{status} {content_type}");
        }
    }

    #[test]
    fn a_reply_cannot_speak_for_the_server() {
        let headers = [
            ("Content-Type", "text/plain"),
            ("Set-Cookie", "a=b"),
            ("Content-Length", "99"),
            ("Access-Control-Allow-Origin", "*"),
            ("bad name", "x"),
            ("x-split", "a\r\nb: c"),
            ("Allow", "POST"),
        ];
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let response = render(405, headers, b"no".to_vec(), "req_1");
        assert_eq!(response.status(), 405);
        let mut names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["allow", "content-security-policy", "content-type", "x-content-type-options"]);
        for odd in [0, 100, 101, 199, 600, 999] {
            assert_eq!(render(odd, Vec::new(), Vec::new(), "req_1").status(), 502, "{odd}");
        }
    }
}
