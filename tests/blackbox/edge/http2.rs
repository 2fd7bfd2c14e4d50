//! HTTP/2: what contradicts itself is refused, and floods end their connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::edge::frames::{DATA, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, frames, head, hello, status};
use crate::edge::wire::{PATIENCE, address, runtime};
use crate::edge::{assert_good, assert_no_panic, server_with, taking};

/// What comes of the request on stream 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Status(u16),
    /// The stream was reset, or the connection ended, and no handler answered.
    Reset,
}

/// A request to `/healthz` with other fields before or behind.
fn request(fields: &[(&str, &str)]) -> Vec<u8> {
    head(1, fields, END_STREAM)
}

const GET: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/healthz")];
const AUTHORITY: (&str, &str) = (":authority", "flowcell.test");

fn get(more: &[(&str, &str)]) -> Vec<u8> {
    request(&[&GET[..], &[AUTHORITY], more].concat())
}

fn posted(path: &str, lengths: &[&str], body: &[u8]) -> Vec<u8> {
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        AUTHORITY,
        ("content-type", "application/json"),
    ];
    fields.extend(lengths.iter().map(|length| ("content-length", *length)));
    [head(1, &fields, 0), Frame::new(DATA, END_STREAM, 1, body).bytes()].concat()
}

/// Each with all that may come of it.
fn rows(hook: &str) -> Vec<(&'static str, Vec<u8>, &'static [Came])> {
    const REFUSED: &[Came] = &[Came::Reset, Came::Status(400)];
    let method = |method| request(&[(":method", method), (":scheme", "http"), (":path", "/healthz"), AUTHORITY]);
    let flood: Vec<(String, String)> = (0..80).map(|n| (format!("x-{n}"), "y".repeat(1_000))).collect();
    let flood: Vec<(&str, &str)> = flood.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    vec![
        ("plain", get(&[]), &[Came::Status(200)]),
        ("a host of the same name", get(&[("host", "Flowcell.test")]), &[Came::Status(200)]),
        ("a delivery that is no JSON", posted(hook, &["2"], b"xx"), &[Came::Status(400)]),
        (":authority twice", get(&[AUTHORITY]), REFUSED),
        ("two :authorities", request(&[&GET[..], &[AUTHORITY, (":authority", "other.test")]].concat()), REFUSED),
        ("another host", get(&[("host", "other.test")]), &[Came::Status(400)]),
        ("two hosts", get(&[("host", "flowcell.test"), ("host", "flowcell.test")]), &[Came::Status(400)]),
        ("no authority", request(&GET), &[Came::Status(400)]),
        ("an odd authority", request(&[&GET[..], &[(":authority", "u@flowcell.test")]].concat()), REFUSED),
        ("an authority with a space", request(&[&GET[..], &[(":authority", "a b")]].concat()), REFUSED),
        ("connection", get(&[("connection", "close")]), REFUSED),
        ("keep-alive", get(&[("keep-alive", "5")]), REFUSED),
        ("proxy-connection", get(&[("proxy-connection", "close")]), REFUSED),
        ("upgrade", get(&[("upgrade", "h2c")]), REFUSED),
        ("transfer-encoding", get(&[("transfer-encoding", "chunked")]), REFUSED),
        ("te", get(&[("te", "gzip")]), REFUSED),
        ("a length that is too long", posted(hook, &["5"], b"abc"), REFUSED),
        ("a length that is too short", posted(hook, &["1"], b"abc"), REFUSED),
        ("two lengths", posted(hook, &["3", "3"], b"abc"), REFUSED),
        ("two other lengths", posted(hook, &["3", "4"], b"abc"), REFUSED),
        ("an odd length", posted(hook, &["+3"], b"abc"), REFUSED),
        ("an upper-case name", get(&[("X-Name", "y")]), REFUSED),
        ("a space in a name", get(&[("x name", "y")]), REFUSED),
        ("a line feed in a value", get(&[("x", "y\r\nhost: z")]), REFUSED),
        ("a NUL in a value", get(&[("x", "y\0")]), REFUSED),
        ("a pseudo-header behind others", get(&[("x", "y"), (":path", "/")]), REFUSED),
        ("an unknown pseudo-header", get(&[(":x", "y")]), REFUSED),
        ("a status in a request", get(&[(":status", "200")]), REFUSED),
        ("no path", request(&[GET[0], GET[1], AUTHORITY]), REFUSED),
        ("an empty path", request(&[GET[0], GET[1], (":path", ""), AUTHORITY]), REFUSED),
        ("a path without a slash", request(&[GET[0], GET[1], (":path", "healthz"), AUTHORITY]), REFUSED),
        ("a path with a space", request(&[GET[0], GET[1], (":path", "/a b"), AUTHORITY]), REFUSED),
        ("no scheme", request(&[GET[0], GET[2], AUTHORITY]), REFUSED),
        ("no method", request(&[GET[1], GET[2], AUTHORITY]), REFUSED),
        ("TRACE", method("TRACE"), &[Came::Status(405)]),
        ("CONNECT", request(&[(":method", "CONNECT"), AUTHORITY]), &[Came::Status(405), Came::Reset]),
        ("CONNECT with a path", method("CONNECT"), &[Came::Status(405), Came::Reset]),
        ("an odd method", method("G T"), REFUSED),
        ("80 kB of headers", get(&flood), &[Came::Status(431), Came::Reset]),
    ]
}

/// Sends and reads until it is clear what came of stream 1.
async fn ask(address: std::net::SocketAddr, bytes: &[u8]) -> Came {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&[&hello(), bytes].concat()).await;
    let mut seen = Vec::new();
    loop {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut seen)).await.expect("left hanging");
        let frames = frames(&seen);
        let answer = frames.iter().find(|frame| frame.kind == HEADERS && frame.stream == 1);
        if let Some(answer) = answer {
            return Came::Status(status(&answer.payload).unwrap_or_else(|| panic!("no status: {answer:?}")));
        }
        let reset = |frame: &Frame| frame.kind == GOAWAY || (frame.kind == RST_STREAM && frame.stream == 1);
        if frames.iter().any(reset) || !matches!(read, Ok(1..)) {
            return Came::Reset;
        }
    }
}

#[test]
fn http2_requests_that_contradict_themselves_are_refused() {
    let (server, _config) = server_with("");
    let (url, address) = (taking(&server), address(&server));
    let runtime = runtime();
    let rows = rows(url.strip_prefix(server.origin()).unwrap());
    let total = rows.len();
    for (about, bytes, allowed) in rows {
        let came = runtime.block_on(ask(address, &bytes));
        assert!(allowed.contains(&came), "{about}: {came:?}");
    }
    assert_eq!(crate::edge::runs(&server).len(), 0, "none of them was a delivery");
    assert_good(&url);
    assert_no_panic(&server);
    println!("{total} HTTP/2 requests were answered as they should be");
}

/// A connection on which frames are written until the server ends it; returns what the server said.
async fn flood(address: std::net::SocketAddr, frame: impl Fn(u32) -> Vec<u8>) -> Vec<Frame> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let write = async {
        let _ = writing.write_all(&hello()).await;
        for number in 0..20_000 {
            if writing.write_all(&frame(2 * number + 1)).await.is_err() {
                break;
            }
        }
        // Whoever is not cut off by then waits in vain.
        tokio::time::sleep(PATIENCE).await;
    };
    let mut seen = Vec::new();
    let read = async { while matches!(reading.read_buf(&mut seen).await, Ok(1..)) {} };
    let ended = tokio::select! { () = write => false, () = read => true };
    assert!(ended, "the connection was ended");
    frames(&seen)
}

#[test]
fn streams_that_are_opened_and_reset_end_their_connection() {
    let (server, _config) = server_with("");
    let (url, address) = (taking(&server), address(&server));
    let hook = url.strip_prefix(server.origin()).unwrap().to_owned();
    let opening = move |stream| {
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", hook.as_str()), AUTHORITY];
        [head(stream, &fields, 0), Frame::new(RST_STREAM, 0, stream, 8u32.to_be_bytes()).bytes()].concat()
    };
    let said = runtime().block_on(flood(address, opening));
    assert!(!said.iter().any(|frame| frame.kind == HEADERS), "{said:?}");
    assert_good(&url);
    assert_no_panic(&server);
}

#[test]
fn one_connection_has_so_many_streams_and_no_more() {
    let (server, _config) = server_with("h2_streams_max = 10\nbody_idle_ms = 60000\nbody_grace_ms = 60000");
    let (url, address) = (taking(&server), address(&server));
    let hook = url.strip_prefix(server.origin()).unwrap();
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", hook), AUTHORITY];
    runtime().block_on(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&hello()).await.unwrap();
        for number in 0..11 {
            stream.write_all(&head(2 * number + 1, &fields, 0)).await.unwrap();
        }
        let mut seen = Vec::new();
        let refused = async {
            while matches!(stream.read_buf(&mut seen).await, Ok(1..)) {
                let refused = |frame: &Frame| frame.kind == RST_STREAM && frame.payload == 7u32.to_be_bytes();
                if let Some(refused) = frames(&seen).into_iter().find(refused) {
                    return refused.stream;
                }
            }
            panic!("the connection ended: {:?}", frames(&seen))
        };
        assert_eq!(tokio::time::timeout(PATIENCE, refused).await.unwrap(), 21, "the eleventh");
    });
    assert_good(&url);
}

#[test]
fn an_http2_client_that_says_nothing_more_is_cut_off() {
    let (server, _config) = server_with("header_timeout_ms = 500");
    let address = address(&server);
    runtime().block_on(async {
        // Half a head: the rest never comes.
        let whole = get(&[]);
        let begun = [hello(), whole[..whole.len() - 5].to_vec()].concat();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&begun).await.unwrap();
        let mut seen = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut seen)).await;
        assert!(ended.is_ok(), "left hanging");
    });
}
