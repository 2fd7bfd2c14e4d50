//! `flowcell user add|list|show|edit|remove`: the people of the workspace, as notifications know them.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, table};
use crate::cli::{Failure, confirmed};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add somebody who can be told something
    Add(Add),
    /// List the users
    List,
    /// Show what is known of a user
    Show(Named),
    /// Change what is known of a user
    Edit(Edit),
    /// Remove a user with their inbox
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The user's id
    id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Args)]
struct Facts {
    /// The name that people see [default: the id]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Where mail goes; `none` takes it away
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Where messages go, with the country: +49 30 901820; `none` takes it away
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// A role, such as support; in the place of those before; `none` takes all away
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// When only what is urgent may disturb: `22:00-07:00 Europe/Berlin`; `none` takes them away
    #[arg(long, value_name = "HOURS ZONE")]
    quiet_hours: Option<String>,
    /// How to be told, the dearest first: in-app, email, sms, whatsapp, slack; `none` leaves it to the sender
    #[arg(long, value_name = "CHANNEL")]
    channel: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    named: Named,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(command: &Command, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Add(args) => {
            let mut body = args.facts.document()?;
            body.insert("id".to_owned(), json!(args.named.id));
            show(&client.post_json("users", Some(&Value::Object(body))).await?, output);
        }
        Command::Edit(args) => {
            let body = Value::Object(args.facts.document()?);
            show(&client.send_json(Method::PATCH, &path(&args.named), &body).await?, output);
        }
        Command::Show(named) => show(&client.get(&path(named)).await?, output),
        Command::List => list(client, output).await?,
        Command::Remove(args) => {
            let id = &args.named.id;
            if !args.yes && !confirmed(&format!("Remove user {id} and their inbox?"))? {
                return Err(Failure::Usage("nothing was removed; say --yes to remove without being asked".to_owned()));
            }
            let document = client.change(Method::DELETE, &path(&args.named)).await?;
            if output.is_json() {
                output.document(&document);
            } else {
                output.line(format!("{} {id} is removed", output.paint(Style::Good, "✓")));
            }
        }
    }
    Ok(())
}

fn path(named: &Named) -> String {
    format!("users/{}", path_segment(&named.id))
}

impl Facts {
    fn document(&self) -> Result<Map<String, Value>, Failure> {
        let mut facts = Map::new();
        let texts = [("name", &self.name), ("email", &self.email), ("phone", &self.phone)];
        for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            let is_none = key != "name" && value == "none";
            facts.insert(key.to_owned(), if is_none { Value::Null } else { json!(value) });
        }
        for (key, values) in [("roles", &self.role), ("channels", &self.channel)] {
            if !values.is_empty() {
                let kept: Vec<&String> = values.iter().filter(|value| *value != "none").collect();
                facts.insert(key.to_owned(), json!(kept));
            }
        }
        if let Some(text) = &self.quiet_hours {
            facts.insert("quiet_hours".to_owned(), quiet_hours(text).map_err(Failure::Usage)?);
        }
        Ok(facts)
    }
}

/// `22:00-07:00 Europe/Berlin`.
fn quiet_hours(text: &str) -> Result<Value, String> {
    if text == "none" {
        return Ok(Value::Null);
    }
    let split = text.split_once(' ').and_then(|(hours, zone)| Some((hours.split_once('-')?, zone.trim())));
    match split {
        Some(((from, to), zone)) => Ok(json!({ "from": from, "to": to, "timezone": zone })),
        None => Err(format!("`{text}` are no quiet hours; write them as in '22:00-07:00 Europe/Berlin'")),
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let document = client.get("users").await?;
    if output.is_json() {
        output.document(&document);
        return Ok(());
    }
    let users = items(&document, "/users");
    if users.is_empty() {
        output.line("There are no users. `flowcell user add ID --email ADDRESS --role ROLE` adds one.");
        return Ok(());
    }
    let rows: Vec<_> = users
        .iter()
        .map(|user| {
            [
                text_of(user, "/id"),
                text_of(user, "/name"),
                or_dash(text_of(user, "/email")),
                or_dash(text_of(user, "/phone")),
                or_dash(joined(user, "/roles")),
                or_dash(quiet(user)),
            ]
        })
        .collect();
    table(output, ["ID", "NAME", "E-MAIL", "PHONE", "ROLES", "QUIET"], &rows);
    Ok(())
}

fn show(user: &Value, output: &Output) {
    if output.is_json() {
        output.document(user);
        return;
    }
    output.line(format!("{} ({})", output.paint(Style::Strong, text_of(user, "/name")), text_of(user, "/id")));
    for (what, text) in [
        ("e-mail", text_of(user, "/email")),
        ("phone", text_of(user, "/phone")),
        ("roles", joined(user, "/roles")),
        ("quiet", quiet(user)),
        ("channels", joined(user, "/channels")),
    ] {
        if !text.is_empty() {
            output.line(format!("  {what:<9} {text}"));
        }
    }
}

fn quiet(user: &Value) -> String {
    if at(user, "/quiet_hours").is_null() {
        return String::new();
    }
    let of = |pointer: &str| text_of(user, pointer);
    format!("{}-{} {}", of("/quiet_hours/from"), of("/quiet_hours/to"), of("/quiet_hours/timezone"))
}

fn joined(document: &Value, pointer: &str) -> String {
    items(document, pointer).iter().map(|item| text_of(item, "")).collect::<Vec<_>>().join(", ")
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_are_written_as_people_say_them() {
        let night = json!({ "from": "22:00", "to": "07:00", "timezone": "Europe/Berlin" });
        assert_eq!(quiet_hours("22:00-07:00 Europe/Berlin").unwrap(), night);
        assert_eq!(quiet_hours("none").unwrap(), Value::Null);
        for wrong in ["", "22:00-07:00", "22:00 Europe/Berlin"] {
            assert!(quiet_hours(wrong).unwrap_err().contains("22:00-07:00 Europe/Berlin"), "{wrong}");
        }
    }
}
