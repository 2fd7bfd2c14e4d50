//! The plugins that come with Flowcell: a trigger turns a request into an event, and an action goes only where its author sent it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flowcell_core::capability::StepScope;
use flowcell_core::id::{Digest, WorkspaceId};
use flowcell_core::invoke::{InvokeError, WebhookCall, WebhookOutcome, WebhookRequest};
use flowcell_core::ports::{Catalog as _, Clock as _, InstalledPlugin, Invoker as _};
use serde_json::{Value, json};

use crate::support::{RealClock, World, call, fixture};

fn webhook(world: &World) -> Digest {
    world.catalog.add(InstalledPlugin { origin: "built in".into(), ..fixture("flowcell-webhook") })
}

fn request(digest: Digest, config: Value, method: &str, body: &[u8]) -> WebhookCall {
    WebhookCall {
        digest,
        trigger: "inbound".into(),
        workspace: WorkspaceId::default_workspace(),
        workflow: "test".parse().unwrap(),
        deadline: RealClock.now() + Duration::from_mins(10),
        config,
        connection: None,
        request: WebhookRequest {
            method: method.into(),
            path: "/".into(),
            query: "a=1".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.into(),
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_turns_a_request_into_an_event() {
    let world = World::new().await;
    let digest = webhook(&world);
    let answer = world.sandbox.on_webhook(request(digest, json!({}), "POST", br#"{"who": "Zo\u00eb"}"#)).await;
    let Ok(WebhookOutcome::Events(events)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0].payload["method"], &events[0].payload["body"]["who"]), (&json!("POST"), &json!("Zoë")));
    assert!(answer.record.cpu_ms > 0.0);

    let answer = world.sandbox.on_webhook(request(digest, json!({ "methods": ["PUT"] }), "POST", b"{}")).await;
    assert!(matches!(answer.outcome, Ok(WebhookOutcome::Reply { status: 405, .. })), "{answer:?}");

    let answer = world.sandbox.on_webhook(request(digest, json!({ "methods": "PUT" }), "POST", b"{}")).await;
    assert!(
        matches!(&answer.outcome, Err(InvokeError::InvalidInput { pointer, .. }) if pointer == "/methods"),
        "{answer:?}"
    );
    let answer = world.sandbox.on_webhook(request(digest, json!({}), "POST", &vec![b'x'; 9 << 20])).await;
    assert!(answer.outcome.is_err() || matches!(answer.outcome, Ok(WebhookOutcome::Reply { .. })), "{answer:?}");
    world.still_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_goes_only_where_the_author_of_the_step_sent_it() {
    let world = World::new().await;
    let digest = webhook(&world);
    let plugin = world.catalog.by_digest(&digest).unwrap();
    let send = async |authored: &str, rendered: &str| {
        let mut call = call(digest, "send", json!({ "url": rendered, "data": { "a": 1 } }));
        call.scope = StepScope::from_authored(&plugin.manifest.capabilities.http, &json!({ "url": authored }));
        world.sandbox.invoke(call).await
    };
    let answer = send("http://anywhere.test/{{ trigger.body.id }}", "http://anywhere.test/7").await;
    assert!(answer.outcome.is_ok(), "{answer:?}");
    let sent = &answer.record.http[0].request;
    assert!(sent.headers.iter().any(|(name, value)| name == "idempotency-key" && value == "key-1"), "{sent:?}");

    let before = world.network.connections.load(Relaxed);
    for (authored, rendered) in [
        ("http://anywhere.test/{{ x }}", "http://elsewhere.test/"),
        ("http://{{ x }}/", "http://anywhere.test/"),
        ("http://inside.test/", "http://inside.test/"),
    ] {
        let answer = send(authored, rendered).await;
        let error = answer.record.http[0].error.clone().unwrap();
        assert!(error.code == "denied" || error.code == "address-denied", "{authored}: {error:?}");
        assert!(matches!(answer.outcome, Err(InvokeError::Action(_))), "{authored}: {:?}", answer.outcome);
    }
    assert_eq!(world.network.connections.load(Relaxed), before, "nothing was dialled");
}
