//! The examples: every folder under `examples/` has an expectation, and does what it says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flowcell_tests::{CliOutput, Receiver, Reply, Server, eventually, request, root};
use serde_json::{Value, json};

#[test]
fn a_github_push_becomes_a_build_request() {
    let receiver = Receiver::answering(|_, _| {
        Reply::status(201).header("content-type", "application/json").body(r#"{"build":7}"#)
    });
    let server = Server::start();
    let folder = root().join("examples/push-to-build");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let workflow = String::from_utf8(read("workflow.yaml")).unwrap();
    let applied = server.apply(&workflow.replace("https://build.example.com", &receiver.origin()));

    let payload = read("push.json");
    assert!(payload.len() >= 8_000, "the payload has the size of a real one");
    let answer =
        request("POST", &applied.url, &[("content-type", "application/json"), ("x-github-event", "push")], &payload)
            .unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    let run = answer.json()["run_ids"][0].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("/api/v2/runs/{run}").as_str()));
    assert!(answer.json()["event_id"].as_str().is_some_and(|id| id.starts_with("evt_")));

    let expected: Value = serde_json::from_slice(&read("expected.json")).unwrap();
    let requests = receiver.wait_for(1);
    assert_eq!(requests[0].method, expected["request"]["method"]);
    assert_eq!(requests[0].target, expected["request"]["target"]);
    assert_eq!(requests[0].json(), expected["request"]["json"]);
    assert!(requests[0].header("idempotency-key").is_some());

    let shown = server.wait_for_run(&run, &["succeeded"]);
    assert_eq!(shown["workflow"]["id"], "push-to-build");
    assert_eq!(shown["workflow"]["version"], 1);
    let step = &shown["steps"][0];
    assert_eq!((step["id"].as_str(), step["status"].as_str()), (Some("build"), Some("succeeded")));
    assert_eq!(step["plugin"]["id"], "flowcell/custom-webhook");
    assert!(step["plugin"]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    let attempt = &step["attempts"][0];
    assert_eq!(attempt["number"], 1);
    assert_eq!(attempt["input"]["json"], expected["request"]["json"]);
    assert_eq!(attempt["output"]["status"], 201);
    assert!(attempt["output"]["duration_ms"].is_u64(), "{attempt}");
    assert_eq!(attempt["output"]["body"]["build"], 7);
    assert_eq!(attempt["http"][0]["request"]["method"], "POST");
    assert_eq!(attempt["http"][0]["response"]["status"], 201);
    for measured in ["duration_ms", "cpu_ms", "memory_bytes"] {
        assert!(attempt[measured].is_number(), "{measured}: {attempt}");
    }
}

/// A command that needs no server; compiled plugins are shared by these tests.
fn offline(arguments: &[&str]) -> CliOutput {
    let data = concat!(env!("CARGO_TARGET_TMPDIR"), "/examples");
    CliOutput::of(&[arguments, &["--data", data]].concat())
}

fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("examples")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// The workflow files of a folder.
fn workflows(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|file| {
            let is_yaml = file.extension().is_some_and(|extension| extension == "yaml");
            is_yaml && file.file_stem().and_then(|stem| stem.to_str()).unwrap().strip_suffix(".tests").is_none()
        })
        .collect();
    // `enrich.yaml` before the `workflow.yaml` that calls it.
    files.sort();
    files
}

fn hello_plugin() -> tempfile::TempDir {
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("hello.wasm"), crate::guest("hello-plugin")).unwrap();
    plugins
}

#[test]
fn every_example_is_explained_and_passes_the_check_without_a_warning() {
    let plugins = hello_plugin();
    let mut kinds = std::collections::BTreeSet::new();
    for folder in folders() {
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.len() > 300, "{folder:?} says what it is for");
        let files = workflows(&folder);
        let mut arguments = vec!["check", "--strict", "--plugins", plugins.path().to_str().unwrap()];
        arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
        let checked = offline(&arguments);
        assert_eq!(checked.code, Some(0), "{folder:?}: {}{}", checked.stdout, checked.stderr);
        for line in files
            .iter()
            .flat_map(|file| std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        {
            let words = ["uses:", "if:", "for_each:", "parallel:", "wait:", "stop:", "call:", "set:", "respond:"];
            kinds.extend(words.iter().filter(|word| line.contains(*word)).map(|word| (*word).to_owned()));
        }
    }
    assert_eq!(kinds.len(), 9, "together they use every kind of step: {kinds:?}");
}

#[test]
fn every_example_passes_its_own_test_cases() {
    let tested = offline(&["test", root().join("examples").to_str().unwrap(), "--json"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
    let report = tested.json();
    assert_eq!(report["failed"], 0);
    assert!(report["passed"].as_u64().unwrap() >= 30, "{report}");
    assert!(report["files"].as_array().unwrap().len() >= 11, "ten examples and more have cases");
}

/// Every host becomes the receiver's, and stands at the beginning of the path there.
fn to_receiver(workflow: &str, receiver: &Receiver) -> String {
    workflow.replace("https://", &format!("{}/", receiver.origin()))
}

#[test]
fn every_example_does_what_its_expectation_says() {
    let plugins = hello_plugin();
    let arguments = vec!["--plugins".into(), plugins.path().to_str().unwrap().into()];
    let server = Server::start_with(flowcell_tests::Options { arguments, ..Default::default() });
    let mut examples = 0;
    for folder in folders().into_iter().filter(|folder| folder.join("expected.json").exists()) {
        let read = |name: &str| -> Value {
            let bytes =
                std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name} of {folder:?}: {error}"));
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{name} of {folder:?}: {error}"))
        };
        play(&server, &folder, &read);
        examples += 1;
    }
    assert!(examples >= 9, "the examples are there");
}

/// A real run of an example against the local receiver.
fn play(server: &Server, folder: &Path, read: &dyn Fn(&str) -> Value) {
    let expected = read("expected.json");
    let name = folder.display();
    let answers = expected["answers"].clone();
    let receiver = Receiver::answering(move |_, request| {
        let path = request.target.split('?').next().unwrap_or_default();
        match answers.get(format!("{} {path}", request.method)) {
            Some(answer) => Reply::status(200).header("content-type", "application/json").body(answer.to_string()),
            None => Reply::status(201).header("content-type", "application/json"),
        }
    });
    let mut url = String::new();
    let named = root().join("examples/error-digest/workflow.yaml"); // as `on_failure`
    for file in std::iter::once(named).chain(workflows(folder)) {
        let text = std::fs::read_to_string(file).unwrap().replace("https://build.example.com", &receiver.origin());
        url = server.apply(&to_receiver(&text, &receiver)).url;
    }
    let id = read_id(folder);
    let payload = |name: &Value| name.as_str().map_or_else(|| name.clone(), read);
    let run = if let Some(input) = expected.get("manual") {
        let answer = server.api("POST", &format!("/api/v2/workflows/{id}/runs"), payload(input).to_string().as_bytes());
        answer.json()["run_ids"][0].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    } else if let Some(event) = expected.get("event") {
        let sent = json!({ "name": event["name"], "payload": payload(&event["payload"]) });
        let answer = server.api("POST", "/api/v2/events", sent.to_string().as_bytes());
        answer.json()["started"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    } else if let Some(contact) = expected.get("contact") {
        let answer = server.api("POST", "/api/v2/contacts", contact.to_string().as_bytes());
        let path = format!("/api/v2/runs?workflow={id}&contact={}", answer.json()["contact"]["id"].as_str().unwrap());
        eventually("the change has started a run", Duration::from_mins(1), || {
            server.api("GET", &path, b"").json()["runs"][0]["id"].as_str().map(str::to_owned)
        })
    } else {
        server.trigger(&url, &payload(&expected["delivery"]))
    };
    if let Some(resume) = expected.get("resume") {
        let link = eventually("the resume link", Duration::from_secs(30), || {
            let steps = server.run(&run)["steps"].clone();
            steps.as_array()?.iter().find_map(|step| step["resume_url"].as_str().map(str::to_owned))
        });
        assert!(matches!(flowcell_tests::post(&link, resume).unwrap().status, 200 | 202), "{link}");
    }
    if let Some(event) = expected.get("then_event") {
        eventually("somebody waits for the event", Duration::from_secs(30), || {
            let answer = server.api("POST", "/api/v2/events", event.to_string().as_bytes());
            answer.json()["resumed"].as_array().filter(|resumed| !resumed.is_empty()).map(|_| ())
        });
    }
    let shown = server.wait_for_run(&run, &["succeeded", "failed", "cancelled"]);
    let status = expected.get("status").and_then(Value::as_str).unwrap_or("succeeded");
    assert_eq!(shown["status"], status, "{name}: {shown:#}");
    for (member, value) in expected["output"].as_object().into_iter().flatten() {
        assert_eq!(&crate::last_attempt(&shown)["output"][member], value, "{name}: {shown:#}");
    }
    if let Some(request) = expected.get("request") {
        let got = &receiver.requests()[0];
        assert_eq!((&request["method"], &request["target"]), (&got.method.clone().into(), &got.target.clone().into()));
        assert_eq!(got.json(), request["json"]);
    }
    for (member, value) in expected["then_contact"].as_object().into_iter().flatten() {
        let contact = server.api("GET", &format!("/api/v2/contacts/{}", shown["contact"].as_str().unwrap()), b"");
        assert_eq!(&contact.json()[member], value, "{name}: {contact:?}");
    }
    if let Some(requests) = expected.get("requests").and_then(Value::as_array) {
        let mut came: Vec<String> =
            receiver.requests().iter().map(|got| format!("{} {}", got.method, got.target)).collect();
        let mut wanted: Vec<String> = requests.iter().map(|wanted| wanted.as_str().unwrap().to_owned()).collect();
        came.sort();
        wanted.sort();
        assert_eq!(came, wanted, "{name}");
        let keys: std::collections::BTreeSet<_> =
            receiver.requests().iter().map(|got| got.header("idempotency-key").unwrap().to_owned()).collect();
        assert_eq!(keys.len(), wanted.len(), "each effect has a key of its own: {name}");
    }
}

fn read_id(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("workflow.yaml")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
}

#[test]
fn the_facade_answers_its_caller() {
    let receiver = Receiver::answering(|_, request| {
        let slow = request.target.starts_with("/south");
        let reply =
            Reply::status(200).header("content-type", "application/json").body(r#"{"cents":1200,"price":1190}"#);
        if slow { reply.after(Duration::from_secs(20)) } else { reply }
    });
    let server = Server::start();
    let workflow = std::fs::read_to_string(root().join("examples/price-api/workflow.yaml")).unwrap();
    let applied = server.apply(&to_receiver(&workflow, &receiver));
    let asked = flowcell_tests::get(&format!("{}?sku=teapot", applied.url)).unwrap();
    assert_eq!((asked.status, asked.json()["cents"].as_u64()), (200, Some(1200)), "{asked:?}");
    assert_eq!(asked.header("cache-control"), Some("max-age=60"));
    let not_asked = flowcell_tests::get(&applied.url).unwrap();
    assert_eq!(not_asked.status, 400, "{not_asked:?}");
}

#[test]
fn a_failed_order_raises_the_alarm_of_the_error_workflow() {
    let receiver = Receiver::answering(|_, request| {
        Reply::status(if request.target.starts_with("/sheets.example.com") { 422 } else { 200 })
    });
    let server = Server::start();
    let read = |name: &str| std::fs::read_to_string(root().join("examples").join(name)).unwrap();
    server.apply(&to_receiver(&read("error-digest/workflow.yaml"), &receiver));
    let applied = server.apply(&to_receiver(&read("order-paid/workflow.yaml"), &receiver));
    let run = server.trigger(&applied.url, &serde_json::from_str(&read("order-paid/paid.json")).unwrap());
    assert_eq!(server.wait_for_run(&run, &["failed", "succeeded"])["status"], "failed");
    let alarm = eventually("the alarm", Duration::from_secs(30), || {
        receiver.requests().into_iter().find(|request| request.target == "/hooks.chat.example.com/automation-alarm")
    });
    assert_eq!(alarm.json()["run"], run);
    assert!(
        alarm.json()["text"].as_str().unwrap().contains("order-paid version 1 failed at step add_row"),
        "{alarm:?}"
    );
}
