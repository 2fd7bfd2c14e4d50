//! What a connection adds to a request reaches the peer, and nobody else.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use flowcell_core::connection::{CredentialError, Remedy};
use flowcell_core::exchange::{AnsweredBy, Exchange};
use flowcell_core::record::{Answer as Answered, Answers};
use flowcell_sandbox::egress::{CallPass, EgressConfig, OutboundRequest, SendErrorCode};
use http::HeaderName;

use crate::badge::{Badge, SECRET, pass};
use crate::network::{Answer, Lab, Receiver, get, post};

fn everywhere(receiver: &Receiver) -> String {
    format!("http://{}/*", receiver.address)
}

fn only_exchange(pass: &CallPass) -> Exchange {
    let (mut exchanges, _) = pass.take_exchanges();
    assert_eq!(exchanges.len(), 1, "{exchanges:#?}");
    exchanges.remove(0)
}

fn lab() -> Lab {
    Lab::on_loopback(EgressConfig::default())
}

#[tokio::test]
async fn what_is_added_reaches_the_peer_and_nothing_else() {
    // The peer echoes what it was sent: in a header of the same name, in another one, in a name, and in the body.
    let head = format!("x-token: {SECRET}\r\nx-echo: Bearer {SECRET}\r\n{SECRET}: yes\r\n");
    let receiver = Receiver::start(Answer::bytes(Answer::page(&head, SECRET))).await;
    let (lab, url) = (lab(), receiver.url("/"));
    let (pass, _) = pass(&url, Badge::in_header(&format!("GET {}", everywhere(&receiver))));
    assert!(!format!("{pass:?}").contains(SECRET));
    for name in ["x-token", "x-message", "host"] {
        assert!(pass.forbids_header(&HeaderName::from_static(name)), "{name}");
    }

    let response = lab.door.send(&pass, get(&url)).await.unwrap();
    for sent in [format!("x-token: Bearer {SECRET}\r\n"), "x-message: key-1\r\n".to_owned()] {
        assert!(receiver.last_head().contains(&sent), "{}", receiver.last_head());
    }
    assert!(!format!("{response:?}").contains(SECRET), "{response:?}");
    assert!(response.headers.contains(&("x-echo".to_owned(), "Bearer •••".to_owned())), "{response:?}");
    assert_eq!((response.body, response.headers.len()), ("•••".into(), 2));
    let exchange = only_exchange(&pass);
    assert!(!format!("{exchange:?}").contains(SECRET), "{exchange:?}");
    let added = exchange.credentials.unwrap();
    assert_eq!(added.connection.as_str(), "crm");
    let shown = [("x-message", "key-1"), ("x-token", "•••")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((added.headers, added.renewed), (shown.to_vec(), false));

    // Another method is another place: nothing is added, and the record says so. And the guest cannot set the header itself.
    lab.door.send(&pass, post(&url, b"")).await.unwrap();
    assert!(!receiver.last_head().contains(SECRET));
    assert!(only_exchange(&pass).credentials.unwrap().is_empty());
    let forged = OutboundRequest { headers: vec![("X-Token".into(), "mine".into())], ..get(&url) };
    assert_eq!(lab.door.send(&pass, forged).await.unwrap_err().code, SendErrorCode::InvalidRequest);
}

#[tokio::test]
async fn a_parameter_is_added_to_the_url_and_shown_nowhere() {
    let receiver = Receiver::start(Answer::to(|head| {
        let url = head.split(' ').nth(1).unwrap();
        Answer::page(&format!("location: https://elsewhere.example{url}&more=1#top\r\n"), url)
    }))
    .await;
    let (lab, url) = (lab(), receiver.url("/x?page=2"));
    let (pass, _) = pass(&url, Badge::in_query(&everywhere(&receiver), "api_key"));
    let response = lab.door.send(&pass, get(&url)).await.unwrap();
    assert!(receiver.last_head().starts_with(&format!("GET /x?page=2&api_key={SECRET} HTTP/1.1\r\n")));
    // Whoever follows the redirect gets the parameter anew, or does not.
    let location = ("location".to_owned(), "https://elsewhere.example/x?page=2&more=1#top".to_owned());
    assert!(response.headers.contains(&location), "{response:?}");
    assert_eq!(response.body, "/x?page=2&api_key=•••");
    let exchange = only_exchange(&pass);
    assert_eq!((exchange.request.url.as_str(), exchange.credentials.unwrap().query), (&*url, vec!["api_key".into()]));

    for own in ["/x?api_key=1", "/x?a=1&api%5Fkey=2", "/x?%61pi_key"] {
        let error = lab.door.send(&pass, get(&receiver.url(own))).await.unwrap_err();
        assert_eq!(error.code, SendErrorCode::InvalidRequest, "{own}");
        assert!(error.message.contains("`api_key`"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_rehearsed_request_is_recorded_as_it_would_be_sent_and_asks_for_no_credentials() {
    let receiver = Receiver::start(Answer::Ok).await;
    let (lab, url) = (lab(), receiver.url("/x?a=1#there"));
    let answers = Answers { http: vec![Answered { text: Some("pinned".into()), ..Answered::default() }] };
    let here = everywhere(&receiver);
    for (badge, header, shown) in [
        (Badge::in_header(&here), Some(("x-token".to_owned(), "•••".to_owned())), receiver.url("/x?a=1#there")),
        (Badge::in_query(&here, "api key"), None, receiver.url("/x?a=1&api+key=•••#there")),
    ] {
        let (pass, badge) = pass(&url, badge);
        let pass = pass.rehearsed(&answers);
        let response = lab.door.send(&pass, post(&url, b"ab")).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"pinned"[..]));
        assert_eq!(response.headers, [("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())]);
        let exchange = only_exchange(&pass);
        assert_eq!((exchange.answered_by, exchange.possibly_sent), (Some(AnsweredBy::Pinned), false));
        assert!(header.is_none_or(|header| exchange.request.headers.contains(&header)), "{exchange:?}");
        assert_eq!(exchange.request.url, shown);
        assert!(!exchange.credentials.as_ref().unwrap().is_empty());
        assert!(!format!("{exchange:?}").contains(SECRET) && badge.messages.lock().unwrap().is_empty());
    }

    // The address in a URL is judged as ever; only names are not resolved.
    let denied = "http://169.254.169.254/";
    let (pass, _) = pass(denied, Badge::in_header("http://169.254.169.254/*"));
    let error = lab.door.send(&pass.rehearsed(&answers), get(denied)).await.unwrap_err();
    assert_eq!(error.code, SendErrorCode::AddressDenied);
    assert!(lab.recorder.dialled.lock().unwrap().is_empty());
}

/// The same secret as programs write it.
fn writings(secret: &str) -> Vec<String> {
    let hex = data_encoding::HEXLOWER.encode(secret.as_bytes());
    let percent = |escape: fn(u8) -> String| -> String {
        secret
            .bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { escape(byte) })
            .collect()
    };
    let mut writings = vec![
        secret.to_owned(),
        format!("Bearer {secret}"),
        secret.to_uppercase(),
        hex.to_uppercase(),
        hex,
        percent(|byte| format!("%{byte:02X}")),
        percent(|byte| format!("%{byte:02x}")),
        serde_json::to_string(secret).unwrap(),
        serde_json::to_string(secret).unwrap().replace('/', "\\/"),
        secret.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"),
    ];
    for before in ["", "u", "ab", "user:", "Bearer "] {
        for after in ["", "!", "\n", "and more"] {
            writings.push(BASE64_STANDARD.encode(format!("{before}{secret}{after}")));
            writings.push(BASE64_URL_SAFE_NO_PAD.encode(format!("{before}{secret}{after}")));
        }
    }
    writings
}

#[tokio::test]
async fn a_secret_is_masked_however_it_is_written() {
    for secret in [SECRET, "pa/ss+w\"rd&<~>=?ÿ-éé", "0123456789abcdef0123456789abcdef", "short"] {
        for written in writings(secret) {
            let for_header = written.replace(|c: char| c.is_control() || !c.is_ascii(), "");
            let text = format!("{{\"you sent\": [{written:?}], \"plain\": {written}}}");
            let binary = [b"\xff\xfe\x00", written.as_bytes(), b"\xff"].concat();
            for body in [text.into_bytes(), binary] {
                let page = Answer::page(&format!("x-echo: {for_header}\r\n"), &body);
                let receiver = Receiver::start(Answer::bytes(page)).await;
                let (lab, url) = (lab(), receiver.url("/"));
                let (pass, _) = pass(&url, Badge::in_query(&everywhere(&receiver), "k").with_tokens(&[secret]));
                let response = lab.door.send(&pass, get(&url)).await.unwrap();
                let exchange = only_exchange(&pass);
                let came = exchange.response.as_ref().unwrap().body.whole().unwrap();
                assert_eq!(came, response.body, "the log has what the guest has");
                let length = response.headers.iter().find(|(name, _)| name == "content-length").unwrap();
                assert_eq!(length.1, response.body.len().to_string());
                let got = String::from_utf8_lossy(&response.body).into_owned();
                assert!(got.contains("•••") && !got.contains(&written), "{secret} as {written}: {got}");
                let echo = &response.headers.iter().find(|(name, _)| name == "x-echo").unwrap().1;
                assert!(secret.contains('é') || echo.contains("•••"), "{secret} as {written}: {echo}");
            }
        }
    }
}

#[tokio::test]
async fn a_compressed_answer_cannot_smuggle_an_echo() {
    let receiver = Receiver::start(Answer::bytes(Answer::page("content-encoding: gzip\r\n", "\x1f…"))).await;
    let (lab, url) = (lab(), receiver.url("/"));
    let ask = || OutboundRequest { headers: vec![("accept-encoding".into(), "gzip".into())], ..get(&url) };
    let (bound, _) = pass(&url, Badge::in_header(&everywhere(&receiver)));
    let error = lab.door.send(&bound, ask()).await.unwrap_err();
    assert!(receiver.last_head().contains("accept-encoding: identity\r\n"), "{}", receiver.last_head());
    assert_eq!(error.code, SendErrorCode::Protocol);
    // Where nothing is added, compression is the guest's affair.
    let (elsewhere, _) = pass(&url, Badge::in_header("https://elsewhere.example/*"));
    lab.door.send(&elsewhere, ask()).await.unwrap();
    assert!(receiver.last_head().contains("accept-encoding: gzip\r\n"), "{}", receiver.last_head());
}

#[tokio::test]
async fn a_body_that_breaks_off_within_a_secret_leaves_no_part_of_it() {
    let half = &SECRET[..7];
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nyou sent {half}");
    let receiver = Receiver::start(Answer::then_close(answer)).await;
    let (lab, url) = (lab(), receiver.url("/"));
    let (pass, _) = pass(&url, Badge::in_header(&everywhere(&receiver)));
    lab.door.send(&pass, get(&url)).await.unwrap_err();
    let body = only_exchange(&pass).response.unwrap().body;
    assert_eq!(body.text.as_deref(), Some("you sent "));
}

/// A peer that knows one token and refuses all others.
async fn guarded(token: &'static str) -> Receiver {
    Receiver::start(Answer::to(move |head| {
        if head.contains(&format!("Bearer {token}\r\n")) {
            Answer::page("", "welcome")
        } else {
            b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 5\r\n\r\ngo!!!".to_vec()
        }
    }))
    .await
}

#[tokio::test]
async fn refused_credentials_are_renewed_once() {
    let receiver = guarded("new-token").await;
    let (lab, url) = (lab(), receiver.url("/"));
    let here = everywhere(&receiver);
    let (renewed, badge) = pass(&url, Badge::in_header(&here).with_tokens(&["old-token", "new-token"]));
    let response = lab.door.send(&renewed, post(&url, b"pay")).await.unwrap();
    assert_eq!((response.status, badge.refusals.load(Ordering::SeqCst)), (200, 1));
    let exchange = only_exchange(&renewed);
    assert!(exchange.credentials.unwrap().renewed && !exchange.possibly_sent);
    assert_eq!(*badge.messages.lock().unwrap(), ["key-1", "key-1"], "it is the same message");
    lab.door.send(&renewed, get(&url)).await.unwrap();
    assert_eq!(badge.messages.lock().unwrap().last().unwrap(), "key-1_2", "this is another one");

    // A second refusal is the answer; and so is the first when there is nothing to renew.
    let (stubborn, badge) = pass(&url, Badge::in_header(&here).with_tokens(&["a-token", "b-token", "new-token"]));
    assert_eq!(lab.door.send(&stubborn, get(&url)).await.unwrap().status, 401);
    assert_eq!(badge.refusals.load(Ordering::SeqCst), 1);
    let (fixed, badge) = pass(&url, Badge::in_header(&here));
    let before = receiver.heads.lock().unwrap().len();
    assert_eq!(lab.door.send(&fixed, get(&url)).await.unwrap().status, 401);
    assert_eq!((badge.refusals.load(Ordering::SeqCst), receiver.heads.lock().unwrap().len() - before), (1, 1));
    assert!(!only_exchange(&fixed).credentials.unwrap().renewed);
}

#[tokio::test]
async fn a_connection_that_cannot_be_renewed_says_so_and_sends_nothing_more() {
    let receiver = guarded("new-token").await;
    let (lab, url) = (lab(), receiver.url("/"));
    let name = || "crm".parse().unwrap();
    for (error, code, retryable) in [
        (
            CredentialError::NeedsReconnecting {
                name: name(),
                reason: "invalid_grant".into(),
                remedy: Remedy::Consent,
            },
            SendErrorCode::Denied,
            false,
        ),
        (
            CredentialError::Unavailable { name: name(), reason: "no answer".into(), retry_after_ms: None },
            SendErrorCode::Connect,
            true,
        ),
    ] {
        let (pass, _) = pass(&url, Badge::in_header(&everywhere(&receiver)).at_last(error.clone()));
        let found = lab.door.send(&pass, get(&url)).await.unwrap_err();
        assert_eq!((found.code, found.retryable, found.message), (code, retryable, error.to_string()));
    }
    assert_eq!(receiver.heads.lock().unwrap().len(), 2);
}
