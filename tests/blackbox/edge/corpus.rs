//! Requests as bytes, and what each is answered with. The mutations begin with these.

use crate::edge::wire::{address, answers, exchange, runtime, statuses};
use crate::edge::{assert_good, assert_no_panic, server_with, taking};

/// What it is about, the bytes, and the statuses of the answers; the server ends every one of these connections.
type Row = (&'static str, Vec<u8>, &'static [u16]);

/// A request for `/healthz` with these lines behind its request line, and what follows its head.
fn get(lines: &str) -> Vec<u8> {
    format!("GET /healthz HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

/// A POST to a path that is not there, which is answered with 404 if it is read, and the connection closed.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /nowhere HTTP/1.1\r\nHost: flowcell.test\r\nConnection: close\r\n{lines}\r\n{body}").into_bytes()
}

pub(super) fn rows() -> Vec<Row> {
    let close = "Host: flowcell.test\r\nConnection: close\r\n";
    let long = "x".repeat(70_000);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let fields = |count: usize| "x-field: y\r\n".repeat(count);
    let line = |line: &str| format!("{line}\r\n{close}\r\n").into_bytes();
    vec![
        // What is well formed.
        ("plain", get(close), &[200]),
        ("HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n".to_vec(), &[200]),
        ("HTTP/1.0 with a host", b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n".to_vec(), &[200]),
        ("a whole URL as target", line("GET http://flowcell.test/healthz HTTP/1.1"), &[200]),
        ("an empty line before", [b"\r\n".to_vec(), get(close)].concat(), &[200]),
        ("pipelined", [get("Host: x\r\n"), get("Host: x\r\n"), get(close)].concat(), &[200, 200, 200]),
        ("a body by length", post("Content-Length: 3\r\n", "abc"), &[404]),
        ("a body in chunks", post(chunked, "3\r\nabc\r\n0\r\n\r\n"), &[404]),
        ("a chunk extension and a trailer", post(chunked, "3;a=b\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"), &[404]),
        ("an upgrade nobody asked for", get(&format!("{close}Upgrade: h2c\r\n")), &[200]),
        ("a host with a port", get("Host: flowcell.test:8080\r\nConnection: close\r\n"), &[200]),
        ("an IPv6 host", get("Host: [::1]:80\r\nConnection: close\r\n"), &[200]),
        ("an unknown method", line("BREW /healthz HTTP/1.1"), &[405]),
        ("OPTIONS *", line("OPTIONS * HTTP/1.1"), &[404]),
        ("100 headers", get(&format!("{close}{}", fields(98))), &[200]),
        // Two lengths, or none that can be relied on.
        ("CL and TE", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[400]),
        ("TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"), &[400]),
        ("two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), &[400]),
        ("the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), &[400]),
        ("a list of lengths", post("Content-Length: 3, 3\r\n", "abc"), &[400]),
        ("a signed length", post("Content-Length: +3\r\n", "abc"), &[400]),
        ("a negative length", post("Content-Length: -3\r\n", "abc"), &[400]),
        ("a length beyond 64 bits", post("Content-Length: 99999999999999999999\r\n", ""), &[400]),
        ("an empty length", post("Content-Length:\r\n", ""), &[400]),
        ("TE twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[400]),
        ("chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), &[400]),
        ("TE in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), &[400]),
        ("TE: gzip", post("Transfer-Encoding: gzip\r\n", "abc"), &[501]),
        ("TE: gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), &[501]),
        ("TE: identity", post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", "abc"), &[501]),
        ("TE: xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), &[501]),
        ("TE with a vertical tab", post("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"), &[400]),
        ("TE before its colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), &[400]),
        // Hosts.
        ("no host", get("Connection: close\r\n"), &[400]),
        ("two hosts", get(&format!("{close}Host: other.test\r\n")), &[400]),
        ("an empty host", get("Host:\r\nConnection: close\r\n"), &[400]),
        ("a host with a user", get("Host: user@flowcell.test\r\nConnection: close\r\n"), &[400]),
        ("a host with a path", get("Host: flowcell.test/x\r\nConnection: close\r\n"), &[400]),
        ("two hosts in one", get("Host: flowcell.test, other.test\r\nConnection: close\r\n"), &[400]),
        ("a host with an odd port", get("Host: flowcell.test:http\r\nConnection: close\r\n"), &[400]),
        ("another host in the target", line("GET http://other.test/healthz HTTP/1.1"), &[400]),
        ("a user in the target", line("GET http://u@flowcell.test/healthz HTTP/1.1"), &[400]),
        // Methods and targets.
        ("TRACE", line("TRACE /healthz HTTP/1.1"), &[405]),
        ("CONNECT", line("CONNECT flowcell.test:443 HTTP/1.1"), &[405]),
        ("CONNECT with a path", line("CONNECT / HTTP/1.1"), &[405]),
        ("another scheme", line("GET ftp://flowcell.test/ HTTP/1.1"), &[400]),
        ("no slash", line("GET healthz HTTP/1.1"), &[400]),
        ("a fragment", line("GET /healthz#x HTTP/1.1"), &[400]),
        (
            "a raw byte in the path",
            [b"GET /\xff HTTP/1.1\r\n".to_vec(), format!("{close}\r\n").into_bytes()].concat(),
            &[400],
        ),
        ("two spaces", line("GET  /healthz HTTP/1.1"), &[400]),
        ("no version", line("GET /healthz"), &[400]),
        ("HTTP/1.2", line("GET /healthz HTTP/1.2"), &[400]),
        ("HTTP/2.0 in words", line("GET /healthz HTTP/2.0"), &[400]),
        ("a lower-case version", line("GET /healthz http/1.1"), &[400]),
        ("two empty lines before", [b"\r\n\r\n".to_vec(), get(close)].concat(), &[400]),
        ("a long target", line(&format!("GET /{long} HTTP/1.1")), &[414]),
        // Lines.
        ("a bare LF in the request line", format!("GET /healthz HTTP/1.1\n{close}\r\n").into_bytes(), &[400]),
        ("a bare LF in a header", get(&format!("x: y\n{close}")), &[400]),
        ("a bare LF at the end", format!("GET /healthz HTTP/1.1\r\n{close}\n").into_bytes(), &[400]),
        ("a bare CR", get(&format!("x: y\rz: a\r\n{close}")), &[400]),
        ("a NUL", get(&format!("x: y\0\r\n{close}")), &[400]),
        ("an escape", get(&format!("x: \u{1b}[2J\r\n{close}")), &[400]),
        ("a folded line", get(&format!("x: y\r\n z\r\n{close}")), &[400]),
        ("a folded first line", get(&format!(" x: y\r\n{close}")), &[400]),
        ("a space before a colon", get(&format!("x : y\r\n{close}")), &[400]),
        ("no name", get(&format!(": y\r\n{close}")), &[400]),
        ("no colon", get(&format!("xy\r\n{close}")), &[400]),
        ("101 headers", get(&format!("{close}{}", fields(99))), &[431]),
        ("a large header", get(&format!("{close}x: {long}\r\n")), &[431]),
        ("an odd expectation", get(&format!("{close}Expect: 200-ok\r\n")), &[417]),
        // Behind what is refused nothing is read.
        ("nothing behind a refusal", [get("x: y\n"), get(close)].concat(), &[400]),
        ("a refusal behind an answer", [get("Host: x\r\n"), get("x : y\r\n"), get(close)].concat(), &[200, 400]),
        // No HTTP.
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n".to_vec(), &[400]),
        ("noise", b"\0\x01\x02\xff\xfe\n".to_vec(), &[400]),
        ("half a head", b"GET /healthz HTTP/1.1\r\nHost: fl".to_vec(), &[408]),
        ("nothing", Vec::new(), &[]),
    ]
}

#[test]
fn every_row_of_the_corpus_is_answered_as_it_says_and_the_connection_ended() {
    let (server, _config) = server_with("header_timeout_ms = 2000");
    let (url, address) = (taking(&server), address(&server));
    let runtime = runtime();
    let asked: Vec<_> = rows()
        .into_iter()
        .map(|(about, bytes, expected)| {
            (about, expected, runtime.spawn(async move { exchange(address, &bytes).await }))
        })
        .collect();
    let total = asked.len();
    for (about, expected, answer) in asked {
        let answer = runtime.block_on(answer).unwrap().unwrap_or_else(|error| panic!("{about}: {error}"));
        let said = answers(&answer).unwrap_or_else(|error| panic!("{about}: {error}"));
        assert_eq!(statuses(&said), expected, "{about}: {said:?}");
        for one in said.iter().filter(|one| one.status >= 400) {
            assert_eq!(one.header("content-type"), Some("application/problem+json"), "{about}: {one:?}");
            assert!(one.header("x-request-id").is_some(), "{about}: {one:?}");
        }
    }
    assert_good(&url);
    assert_no_panic(&server);
    println!("{total} raw requests were answered as they should be");
}

/// A route that reads its body says when that is not framed as it should be; one that does not, as above, has answered before.
#[test]
fn a_body_that_is_framed_wrongly_never_becomes_a_delivery() {
    let (server, _config) = server_with("");
    let (url, address) = (taking(&server), address(&server));
    let path = url.strip_prefix(server.origin()).unwrap();
    let runtime = runtime();
    for chunks in [
        "\r\n{\"number\":1}\r\n0\r\n\r\n",
        "c \r\n{\"number\":1}\r\n0\r\n\r\n",
        "0xc\r\n{\"number\":1}\r\n0\r\n\r\n",
        "c\n{\"number\":1}\r\n0\r\n\r\n",
        "c\r\n{\"number\":1}\n0\r\n\r\n",
        "b\r\n{\"number\":1}\r\n0\r\n\r\n",
        "c;\n{\"number\":1}\r\n0\r\n\r\n",
        "c\r\n{\"number\":1}\r\n0\r\nContent-Length: 3\r\n\r\n",
        "c\r\n{\"number\":1}\r\n0\r\n\n",
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let answer = runtime.block_on(exchange(address, format!("{head}{chunks}").as_bytes())).unwrap();
        let said = answers(&answer).unwrap();
        assert_eq!(statuses(&said), [400], "{chunks:?}");
    }
    assert_eq!(crate::edge::runs(&server).len(), 0);
    assert_good(&url);
    assert_eq!(crate::edge::runs(&server).len(), 1);
}
