//! FEATURES N6: Google Sheets. The double is held to what Google publishes and to a public client; the plugin is held to the double, through the whole server.

use std::time::Duration;

use flowcell_tests::google::{Fault, Google, World};
use flowcell_tests::tools::{printed, python};
use flowcell_tests::{Options, Server, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

fn orders() -> Value {
    json!([
        ["Email", "Name", "Total", "Paid"],
        ["ada@example.com", "Ada", 12.5, true],
        ["grace@example.com", "Grace", 7, false],
        ["eve@example.com", "Eve", 1, false],
    ])
}

fn world() -> World {
    let mut world = World::new();
    world.add("book", &[("Orders", orders())]);
    world
}

#[test]
fn a_public_client_works_with_the_double() {
    let google = Google::start(world());
    let seen = printed(&mut python(include_str!("../tools/sheets.py"), &[&google.origin()]));
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert!(google.world().violations().is_empty(), "{:#?}", google.world().violations());
    assert_eq!(
        seen,
        json!({
            "titles": ["Orders"],
            "records": [
                { "Email": "ada@example.com", "Name": "Ada", "Total": 12.5, "Paid": "TRUE" },
                { "Email": "grace@example.com", "Name": "Grace", "Total": 7, "Paid": "FALSE" },
                { "Email": "eve@example.com", "Name": "Eve", "Total": 1, "Paid": "FALSE" },
            ],
            "appended": "Orders!A5:B5",
            "found": "B3",
            "column": ["Email", "top@example.com", "ada@example.com", "grace@example.com", "eve@example.com", "f@example.com"],
            "row": ["ada@example.com", "Augusta", "13", "FALSE"],
            "formula": "=1+1",
            "unformatted": [[13, false]],
            "added": [[["a", "b"], ["1", "2"]], 10, 5],
            "copied": 20,
            "batch": [[["Email"], ["top@example.com"]], [["Name"]]],
            "files": ["The book book"],
            "missing": "Nope",
            "unknown": true,
        })
    );
    let rows = google.world().rows("book", "Orders");
    assert_eq!(rows[4], [json!("eve@example.com"), json!("=1+1")], "RAW is text");
    assert_eq!(rows[5][1], json!({ "formula": "=1+1" }), "entered, it is a formula");
    assert_eq!(rows[2].len(), 3, "D3 was cleared");
}

/// A server whose Google is the double, with a connection `google` of a service account.
struct Lab {
    google: Google,
    server: Server,
}

/// A key file as Google gives it, made for this test; it opens nothing.
fn service_account() -> Value {
    let script = "
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
print(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode())
";
    json!({
        "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": printed(&mut python(script, &[])) + "\n",
        "client_email": "flow@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
    })
}

impl Lab {
    fn start() -> Self {
        let mut world = world();
        world.lock();
        let google = Google::start(world);
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("flowcell.toml");
        let origin = google.origin();
        let routes = ["sheets", "www", "oauth2"]
            .map(|host| format!("\"https://{host}.googleapis.com\" = \"{origin}\"\n"))
            .concat();
        std::fs::write(&config, format!("[egress.routes]\n{routes}")).unwrap();
        let arguments = vec!["--config".to_owned(), config.to_str().unwrap().to_owned()];
        let server = Server::start_with(Options { arguments, ..Default::default() });
        // The server has read it.
        let lab = Self { google, server };
        std::fs::copy(&config, lab.server.folder().join("flowcell.toml")).unwrap();
        lab.connect();
        lab
    }

    fn connect(&self) {
        let file = self.server.folder().join("key.json");
        std::fs::write(&file, service_account().to_string()).unwrap();
        let added = self.server.cli(&[
            "connection",
            "add",
            "google",
            "--kind",
            "google-service-account",
            "--key-file",
            file.to_str().unwrap(),
            "--scope",
            "https://www.googleapis.com/auth/spreadsheets",
            "--host",
            "https://sheets.googleapis.com",
            "--host",
            "https://www.googleapis.com/drive/*",
            "--plugin",
            "flowcell/google-sheets",
            "--json",
        ]);
        assert_eq!(added.code, Some(0), "{added:?}");
    }

    /// After a kill, with the same configuration.
    fn restart(&mut self) {
        let config = self.server.folder().join("flowcell.toml").to_str().unwrap().to_owned();
        self.server.restart_with(Options { arguments: vec!["--config".to_owned(), config], ..Default::default() });
    }

    /// A workflow of one step; returns its URL.
    fn apply(&self, action: &str, with: &Value) -> String {
        let mut input = json!({ "spreadsheet": "book", "worksheet": "Orders" });
        for (name, value) in with.as_object().unwrap() {
            input[name] = value.clone();
        }
        let workflow = json!({
            "id": "sheet", "name": "Sheet", "trigger": { "uses": "flowcell/webhook/inbound@1" },
            "steps": [{
                "id": "do", "uses": format!("flowcell/google-sheets/{action}@1"), "connection": "google", "with": input,
                "retry": { "attempts": 4, "initial": "100ms" },
            }],
        });
        self.server.apply(&workflow.to_string()).url
    }

    fn succeeds(&self, run: &str) -> Value {
        let shown = self.server.wait_for_run(run, &["succeeded", "failed"]);
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        crate::last_attempt(&shown)["output"].clone()
    }

    fn emails(&self) -> Vec<String> {
        let rows = self.google.world().rows("book", "Orders");
        rows.iter().skip(1).map(|row| row[0].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.google.world().violations().is_empty(), "{:#?}", self.google.world().violations());
        }
    }
}

#[test]
fn sixteen_runs_that_append_at_once_lose_no_row() {
    let lab = Lab::start();
    let url = lab.apply(
        "create-row",
        &json!({ "values": { "Email": "{{ trigger.body.email }}", "Name": "=HYPERLINK(\"x\")" } }),
    );
    let runs: Vec<String> =
        (0..16).map(|number| lab.server.trigger(&url, &json!({ "email": format!("{number}@example.com") }))).collect();
    for run in &runs {
        assert_eq!(lab.succeeds(run)["repeated"], false);
    }
    let mut emails = lab.emails();
    assert_eq!(emails.len(), 19);
    emails.sort();
    emails.dedup();
    assert_eq!(emails.len(), 19, "each has its row");
    assert!(
        lab.google.world().rows("book", "Orders").iter().skip(4).all(|row| row[1] == "=HYPERLINK(\"x\")"),
        "text, not formulas"
    );
    // The plugin saw no token: what is recorded of its requests has none either.
    let shown = lab.server.run(&runs[0]).to_string();
    assert!(!shown.contains("ya29") && shown.contains("https://sheets.googleapis.com/v4/spreadsheets/book"), "{shown}");
}

#[test]
fn a_step_that_is_killed_after_google_did_the_work_leaves_one_row() {
    let mut lab = Lab::start();
    let url = lab.apply("create-row", &json!({ "values": { "Email": "once@example.com" } }));
    lab.google.world().fail(":batchUpdate", Fault::Slow(Duration::from_secs(30)));
    let run = lab.server.trigger(&url, &json!({}));
    eventually("the row is there", Duration::from_mins(1), || (lab.emails().len() == 4).then_some(()));
    lab.server.signal(Signal::KILL);
    lab.server.ended();
    lab.restart();
    let output = lab.succeeds(&run);
    assert_eq!((lab.emails().len(), &output["repeated"]), (4, &json!(true)), "{output}");
    // And one whose answer is lost on the way.
    lab.google.world().fail(":batchUpdate", Fault::CutAfterEffect);
    let run = lab.server.trigger(&lab.server.rebase(&url), &json!({}));
    assert_eq!(lab.succeeds(&run)["repeated"], true);
    assert_eq!(lab.emails().len(), 5);
}

#[test]
fn the_quota_is_waited_for_and_what_is_wrong_says_what_to_do() {
    let lab = Lab::start();
    let url =
        lab.apply("upsert-row", &json!({ "key": ["Email"], "values": { "Email": "grace@example.com", "Total": 9 } }));
    lab.google.world().fail(":batchUpdate", Fault::Quota { retry_after_s: Some(1) });
    let run = lab.server.trigger(&url, &json!({}));
    assert_eq!(lab.succeeds(&run)["outcome"], "updated");
    let shown = lab.server.run(&run);
    assert_eq!(shown["steps"][0]["attempts"][0]["error"]["code"], "rate-limited", "{shown:#}");
    let failed = |action: &str, with: &Value| {
        let run = lab.server.trigger(&lab.apply(action, with), &json!({}));
        let shown = lab.server.wait_for_run(&run, &["succeeded", "failed"]);
        crate::last_attempt(&shown)["error"].clone()
    };
    let error = failed("create-row", &json!({ "values": { "E-Mail": "x" } }));
    assert_eq!(error["code"], "invalid-input", "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("Did you mean `Email`?")
            && error.to_string().contains("/values/E-Mail"),
        "{error}"
    );
    lab.google.world().spreadsheets.get_mut("book").unwrap().shared = false;
    let error = failed("look-up-row", &json!({ "where": { "column": "Email", "value": "x" } }));
    assert_eq!(error["code"], "forbidden", "{error}");
    assert!(error["message"].as_str().unwrap().contains("share it with flow@p.iam.gserviceaccount.com"), "{error}");
}

/// Asks the trigger now; returns how many runs it started.
fn poll(server: &Server) -> u64 {
    let answer = server.api("POST", "/api/v2/workflows/watch/trigger/poll", b"");
    let document = answer.json();
    assert_eq!((answer.status, &document["outcome"]["is"]), (200, &json!("answered")), "{document:#}");
    document["outcome"]["started"].as_u64().unwrap()
}

/// The rows that started runs, in their order: `new ada@example.com 12.5`.
fn started(server: &Server) -> Vec<String> {
    let runs = server.api("GET", "/api/v2/runs?workflow=watch&limit=100", b"").json();
    let mut rows: Vec<String> = runs["runs"]
        .as_array()
        .unwrap_or_else(|| panic!("{runs:#}"))
        .iter()
        .map(|run| {
            let shown = server.wait_for_run(run["id"].as_str().unwrap(), &["succeeded", "failed"]);
            let row = &shown["steps"][0]["output"]["row"];
            format!(
                "{} {} {}",
                row["change"].as_str().unwrap(),
                row["values"]["Email"].as_str().unwrap(),
                row["values"]["Total"]
            )
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn new_and_changed_rows_start_one_run_each_whenever_the_server_is_killed() {
    let mut lab = Lab::start();
    let workflow = json!({
        "id": "watch", "name": "Watch",
        "trigger": {
            "uses": "flowcell/google-sheets/row-changed@1", "connection": "google", "every": "1h",
            "with": { "spreadsheet": "book", "worksheet": "Orders", "key": "Email" },
        },
        "steps": [{ "id": "keep", "set": { "row": "{{ trigger }}" } }],
    });
    lab.server.apply(&workflow.to_string());
    assert_eq!(poll(&lab.server), 0, "what is there already starts nothing");
    lab.google.world().sheet_mut("book", "Orders").put(4, 0, &json!("new@example.com"));
    lab.google.world().sheet_mut("book", "Orders").put(1, 2, &json!(13));
    assert_eq!(poll(&lab.server), 2);
    assert_eq!(poll(&lab.server), 0);
    // Killed between the fetch and the storage.
    lab.google.world().sheet_mut("book", "Orders").put(5, 0, &json!("last@example.com"));
    let calls = lab.google.world().calls().len();
    lab.google.world().fail("values:batchGet", Fault::Slow(Duration::from_secs(30)));
    std::thread::scope(|scope| {
        let server = &lab.server;
        let path = "/api/v2/workflows/watch/trigger/poll";
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let (url, authorization) = (format!("{}{path}", server.origin()), format!("Bearer {}", token.trim()));
        let asked =
            scope.spawn(move || flowcell_tests::request("POST", &url, &[("authorization", &authorization)], b""));
        eventually("the rows are asked for", Duration::from_mins(1), || {
            (lab.google.world().calls().len() >= calls + 2).then_some(())
        });
        server.signal(Signal::KILL);
        assert!(
            !asked.join().unwrap().is_ok_and(|answer| answer.status == 200),
            "it was killed before it could answer"
        );
    });
    lab.server.ended();
    lab.restart();
    // The poll is made again, by itself or now.
    poll(&lab.server);
    assert_eq!(
        started(&lab.server),
        ["changed ada@example.com 13", "new last@example.com null", "new new@example.com null"]
    );
}

#[test]
fn the_example_keeps_one_row_for_each_order() {
    let lab = Lab::start();
    let folder = flowcell_tests::root().join("examples/orders-to-sheet");
    let workflow = std::fs::read_to_string(folder.join("workflow.yaml")).unwrap();
    let id = workflow.lines().find_map(|line| line.trim().strip_prefix("spreadsheet: ")).unwrap().to_owned();
    lab.google.world().add(&id, &[("Orders", json!([["Order", "Customer", "Total", "Status"]]))]);
    let url = lab.server.apply(&workflow).url;
    let mut order: Value = serde_json::from_slice(&std::fs::read(folder.join("order.json")).unwrap()).unwrap();
    assert_eq!(lab.succeeds(&lab.server.trigger(&url, &order))["outcome"], "created");
    order["id"] = json!("evt-2");
    order["order"]["status"] = json!("paid");
    assert_eq!(lab.succeeds(&lab.server.trigger(&url, &order))["outcome"], "updated");
    let rows = lab.google.world().rows(&id, "Orders");
    assert_eq!(rows[1..], [[json!("A-2"), order["order"]["customer"].clone(), json!(7.0), json!("paid")]]);
}
