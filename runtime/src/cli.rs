//! The command line: parses it, runs one command, turns what went wrong into a message and an exit code.
//! Commands that need a server talk to its REST API only.

mod check;
mod config;
mod connection;
mod contact;
mod control;
mod curl;
mod dead_letter;
mod destination;
mod document;
mod event;
mod inbox;
pub(crate) mod input;
mod key_value;
mod logs;
mod output;
mod pin_data;
mod plugin;
mod rehearse;
mod rerun;
mod run;
mod schedule;
mod schema;
mod secrets;
mod serve;
mod start;
mod test;
mod trigger;
mod user;
mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::Value;
use url::Url;

use crate::client::{Client, ClientError, Tokens};
use crate::config::Environment;
use output::Output;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the command found a problem: a bad file, a refusal, with --wait a run that did not succeed
  2  the command line is not right; with `test` a file is not
  3  no server answers
  4  the server wants another token

Environment:
  FLOWCELL_SERVER  the server's address, before the default http://127.0.0.1:8080
  FLOWCELL_TOKEN   the token to send
  FLOWCELL_LOG     what `serve` logs, as `log` in the configuration
  NO_COLOR         prints no colours";

/// Runs automations; every trigger and action is a plugin in a cell of its own.
#[derive(Debug, Parser)]
#[command(name = "flowcell", version, after_help = EXIT_CODES, max_term_width = 110, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The server's address [default: FLOWCELL_SERVER, or http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    server: Option<Url>,
    /// The token to send [default: FLOWCELL_TOKEN, or the one in --data]
    #[arg(long, global = true, value_name = "TOKEN", help_heading = "Server")]
    token: Option<String>,
    /// The data directory: of `serve`, and where other commands find the administrator's token
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Serve(serve::Serve),
    /// Check workflow files without a server
    Check(check::Check),
    /// Run the test cases beside workflows, without a server
    Test(test::Test),
    /// Apply, list, show, start and try workflows
    #[command(subcommand)]
    Workflow(workflow::Command),
    /// List, show and cancel runs, and decide about parked steps
    #[command(subcommand)]
    Run(run::Command),
    /// Find deliveries that did not arrive, and send them again
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    /// See how it goes at the receivers of deliveries
    #[command(subcommand)]
    Destination(destination::Command),
    /// Follow what runs do, line by line
    Logs(logs::Logs),
    /// Show when schedules come
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Send events by name
    #[command(subcommand)]
    Event(event::Command),
    /// Show what starts a workflow and what came to it, follow requests, map and rotate
    #[command(subcommand)]
    Trigger(trigger::Command),
    /// Add, list, test, rotate and remove the credentials that steps use
    #[command(subcommand)]
    Connection(connection::Command),
    /// Add, find, change and delete contacts, and define their fields
    #[command(subcommand)]
    Contact(contact::Command),
    /// Add, list, change and remove the people who are told something
    #[command(subcommand)]
    User(user::Command),
    /// Read what came to somebody's inbox
    #[command(subcommand)]
    Inbox(inbox::Command),
    /// List, show and delete what plugins keep between calls
    #[command(subcommand)]
    KeyValue(key_value::Command),
    /// Look after the key that stored secrets are sealed with
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// List, inspect and build plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Turn cURL commands into steps, and steps into cURL commands
    #[command(subcommand)]
    Curl(curl::Command),
    /// Print the configuration with its comments
    #[command(subcommand)]
    Config(config::Command),
    /// Print the JSON Schema of workflow files or test files, for editors
    Schema(schema::Schema),
    /// Compile a plugin; the server starts this itself
    #[command(name = "__compile", hide = true)]
    Compile { order: Vec<std::ffi::OsString> },
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The message is printed already, as part of the output.
    Reported,
    /// The same, and it is a file that is wrong.
    WrongFile,
    Usage(String),
    Client(ClientError),
    Other(anyhow::Error),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// The program.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return unparsable(&error),
    };
    let environment = Environment::read();
    let mut output = Output::new(cli.global.json, environment.no_color);
    if let Command::Compile { order } = cli.command {
        return flowcell_sandbox::compile::child::child_main(order);
    }
    match dispatch(cli, &environment, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, &output),
    }
}

/// Says what is wrong with the command line; also answers `--help` and `--version`.
fn unparsable(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        Output::new(true, true)
            .document(&problem("The command line is not right", error.render().to_string().trim_end()));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn dispatch(cli: Cli, environment: &Environment, output: &mut Output) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Serve(serve) => serve::run(serve, &global, environment, output),
        Command::Check(check) => check::run(&check, output),
        Command::Curl(command) => curl::run(&command, &global, environment, output),
        Command::Config(command) => config::run(&command, output),
        Command::Schema(schema) => {
            schema::run(&schema, output);
            Ok(())
        }
        Command::Schedule(schedule::Command::Next(next)) => schedule::next(&next, output),
        Command::Schedule(schedule::Command::List) => {
            with_server(&global, environment, async |client| schedule::list(client, output).await)
        }
        Command::Test(test) => test::run(&test, &global, environment, output),
        Command::Plugin(plugin::Command::Inspect(inspect)) => plugin::inspect::run(&inspect, output),
        Command::Plugin(plugin::Command::Build(build)) => plugin::build::run(&build, output),
        Command::Plugin(plugin::Command::Examples(examples)) => {
            plugin::examples::run(&examples, &global, environment, output)
        }
        Command::Plugin(plugin::Command::List) => {
            with_server(&global, environment, async |client| plugin::list(client, output).await)
        }
        Command::Workflow(workflow::Command::Run(rehearse)) => rehearse::run(&rehearse, &global, environment, output),
        Command::Workflow(workflow::Command::RenameStep(rename)) => workflow::rename_step(&rename, output),
        Command::Plugin(plugin::Command::Options(options)) => {
            with_server(&global, environment, async |client| plugin::options::run(&options, client, output).await)
        }
        Command::Plugin(plugin::Command::Release(release)) => {
            with_server(&global, environment, async |client| plugin::release(&release, client, output).await)
        }
        Command::Workflow(command) => {
            with_server(&global, environment, async |client| workflow::run(command, client, output).await)
        }
        Command::Run(command) => {
            with_server(&global, environment, async |client| run::run(command, client, output).await)
        }
        Command::DeadLetter(command) => {
            with_server(&global, environment, async |client| dead_letter::run(&command, client, output).await)
        }
        Command::Destination(command) => {
            with_server(&global, environment, async |client| destination::run(&command, client, output).await)
        }
        Command::Logs(args) => with_server(&global, environment, async |client| logs::run(&args, client, output).await),
        Command::Event(command) => {
            with_server(&global, environment, async |client| event::run(&command, client, output).await)
        }
        Command::Trigger(command) => {
            with_server(&global, environment, async |client| trigger::run(&command, client, output).await)
        }
        Command::Connection(command) => {
            with_server(&global, environment, async |client| connection::run(command, client, output).await)
        }
        Command::Contact(command) => {
            with_server(&global, environment, async |client| contact::run(&command, client, output).await)
        }
        Command::User(command) => {
            with_server(&global, environment, async |client| user::run(&command, client, output).await)
        }
        Command::Inbox(command) => {
            with_server(&global, environment, async |client| inbox::run(&command, client, output).await)
        }
        Command::KeyValue(command) => {
            with_server(&global, environment, async |client| key_value::run(&command, client, output).await)
        }
        Command::Secrets(secrets::Command::NewKey) => {
            secrets::new_key(output);
            Ok(())
        }
        Command::Secrets(secrets::Command::Show) => {
            with_server(&global, environment, async |client| secrets::show(client, output).await)
        }
        Command::Secrets(secrets::Command::RotateKey) => {
            with_server(&global, environment, async |client| secrets::rotate_key(client, output).await)
        }
        Command::Compile { .. } => Ok(()), // answered before
    }
}

/// Runs a command that talks to the server.
fn with_server(
    global: &Global,
    environment: &Environment,
    command: impl AsyncFnOnce(&Client) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let server = match (&global.server, &environment.server) {
        (Some(url), _) => url.clone(),
        (None, Some(text)) => text
            .parse()
            .map_err(|error| Failure::Usage(format!("FLOWCELL_SERVER is `{text}`, which is no URL: {error}")))?,
        (None, None) => "http://127.0.0.1:8080".parse().map_err(anyhow::Error::from)?,
    };
    if !matches!(server.scheme(), "http" | "https") {
        return Err(Failure::Usage(format!("the server's address `{server}` has to begin with http:// or https://")));
    }
    let tokens = Tokens {
        option: global.token.as_deref(),
        environment: environment.token.as_deref(),
        data: global.data.as_deref(),
    };
    let token = tokens.choose(&server).map_err(|error| Failure::Usage(error.to_string()))?;
    let client = Client::new(server, token);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(command(&client))
}

/// Asks whether to go on; without a terminal nobody answers, which is no.
fn confirmed(question: &str) -> Result<bool, Failure> {
    use std::io::{IsTerminal, Write};
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut error = std::io::stderr().lock();
    write!(error, "{question} [y/N] ").and_then(|()| error.flush()).map_err(anyhow::Error::from)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(anyhow::Error::from)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A failure as programs read it: like the server's problem documents, as far as there is something to say.
fn problem(title: &str, detail: &str) -> Value {
    serde_json::json!({ "title": title, "detail": detail })
}

/// What `--json` prints when a command fails; nothing when it has printed its document already.
fn failure_document(failure: &Failure) -> Option<Value> {
    Some(match failure {
        Failure::Reported | Failure::WrongFile => return None,
        Failure::Usage(message) => problem("The command line is not right", message),
        Failure::Client(ClientError::Problem(document)) => serde_json::json!(document),
        Failure::Client(error @ ClientError::Unreachable { .. }) => problem("No server answers", &error.to_string()),
        Failure::Client(error @ ClientError::Foreign { .. }) => problem("This is not Flowcell", &error.to_string()),
        Failure::Other(error) => problem("The command found a problem", &chain(error)),
    })
}

/// Prints what went wrong and says how the process ends.
fn report(failure: &Failure, output: &Output) -> ExitCode {
    if let Some(document) = failure_document(failure).filter(|_| output.is_json()) {
        output.document(&document);
    }
    match failure {
        Failure::Reported => ExitCode::from(1),
        Failure::WrongFile => ExitCode::from(2),
        Failure::Usage(message) => {
            let _ = Cli::command().error(clap::error::ErrorKind::ValueValidation, message).print();
            ExitCode::from(2)
        }
        Failure::Client(error) => {
            output.error(&error.to_string());
            match error {
                ClientError::Unreachable { .. } => ExitCode::from(3),
                ClientError::Problem(problem) if problem.status == 401 => {
                    output.help("send the token with --token or FLOWCELL_TOKEN, or let --data DIR read it from the server's data directory");
                    ExitCode::from(4)
                }
                ClientError::Problem(problem) => {
                    for fault in &problem.errors {
                        let place =
                            if fault.pointer.is_empty() { String::new() } else { format!("{}: ", fault.pointer) };
                        output.error(&format!("{place}{}", fault.message));
                        if let Some(help) = &fault.help {
                            output.help(help);
                        }
                    }
                    ExitCode::from(1)
                }
                ClientError::Foreign { .. } => ExitCode::from(1),
            }
        }
        Failure::Other(error) => {
            output.error(&chain(error));
            ExitCode::from(1)
        }
    }
}

/// An error and its causes in one line; causes that only repeat what was said are left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests;
