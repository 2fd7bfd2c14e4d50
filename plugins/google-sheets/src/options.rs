//! Choices for forms: shared drives, spreadsheets, worksheets and columns. Only reads.

use flowcell_sdk::options::{Choice, Options, OptionsQuery};
use flowcell_sdk::{ActionError, Context};
use serde_json::Value;

use crate::api::{Book, drive};
use crate::worksheet::{Place, Worksheet, titles};

/// One page of Drive's lists, which take up to 1,000 and answer 100 quickly.
const PAGE: &str = "100";

pub(crate) fn choices(ctx: &Context, field: &str, input: &Value, query: OptionsQuery) -> Result<Options, ActionError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match field {
        "/drive" => drives(&query),
        "/spreadsheet" => spreadsheets(text("drive"), &query),
        "/worksheet" => Ok(chosen(titles(&Book::parse(ctx, text("spreadsheet").unwrap_or_default())?)?, &query)),
        _ => {
            let place = Place {
                spreadsheet: text("spreadsheet").unwrap_or_default(),
                worksheet: text("worksheet"),
                header_row: input.get("header_row").and_then(Value::as_u64).unwrap_or(1).max(1),
            };
            let sheet = Worksheet::open(ctx, place)?;
            let names = sheet.header.names().iter().filter(|name| !name.is_empty()).cloned().collect();
            Ok(chosen(names, &query))
        }
    }
}

/// Names that hold what somebody typed.
fn chosen(names: Vec<String>, query: &OptionsQuery) -> Options {
    let wanted = query.search.as_deref().unwrap_or_default().to_lowercase();
    names
        .into_iter()
        .filter(|name| name.to_lowercase().contains(&wanted))
        .map(|name| Choice::new(name.clone(), name))
        .collect()
}

fn drives(query: &OptionsQuery) -> Result<Options, ActionError> {
    let named = query.search.as_deref().map(named);
    let mut parameters = vec![("pageSize", PAGE), ("fields", "nextPageToken,drives(id,name)")];
    parameters.extend(named.as_deref().map(|named| ("q", named)));
    parameters.extend(query.after.as_deref().map(|after| ("pageToken", after)));
    Ok(listed(&drive("drives", &parameters)?, "drives"))
}

fn spreadsheets(of: Option<&str>, query: &OptionsQuery) -> Result<Options, ActionError> {
    let mut wanted = "mimeType = 'application/vnd.google-apps.spreadsheet' and trashed = false".to_owned();
    if let Some(search) = query.search.as_deref().filter(|search| !search.is_empty()) {
        wanted.push_str(" and ");
        wanted.push_str(&named(search));
    }
    let mut parameters = vec![
        ("q", wanted.as_str()),
        ("pageSize", PAGE),
        ("fields", "nextPageToken,files(id,name)"),
        ("orderBy", "viewedByMeTime desc,name"),
        ("supportsAllDrives", "true"),
        ("includeItemsFromAllDrives", "true"),
    ];
    if let Some(of) = of {
        parameters.extend([("corpora", "drive"), ("driveId", of)]);
    }
    parameters.extend(query.after.as_deref().map(|after| ("pageToken", after)));
    Ok(listed(&drive("files", &parameters)?, "files"))
}

/// Drive's query language: a text in single quotes.
fn named(search: &str) -> String {
    format!("name contains '{}'", search.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn listed(answer: &Value, member: &str) -> Options {
    let items = answer.get(member).and_then(Value::as_array).into_iter().flatten();
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut options: Options = items.map(|item| Choice::new(text(item, "id"), text(item, "name"))).collect();
    options.next = answer.get("nextPageToken").and_then(Value::as_str).map(str::to_owned);
    options
}
