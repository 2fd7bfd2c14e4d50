//! What is no text goes around the plugins: a step names it, the run keeps it, others send it on, people download it.

use flowcell_tests::{Options, Receiver, Reply, Server, request};
use serde_json::{Value, json};

/// Some bytes that are no UTF-8, more than an output could hold as text.
fn picture() -> Vec<u8> {
    (0..3_000_000_u32).map(|number| u8::try_from(number % 251).unwrap() ^ 0x80).collect()
}

fn workflow(origin: &str) -> String {
    format!(
        "id: pictures\nname: Pictures\ntrigger: {{ uses: flowcell/webhook/inbound@1 }}\nsteps:\n  \
         - id: get\n    uses: flowcell/custom-webhook/request@1\n    with: {{ method: GET, url: {origin}/picture }}\n  \
         - id: form\n    uses: flowcell/custom-webhook/request@1\n    with:\n      url: {origin}/form\n      multipart:\n        - {{ name: title, value: Sunset }}\n        \
         - {{ name: photo, blob: \"{{{{ steps.get.output.body }}}}\" }}\n  \
         - id: raw\n    uses: flowcell/custom-webhook/request@1\n    with: {{ method: PUT, url: {origin}/raw, blob: \"{{{{ steps.get.output.body }}}}\" }}\n"
    )
}

/// Gives a picture, and refuses the third request: the first that sends it raw.
fn receiver() -> Receiver {
    Receiver::answering(|seen, request| match request.target.as_str() {
        "/raw" if seen == 2 => Reply::status(404),
        "/picture" => Reply::status(200)
            .header("content-type", "image/png")
            .header("content-disposition", "attachment; filename=\"../a sun.png\"")
            // Only the host says what it keeps.
            .header("flowcell-blob", "{\"blob\":\"sha256:00\"}")
            .body(picture()),
        _ => Reply::status(200).header("content-type", "application/json"),
    })
}

fn bytes_of(server: &Server, path: &str) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let authorization = format!("Bearer {}", token.trim());
    let mut answer =
        ureq::get(&format!("{}{path}", server.origin())).header("authorization", &authorization).call().unwrap();
    let headers =
        answer.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (answer.status().as_u16(), headers, answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap())
}

#[test]
fn a_binary_answer_is_kept_sent_on_downloaded_and_goes_with_its_run() {
    let receiver = receiver();
    let mut server = Server::start();
    let hook = server.apply(&workflow(&receiver.origin())).url;
    let run = server.trigger(&hook, &json!({}));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!((&shown["status"], &shown["steps"][1]["status"]), (&json!("failed"), &json!("succeeded")), "{shown:#}");
    let output = &shown["steps"][0]["attempts"][0]["output"];
    let digest = output["body"]["blob"].as_str().unwrap().to_owned();
    let expected = json!({ "blob": digest, "bytes": 3_000_000, "content_type": "image/png", "filename": "a sun.png" });
    assert_eq!((&output["body"], &output["body_encoding"]), (&expected, &json!("blob")));
    assert!(shown.to_string().len() < 100_000, "it is in no journal: {}", shown.to_string().len());

    let sent = receiver.wait_for(3);
    assert!(sent[0].headers.iter().all(|(name, _)| !name.starts_with("flowcell-")), "{:?}", sent[0].headers);
    let (form, raw) = (&sent[1], &sent[2]);
    assert_eq!(
        (raw.method.as_str(), raw.header("content-type"), raw.body == picture()),
        ("PUT", Some("image/png"), true)
    );
    assert!(raw.headers.iter().all(|(name, _)| !name.starts_with("flowcell-")), "{:?}", raw.headers);
    let boundary = form.header("content-type").unwrap().split("boundary=").nth(1).unwrap().to_owned();
    let holds = |part: &[u8]| form.body.windows(part.len()).any(|window| window == part);
    assert!(holds(b"name=\"photo\"; filename=\"a sun.png\"\r\ncontent-type: image/png\r\n\r\n"));
    assert!(form.body.windows(picture().len()).any(|window| window == picture()), "whole, in its part");
    assert!(form.body.ends_with(format!("\r\n--{boundary}--\r\n").as_bytes()) && holds(b"Sunset"));

    server.terminate();
    server.restart();
    let path = format!("/api/v2/runs/{run}/blobs/{digest}");
    let (status, headers, body) = bytes_of(&server, &path);
    let header = |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!((status, body == picture()), (200, true));
    assert_eq!((header("content-type"), header("x-content-type-options")), (Some("image/png"), Some("nosniff")));
    assert!(header("content-disposition").unwrap().starts_with("attachment; filename=\"a sun.png\""), "{headers:?}");
    assert!(header("content-security-policy").unwrap().contains("sandbox"));
    assert_eq!(request("GET", &format!("{}{path}", server.origin()), &[], b"").unwrap().status, 401);
    for other in ["sha256:00", &format!("sha256:{}", "0".repeat(64))] {
        assert!(matches!(server.api("GET", &format!("/api/v2/runs/{run}/blobs/{other}"), b"").status, 400 | 404));
    }

    let listed = server.cli(&["run", "blob", &run]);
    assert!(listed.stdout.contains("a sun.png") && listed.stdout.contains("2.8 MiB"), "{listed:?}");
    let file = server.folder().join("got.png");
    let fetched = server.cli(&["run", "blob", &run, "get", "--output", file.to_str().unwrap()]);
    assert_eq!((fetched.code, std::fs::read(&file).unwrap() == picture()), (Some(0), true), "{fetched:?}");

    // A repetition of the step that failed reads the blob of the run that it repeats.
    let again = server.cli(&["run", "rerun", &run, "--yes", "--json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let repeated = receiver.wait_for(4);
    assert!(repeated[3].body == picture());
}

#[test]
fn what_redaction_hides_of_a_run_is_not_downloaded_and_what_no_input_names_is_not_sent() {
    let receiver = receiver();
    let server = Server::start();
    let run = server.trigger(&server.apply(&workflow(&receiver.origin())).url, &json!({}));
    let plain = server.wait_for_run(&run, &["succeeded", "failed"]);
    let digest = plain["steps"][0]["attempts"][0]["output"]["body"]["blob"].as_str().unwrap().to_owned();
    let hidden = workflow(&receiver.origin())
        .replace("steps:\n  - id: get", "settings: { redact: [steps.get.output.body] }\nsteps:\n  - id: get");
    let run = server.trigger(&server.apply(&hidden).url, &json!({}));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["steps"][0]["status"], "succeeded", "{shown:#}");
    assert!(!shown.to_string().contains(&digest), "{shown:#}");
    assert_eq!(server.api("GET", &format!("/api/v2/runs/{run}/blobs/{digest}"), b"").status, 404);

    // Data that merely looks like a blob of another run opens nothing.
    let foreign = format!(
        "id: foreign\nname: Foreign\ntrigger: {{ uses: flowcell/webhook/inbound@1 }}\nsteps:\n  - id: raw\n    uses: flowcell/custom-webhook/request@1\n    \
         with: {{ url: {}/raw, blob: \"{{{{ trigger.body.stolen }}}}\" }}\n",
        receiver.origin()
    );
    let seen = receiver.requests().len();
    let stolen = json!({ "stolen": { "blob": digest, "bytes": 1 } });
    let run = server.trigger(&server.apply(&foreign).url, &stolen);
    let shown = server.wait_for_run(&run, &["failed"]);
    assert!(shown.to_string().contains("is not there"), "{shown:#}");
    assert_eq!(receiver.requests().len(), seen);
}

#[test]
fn a_step_is_previewed_with_its_connection_and_nothing_leaves() {
    let receiver = Receiver::start();
    let server = Server::start_with(Options::default());
    let file = server.folder().join("token");
    std::fs::write(&file, "c4narytokenQx7Zp2\n").unwrap();
    let host = format!("{}/api/*", receiver.origin());
    let bound = ["--host", &host, "--plugin", "flowcell/custom-webhook", "--secret-file", file.to_str().unwrap()];
    let added = server.cli(&[&["connection", "add", "crm", "--kind", "bearer"][..], &bound].concat());
    assert_eq!(added.code, Some(0), "{added:?}");
    // A token endpoint is not asked for show either.
    let client = json!({
        "name": "tokens", "kind": "oauth-client-credentials", "hosts": [receiver.origin()], "plugins": ["flowcell/custom-webhook"],
        "settings": { "token_url": format!("{}/token", receiver.origin()), "client_id": "c" }, "secret": { "client_secret": "s3cretOfClient" },
    });
    assert_eq!(server.api("POST", "/api/v2/connections", client.to_string().as_bytes()).status, 201);
    let text = format!(
        "id: shown\nname: Shown\ntrigger: {{ uses: flowcell/webhook/inbound@1 }}\nsteps:\n  - id: get\n    uses: flowcell/custom-webhook/request@1\n    \
         connection: tokens\n    with: {{ method: GET, url: {origin}/api/a }}\n    response: {{ sample: {{ email: zoe@example.com }} }}\n  \
         - id: create\n    uses: flowcell/custom-webhook/request@1\n    connection: crm\n    \
         with: {{ url: {origin}/api/contacts, json: {{ name: \"{{{{ trigger.body.name }}}}\", email: \"{{{{ steps.get.output.body.email }}}}\" }} }}\n",
        origin = receiver.origin()
    );
    let (workflow, input) = (server.folder().join("shown.yaml"), server.folder().join("input.json"));
    std::fs::write(&workflow, &text).unwrap();
    std::fs::write(&input, json!({ "body": { "name": "Zoë" } }).to_string()).unwrap();
    let preview = |step: &str, extra: &[&str]| {
        let arguments = ["workflow", "preview", workflow.to_str().unwrap(), step, "--input", input.to_str().unwrap()];
        server.cli(&[&arguments[..], extra].concat())
    };
    let shown = preview("create", &["--json"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let request = &shown.json()["requests"][0]["request"];
    let header = |name: &str| {
        request["headers"].as_array().unwrap().iter().find(|pair| pair[0] == name).map(|pair| pair[1].clone())
    };
    assert_eq!((&request["method"], header("authorization")), (&json!("POST"), Some(json!("•••"))));
    let body: Value = serde_json::from_str(request["body"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({ "name": "Zoë", "email": "zoe@example.com" }),
        "the sample stands in for what was not given"
    );
    let printed = preview("create", &[]);
    assert!(printed.stdout.contains("authorization: •••") && printed.stdout.contains("Zoë"), "{printed:?}");
    let tokens = preview("get", &["--json"]);
    assert_eq!(tokens.json()["requests"][0]["credentials"]["headers"][0][0], "authorization", "{tokens:?}");
    for said in [&shown.stdout, &printed.stdout, &tokens.stdout] {
        assert!(!said.contains("c4narytoken") && !said.contains("s3cretOfClient"), "{said}");
    }
    // What is not given is named.
    let unread = server.cli(&["workflow", "preview", workflow.to_str().unwrap(), "create"]);
    assert!(unread.code == Some(1) && unread.stderr.contains("trigger"), "{unread:?}");
    // The same of a workflow that the server has.
    server.apply(&text);
    let stored = server.cli(&["workflow", "preview", "shown", "create", "--input", input.to_str().unwrap()]);
    assert_eq!((stored.code, &stored.stdout), (Some(0), &printed.stdout), "{stored:?}");
    assert_eq!(receiver.requests().len(), 0);
    assert_eq!(server.api("GET", "/api/v2/runs", b"").json()["runs"], json!([]));
}
