//! A workflow version made ready to run: expressions compiled, scopes derived. Built once per version, shared by its runs.

use std::collections::HashMap;
use std::sync::Arc;

use super::problem::Problem;
use crate::capability::StepScope;
use crate::expression::Program;
use crate::id::StepId;
use crate::manifest::Manifest;
use crate::plugin::Uses;
use crate::workflow::{Step, Workflow};

#[derive(Debug)]
pub struct CompiledWorkflow {
    pub workflow: Workflow,
    pub steps: HashMap<StepId, CompiledStep>,
}

#[derive(Debug)]
pub struct CompiledStep {
    pub input: Program,
    pub scope: StepScope,
}

impl CompiledWorkflow {
    /// Compiles every step. `manifest` answers with the manifest of the plugin that a `uses` is pinned to.
    ///
    /// A version that passed [`super::check`] when it was written compiles; the problems carry pointers, and line 0 for want of the text.
    pub fn compile(
        workflow: Workflow,
        manifest: impl Fn(&Uses) -> Option<Arc<Manifest>>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut steps = HashMap::with_capacity(workflow.steps.len());
        for (index, step) in workflow.steps.iter().enumerate() {
            match compile_step(step, index, &manifest) {
                Ok(compiled) => {
                    steps.insert(step.id.clone(), compiled);
                }
                Err(errors) => problems.extend(errors),
            }
        }
        if problems.is_empty() { Ok(Self { workflow, steps }) } else { Err(problems) }
    }
}

fn compile_step(
    step: &Step,
    index: usize,
    manifest: &impl Fn(&Uses) -> Option<Arc<Manifest>>,
) -> Result<CompiledStep, Vec<Problem>> {
    let nowhere = |pointer: String, message: String| Problem { line: 0, column: 0, pointer, message, help: None };
    let manifest = manifest(&step.uses).ok_or_else(|| {
        vec![nowhere(format!("/steps/{index}/uses"), format!("the plugin of `{}` is not there", step.uses))]
    })?;
    let input = Program::compile(&step.with).map_err(|errors| {
        let errors = errors.into_iter();
        errors.map(|error| nowhere(format!("/steps/{index}/with{}", error.pointer), error.message)).collect::<Vec<_>>()
    })?;
    Ok(CompiledStep { input, scope: StepScope::from_authored(&manifest.capabilities.http, &step.with) })
}
