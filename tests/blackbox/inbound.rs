//! PROMISES §3, "Webhook URLs and signatures": senders are verified as their own libraries sign, requests are kept to look at and to map against,
//! URLs are replaced without haste.

mod providers;

use std::time::{Duration, Instant};

use flowcell_tests::{Answer, Server, request};
use serde_json::{Value, json};

/// A webhook that does next to nothing with what comes; `trigger` are more lines of its trigger.
fn taking(id: &str, trigger: &str) -> String {
    format!(
        "id: {id}\nname: Taking\ntrigger:\n  uses: flowcell/webhook/inbound@1\n{trigger}steps:\n  - id: note\n    set: {{ email: \"{{{{ trigger.body.email }}}}\" }}\n"
    )
}

fn send(url: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    request("POST", url, &headers, body.to_string().as_bytes()).unwrap()
}

/// Stores what senders sign with, the current one first.
fn add_secrets(server: &Server, name: &str, secrets: &[&str]) {
    let secrets = secrets.iter().enumerate().map(|(index, value)| match index {
        0 => json!({ "value": value }),
        _ => json!({ "value": value, "valid_until": "2999-01-01T00:00:00Z" }),
    });
    let document =
        json!({ "name": name, "kind": "webhook-secret", "secret": { "secrets": secrets.collect::<Vec<_>>() } });
    let added = server.api("POST", "/api/v2/connections", document.to_string().as_bytes());
    assert_eq!(added.status, 201, "{added:?}");
}

fn requests(server: &Server, workflow: &str, query: &str) -> Vec<Value> {
    let answer = server.api("GET", &format!("/api/v2/workflows/{workflow}/requests{query}"), b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["requests"].as_array().unwrap().clone()
}

#[test]
fn an_accepted_delivery_is_answered_with_its_event_its_run_and_where_to_look() {
    let server = Server::start();
    let url = server.apply(&taking("plain", "")).url;
    let answer = send(&url, &[], &json!({ "email": "a@example.com" }));
    assert_eq!(answer.status, 202, "{answer:?}");
    let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
    assert!(answer.json()["event_id"].as_str().unwrap().starts_with("evt_"));
    assert_eq!(answer.header("location"), Some(format!("/api/v2/runs/{run}").as_str()));
    server.wait_for_run(&run, &["succeeded"]);
    let kept = &requests(&server, "plain", "")[0];
    assert_eq!((&kept["outcome"]["is"], &kept["outcome"]["run_ids"][0]), (&json!("started"), &json!(run)));
}

#[test]
fn a_reference_and_a_former_url_outlive_a_restart_and_the_requests_do_not() {
    let mut server = Server::start();
    let draft = server.folder().join("draft.yaml");
    std::fs::write(&draft, taking("mapped", "")).unwrap();
    let draft = draft.to_str().unwrap();
    let applied = server.cli(&["workflow", "apply", draft, "--draft", "--json"]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let url = applied.json()["triggers"][0]["url"].as_str().unwrap().to_owned();
    let tested =
        send(&url, &[("authorization", "Bearer s")], &json!({ "email": "a@example.com", "items": [{ "sku": "x" }] }));
    assert_eq!((tested.status, &tested.json()["test"]), (202, &json!(true)), "{tested:?}");
    send(&url, &[], &json!({ "email": "b@example.com", "items": [], "note": "n" }));
    assert_eq!(server.api("GET", "/api/v2/runs", b"").json()["runs"], json!([]), "a draft starts nothing");

    let saved = server.cli(&["trigger", "save-reference", "mapped", "--latest", "2"]);
    assert_eq!(saved.code, Some(0), "{saved:?}");
    for line in ["trigger.body.email", "string (email)", "trigger.body.items[0].sku", "not in every sample"] {
        assert!(saved.stdout.contains(line), "{line}: {}", saved.stdout);
    }
    let url = server.apply(&taking("mapped", "")).url;
    let rotated = server.cli(&["trigger", "rotate-url", "mapped", "--keep-old", "7d", "--json"]);
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    let new = rotated.json()["url"].as_str().unwrap().to_owned();
    assert_ne!(new, url);
    for url in [&url, &new] {
        assert_eq!(send(url, &[], &json!({ "email": "c@example.com" })).status, 202);
    }
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    assert_eq!(requests(&server, "mapped", ""), Vec::<Value>::new(), "they are in memory alone");
    for url in [&url, &new] {
        assert_eq!(send(&server.rebase(url), &[], &json!({ "email": "d@example.com" })).status, 202);
    }
    let shown = server.api("GET", "/api/v2/workflows/mapped/trigger", b"").json();
    let former = &shown["former_urls"][0];
    assert_eq!((&former["count"], &former["is_valid"]), (&json!(2), &json!(true)), "before and after: {shown}");
    let printed = server.cli(&["trigger", "show", "mapped"]);
    assert!(printed.stdout.contains("2 requests, the last at"), "{}", printed.stdout);

    let reference = server.cli(&["trigger", "reference", "mapped", "--json"]);
    let document = reference.json();
    assert_eq!(document["samples"].as_array().map(Vec::len), Some(2));
    assert!(!reference.stdout.contains("Bearer s"), "what proves something is masked");
    let wrong = taking("mapped", "").replace("trigger.body.email", "trigger.body.emial");
    let applied = server.try_apply(&wrong);
    assert!(applied.stderr.contains("did you mean") || applied.stdout.contains("did you mean"), "{applied:?}");
    // The same without a server.
    let (file, against) = (server.folder().join("wrong.yaml"), server.folder().join("reference.json"));
    std::fs::write(&file, &wrong).unwrap();
    std::fs::write(&against, &reference.stdout).unwrap();
    let checked = server.cli(&["check", file.to_str().unwrap(), "--reference", against.to_str().unwrap()]);
    assert!(checked.stdout.contains("did you mean `trigger.body.email`?"), "{checked:?}");

    // Replaced at once, the URL leads nowhere; the one before it counts yet.
    let newest = server.cli(&["trigger", "rotate-url", "mapped", "--json"]).json()["url"].as_str().unwrap().to_owned();
    let statuses = [&server.rebase(&url), &server.rebase(&new), &newest].map(|url| send(url, &[], &json!({})).status);
    assert_eq!(statuses, [202, 404, 202]);
}

#[test]
fn whoever_listens_sees_a_request_within_a_second_with_headers_and_raw_body() {
    let server = Server::start();
    let url = server.apply(&taking("heard", "")).url;
    let seen = std::thread::scope(|scope| {
        let listening = scope.spawn(|| server.cli(&["trigger", "listen", "heard", "--count", "1", "--json"]));
        let began = Instant::now();
        // Whatever is sent before somebody listens is not told: send until it is heard.
        while !listening.is_finished() {
            assert!(began.elapsed() < Duration::from_mins(1), "nobody heard it");
            send(&url, &[("x-shop", "a"), ("cookie", "c=1")], &json!({ "email": "grün" }));
            std::thread::sleep(Duration::from_millis(200));
        }
        listening.join().unwrap()
    });
    assert_eq!(seen.code, Some(0), "{seen:?}");
    let seen = seen.json();
    assert_eq!(seen["body"], "{\"email\":\"grün\"}", "{seen}");
    let header = |name: &str| {
        let headers = seen["headers"].as_array().unwrap();
        headers.iter().find(|header| header["name"] == name).map(|header| header["value"].clone())
    };
    assert_eq!((header("x-shop"), header("cookie")), (Some(json!("a")), Some(json!("•••"))));

    // How long it takes once somebody listens.
    let mut stream = Listener::open(&server, "heard");
    let began = Instant::now();
    send(&url, &[], &json!({ "email": "now" }));
    stream.wait_for("\\\"now\\\"");
    assert!(began.elapsed() < Duration::from_secs(20), "a second on a quiet machine: {:?}", began.elapsed());
}

/// A raw connection that follows the requests of a workflow.
struct Listener(std::net::TcpStream);

impl Listener {
    fn open(server: &Server, workflow: &str) -> Self {
        use std::io::{Read as _, Write as _};
        let address = server.origin().strip_prefix("http://").unwrap();
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let head = format!(
            "GET /api/v2/workflows/{workflow}/requests/tail HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\r\n",
            token.trim()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The first piece says that it follows.
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("retry: 1000") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&text));
            text.extend(&piece[..read]);
        }
        Self(stream)
    }

    fn wait_for(&mut self, part: &str) {
        use std::io::Read as _;
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains(part) {
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece).unwrap();
            assert!(read > 0, "it ended without {part}: {}", String::from_utf8_lossy(&text));
            text.extend(&piece[..read]);
        }
    }
}

#[test]
fn a_secret_that_senders_show_reaches_no_run() {
    const SECRET: &str = "s3cr3t-of-the-sender";
    let server = Server::start();
    add_secrets(&server, "shown", &[SECRET]);
    let bearer = format!("Bearer {SECRET}");
    for (id, verify, query, header) in [
        ("by-bearer", "{ scheme: bearer, secret: shown }", String::new(), ("authorization", bearer.as_str())),
        ("by-header", "{ scheme: api-key, secret: shown, header: X-Door }", String::new(), ("x-door", SECRET)),
        (
            "by-query",
            "{ scheme: api-key, secret: shown, query: door }",
            format!("?a=1&door={SECRET}"),
            ("x-other", "1"),
        ),
    ] {
        let url = server.apply(&taking(id, &format!("  verify: {verify}\n"))).url;
        let answer = send(&format!("{url}{query}"), &[header], &json!({ "email": "a@example.com" }));
        assert_eq!(answer.status, 202, "{id}: {answer:?}");
        let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
        server.wait_for_run(&run, &["succeeded"]);
        let shown = server.run(&run);
        assert!(!shown.to_string().contains(SECRET), "{id}: {shown:#}");
        assert!(shown.to_string().contains("•••"), "{id}: {shown:#}");
    }
}
