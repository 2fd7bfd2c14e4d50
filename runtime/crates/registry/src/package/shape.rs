//! What a component imports and exports, and whether Flowcell can give and find that. Names only: the types of the functions are checked
//! by the sandbox when it links the plugin.

use std::fmt;

use flowcell_core::manifest::{API_MAJOR, Manifest, TriggerKind, TriggerManifest};
use serde::Serialize;
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{Parser, Payload, Validator};

/// Our own interfaces. `plugin-types` comes along with `action` and `trigger`.
const OURS: &[&str] = &["log", "http", "plugin-types", "key-value", "mail", "inbox", "contacts", "connection"];

/// WASI 0.2 as the sandbox links it; files, sockets, environment and terminals are there and empty, because language runtimes import them.
const WASI: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("filesystem", &["types", "preopens"]),
    ("http", &["types", "outgoing-handler"]),
    ("io", &["error", "poll", "streams"]),
    ("random", &["random", "insecure", "insecure-seed"]),
    (
        "sockets",
        &["network", "instance-network", "tcp", "tcp-create-socket", "udp", "udp-create-socket", "ip-name-lookup"],
    ),
];

/// How big it is, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sizes {
    /// The whole file.
    pub bytes: usize,
    /// Function bodies of all core modules.
    pub code_bytes: usize,
    /// Data segments of all core modules.
    pub data_bytes: usize,
    pub manifest_bytes: usize,
    pub core_modules: usize,
    pub functions: usize,
    /// What its memories need before the first instruction runs.
    pub memory_bytes_min: u64,
}

/// Names and sizes of a validated component.
pub(crate) struct Shape {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<Export>,
    pub(crate) sizes: Sizes,
}

pub(crate) struct Export {
    pub(crate) name: String,
    /// The functions of an exported interface.
    functions: Vec<String>,
}

/// Validates a component and lists what it consists of.
pub(crate) fn examine(bytes: &[u8]) -> Result<Shape, wasmparser::BinaryReaderError> {
    let types = Validator::new().validate_all(bytes)?;
    let mut shape =
        Shape { imports: Vec::new(), exports: Vec::new(), sizes: Sizes { bytes: bytes.len(), ..Sizes::default() } };
    // The parser enters nested modules and components; only what stands at depth 0 is the plugin's own face.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } => {
                shape.sizes.core_modules += 1;
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    shape.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let name = export?.name.name.to_owned();
                    let functions = functions(&types, &name);
                    shape.exports.push(Export { name, functions });
                }
            }
            Payload::CodeSectionStart { count, size, .. } => {
                shape.sizes.functions += count as usize;
                shape.sizes.code_bytes += size as usize;
            }
            Payload::DataSection(section) => shape.sizes.data_bytes += section.range().len(),
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(16);
                    shape.sizes.memory_bytes_min =
                        shape.sizes.memory_bytes_min.saturating_add(memory.initial.saturating_mul(page));
                }
            }
            _ => {}
        }
    }
    Ok(shape)
}

fn functions(types: &Types, export: &str) -> Vec<String> {
    let Some(item) = types.component_item_for_export(export) else { return Vec::new() };
    let ComponentEntityType::Instance(id) = item.ty else { return Vec::new() };
    types[id]
        .exports
        .iter()
        .filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Why Flowcell cannot give a component what it imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownImport {
    pub name: String,
    why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    NewerContract,
    NewerInterface,
    OtherWasi,
    WasiPreview1,
    NotWasi,
    Foreign,
}

impl fmt::Display for UnknownImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.name)?;
        f.write_str(match self.why {
            Why::NewerContract => "another version of the contract than this Flowcell speaks; use the plugin's version for it, or upgrade Flowcell",
            Why::NewerInterface => "this Flowcell has no such interface; if the plugin is newer, upgrade Flowcell",
            Why::OtherWasi => "only WASI 0.2 is provided; build it for `wasm32-unknown-unknown` or `wasm32-wasip2`",
            Why::WasiPreview1 => "this is WASI preview 1; build it for `wasm32-unknown-unknown` or `wasm32-wasip2`",
            Why::NotWasi => "WASI 0.2 as plugins get it has no such interface; remove what needs it",
            Why::Foreign => "nothing provides this to plugins; use `flowcell:plugin/http` or `wasi:http` to reach other systems",
        })
    }
}

/// Lists the imports nobody provides.
pub(crate) fn unknown_imports(imports: &[String]) -> Vec<UnknownImport> {
    imports.iter().filter_map(|name| unknown(name).map(|why| UnknownImport { name: name.clone(), why })).collect()
}

fn unknown(import: &str) -> Option<Why> {
    let Some((path, version)) = import.split_once('@') else {
        return Some(if import.starts_with("wasi_snapshot_preview1") { Why::WasiPreview1 } else { Why::Foreign });
    };
    let Some((package, interface)) = path.split_once('/') else { return Some(Why::Foreign) };
    match package {
        "flowcell:plugin" if major(version) != Some(API_MAJOR) => Some(Why::NewerContract),
        "flowcell:plugin" => (!OURS.contains(&interface)).then_some(Why::NewerInterface),
        _ => {
            let Some(wasi) = package.strip_prefix("wasi:") else { return Some(Why::Foreign) };
            if !version.starts_with("0.2.") {
                return Some(Why::OtherWasi);
            }
            let known = WASI.iter().any(|(name, interfaces)| *name == wasi && interfaces.contains(&interface));
            (!known).then_some(Why::NotWasi)
        }
    }
}

/// Whether the component can send requests through our own interface, and through WASI's.
pub(crate) fn http_imports(imports: &[String]) -> (bool, bool) {
    let has = |prefix: &str| imports.iter().any(|name| name.starts_with(prefix));
    (has("flowcell:plugin/http@"), has("wasi:http/outgoing-handler@"))
}

/// What a manifest promises and the component does not export, each as a sentence.
pub(crate) fn missing_exports(manifest: &Manifest, exports: &[Export]) -> Vec<String> {
    let mut missing = Vec::new();
    if let Some(action) = manifest.actions.first() {
        missing.extend(missing_export(exports, "action", "invoke", &format!("the action `{}`", action.id)));
    }
    // One sentence for each interface is enough, however many triggers want it.
    let first = |wants: fn(&TriggerManifest) -> bool| manifest.triggers.iter().find(|trigger| wants(trigger));
    for (trigger, interface, function) in [
        (first(|trigger| trigger.kind == TriggerKind::Webhook), "trigger", "on-webhook"),
        (first(|trigger| trigger.kind == TriggerKind::Poll), "poller", "poll"),
        (first(|trigger| trigger.subscribes), "subscriber", "subscribe"),
    ] {
        missing.extend(trigger.and_then(|trigger| {
            missing_export(exports, interface, function, &format!("the trigger `{}`", trigger.id))
        }));
    }
    if manifest.has_options() {
        missing.extend(missing_export(exports, "options", "list", "fields with `x-options`"));
    }
    missing
}

fn missing_export(exports: &[Export], interface: &str, function: &str, promised: &str) -> Option<String> {
    let prefix = format!("flowcell:plugin/{interface}@");
    let found = exports.iter().find(|export| export.name.strip_prefix(&prefix).and_then(major) == Some(API_MAJOR));
    let present = found.is_some_and(|export| export.functions.iter().any(|name| name == function));
    (!present).then(|| format!("the manifest lists {promised}, but the component exports no `flowcell:plugin/{interface}@1` with `{function}`"))
}

fn major(version: &str) -> Option<u64> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_imports_pass_and_others_say_why_not() {
        for (name, why) in [
            ("flowcell:plugin/log@1.0.0", None),
            ("flowcell:plugin/http@1.3.0", None),
            ("flowcell:plugin/key-value@1.0.0", None),
            ("wasi:io/poll@0.2.12", None),
            ("wasi:http/outgoing-handler@0.2.10", None),
            ("flowcell:plugin/kv@1.1.0", Some(Why::NewerInterface)),
            ("flowcell:plugin/http@2.0.0", Some(Why::NewerContract)),
            ("wasi:http/client@0.3.0", Some(Why::OtherWasi)),
            ("wasi:keyvalue/store@0.2.0", Some(Why::NotWasi)),
            ("wasi:http/incoming-handler@0.2.0", Some(Why::NotWasi)),
            ("acme:db/sql@1.0.0", Some(Why::Foreign)),
            ("print", Some(Why::Foreign)),
            ("print@1.0.0", Some(Why::Foreign)),
        ] {
            assert_eq!(unknown(name), why, "{name}");
        }
    }
}
