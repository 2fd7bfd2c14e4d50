//! `flowcell test PATH…`: runs the test cases beside workflows and says what is not as expected.

mod find;
mod junit;
mod report;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use flowcell_core::invoke::WebhookRequest;
use flowcell_core::ports::Clock as _;
use flowcell_core::testcase::{Case, Mismatch, Start, StartRequest, Suite};
use flowcell_core::workflow::problem::Problem;

use crate::cli::output::Output;
use crate::cli::rehearse::{add_others, open_stage, read_input};
use crate::cli::{Failure, Global, input};
use crate::clock::SystemClock;
use crate::config::Environment;
use crate::rehearsal::files::{self, NotReady};
use crate::rehearsal::{Cue, NoRun, Played, Ready, Script, Stage};

/// What a file may have at most that a case names: as much as an input.
const FILE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Test files (NAME.tests.yaml), workflow files, or folders with them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write the results as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Only cases with this in their name
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// A folder with more plugins than the built-in ones
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// The server's configuration file, for the grants, limits and plugin folders in it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A test file and what came of it.
#[derive(Debug)]
struct Tested {
    file: PathBuf,
    result: Result<Vec<Outcome>, Wrong>,
}

/// A file that cannot be tested.
#[derive(Debug)]
enum Wrong {
    Message(String),
    Problems { file: String, problems: Vec<Problem> },
}

/// A case and what came of it.
#[derive(Debug)]
struct Outcome {
    name: String,
    line: usize,
    mismatches: Vec<Mismatch>,
    notes: Vec<String>,
    took_ms: u64,
}

pub(crate) fn run(args: &Test, global: &Global, environment: &Environment, output: &Output) -> Result<(), Failure> {
    let files = find::test_files(&args.paths)?;
    let stage = open_stage(args.config.as_deref(), &args.plugins, (global, environment))?;
    let mut all = Vec::with_capacity(files.len());
    for file in files {
        let result = test_file(&file, &stage, args.filter.as_deref());
        let tested = Tested { file, result };
        if !output.is_json() {
            report::print(&tested, output);
        }
        all.push(tested);
    }
    if output.is_json() {
        output.document(&report::document(&all));
    } else {
        report::print_sum(&all, output);
    }
    if let Some(file) = &args.junit {
        let text = junit::write(&all);
        std::fs::write(file, text).map_err(|error| anyhow!("{} cannot be written: {error}", file.display()))?;
    }
    let is_wrong = all.iter().any(|tested| tested.result.is_err());
    let outcomes = || all.iter().filter_map(|tested| tested.result.as_ref().ok()).flatten();
    if is_wrong {
        return Err(Failure::WrongFile);
    }
    if let Some(filter) = args.filter.as_ref().filter(|_| outcomes().next().is_none()) {
        return Err(Failure::Usage(format!("no case has `{filter}` in its name")));
    }
    if outcomes().all(|outcome| outcome.mismatches.is_empty()) { Ok(()) } else { Err(Failure::Reported) }
}

fn test_file(file: &Path, stage: &Stage, filter: Option<&str>) -> Result<Vec<Outcome>, Wrong> {
    let wrong = |problems| Wrong::Problems { file: file.display().to_string(), problems };
    let text = input::read_workflow(file).map_err(|error| Wrong::Message(format!("{error:#}")))?;
    let suite = Suite::parse(&text).map_err(wrong)?;
    let workflow = find::workflow_of(file, &suite)?;
    let ready = files::read(&workflow, stage)?;
    let problems = suite.check(&ready.workflow);
    if !problems.is_empty() {
        return Err(wrong(problems));
    }
    let mut others = Vec::new();
    for other in &suite.workflows {
        add_others(&mut others, vec![files::read(&beside(file, other), stage)?]);
    }
    add_others(&mut others, files::beside(&workflow, &ready, stage)?);
    stage.prepare(others.iter().chain([&ready])).map_err(|error| Wrong::Message(format!("{error:#}")))?;
    let cases = suite.cases.iter().filter(|case| filter.is_none_or(|part| case.name.contains(part)));
    cases.map(|case| test_case(case, file, (&ready, &others), stage)).collect()
}

fn test_case(case: &Case, file: &Path, workflows: (&Ready, &[Ready]), stage: &Stage) -> Result<Outcome, Wrong> {
    let began_at = SystemClock.now();
    let start = cue(&case.start, file).map_err(|error| Wrong::Message(format!("case `{}`: {error:#}", case.name)))?;
    let (workflow, others) = workflows;
    let script =
        Script { workflow, others, start, now: case.now, pins: case.pins.clone(), answers: case.answers.clone() };
    let (mismatches, notes) = match stage.play(script) {
        Ok(Played { story, notes, .. }) => (case.expect.check(&story), notes),
        Err(NoRun::NotStarted(said)) => {
            (vec![case.expect.without_run(&said)].into_iter().flatten().collect(), Vec::new())
        }
        Err(NoRun::Other(error)) => return Err(Wrong::Message(format!("case `{}`: {error:#}", case.name))),
    };
    let took_ms = u64::try_from(SystemClock.now().since(began_at).as_millis()).unwrap_or(u64::MAX);
    Ok(Outcome { name: case.name.clone(), line: case.line, mismatches, notes, took_ms })
}

/// What starts a case's run; the files it names lie beside `file`.
pub(crate) fn cue(start: &Start, file: &Path) -> anyhow::Result<Cue> {
    Ok(match start {
        Start::Trigger(trigger) => Cue::Trigger(trigger.clone()),
        Start::TriggerFile(name) => Cue::Trigger(read_input(&beside(file, name))?),
        Start::Request(request) => Cue::Request(webhook_request(request, file)?),
    })
}

fn webhook_request(request: &StartRequest, file: &Path) -> anyhow::Result<WebhookRequest> {
    let (body, content_type) = match (&request.json, &request.text, &request.file) {
        (Some(json), ..) => (json.to_string().into_bytes(), Some("application/json")),
        (None, Some(text), _) => (text.clone().into_bytes(), Some("text/plain; charset=utf-8")),
        (None, None, Some(name)) => {
            let body = input::read_file(&beside(file, name), FILE_BYTES_MAX)?;
            let is_json = Path::new(name).extension().is_some_and(|extension| extension == "json");
            (body, is_json.then_some("application/json"))
        }
        (None, None, None) => (Vec::new(), None),
    };
    let mut headers: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    if let Some(content_type) =
        content_type.filter(|_| !request.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")))
    {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    let (method, query) = (request.method.to_ascii_uppercase(), request.query.clone());
    Ok(WebhookRequest { method, path: "/".to_owned(), query, headers, body })
}

/// A file that is named relative to another.
fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

impl From<NotReady> for Wrong {
    fn from(error: NotReady) -> Self {
        match error {
            NotReady::Unreadable(error) => Self::Message(format!("{error:#}")),
            NotReady::Wrong { file, problems } => Self::Problems { file, problems },
        }
    }
}
