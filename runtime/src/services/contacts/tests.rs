use std::collections::BTreeSet;

use flowcell_core::capability::Rights;
use flowcell_core::id::{Digest, RunId, WorkspaceId};
use flowcell_core::time::Timestamp;

use super::*;
use crate::testing::Bench;

/// The service over the store of a bench, and a step that asks it.
fn service(bench: &Bench) -> ContactService {
    let ports = &bench.app.ports;
    let service =
        ContactService::new(Arc::clone(&ports.contacts), Arc::clone(&ports.clock), Arc::clone(&ports.entropy));
    service.connect(bench.app.control.clone());
    service
}

/// A run of the sample workflow, as whoever asks for one of its steps.
async fn caller(bench: &Bench) -> Caller {
    let path = bench.apply_sample().await;
    let came = bench.send("POST", &path, &[("content-type", "application/json")], "{}").await;
    let run: RunId = came.json["run_ids"][0].as_str().unwrap().parse().unwrap();
    let plugin: flowcell_core::plugin::PluginId = "flowcell/contacts".parse().unwrap();
    Caller {
        workspace: WorkspaceId::default_workspace(),
        workflow: Some("sample".parse().unwrap()),
        run: Some(run),
        step: Some("one".parse().unwrap()),
        attempt: 1,
        idempotency_key: format!("fc_{run}"),
        nth: 1,
        plugin: plugin.clone(),
        digest: Digest::of(b""),
        connection: None,
        deadline: Timestamp::from_millis(u64::MAX),
        rights: Arc::new(Rights::new(plugin, vec![], &[])),
    }
}

#[tokio::test]
async fn a_step_makes_finds_changes_notes_and_deletes() {
    let bench = Bench::new();
    let (service, caller) = (service(&bench), caller(&bench).await);
    let nth = |nth| Caller { nth, ..caller.clone() };
    let made = service
        .call(&nth(1), Request::Upsert { contact: json!({ "email": "Ana@Example.com", "tags": ["new"] }) })
        .await
        .unwrap();
    assert_eq!((&made["outcome"], &made["contact"]["email"]), (&json!("created"), &json!("ana@example.com")));
    let id = made["contact"]["id"].as_str().unwrap().to_owned();
    let found = service.call(&nth(0), Request::Find { by: json!({ "email": "ana@EXAMPLE.com" }) }).await.unwrap();
    assert_eq!(found, made["contact"]);
    assert_eq!(service.call(&nth(0), Request::Find { by: json!({ "external_id": "x" }) }).await.unwrap(), Value::Null);
    let changes = json!({ "set": { "city": "Lisbon" }, "add_tags": ["vip"], "remove_tags": ["new"] });
    let changed = service.call(&nth(2), Request::Change { id: id.clone(), changes }).await.unwrap();
    assert_eq!((&changed["contact"]["tags"], &changed["changed"]), (&json!(["vip"]), &json!(["city", "tags"])));
    let note = Request::AddNote { id: id.clone(), text: "called".to_owned() };
    let noted = service.call(&nth(3), note.clone()).await.unwrap();
    assert_eq!(service.call(&nth(3), note).await.unwrap(), noted, "a repeated attempt gets the first answer");
    let history = bench.api("GET", &format!("/contacts/{id}/history"), "").await;
    assert_eq!(history.json["changes"][0]["by"]["plugin"], json!("flowcell/contacts"));
    assert_eq!(history.json["changes"][0]["by"]["run"], json!(caller.run));
    assert_eq!(
        bench.api("GET", &format!("/contacts/{id}/notes"), "").await.json["notes"].as_array().map(Vec::len),
        Some(1)
    );
    service.call(&nth(4), Request::Enroll { id: id.clone() }).await.unwrap();
    let runs = bench.api("GET", &format!("/runs?contact={id}"), "").await;
    assert_eq!(runs.json["runs"][0]["id"], json!(caller.run), "{runs:?}");
    for expected in [true, true] {
        assert_eq!(service.call(&nth(5), Request::Delete { id: id.clone() }).await.unwrap(), json!(expected));
    }
    assert_eq!(service.call(&nth(6), Request::Delete { id }).await.unwrap(), json!(false));
}

#[tokio::test]
async fn sixty_four_steps_that_make_one_person_make_one_contact() {
    let bench = Bench::new();
    let (service, caller) = (Arc::new(service(&bench)), caller(&bench).await);
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..64 {
        let service = Arc::clone(&service);
        let caller = Caller { idempotency_key: format!("fc_{number}"), ..caller.clone() };
        let contact = json!({ "email": "ana@example.com", "phone": "+4930901820" });
        asked.spawn(async move { service.call(&caller, Request::Upsert { contact }).await.unwrap() });
    }
    let (mut created, mut ids) = (0, BTreeSet::new());
    while let Some(answer) = asked.join_next().await {
        let answer = answer.unwrap();
        created += usize::from(answer["outcome"] == "created");
        ids.insert(answer["contact"]["id"].to_string());
    }
    assert_eq!((created, ids.len()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_code_and_place() {
    let bench = Bench::new();
    let (service, caller) = (service(&bench), caller(&bench).await);
    let upsert = async |nth: u32, contact: Value| {
        service.call(&Caller { nth, ..caller.clone() }, Request::Upsert { contact }).await
    };
    let ana = upsert(1, json!({ "email": "ana@example.com" })).await.unwrap()["contact"]["id"].clone();
    let ben = upsert(2, json!({ "phone": "+4930901820" })).await.unwrap()["contact"]["id"].clone();
    let both = upsert(3, json!({ "email": "ana@example.com", "phone": "+4930901820" })).await.unwrap_err();
    assert_eq!(
        (both.code.as_str(), both.details),
        ("conflict", Some(json!({ "field": "/email", "contacts": [ana, ben] })))
    );
    let id = ana.as_str().unwrap().to_owned();
    let nobody = "con_00000000000000000000000000".to_owned();
    for (nth, (request, code, field)) in [
        (Request::Upsert { contact: json!({ "phone": "12" }) }, "invalid-input", json!("/phone")),
        (Request::Upsert { contact: json!({ "fields": { "plan": 1 } }) }, "invalid-input", json!("/fields/plan")),
        (Request::Upsert { contact: json!({ "city": "Lisbon" }) }, "invalid-input", Value::Null),
        (
            Request::Change { id: id.clone(), changes: json!({ "set": { "emial": "x" } }) },
            "invalid-input",
            json!("/set/emial"),
        ),
        (Request::Change { id: id.clone(), changes: json!({ "city": "x" }) }, "invalid-input", json!("/city")),
        (
            Request::Change { id: id.clone(), changes: json!({ "add_tags": [""] }) },
            "invalid-input",
            json!("/add_tags/0"),
        ),
        (Request::Change { id: id.clone(), changes: json!({ "set": {}, "if_version": 9 }) }, "conflict", Value::Null),
        (Request::Change { id: nobody.clone(), changes: json!({}) }, "not-found", Value::Null),
        (Request::Change { id: "x".to_owned(), changes: json!({}) }, "invalid-input", json!("/id")),
        (Request::AddNote { id, text: String::new() }, "too-large", Value::Null),
        (Request::Enroll { id: nobody }, "not-found", Value::Null),
        (Request::Find { by: json!({ "email": "nobody" }) }, "invalid-input", json!("/email")),
        (Request::Find { by: json!({ "city": "Lisbon" }) }, "invalid-input", json!("/city")),
        (Request::Find { by: json!({}) }, "invalid-input", json!("")),
    ]
    .into_iter()
    .enumerate()
    {
        let caller = Caller { nth: 10 + u32::try_from(nth).unwrap(), ..caller.clone() };
        let shown = format!("{request:?}");
        let error = service.call(&caller, request).await.expect_err(&shown);
        let place = error.details.as_ref().and_then(|details| details.get("field")).cloned().unwrap_or_default();
        assert_eq!((error.code.as_str(), place), (code, field), "{shown}: {}", error.message);
    }
    let no_step = Caller { run: None, step: None, ..caller };
    let denied =
        service.call(&no_step, Request::Upsert { contact: json!({ "email": "x@example.com" }) }).await.unwrap_err();
    assert_eq!(denied.code, "denied");
}
