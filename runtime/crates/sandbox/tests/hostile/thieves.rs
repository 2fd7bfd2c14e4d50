//! Guests that want the credentials of their step's connection, in every way we know of. A careless peer helps them: it echoes what it was sent,
//! however it is asked to. They carry off everything they get, and none of it may be the secret.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flowcell_core::capability::{Grant, HttpCapability, HttpGrant};
use flowcell_core::connection::{Asking, Authorizer, CredentialError, Credentials, Remedy};
use flowcell_core::id::Digest;
use flowcell_core::invoke::{ActionCall, Invocation, InvokeError};
use flowcell_core::ports::{Invoker as _, NoBlobs, Rehearsal as _};
use flowcell_core::record::{Answers, RecordedFailure, Recording};
use flowcell_sandbox::egress::EgressConfig;
use flowcell_sandbox::{NoServices, Ports, Sandbox, SandboxConfig, StaticGrants};
use serde_json::{Value, json};

use crate::badge::{Badge, SECRET};
use crate::network::{Answer, Lab, Receiver};
use crate::support::{Plugins, Random, RealClock, call, compiler, fixture};

/// The sandbox, a careless peer that connections are bound to, and a place to carry loot to.
struct Den {
    sandbox: Sandbox,
    thief: Digest,
    peer: Receiver,
    fence: Receiver,
    _directory: tempfile::TempDir,
}

/// `crm` in a header, `erp` in another header at another place, `maps` in the query; `stale` is refused and renewed.
struct Keyring {
    peer: String,
    fence: String,
}

#[async_trait]
impl Credentials for Keyring {
    async fn authorizer(&self, asking: Asking<'_>) -> Result<Arc<dyn Authorizer>, CredentialError> {
        let here = format!("GET,POST,HEAD {}/v1/*", self.peer);
        let badge = match asking.name.as_str() {
            "crm" => Badge::in_header(&here),
            "erp" => Badge::in_header(&format!("{}/erp/*", self.fence)),
            "maps" => Badge::in_query(&here, "key"),
            "secure" => Badge::in_header(&here.replace("http://", "https://")),
            "stale" => Badge::in_header(&here).with_tokens(&[STALE, SECRET]),
            "lapsed" => Badge::in_header(&here).with_tokens(&[STALE]).at_last(CredentialError::NeedsReconnecting {
                name: asking.name.clone(),
                reason: "the other side says `invalid_grant`".into(),
                remedy: Remedy::Consent,
            }),
            _ => return Err(CredentialError::Unknown { name: asking.name.clone() }),
        };
        Ok(Arc::new(badge))
    }
}

/// What a connection holds that was renewed meanwhile.
const STALE: &str = "st4le-t0k3n-0f-y3st3rday";

impl Den {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fence = Receiver::start(Answer::to(|head| careless(head, ""))).await;
        let elsewhere = fence.url("");
        let peer = Receiver::start(Answer::to(move |head| careless(head, &elsewhere))).await;
        let lab = Lab::on_loopback(EgressConfig::default());
        let catalog = Arc::new(Plugins::default());
        let mut thief = fixture("fixture-thief");
        // It is granted all it could wish for: what it does not get, it does not get for want of a binding.
        let anywhere: Vec<String> = ["http", "https"]
            .iter()
            .flat_map(|scheme| [&peer, &fence].map(|at| format!("{scheme}://{}", at.address)))
            .collect();
        thief.manifest.capabilities.http = vec![HttpCapability {
            reason: "tests".into(),
            from_input: None,
            hosts: anywhere.iter().map(|rule| rule.parse().unwrap()).collect(),
        }];
        let granted: Vec<HttpGrant> = anywhere.iter().map(|rule| rule.parse().unwrap()).collect();
        let thief = catalog.add(thief);
        let ports = Ports {
            catalog: catalog as _,
            door: lab.door.clone(),
            grants: Arc::new(StaticGrants::new(vec![Grant {
                plugin: "fixture/thief".parse().unwrap(),
                http: granted,
                services: vec![],
            }])),
            credentials: Arc::new(Keyring { peer: peer.url(""), fence: fence.url("") }),
            blobs: Arc::new(NoBlobs),
            services: Arc::new(NoServices),
            clock: Arc::new(RealClock),
            entropy: Arc::new(Random),
        };
        let sandbox = Sandbox::new(SandboxConfig::new(directory.path().join("code"), compiler()), ports).unwrap();
        Self { sandbox, thief, peer, fence, _directory: directory }
    }

    fn call(&self, theft: &Theft) -> ActionCall {
        let at = |url: &str| {
            let url = url.replace("HERE", &self.peer.address.to_string());
            url.replace("PEER", &self.peer.url("")).replace("FENCE", &self.fence.url(""))
        };
        let requests: Vec<Value> = theft
            .requests
            .iter()
            .map(|request| {
                let mut request = request.clone();
                request["url"] = json!(at(request["url"].as_str().unwrap()));
                request
            })
            .collect();
        let input = json!({ "requests": requests, "then": theft.then, "fence": at("FENCE/buy") });
        ActionCall { connection: Some(theft.connection.parse().unwrap()), ..call(self.thief, "steal", input) }
    }

    /// How many requests reached the peer with the secret, and forgets them.
    fn arrived(&self) -> usize {
        let heads = std::mem::take(&mut *self.peer.heads.lock().unwrap());
        heads.iter().filter(|head| head.contains(SECRET) || head.contains(STALE)).count()
    }
}

/// A peer that tells everybody what it was sent, in the way the path asks for.
fn careless(head: &str, elsewhere: &str) -> Vec<u8> {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let token = head.lines().find_map(|line| line.strip_prefix("x-token: Bearer ")).unwrap_or_default();
    let key = query.split('&').find_map(|pair| pair.strip_prefix("key=")).unwrap_or_default();
    let secret = if token.is_empty() { key } else { token };
    let hex = data_encoding::HEXLOWER.encode(secret.as_bytes());
    let page = |head: &str, body: &str| Answer::page(head, body);
    let raw = |text: String| text.into_bytes();
    match path.rsplit('/').next().unwrap_or_default() {
        "same-header" => page(&format!("x-token: {secret}\r\nX-Token: Bearer {secret}\r\n"), ""),
        "other-header" => page(&format!("x-debug: you sent Bearer {secret}\r\nserver: {secret}\r\n"), ""),
        "header-name" => page(&format!("{secret}: 1\r\nx-{}: 1\r\n", secret.to_uppercase()), ""),
        "cookie" => page(&format!("set-cookie: session={secret}; HttpOnly\r\n"), ""),
        "base64" => {
            page("", &format!("{} {}", BASE64_STANDARD.encode(secret), BASE64_STANDARD.encode(format!("u:{secret}"))))
        }
        "percent" => page("", &secret.replace('-', "%2D")),
        "hex" => page("", &format!("{hex} {}", hex.to_uppercase())),
        "json" => page("content-type: application/json\r\n", &json!({ "headers": { "x": secret } }).to_string()),
        "upper" => page("", &secret.to_uppercase()),
        "binary" => Answer::page("", [b"\x00\xff\xfe", secret.as_bytes(), b"\xff"].concat()),
        "chunked" => {
            let chunks = secret.chars().map(|c| format!("1\r\n{c}\r\n")).collect::<Vec<_>>().concat();
            raw(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\nx-late: {secret}\r\n\r\n"))
        }
        "gzip" => page("content-encoding: gzip\r\n", &format!("as if compressed: {secret}")),
        "redirect-away" => raw(format!(
            "HTTP/1.1 302 Found\r\nlocation: {elsewhere}/v1/echo?from={secret}\r\ncontent-length: 0\r\n\r\n"
        )),
        "redirect-here" => raw("HTTP/1.1 307 Moved\r\nlocation: http://HOST/v1/echo\r\ncontent-length: 0\r\n\r\n"
            .replace("HOST", head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default())),
        "status-line" => raw(format!("HTTP/1.1 200 {secret}\r\ncontent-length: 2\r\n\r\nok")),
        "no-http" => raw(format!("{secret} {secret} {secret}\r\n\r\n")),
        "early" => raw(format!(
            "HTTP/1.1 103 Early Hints\r\nlink: <{secret}>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        )),
        "breaks-off" => raw(format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{secret}")),
        "guarded" if secret == SECRET => page("", &format!("{STALE} became {secret}")),
        "guarded" => raw(format!(
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer error=\"{secret}\"\r\ncontent-length: {}\r\n\r\n{secret}",
            secret.len()
        )),
        // What it once was told, it tells everybody.
        "gossip" => page("", SECRET),
        _ => page("", &format!("you sent {secret} to {target}")),
    }
}

/// One way to get at a secret.
struct Theft {
    name: &'static str,
    connection: &'static str,
    requests: Vec<Value>,
    then: &'static str,
    /// How often the peer was rightly told the secret.
    arrives: usize,
}

fn theft(name: &'static str, arrives: usize, requests: &[Value]) -> Theft {
    Theft { name, connection: "crm", requests: requests.to_vec(), then: "return", arrives }
}

fn get(url: &str) -> Value {
    json!({ "url": url })
}

fn with_header(name: &str, value: &str) -> Value {
    json!({ "url": "PEER/v1/echo", "headers": [[name, value]] })
}

fn by_wasi(mut request: Value) -> Value {
    request["wasi"] = json!(true);
    request
}

/// Asking the peer to echo it in one way or another.
fn echoes() -> Vec<Theft> {
    [
        "same-header",
        "other-header",
        "header-name",
        "cookie",
        "echo",
        "base64",
        "percent",
        "hex",
        "json",
        "upper",
        "binary",
        "chunked",
        "gzip",
        "status-line",
        "early",
        "breaks-off",
        "no-http",
    ]
    .into_iter()
    .map(|way| {
        let request =
            json!({ "url": format!("PEER/v1/{way}"), "timeout_ms": 500, "headers": [["accept-encoding", "gzip"]] });
        theft(way, 2, &[request.clone(), by_wasi(json!({ "url": request["url"], "headers": request["headers"] }))])
    })
    .map(|theft| match theft.name {
        // Through wasi:http it would wait for the whole call's time.
        "breaks-off" => Theft { arrives: 1, requests: theft.requests[..1].to_vec(), ..theft },
        _ => theft,
    })
    .collect()
}

/// Everything else.
fn other_thefts() -> Vec<Theft> {
    vec![
        theft("sets the header", 0, &[with_header("x-token", "mine"), by_wasi(with_header("x-token", "mine"))]),
        theft(
            "sets it in other letters",
            0,
            &[with_header("X-ToKeN", "mine"), by_wasi(with_header("X-TOKEN", "mine"))],
        ),
        theft(
            "sets it in disguise",
            0,
            &[
                with_header("x-token ", "mine"),
                with_header("x-a\r\nx-token", "mine"),
                with_header("x-a", "1\r\nx-token: mine"),
            ],
        ),
        theft(
            "asks for it to be forwarded",
            1,
            &[
                with_header("connection", "x-token"),
                with_header("te", "trailers"),
                with_header("x-forwarded-host", "FENCE"),
            ],
        ),
        theft("goes elsewhere", 0, &[get("FENCE/v1/echo"), by_wasi(get("FENCE/v1/echo"))]),
        theft(
            "leaves the path",
            0,
            &["/echo", "/v2/echo", "/v1/../echo", "/v1/%2e%2e/echo", "/v1%2f../echo", "/V1/echo"]
                .map(|path| get(&format!("PEER{path}"))),
        ),
        theft(
            "uses other methods",
            0,
            &["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT"]
                .map(|method| json!({ "url": "PEER/v1/echo", "method": method })),
        ),
        theft(
            "asks for heads only",
            2,
            &[
                json!({ "url": "PEER/v1/same-header", "method": "HEAD" }),
                by_wasi(json!({ "url": "PEER/v1/other-header", "method": "HEAD" })),
            ],
        ),
        theft("writes a user name", 0, &[get("http://me:you@127.0.0.1/v1/echo"), get("http://me:you@HERE/v1/echo")]),
        theft("is redirected elsewhere", 2, &[get("PEER/v1/redirect-away"), by_wasi(get("PEER/v1/redirect-away"))]),
        theft("is redirected here", 4, &[get("PEER/v1/redirect-here"), by_wasi(get("PEER/v1/redirect-here"))]),
        theft("hears it from others", 1, &[get("PEER/v1/other-header"), get("FENCE/gossip")]),
        theft("hears it from others first", 0, &[get("FENCE/gossip"), by_wasi(get("FENCE/gossip"))]),
        Theft {
            connection: "maps",
            ..theft("reads the query", 2, &[get("PEER/v1/echo?a=1"), by_wasi(get("PEER/v1/redirect-away?a=1"))])
        },
        Theft {
            connection: "maps",
            ..theft(
                "sets the query",
                0,
                &[get("PEER/v1/echo?key=mine"), get("PEER/v1/echo?a&%6bey=mine"), by_wasi(get("PEER/v1/echo?key"))],
            )
        },
        Theft {
            connection: "secure",
            ..theft("goes without TLS", 0, &[get("PEER/v1/echo"), by_wasi(get("PEER/v1/echo"))])
        },
        Theft {
            connection: "erp",
            ..theft("wants another's", 0, &[get("PEER/v1/echo"), with_header("x-flowcell-connection", "crm")])
        },
        Theft { connection: "stale", ..theft("waits for the renewal", 2, &[get("PEER/v1/guarded")]) },
        Theft { then: "log", ..theft("logs it", 1, &[get("PEER/v1/echo")]) },
        Theft { then: "fail", ..theft("fails with it", 1, &[get("PEER/v1/echo")]) },
        Theft { then: "panic", ..theft("panics with it", 1, &[get("PEER/v1/echo")]) },
        Theft { then: "sell", ..theft("sells it", 2, &[get("PEER/v1/echo"), get("PEER/v1/base64")]) },
    ]
}

/// Everything that anybody can read of a call, forwards and backwards, in small letters.
fn everything_of(answer: &Invocation<Value>) -> String {
    let outcome = match &answer.outcome {
        Ok(output) => output.to_string(),
        Err(error) => format!("{error} {error:?}"),
    };
    let record = serde_json::to_string(&answer.record).unwrap();
    let all = format!("{outcome}\n{record}\n{:?}", answer.record);
    let backwards: String = all.chars().rev().collect();
    format!("{all}\n{backwards}").to_lowercase()
}

/// How a secret may look when somebody has it.
fn traces(secret: &str) -> Vec<String> {
    let hex = data_encoding::HEXLOWER.encode(secret.as_bytes());
    let mut traces = vec![secret.to_owned(), hex, secret.replace('-', "%2d")];
    // Of base64 what depends on nothing before and after it.
    traces.extend(["", "a", "ab"].map(|before| {
        let encoded = BASE64_STANDARD.encode(format!("{before}{secret}"));
        encoded[(before.len() * 8).div_ceil(6)..(before.len() + secret.len()) * 8 / 6].to_lowercase()
    }));
    traces
}

fn assert_nothing_taken(name: &str, answer: &Invocation<Value>) {
    let all = everything_of(answer);
    for trace in [SECRET, STALE].into_iter().flat_map(traces) {
        assert!(!all.contains(&trace), "{name}: `{trace}` got out:\n{all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thieves_and_more_get_nothing() {
    let den = Den::new().await;
    let thefts: Vec<Theft> = echoes().into_iter().chain(other_thefts()).collect();
    assert!(thefts.len() >= 35);
    for theft in &thefts {
        let answer = den.sandbox.invoke(den.call(theft)).await;
        assert!(
            !answer.record.http.is_empty() || theft.name.starts_with("sets"),
            "{}: it tried: {answer:?}",
            theft.name
        );
        assert_nothing_taken(theft.name, &answer);
        assert_eq!(den.arrived(), theft.arrives, "{}: the peer gets what it should: {:#?}", theft.name, answer.record);
        for head in den.fence.heads.lock().unwrap().drain(..) {
            assert!(!head.contains(SECRET), "{}: {head}", theft.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_dry_run_nor_a_replay_gives_anything_away() {
    let den = Den::new().await;
    for theft in [
        theft("plain", 1, &[get("PEER/v1/echo")]),
        Theft { connection: "maps", ..theft("query", 1, &[get("PEER/v1/echo?a=1")]) },
    ] {
        let call = den.call(&theft);
        let dry = den.sandbox.dry_run(call.clone(), &Answers::default()).await;
        assert_nothing_taken(theft.name, &dry);
        let sent = &dry.record.http[0];
        let is_shown = sent.request.url.ends_with("&key=•••")
            || sent.request.headers.contains(&("x-token".to_owned(), "•••".to_owned()));
        assert!(is_shown && den.arrived() == 0, "{sent:#?}");

        let live = den.sandbox.invoke(call.clone()).await;
        assert_eq!(den.arrived(), 1);
        assert_nothing_taken(theft.name, &live);
        let outcome =
            live.outcome.map_err(|error| RecordedFailure { code: error.code().to_owned(), message: error.to_string() });
        // The connection is gone by now: a replay needs none.
        let call = ActionCall { connection: Some("gone".parse().unwrap()), ..call };
        let replay = den.sandbox.replay(&Recording { call, outcome, record: live.record }).await;
        assert_eq!((replay.difference, den.arrived()), (None, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_cannot_be_used_decides_how_the_call_ends() {
    let den = Den::new().await;
    let unknown = Theft { connection: "nobody", ..theft("unknown", 0, &[get("PEER/v1/echo")]) };
    let answer = den.sandbox.invoke(den.call(&unknown)).await;
    assert_eq!(answer.outcome.unwrap_err().code(), "connection-unknown");
    assert!(answer.record.http.is_empty(), "the guest was not started");

    // The guest fails with what it was told; the run learns the reason.
    let lapsed = Theft { connection: "lapsed", then: "fail", ..theft("lapsed", 0, &[get("PEER/v1/guarded")]) };
    let answer = den.sandbox.invoke(den.call(&lapsed)).await;
    assert_nothing_taken("lapsed", &answer);
    let error = answer.outcome.unwrap_err();
    assert!(matches!(&error, InvokeError::Connection(CredentialError::NeedsReconnecting { .. })), "{error:?}");
    assert!(error.to_string().contains("invalid_grant"), "{error}");
    assert_eq!(den.arrived(), 1, "it was refused once, and not tried again");
}
