//! What is written down of an exchange, and what is not.

use std::time::Duration;

use flowcell_sandbox::egress::{Budget, CallPass, EgressConfig, OutboundRequest};

use crate::network::{Answer, Lab, NOW, Receiver, get, pass_to, pass_with, post};

const SECRET: &str = "s3cr3t-t0k3n";

#[tokio::test]
async fn an_exchange_is_recorded_whole() {
    let receiver =
        Receiver::start(Answer::bytes("HTTP/1.1 201 Created\r\nX-Id: 7\r\ncontent-length: 5\r\n\r\nhello")).await;
    let lab = Lab::on_loopback(EgressConfig {
        recorded_whole_bytes_max: 3,
        recorded_bytes_max: 3,
        ..EgressConfig::default()
    });
    let url = receiver.url("/x?y#z");
    let pass = pass_to(&url);
    let request = OutboundRequest { headers: vec![("X-Kind".into(), "test".into())], ..post(&url, b"ab") };
    lab.door.send(&pass, request).await.unwrap();
    let exchange = pass.take_exchanges().0.remove(0);
    assert_eq!((exchange.number, exchange.started_at, exchange.error), (1, NOW, None));
    assert_eq!(exchange.address.as_deref(), Some(receiver.address.to_string().as_str()));
    assert_eq!((exchange.request.method.as_str(), exchange.request.url.as_str()), ("POST", url.as_str()));
    assert_eq!(exchange.request.headers, [("x-kind".to_owned(), "test".to_owned())]);
    assert_eq!(exchange.request.body.text.as_deref(), Some("ab"));
    let response = exchange.response.unwrap();
    assert_eq!(response.status, 201);
    assert!(response.headers.contains(&("x-id".to_owned(), "7".to_owned())));
    assert_eq!((response.body.bytes, response.body.text.as_deref(), response.body.truncated), (5, Some("hel"), true));
}

#[tokio::test]
async fn user_names_and_credentials_of_the_guest_are_not_recorded() {
    let receiver =
        Receiver::start(Answer::bytes("HTTP/1.1 200 OK\r\nset-cookie: id=s3cr3t-t0k3n\r\ncontent-length: 0\r\n\r\n"))
            .await;
    let lab = Lab::on_loopback(EgressConfig::default());
    let url = receiver.url("/");
    let pass = pass_to(&url);
    for url in [
        format!("http://me:{SECRET}@{}/", receiver.address),
        format!("http://me:{SECRET}@not a host/"),
        format!("http:\\\\me:{SECRET}@127.0.0.1/"),
        format!("//me:{SECRET}@127.0.0.1/"),
        format!("http:me:{SECRET}@127.0.0.1/"),
        format!("ftp://me:{SECRET}@127.0.0.1/"),
    ] {
        let error = lab.door.send(&pass, get(&url)).await.unwrap_err();
        assert!(!error.message.contains(SECRET), "{}", error.message);
    }
    let headers = ["Authorization", "cookie", "X-API-Key"].map(|name| (name.to_owned(), SECRET.to_owned()));
    lab.door.send(&pass, OutboundRequest { headers: headers.to_vec(), ..get(&url) }).await.unwrap();
    let (exchanges, _) = pass.take_exchanges();
    assert_eq!(exchanges.len(), 7);
    assert!(!format!("{exchanges:?}").contains(SECRET), "{exchanges:#?}");
    assert_eq!(exchanges.iter().map(|exchange| exchange.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_call_that_is_cut_off_leaves_its_exchange() {
    let receiver = Receiver::start(Answer::Silence).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    let url = receiver.url("/");
    let pass = pass_to(&url);
    let cut = tokio::time::timeout(Duration::from_millis(30), lab.door.send(&pass, get(&url))).await;
    assert!(cut.is_err());
    let exchange = pass.take_exchanges().0.remove(0);
    assert_eq!(exchange.error.unwrap().code, "timeout");
}

/// What the record takes up in the journal, how many exchanges it has, and how many are only counted.
fn record_of(pass: &CallPass) -> (usize, usize, u64) {
    let (exchanges, dropped) = pass.take_exchanges();
    (serde_json::to_vec(&exchanges).unwrap().len(), exchanges.len(), dropped)
}

#[tokio::test]
async fn floods_of_requests_leave_a_record_of_bounded_bytes() {
    let lab = Lab::on_loopback(EgressConfig::default());
    let mega = "x".repeat(1 << 18);
    let wide = |names: usize| (0..names).map(|at| (format!("{mega}-{at}"), mega.clone())).collect::<Vec<_>>();
    let many = (0..200).map(|at| (format!("x-{at}"), "\u{1}".repeat(4096))).collect::<Vec<_>>();
    let floods = [
        // All of them are refused: too large, not parsed, not granted. The record is written before anybody knows.
        OutboundRequest { headers: wide(3), ..get("http://10.0.0.1/") },
        OutboundRequest { headers: many, ..get("http://10.0.0.1/") },
        get(&format!("http://10.0.0.1/{mega}")),
        get(&format!("http://elsewhere.example/{}", "é".repeat(4000))),
        OutboundRequest { method: mega.clone(), ..get("http://10.0.0.1/") },
        OutboundRequest { headers: vec![(" ".repeat(60 << 10), String::new())], ..get("http://10.0.0.1/") },
        OutboundRequest { body: vec![b'\n'; 9 << 20].into(), ..get("http://10.0.0.1/") },
    ];
    for request in floods {
        let shown: String = request.url.chars().take(60).collect();
        let pass = pass_with("http://10.0.0.1/", Budget { requests: 1000, ..Budget::default() });
        lab.door.send(&pass, request.clone()).await.unwrap_err();
        let (bytes, exchanges, dropped) = record_of(&pass);
        assert_eq!((exchanges, dropped), (1, 0), "{shown}");
        assert!(bytes <= 112 << 10, "{shown}: {bytes} bytes for one exchange");

        let pass = pass_with("http://10.0.0.1/", Budget { requests: 1000, ..Budget::default() });
        for _ in 0..1100 {
            lab.door.send(&pass, request.clone()).await.unwrap_err();
        }
        let (bytes, exchanges, dropped) = record_of(&pass);
        assert!(bytes <= (256 << 10) + 2 + exchanges, "{shown}: {bytes} bytes for {exchanges} exchanges");
        assert_eq!(exchanges as u64 + dropped, 1100, "{shown}: everything is kept or counted");
        assert!(exchanges >= 60, "{shown}: outlines are kept when the record is full: {exchanges}");
    }
}

#[tokio::test]
async fn what_is_cut_of_a_large_exchange_is_marked_and_its_outline_says_what_happened() {
    let answer =
        format!("HTTP/1.1 200 OK\r\nx-large: {}\r\ncontent-length: 5000\r\n\r\n{}", "y".repeat(9000), "z".repeat(5000));
    let receiver = Receiver::start(Answer::bytes(answer)).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    let url = receiver.url("/");
    let pass = pass_to(&url);
    for _ in 0..60 {
        let request = OutboundRequest { headers: vec![("x-kind".into(), "k".repeat(5000))], ..post(&url, b"hello") };
        lab.door.send(&pass, request).await.unwrap();
    }
    let (exchanges, dropped) = pass.take_exchanges();
    assert_eq!((exchanges.len(), dropped), (60, 0));
    let (first, last) = (&exchanges[0], &exchanges[59]);
    let (_, kind) = &first.request.headers[0];
    assert!(kind.len() <= 4096 && kind.ends_with("k…"), "{kind}");
    assert!(first.response.as_ref().unwrap().headers.iter().any(|(_, value)| value.ends_with("y…")));

    let response = last.response.as_ref().unwrap();
    assert_eq!((last.request.method.as_str(), last.request.url.as_str(), response.status), ("POST", url.as_str(), 200));
    assert!(last.request.headers.is_empty() && response.headers.is_empty(), "{last:#?}");
    for (body, bytes) in [(&last.request.body, 5), (&response.body, 5000)] {
        assert_eq!((body.bytes, &body.text, body.truncated), (bytes, &None, true));
    }
}
