//! `flowcell plugin options PUBLISHER/PLUGIN/MEMBER FIELD`: the choices that a plugin gives for a field.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::{Output, Style, printable, table};
use crate::cli::{Failure, input};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The action or trigger, as workflows name it: publisher/plugin/member@major
    uses: String,
    /// The field, as a JSON Pointer into its input: /sheet
    field: String,
    /// What is filled in so far: a file with JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    input: Option<std::path::PathBuf>,
    /// The same for one field; may stand several times
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// The connection to ask with
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// What to look for among the choices
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The `next` that the page before ended with
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

pub(crate) async fn run(args: &Options, client: &Client, output: &Output) -> Result<(), Failure> {
    let (path, document) = request(args)?;
    let choices = client.post_json(&path, Some(&document)).await?;
    if output.is_json() {
        output.document(&choices);
        return Ok(());
    }
    let rows: Vec<_> = items(&choices, "/options")
        .iter()
        .map(|choice| {
            let value = at(choice, "/value");
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            [printable(&value), text_of(choice, "/label"), text_of(choice, "/description")]
        })
        .collect();
    if rows.is_empty() {
        output.line("There is nothing to choose from.");
        return Ok(());
    }
    table(output, ["VALUE", "LABEL", "DESCRIPTION"], &rows);
    let next = text_of(&choices, "/next");
    if !next.is_empty() {
        output.line(output.paint(Style::Faint, format!("there are more: --after {next}")));
    }
    Ok(())
}

fn request(args: &Options) -> Result<(String, Value), Failure> {
    let (name, major) = match args.uses.split_once('@') {
        Some((name, major)) => {
            let number = major.parse::<u64>();
            (
                name,
                Some(number.map_err(|_| anyhow::anyhow!("`{major}` is no major version: write a number, as in @1"))?),
            )
        }
        None => (args.uses.as_str(), None),
    };
    let [publisher, plugin, member] = name.split('/').collect::<Vec<_>>()[..] else {
        let wanted = "publisher/plugin/member@major, such as flowcell/google-sheets/append-row@1";
        return Err(anyhow::anyhow!("`{}` is not of the form {wanted}", args.uses).into());
    };
    let mut input = args.input.as_deref().map_or_else(|| Ok(json!({})), input::read_json)?;
    for set in &args.set {
        let (field, value) =
            set.split_once('=').ok_or_else(|| anyhow::anyhow!("`{set}` is not of the form FIELD=VALUE"))?;
        let Some(fields) = input.as_object_mut() else {
            return Err(anyhow::anyhow!("the input is no JSON object, so `{field}` cannot be set in it").into());
        };
        // What reads as JSON is that, anything else a text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        fields.insert(field.trim_start_matches('/').to_owned(), value);
    }
    let mut document = json!({ "member": member, "field": args.field, "input": input });
    if let Some(fields) = document.as_object_mut() {
        let optional = [("connection", &args.connection), ("search", &args.search), ("after", &args.after)];
        fields.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?)))));
        fields.extend(major.map(|major| ("major".to_owned(), json!(major))));
    }
    Ok((format!("plugins/{}/{}/options", path_segment(publisher), path_segment(plugin)), document))
}
