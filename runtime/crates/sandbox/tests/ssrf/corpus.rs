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
