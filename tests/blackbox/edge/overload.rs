//! PROMISES 12, G13: five times as much as the server can take. It sheds with 503 and `Retry-After`, its memory stays flat, and nothing that
//! it accepted is lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flowcell_tests::{Server, amount, eventually, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::edge::wire::{PATIENCE, Said, address, answers, clients, runtime};
use crate::edge::{assert_good, assert_no_panic, runs, server_with, taking};

/// Seconds, unless `FLOWCELL_TORTURE_OVERLOAD_S` says otherwise.
const SECONDS: u64 = 4;

/// Requests that the server of this test takes at a time: enough to keep a small machine busy, so that this is its capacity.
const REQUESTS_MAX: usize = 16;

/// How much more is offered.
const TIMES: u64 = 5;

/// What memory may do between the middle and the end of the load: caches fill, allocators keep pages; a queue without an end would take
/// far more.
const GROWTH_MAX_MIB: f64 = 48.0;

/// What the senders saw.
#[derive(Debug, Default)]
struct Seen {
    attempts: AtomicU64,
    shed: AtomicU64,
    /// Connections that could not be made or broke before an answer: not accepted, not told.
    broken: AtomicU64,
    accepted: Mutex<BTreeSet<String>>,
}

/// Reads one answer from a connection that stays open.
async fn answer(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Option<Said> {
    loop {
        let end = seen.windows(4).position(|window| window == b"\r\n\r\n");
        if end.is_some() {
            let said = answers(seen).ok()?.into_iter().next()?;
            let length: usize = said.header("content-length")?.parse().ok()?;
            if said.body.len() == length {
                seen.clear();
                return Some(said);
            }
        }
        if stream.read_buf(seen).await.ok()? == 0 {
            return None;
        }
    }
}

/// One sender: a delivery after the other on a connection, `between` begins of them, whatever is answered, until `until`.
async fn send(address: SocketAddr, request: Arc<str>, (between, until): (Duration, Instant), seen: Arc<Seen>) {
    let (mut stream, mut read) = (None, Vec::new());
    let mut next = Instant::now();
    while Instant::now() < until {
        tokio::time::sleep_until(next.into()).await;
        // Who is late does not make up for it with a burst.
        next = (next + between).max(Instant::now());
        seen.attempts.fetch_add(1, Ordering::Relaxed);
        let connected = match stream.take() {
            Some(connection) => Ok(connection),
            None => TcpStream::connect(address).await,
        };
        let Ok(mut connection) = connected else {
            seen.broken.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        read.clear();
        let _ = connection.write_all(request.as_bytes()).await; // that it broke shows when the answer is read
        let said = tokio::time::timeout(PATIENCE, answer(&mut connection, &mut read)).await.expect("left hanging");
        match said {
            Some(said) if said.status == 202 => {
                let document: serde_json::Value = serde_json::from_slice(&said.body).unwrap();
                let run = document["run_ids"][0].as_str().unwrap().to_owned();
                assert!(seen.accepted.lock().unwrap().insert(run), "each has a run of its own");
            }
            Some(said) => {
                assert!([429, 503].contains(&said.status), "{said:?}");
                assert!(said.header("retry-after").is_some(), "{said:?}");
                seen.shed.fetch_add(1, Ordering::Relaxed);
                if said.header("connection") == Some("close") {
                    continue;
                }
            }
            None => {
                seen.broken.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        }
        stream = Some(connection);
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

/// Resident memory.
fn memory_mib(server: &Server) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

#[test]
fn five_times_too_much_is_shed_and_nothing_accepted_is_lost() {
    let limits = format!(
        "requests_max = {REQUESTS_MAX}\nrequests_per_client_max = {REQUESTS_MAX}\nconnections_per_client_max = 4096"
    );
    let (server, _config) = server_with(&limits);
    let (url, address) = (taking(&server), address(&server));
    let body = r#"{"number":1}"#;
    let path = url.strip_prefix(server.origin()).unwrap();
    let request: Arc<str> = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into();
    let seconds = Duration::from_secs(amount("FLOWCELL_TORTURE_OVERLOAD_S", SECONDS));
    let runtime = runtime();
    let load = |senders: usize, between: Duration, lasts: Duration| {
        let seen = Arc::<Seen>::default();
        let until = Instant::now() + lasts;
        let senders: Vec<_> = (0..senders)
            .map(|_| runtime.spawn(send(address, Arc::clone(&request), (between, until), Arc::clone(&seen))))
            .collect();
        let mut memory = Vec::new();
        let (mut api, mut api_shed) = (0u64, 0u64);
        while Instant::now() < until {
            // Whoever watches the server gets an answer all the time; whoever asks the API may be told to come again.
            assert_eq!(get(&format!("{}/healthz", server.origin())).unwrap().status, 200);
            let asked = server.api("GET", "/api/v2/server", b"");
            assert!([200, 503].contains(&asked.status), "{asked:?}");
            (api, api_shed) = (api + 1, api_shed + u64::from(asked.status == 503));
            memory.push((until.saturating_duration_since(Instant::now()), memory_mib(&server)));
            std::thread::sleep(Duration::from_millis(100));
        }
        for sender in senders {
            runtime.block_on(sender).unwrap();
        }
        (seen, memory, (api, api_shed))
    };
    // What it can take: as many senders as it has places, each as fast as it is answered.
    let (capacity, ..) = load(REQUESTS_MAX, Duration::ZERO, Duration::from_secs(1));
    let per_s = capacity.accepted.lock().unwrap().len().max(10) as u64;
    // And five times that.
    let senders = clients(320);
    let between = Duration::from_micros(1_000_000 * senders as u64 / (per_s * TIMES));
    let (seen, memory, (api, api_shed)) = load(senders, between, seconds);

    let accepted = seen.accepted.lock().unwrap().clone();
    let (attempts, shed, broken) =
        (seen.attempts.load(Ordering::Relaxed), seen.shed.load(Ordering::Relaxed), seen.broken.load(Ordering::Relaxed));
    assert!(!accepted.is_empty() && shed > 0, "{} accepted, {shed} shed", accepted.len());
    assert_eq!(broken, 0, "every sender is answered");
    let middle = memory.iter().filter(|(left, _)| *left >= seconds / 2).map(|(_, mib)| *mib).fold(0.0, f64::max);
    let end = memory.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
    assert!(end - middle < GROWTH_MAX_MIB, "memory grows: {middle:.1} MiB in the middle, {end:.1} MiB at the end");

    // Everything that was accepted is there; and its runs end, since they were not many more than could be driven.
    let expected: BTreeSet<String> = accepted.union(&capacity.accepted.lock().unwrap()).cloned().collect();
    let stored: BTreeSet<String> = runs(&server).into_iter().collect();
    assert_eq!(expected.difference(&stored).count(), 0, "accepted and lost");
    assert_eq!(stored.difference(&expected).count(), 0, "stored and not said");
    eventually("every run has ended", PATIENCE * 5, || {
        let open = server.api("GET", "/api/v2/runs?status=running&limit=1", b"").json();
        let queued = server.api("GET", "/api/v2/runs?status=queued&limit=1", b"").json();
        (open["runs"].as_array()?.is_empty() && queued["runs"].as_array()?.is_empty()).then_some(())
    });
    assert_good(&url);
    assert_no_panic(&server);
    println!(
        "it takes {per_s}/s; offered {:.1} times as much for {:.0} s: {attempts} deliveries, {} accepted, {shed} shed, 0 lost; of {api} API calls {api_shed} \
         shed; memory {middle:.1} MiB up to the middle, {end:.1} MiB at most",
        ratio(attempts, per_s * seconds.as_secs()),
        seconds.as_secs_f64(),
        accepted.len(),
    );
}
