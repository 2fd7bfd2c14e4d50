//! Ready-made definitions: a plugin, published workflows, deliveries.

use std::collections::BTreeMap;

use flowcell_core::capability::HttpCapability;
use flowcell_core::id::{Digest, EventId, RunId, WorkspaceId};
use flowcell_core::manifest::{ActionManifest, Capabilities, Limits, Manifest, TriggerKind, TriggerManifest};
use flowcell_core::plugin::{Pin, Uses, Version};
use flowcell_core::ports::{
    Catalog, DedupeTerms, Definitions, Delivery, Hook, HookBinding, InstalledPlugin, NewRun, StoreError, WorkflowHead,
    WorkflowVersion,
};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::Run;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::parse::Authored;
use serde_json::{Value, json};

/// The plugin `test/tools`: trigger `inbound`, action `send` (idempotent), action `charge` (not).
///
/// # Panics
/// When `version` is none.
pub fn tools(version: &str) -> InstalledPlugin {
    let action = |id: &str, idempotent| ActionManifest {
        id: id.to_owned(),
        title: id.to_owned(),
        description: String::new(),
        idempotent,
        connection: None,
        retry: None,
        input: json!({ "type": "object" }),
        output: json!({}),
    };
    let manifest = Manifest {
        id: "test/tools".parse().expect("a plugin id"),
        version: version.parse::<Version>().expect("a version"),
        api: "flowcell:plugin@1".to_owned(),
        title: "Tools".to_owned(),
        description: String::new(),
        icon: None,
        changelog: Vec::new(),
        actions: vec![action("send", true), action("charge", false)],
        triggers: vec![TriggerManifest {
            id: "inbound".to_owned(),
            title: "Inbound".to_owned(),
            description: String::new(),
            kind: TriggerKind::Webhook,
            subscribes: false,
            interval: None,
            connection: None,
            config: json!({}),
            output: json!({}),
        }],
        capabilities: Capabilities {
            http: vec![HttpCapability {
                reason: "sends to the URL of the step".to_owned(),
                from_input: Some("url".to_owned()),
                hosts: Vec::new(),
            }],
            ..Capabilities::default()
        },
        connections: Vec::new(),
        limits: Limits::default(),
    };
    let bytes = version.as_bytes();
    InstalledPlugin { manifest, digest: Digest::of(bytes), bytes: bytes.into(), origin: "a test".to_owned() }
}

/// A workflow `sample` whose trigger is `test/tools/inbound@1` and whose steps are `steps`, in YAML.
pub fn workflow(steps: &str) -> String {
    let indented = steps.trim_matches('\n').replace('\n', "\n  ");
    format!("id: sample\nname: A sample\ntrigger:\n  uses: test/tools/inbound@1\nsteps:\n  {indented}\n")
}

/// A version of the workflow in `source`, pinned to what `catalog` has now.
///
/// # Panics
/// When the source is no workflow or names what is not there: a test's mistake.
pub fn version(source: &str, number: u32, catalog: &dyn Catalog) -> WorkflowVersion {
    let workflow = Authored::parse(source).expect("the sample is a workflow").workflow;
    let used = workflow.uses().map(|(_, uses)| uses);
    WorkflowVersion {
        workspace: WorkspaceId::default_workspace(),
        id: workflow.id.clone(),
        version: number,
        source: source.to_owned(),
        created_at: Timestamp::from_millis(0),
        pins: used.map(|uses| (uses.clone(), pin(uses, catalog))).collect(),
        calls: BTreeMap::new(),
    }
}

fn pin(uses: &Uses, catalog: &dyn Catalog) -> Pin {
    let plugin = catalog.resolve(uses).expect("the sample's plugins are in the catalog");
    Pin {
        plugin: uses.plugin.clone(),
        version: plugin.manifest.version.clone(),
        digest: plugin.digest,
        member: uses.member.clone(),
        idempotent: plugin.manifest.action(&uses.member).is_some_and(|action| action.idempotent),
    }
}

/// Writes `version` and publishes it.
pub async fn publish(definitions: &dyn Definitions, version: &WorkflowVersion) -> Result<(), StoreError> {
    let head = WorkflowHead {
        workspace: version.workspace.clone(),
        id: version.id.clone(),
        name: version.id.to_string(),
        latest: version.version,
        published: Some(version.version),
        hook_generation: 1,
        former_hooks: Vec::new(),
        updated_at: version.created_at,
    };
    let hook =
        Hook { workspace: version.workspace.clone(), workflow: version.id.clone(), trigger: "trigger".to_owned() };
    let token_hash = *Digest::of(version.id.as_str().as_bytes()).as_bytes();
    definitions.put(version.clone(), head, HookBinding { token_hash, hook }).await
}

/// One event that starts one run of `version`; `number` makes its ids.
///
/// # Panics
/// Never: the first entry makes a run.
pub fn delivery(version: &WorkflowVersion, number: u32, at: Timestamp, trigger: Value) -> Delivery {
    let (event, id) = (EventId::from_parts(at, number.into()), RunId::from_parts(at, number.into()));
    let created = RunEvent::Created {
        workspace: version.workspace.clone(),
        workflow: version.id.clone(),
        version: version.version,
        event,
        pins: version.pins.clone(),
        trigger: trigger.into(),
        origin: Origin::default(),
    };
    let created = Recorded { seq: 0, at, event: created };
    let summary = Run::fold(id, std::slice::from_ref(&created)).expect("the first entry makes a run").summary();
    Delivery {
        event,
        workspace: version.workspace.clone(),
        trigger: format!("{}/trigger", version.id),
        received_at: at,
        dedupe_key: None,
        dedupe: DedupeTerms::default(),
        runs: vec![NewRun { id, created, summary }],
    }
}
