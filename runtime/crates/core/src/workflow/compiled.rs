//! A workflow version made ready to run: expressions and conditions compiled, scopes derived. Built once per version, shared by its runs.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::problem::{Problem, Severity};
use super::step::{Action, ForEach, If, OnError, Respond, StepKind, Wait, WaitFor, Within};
use super::walk::{EVENT, LOOP, Placed};
use crate::capability::StepScope;
use crate::condition::{CompiledCondition, Condition};
use crate::destination::Destination;
use crate::expression::{ExpressionError, MissingPolicy, Program};
use crate::id::StepId;
use crate::manifest::Manifest;
use crate::plugin::Uses;
use crate::run::retry::RetryPolicy;
use crate::workflow::Workflow;

#[derive(Debug)]
pub struct CompiledWorkflow {
    pub workflow: Workflow,
    /// Every step, nested ones included.
    pub steps: HashMap<StepId, CompiledStep>,
    /// The trigger's `filter`.
    pub filter: Option<CompiledCondition>,
    /// The workflow's `output`.
    pub output: Option<Program>,
    /// The key of `settings.concurrency`.
    pub concurrency_key: Option<Program>,
    /// The key of `settings.reentry`.
    pub reentry_key: Option<Program>,
}

#[derive(Debug)]
pub struct CompiledStep {
    /// The steps around it, outermost first; empty for a step of the outermost line.
    pub around: Vec<Enclosing>,
    pub kind: CompiledKind,
    /// What `on_error: { substitute }` renders.
    pub substitute: Option<Program>,
    /// What its fields do about missing values; absent: they fail.
    pub missing: Option<MissingPolicy>,
}

/// A step around another one, and in which of its lists that one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosing {
    pub step: StepId,
    pub list: List,
}

/// [`Within`], for those who keep it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum List {
    Branch(usize),
    Else,
    Each,
    Parallel(String),
    OnTimeout,
    OnError,
}

#[derive(Debug)]
pub enum CompiledKind {
    Action {
        input: Program,
        scope: StepScope,
        /// The receiver, where its author's text says which.
        destination: Option<Destination>,
        /// What the step says, else its action's manifest.
        retry: RetryPolicy,
    },
    /// A condition for each branch.
    If(Vec<CompiledCondition>),
    ForEach {
        /// What the loop goes over: a list, if all is well.
        items: Program,
        collect: Option<Program>,
    },
    Parallel,
    Wait(CompiledWait),
    /// The message, if there is one.
    Stop(Option<Program>),
    /// What the other workflow reads as `trigger`.
    Call(Program),
    /// The step's output.
    Set(Program),
    /// Renders `{ status, headers, json }` or `{ status, headers, text }`; `status` may be a number or a text of digits.
    Respond(Program),
}

#[derive(Debug)]
pub enum CompiledWait {
    /// Renders a duration as text; see [`super::duration::parse`].
    Duration(Program),
    /// Renders a date and time.
    Until(Program),
    Window,
    /// The condition reads the event as `event`.
    Event(Option<CompiledCondition>),
    Resume,
}

impl CompiledWorkflow {
    /// Compiles every step. `manifest` answers with the manifest of the plugin that a `uses` is pinned to.
    ///
    /// A version that passed [`super::check`] when it was written compiles; the problems carry pointers, and line 0 for want of the text.
    pub fn compile(
        workflow: Workflow,
        manifest: impl Fn(&Uses) -> Option<Arc<Manifest>>,
    ) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler { locals: Vec::new(), problems: Vec::new() };
        let mut steps = HashMap::new();
        for placed in workflow.all_steps() {
            compiler.locals = placed.locals();
            let compiled = compiler.step(&placed, &manifest);
            steps.extend(compiled.map(|compiled| (placed.step.id.clone(), compiled)));
        }
        compiler.locals.clear();
        let (filter, concurrency_key, reentry_key) = compiler.start(&workflow);
        let output = compiler.optional_program(workflow.output.as_ref(), "/output");
        if !compiler.problems.is_empty() {
            return Err(compiler.problems);
        }
        Ok(Self { workflow, steps, filter, output, concurrency_key, reentry_key })
    }

    /// The workflow with nothing compiled but what is asked when a run begins, for those who have to say why its steps cannot run.
    pub fn without_steps(workflow: Workflow) -> Self {
        let mut compiler = Compiler { locals: Vec::new(), problems: Vec::new() };
        let (filter, concurrency_key, reentry_key) = compiler.start(&workflow);
        Self { steps: HashMap::new(), output: None, filter, concurrency_key, reentry_key, workflow }
    }
}

impl From<Within<'_>> for List {
    fn from(within: Within<'_>) -> Self {
        match within {
            Within::Branch(index) => Self::Branch(index),
            Within::Else => Self::Else,
            Within::Each => Self::Each,
            Within::Parallel(name) => Self::Parallel(name.to_owned()),
            Within::OnTimeout => Self::OnTimeout,
            Within::OnError => Self::OnError,
        }
    }
}

impl List {
    /// The same, borrowed: what [`super::Step::list`] takes.
    pub fn within(&self) -> Within<'_> {
        match self {
            Self::Branch(index) => Within::Branch(*index),
            Self::Else => Within::Else,
            Self::Each => Within::Each,
            Self::Parallel(name) => Within::Parallel(name),
            Self::OnTimeout => Within::OnTimeout,
            Self::OnError => Within::OnError,
        }
    }
}

/// A text that is an expression with or without its braces, as a program.
pub fn expression_text(text: &str) -> Value {
    if crate::expression::has_expression(text) { text.into() } else { format!("{{{{ {} }}}}", text.trim()).into() }
}

struct Compiler<'w> {
    /// What expressions of the present step read beside the usual names.
    locals: Vec<&'w str>,
    problems: Vec<Problem>,
}

impl<'w> Compiler<'w> {
    /// What is asked when a run begins: the trigger's filter and the keys of `concurrency` and `reentry`. No plugin is needed for them.
    fn start(&mut self, workflow: &Workflow) -> (Option<CompiledCondition>, Option<Program>, Option<Program>) {
        let filter = self.optional_condition(workflow.trigger.filter.as_ref(), "/trigger/filter");
        let settings = &workflow.settings;
        let key = settings.concurrency.as_ref().and_then(|concurrency| concurrency.key.as_deref());
        let concurrency_key = key.and_then(|key| self.expression(key, "/settings/concurrency/key"));
        let key = settings.reentry.as_ref().map(|reentry| reentry.key.as_str());
        let reentry_key = key.and_then(|key| self.expression(key, "/settings/reentry/key"));
        (filter, concurrency_key, reentry_key)
    }

    fn step(
        &mut self,
        placed: &Placed<'w>,
        manifest: &impl Fn(&Uses) -> Option<Arc<Manifest>>,
    ) -> Option<CompiledStep> {
        let (step, pointer) = (placed.step, placed.pointer.as_str());
        let substitute = match &step.on_error {
            OnError::Substitute(value) => self.program(value, &format!("{pointer}/on_error/substitute")),
            OnError::Fail | OnError::Continue | OnError::Steps(_) => None,
        };
        let kind = match &step.kind {
            StepKind::Action(action) => self.action(action, pointer, manifest),
            StepKind::If(each) => self.branches(each, pointer),
            StepKind::ForEach(each) => self.for_each(each, pointer),
            StepKind::Parallel(_) => Some(CompiledKind::Parallel),
            StepKind::Wait(wait) => self.wait(wait, pointer).map(CompiledKind::Wait),
            StepKind::Stop(stop) => {
                let message = stop.message.clone().map(Value::String);
                Some(CompiledKind::Stop(self.optional_program(message.as_ref(), &format!("{pointer}/stop/message"))))
            }
            StepKind::Call(call) => self.program(&call.with, &format!("{pointer}/call/with")).map(CompiledKind::Call),
            StepKind::Set(value) => self.program(value, &format!("{pointer}/set")).map(CompiledKind::Set),
            StepKind::Respond(respond) => self.respond(respond, pointer),
        }?;
        let around = placed.around.iter();
        let around = around.map(|(step, within)| Enclosing { step: step.id.clone(), list: (*within).into() }).collect();
        let missing = (!step.missing.is_strict()).then(|| step.missing.compiled());
        Some(CompiledStep { around, kind, substitute, missing })
    }

    fn action(
        &mut self,
        action: &Action,
        pointer: &str,
        manifest: &impl Fn(&Uses) -> Option<Arc<Manifest>>,
    ) -> Option<CompiledKind> {
        let Some(manifest) = manifest(&action.uses) else {
            self.add(format!("{pointer}/uses"), format!("the plugin of `{}` is not there", action.uses));
            return None;
        };
        let input = self.program(&action.with, &format!("{pointer}/with"))?;
        let asked = &manifest.capabilities.http;
        let named = manifest.action(&action.uses.member).and_then(|action| action.retry);
        Some(CompiledKind::Action {
            input,
            scope: StepScope::from_authored(asked, &action.with),
            destination: Destination::of_step(asked, &action.with),
            retry: action.retry.clone().or_else(|| named.map(RetryPolicy::from)).unwrap_or_default(),
        })
    }

    fn branches(&mut self, each: &If, pointer: &str) -> Option<CompiledKind> {
        let mut conditions = Vec::with_capacity(each.branches.len());
        for (index, branch) in each.branches.iter().enumerate() {
            conditions.extend(self.condition(&branch.when, &format!("{pointer}/if/{index}/when")));
        }
        (conditions.len() == each.branches.len()).then_some(CompiledKind::If(conditions))
    }

    fn for_each(&mut self, each: &'w ForEach, pointer: &str) -> Option<CompiledKind> {
        let place = format!("{pointer}/for_each");
        let items = match &each.items {
            Value::String(text) => self.expression(text, &place),
            list => self.program(list, &place),
        };
        let outer = self.locals.clone();
        self.locals.extend([each.item_name.as_str(), LOOP]);
        let collect = self.optional_program(each.collect.as_ref(), &format!("{pointer}/collect"));
        self.locals = outer;
        Some(CompiledKind::ForEach { items: items?, collect })
    }

    fn wait(&mut self, wait: &Wait, pointer: &str) -> Option<CompiledWait> {
        let place = |key: &str| format!("{pointer}/wait/{key}");
        match &wait.what {
            WaitFor::Duration(text) => self.program(&text.as_str().into(), &place("for")).map(CompiledWait::Duration),
            WaitFor::Until(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                self.program(&text.as_str().into(), &place("until")).map(CompiledWait::Until)
            }
            WaitFor::Until(text) => self.expression(text, &place("until")).map(CompiledWait::Until),
            WaitFor::Window(_) => Some(CompiledWait::Window),
            WaitFor::Event { matches, .. } => match matches {
                Some(matches) => {
                    self.locals.push(EVENT);
                    let compiled = self.condition(matches, &place("match"));
                    self.locals.pop();
                    compiled.map(|compiled| CompiledWait::Event(Some(compiled)))
                }
                None => Some(CompiledWait::Event(None)),
            },
            WaitFor::Resume => Some(CompiledWait::Resume),
        }
    }

    fn respond(&mut self, respond: &Respond, pointer: &str) -> Option<CompiledKind> {
        let value = serde_json::to_value(respond).unwrap_or_else(|_| json!({}));
        self.program(&value, &format!("{pointer}/respond")).map(CompiledKind::Respond)
    }

    fn condition(&mut self, condition: &Condition, pointer: &str) -> Option<CompiledCondition> {
        match CompiledCondition::compile(condition, &self.locals) {
            Ok(compiled) => Some(compiled),
            Err(errors) => {
                self.errors(pointer, errors);
                None
            }
        }
    }

    fn optional_condition(&mut self, condition: Option<&Condition>, pointer: &str) -> Option<CompiledCondition> {
        condition.and_then(|condition| self.condition(condition, pointer))
    }

    /// A text that is one expression, with or without its braces.
    fn expression(&mut self, text: &str, pointer: &str) -> Option<Program> {
        self.program(&expression_text(text), pointer)
    }

    fn program(&mut self, value: &Value, pointer: &str) -> Option<Program> {
        match Program::compile_with(value, &self.locals) {
            Ok(program) => Some(program),
            Err(errors) => {
                self.errors(pointer, errors);
                None
            }
        }
    }

    fn optional_program(&mut self, value: Option<&Value>, pointer: &str) -> Option<Program> {
        value.and_then(|value| self.program(value, pointer))
    }

    fn errors(&mut self, pointer: &str, errors: Vec<ExpressionError>) {
        for error in errors {
            self.add(format!("{pointer}{}", error.pointer), error.message);
        }
    }

    fn add(&mut self, pointer: String, message: String) {
        let severity = Severity::Error;
        self.problems.push(Problem { line: 0, column: 0, pointer, message, help: None, severity });
    }
}
