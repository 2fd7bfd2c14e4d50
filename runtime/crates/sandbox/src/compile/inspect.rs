//! What can be said about a component without compiling it: whether it is valid, how big its parts are, what it imports and exports.
//! These checks refuse cheaply what compiling would refuse dearly; linking in the child has the last word.

use wasmparser::{
    BlockType, ComponentExternalKind, FuncToValidate, FunctionBody, Operator, Parser, Payload, ValidPayload, Validator,
    WasmFeatures,
};

use crate::compile::Order;

/// Core modules in one component. CPython with its libraries is the largest of the usual guests, with some 20.
const MODULES_MAX: u32 = 64;
/// Functions of all modules. CPython has some 20,000; 40,000 trivial ones took 22 s to compile (WASM.md §5.1).
const FUNCTIONS_MAX: u32 = 60_000;
/// Loops within loops in one function. Cranelift's work is cubic in it: 100 take half a second, 400 more than a minute (WASM.md §5.1);
/// compilers stay below 20.
const LOOP_DEPTH_MAX: u32 = 64;
/// One function's code. The largest of CPython, its evaluation loop, has some 100 KB.
const FUNCTION_BYTES_MAX: usize = 1024 * 1024;
/// What the engine has switched off.
const NOT_SUPPORTED: WasmFeatures = WasmFeatures::MEMORY64.union(WasmFeatures::THREADS);
const WASM_PAGE: u64 = 64 * 1024;

/// Interfaces a plugin may import: `package/interface` prefixes, each with the versions that the linker matches.
const IMPORTS: [&str; 9] = [
    "flowcell:plugin/",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/types@",
    "wasi:http/outgoing-handler@",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Checks `wasm`; the error is a sentence for the plugin's author.
pub(crate) fn check(wasm: &[u8], order: &Order) -> Result<(), String> {
    if !Parser::is_component(wasm) {
        return Err(if Parser::is_core_wasm(wasm) {
            "it is a core WebAssembly module, not a component: `flowcell plugin build` makes a component of it".into()
        } else {
            "it is not a WebAssembly component".into()
        });
    }
    let mut validator = Validator::new_with_features(WasmFeatures::default().difference(NOT_SUPPORTED));
    let mut found = Found::default();
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| damaged(&error))?;
        found.look(&payload, order)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(|error| damaged(&error))? {
            found.function(&body)?;
            allocations = validate(function, &body, allocations).map_err(|error| damaged(&error))?;
        }
    }
    found.promised(order)
}

fn validate(
    function: FuncToValidate<wasmparser::ValidatorResources>,
    body: &FunctionBody<'_>,
    allocations: wasmparser::FuncValidatorAllocations,
) -> wasmparser::Result<wasmparser::FuncValidatorAllocations> {
    let mut validator = function.into_validator(allocations);
    validator.validate(body)?;
    Ok(validator.into_allocations())
}

fn damaged(error: &wasmparser::BinaryReaderError) -> String {
    format!("it is damaged or uses features that are not supported: {error}")
}

#[derive(Default)]
struct Found {
    /// Nesting of components and modules; the outermost component is 1.
    depth: u32,
    modules: u32,
    functions: u32,
    exports: Vec<String>,
}

impl Found {
    fn look(&mut self, payload: &Payload<'_>, order: &Order) -> Result<(), String> {
        match payload {
            Payload::Version { .. } => self.depth += 1,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::ModuleSection { .. } => {
                self.modules += 1;
                if self.modules > MODULES_MAX {
                    return Err(format!("it has more than {MODULES_MAX} core modules"));
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    let bytes = memory.map_err(|error| damaged(&error))?.initial.saturating_mul(WASM_PAGE);
                    if bytes > order.memory_bytes_max {
                        return Err(format!(
                            "it starts with {bytes} bytes of memory; at most {} may be used. Ask for less, or have the operator raise the ceiling",
                            order.memory_bytes_max
                        ));
                    }
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let elements = table.map_err(|error| damaged(&error))?.ty.initial;
                    if elements > order.table_elements_max {
                        return Err(format!(
                            "it starts with a table of {elements} elements; at most {} are allowed",
                            order.table_elements_max
                        ));
                    }
                }
            }
            Payload::ComponentImportSection(imports) if self.depth == 1 => {
                for import in imports.clone() {
                    let name = import.map_err(|error| damaged(&error))?.name.name;
                    if !IMPORTS.iter().any(|known| name.starts_with(known)) {
                        return Err(format!(
                            "it imports `{name}`, which Flowcell does not offer: plugins use flowcell:plugin, wasi:http/outgoing-handler and WASI 0.2"
                        ));
                    }
                }
            }
            Payload::ComponentExportSection(exports) if self.depth == 1 => {
                for export in exports.clone() {
                    let export = export.map_err(|error| damaged(&error))?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), String> {
        self.functions += 1;
        if self.functions > FUNCTIONS_MAX {
            return Err(format!("it has more than {FUNCTIONS_MAX} functions"));
        }
        if body.range().len() > FUNCTION_BYTES_MAX {
            return Err(format!("one of its functions is larger than {FUNCTION_BYTES_MAX} bytes"));
        }
        if loop_depth_exceeds(body, LOOP_DEPTH_MAX).map_err(|error| damaged(&error))? {
            return Err(format!(
                "one of its functions has more than {LOOP_DEPTH_MAX} loops within each other, which takes very long to compile and no compiler writes"
            ));
        }
        Ok(())
    }

    fn promised(&self, order: &Order) -> Result<(), String> {
        for (needed, interface, what) in [
            (order.needs.action, "flowcell:plugin/action@1.", "actions"),
            (order.needs.trigger, "flowcell:plugin/trigger@1.", "triggers"),
            (order.needs.poller, "flowcell:plugin/poller@1.", "polling triggers"),
            (order.needs.subscriber, "flowcell:plugin/subscriber@1.", "subscribing triggers"),
            (order.needs.options, "flowcell:plugin/options@1.", "fields of choices"),
        ] {
            if needed && !self.exports.iter().any(|name| name.starts_with(interface)) {
                return Err(format!("its manifest lists {what}, but it does not export `{interface}x`"));
            }
        }
        Ok(())
    }
}

fn loop_depth_exceeds(body: &FunctionBody<'_>, max: u32) -> wasmparser::Result<bool> {
    let mut open = Vec::new();
    let mut loops = 0_u32;
    for operator in body.get_operators_reader()? {
        let opened: Option<(bool, BlockType)> = match operator? {
            Operator::Loop { blockty } => Some((true, blockty)),
            Operator::Block { blockty }
            | Operator::If { blockty }
            | Operator::TryTable { try_table: wasmparser::TryTable { ty: blockty, .. } } => Some((false, blockty)),
            Operator::End => {
                if open.pop() == Some(true) {
                    loops -= 1;
                }
                None
            }
            _ => None,
        };
        if let Some((is_loop, _)) = opened {
            open.push(is_loop);
            loops += u32::from(is_loop);
            if loops > max {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
