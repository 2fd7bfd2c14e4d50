//! What rules hide is in no answer, no stream and no search, and the run works on the true values all the same.

use flowcell_tests::{Options, Receiver, Reply, Server, post};
use serde_json::json;

const CARD: &str = "4242-4242-4242-4242";
const PASSWORD: &str = "hunter2 & son";
const TOKEN: &str = "tok_visa_9876";

#[test]
fn what_rules_hide_is_shown_nowhere_and_found_by_no_search() {
    let receiver = Receiver::answering(|_, request| {
        let body = json!({ "token": TOKEN, "you_sent": String::from_utf8_lossy(&request.body) });
        let status = if request.target.starts_with("/refused") { 400 } else { 200 };
        Reply::status(status).header("content-type", "application/json").body(body.to_string())
    });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("flowcell.toml");
    std::fs::write(&config, "[redaction]\nnames = [\"password\", \"X-Pin\"]\n").unwrap();
    let arguments = vec!["--config".to_owned(), config.display().to_string()];
    let server = Server::start_with(Options { arguments, ..Options::default() });
    let workflow = format!(
        r#"id: pay
name: Pay
trigger:
  uses: flowcell/webhook/inbound@1
  filter: {{ value: "{{{{ trigger.body.card.number }}}}", is: not-equal, to: "0000-0000" }}
settings:
  redact: [trigger.body.card.number, steps.pay.output.body.token]
steps:
  - id: which
    if:
      - when: "trigger.body.password != 'x' and trigger.body.card.number != 'y'"
        steps:
          - id: pay
            uses: flowcell/custom-webhook/request@1
            with:
              method: POST
              url: "{origin}/pay?pin={{{{ trigger.body.password | urlencode }}}}"
              json: {{ card: "{{{{ trigger.body.card.number }}}}", password: "{{{{ trigger.body.password }}}}", name: "{{{{ trigger.body.name }}}}" }}
  - id: said
    set: {{ text: "paid with {{{{ trigger.body.card.number }}}} as {{{{ trigger.body.name }}}}", token: "{{{{ steps.pay.output.body.token | default('') }}}}" }}
  - id: send
    uses: flowcell/custom-webhook/request@1
    with: {{ method: POST, url: "{origin}/told", json: {{ text: "{{{{ steps.said.output.text }}}}", token: "{{{{ steps.said.output.token }}}}" }} }}
  - id: end
    stop: {{ status: failed, message: "no more of {{{{ steps.said.output.token }}}}" }}
"#,
        origin = receiver.origin()
    );
    let applied = server.apply(&workflow);
    let body = json!({ "card": { "number": CARD }, "password": PASSWORD, "name": "Adalbert" });
    let accepted = post(&applied.url, &body).unwrap();
    let run = accepted.json()["run_ids"][0].as_str().unwrap().to_owned();
    let ended = server.wait_for_run(&run, &["failed"]);

    // The run worked on true values.
    let sent = receiver.requests();
    assert_eq!((&sent[0].json()["card"], &sent[0].json()["password"]), (&json!(CARD), &json!(PASSWORD)));
    assert_eq!(sent[1].json(), json!({ "text": format!("paid with {CARD} as Adalbert"), "token": TOKEN }));

    // Nobody is shown them.
    let filtered = post(&applied.url, &json!({ "card": { "number": "0000-0000" }, "password": PASSWORD })).unwrap();
    assert_eq!(filtered.json()["filtered"], true, "{filtered:?}");
    let streamed = server.api("GET", &format!("/api/v2/runs/{run}/events?follow=false"), b"");
    let shown = [
        ended.to_string(),
        streamed.body,
        server.cli(&["run", "show", &run]).stdout,
        server.cli(&["run", "show", &run, "--json"]).stdout,
        server.cli(&["logs", "--run", &run, "--json"]).stdout,
        server.cli(&["trigger", "show", "pay", "--json"]).stdout,
        server.cli(&["run", "pin-data", &run]).stdout,
        server.log(),
    ];
    let coded = "hunter2%20%26%20son";
    for (place, text) in shown.iter().enumerate() {
        for secret in [CARD, PASSWORD, coded, TOKEN, "0000-0000"] {
            // The author's own text names the last one.
            let own = secret == "0000-0000" && text.contains("\"filter\"");
            assert!(own || !text.contains(secret), "{secret} is shown in {place}: {text}");
        }
    }
    assert!(shown[0].contains("[redacted]") && shown[0].contains("Adalbert"), "{}", shown[0]);

    // Nobody finds the run by them, nor learns that they are right; by what is shown, everybody does.
    let found = |field: &str| {
        let query: String = field.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        server.api("GET", &format!("/api/v2/runs?limit=1&field={query}"), b"").json()
    };
    for hidden in [
        format!("trigger.body.card.number={CARD}"),
        "trigger.body.card.number^=4242".to_owned(),
        format!("trigger.body.password={PASSWORD}"),
        format!("steps.said.output.token={TOKEN}"),
        format!("steps.said.output.text^=paid with {CARD}"),
    ] {
        let answer = found(&hidden);
        assert_eq!((&answer["runs"], &answer["next_cursor"]), (&json!([]), &json!(null)), "{hidden}: {answer}");
    }
    assert_eq!(found("trigger.body.name=Adalbert")["runs"][0]["id"], run);

    // A delivery that is refused says so without them, too.
    let refused = server.apply(&format!(
        "id: refused\nname: R\ntrigger: {{ uses: flowcell/webhook/inbound@1 }}\nsettings: {{ redact: [trigger.body.card.number] }}\nsteps:\n  - id: send\n    \
         uses: flowcell/custom-webhook/request@1\n    with: {{ method: POST, url: \"{}/refused\", json: {{ card: \"{{{{ trigger.body.card.number }}}}\" }} }}\n",
        receiver.origin()
    ));
    let lost = post(&refused.url, &body).unwrap().json()["run_ids"][0].as_str().unwrap().to_owned();
    server.wait_for_run(&lost, &["failed"]);
    for path in
        [format!("/api/v2/dead-letters/{lost}"), "/api/v2/dead-letters".to_owned(), format!("/api/v2/runs/{lost}")]
    {
        let answer = server.api("GET", &path, b"");
        assert!(answer.status == 200 && answer.body.contains(&lost) && !answer.body.contains(CARD), "{answer:?}");
    }

    // What was recorded of the requests is without them on the disk, too; a rule that comes later hides what was there before.
    server.apply(&workflow.replace("steps.pay.output.body.token]", "steps.pay.output.body.token, trigger.body.name]"));
    assert!(!server.run(&run).to_string().contains("Adalbert"), "the newer rules hold for older runs");
}

/// Expressions read a contact as it is when a step begins, and no entry of the journal has it: neither what it was then nor what it became may be shown.
#[test]
fn what_a_contact_has_is_hidden_by_the_names_of_its_fields_and_by_place() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("flowcell.toml");
    std::fs::write(&config, "[redaction]\nnames = [\"ssn\"]\n").unwrap();
    let arguments = vec!["--config".to_owned(), config.display().to_string()];
    let server = Server::start_with(Options { arguments, ..Options::default() });
    let workflow = format!(
        r#"id: file
name: File
trigger: {{ uses: flowcell/webhook/inbound@1 }}
settings: {{ redact: [contact.city] }}
steps:
  - {{ id: who, uses: flowcell/contacts/find@1, with: {{ email: "{{{{ trigger.body.email }}}}" }} }}
  - {{ id: later, wait: {{ event: go }} }}
  - id: send
    uses: flowcell/custom-webhook/request@1
    with: {{ url: "{origin}/file?n={{{{ contact.fields.ssn }}}}", json: {{ tax: "{{{{ contact.fields.ssn }}}}", place: "{{{{ contact.city }}}}", plan: "{{{{ contact.fields.plan }}}}" }} }}
  - {{ id: said, set: {{ text: "{{{{ contact.fields.ssn }}}} of {{{{ contact.city }}}} has {{{{ contact.fields.plan }}}}" }} }}
"#,
        origin = receiver.origin()
    );
    for name in ["ssn", "plan"] {
        let made = server.api("PUT", &format!("/api/v2/contact-fields/{name}"), br#"{"kind": "text"}"#);
        assert!(matches!(made.status, 200 | 201), "{made:?}");
    }
    let upsert = |ssn: &str, city: &str| {
        let document =
            json!({ "email": "ana@example.com", "city": city, "fields": { "ssn": ssn, "plan": "golden-plan" } });
        let answer = server.api("POST", "/api/v2/contacts", document.to_string().as_bytes());
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    };
    upsert("canary-first-0001", "Lisbon-canary");
    let applied = server.apply(&workflow);
    let run = server.trigger(&applied.url, &json!({ "email": "ana@example.com" }));
    server.wait_for_run(&run, &["waiting"]);
    // What the steps read is neither in the output of the one that found the contact, nor what the contact has afterwards.
    upsert("canary-second-0002", "Porto-canary");
    assert_eq!(server.api("POST", "/api/v2/events", br#"{"name": "go", "payload": {}}"#).status, 202);
    server.wait_for_run(&run, &["succeeded"]);
    let sent = receiver.requests();
    let sent = sent[0].json();
    assert_eq!((&sent["tax"], &sent["place"]), (&json!("canary-second-0002"), &json!("Porto-canary")));
    upsert("canary-third-0003", "Faro-canary");

    let shown = [
        server.run(&run).to_string(),
        server.api("GET", &format!("/api/v2/runs/{run}/events?follow=false"), b"").body,
        server.cli(&["run", "show", &run]).stdout,
        server.cli(&["logs", "--run", &run, "--json"]).stdout,
        server.cli(&["run", "pin-data", &run]).stdout,
        server.log(),
    ];
    for (place, text) in shown.iter().enumerate() {
        for secret in ["canary-first", "canary-second", "canary-third", "Porto-canary"] {
            assert!(!text.contains(secret), "{secret} is shown in {place}: {text}");
        }
    }
    assert!(shown[0].contains("golden-plan") && shown[0].contains("[redacted]"), "{}", shown[0]);
    let found = server.api("GET", "/api/v2/runs?field=steps.said.output.text%5E%3Dcanary-second", b"").json();
    assert_eq!(found["runs"], json!([]), "{found}");
}
