//! The edge with the reference store and a trigger that does as it is told: what the tests of the API and the ingress stand on.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use flowcell_core::invoke::{
    ActionCall, CallRecord, Invocation, InvokeError, TriggerEvent, WebhookCall, WebhookOutcome,
};
use flowcell_core::ports::{InstalledPlugin, Invoker, Journal, Rehearsal};
use flowcell_core::record::{Answers, Recording, Replay};
use flowcell_core::run::calendar::AlwaysOpen;
use flowcell_engine::{Engine, EngineConfig};
use flowcell_store::memory::MemoryStore;
use flowcell_testkit::{StaticCatalog, sample};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::app::{App, Phase, Ports, Preparer, Settings};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::connections::Broker;
use crate::connections::keys::Keys;
use crate::connections::oauth::Tokens;
use crate::connections::users::Users;
use crate::entropy::SystemEntropy;
use crate::http::serve::Edge;
use crate::ingress::waiting::{TellingJournal, Waiting};
use crate::services::mail::Mailer;
use crate::token::{InstanceKey, TokenHash};
use crate::vault::source::KeySource;
use crate::vault::{MasterKey, Vault};

const TOKEN: &str = "fcat_a-token-for-tests";

/// A server without a network.
pub(crate) struct Bench {
    pub(crate) app: Arc<App>,
    pub(crate) catalog: Arc<StaticCatalog>,
    pub(crate) trigger: Arc<ScriptedTrigger>,
    edge: Edge,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_journal(|journal| journal)
    }

    /// With something between everybody and the journal.
    pub(crate) fn with_journal(between: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>) -> Self {
        let catalog = StaticCatalog::of([sample::tools("1.0.0")]);
        let trigger = Arc::new(ScriptedTrigger::default());
        let store = Arc::new(MemoryStore::new());
        let waiting = Arc::new(Waiting::new(2));
        let destinations = Arc::clone(&store) as _;
        let ports = Ports {
            journal: between(Arc::new(TellingJournal::new(Arc::clone(&store) as _, Arc::clone(&waiting)))),
            runs: Arc::clone(&store) as _,
            tail: Arc::clone(&store) as _,
            retention: Arc::clone(&store) as _,
            definitions: Arc::clone(&store) as _,
            schedules: Arc::clone(&store) as _,
            triggers: Arc::clone(&store) as _,
            blobs: Arc::clone(&store) as _,
            contacts: Arc::clone(&store) as _,
            people: Arc::clone(&store) as _,
            inbox: Arc::clone(&store) as _,
            receipts: Arc::clone(&store) as _,
            values: Arc::clone(&store) as _,
            polls: Arc::clone(&store) as _,
            subscriptions: Arc::clone(&store) as _,
            invoker: Arc::clone(&trigger) as _,
            rehearsal: Arc::clone(&trigger) as _,
            catalog: Arc::clone(&catalog) as _,
            preparer: Arc::clone(&trigger) as _,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        };
        let folder = tempfile::tempdir().unwrap();
        let key_file = KeySource::File(folder.path().join("secrets-key"));
        let vault = Vault::new(MasterKey::generate(&SystemEntropy), None, Arc::new(SystemEntropy));
        let connections = Arc::new(Broker::new(Arc::clone(&store) as _, vault, Arc::clone(&ports.clock)));
        let engine = Engine::new(
            EngineConfig {
                public_url: Arc::from("http://flowcell.test"),
                ..EngineConfig::new(flowcell_engine::InstanceKey::new(&[7; 32]))
            },
            flowcell_engine::Ports {
                journal: Arc::clone(&ports.journal),
                queue: store,
                index: Arc::clone(&ports.runs),
                definitions: Arc::clone(&ports.definitions),
                destinations,
                contacts: Arc::clone(&ports.contacts),
                invoker: Arc::clone(&ports.invoker),
                catalog: Arc::clone(&ports.catalog),
                clock: Arc::clone(&ports.clock),
                entropy: Arc::clone(&ports.entropy),
                calendar: Arc::new(AlwaysOpen),
            },
        );
        let config = Config::default();
        let door =
            flowcell_sandbox::egress::Door::new(crate::assemble::settings::egress(&config), Arc::new(SystemClock));
        let users = Users::new(&ports);
        let settings = Settings {
            grants: Vec::new(),
            limits: config.http.limits(),
            ingress: config.ingress,
            triggers: config.triggers,
            base_url: "http://flowcell.test/".parse().unwrap(),
            control: engine.control(),
            tokens: Arc::new(Tokens::new(Arc::clone(&connections), users, door.clone(), Arc::new(SystemClock))),
            mailer: Mailer::new(
                Arc::clone(&connections),
                door.clone(),
                Arc::clone(&ports.receipts),
                Arc::clone(&ports.clock),
            ),
            connections,
            door,
            keys: Keys::new(key_file, folder.path().join("secrets-rotation"), Arc::new(SystemEntropy)),
            waiting,
        };
        let app = Arc::new(App::new(ports, InstanceKey::from_bytes([7; 32]), TokenHash::of(TOKEN), settings));
        app.readiness.set(Phase::Ready);
        let edge = Edge::new(
            crate::assemble::routes(&app),
            config.http.limits(),
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        );
        Self { app, catalog, trigger, edge, _folder: folder }
    }

    /// Sends a request with these headers, as they are.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "flowcell.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.edge.answer(request.body(Body::from(body.to_owned())).unwrap(), None).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Answer { status: head.status.as_u16(), headers: head.headers, json }
    }

    /// The body of an answer that does not end.
    pub(crate) async fn stream(&self, path: &str) -> Body {
        self.stream_with(path, None).await
    }

    /// The same, as a client asks that comes again.
    pub(crate) async fn stream_after(&self, path: &str, id: &str) -> Body {
        self.stream_with(path, Some(id)).await
    }

    async fn stream_with(&self, path: &str, id: Option<&str>) -> Body {
        let mut request = Request::builder().uri(path).header("host", "flowcell.test");
        request = request.header("authorization", format!("Bearer {TOKEN}"));
        if let Some(id) = id {
            request = request.header("last-event-id", id);
        }
        let response = self.edge.answer(request.body(Body::empty()).unwrap(), None).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    /// Calls the API with the token.
    pub(crate) async fn api(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {TOKEN}");
        self.send(method, &format!("/api/v2{path}"), &[("authorization", authorization.as_str())], body).await
    }

    /// Applies the sample workflow; returns the path of its trigger.
    pub(crate) async fn apply_sample(&self) -> String {
        let applied = self.api("POST", "/workflows", &sample_workflow("A sample")).await;
        assert!(matches!(applied.status, 200 | 201), "{applied:?}");
        hook_path(&applied.json)
    }
}

pub(crate) fn hook_path(applied: &Value) -> String {
    let url = applied["triggers"][0]["url"].as_str().expect("a trigger has a URL");
    url.strip_prefix("http://flowcell.test").expect("it begins with the base URL").to_owned()
}

pub(crate) fn sample_workflow(name: &str) -> String {
    sample::workflow("- id: one\n  uses: test/tools/send@1").replace("A sample", name)
}

type Script = dyn Fn(&WebhookCall) -> Result<WebhookOutcome, InvokeError> + Send + Sync;

/// Answers each request with what its script makes of it; by default every request is one event with the body as its payload.
#[derive(Default)]
pub(crate) struct ScriptedTrigger {
    script: Mutex<Option<Box<Script>>>,
    pub(crate) broken: Mutex<Option<String>>,
}

impl ScriptedTrigger {
    pub(crate) fn answer(
        &self,
        script: impl Fn(&WebhookCall) -> Result<WebhookOutcome, InvokeError> + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }
}

pub(crate) fn event(payload: Value, key: Option<&str>) -> TriggerEvent {
    TriggerEvent { payload, dedupe_key: key.map(str::to_owned) }
}

#[async_trait]
impl Invoker for ScriptedTrigger {
    async fn invoke(&self, _: ActionCall) -> Invocation<Value> {
        unreachable!("no engine runs here")
    }
    async fn on_webhook(&self, call: WebhookCall) -> Invocation<WebhookOutcome> {
        let script = self.script.lock().unwrap();
        let outcome = if let Some(script) = &*script {
            script(&call)
        } else {
            let body = String::from_utf8_lossy(&call.request.body).into_owned();
            Ok(WebhookOutcome::Events(vec![event(json!({ "body": body, "path": call.request.path }), None)]))
        };
        Invocation { outcome, record: CallRecord::default() }
    }
}

#[async_trait]
impl Rehearsal for ScriptedTrigger {
    async fn dry_run(&self, call: ActionCall, _: &Answers) -> Invocation<Value> {
        Invocation { outcome: Ok(call.input), record: CallRecord::default() }
    }
    async fn dry_run_webhook(&self, call: WebhookCall, _: &Answers) -> Invocation<WebhookOutcome> {
        self.on_webhook(call).await
    }
    async fn replay(&self, _: &Recording) -> Replay {
        unreachable!("nothing is replayed here")
    }
}

#[async_trait]
impl Preparer for ScriptedTrigger {
    async fn prepare(&self, _: &InstalledPlugin) -> Result<(), String> {
        self.broken.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}
