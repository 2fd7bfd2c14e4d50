//! Whatever comes in: a clear error, and nothing lost.

use std::io::{Read, Write};
use std::net::TcpStream;

use flowcell_tests::{Answer, Options, Receiver, Server, get, post, request};
use serde_json::json;

use crate::forward;

/// RFC 9457: every error has this shape.
fn assert_problem(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    for word in words {
        assert!(answer.body.contains(word), "it says `{word}`: {}", answer.body);
    }
}

#[test]
fn a_bad_delivery_gets_a_clear_answer_and_starts_nothing() {
    let receiver = Receiver::start();
    let server = Server::start();
    let applied = server.apply(&forward("deliveries", &receiver.origin(), ""));
    let url = applied.url.as_str();
    let json = ("content-type", "application/json");

    let malformed = request("POST", url, &[json], b"{\"number\": 1,").unwrap();
    assert_eq!(malformed.status, 400, "{malformed:?}");
    assert!(malformed.body.contains("line 1"), "it says where: {}", malformed.body);

    let wrong_method = get(url).unwrap();
    assert_eq!(wrong_method.status, 405, "{wrong_method:?}");
    assert_eq!(wrong_method.header("allow"), Some("POST"));

    let unknown = post(&format!("{}/hooks/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", server.origin()), &json!({})).unwrap();
    assert_problem(&unknown, 404, &["trigger"]);
    let odd = post(&format!("{}/hooks/%00", server.origin()), &json!({})).unwrap();
    assert_eq!((odd.status, &odd.json()["title"]), (404, &unknown.json()["title"]), "unknown tokens all look alike");

    let large = request("POST", url, &[json], &vec![b' '; 11 * 1024 * 1024]);
    if let Ok(large) = large {
        assert_problem(&large, 413, &["10"]);
    } // or the connection was closed on the sender, which is as clear as HTTP gets

    let listed = server.cli(&["run", "list", "--json"]);
    assert!(!listed.stdout.contains("run_"), "nothing was started: {}", listed.stdout);
    let run = server.trigger(url, &json!({ "number": 1 }));
    server.wait_for_run(&run, &["succeeded"]);
}

#[test]
fn an_oversized_body_is_refused_by_its_length_before_it_is_read() {
    let receiver = Receiver::start();
    let server = Server::start();
    let applied = server.apply(&forward("oversized", &receiver.origin(), ""));
    let path = applied.url.strip_prefix(server.origin()).unwrap();
    let mut stream = TcpStream::connect(server.origin().strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 11534336\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn the_api_answers_every_error_with_a_problem() {
    let server = Server::start();
    let url = |path: &str| format!("{}{path}", server.origin());
    assert_problem(&get(&url("/api/v2/runs")).unwrap(), 401, &["token"]);
    let wrong = request("GET", &url("/api/v2/runs"), &[("authorization", "Bearer nonsense")], b"").unwrap();
    assert_problem(&wrong, 401, &["token"]);
    assert_problem(&get(&url("/nothing/here")).unwrap(), 404, &[]);
    assert_problem(&server.api("GET", "/api/v2/nothing", b""), 404, &[]);
    assert_problem(&server.api("DELETE", "/api/v2/runs", b""), 405, &[]);
    assert_problem(&server.api("GET", "/api/v2/runs/run_nonsense", b""), 400, &["run_nonsense"]);
    assert_problem(
        &server.api("GET", "/api/v2/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV", b""),
        404,
        &["run_01ARZ3NDEKTSV4RRFFQ69G5FAV"],
    );
    assert_problem(&server.api("GET", "/api/v2/workflows/none", b""), 404, &["none"]);
    assert_problem(&server.api("GET", "/api/v2/runs?status=sleeping", b""), 400, &["sleeping"]);
    assert_problem(&server.api("GET", "/api/v2/runs?limit=0", b""), 400, &["limit"]);
    assert_problem(&server.api("POST", "/api/v2/workflows", b"id: [oops"), 422, &["line"]);
    assert_problem(&server.api("POST", "/api/v2/workflows", &[0xff, 0xfe]), 400, &["UTF-8"]);
}

#[test]
fn a_bad_workflow_is_refused_with_its_line_and_a_suggestion() {
    let server = Server::start();
    for (workflow, words) in [
        (forward("Bad Id", "https://example.com", ""), &["Bad Id"][..]),
        (forward("typo", "https://example.com", "    retyr: { attempts: 2 }\n"), &["retyr", "retry", ":13:"]),
        (
            forward("no-plugin", "https://example.com", "").replace("custom-webhook", "custum-webhook"),
            &["custum-webhook", "custom-webhook"],
        ),
        (forward("no-action", "https://example.com", "").replace("/request@1", "/reqest@1"), &["reqest", "request"]),
        (forward("no-version", "https://example.com", "").replace("/request@1", "/request@9"), &["9.x", "1.0.0"]),
        (forward("no-step", "https://example.com", "        other: \"{{ steps.forwart.output }}\"\n"), &["forwart"]),
        (forward("syntax", "https://example.com", "        other: \"{{ trigger.body. }}\"\n"), &[":13:"]),
        (forward("chosen", "\"https://{{ trigger.body.host }}/\"", ""), &["host", "data"]),
        (forward("password", "https://user:secret@example.com/", ""), &["user"]),
    ] {
        let refused = server.try_apply(&workflow);
        assert_eq!(refused.code, Some(1), "{workflow}\n{refused:?}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        for word in words {
            assert!(said.contains(word), "it says `{word}`:\n{workflow}\n{said}");
        }
        assert!(!said.contains("secret"), "a password is not repeated: {said}");
    }
    assert_eq!(server.cli(&["workflow", "list", "--json"]).stdout.matches("\"id\"").count(), 0, "nothing was stored");
}

#[test]
fn a_damaged_plugin_file_is_named_and_the_others_work() {
    let plugins = tempfile::tempdir().unwrap();
    let hello = crate::guest("hello-plugin");
    std::fs::write(plugins.path().join("hello.wasm"), &hello).unwrap();
    std::fs::write(plugins.path().join("broken.wasm"), &hello[..hello.len() / 2]).unwrap();
    std::fs::write(plugins.path().join("noise.wasm"), b"this is not WebAssembly").unwrap();
    let arguments = vec!["--plugins".into(), plugins.path().to_str().unwrap().into()];
    let server = Server::start_with(Options { arguments, ..Default::default() });
    for name in ["broken.wasm", "noise.wasm"] {
        assert!(server.log().contains(name), "{name} is named: {}", server.log());
    }
    let listed = server.cli(&["plugin", "list"]);
    assert!(listed.stdout.contains("hello"), "{listed:?}");
    assert!(listed.stdout.contains("flowcell/webhook"), "{listed:?}");

    let inspected =
        flowcell_tests::CliOutput::of(&["plugin", "inspect", plugins.path().join("broken.wasm").to_str().unwrap()]);
    assert_eq!(inspected.code, Some(1), "{inspected:?}");
    assert!(inspected.stderr.contains("broken.wasm"), "{inspected:?}");
}
