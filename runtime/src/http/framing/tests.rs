use super::*;
use Refusal::{
    BareLineFeed, ChunkEnd, ChunkSize, CodingInHttp10, Connect, ControlByte, Expectation, FieldLine, FieldName,
    FoldedLine, HeadTooLong, Length, LengthAndCoding, NoHost, RequestLine, Target, TargetTooLong, TooManyFields,
    Trailer, TwoCodings, TwoHosts, TwoLengths, UnknownCoding, Version,
};

fn framing() -> Framing {
    let limits = crate::config::Config::default().http.limits();
    Framing::new(&Limits { header_bytes_max: 512, target_bytes_max: 64, headers_max: 6, ..limits })
}

/// What a connection with these bytes comes to: the lengths of its heads, how many bytes of bodies, and the refusal.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Read {
    heads: Vec<usize>,
    body: usize,
    refused: Option<Refusal>,
    /// Bytes that wait for more.
    waiting: usize,
}

/// Brings the bytes in pieces of `piece`, as the gate does.
fn read(bytes: &[u8], piece: usize) -> Read {
    let (mut framing, mut read, mut held) = (framing(), Read::default(), Vec::new());
    for fresh in bytes.chunks(piece) {
        held.extend_from_slice(fresh);
        while !held.is_empty() {
            match framing.step(&held) {
                Step::More => break,
                Step::Refuse(refusal) => {
                    read.refused = Some(refusal);
                    return read;
                }
                Step::Head(count) => {
                    read.heads.push(count);
                    held.drain(..count);
                }
                Step::Body(count) => {
                    assert!(count > 0, "a step goes forward");
                    read.body += count;
                    held.drain(..count);
                }
            }
        }
    }
    read.waiting = held.len();
    read
}

/// The same however the bytes are cut.
#[track_caller]
fn check(bytes: &[u8]) -> Read {
    let whole = read(bytes, usize::MAX);
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(read(bytes, piece), whole, "in pieces of {piece}: {}", bytes.escape_ascii());
    }
    whole
}

#[test]
fn what_is_well_formed_passes_and_its_end_is_found() {
    let post = "POST /a?b=c HTTP/1.1\r\nHost: x\r\n";
    for (rest, body) in [
        ("\r\n", 0),
        ("content-length: 0\r\n\r\n", 0),
        ("Content-Length:\t3 \r\n\r\nabc", 3),
        ("content-length: 0000000000000003\r\n\r\nabc", 3),
        ("transfer-encoding: Chunked\r\n\r\n0\r\n\r\n", 5),
        ("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0A;name=\"v\"\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n", 48),
        ("expect: 100-Continue\r\ncontent-length: 1\r\n\r\na", 1),
        ("x-empty:\r\nx-text: f\u{fc}r \t x\r\nupgrade: h2c\r\n\r\n", 0),
    ] {
        let request = format!("{post}{rest}");
        let one = check(request.as_bytes());
        assert_eq!((one.heads.len(), one.body, one.refused, one.waiting), (1, body, None, 0), "{request:?}");
        // Another follows on the same connection.
        let two = check(format!("{request}{request}").as_bytes());
        assert_eq!((two.heads.len(), two.body, two.refused, two.waiting), (2, 2 * body, None, 0), "{request:?}");
    }
    for whole in [
        "GET http://x/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET HTTPS://x HTTP/1.1\r\nhost: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "PURGE /%zz?{\"a\":1}|[] HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        assert_eq!(check(whole.as_bytes()), Read { heads: vec![whole.len()], ..Read::default() }, "{whole:?}");
    }
}

#[test]
fn whatever_can_be_read_in_two_ways_is_refused() {
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n");
    for (fields, refusal) in [
        // One body, two lengths.
        ("content-length: 3\r\ntransfer-encoding: chunked", LengthAndCoding),
        ("transfer-encoding: chunked\r\ncontent-length: 3", LengthAndCoding),
        ("content-length: 3\r\ncontent-length: 3", TwoLengths),
        ("content-length: 3\r\nContent-Length: 4", TwoLengths),
        ("content-length: 3, 3", Length),
        ("content-length: +3", Length),
        ("content-length: -1", Length),
        ("content-length: 0x3", Length),
        ("content-length: 3 3", Length),
        ("content-length:", Length),
        ("content-length: 3;", Length),
        ("content-length: 99999999999999999999", Length),
        ("transfer-encoding: gzip, chunked", UnknownCoding),
        ("transfer-encoding: chunked, identity", UnknownCoding),
        ("transfer-encoding: identity", UnknownCoding),
        ("transfer-encoding: xchunked", UnknownCoding),
        ("transfer-encoding: \"chunked\"", UnknownCoding),
        ("transfer-encoding: chunked;q=1", UnknownCoding),
        ("transfer-encoding: chunked,", UnknownCoding),
        ("transfer-encoding:", TwoCodings),
        ("transfer-encoding: chunked, chunked", TwoCodings),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", TwoCodings),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity", TwoCodings),
        // Names that one reader takes for another name.
        ("content-length : 3", FieldName),
        ("content-length\t: 3", FieldName),
        ("\u{b}content-length: 3", FieldName),
        (": 3", FieldName),
        ("conten\0t: 3", FieldName),
        ("na me: 3", FieldName),
        ("n\u{fc}me: 3", FieldName),
        ("no colon", FieldLine),
        // Lines that one reader takes for two, or two for one.
        ("x: a\r\n folded", FoldedLine),
        ("x: a\r\n\tcontent-length: 3", FoldedLine),
        ("x: a\ncontent-length: 3", BareLineFeed),
        ("x: a\rcontent-length: 3", ControlByte),
        ("x: a\r\rcontent-length: 3", ControlByte),
        ("x: a\0", ControlByte),
        ("x: a\u{7f}", ControlByte),
        ("x: a\u{8}b", ControlByte),
        ("transfer-encoding: \u{b}chunked", ControlByte),
        // Hosts, expectations, and too much.
        ("Host: x", TwoHosts),
        ("expect: 200-ok", Expectation),
        ("expect: 100-continue, x", Expectation),
        ("a: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\nf: 1", TooManyFields),
    ] {
        let request = post(fields);
        let seen = check(request.as_bytes());
        assert_eq!((seen.heads.len(), seen.refused), (0, Some(refusal)), "{request:?}");
    }
    let long = "x".repeat(600);
    for (head, refusal) in [
        ("GET / HTTP/1.1\r\n\r\n", NoHost),
        ("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", CodingInHttp10),
        ("GET / HTTP/1.1\nhost: x\r\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: x\n\r\n", BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: x\r\n\n", BareLineFeed),
        ("\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", BareLineFeed),
        ("\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", RequestLine),
        ("GET / HTTP/1.1\r\n host: x\r\n\r\n", FoldedLine),
        ("GET  / HTTP/1.1\r\nhost: x\r\n\r\n", RequestLine),
        ("GET / HTTP/1.1 \r\nhost: x\r\n\r\n", RequestLine),
        ("GET\t/ HTTP/1.1\r\nhost: x\r\n\r\n", RequestLine),
        (" GET / HTTP/1.1\r\nhost: x\r\n\r\n", RequestLine),
        ("GET /\r\nhost: x\r\n\r\n", RequestLine),
        ("G(T / HTTP/1.1\r\nhost: x\r\n\r\n", RequestLine),
        ("GET / HTTP/1.2\r\nhost: x\r\n\r\n", Version),
        ("GET / HTTP/2.0\r\nhost: x\r\n\r\n", Version),
        ("PRI * HTTP/2.0\r\nhost: x\r\n\r\n", Version),
        ("GET / http/1.1\r\nhost: x\r\n\r\n", Version),
        ("GET / HTTP/1.1\r HTTP/1.1\r\nhost: x\r\n\r\n", RequestLine),
        ("GET x HTTP/1.1\r\nhost: x\r\n\r\n", Target),
        ("GET * HTTP/1.1\r\nhost: x\r\n\r\n", Target),
        ("GET ftp://x/ HTTP/1.1\r\nhost: x\r\n\r\n", Target),
        ("GET /a#b HTTP/1.1\r\nhost: x\r\n\r\n", Target),
        ("GET /\u{fc} HTTP/1.1\r\nhost: x\r\n\r\n", Target),
        ("GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n", Target),
        ("CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", Connect),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\r\n", RequestLine), // TLS, or anything else that is not HTTP
    ] {
        let seen = check(head.as_bytes());
        assert_eq!((seen.heads.len(), seen.refused), (0, Some(refusal)), "{head:?}");
    }
    for (head, refusal) in [
        (format!("GET /{long}"), TargetTooLong),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(64)), TargetTooLong),
        (format!("GET / HTTP/1.1\r\nhost: x\r\na: {long}"), HeadTooLong),
        (format!("GET / HTTP/1.1\r\nhost: x\r\na: {long}\r\n\r\n"), HeadTooLong),
    ] {
        assert_eq!(read(head.as_bytes(), 16).refused, Some(refusal), "{head}");
        assert_eq!(read(head.as_bytes(), usize::MAX).refused, Some(refusal), "{head}");
    }
}

#[test]
fn chunks_are_what_they_say() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
    for (chunks, refusal) in [
        ("\r\n", ChunkSize),
        ("x\r\n", ChunkSize),
        (" 3\r\nabc\r\n", ChunkSize),
        ("3 \r\nabc\r\n", ChunkSize),
        ("3 ;x\r\nabc\r\n", ChunkSize),
        ("+3\r\nabc\r\n", ChunkSize),
        ("0x3\r\nabc\r\n", ChunkSize),
        ("-1\r\n", ChunkSize),
        ("3\nabc\r\n", ChunkSize),
        ("3\r\r\nabc\r\n", ChunkSize),
        ("3;\nabc\r\n", ChunkSize),
        ("3;a\rb\r\nabc\r\n", ChunkSize),
        ("3;a\0\r\nabc\r\n", ChunkSize),
        ("00000000000000003\r\nabc\r\n", ChunkSize),
        ("fffffffffffffffff\r\n", ChunkSize),
        (long.as_str(), ChunkSize),
        ("3\r\nabcd\r\n", ChunkEnd),
        ("3\r\nabc\n0\r\n\r\n", ChunkEnd),
        ("3\r\nabc\rx", ChunkEnd),
        ("3\r\nabc0\r\n\r\n", ChunkEnd),
        ("0\r\nx: 1\n\r\n", Trailer),
        ("0\r\n x: 1\r\n\r\n", Trailer),
        ("0\r\nx\r\n\r\n", Trailer),
        ("0\r\n\n", Trailer),
        ("0\r\nContent-Length: 3\r\n\r\n", Trailer),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Trailer),
        ("0\r\nHost: y\r\n\r\n", Trailer),
    ] {
        let request = format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let seen = check(request.as_bytes());
        assert_eq!((seen.heads.len(), seen.refused), (1, Some(refusal)), "{chunks:?}");
    }
}

#[test]
fn a_request_behind_a_refused_one_is_never_one() {
    let hidden = "POST /hidden HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let ok = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    for first in [
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 60\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx: y\n\r\n",
    ] {
        let seen = check(format!("{ok}{first}{hidden}").as_bytes());
        assert_eq!(seen.heads, [ok.len()], "{first:?}");
        assert!(seen.refused.is_some(), "{first:?}");
    }
}

#[test]
fn http2_passes_as_it_is_and_only_from_the_start() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0\n\n";
    let seen = check(preface.as_bytes());
    assert_eq!(seen, Read { body: preface.len(), ..Read::default() });
    let late = format!("GET / HTTP/1.1\r\nhost: x\r\n\r\n{preface}");
    assert_eq!(check(late.as_bytes()).refused, Some(Version));
    assert_eq!(check(b"PRI * HTT").waiting, 9);
}

/// Any bytes, and any cut of them: no panic, no step without progress, and the same outcome.
#[test]
fn noise_is_read_the_same_however_it_is_cut() {
    let words: [&[u8]; 16] = [
        b"POST / HTTP/1.1\r\n",
        b"host: x\r\n",
        b"content-length: 3\r\n",
        b"transfer-encoding: chunked\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"3",
        b"abc",
        b"0\r\n\r\n",
        b" ",
        b":",
        b"\0",
        b"\xff",
        b"GET /a HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut taken = 0;
    for _ in 0..2_000 {
        let mut bytes = b"POST / HTTP/1.1\r\nhost: x\r\n".to_vec();
        for _ in 0..draw(12) {
            bytes.extend_from_slice(words[draw(words.len())]);
        }
        taken += check(&bytes).heads.len();
    }
    assert!(taken > 50, "some of it is HTTP: {taken}");
}
