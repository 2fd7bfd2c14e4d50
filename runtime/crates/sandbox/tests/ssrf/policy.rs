//! What a table of URLs cannot say: rebinding, redirects, exemptions, headers, methods, grants.

use std::sync::atomic::Ordering;
use std::time::Duration;

use flowcell_core::capability::{Ceiling, DeniedBy, StepScope, UrlScope};
use flowcell_sandbox::egress::{Budget, CallPass, EgressConfig, SendErrorCode};

use crate::network::{Answer, Canary, Lab, NOW, Receiver, get, pass_to, rights};

#[tokio::test]
async fn a_name_that_turns_private_is_refused_at_the_next_connection() {
    let canary = Canary::start().await;
    // The receiver closes after each response, so that each request resolves anew.
    let receiver =
        Receiver::start(Answer::then_close("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")).await;
    let lab = Lab::new(EgressConfig::default(), receiver.address);
    lab.names.set(
        "rebind.invalid",
        &[&["93.184.215.14"], &["127.0.0.1"], &["93.184.215.14"], &["169.254.169.254"], &["::1"]],
    );
    let url = format!("http://rebind.invalid:{}/", canary.port);
    let mut codes = Vec::new();
    for _ in 0..5 {
        codes.push(lab.get(&url).await.map_err(|error| error.code).map(|response| response.status));
    }
    let refused = Err(SendErrorCode::AddressDenied);
    assert_eq!(codes, [Ok(200), refused, Ok(200), refused, refused]);
    assert_eq!(canary.visits().await, 0);
}

#[tokio::test]
async fn names_are_resolved_once_per_connection_and_the_judged_address_is_the_dialled_one() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::new(EgressConfig::default(), receiver.address);
    // A second look-up for one connection would see loopback.
    lab.names.set("rebind.invalid", &[&["93.184.215.14"], &["127.0.0.1"]]);
    for _ in 0..3 {
        assert_eq!(lab.get("http://rebind.invalid/").await.unwrap().status, 200);
    }
    assert_eq!(*lab.recorder.dialled.lock().unwrap(), ["93.184.215.14:80".parse().unwrap()]);
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 1, "the connection was kept");
}

#[tokio::test]
async fn redirects_come_back_and_following_one_is_a_request_like_any_other() {
    let canary = Canary::start().await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://127.0.0.1:{}/", canary.port);
        let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let receiver = Receiver::start(Answer::bytes(answer)).await;
        let lab = Lab::new(EgressConfig::default(), receiver.address);
        lab.names.set("public.example", &[&["93.184.215.14"]]);
        let pass = pass_to("http://public.example/");
        let response = lab.door.send(&pass, get("http://public.example/")).await.unwrap();
        assert_eq!(response.status, status);
        assert!(response.headers.contains(&("location".to_owned(), location.clone())));
        // With the same pass the step's scope refuses the hop; with rights to it, the address does.
        assert_eq!(lab.door.send(&pass, get(&location)).await.unwrap_err().denied_by, Some(DeniedBy::StepScope));
        assert_eq!(lab.get(&location).await.unwrap_err().code, SendErrorCode::AddressDenied);
    }
    assert_eq!(canary.visits().await, 0);
}

#[tokio::test]
async fn exempted_networks_are_reached_and_metadata_is_not() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    assert_eq!(lab.get(&receiver.url("/")).await.unwrap().body, "ok");
    let mapped = format!("http://[::ffff:127.0.0.1]:{}/", receiver.address.port());
    assert_eq!(lab.get(&mapped).await.unwrap().body, "ok");
    let elsewhere = lab.get("http://10.0.0.1/").await.unwrap_err();
    assert_eq!(elsewhere.code, SendErrorCode::AddressDenied);
    assert!(elsewhere.message.contains("--egress-allow 10.0.0.1/32"), "{}", elsewhere.message);

    let all = ["0.0.0.0/0", "::/0", "169.254.0.0/16", "169.254.169.254/32", "fd00::/8"].map(|net| net.parse().unwrap());
    let lab = Lab::new(EgressConfig { allow_addresses: all.to_vec(), ..EgressConfig::default() }, receiver.address);
    lab.names.set("metadata.invalid", &[&["169.254.169.254"]]);
    for url in [
        "http://169.254.169.254/latest/",
        "http://2852039166/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[fd00:ec2::254]/",
        "http://168.63.129.16/",
        "http://100.100.100.200/",
        "http://metadata.invalid/",
    ] {
        let error = lab.get(url).await.unwrap_err();
        assert_eq!(error.code, SendErrorCode::AddressDenied, "{url}");
        assert!(error.message.contains("never") && !error.message.contains("--egress-allow"), "{}", error.message);
        assert!(!error.retryable);
    }
    assert!(lab.recorder.dialled.lock().unwrap().is_empty());
}

#[tokio::test]
async fn guests_do_not_set_what_frames_or_routes_a_message() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    let url = receiver.url("/");
    for (name, value) in [
        ("Host", "169.254.169.254"),
        ("host", "x"),
        ("HOST", "x"),
        ("Connection", "close"),
        ("Keep-Alive", "x"),
        ("Proxy-Authorization", "x"),
        ("Proxy-Connection", "x"),
        ("proxy-anything", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "5"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Upgrade", "websocket"),
        ("Expect", "100-continue"),
        ("HTTP2-Settings", "x"),
        (":authority", "x"),
        (":path", "/x"),
        ("x y", "x"),
        ("x:", "x"),
        ("x\r\nHost: y", "x"),
        ("", "x"),
        ("x-a", "b\r\nHost: 127.0.0.1"),
        ("x-a", "b\nX: y"),
        ("x-a", "b\0"),
    ] {
        let mut request = get(&url);
        request.headers = vec![(name.to_owned(), value.to_owned())];
        let error = lab.door.send(&pass_to(&url), request).await.unwrap_err();
        assert_eq!(error.code, SendErrorCode::InvalidRequest, "{name:?}: {value:?}");
    }
    assert!(receiver.heads.lock().unwrap().is_empty());
    let mut request = get(&url);
    request.headers =
        vec![("X-Custom".into(), "grün".into()), ("accept".into(), "a".into()), ("accept".into(), "b".into())];
    lab.door.send(&pass_to(&url), request).await.unwrap();
    let head = receiver.last_head().to_lowercase();
    assert!(head.contains("x-custom: grün") && head.contains("accept: a\r\naccept: b"), "{head}");
    assert!(
        head.contains(&format!("host: {}\r\n", receiver.address)) && head.contains("user-agent: flowcell/"),
        "{head}"
    );
}

#[tokio::test]
async fn methods_that_tunnel_or_mirror_are_denied() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    let url = receiver.url("/");
    for method in ["CONNECT", "TRACE", "TRACK", "get", "", "GET /x HTTP/1.1\r\nHost: y\r\n\r\nGET", "PROPFIND"] {
        let mut request = get(&url);
        request.method = method.into();
        let error = lab.door.send(&pass_to(&url), request).await.unwrap_err();
        assert_eq!(error.denied_by, Some(DeniedBy::Method), "{method}");
    }
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let mut request = get(&url);
        request.method = method.into();
        assert_eq!(lab.door.send(&pass_to(&url), request).await.unwrap().status, 200, "{method}");
        assert!(receiver.last_head().starts_with(&format!("{method} / HTTP/1.1\r\n")));
    }
}

#[tokio::test]
async fn a_denial_says_which_rule_and_prints_the_grant_to_add() {
    let lab = Lab::new(EgressConfig::default(), ([127, 0, 0, 1], 9).into());
    let pass = CallPass::new(
        rights(&["https://hooks.slack.com"], None, &[]),
        StepScope::default(),
        NOW + Duration::from_secs(1),
        Budget::default(),
    );
    let error = lab.door.send(&pass, get("https://hooks.slack.com/services/T0?token=secret")).await.unwrap_err();
    assert_eq!((error.code, error.denied_by, error.retryable), (SendErrorCode::Denied, Some(DeniedBy::Grant), false));
    assert_eq!(
        error.message,
        "`GET https://hooks.slack.com/services/T0` is denied: the plugin acme/probe asks for it, but this workspace has not granted it. \
         To allow it, add to the configuration:\n[[grants]]\nplugin = \"acme/probe\"\nhttp = [\"GET https://hooks.slack.com/*\"]"
    );
    let (exchanges, _) = pass.take_exchanges();
    assert_eq!(exchanges[0].error.as_ref().unwrap().message, error.message);
    assert!(lab.recorder.dialled.lock().unwrap().is_empty());
}

#[tokio::test]
async fn run_data_does_not_choose_the_destination() {
    let receiver = Receiver::start(Answer::Ok).await;
    let lab = Lab::on_loopback(EgressConfig::default());
    let url = receiver.url("/");
    let scope = || StepScope { urls: vec![("url".into(), UrlScope::from_authored("http://{{ trigger.body.host }}/"))] };
    let deadline = NOW + Duration::from_mins(1);
    let blanket = CallPass::new(rights(&[], Some("url"), &["from-input"]), scope(), deadline, Budget::default());
    let error = lab.door.send(&blanket, get(&url)).await.unwrap_err();
    assert_eq!(error.denied_by, Some(DeniedBy::DataChosen));
    assert!(
        error.message.contains("`http://{{ trigger.body.host }}/`") && error.message.contains("[[grants]]"),
        "{}",
        error.message
    );
    assert!(receiver.heads.lock().unwrap().is_empty());

    let named = format!("GET http://{}/*", receiver.address);
    let named = CallPass::new(rights(&[], Some("url"), &["from-input", &named]), scope(), deadline, Budget::default());
    assert_eq!(lab.door.send(&named, get(&url)).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_operators_ceiling_is_above_grants_and_exemptions() {
    let receiver = Receiver::start(Answer::Ok).await;
    let url = receiver.url("/");
    for (ceiling, allowed) in [
        (Ceiling { allow: vec![format!("http://{}", receiver.address).parse().unwrap()], deny_hosts: vec![] }, true),
        (Ceiling { allow: vec!["https://api.example.com".parse().unwrap()], deny_hosts: vec![] }, false),
        (Ceiling { allow: vec![], deny_hosts: vec!["127.0.0.1".parse().unwrap()] }, false),
    ] {
        let lab = Lab::on_loopback(EgressConfig { ceiling, ..EgressConfig::default() });
        let outcome = lab.get(&url).await.map(|response| response.status).map_err(|error| error.denied_by);
        assert_eq!(outcome, if allowed { Ok(200) } else { Err(Some(DeniedBy::Ceiling)) });
    }
}
