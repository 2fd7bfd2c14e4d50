//! The whole story, as `examples/invoice-paid` tells it: Stripe signs that an invoice is paid, a condition, a row in the sheet, a message in Slack, a note in the
//! inbox. The server is killed at each point of it and started again on its data: what the world has afterwards is there once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flowcell_tests::google::{Fault, Google, World};
use flowcell_tests::senders::ask;
use flowcell_tests::{Answer, Options, Receiver, Reply, Server, eventually, request, root};
use serde_json::{Value, json};

const STRIPE_SECRET: &str = "whsec_5f8b1c0d2e4a69788796a5b4c3d2e1f0";
const SLACK_TOKEN: &str = "xoxb-story-0123456789abcdef";
/// How long something may take on a machine that has other work. Nothing waits that long where all is well.
const PATIENCE: Duration = Duration::from_mins(1);

fn example(name: &str) -> String {
    std::fs::read_to_string(root().join("examples/invoice-paid").join(name)).unwrap()
}

/// Slack's `chat.postMessage`: it knows no keys and does what it is asked, as the real one.
struct Slack {
    receiver: Receiver,
    is_holding: Arc<AtomicBool>,
}

impl Slack {
    fn start() -> Self {
        let is_holding = Arc::new(AtomicBool::new(false));
        let held = Arc::clone(&is_holding);
        let receiver = Receiver::answering(move |number, request| {
            let is_known = request.header("authorization") == Some(&format!("Bearer {SLACK_TOKEN}"));
            let said = match (request.method.as_str(), request.target.as_str()) {
                ("POST", "/api/chat.postMessage") if is_known => {
                    json!({ "ok": true, "channel": "C024BE91L", "ts": format!("1503435956.{number:06}") })
                }
                ("POST", "/api/chat.postMessage") => json!({ "ok": false, "error": "invalid_auth" }),
                _ => json!({ "ok": false, "error": "unknown_method" }),
            };
            let reply = Reply::status(200).header("content-type", "application/json").body(said.to_string());
            if held.load(Ordering::SeqCst) { reply.after(PATIENCE) } else { reply }
        });
        Self { receiver, is_holding }
    }

    /// From now on messages are taken, and nobody is told so; or they are answered again.
    fn hold(&self, is_holding: bool) {
        self.is_holding.store(is_holding, Ordering::SeqCst);
    }

    /// Each request that speaks of an invoice: its key.
    fn keys(&self, invoice: &str) -> Vec<String> {
        let about = |text: &Value| text.as_str().is_some_and(|text| text.contains(&format!("Invoice {invoice} ")));
        let requests = self.receiver.requests();
        let requests = requests.iter().filter(|request| about(&request.json()["text"]));
        requests
            .map(|request| {
                let key = request.header("idempotency-key").unwrap_or_else(|| panic!("no key: {request:?}"));
                let metadata = request.json()["metadata"]["event_payload"]["key"].clone();
                assert_eq!(metadata, key, "whoever reads the channel can count by it, too");
                key.to_owned()
            })
            .collect()
    }
}

/// Where the server is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Stripe has its 202; the rest is up to the server.
    Accepted,
    /// Google is asked which rows there are, and has not answered.
    RowsAsked,
    /// The row is in the sheet, and Google has not answered.
    RowWritten,
    /// The message is at Slack, and Slack has not answered.
    MessageSent,
    /// The message is at Slack, and the answer is on its way or there.
    MessageAnswered,
    /// The note is in the inbox.
    NoteWritten,
}

const MOMENTS: [Moment; 6] = [
    Moment::Accepted,
    Moment::RowsAsked,
    Moment::RowWritten,
    Moment::MessageSent,
    Moment::MessageAnswered,
    Moment::NoteWritten,
];

/// The example on a server whose Google and Slack are doubles, set up as its README says.
struct Story {
    google: Google,
    slack: Slack,
    server: Server,
    url: String,
    spreadsheet: String,
}

impl Story {
    fn begin() -> Self {
        let workflow = example("workflow.yaml");
        let spreadsheet = workflow.lines().find_map(|line| line.trim().strip_prefix("spreadsheet: ")).unwrap();
        let mut world = World::new();
        world.add(spreadsheet, &[("Invoices", json!([["Invoice", "Customer", "Amount", "Currency"]]))]);
        world.lock();
        let (google, slack) = (Google::start(world), Slack::start());
        let config =
            format!("[egress.routes]\n{}\"https://slack.com\" = \"{}\"\n", google.routes(), slack.receiver.origin());
        let server = Server::start_with(Options { config, ..Default::default() });
        google.connect(&server);
        let bound = ["--host", "https://slack.com", "--plugin", "flowcell/notifications"];
        server.connect("slack-bot", ("bearer", SLACK_TOKEN), &bound);
        // Stripe gives its secret for a URL, and the workflow is published once the secret is there: a draft has the URL.
        let file = root().join("examples/invoice-paid/workflow.yaml");
        let draft = server.cli(&["workflow", "apply", file.to_str().unwrap(), "--draft", "--json"]);
        assert_eq!(draft.code, Some(0), "{draft:?}");
        assert_ne!(server.try_apply(&workflow).code, Some(0), "not without the secret");
        server.connect("stripe", ("webhook-secret", STRIPE_SECRET), &[]);
        for (user, role) in [("ana", "finance"), ("ben", "sales")] {
            assert_eq!(server.cli(&["user", "add", user, "--role", role]).code, Some(0));
        }
        let url = server.apply(&workflow).url;
        assert_eq!(draft.json()["triggers"][0]["url"], url);
        Self { google, slack, server, url, spreadsheet: spreadsheet.to_owned() }
    }

    /// Sends the body to the trigger with this signature.
    fn send(&self, body: &str, signature: &str) -> Answer {
        let headers = [("content-type", "application/json"), ("stripe-signature", signature)];
        request("POST", &self.server.rebase(&self.url), &headers, body.as_bytes()).unwrap()
    }

    /// Sends what Stripe signed; returns the answer and its run.
    fn deliver(&self, body: &str, signature: &str) -> (Value, String) {
        let answer = self.send(body, signature);
        assert_eq!(answer.status, 202, "{answer:?}");
        let said = answer.json();
        let run = said["run_ids"][0].as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
        (said, run)
    }

    /// How often each invoice stands in the sheet.
    fn rows(&self) -> BTreeMap<String, usize> {
        let rows = self.google.world().rows(&self.spreadsheet, "Invoices");
        counted(rows.iter().skip(1).map(|row| row[0].as_str().unwrap().to_owned()))
    }

    /// How often each invoice stands in finance's inbox.
    fn notes(&self) -> BTreeMap<String, usize> {
        let inbox = self.server.api("GET", "/api/v2/notifications?user=ana&limit=100", b"").json();
        let titles = inbox["notifications"].as_array().unwrap_or_else(|| panic!("{inbox}")).iter();
        counted(titles.map(|note| note["title"].as_str().unwrap().split(' ').nth(1).unwrap().to_owned()))
    }

    fn runs(&self) -> usize {
        let runs = self.server.api("GET", "/api/v2/runs?workflow=invoice-paid&limit=100", b"").json();
        runs["runs"].as_array().unwrap_or_else(|| panic!("{runs}")).len()
    }

    /// Makes the moment one that can be caught.
    fn prepare(&self, moment: Moment) {
        let slow = Fault::Slow(PATIENCE);
        match moment {
            Moment::RowsAsked => self.google.world().fail("values:batchGet", slow),
            Moment::RowWritten => self.google.world().fail(":batchUpdate", slow),
            Moment::MessageSent => self.slack.hold(true),
            Moment::Accepted | Moment::MessageAnswered | Moment::NoteWritten => {}
        }
    }

    fn wait_for(&self, moment: Moment, invoice: &str, calls: usize) {
        eventually(&format!("{moment:?} of {invoice}"), PATIENCE, || {
            let is_there = match moment {
                Moment::Accepted => true,
                Moment::RowsAsked => {
                    self.google.world().calls().iter().skip(calls).any(|call| call.contains("values:batchGet"))
                }
                Moment::RowWritten => self.rows().contains_key(invoice),
                Moment::MessageSent | Moment::MessageAnswered => !self.slack.keys(invoice).is_empty(),
                Moment::NoteWritten => self.notes().contains_key(invoice),
            };
            is_there.then_some(())
        });
    }

    /// The run's steps with what became of them, once it has succeeded.
    fn end_of(&self, run: &str) -> BTreeMap<String, Value> {
        let shown = eventually(&format!("the end of {run}"), PATIENCE, || {
            let shown = self.server.run(run);
            let steps = shown["steps"].as_array().unwrap();
            assert!(steps.iter().all(|step| step["status"] != "parked"), "nobody is to be asked: {shown:#}");
            ["succeeded", "failed"].iter().any(|status| shown["status"] == *status).then_some(shown)
        });
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        let steps = shown["steps"].as_array().unwrap().iter();
        steps.map(|step| (step["id"].as_str().unwrap().to_owned(), step.clone())).collect()
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.google.world().violations().is_empty(), "{:#?}", self.google.world().violations());
        }
    }
}

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for name in names {
        *all.entry(name).or_default() += 1;
    }
    all
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// What Stripe's own library signs: each body with a secret, so many seconds ago.
fn signed<const N: usize>(bodies: [(&str, &str, u64); N]) -> [String; N] {
    let now_s = now_s();
    let questions = bodies
        .map(|(body, secret, ago_s)| json!({ "sign": "stripe", "secret": secret, "body": body, "at": now_s - ago_s }));
    let answers = ask(&questions).into_iter();
    let signatures: Vec<String> =
        answers.map(|answer| answer["headers"]["stripe-signature"].as_str().unwrap().to_owned()).collect();
    signatures.try_into().unwrap()
}

/// The example's event about another invoice.
fn event(invoice: &str, cents: u64) -> Value {
    let mut event: Value = serde_json::from_str(&example("event.json")).unwrap();
    event["id"] = json!(format!("evt_of_{invoice}"));
    event["data"]["object"]["id"] = json!(invoice);
    event["data"]["object"]["amount_paid"] = json!(cents);
    event
}

/// What a step's last attempt gave.
fn output(step: &Value) -> &Value {
    let attempt = step["attempts"].as_array().and_then(|attempts| attempts.last());
    &attempt.unwrap_or_else(|| panic!("never attempted: {step:#}"))["output"]
}

#[test]
fn a_paid_invoice_is_one_row_one_message_and_one_note_wherever_the_server_is_killed() {
    let mut story = Story::begin();
    let invoices = MOMENTS.map(|moment| format!("in_{moment:?}"));
    let bodies = invoices.each_ref().map(|invoice| event(invoice, 129_900).to_string());
    let first = signed(bodies.each_ref().map(|body| (body.as_str(), STRIPE_SECRET, 1)));
    let again = signed(bodies.each_ref().map(|body| (body.as_str(), STRIPE_SECRET, 0)));
    let mut told = BTreeMap::new();
    for (((moment, invoice), body), (first, again)) in
        MOMENTS.iter().zip(&invoices).zip(&bodies).zip(first.iter().zip(&again))
    {
        story.prepare(*moment);
        let calls = story.google.world().calls().len();
        let (_, run) = story.deliver(body, first);
        story.wait_for(*moment, invoice, calls);
        story.server.kill();
        story.slack.hold(false);
        story.server.restart();

        let steps = story.end_of(&run);
        let keys = story.slack.keys(invoice);
        // The kill was in the middle: what had no answer was asked again, and what had one was not.
        let asked = |what| story.google.world().calls()[calls..].iter().filter(|call| call.contains(what)).count();
        let seen = (asked("values:batchGet"), asked(":batchUpdate"), keys.len());
        match moment {
            Moment::RowsAsked => assert_eq!(seen, (2, 1, 1), "{steps:#?}"),
            Moment::RowWritten => assert_eq!(output(&steps["row"])["repeated"], true, "{steps:#?}"),
            Moment::MessageSent => assert_eq!(seen, (1, 1, 2), "{steps:#?}"),
            Moment::MessageAnswered | Moment::NoteWritten => assert_eq!((seen.0, seen.1), (1, 1), "{steps:#?}"),
            Moment::Accepted => {}
        }
        told.insert(invoice.clone(), BTreeSet::from_iter(keys));
        // Stripe may tell it twice, signed anew.
        let (said, same) = story.deliver(body, again);
        assert_eq!((&said["duplicate"], same), (&json!(true), run), "{said}");
    }
    let once = counted(invoices.into_iter());
    assert_eq!(story.rows(), once, "the sheet has one row of each");
    assert_eq!(story.notes(), once, "finance has one note of each");
    assert!(told.values().all(|keys| keys.len() == 1), "Slack has one message of each, by key: {told:?}");
    assert_eq!(told.values().flatten().collect::<BTreeSet<_>>().len(), MOMENTS.len(), "and no key twice");
    assert_eq!(story.runs(), MOMENTS.len());
}

#[test]
fn an_everyday_invoice_and_a_wrong_signature_write_nothing() {
    let story = Story::begin();
    let large = event("in_large", 129_900).to_string();
    let small = event("in_small", 99_999).to_string();
    let failed = event("in_failed", 129_900).to_string().replace("invoice.paid", "invoice.payment_failed");
    let [right, by_another, old, of_small, of_failed] = signed([
        (&large, STRIPE_SECRET, 0),
        (&large, "whsec_of_somebody_else", 0),
        (&large, STRIPE_SECRET, 4_000),
        (&small, STRIPE_SECRET, 0),
        (&failed, STRIPE_SECRET, 0),
    ]);
    let another_code =
        format!("{}{}", &right[..right.len() - 4], if right.ends_with("0000") { "1111" } else { "0000" });
    for (what, body, signature) in [
        ("another secret", &large, by_another.as_str()),
        ("another body", &large.replace("129900", "999900"), &right),
        ("an old time", &large, &old),
        ("another code", &large, &another_code),
        ("the signature of another event", &large, &of_small),
        ("an empty signature", &large, ""),
    ] {
        let answer = story.send(body, signature);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
    }
    // What is not about a paid invoice is filtered: no run.
    let answer = story.send(&failed, &of_failed);
    assert_eq!((answer.status, &answer.json()["filtered"]), (202, &json!(true)), "{answer:?}");
    assert_eq!(story.runs(), 0);

    let (_, run) = story.deliver(&small, &of_small);
    let steps = story.end_of(&run);
    assert!(steps.contains_key("nothing") && !steps.contains_key("row"), "{steps:#?}");
    assert_eq!(story.runs(), 1);
    assert_eq!((story.google.world().calls().len(), story.slack.receiver.requests().len()), (0, 0));
    assert_eq!((story.rows(), story.notes()), (BTreeMap::new(), BTreeMap::new()));

    // What was refused is not remembered as seen: rightly signed, the same event has its run. The role gets the note, and nobody else.
    let (_, run) = story.deliver(&large, &right);
    let steps = story.end_of(&run);
    assert_eq!(output(&steps["row"])["outcome"], "created");
    assert_eq!(
        story.google.world().rows(&story.spreadsheet, "Invoices")[1..],
        [[json!("in_large"), json!("cus_TTXyZ0aBcDeFgH"), json!(1299.0), json!("EUR")]]
    );
    let [message] = <[_; 1]>::try_from(story.slack.receiver.requests()).unwrap();
    assert_eq!(message.json()["text"], "Invoice in_large is paid: 1,299.00 EUR");
    assert_eq!(output(&steps["note"])["recipients"], json!(["ana"]));
    assert_eq!(story.server.cli(&["inbox", "list", "ben", "--json"]).json()["notifications"], json!([]));
    let seen = format!("{steps:?}{}", story.server.log());
    assert!(!seen.contains(SLACK_TOKEN) && !seen.contains(STRIPE_SECRET), "{seen}");
}
