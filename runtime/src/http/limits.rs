//! What a client may send: pure checks of a request's head, before anything reads its body.
//!
//! Ambiguous heads, by which two HTTP speakers in a row can be made to disagree, are refused here (RFC 9112 §3.2, §6), as far as they can
//! be seen. Of HTTP/1.1 hyper settles three cases before anybody else sees them, so they are answered as if they were well formed: beside
//! `Transfer-Encoding: chunked` it drops `Content-Length` (and closes the connection after the answer, which RFC 9112 §6.1 asks for), equal
//! `Content-Length`s it merges, and lines may end with a bare LF. Behind a proxy that reads these differently, that is a gap: to refuse
//! them takes a look at the bytes before hyper, and is open until the work on the edge that gives it one. Different `Content-Length`s hyper
//! refuses itself; `check_framing` covers HTTP/2 and whatever else comes through.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Version, request::Parts};

use crate::http::problem::{Kind, Problem};

/// The limits of the edge; the configuration sets them (`[http]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections_max: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) header_bytes_max: usize,
    pub(crate) headers_max: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) body_idle: Duration,
    pub(crate) bodies_in_flight_bytes_max: usize,
    pub(crate) connection_idle: Duration,
}

/// Refuses a head that is ambiguous or asks for what is not spoken here.
pub(crate) fn check_head(parts: &Parts, header_bytes_max: usize) -> Result<(), Problem> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Problem::new(Kind::MethodNotAllowed, format!("{} is not answered by this server.", parts.method)));
    }
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > header_bytes_max {
        return Err(Problem::new(
            Kind::HeadersTooLarge,
            format!("The headers are {bytes} bytes long; {header_bytes_max} are accepted."),
        ));
    }
    check_framing(&parts.headers)?;
    check_host(parts)
}

fn check_framing(headers: &HeaderMap) -> Result<(), Problem> {
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let codings = headers.get_all(TRANSFER_ENCODING);
    if lengths > 1 || (lengths > 0 && codings.iter().next().is_some()) {
        return Err(Problem::new(
            Kind::InvalidRequest,
            "The request frames its body in two ways (Content-Length and Transfer-Encoding, or one of them twice).",
        ));
    }
    let mut chunked = 0;
    for coding in codings.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        if !coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(Problem::new(Kind::NotImplemented, "The only transfer coding understood here is `chunked`."));
        }
        chunked += 1;
    }
    if chunked > 1 {
        return Err(Problem::new(Kind::InvalidRequest, "The request names the transfer coding `chunked` twice."));
    }
    Ok(())
}

/// One request, one host: the `Host` header and the request target (`:authority` in HTTP/2, a whole URL in HTTP/1.1) must not disagree.
fn check_host(parts: &Parts) -> Result<(), Problem> {
    let bad = |detail: &str| Err(Problem::new(Kind::InvalidRequest, detail));
    let target = parts.uri.authority();
    if target.is_some_and(|authority| authority.as_str().contains('@')) {
        return bad("The request's target carries a user name.");
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return bad("The request has more than one Host header.");
    }
    match first {
        None if parts.version == Version::HTTP_11 => bad("The request has no Host header."),
        None if parts.version == Version::HTTP_2 && target.is_none() => {
            bad("The request names no host: neither :authority nor Host is there.")
        }
        None => Ok(()),
        Some(host) => match host.to_str().ok().and_then(|text| text.parse::<http::uri::Authority>().ok()) {
            Some(authority) if authority.as_str().contains('@') => bad("The Host header is not a host."),
            // Authorities compare without regard to case.
            Some(authority) if target.is_some_and(|target| *target != authority) => {
                bad("The Host header and the request's target name different hosts.")
            }
            Some(_) => Ok(()),
            None => bad("The Host header is not a host."),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, headers, and the status of the refusal.
    type Row<'r> = (&'r str, &'r [(&'r str, &'r str)], Result<(), u16>);

    fn check(method: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
        let mut builder = http::Request::builder().method(method).uri("/");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).expect("a request").into_parts();
        check_head(&parts, 1024).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn one_request_names_one_host() {
        for (version, uri, host, expected) in [
            (Version::HTTP_2, "http://a.example/", None, Ok(())),
            (Version::HTTP_2, "http://a.example/", Some("A.example"), Ok(())),
            (Version::HTTP_2, "/", Some("a.example"), Ok(())),
            (Version::HTTP_2, "http://a.example/", Some("b.example"), Err(400)),
            (Version::HTTP_2, "http://u@a.example/", None, Err(400)),
            (Version::HTTP_2, "/", None, Err(400)),
            (Version::HTTP_11, "http://a.example/", Some("a.example"), Ok(())),
            (Version::HTTP_11, "http://a.example/", Some("b.example"), Err(400)),
            (Version::HTTP_11, "http://a.example/", Some("a.example:81"), Err(400)),
            (Version::HTTP_11, "http://a.example/", None, Err(400)),
            (Version::HTTP_10, "/", None, Ok(())),
        ] {
            let mut builder = http::Request::builder().version(version).uri(uri);
            if let Some(host) = host {
                builder = builder.header(HOST, host);
            }
            let (parts, ()) = builder.body(()).expect("a request").into_parts();
            let checked = check_head(&parts, 1024).map_err(|problem| problem.status().as_u16());
            assert_eq!(checked, expected, "{version:?} {uri} {host:?}");
        }
    }

    /// As they look to `check_head`; what hyper settles of HTTP/1.1 before is said at the top of this file.
    #[test]
    fn ambiguous_and_foreign_heads_are_refused() {
        let host = ("host", "example.com");
        let long = "x".repeat(2_000);
        let table: &[Row<'_>] = &[
            ("POST", &[host, ("content-length", "3")], Ok(())),
            ("POST", &[host, ("transfer-encoding", "chunked")], Ok(())),
            ("POST", &[host, ("transfer-encoding", "Chunked")], Ok(())),
            ("GET", &[("host", "[::1]:8080")], Ok(())),
            ("POST", &[host, ("content-length", "3"), ("transfer-encoding", "chunked")], Err(400)),
            ("POST", &[host, ("content-length", "3"), ("content-length", "3")], Err(400)),
            ("POST", &[host, ("transfer-encoding", "chunked, chunked")], Err(400)),
            ("POST", &[host, ("transfer-encoding", "gzip, chunked")], Err(501)),
            ("GET", &[], Err(400)),
            ("GET", &[host, host], Err(400)),
            ("GET", &[("host", "user@example.com")], Err(400)),
            ("GET", &[("host", "a b")], Err(400)),
            ("TRACE", &[host], Err(405)),
            ("CONNECT", &[host], Err(405)),
            ("GET", &[host, ("x-long", &long)], Err(431)),
        ];
        for (method, headers, expected) in table {
            assert_eq!(check(method, headers), *expected, "{method} {headers:?}");
        }
    }
}
