//! What the providers' own libraries sign, the server takes; what they refuse, it refuses too.

use std::io::Write as _;
use std::process::Stdio;

use flowcell_tests::tools::node;
use flowcell_tests::{Server, request};
use serde_json::{Map, Value, json};

use super::{add_secrets, requests, taking};

const SCHEMES: [(&str, &str); 6] = [
    ("github", "It's a Secret to Everybody"),
    ("stripe", "whsec_5f8b1c0d2e"),
    ("slack", "8f742231b10e8888abcd99yyyzzz85a5"),
    ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("shopify", "shpss_8fbe3f4a6d0b5c1a"),
    // It signs with a key of its own; the test's is made of this.
    ("highlevel", "a key for tests"),
];

/// Asks the libraries (`tests/tools/sign.mjs`), one answer for each question.
fn ask(questions: &[Value]) -> Vec<Value> {
    let script = std::fs::read_to_string(flowcell_tests::root().join("tests/tools/sign.mjs")).unwrap();
    let mut command = node(&script, &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text: String = questions.iter().map(|question| format!("{question}\n")).collect::<Vec<_>>().concat();
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len(), "{lines}");
    answers
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn post(url: &str, headers: &Map<String, Value>, body: &str) -> u16 {
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect();
    let headers = [&[("content-type", "application/json")], headers.as_slice()].concat();
    request("POST", url, &headers, body.as_bytes()).unwrap().status
}

/// A request that is wrong in one way.
struct Damaged {
    what: &'static str,
    scheme: &'static str,
    secret: &'static str,
    headers: Map<String, Value>,
    body: String,
}

/// Every way that is tried with each signed request.
fn damaged(scheme: &'static str, secret: &'static str, headers: &Map<String, Value>, body: &str) -> Vec<Damaged> {
    let mut all = Vec::new();
    let mut put = |what, headers: Map<String, Value>, body: String| {
        all.push(Damaged { what, scheme, secret, headers, body });
    };
    for (what, body) in [
        ("a space more", format!("{body} ")),
        ("another letter", body.replacen('e', "3", 1)),
        ("half the body", body.chars().take(body.chars().count() / 2).collect()),
        ("no body", String::new()),
    ] {
        put(what, headers.clone(), body);
    }
    for (name, value) in headers {
        let value = value.as_str().unwrap();
        for (what, value) in [
            // What is left out of base64 at its very end some libraries do not miss.
            ("cut", value[..value.len() - if value.ends_with('=') { 4 } else { 1 }].to_owned()),
            (
                "another end",
                format!("{}{}", &value[..value.len() - 4], if value.ends_with("0000") { "1111" } else { "0000" }),
            ),
            ("empty", String::new()),
            ("another version", value.replacen("v1", "v9", 1).replacen("v0", "v9", 1).replacen("sha256", "sha1", 1)),
        ] {
            if headers[name] != json!(value) {
                let mut headers = headers.clone();
                headers.insert(name.clone(), json!(value));
                put(what, headers, body.to_owned());
            }
        }
    }
    all
}

#[test]
fn what_the_providers_libraries_sign_is_taken_and_what_they_refuse_is_refused() {
    let server = Server::start();
    let mut urls = Map::new();
    for (scheme, secret) in SCHEMES {
        let name = format!("{scheme}-secret");
        let by = if scheme == "highlevel" {
            format!("public_key: {}", ask(&[json!({ "key": secret })])[0]["public_key"])
        } else {
            add_secrets(&server, &name, &[secret]);
            format!("secret: {name}")
        };
        let verify = format!("  verify: {{ scheme: {scheme}, {by} }}\n");
        urls.insert(scheme.to_owned(), json!(server.apply(&taking(scheme, &verify)).url));
    }
    let bodies = [
        json!({ "email": "a@example.com", "number": 1 }).to_string(),
        "{ \"email\": \"grün 🌱\",\n  \"spaced\" : [ 1 , 2 ] }".to_owned(),
        json!({ "email": "e".repeat(100_000) }).to_string(),
    ];
    let at = now_s();
    let mut questions = Vec::new();
    for (scheme, secret) in SCHEMES {
        // Each is another delivery: `webhook-id` is made of the time.
        for (body, at) in bodies.iter().zip([at, at - 1, at - 2]) {
            questions.push(json!({ "sign": scheme, "secret": secret, "body": body, "at": at }));
        }
    }
    let mut all = Vec::new();
    for (question, answer) in questions.iter().zip(ask(&questions)) {
        let scheme = SCHEMES.iter().find(|(scheme, _)| question["sign"] == *scheme).unwrap();
        let headers = answer["headers"].as_object().unwrap();
        let (url, body) = (urls[scheme.0].as_str().unwrap(), question["body"].as_str().unwrap());
        assert_eq!(post(url, headers, body), 202, "{question}: {answer}");
        // A copy under ids that nobody signed: verified as before, and nothing starts.
        let mut copied = headers.clone();
        for name in ["idempotency-key", "x-github-delivery", "webhook-id"] {
            copied.entry(name).or_insert_with(|| json!("another"));
        }
        assert_eq!(post(url, &copied, body), 202, "{question}");
        if body.len() < 1_000 {
            all.extend(damaged(scheme.0, scheme.1, headers, body));
        }
    }
    // Signed by somebody else.
    let others: Vec<Value> = SCHEMES
        .iter()
        .map(|(scheme, _)| json!({ "sign": scheme, "secret": "whsec_b3RoZXI=", "body": bodies[0], "at": at }))
        .collect();
    for ((scheme, secret), answer) in SCHEMES.iter().zip(ask(&others)) {
        let headers = answer["headers"].as_object().unwrap().clone();
        all.push(Damaged { what: "another key", scheme, secret, headers, body: bodies[0].clone() });
    }
    // Signed long ago: what signs a time counts no more.
    let old: Vec<Value> = SCHEMES
        .iter()
        .filter(|(scheme, _)| !matches!(*scheme, "github" | "slack" | "shopify" | "highlevel"))
        .map(|(scheme, secret)| json!({ "sign": scheme, "secret": secret, "body": bodies[0], "at": at - 4_000 }))
        .collect();
    for (question, answer) in old.iter().zip(ask(&old)) {
        let (scheme, secret) = SCHEMES.iter().find(|(scheme, _)| question["sign"] == *scheme).unwrap();
        let headers = answer["headers"].as_object().unwrap().clone();
        all.push(Damaged { what: "an old time", scheme, secret, headers, body: bodies[0].clone() });
    }
    let questions: Vec<Value> = all
        .iter()
        .map(|one| json!({ "verify": one.scheme, "secret": one.secret, "body": one.body, "headers": one.headers }))
        .collect();
    let answers = ask(&questions);
    for (one, answer) in all.iter().zip(&answers) {
        assert_eq!(answer["valid"], false, "the library takes {} with {}: {:?}", one.scheme, one.what, one.headers);
        let status = post(urls[one.scheme].as_str().unwrap(), &one.headers, &one.body);
        assert_eq!(status, 401, "{} with {}: {:?}", one.scheme, one.what, one.headers);
    }
    assert!(all.len() >= 100, "{}", all.len());
    for (scheme, _) in SCHEMES {
        let shown = server.api("GET", &format!("/api/v2/workflows/{scheme}/trigger"), b"").json();
        let counted = (&shown["counts"]["started"], &shown["counts"]["duplicate"], &shown["verified"]);
        assert_eq!(counted, (&json!(3), &json!(3), &json!(scheme)), "{shown}");
        let rejected = requests(&server, scheme, "?outcome=rejected&limit=50");
        assert!(rejected.len() >= 8 && rejected.iter().all(|one| one["outcome"]["reason"].is_string()), "{rejected:?}");
    }
    let codes: Vec<Value> = requests(&server, "stripe", "?outcome=rejected&limit=50")
        .iter()
        .map(|one| one["outcome"]["code"].clone())
        .collect();
    for code in ["clock-skew", "signature-mismatch", "signature-malformed"] {
        assert!(codes.contains(&json!(code)), "{code}: {codes:?}");
    }
    let printed = server.cli(&["trigger", "requests", "stripe", "--outcome", "rejected"]);
    assert!(printed.stdout.contains("s old"), "the skew is told in seconds: {}", printed.stdout);
}
