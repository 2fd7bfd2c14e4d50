//! One step for show: its input rendered from what somebody says the run has, and every request that its action would send, as it would be sent. Nothing
//! leaves, nothing is stored, and no run begins.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use flowcell_core::expression::{ExpressionError, Local, Scope};
use flowcell_core::id::{ContactId, EventId, RunId, StepId, StepRef};
use flowcell_core::invoke::ActionCall;
use flowcell_core::record::{Answer, Answers};
use flowcell_core::run::event::{Origin, Recorded, RunEvent};
use flowcell_core::run::fold::{Phase, Run, StepState};
use flowcell_core::workflow::check::Surroundings;
use flowcell_core::workflow::compiled::{CompiledKind, CompiledWorkflow, List};
use flowcell_core::workflow::response::{MEMBER, Response};
use flowcell_core::workflow::step::StepKind;
use flowcell_core::workflow::{Step, Workflow, examine};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::entropy::id_bits;
use crate::http::problem::{Fault, Kind, Problem};
use crate::publish::{self, PublishError, others::Stored};

/// How long a plugin may take to say what it would send. 30 s: what a call of a plugin gets by default; nobody answers it but this server.
const TIME_MAX: Duration = Duration::from_secs(30);

/// What every run has a key of its own for, and a preview has not.
const KEY: &str = "preview-each-run-has-a-key-of-its-own";

/// What is previewed, and of which run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) step: StepId,
    /// What expressions read as `trigger`.
    #[serde(default)]
    pub(crate) trigger: Value,
    /// The outputs of the steps before it, by id. Without one the step's `response: { sample }` stands in.
    #[serde(default)]
    pub(crate) outputs: BTreeMap<StepId, Value>,
    /// The run's contact: one that is there, as it is now.
    #[serde(default)]
    pub(crate) contact: Option<ContactId>,
    /// The items of the loops around it, by name.
    #[serde(default)]
    pub(crate) items: Map<String, Value>,
    /// What the receivers would answer, as in tests.
    #[serde(default)]
    pub(crate) answers: Vec<Answer>,
}

/// `{step, uses, connection?, input, filled, requests, output?, error?, warnings}`.
pub(crate) async fn preview(app: &App, source: &str, asked: Asked) -> Result<Value, Problem> {
    let others = Stored::named_in(app, source).await?;
    let (catalog, grants) = (&*app.ports.catalog, app.grants.as_slice());
    let examined = examine(source, &Surroundings { catalog, grants, others: &others, reference: None });
    let warnings: Vec<Fault> =
        examined.findings.problems.iter().filter(|problem| !problem.is_error()).cloned().map(Fault::from).collect();
    let workflow = examined.into_result().map_err(PublishError::Invalid)?;
    let plugins = publish::resolve(app, &workflow)?;
    let manifest = |uses: &_| plugins.get(uses).map(|plugin| std::sync::Arc::new(plugin.manifest.clone()));
    let compiled = CompiledWorkflow::compile(workflow, manifest).map_err(PublishError::Invalid)?;
    let no_action = |what: &str| {
        let detail = format!("`{}` {what}; a preview shows what an action would send.", asked.step);
        Problem::new(Kind::InvalidRequest, detail)
    };
    let step = compiled.workflow.step(&asked.step).ok_or_else(|| no_action("is no step of this workflow"))?;
    let action = step.action().ok_or_else(|| no_action("calls no plugin"))?;
    let found = compiled.steps.get(&asked.step);
    let Some((CompiledKind::Action { input, scope, .. }, found)) = found.map(|found| (&found.kind, found)) else {
        return Err(no_action("calls no plugin"));
    };
    let mut run = as_if(app, &compiled.workflow, &asked)?;
    if let Some(id) = asked.contact {
        run.see_contact(Some(contact(app, id).await?));
    }
    let custom_values = app.control.custom_values();
    let locals = locals(&compiled, found.around.iter().filter(|around| around.list == List::Each), &asked);
    let now = app.ports.clock.now();
    let seen = Scope::of(&run, &compiled.workflow).with_custom_values(&custom_values).within(&[], &locals).now_is(now);
    let rendered = match &found.missing {
        None => input.render(&seen).map(|value| (value, Vec::new())),
        Some(policy) => input.render_with(&seen, policy).map(|rendered| (rendered.value, rendered.filled)),
    };
    let (rendered, filled) = rendered.map_err(|error| unrendered(&asked, &error))?;
    let Some(plugin) = plugins.get(&action.uses) else { return Err(no_action("has no plugin")) };
    let call = ActionCall {
        digest: plugin.digest,
        action: action.uses.member.clone(),
        workspace: app.workspace.clone(),
        workflow: compiled.workflow.id.clone(),
        run: run.id,
        step: StepRef::new(asked.step.clone(), &[]),
        attempt: 1,
        idempotency_key: KEY.to_owned(),
        deadline: now + TIME_MAX,
        input: rendered.clone(),
        scope: scope.clone(),
        connection: action.connection.clone(),
    };
    let invocation = app.ports.rehearsal.dry_run(call, &Answers { http: asked.answers }).await;
    let mut document = json!({
        "step": asked.step,
        "uses": action.uses,
        "input": rendered,
        "filled": filled.iter().map(|filled| json!({ "pointer": filled.pointer, "path": filled.path })).collect::<Vec<_>>(),
        "requests": invocation.record.http,
        "host": invocation.record.host,
        "log": invocation.record.log,
        "warnings": warnings,
    });
    if let Some(fields) = document.as_object_mut() {
        fields.extend(action.connection.as_ref().map(|name| ("connection".to_owned(), json!(name))));
        match invocation.outcome {
            Ok(output) => fields.insert("output".to_owned(), output),
            Err(error) => {
                fields.insert("error".to_owned(), json!({ "code": error.code(), "message": error.to_string() }))
            }
        };
    }
    Ok(document)
}

/// What expressions read as `contact`.
async fn contact(app: &App, id: ContactId) -> Result<Value, Problem> {
    let found = app.ports.contacts.get(&app.workspace, id).await?;
    found.map(|contact| contact.document()).ok_or_else(|| {
        Problem::new(
            Kind::InvalidRequest,
            format!("There is no contact `{id}`; `flowcell contact list` prints those that are there."),
        )
    })
}

/// A run in which the steps before have ended as somebody says.
fn as_if(app: &App, workflow: &Workflow, asked: &Asked) -> Result<Run, Problem> {
    let now = app.ports.clock.now();
    let (id, event) =
        (RunId::from_parts(now, id_bits(&*app.ports.entropy)), EventId::from_parts(now, id_bits(&*app.ports.entropy)));
    let created = RunEvent::Created {
        workspace: app.workspace.clone(),
        workflow: workflow.id.clone(),
        version: 0,
        event,
        pins: BTreeMap::new(),
        trigger: asked.trigger.clone().into(),
        origin: Origin { contact: asked.contact, ..Origin::default() },
    };
    let mut run =
        Run::fold_owned(id, vec![Recorded { seq: 0, at: now, event: created }]).map_err(|_| Problem::internal())?;
    for placed in workflow.all_steps() {
        let given = asked.outputs.get(&placed.step.id).cloned();
        if let Some(output) = given.or_else(|| sampled(placed.step)) {
            let state = StepState { phase: Phase::Succeeded, output: Some(output), ..StepState::default() };
            run.steps.insert(StepRef::new(placed.step.id.clone(), &[]), state);
        }
    }
    Ok(run)
}

/// What the author says that the step's answer looks like.
fn sampled(step: &Step) -> Option<Value> {
    match step.action()?.response.as_ref()? {
        Response::Sample(sample) => {
            let mut output = json!({ "status": 200, "headers": {}, "body_encoding": "json", "duration_ms": 0 });
            output.as_object_mut()?.insert(MEMBER.to_owned(), sample.clone());
            Some(output)
        }
        Response::Schema(_) => None,
    }
}

fn locals<'a>(
    compiled: &'a CompiledWorkflow,
    loops: impl Iterator<Item = &'a flowcell_core::workflow::compiled::Enclosing>,
    asked: &'a Asked,
) -> Vec<Local<'a>> {
    let names = loops.filter_map(|around| match &compiled.workflow.step(&around.step)?.kind {
        StepKind::ForEach(each) => Some(each.item_name.as_str()),
        _ => None,
    });
    let mut locals = Vec::new();
    for name in names {
        locals.extend(asked.items.get(name).map(|item| Local { name, value: Cow::Borrowed(item) }));
        locals.push(Local { name: "loop", value: Cow::Owned(json!({ "index": 0, "count": 1 })) });
    }
    locals
}

fn unrendered(asked: &Asked, error: &ExpressionError) -> Problem {
    let detail = format!(
        "The input of `{}` cannot be built: {} (at `with{}`). Give what it reads: `trigger`, the `outputs` of the steps before, the `items` of the loops around.",
        asked.step, error.message, error.pointer
    );
    let fault =
        Fault { pointer: format!("/with{}", error.pointer), message: error.message.clone(), ..Fault::default() };
    Problem::new(Kind::InvalidRequest, detail).with_errors(vec![fault])
}
