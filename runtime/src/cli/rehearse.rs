//! `flowcell workflow run FILE --dry`: what a workflow would do, without a server and without anything leaving this machine.

pub(crate) mod page;
mod words;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use flowcell_core::invoke::WebhookRequest;
use flowcell_core::ports::Clock as _;
use flowcell_core::run::fold::RunStatus;
use flowcell_core::testcase::Suite;
use flowcell_core::time::Timestamp;
use flowcell_core::workflow::problem::Problem;
use flowcell_core::workflow::text::Located;
use serde_json::{Value, json};

use crate::cli::output::Output;
use crate::cli::{Failure, Global, input};
use crate::clock::SystemClock;
use crate::config::{Config, Environment};
use crate::rehearsal::files::{self, NotReady};
use crate::rehearsal::{Cue, NoRun, Played, Ready, Script, Stage, live};

pub(crate) use words::plural;

/// An input or a body: as much as the ingress takes by default, and a run's first event holds.
const INPUT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    #[command(flatten)]
    source: Source,
    /// Send nothing: show every request as it would be sent
    #[arg(long)]
    dry: bool,
    /// Send for real
    #[arg(long, conflicts_with_all = ["dry", "pins", "case", "now"])]
    send: bool,
}

/// What is played.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The workflow, YAML or JSON
    file: PathBuf,
    /// What the workflow reads as `trigger`, YAML or JSON; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The body of a POST to the trigger's URL; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    body: Option<PathBuf>,
    /// A test file; what it pins for all cases stands in
    #[arg(long, value_name = "FILE")]
    pins: Option<PathBuf>,
    /// A case of that file: its pins, its trigger and its time
    #[arg(long, value_name = "NAME", requires = "pins")]
    case: Option<String>,
    /// What the clock says when the run begins [default: the time it is]
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// A workflow that this one calls; those that lie beside it are found
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// A folder with more plugins than the built-in ones
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// The server's configuration file, for the grants, limits and plugin folders in it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: &Rehearse, global: &Global, environment: &Environment, output: &Output) -> Result<(), Failure> {
    if !args.dry {
        return without_dry(args, global, environment, output);
    }
    let (played, ready, others) = rehearsed(&args.source, (global, environment), output)?;
    show(played, (&ready, &others), page::Mode::Dry, output)
}

/// Plays a workflow without sending anything.
pub(crate) fn play(
    args: &Source,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<Played, Failure> {
    let (played, ..) = rehearsed(args, (global, environment), output)?;
    played.map_err(no_run)
}

type Rehearsed = (Result<Played, NoRun>, Ready, Vec<Ready>);

fn rehearsed(args: &Source, around: (&Global, &Environment), output: &Output) -> Result<Rehearsed, Failure> {
    let stage = open_stage(args.config.as_deref(), &args.plugins, around)?;
    let (ready, others) = workflows(args, &stage, output)?;
    stage.prepare(others.iter().chain([&ready]))?;
    let mut script = Script {
        workflow: &ready,
        others: &others,
        start: Cue::Trigger(Value::Null),
        now: args.now.unwrap_or_else(|| SystemClock.now()),
        pins: flowcell_core::testcase::Pins::default(),
        answers: Vec::new(),
    };
    if let Some(file) = &args.pins {
        take_pins(&mut script, file, args.case.as_deref(), output)?;
    }
    if let Some(now) = args.now {
        script.now = now;
    }
    match (&args.input, &args.body) {
        (Some(file), _) => script.start = Cue::Trigger(read_input(file)?),
        (None, Some(file)) => script.start = Cue::Request(request_with(input::read_any(file, INPUT_BYTES_MAX)?)),
        (None, None) => {}
    }
    let played = stage.play(script);
    Ok((played, ready, others))
}

fn no_run(reason: NoRun) -> Failure {
    match reason {
        NoRun::NotStarted(said) => anyhow!("there is no run: {said}").into(),
        NoRun::Other(error) => error.into(),
    }
}

/// Sends for real, if that is what is wanted.
fn without_dry(args: &Rehearse, global: &Global, environment: &Environment, output: &Output) -> Result<(), Failure> {
    let file = args.source.file.display();
    if !args.send {
        let said = format!("this would run {file} for real, and its requests would be sent");
        if output.is_json() || !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(format!("{said}. Add --dry to see them and send none, or --send to send them")));
        }
        ask(&format!("{said}. Send them?"))?;
    }
    let args = &args.source;
    if args.body.is_some() {
        return Err(Failure::Usage(
            "--body goes with --dry; give what the workflow reads as `trigger` with --input".to_owned(),
        ));
    }
    let stage = open_stage(args.config.as_deref(), &args.plugins, (global, environment))?;
    let (ready, others) = workflows(args, &stage, output)?;
    let trigger = args.input.as_deref().map(read_input).transpose()?.unwrap_or(Value::Null);
    let mut config = configuration(args.config.as_deref())?;
    config.plugins.folders.extend(args.plugins.iter().cloned());
    let played = live::send(&config, cache(global, environment), (&ready, &others), trigger);
    show(played, (&ready, &others), page::Mode::Sent, output)
}

/// Goes on at a yes.
fn ask(question: &str) -> Result<(), Failure> {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(anyhow::Error::from)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(anyhow!("nothing was sent").into()) }
}

/// The workflow and those that it names.
fn workflows(args: &Source, stage: &Stage, output: &Output) -> Result<(Ready, Vec<Ready>), Failure> {
    let ready = files::read(&args.file, stage).map_err(|error| not_ready(error, output))?;
    let mut others = read_all(&args.with, stage, output)?;
    add_others(&mut others, files::beside(&args.file, &ready, stage).map_err(|error| not_ready(error, output))?);
    Ok((ready, others))
}

/// Prints what was played; a run that did not succeed is a failure of the command.
fn show(
    played: Result<Played, NoRun>,
    (ready, others): (&Ready, &[Ready]),
    mode: page::Mode,
    output: &Output,
) -> Result<(), Failure> {
    let played = played.map_err(no_run)?;
    if output.is_json() {
        output.document(&document(&played, mode));
    } else {
        page::print(&played, (ready, others), mode, output);
    }
    if played.story.status == RunStatus::Succeeded { Ok(()) } else { Err(Failure::Reported) }
}

fn configuration(file: Option<&Path>) -> Result<Config, Failure> {
    Ok(match file {
        Some(file) => Config::load(file).map_err(anyhow::Error::from)?,
        None => Config::default(),
    })
}

/// Where compiled plugins are kept from one command to the next.
fn cache(global: &Global, environment: &Environment) -> PathBuf {
    match (&global.data, &environment.cache) {
        (Some(data), _) => data.join("cache"),
        (None, Some(cache)) => cache.join("flowcell"),
        (None, None) => std::env::temp_dir().join("flowcell-cache"),
    }
}

/// Sets the stage as the command line says.
pub(crate) fn open_stage(
    config: Option<&Path>,
    plugins: &[PathBuf],
    (global, environment): (&Global, &Environment),
) -> Result<Stage, Failure> {
    let config = configuration(config)?;
    let folders = [config.plugins.folders.as_slice(), plugins].concat();
    Ok(Stage::open(&config, &folders, cache(global, environment))?)
}

/// Reads several workflow files.
pub(crate) fn read_all(paths: &[PathBuf], stage: &Stage, output: &Output) -> Result<Vec<Ready>, Failure> {
    paths.iter().map(|file| files::read(file, stage).map_err(|error| not_ready(error, output))).collect()
}

/// Adds those that are not there yet.
pub(crate) fn add_others(others: &mut Vec<Ready>, more: Vec<Ready>) {
    for ready in more {
        if !others.iter().any(|other| other.workflow.id == ready.workflow.id) {
            others.push(ready);
        }
    }
}

/// Prints what is wrong with a file.
pub(crate) fn not_ready(error: NotReady, output: &Output) -> Failure {
    match error {
        NotReady::Unreadable(error) => Failure::Other(error),
        NotReady::Wrong { file, problems } => {
            report_problems(&file, &problems, output);
            Failure::Reported
        }
    }
}

pub(crate) fn report_problems(file: &str, problems: &[Problem], output: &Output) {
    if output.is_json() {
        output.document(&json!({ "title": "The file is not right", "file": file, "problems": problems }));
    }
    for problem in problems {
        output.error(&problem.in_file(file).to_string());
    }
}

/// Reads JSON or YAML.
pub(crate) fn read_input(file: &Path) -> anyhow::Result<Value> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let bytes = input::read_any(file, INPUT_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{name} is not UTF-8 text; an input is JSON or YAML"))?;
    // JSON first: it is read whatever its size, and its numbers as they are.
    match serde_json::from_str(&text) {
        Ok(value) => Ok(value),
        Err(error) if text.trim_start().starts_with(['{', '[']) => {
            Err(error).with_context(|| format!("{name} is not JSON"))
        }
        Err(_) => {
            Located::read(&text).map(|located| located.value).map_err(|problem| anyhow!("{}", problem.in_file(&name)))
        }
    }
}

/// The request that `curl --data` would send: JSON if it reads as such.
fn request_with(body: Vec<u8>) -> WebhookRequest {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    WebhookRequest {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body,
    }
}

fn take_pins(script: &mut Script<'_>, file: &Path, case: Option<&str>, output: &Output) -> Result<(), Failure> {
    let name = file.display().to_string();
    let text = input::read_workflow(file)?;
    let wrong = |problems: &[Problem]| {
        report_problems(&name, problems, output);
        Failure::Reported
    };
    let suite = Suite::parse(&text).map_err(|problems| wrong(&problems))?;
    let problems = suite.check(&script.workflow.workflow);
    if !problems.is_empty() {
        return Err(wrong(&problems));
    }
    let Some(case) = case else {
        (script.pins, script.answers) = (suite.pins, suite.answers);
        return Ok(());
    };
    let names: Vec<String> = suite.cases.iter().map(|case| case.name.clone()).collect();
    let Some(case) = suite.cases.into_iter().find(|found| found.name == case) else {
        return Err(anyhow!("{name} has no case `{case}`; its cases are: {}", names.join("; ")).into());
    };
    script.start = super::test::cue(&case.start, file)?;
    (script.pins, script.answers, script.now) = (case.pins, case.answers, case.now);
    Ok(())
}

/// A rehearsal as programs read it.
fn document(played: &Played, mode: page::Mode) -> Value {
    json!({
        "dry": mode == page::Mode::Dry,
        "run": played.story,
        "others": played.others.iter().map(|(story, _)| story).collect::<Vec<_>>(),
        "notes": played.notes,
        "journal": played.journal,
    })
}
