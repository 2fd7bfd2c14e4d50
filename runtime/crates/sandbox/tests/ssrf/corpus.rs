//! Every entry of the corpus, through a plugin that was granted its destination.

use std::collections::HashMap;

use flowcell_sandbox::egress::EgressConfig;
use serde::Deserialize;

use crate::network::{Answer, Canary, Lab, Receiver, get, pass_to};

#[derive(Deserialize)]
struct Case {
    name: String,
    url: String,
    expect: String,
    #[serde(default)]
    resolves: HashMap<String, Vec<String>>,
    dialled: Option<String>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../../../tests/corpus/ssrf.json")).unwrap()
}

#[tokio::test]
async fn nothing_of_the_corpus_reaches_what_it_must_not_and_controls_pass() {
    let canary = Canary::start().await;
    let receiver = Receiver::start(Answer::Ok).await;
    let mut wrong = Vec::new();
    for case in cases() {
        let lab = Lab::new(EgressConfig::default(), receiver.address);
        for (name, addresses) in &case.resolves {
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            lab.names.set(name, &[&addresses]);
        }
        let url = case.url.replace("{canary}", &canary.port.to_string());
        let pass = pass_to(&url);
        let outcome = lab.door.send(&pass, get(&url)).await;
        let found = outcome.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok");
        let (exchanges, _) = pass.take_exchanges();
        let recorded = exchanges[0].error.as_ref().map_or("ok", |error| error.code.as_str());
        let dialled: Vec<String> = lab.recorder.dialled.lock().unwrap().iter().map(ToString::to_string).collect();
        let address = exchanges[0].address.clone();
        if found != case.expect
            || recorded != found
            || dialled != Vec::from_iter(case.dialled.clone())
            || address != case.dialled
        {
            wrong.push(format!(
                "{}: {url:.80}: expected {}, found {found} ({recorded}, {dialled:?}, {address:?}): {outcome:?}",
                case.name, case.expect
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(canary.visits().await, 0);
}

#[tokio::test]
async fn the_canary_would_be_heard() {
    let canary = Canary::start().await;
    assert_eq!(canary.visits().await, 0);
    let lab = Lab::on_loopback(EgressConfig {
        first_byte_timeout: std::time::Duration::from_millis(50),
        ..EgressConfig::default()
    });
    lab.get(&format!("http://127.0.0.1:{}/", canary.port)).await.unwrap_err();
    assert_eq!(canary.visits().await, 1);
}

#[test]
fn the_corpus_is_large_and_has_controls() {
    let cases = cases();
    assert!(cases.iter().filter(|case| case.expect != "ok").count() >= 150);
    assert!(cases.iter().filter(|case| case.expect == "ok").count() >= 15);
}

/// A public name under which `receiver` answers.
fn lab_with_public_name(receiver: &Receiver) -> Lab {
    let lab = Lab::new(EgressConfig::default(), receiver.address);
    lab.names.set("public.example", &[&["93.184.215.14"]]);
    lab
}

#[tokio::test]
async fn nothing_of_the_corpus_is_reached_by_way_of_a_redirect() {
    let canary = Canary::start().await;
    let mut refused = 0;
    for case in cases().into_iter().filter(|case| case.expect != "ok") {
        let target = case.url.replace("{canary}", &canary.port.to_string());
        // What cannot stand in a header cannot be redirected to.
        if target.contains(|c: char| c.is_control()) {
            continue;
        }
        let receiver = Receiver::start(Answer::bytes(format!(
            "HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n"
        )))
        .await;
        let lab = lab_with_public_name(&receiver);
        for (name, addresses) in &case.resolves {
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            lab.names.set(name, &[&addresses]);
        }
        let pass = pass_to("http://public.example/");
        let response = lab.door.send(&pass, get("http://public.example/")).await.unwrap();
        let (_, location) = response.headers.iter().find(|(name, _)| name == "location").unwrap();
        // The guest follows: with the rights of its step, and with rights to where it is sent.
        for pass in [&pass, &pass_to(location)] {
            let followed = lab.door.send(pass, get(location)).await;
            assert!(followed.is_err(), "{}: {target:.80}: {followed:?}", case.name);
        }
        let dialled = lab.recorder.dialled.lock().unwrap().len();
        assert_eq!(dialled, 1, "{}: only the public name was dialled", case.name);
        refused += 1;
    }
    assert!(refused >= 150, "{refused}");
    assert_eq!(canary.visits().await, 0);
}

#[tokio::test]
async fn no_address_of_the_corpus_is_reached_by_a_name_that_turns_to_it() {
    let canary = Canary::start().await;
    let receiver =
        Receiver::start(Answer::then_close("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")).await;
    let mut refused = 0;
    for case in cases().into_iter().filter(|case| case.expect == "address-denied") {
        let url = url::Url::parse(&case.url.replace("{canary}", "80")).unwrap();
        let addresses = match url.host().unwrap() {
            url::Host::Ipv4(address) => vec![address.to_string()],
            url::Host::Ipv6(address) => vec![address.to_string()],
            url::Host::Domain(name) => case.resolves.get(name).cloned().unwrap_or_else(|| vec!["127.0.0.1".into()]),
        };
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let lab = lab_with_public_name(&receiver);
        lab.names.set("rebind.invalid", &[&["93.184.215.14"][..], &addresses[..]]);
        let url = format!("http://rebind.invalid:{}/", canary.port);
        assert_eq!(lab.get(&url).await.unwrap().status, 200, "{}", case.name);
        let again = lab.get(&url).await.map_err(|error| error.code.as_str());
        assert_eq!(again, Err("address-denied"), "{}: {addresses:?}", case.name);
        assert_eq!(lab.recorder.dialled.lock().unwrap().len(), 1, "{}", case.name);
        refused += 1;
    }
    assert!(refused >= 150, "{refused}");
    assert_eq!(canary.visits().await, 0);
}
