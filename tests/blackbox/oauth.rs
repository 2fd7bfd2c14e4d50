//! OAuth 2.0 against a real authorization server: consent in a browser, renewals, a revoked consent, and crashes at the worst moments.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowcell_tests::{Answer, Browser, Oidc, Options, Receiver, Reply, Server, eventually, request};
use rustix::process::Signal;
use serde_json::{Value, json};

struct Lab {
    oidc: Oidc,
    receiver: Receiver,
    /// What the receiver takes no more.
    refused: Arc<Mutex<BTreeSet<String>>>,
    server: Server,
    hook: String,
}

impl Lab {
    /// A workflow whose step uses a connection that nobody has consented to.
    fn start() -> Self {
        let refused: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let known = Arc::clone(&refused);
        let receiver = Receiver::answering(move |_, request| {
            let token = request.header("authorization").unwrap_or_default();
            let is_good = !token.is_empty() && !known.lock().unwrap().contains(token);
            Reply::status(if is_good { 200 } else { 401 })
        });
        let (oidc, server) = (Oidc::start(), Server::start());
        let lab = Self { hook: String::new(), oidc, receiver, refused, server };
        lab.register();
        let file = lab.server.folder().join("secret");
        std::fs::write(&file, Oidc::SECRET).unwrap();
        let (authorize, token) = (lab.oidc.url("/auth?prompt=consent"), lab.oidc.url("/token"));
        let added = lab.server.cli(&[
            "connection",
            "add",
            "crm",
            "--kind",
            "oauth-code",
            "--authorize-url",
            &authorize,
            "--token-url",
            &token,
            "--client-id",
            Oidc::CLIENT,
            "--scope",
            "openid",
            "--scope",
            "offline_access",
            "--host",
            &lab.receiver.origin(),
            "--plugin",
            "flowcell/custom-webhook",
            "--secret-file",
            file.to_str().unwrap(),
            "--json",
        ]);
        assert_eq!((added.code, &added.json()["state"]["is"]), (Some(0), &json!("pending")), "{added:?}");
        let hook = lab.server.apply(&workflow(&lab.receiver.origin())).url;
        Self { hook, ..lab }
    }

    /// The address that the other side sends browsers back to.
    fn callback(&self) -> String {
        format!("{}/oauth/callback", self.server.origin())
    }

    /// Tells the other side; after a restart the server has another port.
    fn register(&self) {
        self.oidc.control(&json!({ "redirect_uri": self.callback() }));
    }

    fn consent_address(&self) -> String {
        let begun = self.server.cli(&["connection", "connect", "crm", "--json"]);
        begun.json()["url"].as_str().unwrap_or_else(|| panic!("{begun:?}")).to_owned()
    }

    fn connect(&self) -> Answer {
        let mut browser = Browser::default();
        let back = browser.until(&self.consent_address(), &self.callback());
        let page = browser.get(&back);
        assert_eq!(page.status, 200, "{page:?}");
        page
    }

    fn connection(&self) -> Value {
        self.server.api("GET", "/api/v2/connections/crm", b"").json()
    }

    fn trigger(&self) -> String {
        self.server.trigger(&self.server.rebase(&self.hook), &json!({}))
    }

    fn succeeds(&self, run: &str) {
        let shown = self.server.wait_for_run(run, &["succeeded", "failed"]);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
    }

    fn parks(&self, run: &str) {
        let parked = eventually("a run that parks", Duration::from_mins(1), || {
            let shown = self.server.run(run);
            (shown["steps"][0]["status"] == "parked").then_some(shown)
        });
        assert!(parked.to_string().contains("connection-needs-reconnecting"), "{parked:#}");
    }

    /// The last `Authorization` that the receiver took.
    fn token(&self) -> String {
        self.receiver.requests().last().unwrap().header("authorization").unwrap().to_owned()
    }
}

fn workflow(origin: &str) -> String {
    format!(
        "id: use\nname: Use\ntrigger:\n  uses: flowcell/webhook/inbound@1\nsteps:\n  - id: call\n    uses: flowcell/custom-webhook/request@1\n    \
         connection: crm\n    with:\n      method: POST\n      url: {origin}/contacts\n      json: {{ a: 1 }}\n"
    )
}

#[test]
fn a_consent_in_a_browser_connects_and_what_waited_goes_on() {
    let lab = Lab::start();
    let run = lab.trigger();
    lab.parks(&run);
    assert_eq!(lab.receiver.requests().len(), 0);
    let page = lab.connect();
    assert!(page.body.contains("crm") && page.body.contains("Runs that waited for it go on: 1."), "{page:?}");
    lab.succeeds(&run);
    assert!(lab.token().starts_with("Bearer ") && lab.oidc.knows(&lab.token()));
    assert_eq!((lab.oidc.count("grants"), lab.oidc.count("refreshes")), (1, 0));
    let seen = lab.connection().to_string() + &lab.server.run(&run).to_string() + &lab.server.log();
    assert!(!seen.contains(lab.token().strip_prefix("Bearer ").unwrap()) && !seen.contains(Oidc::SECRET));
}

#[test]
fn what_does_not_come_back_as_it_left_changes_nothing() {
    let lab = Lab::start();
    let before = lab.connection();
    let refused = |answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!((lab.connection(), lab.oidc.count("grants")), (before.clone(), 0));
    };
    let mut browser = Browser::default();
    refused(browser.get(&format!("{}?state=forged&code=x", lab.callback())), 400);
    refused(browser.get(&lab.callback()), 400);
    // Whoever is made to open somebody else's way back has not the cookie; and the state is used up.
    let back = browser.until(&lab.consent_address(), &lab.callback());
    refused(Browser::default().get(&back), 400);
    refused(browser.get(&back), 400);
    // A state of one consent with the cookie of another.
    let mut other = Browser::default();
    let (one, two) =
        (browser.until(&lab.consent_address(), &lab.callback()), other.until(&lab.consent_address(), &lab.callback()));
    refused(other.get(&one), 400);
    refused(browser.get(&two), 400);
    // An address opens once.
    let address = lab.consent_address();
    // Whoever only looks, as mail programs and chats do, uses nothing up and sets nothing.
    for method in ["HEAD", "GET", "GET"] {
        let looked = request(method, &address, &[], b"").unwrap();
        assert_eq!(
            (looked.status, looked.header("set-cookie"), looked.header("refresh")),
            (200, None, None),
            "{looked:?}"
        );
    }
    let away = browser.open(&address);
    let to = away.header("location").unwrap().to_owned();
    refused(browser.get(&address), 410);
    refused(browser.open(&address), 410);
    // The redirect is the registered one, whatever host somebody asks for; another one is refused by the other side.
    let exact = format!("redirect_uri={}", lab.callback().replace(':', "%3A").replace('/', "%2F"));
    assert!(to.contains(&exact), "{to}");
    let misled = request("POST", &lab.consent_address(), &[("host", "evil.example")], b"").unwrap();
    assert!(misled.header("refresh").unwrap().contains(&exact), "{misled:?}");
    refused(browser.get(&to.replace("oauth%2Fcallback", "oauth%2Felsewhere")), 400);
    // The other side says no.
    let state = to.split('&').find_map(|part| part.strip_prefix("state=")).unwrap();
    let denied =
        browser.get(&format!("{}?state={state}&error=access_denied&error_description=%3Cb%3E", lab.callback()));
    assert!(denied.body.contains("access_denied (&lt;b&gt;)"), "{denied:?}");
    refused(denied, 400);
    // The code of one server, answered to the state of another (RFC 9207): it does not leave.
    let back = browser.until(&lab.consent_address(), &lab.callback());
    let iss = back.split(['?', '&']).find(|part| part.starts_with("iss=")).unwrap().to_owned();
    let mixed = browser.get(&back.replace(&iss, "iss=https%3A%2F%2Fevil.example"));
    assert!(mixed.body.contains("another server") && mixed.body.contains("evil.example"), "{mixed:?}");
    refused(mixed, 400);
    let back = browser.until(&lab.consent_address(), &lab.callback());
    refused(browser.get(&format!("{back}&iss=https%3A%2F%2Fevil.example")), 400);
    // A code that the other side did not give.
    let back = browser.until(&lab.consent_address(), &lab.callback());
    let state = back.split(['?', '&']).find_map(|part| part.strip_prefix("state=")).unwrap();
    let invented = browser.get(&format!("{}?state={state}&code=invented", lab.callback()));
    assert!(invented.body.contains("invalid_grant"), "{invented:?}");
    refused(invented, 400);
    // After all that it still works, once.
    let back = browser.until(&lab.consent_address(), &lab.callback());
    assert_eq!(browser.get(&back).status, 200);
    let connected = lab.connection();
    assert_eq!((browser.get(&back).status, lab.connection()), (400, connected));
}

#[test]
fn fifty_steps_whose_token_has_ended_make_one_renewal() {
    let lab = Lab::start();
    lab.connect();
    lab.succeeds(&lab.trigger());
    for round in 1..=2 {
        let old = lab.token();
        // The other side takes it no more, before its time.
        lab.refused.lock().unwrap().insert(old.clone());
        let runs: Vec<String> = (0..50).map(|_| lab.trigger()).collect();
        for run in &runs {
            lab.succeeds(run);
        }
        // The refresh token is another one each time, and good once: a second renewal would have been refused.
        assert_eq!((lab.oidc.count("refreshes"), lab.oidc.count("refusals")), (round, 0));
        assert!(lab.token() != old && lab.oidc.knows(&lab.token()));
    }
}

#[test]
fn a_revoked_consent_parks_runs_and_names_their_workflows_until_somebody_consents_again() {
    let lab = Lab::start();
    lab.connect();
    lab.succeeds(&lab.trigger());
    lab.oidc.control(&json!({ "revoke": true }));
    lab.refused.lock().unwrap().insert(lab.token());
    let run = lab.trigger();
    lab.parks(&run);
    let shown = lab.connection();
    assert_eq!(shown["state"]["is"], "needs-reconnecting", "{shown:#}");
    assert!(shown["state"]["reason"].as_str().unwrap().contains("invalid_grant"), "{shown:#}");
    let log = lab.server.log();
    let said = log.lines().find(|line| line.contains("needs reconnecting")).unwrap();
    assert!(said.contains("crm") && said.contains("use") && said.contains("invalid_grant"), "{said}");
    let usage = lab.server.cli(&["connection", "usage", "crm", "--json"]).json();
    assert_eq!((&usage["workflows"][0]["id"], &usage["waiting_run_ids"][0]), (&json!("use"), &json!(run)));
    // Nobody is asked again in vain.
    let refusals = lab.oidc.count("refusals");
    let second = lab.trigger();
    lab.parks(&second);
    assert_eq!(lab.oidc.count("refusals"), refusals);
    let page = lab.connect();
    assert!(page.body.contains("go on: 2."), "{page:?}");
    lab.succeeds(&run);
    lab.succeeds(&second);
}

/// When the server is killed during a renewal.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The other side has replaced the refresh token, and its answer is not here.
    BeforeTheAnswer,
    /// The answer is on its way.
    WithTheAnswer,
    /// The answer has left the other side.
    AfterTheAnswer,
    /// The receiver has the new token, so it must be on the disk.
    AfterItsUse,
}

#[test]
fn a_crash_during_a_renewal_leaves_a_connection_that_works_or_says_that_it_does_not() {
    let mut lab = Lab::start();
    lab.connect();
    lab.succeeds(&lab.trigger());
    let moments = [Moment::BeforeTheAnswer, Moment::WithTheAnswer, Moment::AfterTheAnswer, Moment::AfterItsUse];
    for moment in moments.into_iter().chain([Moment::WithTheAnswer, Moment::AfterTheAnswer]) {
        let old = lab.token();
        lab.refused.lock().unwrap().insert(old.clone());
        let requests = lab.receiver.requests().len();
        let (answered, sent) = (lab.oidc.count("answered"), lab.oidc.count("sent"));
        lab.oidc.control(&json!({ "hold": true }));
        let run = lab.trigger();
        let until = |what: &str, before: u64| {
            eventually(what, Duration::from_mins(1), || (lab.oidc.count(what) > before).then_some(()));
        };
        until("answered", answered);
        match moment {
            Moment::BeforeTheAnswer => {}
            Moment::WithTheAnswer => drop(lab.oidc.control(&json!({ "hold": false }))),
            Moment::AfterTheAnswer => {
                lab.oidc.control(&json!({ "hold": false }));
                until("sent", sent);
            }
            Moment::AfterItsUse => {
                lab.oidc.control(&json!({ "hold": false }));
                lab.receiver.wait_for(requests + 2);
            }
        }
        lab.server.kill();
        lab.oidc.control(&json!({ "hold": false }));
        lab.server.restart();
        lab.register();
        let is_parked = eventually("the run goes on, or parks", Duration::from_mins(1), || {
            let shown = lab.server.run(&run);
            let is_parked = shown["steps"][0]["status"] == "parked";
            assert_ne!(shown["status"], "failed", "{moment:?}: {shown:#}");
            (is_parked || shown["status"] == "succeeded").then_some(is_parked)
        });
        let state = lab.connection()["state"].clone();
        if is_parked {
            assert_eq!(state["is"], "needs-reconnecting", "{moment:?}: {state}");
            assert!(state["reason"].as_str().unwrap().contains("invalid_grant"), "{moment:?}: {state}");
            lab.connect();
            lab.succeeds(&run);
        }
        match moment {
            Moment::BeforeTheAnswer => assert!(is_parked, "the old refresh token was used up"),
            Moment::AfterItsUse => assert!(!is_parked, "a token was used before it was written down: {state}"),
            Moment::WithTheAnswer | Moment::AfterTheAnswer => {}
        }
        assert_eq!(lab.connection()["state"]["is"], "ready", "{moment:?}");
        assert!(lab.token() != old && lab.oidc.knows(&lab.token()), "{moment:?}");
        lab.succeeds(&lab.trigger());
    }
}

#[test]
fn a_server_that_ends_during_a_renewal_finishes_it() {
    let mut lab = Lab::start();
    lab.connect();
    lab.succeeds(&lab.trigger());
    lab.refused.lock().unwrap().insert(lab.token());
    let answered = lab.oidc.count("answered");
    lab.oidc.control(&json!({ "hold": true }));
    let run = lab.trigger();
    eventually("a renewal", Duration::from_mins(1), || (lab.oidc.count("answered") > answered).then_some(()));
    lab.server.signal(Signal::TERM);
    eventually("it drains", Duration::from_mins(1), || lab.server.log().contains("draining").then_some(()));
    lab.oidc.control(&json!({ "hold": false }));
    assert_eq!(lab.server.ended(), Some(0), "{}", lab.server.log());
    lab.server.restart();
    lab.succeeds(&run);
    lab.succeeds(&lab.trigger());
    assert_eq!(lab.connection()["state"]["is"], "ready");
    assert_eq!((lab.oidc.count("refreshes"), lab.oidc.count("refusals")), (1, 0));
}

#[test]
fn client_credentials_are_exchanged_for_tokens_as_steps_need_them() {
    let receiver = Receiver::start();
    let (oidc, server) = (Oidc::start(), Server::start());
    let file = server.folder().join("secret");
    std::fs::write(&file, Oidc::SECRET).unwrap();
    let (token, file) = (oidc.url("/token"), file.to_str().unwrap());
    let settings = ["--token-url", &token, "--client-id", Oidc::CLIENT, "--secret-file", file];
    let bound = ["--host", &receiver.origin(), "--plugin", "flowcell/custom-webhook"];
    let add = ["connection", "add", "crm", "--kind", "oauth-client-credentials", "--json"];
    let added = server.cli(&[&add[..], &settings, &bound].concat());
    assert_eq!((added.code, &added.json()["state"]["is"]), (Some(0), &json!("ready")), "{added:?}");
    let hook = server.apply(&workflow(&receiver.origin())).url;
    let runs: Vec<String> = (0..10).map(|_| server.trigger(&hook, &json!({}))).collect();
    for run in &runs {
        server.wait_for_run(run, &["succeeded"]);
    }
    let tokens: BTreeSet<_> =
        receiver.requests().iter().map(|request| request.header("authorization").unwrap().to_owned()).collect();
    assert_eq!((tokens.len(), oidc.count("grants")), (1, 1), "{tokens:?}");
    let nobody = server.cli(&["connection", "connect", "crm"]);
    assert!(nobody.code == Some(1) && nobody.stderr.contains("needs nobody's consent"), "{nobody:?}");
}

/// Ways to say this machine, its network, and what a cloud tells its machines.
const INWARD: [&str; 12] = [
    "http://127.0.0.1:{port}/token",
    "https://127.0.0.1:{port}/token",
    "http://localhost:{port}/token",
    "http://2130706433:{port}/token",
    "http://0x7f.1:{port}/token",
    "http://0177.0.0.1:{port}/token",
    "http://127.1:{port}/token",
    "http://[::1]:{port}/token",
    "https://[::ffff:127.0.0.1]:{port}/token",
    "https://0.0.0.0:{port}/token",
    "https://169.254.169.254/token",
    "https://10.0.0.1/token",
];

#[test]
fn a_token_endpoint_inside_is_not_asked_unless_the_operator_allows_it() {
    let canary = Receiver::start();
    let port = canary.origin().rsplit(':').next().unwrap().to_owned();
    let server = Server::start_with(Options { closed_egress: true, ..Options::default() });
    for (number, url) in INWARD.iter().enumerate() {
        let token_url = url.replace("{port}", &port);
        let add = json!({
            "name": format!("inward-{number}"), "kind": "oauth-client-credentials", "hosts": ["https://api.example"], "plugins": ["flowcell/custom-webhook"],
            "settings": { "token_url": token_url, "client_id": "c" }, "secret": { "client_secret": "s" },
        });
        let added = server.api("POST", "/api/v2/connections", add.to_string().as_bytes());
        assert_eq!(added.status, 201, "{token_url}: {added:?}");
        let trial = json!({ "url": "https://api.example/" }).to_string();
        let tried = server.api("POST", &format!("/api/v2/connections/inward-{number}/test"), trial.as_bytes());
        assert!(tried.status != 200 || tried.json()["is_accepted"] == false, "{token_url}: {tried:?}");
        // What an operator can allow is named with the option; a metadata service nobody can.
        let remedy = if url.contains("169.254.169.254") { "metadata service" } else { "--egress-allow" };
        assert!(tried.body.contains("token endpoint at") && tried.body.contains(remedy), "{token_url}: {tried:?}");
    }
    assert_eq!(canary.requests().len(), 0);
    // A consent address that leads inside is never fetched: only the browser goes there.
    let add = json!({
        "name": "browser", "kind": "oauth-code", "hosts": ["https://api.example"], "plugins": ["flowcell/custom-webhook"], "secret": { "client_secret": "s" },
        "settings": { "authorize_url": format!("http://127.0.0.1:{port}/auth"), "token_url": "https://id.example/token", "client_id": "c" },
    });
    assert_eq!(server.api("POST", "/api/v2/connections", add.to_string().as_bytes()).status, 201);
    let begun = server.api("POST", "/api/v2/connections/browser/consent", b"{}").json();
    let away = Browser::default().open(begun["url"].as_str().unwrap());
    assert!(away.header("location").unwrap().starts_with(&format!("http://127.0.0.1:{port}/auth?")), "{away:?}");
    assert_eq!(canary.requests().len(), 0);
}
