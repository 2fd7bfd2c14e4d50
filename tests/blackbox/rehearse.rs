//! Dry runs and test cases: what they show, that nothing leaves, and how they end.

use std::path::Path;

use flowcell_tests::{CliOutput, Receiver, Server};
use serde_json::{Value, json};

/// A command that needs no server; compiled plugins are shared by these tests.
fn offline(arguments: &[&str]) -> CliOutput {
    let data = concat!(env!("CARGO_TARGET_TMPDIR"), "/rehearse");
    CliOutput::of(&[arguments, &["--data", data]].concat())
}

fn put(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Sends, waits three days, decides, sends again.
fn workflow(origin: &str) -> String {
    format!(
        r#"
id: demo
name: A demonstration
trigger: {{ manual: true }}
steps:
  - id: create
    uses: flowcell/custom-webhook/request@1
    with: {{ url: "{origin}/contacts/{{{{ trigger.id }}}}", headers: {{ authorization: "Bearer {{{{ trigger.secret }}}}" }}, json: {{ name: "{{{{ trigger.name }}}}" }} }}
  - id: pause
    wait: {{ for: 3d }}
  - id: size
    if:
      - name: large
        when: {{ value: "{{{{ trigger.employees }}}}", is: greater, to: 100 }}
        steps:
          - id: tell
            uses: flowcell/webhook/send@1
            with: {{ url: "{origin}/sales", data: {{ id: "{{{{ steps.create.output.body.id | default('none') }}}}" }} }}
"#
    )
}

/// Lets plugins reach the receiver: a dry run denies what a server would.
fn near(folder: &Path) -> String {
    put(folder, "near.toml", "[egress]\nallow = [\"127.0.0.1/32\"]\n")
}

const INPUT: &str = r#"{ "id": 7, "name": "Ada", "employees": 101, "secret": "s3cr3t-value" }"#;

#[test]
fn a_dry_run_shows_every_request_decision_and_wait_and_nothing_leaves() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let file = put(folder.path(), "demo.yaml", &workflow(&receiver.origin()));
    let input = put(folder.path(), "input.json", INPUT);
    let config = near(folder.path());
    let shown = offline(&["workflow", "run", &file, "--input", &input, "--dry", "--config", &config]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let contacts = format!("POST {}/contacts/7", receiver.origin());
    let in_order = [
        "Nothing leaves this machine",
        contacts.as_str(),
        "authorization: •••",
        r#"{"name":"Ada"}"#,
        "200, stand-in",
        "3 days later",
        "if → large",
        "(101) is greater than 100",
        "/sales",
        "✓ The run succeeded.",
        "2 requests, over 3 days",
    ];
    let mut rest = shown.stdout.as_str();
    for part in in_order {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("`{part}` is not shown, or too early:\n{}", shown.stdout)
        };
        rest = after;
    }
    assert!(!shown.stdout.contains("s3cr3t-value"), "a credential is masked:\n{}", shown.stdout);
    assert!(!shown.stdout.contains('\x1b'), "no colours where nobody sees them");

    let document =
        offline(&["workflow", "run", &file, "--input", &input, "--dry", "--json", "--config", &config]).json();
    assert_eq!(document["run"]["status"], "succeeded");
    assert_eq!(document["run"]["requests"][0]["request"]["url"], format!("{}/contacts/7", receiver.origin()));
    assert_eq!(document["run"]["steps"]["size"]["branch"]["name"], "large");
    assert_eq!(receiver.requests().len(), 0, "nothing has left");
}

#[test]
fn without_dry_a_run_says_that_it_would_send() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let file = put(folder.path(), "demo.yaml", &workflow(&receiver.origin()));
    let refused = offline(&["workflow", "run", &file]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--dry") && refused.stderr.contains("--send"), "{}", refused.stderr);
    assert_eq!(receiver.requests().len(), 0);
}

#[test]
fn with_send_the_requests_arrive() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let text = workflow(&receiver.origin()).replace("wait: { for: 3d }", "wait: { for: 10ms }");
    let file = put(folder.path(), "demo.yaml", &text);
    let input = put(folder.path(), "input.json", INPUT);
    let config = near(folder.path());
    let sent = offline(&["workflow", "run", &file, "--input", &input, "--send", "--config", &config]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(sent.stdout.contains("It has sent 2 requests"), "{}", sent.stdout);
    let targets: Vec<_> = receiver.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(targets, ["/contacts/7", "/sales"]);
}

#[test]
fn a_denied_request_is_shown_as_a_server_would_deny_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id: gone\nname: G\ntrigger: { manual: true }\nsteps:\n  - id: a\n    uses: flowcell/custom-webhook/request@1\n    with: { url: 'https://example.com/' }\n";
    let file = put(folder.path(), "gone.yaml", text);
    let config = put(folder.path(), "flowcell.toml", "[egress.ceiling]\ndeny_hosts = [\"example.com\"]\n");
    let shown = offline(&["workflow", "run", &file, "--dry", "--config", &config]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.stdout.contains("[denied]"), "{}", shown.stdout);
}

const CASES: &str = r"
now: 2026-11-23T08:00:00Z
cases:
  - name: a large one is told to sales
    trigger: { id: 7, name: Ada, employees: 101, secret: x }
    pin: { create: { http: [{ status: 201, json: { id: 71 } }] } }
    expect:
      branches: { size: large }
      outputs: { create.status: 201 }
      requests: [{ step: create, json: { name: Ada } }, { step: tell, json: { id: 71 } }]
      lasted: 3d
  - name: a small one is not
    trigger: { id: 8, name: Bob, employees: 1, secret: x }
    expect: { steps: { tell: absent }, requests: [{ step: create }] }
";

/// Contacts, users and stored values are a server's: a dry run says who met nothing, and a pin brings it.
#[test]
fn a_dry_run_says_which_steps_asked_for_what_only_a_server_has() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
id: greet
name: Greet
trigger: { manual: true }
steps:
  - { id: search, uses: flowcell/contacts/find@1, with: { email: "{{ trigger.email }}", enroll: false } }
  - { id: seen, uses: flowcell/data/get-value@1, with: { key: last } }
  - id: which
    if: [{ name: known, when: steps.search.output.found, steps: [{ id: hello, set: { text: "Hello {{ steps.search.output.contact.first_name }}" } }] }]
    else: [{ id: fresh, uses: flowcell/contacts/create-or-update@1, with: { email: "{{ trigger.email }}" } }]
"#;
    let file = put(folder.path(), "greet.yaml", text);
    let input = put(folder.path(), "input.json", r#"{ "email": "ana@example.com" }"#);
    let shown = offline(&["workflow", "run", &file, "--input", &input, "--dry"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for said in [
        "`search` looked for a contact and found nobody: a dry run knows no contacts",
        "`fresh` would give the run a contact",
        "`seen` read stored values and found none",
    ] {
        assert!(shown.stdout.contains(said), "{said}: {}", shown.stdout);
    }
    let cases = "cases:\n  - name: known\n    trigger: { email: ana@example.com }\n    pin: { search: { output: { found: true, contact: { first_name: Ana } } } }\n";
    let pins = put(folder.path(), "greet.tests.yaml", cases);
    let known = offline(&["workflow", "run", &file, "--pins", &pins, "--case", "known", "--dry"]);
    assert_eq!(known.code, Some(0), "{known:?}");
    assert!(known.stdout.contains("if → known") && !known.stdout.contains("knows no contacts"), "{}", known.stdout);
}

#[test]
fn test_cases_pass_or_say_what_was_expected_and_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let workflow_file = put(folder.path(), "demo.yaml", &workflow("https://crm.example.com"));
    put(folder.path(), "demo.tests.yaml", CASES);
    let junit = folder.path().join("junit.xml");
    let junit = junit.to_str().unwrap();
    let passed = offline(&["test", &workflow_file, "--junit", junit]);
    assert_eq!(passed.code, Some(0), "{passed:?}");
    assert!(
        passed.stdout.contains("✓ a large one is told to sales") && passed.stdout.contains("2 cases: 2 passed"),
        "{}",
        passed.stdout
    );
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains(r#"tests="2" failures="0" errors="0""#), "{xml}");

    let broken = CASES
        .replace("{ id: 71 } }]\n      lasted", "{ id: 72 } }]\n      lasted")
        .replace("tell: absent", "tell: succeeded");
    put(folder.path(), "demo.tests.yaml", &broken);
    let failed = offline(&["test", folder.path().to_str().unwrap(), "--junit", junit]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    for part in [
        "requests[1].json.id",
        "expected  72",
        "came      71",
        "POST https://crm.example.com/sales (step tell, attempt 1)",
        "steps.tell",
        "2 cases: 0 passed, 2 failed",
    ] {
        assert!(failed.stdout.contains(part), "`{part}`:\n{}", failed.stdout);
    }
    assert!(std::fs::read_to_string(junit).unwrap().contains("<failure message="));
    let filtered = offline(&["test", folder.path().to_str().unwrap(), "--filter", "small", "--json"]).json();
    assert_eq!((filtered["passed"].clone(), filtered["failed"].clone()), (json!(0), json!(1)), "{filtered}");

    put(folder.path(), "demo.tests.yaml", &CASES.replace("step: tell", "step: tel"));
    let wrong = offline(&["test", &workflow_file]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(
        wrong.stdout.contains("demo.tests.yaml:") && wrong.stdout.contains("did you mean `tell`?"),
        "{}",
        wrong.stdout
    );
}

#[test]
fn the_schemas_are_printed_for_editors() {
    let tests = CliOutput::of(&["schema", "tests"]).json();
    assert_eq!(tests["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(tests["title"], "Flowcell test cases");
    assert_eq!(CliOutput::of(&["schema"]).json()["title"], "Flowcell workflow");
}

#[test]
fn a_run_becomes_a_test_case_that_passes() {
    let receiver = Receiver::start();
    let server = Server::start();
    let text = workflow(&receiver.origin()).replace("wait: { for: 3d }", "wait: { for: 10ms }");
    server.apply(&text);
    let started = server.api("POST", "/api/v2/workflows/demo/runs", INPUT.as_bytes());
    let run = started.json()["run_ids"][0].as_str().unwrap().to_owned();
    server.wait_for_run(&run, &["succeeded"]);
    let pinned = server.cli(&["run", "pin-data", &run]);
    assert_eq!(pinned.code, Some(0), "{pinned:?}");
    assert!(!pinned.stdout.contains("Bearer"), "a credential is no part of it:\n{}", pinned.stdout);

    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "demo.yaml", &text);
    let cases = put(folder.path(), "demo.tests.yaml", &pinned.stdout);
    let sent = receiver.requests().len();
    let tested = offline(&["test", &cases, "--config", &near(folder.path())]);
    assert_eq!(tested.code, Some(0), "{}\n{}", tested.stdout, pinned.stdout);
    assert_eq!(receiver.requests().len(), sent, "the case sends nothing");
}

/// The commands of `docs/testing.md` that need no server do what stands there.
#[test]
fn the_guide_is_executed() {
    let guide = std::fs::read_to_string(flowcell_tests::root().join("docs/testing.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let block = |name: &str| {
        let start =
            guide.find(&format!("<!-- {name} -->")).unwrap_or_else(|| panic!("the guide has no block `{name}`"));
        let rest = &guide[start..];
        let text = &rest[rest.find("```").unwrap()..];
        let text = &text[text.find('\n').unwrap() + 1..];
        text[..text.find("\n```").unwrap()].to_owned() + "\n"
    };
    let workflow = put(folder.path(), "welcome.yaml", &block("welcome.yaml"));
    let cases = put(folder.path(), "welcome.tests.yaml", &block("welcome.tests.yaml"));
    let input = put(folder.path(), "input.json", &block("input.json"));
    let dry = offline(&["workflow", "run", &workflow, "--input", &input, "--now", "2026-11-23T08:00:00Z", "--dry"]);
    assert_eq!(dry.stdout.trim_end(), block("dry").trim_end(), "{dry:?}");
    let tested = offline(&["test", &cases]);
    assert_eq!(tested.code, Some(0), "{tested:?}");
    put(
        folder.path(),
        "welcome.tests.yaml",
        &block("welcome.tests.yaml").replace("ada@example.com, name: Ada }", "eve@example.com, name: Ada }"),
    );
    let failed = offline(&["test", &cases]);
    let shown = failed.stdout.lines().find(|line| line.contains("expected")).unwrap_or_default().trim().to_owned();
    assert!(block("failed").contains(&shown) && !shown.is_empty(), "{failed:?}");
    let schema: Value = CliOutput::of(&["schema", "tests"]).json();
    for key in schema["$defs"]["expect"]["properties"].as_object().unwrap().keys() {
        assert!(guide.contains(&format!("`{key}`")), "the guide says nothing of `{key}`");
    }
}
