//! Contacts from outside: one person is one contact, a change starts each workflow once whatever happens, circles end, and refusals say what to do.

use std::time::Duration;

use flowcell_tests::{Receiver, Reply, Server, eventually, post, root};
use serde_json::{Value, json};

/// Every sign-up becomes a contact, and is told to somebody by the contact that the run has then.
fn sign_up(receiver: &str) -> String {
    format!(
        r#"
id: sign-up
name: A sign-up becomes a contact
trigger: {{ uses: flowcell/webhook/inbound@1 }}
steps:
  - id: search
    uses: flowcell/contacts/find@1
    with: {{ email: "{{{{ trigger.body.email }}}}", enroll: false }}
  - id: which
    if:
      - name: found
        when: steps.search.output.found
        steps:
          - {{ id: known, uses: flowcell/contacts/add-note@1, with: {{ id: "{{{{ steps.search.output.contact.id }}}}", text: "came back" }} }}
    else:
      - {{ id: fresh, uses: flowcell/contacts/create-or-update@1, with: {{ email: "{{{{ trigger.body.email }}}}", first_name: Ana, tags: [new] }} }}
  - id: tell
    uses: flowcell/custom-webhook/request@1
    with:
      url: {receiver}/signed-up
      json: {{ to: "{{{{ contact.email | default('nobody') }}}}", name: "{{{{ contact.first_name | default('') }}}}" }}
"#
    )
}

fn welcome(receiver: &str) -> String {
    format!(
        r#"
id: welcome
name: Welcome
trigger: {{ contact: {{ created: true, tag_added: [customer] }} }}
steps:
  - id: send
    uses: flowcell/custom-webhook/request@1
    with:
      url: {receiver}/welcome
      json: {{ to: "{{{{ contact.email }}}}", because: "{{{{ trigger.event }}}}", by: "{{{{ trigger.by.via }}}}" }}
"#
    )
}

fn contacts(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.api("GET", &format!("/api/v2/contacts{query}"), b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["contacts"].as_array().unwrap().clone()
}

fn runs_about(server: &Server, contact: &Value, workflow: &str) -> Vec<Value> {
    let path = format!("/api/v2/runs?contact={}&workflow={workflow}", contact["id"].as_str().unwrap());
    server.api("GET", &path, b"").json()["runs"].as_array().unwrap().clone()
}

fn upsert(server: &Server, document: &Value) -> Value {
    let answer = server.api("POST", "/api/v2/contacts", document.to_string().as_bytes());
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.json()["contact"].clone()
}

#[test]
fn sixty_four_sign_ups_of_one_person_make_one_contact_and_one_welcome() {
    let receiver = Receiver::start();
    let server = Server::start();
    server.apply(&welcome(&receiver.origin()));
    let applied = server.apply(&sign_up(&receiver.origin()));
    let senders: Vec<_> = (0..64)
        .map(|_| {
            let url = applied.url.clone();
            std::thread::spawn(move || {
                let answer = post(&url, &json!({ "email": "Ana@Example.com" })).unwrap();
                assert_eq!(answer.status, 202, "{answer:?}");
                answer.json()["run_ids"][0].as_str().unwrap().to_owned()
            })
        })
        .collect();
    let runs: Vec<String> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    for run in &runs {
        server.wait_for_run(run, &["succeeded"]);
    }
    let found = contacts(&server, "");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["email"], &found[0]["tags"]), (&json!("ana@example.com"), &json!(["new"])));
    let welcomes = eventually("the welcome", Duration::from_mins(1), || {
        let runs = runs_about(&server, &found[0], "welcome");
        runs.iter().all(|run| run["status"] == "succeeded").then_some(runs).filter(|runs| !runs.is_empty())
    });
    assert_eq!(welcomes.len(), 1);
    let came = receiver.requests();
    let welcomed: Vec<_> = came.iter().filter(|request| request.target == "/welcome").collect();
    assert_eq!(welcomed.len(), 1);
    assert_eq!(welcomed[0].json(), json!({ "to": "ana@example.com", "because": "created", "by": "run" }));
    // Whoever found the contact has none of its own; whoever made it, or found it there when it did, has.
    let told: Vec<Value> = came
        .iter()
        .filter(|request| request.target == "/signed-up")
        .map(|request| request.json()["to"].clone())
        .collect();
    assert_eq!(told.len(), 64);
    assert!(
        told.iter().all(|to| *to == "ana@example.com" || *to == "nobody") && told.contains(&json!("ana@example.com")),
        "{told:?}"
    );
}

#[test]
fn a_change_that_was_answered_starts_its_run_once_however_often_the_process_dies() {
    let receiver = Receiver::start();
    let mut server = Server::start();
    server.apply(&welcome(&receiver.origin()));
    let mut made = Vec::new();
    for number in 0..6 {
        made.push(upsert(&server, &json!({ "email": format!("c{number}@example.com") })));
        server.kill();
        server.restart();
    }
    for contact in &made {
        let runs = eventually("its welcome", Duration::from_mins(1), || {
            Some(runs_about(&server, contact, "welcome")).filter(|runs| !runs.is_empty())
        });
        let ended = server.end_of_run(runs[0]["id"].as_str().unwrap());
        assert_eq!(ended["status"], "succeeded", "{ended}");
        assert_eq!(runs_about(&server, contact, "welcome").len(), 1, "{contact}");
    }
    let tagged = server.cli(&["contact", "update", "c0@example.com", "--add-tag", "customer", "--json"]);
    assert_eq!(tagged.code, Some(0), "{tagged:?}");
    let runs = eventually("the second welcome", Duration::from_mins(1), || {
        Some(runs_about(&server, &made[0], "welcome")).filter(|runs| runs.len() == 2)
    });
    let run = server.wait_for_run(runs[0]["id"].as_str().unwrap(), &["succeeded"]);
    assert_eq!((&run["trigger"]["event"], &run["trigger"]["by"]), (&json!("tag_added"), &json!({ "via": "cli" })));
    assert_eq!(run["contact"], made[0]["id"]);
}

#[test]
fn every_kind_of_change_starts_its_workflow_whoever_makes_it() {
    let server = Server::start();
    for (id, on) in [
        ("created", "created: true"),
        ("changed", "changed: [city]"),
        ("tagged", "tag_added: [vip]"),
        ("untagged", "tag_removed: true"),
        ("deleted", "deleted: true"),
    ] {
        server.apply(&format!(
            "id: {id}\nname: {id}\ntrigger: {{ contact: {{ {on} }} }}\nsteps:\n  - id: seen\n    set: {{ was: \"{{{{ trigger.contact.email }}}}\", \
             is: \"{{{{ trigger.event }}}}\", via: \"{{{{ trigger.by.via }}}}\" }}\n"
        ));
    }
    let cleaning = server.apply(
        "id: cleaning\nname: Cleaning\ntrigger: { uses: flowcell/webhook/inbound@1 }\nsteps:\n  - id: gone\n    uses: flowcell/contacts/delete@1\n    \
         with: { email: \"{{ trigger.body.email }}\" }\n",
    );
    let ana = upsert(&server, &json!({ "email": "ana@example.com", "tags": ["new"], "city": "Porto" }));
    let done = |arguments: &[&str]| {
        let said = server.cli(arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
    };
    done(&["contact", "update", "ana@example.com", "--set", "city=Lisbon"]);
    let path = format!("/api/v2/contacts/{}", ana["id"].as_str().unwrap());
    let patched = server.api("PATCH", &path, br#"{ "add_tags": ["vip"], "remove_tags": ["new"] }"#);
    assert_eq!(patched.status, 200, "{patched:?}");
    // No workflow asked for this one.
    done(&["contact", "update", "ana@example.com", "--set", "first_name=Ana"]);
    server.wait_for_run(&server.trigger(&cleaning.url, &json!({ "email": "ana@example.com" })), &["succeeded"]);

    for (workflow, event, via) in [
        ("created", "created", "api"),
        ("changed", "changed", "cli"),
        ("tagged", "tag_added", "api"),
        ("untagged", "tag_removed", "api"),
        ("deleted", "deleted", "run"),
    ] {
        let runs = eventually(&format!("a run of `{workflow}`"), Duration::from_mins(1), || {
            let listed = server.api("GET", &format!("/api/v2/runs?workflow={workflow}"), b"").json();
            let runs = listed["runs"].as_array().unwrap().clone();
            runs.first().is_some_and(|run| run["status"] == "succeeded").then_some(runs)
        });
        assert_eq!(runs.len(), 1, "{workflow}: {runs:?}");
        let run = server.run(runs[0]["id"].as_str().unwrap());
        let seen = json!({ "was": "ana@example.com", "is": event, "via": via });
        assert_eq!(run["steps"][0]["output"], seen, "{workflow}: {run}");
    }
}

#[test]
fn a_circle_of_workflows_ends_and_the_trigger_says_which_they_are() {
    let server = Server::start();
    let side = |id: &str, from: &str, to: &str| {
        format!(
            "id: {id}\nname: {id}\ntrigger: {{ contact: {{ tag_added: [{from}] }} }}\nsteps:\n  - id: turn\n    uses: flowcell/contacts/update@1\n    \
             with: {{ id: \"{{{{ contact.id }}}}\", set: {{}}, add_tags: [{to}], remove_tags: [{from}] }}\n"
        )
    };
    server.apply(&side("ping", "a", "b"));
    server.apply(&side("pong", "b", "a"));
    let ana = upsert(&server, &json!({ "email": "ana@example.com", "tags": ["a"] }));
    let rejected = eventually("the circle is ended", Duration::from_mins(1), || {
        let trigger = server.api("GET", "/api/v2/workflows/ping/trigger", b"").json();
        trigger["last_rejected"].as_array().filter(|rejected| !rejected.is_empty()).map(|rejected| rejected[0].clone())
    });
    assert_eq!(rejected["code"], "contact-circle");
    let message = rejected["message"].as_str().unwrap();
    for part in ["`ping` and `pong`", ana["id"].as_str().unwrap(), "5 times", "by a person"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(runs_about(&server, &ana, "ping").len() + runs_about(&server, &ana, "pong").len(), 10);
}

#[test]
fn whoever_reads_a_contact_where_there_is_none_is_told_before_anything_runs() {
    let server = Server::start();
    let reading = |trigger: &str, path: &str| {
        let text = format!(
            "id: reads\nname: Reads\ntrigger: {trigger}\nsteps:\n  - id: tell\n    uses: flowcell/custom-webhook/request@1\n    \
             with: {{ url: https://example.com/, json: {{ to: \"{{{{ {path} }}}}\" }} }}\n"
        );
        let said = server.try_apply(&text);
        (said.code, format!("{}{}", said.stdout, said.stderr))
    };
    let webhook = "{ uses: flowcell/webhook/inbound@1 }";
    let (code, said) = reading(webhook, "contact.email");
    assert!(
        code == Some(1) && said.contains("this run has none") && said.contains("flowcell/contacts/find@1"),
        "{said}"
    );
    assert_eq!(reading(webhook, "contact.email | default('none')").0, Some(0));
    let (code, said) = reading("{ contact: { created: true } }", "contact.emial");
    assert!(code == Some(1) && said.contains("did you mean `contact.email`"), "{said}");
    let (code, said) = reading("{ contact: { changed: [fields.plan] } }", "contact.email");
    assert!(code == Some(1) && said.contains("no field `plan` is defined"), "{said}");
    let defined = server.cli(&["contact", "field", "set", "plan", "--kind", "choice", "--option", "gold"]);
    assert_eq!(defined.code, Some(0), "{defined:?}");
    assert_eq!(reading("{ contact: { changed: [fields.plan] } }", "contact.fields.plan").0, Some(0));
    let (code, said) = reading("{ contact: { changed: true } }", "contact.fields.paln");
    assert!(code == Some(1) && said.contains("did you mean `contact.fields.plan`"), "{said}");
}

#[test]
fn the_command_line_does_with_contacts_what_it_says() {
    let server = Server::start();
    let done = |arguments: &[&str]| {
        let said = server.cli(&[&["contact"], arguments].concat());
        assert_eq!(said.code, Some(0), "{arguments:?} {said:?}");
        said.stdout
    };
    done(&["field", "set", "interests", "--kind", "list"]);
    let made = done(&[
        "upsert",
        "--email",
        "Ana@Example.com",
        "--set",
        "first_name=Ana",
        "--set",
        "fields.interests=[\"tea\"]",
        "--add-tag",
        "new",
    ]);
    assert!(made.contains("is made"), "{made}");
    assert!(done(&["upsert", "--email", "ana@example.com"]).contains("was so already"));
    assert!(
        done(&["update", "ana@example.com", "--set", "city=Lisbon", "--remove-tag", "new"])
            .contains("is changed: city, tags")
    );
    assert!(done(&["list", "--field", "fields.interests=tea"]).contains("ana@example.com"));
    assert!(done(&["show", "ana@example.com"]).contains("Lisbon"));
    assert!(done(&["note", "ana@example.com", "likes tea"]).contains("note_"));
    assert!(done(&["notes", "ana@example.com"]).contains("likes tea"));
    let history = done(&["history", "ana@example.com"]);
    assert!(
        history.contains("nothing → Lisbon") && history.contains("tag - new") && history.contains("by cli"),
        "{history}"
    );
    let stale = server.cli(&["contact", "update", "ana@example.com", "--set", "city=Porto", "--if-version", "1"]);
    assert!(stale.code == Some(1) && stale.stderr.contains("has version 2, not 1"), "{stale:?}");
    let asked = server.cli(&["contact", "delete", "ana@example.com"]);
    assert!(asked.code == Some(2) && asked.stderr.contains("--yes"), "{asked:?}");
    assert!(done(&["delete", "ana@example.com", "--yes"]).contains("is deleted"));
    let gone = server.cli(&["contact", "show", "ana@example.com"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("no contact has the e-mail address"), "{gone:?}");
    assert!(done(&["list"]).contains("There are no such contacts"));
}

/// The rows of the table under `## Examples` of the plugin's README.
fn examples() -> Vec<(String, Value, Value)> {
    let readme = std::fs::read_to_string(root().join("plugins/contacts/README.md")).unwrap();
    let (_, section) = readme.split_once("## Examples").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<String> = line.trim_matches('|').split(" | ").map(cell).collect();
            let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            (cells[0].clone(), json(&cells[1]), json(&cells[2]))
        })
        .collect()
}

/// What differs each time is written `…`.
fn fits(shown: &Value, written: &Value) -> bool {
    match (shown, written) {
        (_, Value::String(any)) if any == "…" => true,
        (Value::Object(shown), Value::Object(written)) => {
            shown.len() == written.len()
                && written.iter().all(|(key, value)| shown.get(key).is_some_and(|shown| fits(shown, value)))
        }
        (shown, written) => shown == written,
    }
}

#[test]
fn every_example_of_the_plugins_page_does_what_it_says() {
    let server = Server::start();
    let examples = examples();
    assert!(examples.len() >= 7);
    for (action, input, output) in examples {
        let workflow = json!({
            "id": "example", "name": "Example", "trigger": { "manual": true },
            "steps": [{ "id": "one", "uses": format!("flowcell/contacts/{action}@1"), "with": input }],
        });
        server.apply(&workflow.to_string());
        let started = server.api("POST", "/api/v2/workflows/example/runs", b"{}");
        let run = started.json()["run_ids"][0].as_str().unwrap().to_owned();
        let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
        let got = &crate::last_attempt(&shown)["output"];
        let got: Value = match got {
            // What is not there is left out on the page.
            Value::Object(members) => {
                Value::Object(members.clone().into_iter().filter(|(_, value)| !value.is_null()).collect())
            }
            other => other.clone(),
        };
        assert!(fits(&got, &output), "{action} {input}\n got {got}\nsays {output}");
    }
    let readme = std::fs::read_to_string(root().join("plugins/contacts/README.md")).unwrap();
    let flows: Vec<&str> = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(flows.len(), 2);
    for flow in flows {
        server.apply(flow);
    }
}

#[test]
fn a_step_that_asks_for_what_cannot_be_fails_with_the_place_and_the_contacts() {
    let receiver = Receiver::answering(|_, _| Reply::status(200));
    let server = Server::start();
    upsert(&server, &json!({ "email": "ana@example.com" }));
    upsert(&server, &json!({ "phone": "+4930901820" }));
    let workflow = json!({
        "id": "merge", "name": "Merge", "trigger": { "manual": true },
        "steps": [{ "id": "one", "uses": "flowcell/contacts/create-or-update@1", "with": { "email": "ana@example.com", "phone": "+4930901820" } }],
    });
    server.apply(&workflow.to_string());
    let started = server.api("POST", "/api/v2/workflows/merge/runs", b"{}");
    let shown = server.wait_for_run(started.json()["run_ids"][0].as_str().unwrap(), &["failed"]);
    let error = &shown["error"];
    assert_eq!((&error["code"], &error["details"]["field"]), (&json!("conflict"), &json!("/email")), "{error}");
    assert_eq!(error["details"]["contacts"].as_array().map(Vec::len), Some(2), "{error}");
    assert!(error["message"].as_str().unwrap().contains("cannot make two contacts one"), "{error}");
    assert!(receiver.requests().is_empty());
}

#[test]
fn a_preview_looks_at_the_real_contacts_and_changes_none() {
    let server = Server::start();
    let ana = upsert(&server, &json!({ "email": "ana@example.com", "first_name": "Ana" }));
    let text = "id: shown\nname: Shown\ntrigger: { manual: true }\nsteps:\n  \
                - { id: search, uses: flowcell/contacts/find@1, with: { email: \"{{ trigger.email }}\" } }\n  \
                - { id: tag, uses: flowcell/contacts/update@1, with: { id: \"{{ contact.id }}\", set: { last_name: \"of {{ contact.first_name }}\" } } }\n";
    let (workflow, input) = (server.folder().join("shown.yaml"), server.folder().join("input.json"));
    std::fs::write(&workflow, text).unwrap();
    std::fs::write(&input, json!({ "email": "ana@example.com" }).to_string()).unwrap();
    let preview = |step: &str, extra: &[&str]| {
        let arguments = ["workflow", "preview", workflow.to_str().unwrap(), step, "--input", input.to_str().unwrap()];
        server.cli(&[&arguments[..], extra].concat())
    };
    let found = preview("search", &["--json"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let output = &found.json()["output"];
    assert_eq!((&output["found"], &output["contact"]["first_name"]), (&json!(true), &json!("Ana")), "{output}");
    let id = ana["id"].as_str().unwrap();
    let changed = preview("tag", &["--contact", id, "--json"]);
    assert_eq!(changed.json()["input"]["set"]["last_name"], "of Ana", "{changed:?}");
    let calls = changed.json()["host"].clone();
    assert_eq!((&calls[0]["answered_by"], &calls[1]["answered_by"]), (&json!(null), &json!("stand-in")), "{calls}");
    let printed = preview("tag", &["--contact", id]);
    assert!(printed.stdout.contains("contacts.change") && printed.stdout.contains("nothing is changed"), "{printed:?}");
    let unknown = preview("tag", &["--contact", "con_01JD7ZZZZZZZZZZZZZZZZZZZZZ"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("There is no contact"), "{unknown:?}");
    assert_eq!(contacts(&server, "")[0]["version"], ana["version"], "nothing is changed");
}
