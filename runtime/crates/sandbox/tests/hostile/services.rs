//! What guests ask of the host besides requests: denied without capability or grant, bounded, recorded, replayed, and without effect in a dry run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flowcell_core::capability::{Grant, Service};
use flowcell_core::host_call::{Caller, HostError, HostRequest, HostServices};
use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::invoke::{
    CallRecord, InvokeError, OptionsCall, PollCall, SubscribeCall, TriggerCall, UnsubscribeCall,
};
use flowcell_core::ports::{Clock as _, Invoker as _, Rehearsal as _};
use flowcell_core::record::{Answers, RecordedFailure, Recording};
use flowcell_sandbox::{Ports, Sandbox, SandboxConfig, StaticGrants};
use serde_json::{Value, json};

use crate::support::{Loopback, Plugins, RealClock, call, compiler, fixture, ports};

/// Answers every request in its contract's shape, and notes who asked for what.
#[derive(Default)]
struct Desk {
    asked: Mutex<Vec<(Option<String>, HostRequest)>>,
}

impl Desk {
    fn names(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().iter().map(|(_, request)| request.name()).collect()
    }
}

#[async_trait]
impl HostServices for Desk {
    async fn call(&self, caller: &Caller, request: HostRequest) -> Result<Value, HostError> {
        self.asked.lock().unwrap().push((caller.ledger_key(), request.clone()));
        let contact =
            json!({"id": "con_1", "email": "a@example.com", "phone": "+49", "fields": {"vip": true, "iban": "DE"}});
        Ok(match request.name() {
            "key-value.get" => json!({"value": {"n": 7}, "version": 3}),
            "key-value.set" | "key-value.add" => json!(4),
            "key-value.delete" | "contacts.delete" => json!(true),
            "key-value.keys" => json!(["a", "b"]),
            "mail.send" => json!({"message_id": "<1@test>", "accepted": ["a@example.com"]}),
            "inbox.notify" => json!({"id": "ntf_1", "recipients": ["ana"], "repeated": false}),
            "inbox.people" => json!([{"id": "ana", "name": "Ana"}]),
            "contacts.find" => contact,
            "contacts.upsert" | "contacts.change" => {
                json!({"contact": contact, "outcome": "changed", "changed": ["phone", "email"]})
            }
            "contacts.add-note" => json!({"note": {"id": "n"}}),
            _ => Value::Null,
        })
    }
}

struct World {
    sandbox: Sandbox,
    desk: Arc<Desk>,
    guest: Digest,
    _network: Arc<Loopback>,
    _directory: tempfile::TempDir,
}

/// One call of each interface, and the service it needs.
fn one_of_each() -> Vec<(Value, Service)> {
    vec![
        (json!({"do": "key-value.get", "key": "k"}), Service::KeyValue),
        (json!({"do": "key-value.set", "key": "k", "value": 1}), Service::KeyValue),
        (json!({"do": "mail.send", "to": "a@example.com", "subject": "s"}), Service::Mail),
        (json!({"do": "inbox.notify", "title": "t"}), Service::Inbox),
        (json!({"do": "inbox.people"}), Service::Inbox),
        (json!({"do": "contacts.find", "email": "a@example.com"}), Service::Contacts),
        (json!({"do": "contacts.upsert", "document": {"email": "a@example.com"}}), Service::Contacts),
        (json!({"do": "contacts.enroll", "id": "con_1"}), Service::Contacts),
    ]
}

impl World {
    /// The fixture asks for `asked` and was given `granted`.
    async fn new(asked: &[Service], granted: &[Service]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let network = Loopback::start().await;
        let catalog = Arc::new(Plugins::default());
        let mut guest = fixture("fixture-services");
        let capabilities = &mut guest.manifest.capabilities;
        capabilities.key_value = capabilities.key_value.take().filter(|_| asked.contains(&Service::KeyValue));
        capabilities.mail = capabilities.mail.take().filter(|_| asked.contains(&Service::Mail));
        capabilities.inbox = capabilities.inbox.take().filter(|_| asked.contains(&Service::Inbox));
        capabilities.contacts = capabilities.contacts.take().filter(|_| asked.contains(&Service::Contacts));
        let guest = catalog.add(guest);
        let desk = Arc::new(Desk::default());
        let grant = Grant {
            plugin: "fixture/services".parse().unwrap(),
            http: vec!["http://granted.test".parse().unwrap()],
            services: granted.to_vec(),
        };
        let ports = Ports {
            grants: Arc::new(StaticGrants::new(vec![grant])),
            services: Arc::clone(&desk) as _,
            ..ports(&catalog, &network)
        };
        let sandbox = Sandbox::new(SandboxConfig::new(directory.path().join("code"), compiler()), ports).unwrap();
        Self { sandbox, desk, guest, _network: network, _directory: directory }
    }

    async fn open() -> Self {
        Self::new(&Service::ALL, &Service::ALL).await
    }

    async fn ask(&self, calls: &[Value]) -> (Vec<Value>, CallRecord) {
        let answer = self.sandbox.invoke(call(self.guest, "ask", json!({ "calls": calls }))).await;
        let Value::Array(told) = answer.outcome.unwrap() else { panic!("a list") };
        (told, answer.record)
    }

    fn trigger(&self, trigger: &str, calls: &[Value]) -> TriggerCall {
        TriggerCall {
            digest: self.guest,
            trigger: trigger.to_owned(),
            workspace: WorkspaceId::default_workspace(),
            workflow: "test".parse().unwrap(),
            deadline: RealClock.now() + Duration::from_mins(10),
            config: json!({ "calls": calls }),
            connection: None,
        }
    }

    fn choices(&self, field: &str, calls: &[Value]) -> OptionsCall {
        OptionsCall {
            digest: self.guest,
            member: "ask".to_owned(),
            workspace: WorkspaceId::default_workspace(),
            workflow: None,
            deadline: RealClock.now() + Duration::from_mins(10),
            field: field.to_owned(),
            input: json!({ "calls": calls }),
            search: None,
            after: Some("page 2".to_owned()),
            connection: None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_capability_every_interface_is_denied_whatever_was_granted() {
    let world = World::new(&[], &Service::ALL).await;
    let (calls, services): (Vec<Value>, Vec<Service>) = one_of_each().into_iter().unzip();
    let (told, record) = world.ask(&calls).await;
    for (told, service) in told.iter().zip(services) {
        let message = told["message"].as_str().unwrap();
        assert_eq!(told["code"], "denied", "{told}");
        assert!(message.contains("fixture/services") && message.contains(&format!("`{service}`")), "{message}");
        assert!(message.contains("No grant can add it"), "{message}");
    }
    assert!(world.desk.names().is_empty(), "nobody was asked");
    assert!(record.host.len() == calls.len() && record.host.iter().all(|call| call.outcome.is_err()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_grant_every_interface_is_denied_with_the_grant_to_paste() {
    for without in [Service::KeyValue, Service::Mail, Service::Inbox, Service::Contacts] {
        let granted: Vec<Service> = Service::ALL.into_iter().filter(|service| *service != without).collect();
        let world = World::new(&Service::ALL, &granted).await;
        let (calls, services): (Vec<Value>, Vec<Service>) = one_of_each().into_iter().unzip();
        let (told, _) = world.ask(&calls).await;
        for (told, service) in told.iter().zip(services) {
            if service == without {
                let message = told["message"].as_str().unwrap();
                assert_eq!(told["code"], "denied", "{told}");
                let grant = format!("[[grants]]\nplugin = \"fixture/services\"\nservices = [\"{without}\"]");
                assert!(message.contains(&grant), "{message}");
                assert_eq!(told["details"]["grant_to_add"], grant);
            } else {
                assert!(told.get("ok").is_some(), "{service}: {told}");
            }
        }
        let denied = format!("{without}.");
        assert!(!world.desk.names().iter().any(|name| name.starts_with(&denied)), "{without} was asked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_malformed_reaches_nobody() {
    let world = World::open().await;
    let mail = |extra: Value| {
        let mut call = json!({"do": "mail.send", "to": "a@example.com", "subject": "s", "name": "a.txt"});
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        call
    };
    for (call, code, field) in [
        (json!({"do": "key-value.get", "key": ""}), "invalid-input", "/key"),
        (json!({"do": "key-value.get", "key_bytes": 513}), "invalid-input", "/key"),
        (json!({"do": "key-value.set", "key_bytes": 5_000_000, "value": 1}), "invalid-input", "/key"),
        (json!({"do": "key-value.set", "key": "k", "value_bytes": 65_535}), "too-large", ""),
        (json!({"do": "key-value.set", "key": "k", "value": 1, "ttl_ms": 0}), "invalid-input", "/ttl_ms"),
        (json!({"do": "key-value.keys", "limit": 0}), "invalid-input", "/limit"),
        (json!({"do": "key-value.keys", "limit": 1_001}), "invalid-input", "/limit"),
        (mail(json!({"subject": "s\r\nBcc: all@example.com"})), "invalid-input", "/subject"),
        (mail(json!({"to": "a@example.com\nBcc: b@example.com"})), "invalid-input", "/to/0"),
        (mail(json!({"attached": 1, "name": "../../etc/passwd"})), "invalid-input", "/attachments/0/name"),
        (mail(json!({"attached": 7_340_033})), "too-large", ""),
        (json!({"do": "contacts.upsert", "document": ["no object"]}), "invalid-input", ""),
        (json!({"do": "contacts.upsert", "document": {"phone": "+49"}}), "denied", "/phone"),
        (json!({"do": "contacts.upsert", "document": {"fields": {"iban": "DE"}}}), "denied", "/fields/iban"),
        (json!({"do": "contacts.change", "id": "c", "document": {"add_tags": ["x"]}}), "denied", "/add_tags"),
        (json!({"do": "contacts.find-by-phone", "phone": "+49"}), "denied", "/phone"),
        (json!({"do": "contacts.add-note", "id": "c", "text": "n"}), "denied", ""),
        (json!({"do": "contacts.delete", "id": "c"}), "denied", ""),
    ] {
        let (told, record) = world.ask(std::slice::from_ref(&call)).await;
        assert_eq!(told[0]["code"], code, "{call}: {}", told[0]);
        if !field.is_empty() {
            assert_eq!(told[0]["details"]["field"], field, "{call}");
        }
        assert_eq!(record.host.len(), 1, "it is recorded that it was asked");
        assert!(serde_json::to_vec(&record.host).unwrap().len() < 256 * 1024, "{call}");
    }
    assert!(world.desk.names().is_empty(), "{:?}", world.desk.names());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_show_what_was_granted_and_nothing_else() {
    let world = World::open().await;
    let (told, record) = world.ask(&[one_of_each()[5].0.clone(), one_of_each()[6].0.clone()]).await;
    let seen = json!({"id": "con_1", "email": "a@example.com", "fields": {"vip": true}});
    assert_eq!((&told[0]["ok"], &told[1]["ok"]), (&seen, &seen));
    assert!(!serde_json::to_string(&record).unwrap().contains("iban"), "the record has no more than the guest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_ends_at_the_budget_and_its_record_stays_small() {
    let world = World::open().await;
    let (told, record) = world.ask(&vec![json!({"do": "key-value.add", "key": "n"}); 60]).await;
    let (good, rest) = told.split_at(10);
    assert!(good.iter().all(|told| told["ok"] == 4), "{good:?}");
    assert!(rest.iter().all(|told| told["code"] == "budget"), "{rest:?}");
    assert_eq!((world.desk.names().len(), record.host.len() as u64 + record.host_calls_dropped), (10, 60));
    assert_eq!(record.host.len(), 30);
    // Values of 50 KB each are more than a record takes: the first ones are whole, the others leave their digest.
    let large = json!({"do": "key-value.set", "key": "k", "value_bytes": 50_000});
    let (_, record) = world.ask(&vec![large; 10]).await;
    assert_eq!(record.host.iter().filter(|call| call.truncated).count(), 7);
    assert!(serde_json::to_vec(&record.host).unwrap().len() < 256 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_calls_have_the_same_keys_at_every_attempt() {
    let world = World::open().await;
    let calls: Vec<Value> = one_of_each().into_iter().map(|(call, _)| call).collect();
    world.ask(&calls).await;
    let first: Vec<_> = world.desk.asked.lock().unwrap().drain(..).map(|(key, _)| key).collect();
    let keys = |numbers: &[Option<u32>]| {
        numbers.iter().map(|number| number.map(|number| format!("key-1/{number}"))).collect::<Vec<_>>()
    };
    assert_eq!(first, keys(&[None, Some(1), Some(2), Some(3), None, None, Some(4), Some(5)]));
    world.ask(&calls).await;
    let second: Vec<_> = world.desk.asked.lock().unwrap().drain(..).map(|(key, _)| key).collect();
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_asks_nobody_and_tells_what_went_differently() {
    let world = World::open().await;
    let calls: Vec<Value> = one_of_each().into_iter().map(|(call, _)| call).collect();
    let made = call(world.guest, "ask", json!({ "calls": calls }));
    let answer = world.sandbox.invoke(made.clone()).await;
    let record: CallRecord = serde_json::from_str(&serde_json::to_string(&answer.record).unwrap()).unwrap();
    let outcome =
        answer.outcome.map_err(|error| RecordedFailure { code: error.code().into(), message: error.to_string() });
    let recording = Recording { call: made, outcome, record };
    let asked = world.desk.names().len();

    let same = world.sandbox.replay(&recording).await;
    assert_eq!((same.difference, same.outcome.ok()), (None, recording.outcome.clone().ok()));

    let mut other = recording.clone();
    other.call.input["calls"][1]["value"] = json!(2);
    let difference = world.sandbox.replay(&other).await.difference.expect("another value").to_string();
    assert!(difference.starts_with("host call 2 differs") && difference.contains("key-value.set"), "{difference}");
    other = recording.clone();
    other.call.input["calls"].as_array_mut().unwrap().pop();
    let difference = world.sandbox.replay(&other).await.difference.expect("one call less").to_string();
    assert!(difference.starts_with("host call 8 is no longer made"), "{difference}");
    assert_eq!(world.desk.names().len(), asked, "a replay asks nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_reads_and_changes_nothing() {
    let world = World::open().await;
    let mut calls: Vec<Value> = one_of_each().into_iter().map(|(call, _)| call).collect();
    calls.push(json!({"do": "key-value.get", "key": "k"}));
    calls.push(json!({"do": "key-value.delete", "key": "k", "expected": 99}));
    let dry = call(world.guest, "ask", json!({ "calls": calls }));
    let answer = world.sandbox.dry_run(dry, &Answers::default()).await;
    let told = answer.outcome.unwrap();
    assert_eq!((&told[0]["ok"], &told[8]["ok"]), (&json!({"n": 7}), &json!(1)), "what the dry run wrote, it reads");
    assert_eq!(told[9]["code"], "conflict", "{told}");
    assert_eq!(told[2]["ok"], "<dry-run@flowcell>");
    let asked = world.desk.names();
    assert!(asked.iter().all(|name| ["key-value.get", "inbox.people", "contacts.find"].contains(name)), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_brings_events_and_a_cursor_and_has_no_effects() {
    let world = World::open().await;
    let calls = [json!({"do": "key-value.add", "key": "n"}), one_of_each()[2].0.clone(), one_of_each()[3].0.clone()];
    let poll = |cursor| PollCall { trigger: world.trigger("look", &calls), cursor };
    let first = world.sandbox.poll(poll(None)).await.outcome.unwrap();
    assert_eq!((first.cursor.as_deref(), first.more, first.events.len()), (Some("1"), true, 3));
    assert_eq!(first.events[0].payload, json!({"ok": 4}));
    for event in &first.events[1..] {
        assert_eq!(event.payload["code"], "denied");
        assert!(event.payload["message"].as_str().unwrap().contains("only steps have effects"), "{}", event.payload);
    }
    let second = world.sandbox.poll(poll(first.cursor)).await.outcome.unwrap();
    assert_eq!((second.cursor.as_deref(), second.more), (Some("2"), false));
    assert_eq!(world.desk.names(), ["key-value.add", "key-value.add"]);
    let wrong = PollCall { trigger: world.trigger("paid", &[]), cursor: None };
    // The component polls, but not for a trigger that is called by requests: the SDK says so.
    assert_eq!(world.sandbox.poll(wrong).await.outcome.unwrap_err().code(), "unknown-trigger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_is_registered_renewed_and_taken_away() {
    let world = World::open().await;
    let subscribe = |registration| SubscribeCall {
        trigger: world.trigger("paid", &[one_of_each()[2].0.clone()]),
        callback_url: "https://flowcell.test/hooks/x".to_owned(),
        registration,
    };
    let made = world.sandbox.subscribe(subscribe(None)).await.outcome.unwrap();
    assert_eq!(
        (&made.registration["url"], made.renew_before_ms),
        (&json!("https://flowcell.test/hooks/x"), Some(60_000))
    );
    assert_eq!(made.registration["told"][0]["code"], "denied", "who registers sends no mail");
    let again = world.sandbox.subscribe(subscribe(Some(json!(7)))).await.outcome.unwrap();
    assert_eq!(again.registration["before"], 7);
    let away = |registration| UnsubscribeCall { trigger: world.trigger("paid", &[]), registration };
    world.sandbox.unsubscribe(away(made.registration)).await.outcome.unwrap();
    assert_eq!(world.sandbox.unsubscribe(away(json!({}))).await.outcome.unwrap_err().code(), "not-mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn choices_only_read() {
    let world = World::open().await;
    let url = "http://granted.test/ok";
    let calls = [
        one_of_each()[0].0.clone(),
        json!({"do": "key-value.keys"}),
        one_of_each()[5].0.clone(),
        json!({"do": "http", "method": "GET", "url": url}),
        one_of_each()[1].0.clone(),
        one_of_each()[2].0.clone(),
        one_of_each()[4].0.clone(),
        one_of_each()[6].0.clone(),
        json!({"do": "http", "method": "POST", "url": url}),
    ];
    let answer = world.sandbox.options(world.choices("/choice", &calls)).await;
    let choices = answer.outcome.unwrap();
    assert_eq!((&choices["next"], &choices["options"][0]["label"]), (&json!("page 2"), &json!("/choice")));
    for (index, choice) in choices["options"].as_array().unwrap().iter().enumerate() {
        let told = &choice["value"];
        let is_denied = told["code"] == "denied" || told["code"] == "http-denied";
        assert_eq!(is_denied, index >= 4, "{index}: {told}");
    }
    assert_eq!(world.desk.names(), ["key-value.get", "key-value.keys", "contacts.find"]);
    let refused = world.sandbox.options(world.choices("/calls", &[])).await.outcome.unwrap_err();
    assert!(matches!(&refused, InvokeError::Unavailable { message, .. } if message.contains("/calls")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_connection_has_no_facts_and_a_step_learns_no_secret() {
    let world = World::new(&[], &[]).await;
    let (told, record) = world.ask(&[json!({"do": "connection.facts"})]).await;
    assert_eq!((&told[0]["ok"], record.host[0].call.as_str()), (&Value::Null, "connection.facts"));
}
