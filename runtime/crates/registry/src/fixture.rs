//! Small plugins for the tests: modules of the real contract whose functions do nothing.

use wit_component::{StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use crate::package::{build, sections};

const CONTRACT: &str = include_str!("../../../../wit/1.0.0/plugin.wit");

/// A core module as a compiler leaves it, for a world of `items` such as `import log;`.
pub(crate) fn module(items: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("plugin.wit", &format!("{CONTRACT}\nworld fixture {{ {items} }}"))
        .expect("the contract parses");
    let world = resolve.select_world(&[package], Some("fixture")).expect("the world is there");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("a module");
    module
}

/// An action plugin that sends requests.
pub(crate) fn sender() -> Vec<u8> {
    with_schemas(module("import log; import http; export action;"), SEND)
}

/// An action plugin that only computes.
pub(crate) fn computer() -> Vec<u8> {
    with_schemas(module("import log; export action;"), SEND)
}

pub(crate) const SEND: &str = "{\"kind\":\"action\",\"id\":\"send\",\"input\":{\"type\":\"object\",\"properties\":{\"url\":{\"type\":\"string\"}}},\"output\":true}\n";

pub(crate) fn with_schemas(mut module: Vec<u8>, lines: &str) -> Vec<u8> {
    sections::push_custom(&mut module, "flowcell:schemas", lines.as_bytes());
    module
}

/// The `plugin.toml` of one action `send`, with `more` behind it.
pub(crate) fn toml(id: &str, version: &str, more: &str) -> String {
    format!(
        "id = \"{id}\"\nversion = \"{version}\"\ntitle = \"Mail\"\ndescription = \"Sends mail.\"\n\n\
         [[actions]]\nid = \"send\"\ntitle = \"Send a mail\"\n{more}"
    )
}

/// A finished package without capabilities.
pub(crate) fn plugin(id: &str, version: &str) -> Vec<u8> {
    build(&computer(), &toml(id, version, "")).expect("a good plugin")
}
