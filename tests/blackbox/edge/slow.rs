//! Clients that send as slowly as they can take nothing from those that do not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flowcell_tests::{amount, post};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::edge::wire::{PATIENCE, address, answers, clients, runtime};
use crate::edge::{assert_no_panic, runs, server_with, taking};

/// Unless `FLOWCELL_TORTURE_SLOW_CLIENTS` says otherwise.
const SLOW: u64 = 500;

/// Senders of good deliveries beside them.
const GOOD: usize = 4;

/// Sends what `begins` it, then a byte at a time, until the server has had enough; returns the status of its answer, or 0.
async fn drip(address: SocketAddr, begins: String) -> Result<u16, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut reading, mut writing) = stream.split();
    let _ = writing.write_all(begins.as_bytes()).await;
    let drip = async {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        _ = reading.read_to_end(&mut answer) => {}
        () = drip => {}
        () = tokio::time::sleep(PATIENCE) => return Err(format!("not cut off after {PATIENCE:?}")),
    }
    Ok(answers(&answer)?.first().map_or(0, |said| said.status))
}

#[test]
fn five_hundred_slow_clients_leave_good_traffic_alone() {
    let limits = "header_timeout_ms = 3000\nbody_grace_ms = 3000\nconnections_per_client_max = 4096";
    let (server, _config) = server_with(limits);
    let (url, address) = (taking(&server), address(&server));
    let path = url.strip_prefix(server.origin()).unwrap().to_owned();
    let slow = clients(amount("FLOWCELL_TORTURE_SLOW_CLIENTS", SLOW));
    let runtime = runtime();
    let started = Instant::now();
    // Three of four are slow with their body, the others with their head.
    let dripping: Vec<_> = (0..slow)
        .map(|number| {
            let framing = [
                "content-length: 100000\r\n\r\n",
                "transfer-encoding: chunked\r\n\r\n186a0\r\n",
                "content-length: 100000\r\n\r\n",
                "x-slow: ",
            ];
            let begins =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{}", framing[number % 4]);
            runtime.spawn(drip(address, begins))
        })
        .collect();
    let (stop, accepted, slowest_ms) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..GOOD)
        .map(|_| {
            let (url, stop, accepted, slowest_ms) =
                (url.clone(), Arc::clone(&stop), Arc::clone(&accepted), Arc::clone(&slowest_ms));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let answer = post(&url, &json!({ "number": 1 }))
                        .unwrap_or_else(|error| panic!("good traffic failed: {error}"));
                    assert_eq!(answer.status, 202, "{answer:?}");
                    accepted.fetch_add(1, Ordering::Relaxed);
                    slowest_ms.fetch_max(u64::try_from(sent.elapsed().as_millis()).unwrap(), Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for one in dripping {
        let status = runtime.block_on(one).unwrap().unwrap_or_else(|error| panic!("{error}"));
        *counts.entry(status).or_default() += 1;
    }
    let took = started.elapsed();
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }
    // Each was told; a few may have been reset while the answer was on its way.
    assert!(counts.keys().all(|status| [0, 408].contains(status)), "{counts:?}");
    assert!(counts.get(&408).is_some_and(|told| *told * 10 >= slow * 9), "{counts:?}");
    let accepted = accepted.load(Ordering::Relaxed);
    assert!(accepted > 0);
    assert_eq!(runs(&server).len() as u64, accepted, "what was accepted is there, and nothing else");
    assert_no_panic(&server);
    println!(
        "{slow} slow clients were cut off within {:.1} s; of good deliveries {accepted} of {accepted} were accepted meanwhile, the slowest after {} ms",
        took.as_secs_f64(),
        slowest_ms.load(Ordering::Relaxed)
    );
}
