//! People are told things: mail through a real server, the inbox, chat through addresses that are secrets; and nobody twice.

use std::time::Duration;

use flowcell_tests::{Receiver, Reply, Server, Smtp, eventually};
use serde_json::{Value, json};

fn workflow(steps: &str) -> String {
    format!("id: tell\nname: Tell\ntrigger: {{ manual: true }}\nsteps:\n{steps}")
}

/// Adds a connection whose secret stands in a file.
fn connect(server: &Server, name: &str, (kind, secret): (&str, &str), more: &[&str]) {
    let file = server.folder().join(format!("{name}.secret"));
    std::fs::write(&file, secret).unwrap();
    let mut arguments = vec!["connection", "add", name, "--kind", kind, "--secret-file", file.to_str().unwrap()];
    arguments.extend(["--plugin", "flowcell/notifications"]);
    arguments.extend(more);
    let added = server.cli(&arguments);
    assert_eq!(added.code, Some(0), "{added:?}");
}

fn with_mail(server: &Server, smtp: &Smtp, password: &str) {
    let port = smtp.port.to_string();
    let more = ["--smtp-host", "127.0.0.1", "--smtp-port", &port, "--smtp-tls", "none", "--username", Smtp::USER];
    connect(server, "mailer", ("smtp", password), &more);
}

fn start(server: &Server) -> String {
    let answer = server.api("POST", "/api/v2/workflows/tell/runs", b"{}");
    assert!(matches!(answer.status, 200..=202), "{answer:?}");
    let said = answer.json();
    said.pointer("/run_ids/0").and_then(Value::as_str).unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn email(to: &str, more: &str) -> String {
    workflow(&format!(
        "- {{ id: mail, uses: flowcell/notifications/email@1, connection: mailer, {more} with: {{ to: [{to}], subject: Paid, html: \"<p>7 EUR</p>\" }} }}\n"
    ))
}

#[test]
fn a_mail_is_sent_through_a_real_server_and_its_certificate_checked() {
    let smtp = Smtp::start("starttls");
    let server = Server::start();
    let ca = flowcell_tests::root().join("tests/tools/smtp/ca.pem");
    let port = smtp.port.to_string();
    let more =
        ["--smtp-host", "127.0.0.1", "--smtp-port", &port, "--username", Smtp::USER, "--smtp-ca", ca.to_str().unwrap()];
    connect(&server, "mailer", ("smtp", Smtp::PASSWORD), &more);
    connect(&server, "stranger", ("smtp", Smtp::PASSWORD), &more[..6]);
    assert_eq!(server.cli(&["connection", "test", "mailer"]).code, Some(0));
    let refused = server.cli(&["connection", "test", "stranger"]);
    assert!(refused.code == Some(1) && refused.stdout.contains("TLS"), "{refused:?}");
    server.apply(&email("zoe@example.com", ""));
    let run = server.wait_for_run(&start(&server), &["succeeded", "failed", "parked"]);
    assert_eq!(run["status"], "succeeded", "{run}");
    let [mail] = <[_; 1]>::try_from(smtp.wait_for(1)).unwrap();
    assert_eq!((&mail["encrypted"], &mail["to"]), (&json!(true), &json!(["zoe@example.com"])));
    assert!(mail["data"].as_str().unwrap().contains("multipart/alternative"), "{mail}");
    assert!(!run.to_string().contains(Smtp::PASSWORD) && !server.log().contains(Smtp::PASSWORD));
}

/// The run, once its step waits for somebody to decide.
fn parked(server: &Server, run: &str) -> Value {
    eventually("the step is parked", Duration::from_mins(1), || {
        let shown = server.run(run);
        (shown["steps"][0]["status"] == "parked").then_some(shown)
    })
}

#[test]
fn a_server_that_is_killed_after_the_mail_asks_or_sends_the_same_message_id() {
    let smtp = Smtp::start("none");
    let mut server = Server::start();
    with_mail(&server, &smtp, Smtp::PASSWORD);
    server.apply(&email("hold@example.com", ""));
    let run = start(&server);
    smtp.wait_for(1);
    server.kill();
    server.restart();
    // The action is not idempotent: somebody has to decide.
    parked(&server, &run);
    assert_eq!(smtp.mails().len(), 1);

    server.apply(&email("hold2@example.com", "on_uncertain: repeat,"));
    let run = start(&server);
    smtp.wait_for(2);
    server.kill();
    server.restart();
    let mails = smtp.wait_for(3);
    assert_eq!(mails[1]["message_id"], mails[2]["message_id"], "whoever counts by Message-ID has one");
    drop(run);
}

#[test]
fn a_wrong_password_parks_the_run_until_the_connection_has_another() {
    let smtp = Smtp::start("none");
    let server = Server::start();
    with_mail(&server, &smtp, "wr0ng-password");
    server.apply(&email("zoe@example.com", ""));
    let run = start(&server);
    let parked = parked(&server, &run);
    assert!(parked.to_string().contains("connection rotate mailer"), "{parked}");
    assert!(!parked.to_string().contains("wr0ng-password"));
    let file = server.folder().join("password");
    std::fs::write(&file, Smtp::PASSWORD).unwrap();
    let rotated = server.cli(&["connection", "rotate", "mailer", "--secret-file", file.to_str().unwrap()]);
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    let run = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(smtp.wait_for(1).len(), 1);
}

#[test]
fn an_inbox_gets_a_message_and_its_owner_reads_it() {
    let server = Server::start();
    for (id, role) in [("ana", "support"), ("ben", "sales")] {
        assert_eq!(server.cli(&["user", "add", id, "--role", role]).code, Some(0));
    }
    server.apply(&workflow(
        "- { id: note, uses: flowcell/notifications/in-app@1, with: { roles: [support], title: Paid, link: /runs } }\n",
    ));
    let run = server.wait_for_run(&start(&server), &["succeeded", "failed", "parked"]);
    assert_eq!(run["status"], "succeeded", "{run}");
    let inbox = server.cli(&["inbox", "list", "ana", "--json"]).json();
    assert_eq!((&inbox["unread"], &inbox["notifications"][0]["title"]), (&json!(1), &json!("Paid")), "{inbox}");
    assert_eq!(inbox["notifications"][0]["from"]["step"], "note");
    assert_eq!(server.cli(&["inbox", "read", "ana", "--all"]).code, Some(0));
    assert_eq!(server.cli(&["inbox", "list", "ana", "--json"]).json()["unread"], 0);
    assert_eq!(server.cli(&["inbox", "list", "ben", "--json"]).json()["notifications"], json!([]));
}

#[test]
fn an_address_that_is_a_secret_reaches_its_receiver_and_nobody_else() {
    const PATH: &str = "/services/T0SECRET00/B0SECRET00/xoxsecretsecretsecret";
    let chat = Receiver::answering(|_, request| {
        // What a careless service says back.
        if request.target == PATH {
            Reply::status(200).body("ok")
        } else {
            Reply::status(404).body(request.target.clone())
        }
    });
    let server = Server::start();
    connect(&server, "team-chat", ("webhook-url", &format!("{}{PATH}", chat.origin())), &[]);
    let shown = server.cli(&["connection", "show", "team-chat", "--json"]);
    assert!(!shown.stdout.contains("SECRET00"), "{shown:?}");
    server.apply(&workflow(&format!(
        "- {{ id: chat, uses: flowcell/notifications/slack@1, connection: team-chat, with: {{ text: Paid, server: \"{}\" }} }}\n",
        chat.origin()
    )));
    let run = server.wait_for_run(&start(&server), &["succeeded", "failed", "parked"]);
    assert_eq!(run["status"], "succeeded", "{run}");
    let [request] = <[_; 1]>::try_from(chat.requests()).unwrap();
    assert_eq!((request.target.as_str(), &request.json()["text"]), (PATH, &json!("Paid")));
    assert!(request.header("idempotency-key").is_some());
    let events = server.api("GET", &format!("/api/v2/runs/{}/events", run["id"].as_str().unwrap_or_default()), b"");
    for text in [run.to_string(), server.log(), events.body] {
        assert!(!text.contains("SECRET00") && !text.contains("xoxsecret"), "{text}");
    }
}
