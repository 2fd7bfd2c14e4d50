//! What a client may send: pure checks of a request's head, before anything reads its body.
//!
//! Ambiguous heads, by which two HTTP speakers in a row can be made to disagree, are refused (RFC 9112 §3.2, §6; RFC 9113 §8). Of HTTP/1 hyper
//! settles some before anybody else sees them, so [`super::gate`] has looked at the bytes before; what is checked here is what the parsed head
//! shows, and all of HTTP/2, where framing is no text and h2 refuses what contradicts it.

use std::net::Ipv6Addr;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Method, Version, request::Parts};

use crate::http::descriptors;
use crate::http::problem::{Kind, Problem};

/// The limits of the edge; the configuration sets them (`[http]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections_max: usize,
    pub(crate) connections_per_client_max: usize,
    pub(crate) requests_max: usize,
    pub(crate) requests_per_client_max: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) header_bytes_max: usize,
    pub(crate) headers_max: usize,
    pub(crate) target_bytes_max: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) body_idle: Duration,
    pub(crate) body_grace: Duration,
    pub(crate) body_bytes_per_s_min: u64,
    pub(crate) bodies_in_flight_bytes_max: usize,
    pub(crate) connection_idle: Duration,
    pub(crate) h2_streams_max: usize,
    pub(crate) h2_abandoned_max: usize,
}

impl Limits {
    /// With no more connections than this process has file descriptors for.
    pub(crate) fn fitted_to_process(self) -> Self {
        Self { connections_max: descriptors::connections_max(self.connections_max), ..self }
    }
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
    if target.is_some_and(|authority| !is_host(authority.as_str())) {
        return bad("The request's target names no host as it should: a name or address, and perhaps a port.");
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
        Some(host) => {
            match host.to_str().ok().filter(|text| is_host(text)).and_then(|text| text.parse::<Authority>().ok()) {
                // Authorities compare without regard to case.
                Some(authority) if target.is_some_and(|target| *target != authority) => {
                    bad("The Host header and the request's target name different hosts.")
                }
                Some(_) => Ok(()),
                None => bad("The Host header is not a host."),
            }
        }
    }
}

/// A DNS name, an IPv4 address or an IPv6 one in brackets, with a port or without. RFC 3986 allows more in a host; names that are looked up have
/// none of it, and proxies differ in what they make of it.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => ("", port),
            _ => return false,
        },
        None => match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        },
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_named = text.starts_with('[') || (!name.is_empty() && name.bytes().all(is_name));
    let is_port = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok();
    is_named && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
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

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_without() {
        for host in [
            "a",
            "a.example.",
            "A-b_c.example:80",
            "192.0.2.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "xn--bcher-kva.example",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:+80",
            "a:65536",
            "a:80:80",
            "a b",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "a%00b",
            "u@a",
            "[::1",
            "[::1]x",
            "[a]",
            "::1",
            "b\u{fc}cher.example",
            "a\tb",
            "[fe80::1%25eth0]",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    /// As they look to `check_head`; of HTTP/1 the gate lets only some of them come this far.
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
