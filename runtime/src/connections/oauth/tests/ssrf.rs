//! The corpus that guests are held against (`tests/corpus/ssrf.json`), each entry as the token endpoint of a connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use flowcell_sandbox::egress::{Dial, Network, Resolve};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[derive(Deserialize)]
struct Case {
    name: String,
    url: String,
    expect: String,
    #[serde(default)]
    resolves: HashMap<String, Vec<IpAddr>>,
    dialled: Option<SocketAddr>,
}

struct Names(HashMap<String, Vec<IpAddr>>);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if host == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        self.0.get(host).cloned().ok_or_else(|| io::Error::other("no such name"))
    }
}

/// Writes down what it is asked to dial. Public addresses lead to a receiver that hangs up; all others are dialled, so that a hole would be seen.
struct Recorder {
    dialled: Mutex<Vec<SocketAddr>>,
    receiver: SocketAddr,
}

#[async_trait]
impl Dial for Recorder {
    #[expect(clippy::disallowed_methods, reason = "this plays the network behind the door")]
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        use flowcell_sandbox::egress::address::{Class, classify};
        self.dialled.lock().unwrap().push(address);
        TcpStream::connect(if classify(address.ip()) == Class::Global { self.receiver } else { address }).await
    }
}

#[tokio::test]
async fn no_token_endpoint_of_the_corpus_is_reached_and_controls_are() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../../tests/corpus/ssrf.json")).unwrap();
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver = hangs_up.local_addr().unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(async move { while hangs_up.accept().await.is_ok() {} });
    let port = canary.local_addr().unwrap().port().to_string();
    let (mut refused, mut passed, mut wrong) = (0, 0, Vec::new());
    for case in cases {
        let url = case.url.replace("{canary}", &port);
        let Ok(kind) = serde_json::from_value::<Kind>(client_kind(&url)) else {
            // No URL at all: such a connection cannot be made.
            assert_ne!(case.expect, "ok", "{}", case.name);
            refused += 1;
            continue;
        };
        let recorder = Arc::new(Recorder { dialled: Mutex::default(), receiver });
        let network = Network { resolve: Arc::new(Names(case.resolves)), dial: Arc::clone(&recorder) as _ };
        let clock = Arc::new(ManualClock::default());
        let door = Door::with_network(EgressConfig::default(), Arc::clone(&clock) as _, network);
        let lab = Lab::with(clock, door);
        lab.add(serde_json::to_value(kind).unwrap(), json!({ "client_secret": "c" })).await;
        let said = lab.token().await.map_err(|error| error.to_string());
        let dialled = recorder.dialled.lock().unwrap().clone();
        let is_clear = said.as_ref().is_err_and(|said| said.contains("connection `crm`") && said.len() > 60);
        if !is_clear || dialled != Vec::from_iter(case.dialled) {
            wrong.push(format!("{}: {url:.80}: dialled {dialled:?}: {said:?}", case.name));
        }
        if case.expect == "ok" {
            passed += 1;
        } else {
            refused += 1;
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(refused >= 150 && passed >= 15, "{refused} {passed}");
    let visit = std::pin::pin!(canary.accept());
    assert!(nobody_came(visit).await, "the canary saw somebody");
}

/// Whether nobody has come: connections of this machine are accepted in the moment they are made.
async fn nobody_came<F: Future>(mut visit: std::pin::Pin<&mut F>) -> bool {
    tokio::task::yield_now().await;
    std::future::poll_fn(|context| std::task::Poll::Ready(visit.as_mut().poll(context).is_pending())).await
}
