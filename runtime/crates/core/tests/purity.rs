//! The first invariant: core does no IO. Whatever could do some for it must not be in its closure of normal dependencies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3);
    root.expect("core lies in runtime/crates/core").to_path_buf()
}

fn read(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The packages of `Cargo.lock` by name, with the names they depend on. The lock file knows no difference between kinds and
/// platforms, so this is more than is ever built: what is absent here is absent everywhere.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = read(&root().join("Cargo.lock"));
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock["package"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name").to_owned();
        let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let names = dependencies.filter_map(|name| Some(name.as_str()?.split(' ').next()?.to_owned()));
        packages.entry(name).or_default().extend(names);
    }
    packages
}

/// Everything that is reached from core's `[dependencies]`.
fn closure() -> BTreeSet<String> {
    let manifest = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert!(manifest.get("target").is_none(), "dependencies of single platforms are not looked at by this test");
    let packages = locked();
    let mut waiting: Vec<String> = manifest["dependencies"].as_table().expect("dependencies").keys().cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if reached.insert(name.clone()) {
            let dependencies = packages.get(&name).unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
            waiting.extend(dependencies.iter().cloned());
        }
    }
    reached
}

#[test]
fn core_reaches_nothing_that_does_io() {
    let reached = closure();
    assert!(
        reached.contains("serde_json") && reached.contains("jsonschema"),
        "the closure is that of core: {reached:?}"
    );
    let banned = [
        "tokio",
        "wasmtime",
        "hyper",
        "hyper-util",
        "sled",
        "mio",
        "reqwest",
        "axum",
        "async-std",
        "smol",
        "socket2",
        "rustls",
        "ureq",
        "cap-std",
        "rustix",
        "tracing-subscriber",
    ];
    let found: Vec<_> = banned.iter().filter(|name| reached.contains(**name)).collect();
    assert!(found.is_empty(), "core reaches {found:?}: move what needs them behind a port of `core::ports`");
}

#[test]
fn what_reaches_out_by_default_is_used_without_its_defaults() {
    let manifest = read(&root().join("Cargo.toml"));
    let dependencies = manifest["workspace"]["dependencies"].as_table().expect("dependencies");
    for name in ["wasmtime", "wasmtime-wasi", "wasmtime-wasi-http", "jsonschema", "minijinja", "jiff", "rust_decimal"] {
        let defaults = dependencies[name].get("default-features").and_then(Value::as_bool);
        assert_eq!(defaults, Some(false), "{name} in [workspace.dependencies] needs `default-features = false`");
    }
    let features = |name: &str| {
        let features = dependencies[name].get("features").and_then(Value::as_array).into_iter().flatten();
        features.filter_map(|feature| feature.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    assert!(
        features("jsonschema").is_disjoint(&["resolve-http".to_owned(), "resolve-file".to_owned()].into()),
        "schemas are not fetched"
    );
    let banned = ["macros".to_owned(), "multi_template".to_owned(), "loader".to_owned()].into();
    assert!(features("minijinja").is_disjoint(&banned), "expressions have no include, import or macros");
    assert!(features("minijinja").contains("fuel"), "expressions run on a budget");
    let reads_files = ["tz-system", "tzdb-zoneinfo", "tzdb-concatenated"].map(str::to_owned).into();
    assert!(features("jiff").is_disjoint(&reads_files), "time zones are those in the binary");
    assert!(!features("serde_json").contains("arbitrary_precision"), "it breaks numbers in expressions");
}
