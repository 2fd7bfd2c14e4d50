//! Beyond their limits connections are answered or closed at once, and never left hanging.

use flowcell_tests::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::edge::wire::{PATIENCE, Said, address, answers, runtime};
use crate::edge::{assert_good, server_with, taking};

/// Asks on a new connection and returns the answer, and the connection, which stays open if it was let in.
async fn ask(server: &Server) -> (TcpStream, Said) {
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut seen = Vec::new();
    loop {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut seen)).await.expect("left hanging");
        let ended = matches!(read, Ok(0) | Err(_));
        if ended || seen.ends_with(b"}") {
            let said = answers(&seen).unwrap().pop().expect("closed without a word");
            return (stream, said);
        }
    }
}

/// Opens connections until one is refused; returns how many were let in, and the refusal.
fn fill(server: &Server) -> (usize, String) {
    runtime().block_on(async {
        let mut open = Vec::new();
        loop {
            let (mut stream, said) = ask(server).await;
            if said.status == 200 {
                open.push(stream);
                assert!(open.len() < 10, "there is no limit");
                continue;
            }
            assert_eq!((said.header("retry-after"), said.header("connection")), (Some("1"), Some("close")), "{said:?}");
            let rest = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            assert!(rest.is_ok(), "left hanging");
            let document: serde_json::Value = serde_json::from_slice(&said.body).unwrap();
            return (open.len(), format!("{} {}", said.status, document["detail"].as_str().unwrap()));
        }
    })
}

#[test]
fn a_connection_beyond_the_limit_is_answered_with_503_and_beyond_its_clients_with_429() {
    let (server, _config) = server_with("connections_max = 4");
    let url = taking(&server);
    // The server learns in its own time that the command line has gone.
    let full = |places| {
        move |server: &Server| {
            let (let_in, said) = fill(server);
            assert!(let_in <= places, "{let_in}");
            (let_in == places).then_some(said)
        }
    };
    let said = flowcell_tests::eventually("all places are free", PATIENCE, || full(4)(&server));
    assert!(said.starts_with("503 ") && said.contains("http.connections_max"), "{said}");
    flowcell_tests::eventually("the places are free again", PATIENCE, || {
        flowcell_tests::get(&format!("{}/healthz", server.origin())).ok().filter(|answer| answer.status == 200)
    });
    assert_good(&url);

    let (server, _config) = server_with("connections_per_client_max = 3");
    let said = flowcell_tests::eventually("all places are free", PATIENCE, || full(3)(&server));
    assert!(said.starts_with("429 ") && said.contains("http.connections_per_client_max"), "{said}");
}
