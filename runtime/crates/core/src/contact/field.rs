//! What a contact can hold: what every contact can have, and what a workspace defines; each value in the one form it is kept in.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::id::FieldName;
use crate::workflow::problem::similar;

/// What stands before the name of a field that the workspace has defined, where a path names it.
pub const CUSTOM_PREFIX: &str = "fields.";

/// What every contact can have, beside what it is found by. The names are those that HighLevel's contacts have.
pub const STANDARD: [(&str, Kind); 12] = [
    ("first_name", Kind::Text),
    ("last_name", Kind::Text),
    ("company_name", Kind::Text),
    ("address1", Kind::Text),
    ("city", Kind::Text),
    ("state", Kind::Text),
    ("postal_code", Kind::Text),
    ("country", Kind::Text),
    ("website", Kind::Url),
    ("date_of_birth", Kind::Date),
    ("timezone", Kind::Text),
    ("source", Kind::Text),
];

/// By what contacts are found.
pub const IDENTITIES: [&str; 3] = ["email", "phone", "external_id"];

/// What a contact has besides, which nobody sets.
pub const READ_ONLY: [&str; 5] = ["id", "name", "version", "created_at", "updated_at"];

/// The longest text of a field, in bytes: what people write into one line or a short paragraph. Longer ones are notes.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

/// The longest tag, in bytes, and the most tags of one contact: more are a list somewhere else.
pub const TAG_BYTES_MAX: usize = 100;
pub const TAGS_MAX: usize = 200;

/// The most items of a list, and options of a choice.
pub const ITEMS_MAX: usize = 200;

/// The most fields a workspace can define: as many as HighLevel's forms show without becoming unusable, and more than any account we know has.
pub const DEFINITIONS_MAX: usize = 500;

/// What kind of value a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Text,
    Number,
    Boolean,
    /// `2026-11-23`.
    Date,
    Email,
    /// In E.164.
    Phone,
    /// http or https.
    Url,
    /// One of the options.
    Choice,
    /// Texts; of the options, where there are any.
    List,
}

impl Kind {
    pub const NAMES: [&'static str; 9] =
        ["text", "number", "boolean", "date", "email", "phone", "url", "choice", "list"];

    /// The JSON type of its values.
    pub fn json_type(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "array",
            _ => "string",
        }
    }
}

/// A field that the workspace has defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDefinition {
    pub name: FieldName,
    pub kind: Kind,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Of a choice, or of a list of choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl FieldDefinition {
    /// Says why it cannot be.
    pub fn check(&self) -> Result<(), String> {
        let name = self.name.as_str();
        let taken = STANDARD.iter().map(|(name, _)| *name).chain(IDENTITIES).chain(READ_ONLY).chain(["tags", "fields"]);
        if taken.into_iter().any(|taken| taken == name) {
            return Err(format!("every contact has `{name}` already; give the field another name"));
        }
        let takes_options = matches!(self.kind, Kind::Choice | Kind::List);
        if self.kind == Kind::Choice && self.options.is_empty() {
            return Err("a choice has `options`: the texts it can be".to_owned());
        }
        if !takes_options && !self.options.is_empty() {
            return Err("only a choice and a list have `options`".to_owned());
        }
        if self.options.len() > ITEMS_MAX {
            return Err(format!("it has more than {ITEMS_MAX} options"));
        }
        if self.options.iter().any(|option| option.is_empty() || option.len() > TAG_BYTES_MAX) {
            return Err(format!("an option has 1 to {TAG_BYTES_MAX} bytes"));
        }
        if self.label.len() > TEXT_BYTES_MAX {
            return Err("its label is too long".to_owned());
        }
        Ok(())
    }

    /// The value in the form it is kept in; says what it should have been.
    pub fn keep(&self, value: &Value) -> Result<Value, String> {
        keep(self.kind, &self.options, value)
    }
}

/// A value of this kind in the form it is kept in; says what it should have been.
pub fn keep(kind: Kind, options: &[String], value: &Value) -> Result<Value, String> {
    let text = || value.as_str().map(str::trim).ok_or_else(|| format!("takes {}, and got {value}", article(kind)));
    let kept = match kind {
        Kind::Text => match value {
            Value::String(text) => text.clone(),
            // What a spreadsheet or a form sends for a house number or a postal code.
            Value::Number(number) => number.to_string(),
            other => return Err(format!("takes a text, and got {other}")),
        },
        Kind::Number => return number(value),
        Kind::Boolean => return boolean(value),
        Kind::List => return list(options, value),
        Kind::Date => date(text()?)?,
        Kind::Email => email(text()?)?,
        Kind::Phone => phone(text()?)?,
        Kind::Url => url(text()?)?,
        Kind::Choice => option(options, text()?)?,
    };
    if kept.len() > TEXT_BYTES_MAX {
        return Err(format!("takes at most {TEXT_BYTES_MAX} bytes of text; a longer text is a note"));
    }
    Ok(kept.into())
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Number => "a number",
        Kind::Boolean => "true or false",
        Kind::Date => "a date such as 2026-11-23",
        Kind::Email => "an e-mail address",
        Kind::Phone => "a telephone number with its country, such as +4930901820",
        Kind::Url => "a URL that begins with https:// or http://",
        Kind::Choice => "one of its options",
        Kind::List => "a list of texts",
    }
}

fn number(value: &Value) -> Result<Value, String> {
    let parsed = match value {
        Value::Number(_) => return Ok(value.clone()),
        Value::String(text) => text.trim().parse::<serde_json::Number>().ok(),
        _ => None,
    };
    parsed.map(Value::Number).ok_or_else(|| format!("takes a number, and got {value}"))
}

fn boolean(value: &Value) -> Result<Value, String> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) if matches!(text.trim(), "true" | "false") => Ok((text.trim() == "true").into()),
        other => Err(format!("takes true or false, and got {other}")),
    }
}

fn list(options: &[String], value: &Value) -> Result<Value, String> {
    let items = value.as_array().ok_or_else(|| format!("takes a list of texts, and got {value}"))?;
    if items.len() > ITEMS_MAX {
        return Err(format!("takes at most {ITEMS_MAX} items"));
    }
    let items = items.iter().map(|item| {
        let text = item.as_str().ok_or_else(|| format!("takes a list of texts, and got {item} in it"))?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("takes at most {TEXT_BYTES_MAX} bytes of text in an item"));
        }
        if options.is_empty() { Ok(text.to_owned()) } else { option(options, text) }.map(Value::String)
    });
    items.collect::<Result<_, _>>().map(Value::Array)
}

fn option(options: &[String], text: &str) -> Result<String, String> {
    if options.iter().any(|option| option == text) {
        return Ok(text.to_owned());
    }
    let near = similar(text, options.iter().map(String::as_str));
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("takes one of {}, and got `{text}`{near}", options.join(", ")))
}

fn date(text: &str) -> Result<String, String> {
    let parsed = text.parse::<jiff::civil::Date>();
    parsed.map(|date| date.to_string()).map_err(|_| format!("takes a date such as 2026-11-23, and got `{text}`"))
}

/// An e-mail address in lower case. (What stands before the @ could be told apart by its case; no provider does.)
pub fn email(text: &str) -> Result<String, String> {
    /// RFC 5321 §4.5.3.1: a path has 256 octets with its brackets, and what stands before the @ has 64.
    const BYTES_MAX: usize = 254;
    const LOCAL_BYTES_MAX: usize = 64;
    let is_address = |text: &str| {
        let (local, domain) = text.rsplit_once('@')?;
        let is_clean =
            !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';' | '"'));
        let is_domain = !domain.is_empty() && domain.split('.').all(|label| !label.is_empty() && label.len() <= 63);
        let fits =
            !local.is_empty() && local.len() <= LOCAL_BYTES_MAX && text.len() <= BYTES_MAX && !local.contains('@');
        (is_clean && is_domain && fits).then_some(())
    };
    let text = text.trim().to_lowercase();
    is_address(&text).map(|()| text.clone()).ok_or_else(|| format!("takes an e-mail address, and got `{text}`"))
}

/// A telephone number in E.164.
pub fn phone(text: &str) -> Result<String, String> {
    /// Three times the longest number with all its spaces and brackets.
    const BYTES_MAX: usize = 100;
    let text = text.trim();
    let wrong = || format!("takes a telephone number with its country, such as +4930901820, and got `{text}`");
    if text.len() > BYTES_MAX {
        return Err("takes a telephone number, and got a text that is too long for one".to_owned());
    }
    let international = text.strip_prefix("00").map(|rest| format!("+{rest}"));
    let international = international.as_deref().unwrap_or(text);
    if !international.starts_with('+') {
        return Err(wrong() + "; `{{ … | phone('DE') }}` adds a country");
    }
    phonelib::PhoneNumber::try_parse(international).map(|number| number.e164().to_owned()).map_err(|_| wrong())
}

/// An id that another system gave.
pub fn external_id(text: &str) -> Result<String, String> {
    /// What fits into an index of every system we know: 255 bytes.
    const BYTES_MAX: usize = 255;
    let text = text.trim();
    if text.is_empty() || text.len() > BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!("takes an id of 1 to {BYTES_MAX} bytes without control characters"));
    }
    Ok(text.to_owned())
}

fn url(text: &str) -> Result<String, String> {
    let parsed = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    parsed
        .map(|_| text.to_owned())
        .ok_or_else(|| format!("takes a URL that begins with https:// or http://, and got `{text}`"))
}

/// A tag in the form it is kept in.
pub fn tag(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > TAG_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!("a tag has 1 to {TAG_BYTES_MAX} bytes without control characters, and this is `{text}`"));
    }
    Ok(text.to_owned())
}

/// The kind of a standard field.
pub fn standard(name: &str) -> Option<Kind> {
    STANDARD.iter().find(|(standard, _)| *standard == name).map(|(_, kind)| *kind)
}

/// Every name that stands at the top of a contact.
pub fn top_names() -> impl Iterator<Item = &'static str> + Clone {
    let standard = STANDARD.iter().map(|(name, _)| *name);
    IDENTITIES.into_iter().chain(standard).chain(["tags", "fields"]).chain(READ_ONLY)
}
