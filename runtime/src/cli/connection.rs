//! `flowcell connection add|list|show|connect|test|rotate|edit|allow|usage|remove`.

mod add;
mod connect;
mod secret;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable, table};
use crate::cli::{Failure, confirmed};
use crate::client::Client;
use secret::Source;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store a credential for steps to use; they never see it
    Add(Box<add::Add>),
    /// List the connections
    List,
    /// Show what is known of a connection; its secret is shown by nothing
    Show(Name),
    /// Consent to an OAuth connection in a browser
    Connect(connect::Connect),
    /// Send one request with the credentials, and show how it was answered
    Test(Test),
    /// Give a connection another secret; runs that waited for it go on
    Rotate(Rotate),
    /// Change the note, or take hosts away
    Edit(Edit),
    /// Let the steps of a plugin use a connection, or no more
    Allow(Allow),
    /// Show which workflows and plugins use a connection, and where it was sent
    Usage(Name),
    /// Remove a connection and its secret
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The connection's name
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The connection's name
    name: String,
    /// Where to send the request: an address that the connection is bound to. For smtp there is none: it signs in and sends nothing
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// GET, HEAD, POST, …
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The connection's name
    name: String,
    #[command(flatten)]
    secret: Source,
    /// Where the secret may go from now on, in the place of the hosts before
    #[arg(long, value_name = "RULE")]
    host: Vec<String>,
    /// How long the secret before counts beside it, of kinds that sign: 7d, 12h, 0 [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = time)]
    overlap: Option<u64>,
    /// Let Flowcell make the secret, and show it once
    #[arg(long, conflicts_with_all = ["secret_file", "secret_env"])]
    generate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The connection's name
    name: String,
    /// Who it is for, in your words
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The hosts that stay
    #[arg(long, value_name = "RULE")]
    host: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Allow {
    /// The connection's name
    name: String,
    /// The plugin, such as flowcell/custom-webhook
    plugin: String,
    /// Take the permission away
    #[arg(long)]
    revoke: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The connection's name
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Reads `90s`, `15m`, `12h`, `7d` or `0`, in milliseconds.
fn time(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time; write 90s, 15m, 12h, 7d or 0");
    if text == "0" {
        return Ok(0);
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor: u64 = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok()).ok_or_else(wrong)?;
    number.checked_mul(factor).ok_or_else(wrong)
}

pub(crate) async fn run(command: Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Add(args) => add::add(&args, client, output).await,
        Command::List => list(client, output).await,
        Command::Show(args) => show(&args, client, output).await,
        Command::Connect(args) => connect::run(&args, client, output).await,
        Command::Test(args) => test(&args, client, output).await,
        Command::Rotate(args) => rotate(&args, client, output).await,
        Command::Edit(args) => edit(&args, client, output).await,
        Command::Allow(args) => allow(&args, client, output).await,
        Command::Usage(args) => usage(&args, client, output).await,
        Command::Remove(args) => remove(&args, client, output).await,
    }
}

fn path(name: &str) -> String {
    format!("connections/{}", path_segment(name))
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get("connections").await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let rows: Vec<_> = items(&document, "/connections")
        .iter()
        .map(|connection| {
            [
                text_of(connection, "/name"),
                text_of(connection, "/kind"),
                text_of(connection, "/state/is"),
                joined(connection, "/hosts", if at(connection, "/anywhere") == true { "anywhere" } else { "-" }),
                joined(connection, "/plugins", "-"),
                or_dash(text_of(connection, "/usage/last_used_at")),
            ]
        })
        .collect();
    if rows.is_empty() {
        output.line("There are no connections. `flowcell connection add NAME --kind bearer --host https://… --plugin …` makes one.");
        return Ok(());
    }
    table(output, ["NAME", "KIND", "STATE", "HOSTS", "PLUGINS", "LAST USED"], &rows);
    Ok(())
}

async fn show(args: &Name, client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get(&path(&args.name)).await?;
    print(&document, output);
    Ok(())
}

/// What is known of a connection.
fn print(document: &Value, output: &Output) {
    if output.is_json() {
        output.document(document);
        return;
    }
    let state = text_of(document, "/state/is");
    let style = if state == "ready" { Style::Good } else { Style::Warn };
    output.line(format!(
        "{} ({})",
        output.paint(Style::Strong, text_of(document, "/name")),
        text_of(document, "/kind")
    ));
    output.line(format!("  state      {}", output.paint(style, &state)));
    let reason = text_of(document, "/state/reason");
    if !reason.is_empty() {
        output.line(format!("  because    {reason}"));
    }
    for (key, value) in at(document, "/settings").as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        output.line(printable(&format!("  {:<10} {value}", key.replace('_', " "))));
    }
    output.line(format!(
        "  goes to    {}",
        joined(
            document,
            "/hosts",
            if at(document, "/anywhere") == true { "anywhere: it only signs" } else { "nowhere" }
        )
    ));
    output.line(format!("  for        {}", joined(document, "/plugins", "no plugin")));
    let note = text_of(document, "/note");
    if !note.is_empty() {
        output.line(format!("  note       {note}"));
    }
    output.line(format!("  last used  {}", or_dash(text_of(document, "/usage/last_used_at"))));
}

async fn test(args: &Test, client: &Client, output: &Output) -> Result<(), Failure> {
    let body = match &args.url {
        Some(url) => json!({ "url": url, "method": args.method }),
        None => json!({}),
    };
    let document = client.post_json(&format!("{}/test", path(&args.name)), Some(&body)).await?;
    let is_good = at(&document, "/is_accepted").as_bool() == Some(true);
    if output.is_json() {
        output.document(&document);
    } else {
        let (mark, style) = if is_good { ("✓", Style::Good) } else { ("✗", Style::Bad) };
        output.line(format!("{} {}", output.paint(style, mark), text_of(&document, "/message")));
    }
    if is_good { Ok(()) } else { Err(Failure::Reported) }
}

async fn rotate(args: &Rotate, client: &Client, output: &Output) -> Result<(), Failure> {
    let stored = client.get(&path(&args.name)).await?;
    let mut body = Map::new();
    if !args.generate
        && let Some(secret) = args.secret.read(&stored)?
    {
        body.insert("secret".to_owned(), secret);
    }
    if !args.host.is_empty() {
        body.insert("hosts".to_owned(), json!(args.host));
    }
    if let Some(overlap) = args.overlap {
        body.insert("overlap_ms".to_owned(), json!(overlap));
    }
    let document = client.post_json(&format!("{}/rotate", path(&args.name)), Some(&Value::Object(body))).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    output.line(format!("{} {} has another secret", output.paint(Style::Good, "✓"), args.name));
    generated(&document, output);
    let until = text_of(&document, "/previous_valid_until");
    if !until.is_empty() {
        output.line(format!("  the one before counts until {until}"));
    }
    for run in items(&document, "/run_ids") {
        output.line(format!("  {} goes on", text_of(run, "")));
    }
    Ok(())
}

/// Shows a secret that Flowcell has made: this once.
fn generated(document: &Value, output: &Output) {
    let secret = text_of(document, "/generated/secret");
    if secret.is_empty() {
        return;
    }
    output.line(format!("  secret      {}", output.paint(Style::Strong, secret)));
    let public_key = text_of(document, "/generated/public_key");
    if !public_key.is_empty() {
        output.line(format!("  public key  {public_key}"));
    }
    output.line("  This is the only time that the secret is shown: give it to the other side now.");
}

async fn edit(args: &Edit, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(note) = &args.note {
        body.insert("note".to_owned(), json!(note));
    }
    if !args.host.is_empty() {
        body.insert("hosts".to_owned(), json!(args.host));
    }
    let document = client.send_json(Method::PATCH, &path(&args.name), &Value::Object(body)).await?;
    print(&document, output);
    Ok(())
}

async fn allow(args: &Allow, client: &Client, output: &Output) -> Result<(), Failure> {
    let (publisher, plugin) = args
        .plugin
        .split_once('/')
        .ok_or_else(|| Failure::Usage(format!("`{}` is no plugin; write publisher/name", args.plugin)))?;
    let path = format!("{}/plugins/{}/{}", path(&args.name), path_segment(publisher), path_segment(plugin));
    let method = if args.revoke { Method::DELETE } else { Method::PUT };
    let document = client.change(method, &path).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let plugins = joined(&document, "/plugins", "no plugin");
    output.line(format!("{} {} is for {plugins}", output.paint(Style::Good, "✓"), args.name));
    Ok(())
}

async fn usage(args: &Name, client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get(&format!("{}/usage", path(&args.name))).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    output.line(output.paint(Style::Strong, text_of(&document, "/name")));
    for workflow in items(&document, "/workflows") {
        let part = |pointer: &str, what: &str| {
            let steps = joined(workflow, pointer, "");
            (!steps.is_empty()).then(|| format!("{what}: {steps}"))
        };
        let verifies = at(workflow, "/verifies") == true;
        let parts = [
            part("/steps", "steps"),
            part("/default_steps", "by default"),
            verifies.then(|| "verifies its trigger's requests".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        output.line(format!("  workflow   {} ({})", text_of(workflow, "/id"), parts.join("; ")));
    }
    if items(&document, "/workflows").is_empty() {
        output.line("  workflow   none that is published");
    }
    output.line(format!("  plugins    {}", joined(&document, "/plugins_seen", "none so far")));
    output.line(format!("  sent to    {}", joined(&document, "/origins", "nowhere so far")));
    output.line(format!("  last used  {}", or_dash(text_of(&document, "/last_used_at"))));
    for run in items(&document, "/waiting_run_ids") {
        output.line(format!("  waiting    {}", text_of(run, "")));
    }
    Ok(())
}

async fn remove(args: &Remove, client: &Client, output: &Output) -> Result<(), Failure> {
    let usage = client.get(&format!("{}/usage", path(&args.name))).await?;
    let users: Vec<String> = items(&usage, "/workflows").iter().map(|workflow| text_of(workflow, "/id")).collect();
    if !users.is_empty() {
        output.warning(&format!(
            "{} is used by {}; what becomes of them is said when it is gone",
            args.name,
            users.join(", ")
        ));
    }
    if !args.yes && !confirmed(&format!("Remove connection {} and its secret?", args.name))? {
        return Err(Failure::Usage("nothing was removed; say --yes to remove without being asked".to_owned()));
    }
    let document = client.change(Method::DELETE, &path(&args.name)).await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    output.line(format!("{} {} is removed", output.paint(Style::Good, "✓"), args.name));
    for warning in items(&document, "/warnings") {
        output.warning(&printable(&text_of(warning, "")));
    }
    Ok(())
}

fn joined(document: &Value, pointer: &str, none: &str) -> String {
    let texts: Vec<String> = items(document, pointer).iter().map(|item| text_of(item, "")).collect();
    if texts.is_empty() { none.to_owned() } else { texts.join(", ") }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_read_in_the_units_that_people_write() {
        assert_eq!(
            ["0", "90s", "15m", "12h", "7d"].map(|text| time(text).unwrap()),
            [0, 90_000, 900_000, 43_200_000, 604_800_000]
        );
        for wrong in ["", "7", "d", "-1d", "1w", "99999999999999999999d", "99999999999999d", "7ä"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
