//! Beyond their limits connections are answered or closed at once, and never left hanging.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::edge::wire::{PATIENCE, address, answers, runtime};
use crate::edge::{assert_good, server_with, taking};

/// Opens connections until one is answered without having asked; returns how many were let in, and the answer.
fn fill(server: &flowcell_tests::Server) -> (usize, String) {
    let address = address(server);
    runtime().block_on(async {
        let mut open = Vec::new();
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut answer = Vec::new();
            // One that is let in is silent for a second; one that is not is answered at once.
            match tokio::time::timeout(std::time::Duration::from_secs(1), stream.read_to_end(&mut answer)).await {
                Ok(_) => {
                    let said = answers(&answer).unwrap();
                    assert_eq!(said.len(), 1, "{}", answer.escape_ascii());
                    assert_eq!(said[0].header("retry-after"), Some("1"), "{said:?}");
                    assert_eq!(said[0].header("connection"), Some("close"), "{said:?}");
                    let document: serde_json::Value = serde_json::from_slice(&said[0].body).unwrap();
                    return (open.len(), format!("{} {}", said[0].status, document["detail"].as_str().unwrap()));
                }
                Err(_) => open.push(stream),
            }
            assert!(open.len() < 10, "there is no limit");
        }
    })
}

#[test]
fn a_connection_beyond_the_limit_is_answered_with_503_and_beyond_its_clients_with_429() {
    let long = "header_timeout_ms = 60000";
    let (server, _config) = server_with(&format!("connections_max = 4\n{long}"));
    let url = taking(&server);
    // The server learns in its own time that the command line has gone.
    let full = |places| {
        move |server: &flowcell_tests::Server| {
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

    let (server, _config) = server_with(&format!("connections_per_client_max = 3\n{long}"));
    let said = flowcell_tests::eventually("all places are free", PATIENCE, || full(3)(&server));
    assert!(said.starts_with("429 ") && said.contains("http.connections_per_client_max"), "{said}");
}
