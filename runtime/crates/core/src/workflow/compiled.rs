//! A workflow version made ready to run: expressions compiled, scopes derived. Built once per version, shared by its runs.

use std::collections::HashMap;

use crate::capability::StepScope;
use crate::expression::Program;
use crate::id::StepId;
use crate::workflow::Workflow;

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
