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

/// Verifies a request from standard input with the secret in the arguments; prints what it finds.
const WITH_NODE: &str = r"
    import { readFileSync } from 'node:fs';
    import { Webhook } from 'standardwebhooks';
    const { headers, body } = JSON.parse(readFileSync(process.argv.at(-1), 'utf8'));
    try {
        new Webhook(process.argv.at(-2)).verify(body, headers);
        console.log('verified');
    } catch (error) {
        console.log(`refused: ${error.message}`);
    }
";

const WITH_PYTHON: &str = r#"
import json, sys, standardwebhooks
request = json.load(open(sys.argv[2]))
try:
    standardwebhooks.Webhook(sys.argv[1]).verify(request["body"], request["headers"])
    print("verified")
except standardwebhooks.WebhookVerificationError as error:
    print(f"refused: {error}")
"#;

/// The same of `v1a`, which the libraries do not have yet, with the cryptography of Node.js.
const ED25519_WITH_NODE: &str = r"
    import { readFileSync } from 'node:fs';
    import { createPublicKey, verify } from 'node:crypto';
    const { headers, body } = JSON.parse(readFileSync(process.argv.at(-1), 'utf8'));
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(process.argv.at(-2), 'base64')]);
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
    const signature = headers['webhook-signature'].split(' ').find((one) => one.startsWith('v1a,')).slice(4);
    console.log(verify(null, signed, key, Buffer.from(signature, 'base64')) ? 'verified' : 'refused');
";

/// What each of the three says about a request.
fn verdicts(server: &Server, secret: &str, request: &Value) -> [String; 3] {
    let file = server.folder().join("request.json");
    std::fs::write(&file, request.to_string()).unwrap();
    let file = file.to_str().unwrap();
    [
        printed(&mut node(WITH_NODE, &[secret, file])),
        printed(&mut python(WITH_PYTHON, &[secret, file])),
        printed(&mut node(ED25519_WITH_NODE, &[PUBLIC, file])),
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
    for secret in [CURRENT, PREVIOUS] {
        assert_eq!(verdicts(&server, secret, &request), ["verified"; 3], "{request:#}");
    }
    // The run's page names the message and not the signature.
    let exchange = &crate::last_attempt(&shown)["http"][0];
    let headers = exchange["credentials"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["webhook-id", request["headers"]["webhook-id"]])), "{exchange:#}");
    assert!(headers.contains(&json!(["webhook-signature", "•••"])), "{exchange:#}");

    // Another body, id, time or secret is not what was signed.
    for (pointer, value) in [("/body", "{}"), ("/headers/webhook-id", "msg_2"), ("/headers/webhook-timestamp", "1")] {
        let mut forged = request.clone();
        *forged.pointer_mut(pointer).unwrap() = json!(value);
        for verdict in verdicts(&server, CURRENT, &forged) {
            assert!(verdict.starts_with("refused"), "{pointer}: {verdict}");
        }
    }
    let stranger = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert!(verdicts(&server, stranger, &request)[..2].iter().all(|verdict| verdict.starts_with("refused")));
}
