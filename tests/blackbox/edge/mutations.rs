//! G11: the corpus, broken in thousands of ways: no panic, no 5xx that is not meant, nobody left hanging, and a good request is answered after
//! each hundred.

use std::collections::BTreeMap;
use std::time::Instant;

use flowcell_tests::{amount, eventually, get};

use crate::edge::wire::{Chance, PATIENCE, address, answers, clients, exchange, runtime};
use crate::edge::{assert_good, assert_no_panic, corpus, frames, server_with, taking};

/// Unless `FLOWCELL_TORTURE_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 10_000;

/// Good requests come after so many.
const EACH: usize = 100;

/// What tends to matter to a parser of HTTP.
const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\0",
    b":",
    b",",
    b";",
    b"/",
    b"0",
    b"-1",
    b"\xff",
    b"0\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: y\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// What was sent, and what came back.
type Done = Option<Result<(Vec<u8>, std::io::Result<Vec<u8>>), tokio::task::JoinError>>;

/// One to four changes.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let to = (at + chance.below(12)).min(bytes.len());
        match chance.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
            2 => drop(bytes.drain(at..to)),
            3 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => bytes.truncate(at),
            5 => {
                let other = chance.pick(others);
                let from = chance.below(other.len() + 1);
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => drop(bytes.splice(at..at, chance.pick(&PIECES).iter().copied())),
        }
    }
}

/// What came back: the statuses of HTTP/1, or nothing that has one.
fn check(sent: &[u8], answer: &[u8], counts: &mut BTreeMap<u16, u64>) {
    // A mutation may happen to speak HTTP/2, or end in the middle of an answer's body because the connection was reset.
    if sent.starts_with(b"PRI * HTTP/2.0") {
        let heads = frames::frames(answer).into_iter().filter(|frame| frame.kind == frames::HEADERS);
        for status in heads.filter_map(|frame| frames::status(&frame.payload)) {
            assert!(status < 500, "{status} to {}", sent.escape_ascii());
            *counts.entry(status).or_default() += 1;
        }
        return;
    }
    let said = answers(answer).unwrap_or_else(|error| panic!("{error}\nto {}", sent.escape_ascii()));
    if said.is_empty() {
        *counts.entry(0).or_default() += 1;
    }
    for one in said {
        // 501 is what an unknown transfer coding is answered with.
        assert!(one.status < 500 || one.status == 501, "{} to {}", one.status, sent.escape_ascii());
        *counts.entry(one.status).or_default() += 1;
    }
}

#[test]
fn ten_thousand_broken_requests_do_no_harm() {
    let limits =
        "header_timeout_ms = 500\nbody_idle_ms = 500\nconnection_idle_ms = 500\nconnections_per_client_max = 4096";
    let (server, _config) = server_with(limits);
    let (url, address) = (taking(&server), address(&server));
    let corpus: Vec<Vec<u8>> =
        corpus::rows().into_iter().map(|(_, bytes, _)| bytes).filter(|bytes| bytes.len() < 4_096).collect();
    let seeds = {
        let get = [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "x")];
        let http2 = [frames::hello(), frames::head(1, &get, frames::END_STREAM)].concat();
        [corpus.clone(), vec![http2]].concat()
    };
    let mut chance = Chance::new(amount("FLOWCELL_TORTURE_SEED", 11));
    let total = usize::try_from(amount("FLOWCELL_TORTURE_MUTATIONS", MUTATIONS)).unwrap();
    let (runtime, at_a_time) = (runtime(), clients(400));
    let (mut counts, started) = (BTreeMap::new(), Instant::now());
    let mut open = tokio::task::JoinSet::new();
    let mut checked = |done: Done| {
        let (bytes, answer) = done.unwrap().unwrap();
        check(&bytes, &answer.unwrap_or_else(|error| panic!("{error}")), &mut counts);
    };
    for number in 0..total {
        let mut bytes = chance.pick(&seeds).clone();
        mutate(&mut bytes, &corpus, &mut chance);
        open.spawn_on(
            async move {
                let answer = exchange(address, &bytes).await;
                (bytes, answer)
            },
            runtime.handle(),
        );
        while open.len() >= at_a_time || (number + 1 == total && !open.is_empty()) {
            checked(runtime.block_on(open.join_next()));
        }
        if number % EACH == EACH - 1 {
            // Its client shares the machine with the others, and may be too slow for limits that are this short.
            eventually("a good request is answered", PATIENCE, || {
                get(&format!("{}/healthz", server.origin())).ok().filter(|answer| answer.status == 200)
            });
        }
    }
    assert_good(&url);
    assert_no_panic(&server);
    assert!(counts.get(&400).is_some_and(|refused| *refused > total as u64 / 10), "{counts:?}");
    println!(
        "{total} mutations in {:.1} s; answers by status (0: closed without one): {counts:?}",
        started.elapsed().as_secs_f64()
    );
}
