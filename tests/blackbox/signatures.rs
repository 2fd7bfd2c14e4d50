//! FEATURES V: what Flowcell signs is verified by the public libraries of Standard Webhooks, in two languages.

use flowcell_tests::tools::{node, printed, python};
use flowcell_tests::{Receiver, Request, Server};
use serde_json::{Value, json};

use crate::forward;

const CURRENT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// RFC 8032 §7.1, test 1.
const SEED: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Verifies the cases of the file in its argument, one verdict a line.
const WITH_NODE: &str = r"
    import { readFileSync } from 'node:fs';
    import { Webhook } from 'standardwebhooks';
    for (const { secret, headers, body } of JSON.parse(readFileSync(process.argv.at(-1), 'utf8'))) {
        try {
            new Webhook(secret).verify(body, headers);
            console.log('verified');
        } catch (error) {
            console.log(`refused: ${error.message}`);
        }
    }
";

const WITH_PYTHON: &str = r#"
import json, sys, standardwebhooks
for case in json.load(open(sys.argv[1])):
    try:
        standardwebhooks.Webhook(case["secret"]).verify(case["body"], case["headers"])
        print("verified")
    except standardwebhooks.WebhookVerificationError as error:
        print(f"refused: {error}")
"#;

/// The same of `v1a`, which the libraries do not have yet, with the cryptography of Node.js.
const ED25519_WITH_NODE: &str = r"
    import { readFileSync } from 'node:fs';
    import { createPublicKey, verify } from 'node:crypto';
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(process.argv.at(-2), 'base64')]);
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    for (const { headers, body } of JSON.parse(readFileSync(process.argv.at(-1), 'utf8'))) {
        const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
        const signature = headers['webhook-signature'].split(' ').find((one) => one.startsWith('v1a,')).slice(4);
        console.log(verify(null, signed, key, Buffer.from(signature, 'base64')) ? 'verified' : 'refused');
    }
";

/// What each of the three says about the cases, in their order.
fn verdicts(server: &Server, cases: &[Value]) -> [Vec<String>; 3] {
    let file = server.folder().join("cases.json");
    std::fs::write(&file, json!(cases).to_string()).unwrap();
    let file = file.to_str().unwrap();
    let lines = |mut command| printed(&mut command).lines().map(str::to_owned).collect::<Vec<_>>();
    [
        lines(node(WITH_NODE, &[file])),
        lines(python(WITH_PYTHON, &[file])),
        lines(node(ED25519_WITH_NODE, &[PUBLIC, file])),
    ]
}

fn as_json(request: &Request) -> Value {
    let headers: serde_json::Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({ "headers": headers, "body": String::from_utf8(request.body.clone()).unwrap() })
}

#[test]
fn what_is_sent_is_verified_by_the_public_libraries_and_by_either_secret_while_one_is_replaced() {
    let (server, receiver) = (Server::start(), Receiver::start());
    let connection = json!({
        "name": "signing",
        "kind": "standard-webhooks",
        "plugins": ["flowcell/custom-webhook"],
        "anywhere": true,
        "secret": {
            "secrets": [{ "value": CURRENT }, { "value": PREVIOUS, "valid_until": "2999-01-01T00:00:00.000Z" }],
            "signing_keys": [{ "value": SEED }],
        },
    });
    let added = server.api("POST", "/api/v2/connections", connection.to_string().as_bytes());
    assert_eq!(added.status, 201, "{added:?}");
    let workflow = forward("signed", &receiver.origin(), "    connection: signing\n");
    let applied = server.apply(&workflow);
    let run = server.trigger(&applied.url, &json!({ "number": "grün & 7" }));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");

    let request = as_json(&receiver.wait_for(1)[0]);
    let with_secret = |secret: &str| {
        let mut case = request.clone();
        case["secret"] = json!(secret);
        case
    };
    // Another body, id, time or secret is not what was signed.
    let mut cases = vec![with_secret(CURRENT), with_secret(PREVIOUS)];
    for (pointer, value) in [("/body", "{}"), ("/headers/webhook-id", "msg_2"), ("/headers/webhook-timestamp", "1")] {
        let mut forged = with_secret(CURRENT);
        *forged.pointer_mut(pointer).unwrap() = json!(value);
        cases.push(forged);
    }
    for said in verdicts(&server, &cases) {
        let verified: Vec<bool> = said.iter().map(|verdict| verdict == "verified").collect();
        assert_eq!(verified, [true, true, false, false, false], "{said:?}: {request:#}");
    }
    let stranger = [with_secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    assert!(verdicts(&server, &stranger)[..2].iter().all(|said| said[0].starts_with("refused")));

    // The run's page names the message and not the signature.
    let exchange = &crate::last_attempt(&shown)["http"][0];
    let headers = exchange["credentials"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["webhook-id", request["headers"]["webhook-id"]])), "{exchange:#}");
    assert!(headers.contains(&json!(["webhook-signature", "•••"])), "{exchange:#}");
}

#[test]
fn what_names_no_connection_is_signed_by_default_and_never_unsigned_in_silence() {
    let (server, receiver) = (Server::start(), Receiver::start());
    let workflow = format!(
        "id: told\nname: Told\ntrigger: {{ uses: flowcell/webhook/inbound@1 }}\nsteps:\n  - id: tell\n    uses: flowcell/webhook/send@1\n    \
         with: {{ url: {}/hook, data: {{ number: \"{{{{ trigger.body.number }}}}\" }} }}\n",
        receiver.origin()
    );
    let hook = server.apply(&workflow).url;
    let rotated = server.cli(&["connection", "rotate", "webhook-signing", "--generate", "--json"]);
    let secret = rotated.json()["generated"]["secret"].as_str().unwrap_or_else(|| panic!("{rotated:?}")).to_owned();
    let run = server.trigger(&hook, &json!({ "number": 7 }));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    let mut case = as_json(&receiver.wait_for(1)[0]);
    case["secret"] = json!(secret);
    let mut forged = case.clone();
    forged["body"] = json!("{}");
    for said in &verdicts(&server, &[case, forged])[..2] {
        assert_eq!(said[0], "verified");
        assert!(said[1].starts_with("refused"), "{said:?}");
    }
    let printed = server.cli(&["run", "show", &run]);
    assert!(printed.stdout.contains("with webhook-signing: webhook-id"), "{printed:?}");

    // Whoever would miss it is named before and after it is removed, and each run says that it goes without.
    let usage = server.cli(&["connection", "usage", "webhook-signing"]);
    assert!(usage.stdout.contains("told (by default: tell)"), "{usage:?}");
    let removed = server.cli(&["connection", "remove", "webhook-signing", "--yes"]);
    assert!(removed.stderr.contains("workflow `told`: its steps tell go on unsigned"), "{removed:?}");
    let run = server.trigger(&hook, &json!({ "number": 8 }));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
    assert_eq!(receiver.wait_for(2)[1].header("webhook-signature"), None);
    let log = crate::last_attempt(&shown)["log"].to_string();
    assert!(log.contains("webhook-signing") && log.contains("warn"), "{log}");
}
