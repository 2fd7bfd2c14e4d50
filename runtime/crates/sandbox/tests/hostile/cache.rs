//! The code cache: what this instance wrote is used again, anything else is thrown away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use flowcell_core::ports::Invoker as _;
use flowcell_sandbox::compile::Compiler;
use flowcell_sandbox::{Sandbox, SandboxConfig};
use serde_json::json;

use crate::support::{World, call, code_files, compiler, ports};

/// A second start on the same directory.
fn restarted(world: &World, compiler: Compiler) -> Sandbox {
    let config = SandboxConfig::new(world.directory.path().join("code"), compiler);
    Sandbox::new(config, ports(&world.catalog, &world.network)).unwrap()
}

/// A compiler that cannot be started: whatever works, works from the cache.
fn no_compiler() -> Compiler {
    Compiler { program: "/nonexistent".into(), ..compiler() }
}

async fn serves(sandbox: &Sandbox, world: &World) -> bool {
    sandbox.invoke(call(world.hostile, "behave", json!({}))).await.outcome.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiled_code_survives_a_restart_and_is_private() {
    let world = World::new().await;
    assert!(!serves(&restarted(&world, no_compiler()), &world).await);
    world.still_serves().await;
    assert!(serves(&restarted(&world, no_compiler()), &world).await);
    let directory = world.directory.path().join("code");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("key"))), (0o700, 0o600));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_and_forged_code_is_thrown_away_and_compiled_again() {
    let world = World::new().await;
    world.still_serves().await;
    let [code] = code_files(&world, "cwasm").try_into().unwrap();
    let tag = code.with_extension("tag");
    let (good_code, good_tag) = (fs::read(&code).unwrap(), fs::read(&tag).unwrap());
    let replaced = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        // A new file, as another program would leave it: the old one is mapped by the first sandbox.
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let attempts: [(&str, &dyn Fn()); 5] = [
        ("one bit of the code", &|| {
            replaced(&code, &|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        }),
        ("its end", &|| replaced(&code, &|bytes| bytes.truncate(bytes.len() - 1))),
        ("one bit of the tag", &|| replaced(&tag, &|bytes| bytes[0] ^= 1)),
        ("an empty tag", &|| replaced(&tag, &Vec::clear)),
        ("no tag", &|| fs::remove_file(&tag).unwrap()),
    ];
    for (what, attempt) in attempts {
        attempt();
        assert!(!serves(&restarted(&world, no_compiler()), &world).await, "{what}: must not be run");
        assert!(serves(&restarted(&world, compiler()), &world).await, "{what}: is compiled again");
        assert_eq!(
            (fs::read(&code).unwrap() == good_code, fs::read(&tag).unwrap() == good_tag),
            (true, true),
            "{what}"
        );
    }
    // Code of another instance, with its own tag: the key is not ours.
    let other = World::new().await;
    other.still_serves().await;
    let [theirs] = code_files(&other, "cwasm").try_into().unwrap();
    fs::remove_file(&code).unwrap();
    fs::copy(&theirs, &code).unwrap();
    fs::copy(theirs.with_extension("tag"), &tag).unwrap();
    assert!(!serves(&restarted(&world, no_compiler()), &world).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_or_key_that_others_may_touch_is_refused() {
    let world = World::new().await;
    let directory = world.directory.path().join("code");
    let open = || {
        Sandbox::new(SandboxConfig::new(&directory, compiler()), ports(&world.catalog, &world.network)).map(Arc::new)
    };
    fs::set_permissions(directory.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(open().unwrap_err().to_string().contains("key"));
    fs::set_permissions(directory.join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(open().unwrap_err().to_string().contains("others may write"));
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(open().is_ok());
}
