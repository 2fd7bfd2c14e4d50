//! Request smuggling, end to end: what a lenient server would take for a second request never reaches a handler.

use crate::edge::wire::{address, answers, exchange, runtime, statuses};
use crate::edge::{assert_no_panic, runs, server_with, taking};

/// Outer requests with a delivery hidden in or behind them: each line is one way in which two readers come to disagree. `{hidden}` stands for the
/// delivery, `{length}` for its length, `{size}` for that in hexadecimal.
const TRICKS: &[(&str, &str)] = &[
    ("CL.TE", "content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE.CL", "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n{size}\r\n{hidden}\r\n0\r\n\r\n"),
    ("TE with a space", "transfer-encoding : chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE folded", "transfer-encoding:\r\n chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE behind a tab", "transfer-encoding:\tchunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE behind a vertical tab", "transfer-encoding: \u{b}chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE.TE", "transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE in quotes", "transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE that is nearly chunked", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE: identity", "transfer-encoding: identity\r\ncontent-length: 0\r\n\r\n{hidden}"),
    ("TE behind a bare LF", "x: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
    ("TE behind a bare CR", "x: y\rtransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n{hidden}"),
    ("CL.CL", "content-length: 0\r\ncontent-length: {length}\r\n\r\n{hidden}"),
    ("CL twice the same", "content-length: 0\r\ncontent-length: 0\r\n\r\n{hidden}"),
    ("CL with a sign", "content-length: +0\r\n\r\n{hidden}"),
    ("CL with a space in its name", "content-length : {length}\r\n\r\n{hidden}"),
    ("CL in a list", "content-length: 0, {length}\r\n\r\n{hidden}"),
    ("CL behind a NUL", "x: \0\r\ncontent-length: 0\r\n\r\n{hidden}"),
    ("a head that ends with bare LFs", "x: y\n\n{hidden}"),
    ("a head that ends with one bare LF", "x: y\r\n\n{hidden}"),
    ("two hosts", "host: y\r\ncontent-length: 0\r\n\r\n{hidden}"),
    ("an odd expectation", "expect: y 100-continue\r\ncontent-length: 0\r\n\r\n{hidden}"),
    ("a chunk size with a bare LF", "transfer-encoding: chunked\r\n\r\n0\n\r\n{hidden}"),
    ("a chunk extension that ends with a bare LF", "transfer-encoding: chunked\r\n\r\n0;\n\r\n{hidden}"),
    ("a chunk extension with a bare CR", "transfer-encoding: chunked\r\n\r\n0;a\rb\r\n\r\n{hidden}"),
    ("a chunk size with a space", "transfer-encoding: chunked\r\n\r\n0 \r\n\r\n{hidden}"),
    ("a chunk size with a prefix", "transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{hidden}"),
    ("a chunk size beyond 64 bits", "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{hidden}"),
    ("a chunk that ends with a bare LF", "transfer-encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n{hidden}"),
    ("a chunk that ends with other bytes", "transfer-encoding: chunked\r\n\r\n1\r\naxx0\r\n\r\n{hidden}"),
    ("trailers that end with a bare LF", "transfer-encoding: chunked\r\n\r\n0\r\nx: y\n\r\n{hidden}"),
    ("a trailer that says a length", "transfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 1\r\n\r\n{hidden}"),
];

#[test]
fn what_is_hidden_in_an_ambiguous_request_never_starts_a_run() {
    let (server, _config) = server_with("");
    let (url, address) = (taking(&server), address(&server));
    let path = url.strip_prefix(server.origin()).unwrap();
    let body = r#"{"number":1}"#;
    let delivery = |framing: &str, rest: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{framing}\r\n\r\n{rest}")
    };
    let hidden = delivery(&format!("content-length: {}\r\nconnection: close", body.len()), body);
    let runtime = runtime();
    let ask = |bytes: String| {
        let answer = runtime.block_on(exchange(address, bytes.as_bytes())).unwrap();
        statuses(&answers(&answer).unwrap())
    };
    for (trick, lines) in TRICKS {
        let lines = lines
            .replace("{length}", &hidden.len().to_string())
            .replace("{size}", &format!("{:x}", hidden.len()))
            .replace("{hidden}", &hidden);
        // The outer request goes to the same trigger, with a body that is no JSON, so that it is not a delivery itself.
        let outer = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{lines}");
        let said = ask(outer);
        assert!(matches!(said[..], [400 | 417 | 501]), "{trick}: {said:?}");
        assert_eq!(runs(&server).len(), 0, "{trick}: what was hidden was delivered");
    }
    // The same behind a request that is as it should be, to see that it would have worked.
    assert_eq!(ask(format!("{}{hidden}", delivery("content-length: 2", "xx"))), [400, 202]);
    assert_eq!(runs(&server).len(), 1);
    assert_no_panic(&server);
    println!("{} ways to hide a delivery: none started a run", TRICKS.len());
}
