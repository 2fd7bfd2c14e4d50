//! FEATURES T4: a hundred connections with secrets that can be recognised, used against a receiver that echoes whatever it is sent; afterwards
//! none of them stands anywhere: not in the data directory, in no log, and in nothing that the API or the CLI says.

use std::collections::BTreeMap;
use std::path::Path;

use flowcell_tests::{Browser, CliOutput, Receiver, Reply, Request, Server, request};
use serde_json::{Value, json};

/// Stands in every secret. Twelve letters, so that of its base64 enough is left whatever stands around it.
const MARK: &str = "KanarienVogel";

/// How many connections there are.
const CONNECTIONS: usize = 100;

/// Steps of one workflow.
const STEPS: usize = 10;

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = bytes.chunks(3).flat_map(|three| {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..4).map(
            move |at| if at <= three.len() { char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]) } else { '=' },
        )
    });
    letters.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// How [`MARK`] looks in a text that holds a secret: as it is, in hexadecimal, and in base64 at each of three places. (It is the same
/// percent-encoded and in JSON.) In small letters.
fn traces() -> Vec<Vec<u8>> {
    let mut traces = vec![MARK.to_lowercase(), hex(MARK.as_bytes())];
    for shift in 0..3 {
        let encoded = base64(&[&[b'x'; 2][..shift.min(2)], MARK.as_bytes()].concat());
        let (first, end) = ((shift * 8).div_ceil(6), (shift + MARK.len()) * 8 / 6);
        traces.push(encoded[first..end].to_lowercase());
    }
    traces.into_iter().map(String::into_bytes).collect()
}

/// What stands around a trace, for whoever has to find out how it came there.
fn around(bytes: &[u8], trace: &str) -> String {
    let small = bytes.to_ascii_lowercase();
    let at = small.windows(trace.len()).position(|window| window == trace.as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&bytes[at.saturating_sub(600)..bytes.len().min(at + 200)]).escape_debug().to_string()
}

/// The traces in `bytes`.
fn found_in(bytes: &[u8], traces: &[Vec<u8>]) -> Vec<String> {
    let small = bytes.to_ascii_lowercase();
    let is_in = |trace: &Vec<u8>| {
        // Looked for by its first byte: files are large, and this is a debug build.
        let (first, rest) = (trace[0], &trace[1..]);
        let mut from = 0;
        while let Some(at) = small[from..].iter().position(|byte| *byte == first) {
            from += at + 1;
            if small[from..].starts_with(rest) {
                return true;
            }
        }
        false
    };
    traces.iter().filter(|trace| is_in(trace)).map(|trace| String::from_utf8_lossy(trace).into_owned()).collect()
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The connection `number`: its document, and whether a step can use it.
fn connection(number: usize, receiver: &str) -> (Value, bool) {
    let secret = format!("{MARK}-{number}/+=&%\"<~");
    let plain = format!("{MARK}{number}");
    let whole = |bytes: &str| base64(format!("{bytes:x<32}").as_bytes());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(plain.as_bytes()));
    let token_url = "https://login.example/token";
    let (kind, settings, document, is_used) = match number % 11 {
        0 => ("bearer", Value::Null, json!({ "token": secret }), true),
        1 => ("api-key", json!({ "header": { "name": "X-Api-Key" } }), json!({ "key": secret }), true),
        2 => ("api-key", json!({ "header": { "name": "X-Other", "prefix": "Key " } }), json!({ "key": plain }), true),
        3 => ("api-key", json!({ "query": { "name": "api_key" } }), json!({ "key": secret }), true),
        4 => ("basic", json!({ "username": "ada" }), json!({ "password": format!("{secret} ü") }), true),
        5 => ("hmac", json!({ "header": "X-Signature" }), json!({ "secrets": [{ "value": secret }] }), true),
        6 => (
            "standard-webhooks",
            json!({}),
            json!({
                "secrets": [{ "value": format!("whsec_{}", whole(&plain)) }],
                "signing_keys": [{ "value": format!("whsk_{}", whole(&plain)) }],
            }),
            true,
        ),
        7 => (
            "oauth-client-credentials",
            json!({ "token_url": format!("{receiver}/token"), "client_id": "c" }),
            json!({ "client_secret": plain }),
            true,
        ),
        8 => (
            "smtp",
            json!({ "host": "mail.example", "port": 587, "tls": "starttls", "username": "ada" }),
            json!({ "password": secret }),
            false,
        ),
        9 => (
            "oauth-code",
            json!({
                "authorize_url": "https://login.example/authorize", "token_url": format!("{receiver}/token"), "client_id": "c",
                "authentication": "client-secret-post",
            }),
            json!({ "client_secret": secret }),
            true,
        ),
        10 if number > 50 => ("webhook-secret", Value::Null, json!({ "secrets": [{ "value": secret }] }), false),
        _ => (
            "google-service-account",
            json!({ "client_email": "a@b.example", "token_url": token_url, "scopes": ["s"] }),
            json!({ "private_key": pem }),
            false,
        ),
    };
    let mut connection = json!({
        "name": format!("canary-{number}"), "kind": kind, "secret": document,
        "hosts": [format!("{receiver}/*")], "plugins": ["flowcell/custom-webhook"], "note": "for tests",
    });
    if !settings.is_null() {
        connection["settings"] = settings;
    }
    if kind == "webhook-secret" {
        connection["hosts"] = json!([]);
        connection["plugins"] = json!([]);
    }
    (connection, is_used)
}

/// Says what it was sent, in every way it knows; every fifth time as an error.
fn echo(number: usize, request: &Request) -> Reply {
    if request.target == "/token" {
        let tokens = json!({ "access_token": format!("{MARK}access{number}"), "refresh_token": format!("{MARK}refresh{number}"), "expires_in": 3600 });
        return Reply::status(200).header("content-type", "application/json").body(tokens.to_string());
    }
    let mut sent = format!("{}\n", request.target);
    for (name, value) in &request.headers {
        let coded = [base64(value.as_bytes()), hex(value.as_bytes())];
        for text in [name, ": ", value, "\n", &coded[0], "\n", &coded[1]] {
            sent.push_str(text);
        }
    }
    let body = match number % 3 {
        0 => json!({ "you": sent }).to_string().into_bytes(),
        1 => sent.clone().into_bytes(),
        _ => [b"\x00\xff", sent.as_bytes()].concat(),
    };
    let status = if number % 5 == 4 { 400 } else { 200 };
    let secret = request.header("authorization").or(request.header("x-api-key")).unwrap_or("nothing");
    Reply::status(status)
        .header("content-type", if number.is_multiple_of(3) { "application/json" } else { "text/plain" })
        .header("x-echo", &secret.replace(|c: char| !c.is_ascii_graphic(), "_"))
        .body(body)
}

fn workflow(id: &str, receiver: &str, connections: &[&str]) -> String {
    let steps: Vec<Value> = connections
        .iter()
        .enumerate()
        .map(|(at, connection)| {
            json!({
                "id": format!("s{at}"), "uses": "flowcell/custom-webhook/request@1", "connection": connection,
                "with": { "method": "POST", "url": format!("{receiver}/v1/{connection}"), "json": { "n": at } },
                "retry": { "attempts": 1 }, "on_error": "continue",
            })
        })
        .collect();
    json!({ "id": id, "name": id, "trigger": { "uses": "flowcell/webhook/inbound@1" }, "steps": steps }).to_string()
}

/// A plugin of somebody else's that declares a kind of its own: the custom webhook under another name.
fn declaring(server: &Server) -> std::path::PathBuf {
    let (source, plugins) = (server.folder().join("crm"), server.folder().join("plugins"));
    std::fs::create_dir_all(&source).unwrap();
    std::fs::create_dir_all(&plugins).unwrap();
    let manifest = r#"
id = "acme/crm"
version = "1.0.0"
api = "flowcell:plugin@1"
title = "CRM"
description = "Calls the CRM."
[[actions]]
id = "request"
title = "Call it"
description = "Sends one request."
idempotent = true
connection = { kinds = ["account"], required = true, reason = "Signs in." }
[[connections]]
id = "account"
title = "CRM account"
fields = { type = "object", required = ["key", "account"], properties = { key = { type = "string", secret = true, minLength = 8 }, account = { type = "string" } } }
hosts = ["https://crm.example"]
inject = [{ header = "X-Crm-Key", value = "Key {{ secret.key }}" }, { header = "X-Account", value = "{{ field.account }}" }]
[[capabilities.http]]
from-input = "url"
reason = "Sends to the URL that the step names."
"#;
    std::fs::write(source.join("plugin.toml"), manifest).unwrap();
    let module = flowcell_tests::root().join("target/wasm32-unknown-unknown/guest/flowcell_custom_webhook.wasm");
    let (module, file) = (module.to_str().unwrap(), plugins.join("crm.wasm"));
    let built = CliOutput::of(&[
        "plugin",
        "build",
        source.to_str().unwrap(),
        "--module",
        module,
        "--output",
        file.to_str().unwrap(),
    ]);
    assert_eq!(built.code, Some(0), "{built:?}");
    plugins
}

#[test]
fn the_secret_of_a_declared_kind_reaches_its_peer_and_is_found_nowhere_else() {
    let traces = traces();
    let receiver = Receiver::answering(echo);
    let mut server = Server::start();
    let plugins = declaring(&server);
    let config = server.folder().join("flowcell.toml");
    std::fs::write(&config, format!("[[grants]]\nplugin = \"acme/crm\"\nhttp = [\"POST {}/*\"]\n", receiver.origin()))
        .unwrap();
    server.terminate();
    let arguments =
        ["--plugins", plugins.to_str().unwrap(), "--config", config.to_str().unwrap()].map(str::to_owned).to_vec();
    server.restart_with(flowcell_tests::Options { arguments, ..Default::default() });
    let connection = |key: &str| {
        json!({
            "name": "crm", "kind": "plugin", "settings": { "plugin": "acme/crm", "id": "account", "fields": { "account": "ada" } },
            "secret": { "key": key }, "hosts": [format!("{}/*", receiver.origin())], "plugins": ["acme/crm"],
        })
    };
    let mut said = Vec::new();
    let mut api = |method: &str, path: &str, body: Value| {
        let answer = server.api(method, path, body.to_string().as_bytes());
        said.push(format!("{answer:?}"));
        answer
    };
    let first = format!("{MARK}-first/+&");
    assert_eq!(api("POST", "/api/v2/connections", connection(&first)).status, 201);
    // What does not fit the manifest is refused at a rotation, too, and not repeated.
    for wrong in
        [json!({ "key": "short" }), json!({ "kye": format!("{MARK}12345") }), json!({ "key": MARK, "account": MARK })]
    {
        let refused = api("POST", "/api/v2/connections/crm/rotate", json!({ "secret": wrong }));
        assert_eq!(refused.status, 422, "{refused:?}");
    }
    assert_eq!(
        api("POST", "/api/v2/connections/crm/rotate", json!({ "secret": { "key": format!("{MARK}-second") } })).status,
        200
    );
    let text = workflow("declared", &receiver.origin(), &["crm"])
        .replace("flowcell/custom-webhook/request", "acme/crm/request");
    let run = server.trigger(&server.apply(&text).url, &json!({}));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let sent = &receiver.wait_for(1)[0];
    assert_eq!(sent.header("x-crm-key"), Some(format!("Key {MARK}-second").as_str()));
    said.push(shown.to_string());
    for command in
        [vec!["connection", "show", "crm"], vec!["run", "show", run.as_str()], vec!["connection", "usage", "crm"]]
    {
        let CliOutput { stdout, stderr, .. } = server.cli(&command);
        said.push(stdout + &stderr);
    }
    server.terminate();
    said.push(server.log());
    let mut paths = Vec::new();
    files(&server.data(), &mut paths);
    for text in
        said.iter().map(|text| text.as_bytes().to_vec()).chain(paths.iter().map(|path| std::fs::read(path).unwrap()))
    {
        let found = found_in(&text, &traces);
        assert!(found.is_empty(), "{found:?}: {}", String::from_utf8_lossy(&text[..text.len().min(2_000)]));
    }
}

/// Adds every connection, and lets somebody consent where that is asked for; returns the names of those that runs use.
fn connections(server: &Server, receiver: &Receiver, said: &mut BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut used = Vec::new();
    for number in 0..CONNECTIONS {
        let (connection, is_used) = connection(number, &receiver.origin());
        let answer = server.api("POST", "/api/v2/connections", connection.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}: {answer:?}", connection["kind"]);
        said.insert(format!("adding {number}"), format!("{answer:?}").into_bytes());
        if is_used {
            used.push(format!("canary-{number}"));
        }
        if connection["kind"] == "oauth-code" {
            // Somebody consents: the code, and the tokens it is exchanged for, are canaries, too.
            let begun = server.api("POST", &format!("/api/v2/connections/canary-{number}/consent"), b"{}");
            let mut browser = Browser::default();
            let away = browser.open(begun.json()["url"].as_str().unwrap());
            let to = away.header("location").unwrap_or_else(|| panic!("{away:?}"));
            let state = to.split('&').find_map(|part| part.strip_prefix("state=")).unwrap();
            let back = browser.get(&format!("{}/oauth/callback?state={state}&code={MARK}code", server.origin()));
            assert_eq!(back.status, 200, "{back:?}");
            said.insert(format!("consent {number}"), format!("{begun:?}{away:?}{back:?}").into_bytes());
        }
    }
    used
}

#[test]
fn a_hundred_secrets_are_found_nowhere() {
    let traces = traces();
    for sample in
        ["Kanarienvogel!".to_owned(), base64(b"u:KanarienVogel1"), hex(MARK.as_bytes()), base64(b"KanarienVogel")]
    {
        assert!(!found_in(sample.as_bytes(), &traces).is_empty(), "the search finds `{sample}`");
    }
    let receiver = Receiver::answering(echo);
    let mut server = Server::start();
    let mut said: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let used = connections(&server, &receiver, &mut said);
    // What is refused says why, and not what.
    let (mut wrong, _) = connection(0, &receiver.origin());
    wrong["secret"]["token"] = json!(format!("{MARK}\n"));
    wrong["secret"][MARK] = json!(MARK);
    let answer = server.api("POST", "/api/v2/connections", wrong.to_string().as_bytes());
    assert!(answer.status >= 400, "{answer:?}");
    // It repeats no key of the secret either.
    said.insert("a refusal".into(), format!("{answer:?}").into_bytes());

    let runs: Vec<String> = used
        .chunks(STEPS)
        .enumerate()
        .map(|(at, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let applied = server.apply(&workflow(&format!("canaries-{at}"), &receiver.origin(), &names));
            // What a sender shows is masked in the list of requests; what starts a run is the workflow's own, so this one starts none.
            let headers = [("authorization", "Bearer KanarienVogel-sender"), ("x-api-token", "KanarienVogel")];
            assert_eq!(request("PUT", &applied.url, &headers, b"").unwrap().status, 405);
            let answer = request("POST", &applied.url, &[("content-type", "application/json")], b"{}").unwrap();
            assert_eq!(answer.status, 202, "{answer:?}");
            answer.json()["run_ids"][0].as_str().unwrap().to_owned()
        })
        .collect();
    for run in &runs {
        let shown = server.wait_for_run(run, &["succeeded", "failed"]);
        assert_eq!(shown["steps"].as_array().unwrap().len().min(1), 1, "{shown:#}");
        said.insert(format!("run {run}"), shown.to_string().into_bytes());
        let streamed = server.api("GET", &format!("/api/v2/runs/{run}/events"), b"");
        assert!(streamed.body.contains("event:"), "{streamed:?}");
        said.insert(format!("the stream of {run}"), format!("{streamed:?}").into_bytes());
        for command in [vec!["run", "show", run], vec!["run", "show", run, "--json"]] {
            let CliOutput { stdout, stderr, .. } = server.cli(&command);
            said.insert(command.join(" "), format!("{stdout}{stderr}").into_bytes());
        }
    }
    let requests: Vec<Request> =
        receiver.wait_for(used.len()).into_iter().filter(|request| request.target != "/token").collect();
    let told = |request: &&Request| !found_in(format!("{request:?}").as_bytes(), &traces).is_empty();
    let sends: usize = used.iter().filter(|name| ![5, 6].contains(&(name[7..].parse::<usize>().unwrap() % 11))).count();
    assert_eq!(requests.iter().filter(told).count(), sends, "the receiver was told every secret that is sent");
    let masked = said.values().filter(|text| String::from_utf8_lossy(text).contains("•••")).count();
    assert!(masked >= runs.len(), "echoes came back masked");

    for path in [
        "/api/v2/connections?limit=200",
        "/api/v2/connections/canary-0",
        "/api/v2/runs?limit=100",
        "/metrics",
        "/api/v2/dead-letters",
        "/api/v2/destinations",
        "/api/v2/workflows/canaries-0/requests",
        "/api/v2/workflows/canaries-0/trigger",
        "/api/v2/connections/canary-9/usage",
        "/api/v2/quarantine",
    ] {
        said.insert(path.into(), format!("{:?}", server.api("GET", path, b"")).into_bytes());
    }
    for command in
        [vec!["connection", "list"], vec!["connection", "show", "canary-0"], vec!["logs"], vec!["run", "list"]]
    {
        let CliOutput { stdout, stderr, .. } = server.cli(&command);
        said.insert(command.join(" "), format!("{stdout}{stderr}").into_bytes());
    }
    let removed = server.api("DELETE", "/api/v2/connections/canary-0", b"");
    assert_eq!(removed.status, 200, "{removed:?}");
    server.terminate();
    said.insert("the server's log".into(), server.log().into_bytes());

    let mut paths = Vec::new();
    files(&server.data(), &mut paths);
    assert!(paths.len() >= 3, "{paths:?}");
    for path in paths {
        said.insert(path.display().to_string(), std::fs::read(&path).unwrap());
    }
    for (place, text) in &said {
        let found = found_in(text, &traces);
        assert!(found.is_empty(), "{place}: {found:?}: {}", around(text, &found[0]));
    }
}
