//! The synchronous reply: the run answers whoever called the trigger's URL.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use flowcell_tests::{Options, Receiver, Server, post};
use serde_json::json;

/// A webhook whose sender waits for `steps`.
fn replying(id: &str, wait: &str, steps: &str) -> String {
    format!(
        "id: {id}\nname: Replying\ntrigger:\n  uses: flowcell/webhook/inbound@1\n  reply: {{ wait: {wait} }}\nsteps:\n{steps}"
    )
}

const RESPOND: &str = r#"  - id: answer
    respond:
      status: "{{ trigger.body.status }}"
      headers: { X-Order: "{{ trigger.body.id }}", Set-Cookie: a=b, Connection: close, Transfer-Encoding: chunked, X-Content-Type-Options: sniff }
      json: { id: "{{ trigger.body.id }}", ok: true }
"#;

#[test]
fn the_run_answers_with_status_headers_and_body() {
    let server = Server::start();
    let url = server.apply(&replying("answers", "20s", RESPOND)).url;
    let answer = post(&url, &json!({ "id": 7, "status": 201 })).unwrap();
    assert_eq!((answer.status, answer.json()), (201, json!({ "id": 7, "ok": true })), "{answer:?}");
    assert_eq!((answer.header("x-order"), answer.header("content-type")), (Some("7"), Some("application/json")));
    // What frames the message, sets cookies or opens our origin is not the workflow's to say.
    assert_eq!((answer.header("set-cookie"), answer.header("x-content-type-options")), (None, Some("nosniff")));
    // The answer is durable before it is given: after a crash the run still says what it said.
    let mut server = server;
    server.kill();
    server.restart();
    let listed = server.api("GET", "/api/v2/runs?workflow=answers", b"").json();
    let run = server.wait_for_run(listed["runs"][0]["id"].as_str().unwrap(), &["succeeded"]);
    assert_eq!(run["steps"][0]["output"], json!({ "status": 201 }), "{run}");
}

#[test]
fn a_delivery_sent_again_gets_the_answer_of_the_first() {
    let server = Server::start();
    let url = server.apply(&replying("again", "20s", RESPOND)).url;
    let headers = [("content-type", "application/json"), ("webhook-id", "w-1")];
    let send = || flowcell_tests::request("POST", &url, &headers, br#"{"id": 7, "status": 202}"#).unwrap();
    let (first, again) = (send(), send());
    assert_eq!((first.status, &first.body), (202, &r#"{"id":7,"ok":true}"#.to_owned()));
    assert_eq!((again.status, again.body), (first.status, first.body));
    let listed = server.api("GET", "/api/v2/runs?workflow=again", b"").json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[test]
fn a_run_that_ends_without_an_answer_says_only_how() {
    let server = Server::start();
    // A `respond` step is there, and not reached.
    let perhaps = "  - id: perhaps\n    if: [{ when: trigger.body.loud, steps: [{ id: answer, respond: { status: 200, text: here } }] }]\n";
    let quiet = server.apply(&replying("quiet", "20s", perhaps)).url;
    let answer = post(&quiet, &json!({ "loud": false })).unwrap();
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("succeeded")), "{answer:?}");
    assert!(answer.json()["run_id"].as_str().unwrap().starts_with("run_"));

    let stop = "  - id: end\n    stop: { status: failed, message: a secret reason }\n";
    let failing = server.apply(&replying("failing", "20s", &format!("{perhaps}{stop}"))).url;
    let answer = post(&failing, &json!({ "loud": false })).unwrap();
    assert_eq!((answer.status, &answer.json()["status"]), (500, &json!("failed")), "{answer:?}");
    assert!(!answer.body.contains("secret"), "why is the author's to know: {answer:?}");
}

#[test]
fn after_the_deadline_the_sender_is_told_where_to_look_and_the_run_goes_on() {
    let server = Server::start();
    let steps = format!("  - id: pause\n    wait: {{ resume: true, timeout: 1h }}\n{RESPOND}");
    let url = server.apply(&replying("slow", "300ms", &steps)).url;
    let answer = post(&url, &json!({ "id": 7, "status": 200 })).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (202, Some("1")), "{answer:?}");
    let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("/api/v2/runs/{run}").as_str()));
    let waiting = server.wait_for_run(&run, &["waiting"]);
    let link = server.rebase_link(waiting["steps"][0]["resume_url"].as_str().unwrap());
    assert_eq!(post(&link, &json!({})).unwrap().status, 200);
    server.wait_for_run(&run, &["succeeded"]);
}

#[test]
fn a_sender_that_goes_away_does_not_end_the_run() {
    let receiver = Receiver::start();
    let server = Server::start();
    let steps = format!(
        "  - id: pause\n    wait: {{ resume: true, timeout: 1h }}\n  - id: send\n    uses: flowcell/custom-webhook/request@1\n    \
         with: {{ method: POST, url: \"{}\", json: {{ n: 1 }} }}\n{RESPOND}",
        receiver.origin()
    );
    let url = server.apply(&replying("gone", "20s", &steps)).url;
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let body = r#"{"id": 1, "status": 200}"#;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let run = flowcell_tests::eventually("the run waits", Duration::from_secs(30), || {
        let listed = server.api("GET", "/api/v2/runs?workflow=gone&status=waiting", b"").json();
        listed["runs"][0]["id"].as_str().map(str::to_owned)
    });
    drop(stream);
    let waiting = server.run(&run);
    let link = server.rebase_link(waiting["steps"][0]["resume_url"].as_str().unwrap());
    assert_eq!(post(&link, &json!({})).unwrap().status, 200);
    server.wait_for_run(&run, &["succeeded"]);
    assert_eq!(receiver.wait_for(1).len(), 1);
}

#[test]
fn who_finds_no_place_among_the_waiting_is_answered_at_once_and_a_shutdown_lets_everybody_go() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("flowcell.toml");
    std::fs::write(&config, "[ingress]\nreplies_waiting_max = 1\n").unwrap();
    let arguments = vec!["--config".to_owned(), config.display().to_string()];
    let mut server = Server::start_with(Options { arguments, ..Options::default() });
    let steps = format!("  - id: pause\n    wait: {{ resume: true, timeout: 1h }}\n{RESPOND}");
    let url = server.apply(&replying("crowd", "25s", &steps)).url;
    let body = json!({ "id": 1, "status": 200 });
    let first = {
        let (url, body) = (url.clone(), body.clone());
        std::thread::spawn(move || post(&url, &body).unwrap())
    };
    flowcell_tests::eventually("the first one waits", Duration::from_secs(30), || {
        let listed = server.api("GET", "/api/v2/runs?workflow=crowd&status=waiting", b"").json();
        listed["runs"][0]["id"].as_str().map(str::to_owned)
    });
    let second = post(&url, &body).unwrap();
    assert_eq!((second.status, &second.json()["status"]), (202, &json!("running")), "{second:?}");
    assert!(!first.is_finished(), "the first one waits on");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    let first = first.join().unwrap();
    assert_eq!((first.status, &first.json()["status"]), (202, &json!("running")), "{first:?}");
}
