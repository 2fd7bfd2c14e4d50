//! PROMISE 15: a run keeps its workflow version and its plugin digests, whatever is installed meanwhile.

use flowcell_tests::{Options, Receiver, Reply, Server};
use serde_json::json;

use crate::forward;

/// The same component with another version in its manifest: other bytes, another digest.
fn upgraded(component: &[u8]) -> Vec<u8> {
    let (old, new) = (br#""version":"1.0.0""#, br#""version":"1.0.1""#);
    let at = component.windows(old.len()).position(|window| window == old).expect("the manifest names its version");
    let mut upgraded = component.to_vec();
    upgraded[at..at + new.len()].copy_from_slice(new);
    upgraded
}

#[test]
fn a_waiting_run_finishes_on_the_plugin_it_started_with() {
    let receiver =
        Receiver::answering(
            |seen, _| if seen == 0 { Reply::status(503).header("retry-after", "2") } else { Reply::status(200) },
        );
    let mut server = Server::start();
    let workflow = forward("pinned", &receiver.origin(), "    retry: { attempts: 3 }\n");
    let applied = server.apply(&workflow);
    let waiting = server.trigger(&applied.url, &json!({ "number": 1 }));
    let before = server.wait_for_run(&waiting, &["waiting"])["steps"][0]["plugin"].clone();
    assert_eq!(before["version"], "1.0.0");
    server.terminate();

    // An upgrade arrives while the run waits, and the workflow moves on to it.
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("custom-webhook.wasm"), upgraded(&crate::guest("flowcell-custom-webhook")))
        .unwrap();
    let config = server.folder().join("flowcell.toml");
    std::fs::write(
        &config,
        format!("[[grants]]\nplugin = \"flowcell/custom-webhook\"\nhttp = [\"POST {}/*\"]\n", receiver.origin()),
    )
    .unwrap();
    let arguments = ["--plugins", plugins.path().to_str().unwrap(), "--config", config.to_str().unwrap()]
        .map(str::to_owned)
        .to_vec();
    server.restart_with(Options { arguments, ..Default::default() });
    let moved = server.apply(&workflow.replace("name: Forward", "name: Forward again"));
    assert_eq!(moved.version, 2);
    let fresh = server.trigger(&server.rebase(&applied.url), &json!({ "number": 2 }));

    let old = server.wait_for_run(&waiting, &["succeeded", "failed"]);
    assert_eq!(old["status"], "succeeded", "{old:#}");
    assert_eq!(old["workflow"]["version"], 1);
    assert_eq!(old["steps"][0]["plugin"], before, "the same plugin to the end");
    let new = server.wait_for_run(&fresh, &["succeeded", "failed"]);
    assert_eq!(new["status"], "succeeded", "{new:#}");
    assert_eq!(new["workflow"]["version"], 2);
    assert_eq!(new["steps"][0]["plugin"]["version"], "1.0.1");
    assert_ne!(new["steps"][0]["plugin"]["digest"], before["digest"]);
}
