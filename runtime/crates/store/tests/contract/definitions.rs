//! Workflows, versions and hooks.

use std::sync::Arc;

use flowcell_core::id::WorkspaceId;
use flowcell_core::ports::{FormerHook, Hook, HookBinding, StoreError, WorkflowHead, WorkflowVersion};

use crate::backend::{Backend, at, workspace};

/// What `put` takes for version `version` of `id`; its token is `token`.
fn definition(
    workspace: &WorkspaceId,
    id: &str,
    version: u32,
    token: u8,
) -> (WorkflowVersion, WorkflowHead, HookBinding) {
    let id: flowcell_core::id::WorkflowId = id.parse().unwrap();
    let stored = WorkflowVersion {
        workspace: workspace.clone(),
        id: id.clone(),
        version,
        source: format!("id: {id} # {version}"),
        created_at: at(u64::from(version)),
        pins: std::collections::BTreeMap::new(),
        calls: std::collections::BTreeMap::new(),
    };
    let head = WorkflowHead {
        workspace: workspace.clone(),
        id: id.clone(),
        name: "Push to build".to_owned(),
        latest: version,
        published: Some(version),
        hook_generation: 1,
        former_hooks: Vec::new(),
        updated_at: at(u64::from(version)),
    };
    let hook = Hook { workspace: workspace.clone(), workflow: id, trigger: "inbound".to_owned() };
    (stored, head, HookBinding { token_hash: [token; 32], hook })
}

async fn put(
    store: &Backend,
    (version, head, hook): (WorkflowVersion, WorkflowHead, HookBinding),
) -> Result<(), StoreError> {
    store.definitions.put(version, head, hook).await
}

pub(crate) async fn a_version_its_head_and_its_hook_are_written_together(store: Backend) {
    let (version, head, hook) = definition(&workspace(), "push", 1, 7);
    put(&store, (version.clone(), head.clone(), hook.clone())).await.unwrap();
    assert_eq!(store.definitions.head(&workspace(), &head.id).await.unwrap(), Some(head.clone()));
    assert_eq!(store.definitions.version(&workspace(), &head.id, 1).await.unwrap(), Some(version));
    assert_eq!(store.definitions.version(&workspace(), &head.id, 2).await.unwrap(), None);
    assert_eq!(store.definitions.hook([7; 32]).await.unwrap(), Some(hook.hook));
    assert_eq!(store.definitions.hook([8; 32]).await.unwrap(), None);
    let other = "other".parse().unwrap();
    assert_eq!(store.definitions.head(&other, &head.id).await.unwrap(), None);
    assert_eq!(store.definitions.version(&other, &head.id, 1).await.unwrap(), None);
}

pub(crate) async fn a_version_that_is_not_the_next_is_a_conflict(store: Backend) {
    put(&store, definition(&workspace(), "push", 1, 7)).await.unwrap();
    for version in [1, 3] {
        let result = put(&store, definition(&workspace(), "push", version, 8)).await;
        assert!(matches!(result, Err(StoreError::Conflict { actual: 1, .. })), "{result:?}");
    }
    assert_eq!(store.definitions.hook([8; 32]).await.unwrap(), None);
    put(&store, definition(&workspace(), "push", 2, 7)).await.unwrap();
}

pub(crate) async fn one_of_many_concurrent_versions_wins(store: Backend) {
    let calls = (0..16).map(|caller| {
        let definitions = Arc::clone(&store.definitions);
        let (version, head, hook) = definition(&workspace(), "push", 1, caller);
        tokio::task::spawn(async move { definitions.put(version, head, hook).await.is_ok() })
    });
    let mut winners = Vec::new();
    for (caller, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        if call.await.unwrap() {
            winners.push(u8::try_from(caller).unwrap());
        }
    }
    assert_eq!(winners.len(), 1);
    for caller in 0..16 {
        let found = store.definitions.hook([caller; 32]).await.unwrap();
        assert_eq!(found.is_some(), winners.contains(&caller));
    }
}

pub(crate) async fn a_new_hook_replaces_the_old_one(store: Backend) {
    put(&store, definition(&workspace(), "push", 1, 7)).await.unwrap();
    let mut rotated = definition(&workspace(), "push", 2, 8);
    rotated.1.hook_generation = 2;
    put(&store, rotated).await.unwrap();
    for store in [store.restart()] {
        assert_eq!(store.definitions.hook([7; 32]).await.unwrap(), None);
        assert!(store.definitions.hook([8; 32]).await.unwrap().is_some());
    }
}

pub(crate) async fn a_hook_of_another_workflow_is_not_taken_over(store: Backend) {
    put(&store, definition(&workspace(), "push", 1, 7)).await.unwrap();
    assert!(put(&store, definition(&workspace(), "thief", 1, 7)).await.is_err());
    let hook = store.definitions.hook([7; 32]).await.unwrap().unwrap();
    assert_eq!(hook.workflow.as_str(), "push");
    assert_eq!(store.definitions.head(&workspace(), &"thief".parse().unwrap()).await.unwrap(), None);
}

pub(crate) async fn workflows_are_listed_by_id_within_their_workspace(store: Backend) {
    let other = "other".parse().unwrap();
    for (number, id) in (1..).zip(["push", "a", "z-9", "a-b"]) {
        put(&store, definition(&workspace(), id, 1, number)).await.unwrap();
    }
    put(&store, definition(&other, "elsewhere", 1, 99)).await.unwrap();
    let heads = store.definitions.list(&workspace()).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.id.as_str()).collect::<Vec<_>>(), ["a", "a-b", "push", "z-9"]);
}

pub(crate) async fn definitions_survive_a_restart(store: Backend) {
    let mut long = definition(&workspace(), "long", 1, 1);
    long.0.source = "# a workflow of a thousand steps\n".repeat(1_000);
    put(&store, long.clone()).await.unwrap();
    let store = store.restart();
    assert_eq!(store.definitions.version(&workspace(), &long.1.id, 1).await.unwrap(), Some(long.0));
    assert_eq!(store.definitions.head(&workspace(), &long.1.id).await.unwrap(), Some(long.1.clone()));
    assert_eq!(store.definitions.hook([1; 32]).await.unwrap(), Some(long.2.hook));
    assert!(matches!(put(&store, definition(&workspace(), "long", 1, 2)).await, Err(StoreError::Conflict { .. })));
    put(&store, definition(&workspace(), "long", 2, 1)).await.unwrap();
}

/// The head and hook of the next URL after `generation`, whose token is `token`.
async fn next_url(store: &Backend, token: u8) -> (WorkflowHead, HookBinding) {
    let mut head = store.definitions.head(&workspace(), &"push".parse().unwrap()).await.unwrap().unwrap();
    head.former_hooks.insert(0, FormerHook { generation: head.hook_generation, valid_until: at(100) });
    head.hook_generation += 1;
    let hook = definition(&workspace(), "push", 1, token).2;
    (head, hook)
}

pub(crate) async fn a_rotated_url_leads_on_beside_the_former_one_until_that_is_gone(store: Backend) {
    put(&store, definition(&workspace(), "push", 1, 7)).await.unwrap();
    put(&store, definition(&workspace(), "other", 1, 50)).await.unwrap();
    let stale = next_url(&store, 9).await;
    let (head, hook) = next_url(&store, 8).await;
    store.definitions.rotate(head.clone(), hook, Vec::new()).await.unwrap();
    let result = store.definitions.rotate(stale.0, stale.1, Vec::new()).await;
    assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
    let mut again = definition(&workspace(), "push", 2, 8);
    (again.1.hook_generation, again.1.former_hooks) = (2, head.former_hooks.clone());
    put(&store, again).await.unwrap();
    let store = store.restart();
    let leads = async |token| store.definitions.hook([token; 32]).await.unwrap().is_some();
    assert_eq!((leads(7).await, leads(8).await, leads(9).await), (true, true, false));
    assert_eq!(store.definitions.head(&workspace(), &head.id).await.unwrap().unwrap().former_hooks, head.former_hooks);

    let (head, hook) = next_url(&store, 9).await;
    // Nobody removes what leads to another workflow.
    store.definitions.rotate(head, hook, vec![[7; 32], [50; 32]]).await.unwrap();
    let taken = next_url(&store, 50).await;
    assert!(store.definitions.rotate(taken.0, taken.1, Vec::new()).await.is_err());
    let store = store.restart();
    let leads = async |token| store.definitions.hook([token; 32]).await.unwrap().is_some();
    assert_eq!((leads(7).await, leads(8).await, leads(9).await, leads(50).await), (false, true, true, true));
}

pub(crate) async fn a_version_made_before_a_rotation_is_a_conflict(store: Backend) {
    put(&store, definition(&workspace(), "push", 1, 7)).await.unwrap();
    let (head, hook) = next_url(&store, 8).await;
    store.definitions.rotate(head, hook, Vec::new()).await.unwrap();
    let result = put(&store, definition(&workspace(), "push", 2, 7)).await;
    assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
    assert!(store.definitions.hook([8; 32]).await.unwrap().is_some());
    let missing = definition(&workspace(), "missing", 1, 30);
    assert!(store.definitions.rotate(missing.1, missing.2, Vec::new()).await.is_err());
}
