//! `flowcell contact`: the people of the workspace, what is known of them, and the fields for that.

mod field;
mod show;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, table};
use crate::cli::{Failure, confirmed};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List contacts, or find them
    List(List),
    /// Show one
    Show(Named),
    /// Change the contact with this address, number or external id, or make it
    Upsert(Upsert),
    /// Change one
    Update(Update),
    /// Delete one, with its notes and history
    Delete(Delete),
    /// Write a note about one
    Note(NoteArgs),
    /// Show the notes about one
    Notes(Named),
    /// Show who changed what
    History(Named),
    /// Define the fields that contacts have here
    #[command(subcommand)]
    Field(field::Command),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[arg(long, conflicts_with_all = ["phone", "external_id"])]
    email: Option<String>,
    /// With its country, such as +4930901820
    #[arg(long, conflicts_with = "external_id")]
    phone: Option<String>,
    #[arg(long)]
    external_id: Option<String>,
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only those with this value, such as city=Lisbon or fields.plan=gold
    #[arg(long, value_name = "NAME=VALUE")]
    field: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Where the page before ended: its `next_cursor`
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its id, `con_…`, or its e-mail address
    #[arg(value_name = "ID|EMAIL")]
    contact: String,
}

/// What is to be known of a contact.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    #[arg(long)]
    email: Option<String>,
    /// With its country, such as +4930901820
    #[arg(long)]
    phone: Option<String>,
    /// The id that another system has for them
    #[arg(long)]
    external_id: Option<String>,
    #[expect(clippy::doc_link_with_quotes, reason = "this is help, and JSON")]
    /// A field, such as first_name=Ana or fields.plan=gold; a list is written ["a","b"]
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Forget a field
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Add a tag
    #[arg(long, value_name = "TAG")]
    add_tag: Vec<String>,
    /// Take a tag away
    #[arg(long, value_name = "TAG")]
    remove_tag: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Upsert {
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    wanted: Wanted,
    /// Only if it has this version
    #[arg(long, value_name = "NUMBER")]
    if_version: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    #[command(flatten)]
    named: Named,
    text: String,
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, client, output).await,
        Command::Show(named) => {
            let id = id_of(named, client).await?;
            show::contact(&client.get(&format!("contacts/{id}")).await?, output);
            Ok(())
        }
        Command::Upsert(args) => {
            let changed = client.post_json("contacts", Some(&document(&args.wanted)?)).await?;
            show::written(&changed, output);
            Ok(())
        }
        Command::Update(args) => {
            let mut wanted = document(&args.wanted)?;
            if let (Some(version), Some(members)) = (args.if_version, wanted.as_object_mut()) {
                members.insert("if_version".to_owned(), version.into());
            }
            let id = id_of(&args.named, client).await?;
            let changed = client.send_json(Method::PATCH, &format!("contacts/{id}"), &wanted).await?;
            show::written(&changed, output);
            Ok(())
        }
        Command::Delete(args) => delete(args, client, output).await,
        Command::Note(args) => {
            let id = id_of(&args.named, client).await?;
            let added = client.post_json(&format!("contacts/{id}/notes"), Some(&json!({ "text": args.text }))).await?;
            if output.is_json() {
                output.document(&added);
            } else {
                output.line(format!("{} noted as {}", output.paint(Style::Good, "✓"), text_of(&added, "/note/id")));
            }
            Ok(())
        }
        Command::Notes(named) => {
            let id = id_of(named, client).await?;
            show::notes(&client.get(&format!("contacts/{id}/notes")).await?, output);
            Ok(())
        }
        Command::History(named) => {
            let id = id_of(named, client).await?;
            show::history(&client.get(&format!("contacts/{id}/history")).await?, output);
            Ok(())
        }
        Command::Field(command) => field::run(command, client, output).await,
    }
}

async fn list(args: &List, client: &Client, output: &Output) -> Result<(), Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("email", &args.email),
        ("phone", &args.phone),
        ("external_id", &args.external_id),
        ("tag", &args.tag),
        ("field", &args.field),
        ("cursor", &args.cursor),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.append_pair("limit", &args.limit.to_string());
    let page = client.get(&format!("contacts?{}", query.finish())).await?;
    if output.is_json() {
        output.document(&page);
        return Ok(());
    }
    let contacts = items(&page, "/contacts");
    if contacts.is_empty() {
        output.line("There are no such contacts. `flowcell contact upsert --email ADDRESS` makes one.");
    } else {
        let rows: Vec<_> = contacts
            .iter()
            .map(|contact| {
                let tags: Vec<_> = items(contact, "/tags").iter().filter_map(Value::as_str).collect();
                [
                    text_of(contact, "/id"),
                    text_of(contact, "/name"),
                    text_of(contact, "/email"),
                    text_of(contact, "/phone"),
                    tags.join(", "),
                ]
            })
            .collect();
        table(output, ["CONTACT", "NAME", "E-MAIL", "PHONE", "TAGS"], &rows);
    }
    let next = text_of(&page, "/next_cursor");
    if !next.is_empty() {
        output.help(&format!("there may be more: add --cursor {next}"));
    }
    Ok(())
}

async fn delete(args: &Delete, client: &Client, output: &Output) -> Result<(), Failure> {
    let id = id_of(&args.named, client).await?;
    if !args.yes && !confirmed(&format!("Delete {id}, with its notes and history?"))? {
        return Err(Failure::Usage("nothing was deleted; say --yes to delete without being asked".to_owned()));
    }
    let deleted = client.change(Method::DELETE, &format!("contacts/{id}")).await?;
    if output.is_json() {
        output.document(&deleted);
    } else {
        output.line(format!("{} {id} is deleted, with its notes and history", output.paint(Style::Good, "✓")));
    }
    Ok(())
}

/// The id, looked up when an address was given.
async fn id_of(named: &Named, client: &Client) -> Result<String, Failure> {
    let text = &named.contact;
    if !text.contains('@') {
        return Ok(path_segment(text));
    }
    let page = client.get(&format!("contacts?email={}", path_segment(text))).await?;
    match at(&page, "/contacts/0/id").as_str() {
        Some(id) => Ok(path_segment(id)),
        None => Err(Failure::Other(anyhow::anyhow!("no contact has the e-mail address {text}"))),
    }
}

/// What the API takes.
fn document(wanted: &Wanted) -> Result<Value, Failure> {
    let (mut members, mut fields) = (Map::new(), Map::new());
    for (name, value) in [("email", &wanted.email), ("phone", &wanted.phone), ("external_id", &wanted.external_id)] {
        members.extend(value.clone().map(|value| (name.to_owned(), Value::String(value))));
    }
    let set = wanted.set.iter().map(|pair| match pair.split_once('=') {
        Some((name, value)) => Ok((name, value_of(value))),
        None => {
            Err(Failure::Usage(format!("`--set {pair}` has no value: write NAME=VALUE; `--unset {pair}` forgets it")))
        }
    });
    for pair in set.chain(wanted.unset.iter().map(|name| Ok((name.as_str(), Value::Null)))) {
        let (name, value) = pair?;
        match name.strip_prefix("fields.") {
            Some(name) => fields.insert(name.to_owned(), value),
            None => members.insert(name.to_owned(), value),
        };
    }
    if !fields.is_empty() {
        members.insert("fields".to_owned(), Value::Object(fields));
    }
    for (name, tags) in [("add_tags", &wanted.add_tag), ("remove_tags", &wanted.remove_tag)] {
        if !tags.is_empty() {
            members.insert(name.to_owned(), json!(tags));
        }
    }
    Ok(Value::Object(members))
}

/// A text; or a list, where it is written as one.
fn value_of(text: &str) -> Value {
    let list = text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten();
    list.unwrap_or_else(|| Value::String(text.to_owned()))
}
