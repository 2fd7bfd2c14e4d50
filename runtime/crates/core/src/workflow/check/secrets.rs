//! Credentials that stand in a URL: they would be in every journal entry and in the logs of everybody on the way.

use serde_json::Value;

use super::Check;
use super::fields::{Field, What, operands};
use crate::expression::{has_expression, join_pointer};

/// Query parameters that carry credentials, in lower case and without `-` and `_`.
const PARAMETERS: [&str; 17] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "appkey",
    "auth",
    "authtoken",
    "bearertoken",
    "clientsecret",
    "key",
    "passwd",
    "password",
    "pwd",
    "secret",
    "sig",
    "signature",
    "token",
];

/// Shorter values are words (`?key=name`), not secrets: common keys have sixteen characters and more.
const SECRET_CHARACTERS_MIN: usize = 12;

impl Check<'_> {
    pub(super) fn secrets(&mut self, field: &Field<'_>) {
        let values = match &field.what {
            What::Value(value) => vec![(field.pointer.clone(), value.clone())],
            What::Condition(condition) => {
                operands(condition, &field.pointer).into_iter().map(|(pointer, value, _)| (pointer, value)).collect()
            }
        };
        for (pointer, value) in values {
            self.secrets_in(&pointer, &value);
        }
    }

    fn secrets_in(&mut self, pointer: &str, value: &Value) {
        match value {
            Value::String(text) => self.secrets_in_text(pointer, text),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.secrets_in(&join_pointer(pointer, &index.to_string()), item);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    self.secrets_in(&join_pointer(pointer, key), field);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn secrets_in_text(&mut self, pointer: &str, text: &str) {
        for url in urls(text) {
            let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
            let user = authority.rsplit_once('@').map(|(user, _)| user).filter(|user| !has_expression(user));
            if user.is_some() && !self.has_problem_at(pointer) {
                let help = "use a connection for credentials".to_owned();
                self.add(pointer, "a user name or password stands in this URL", Some(help));
            }
            let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
            for (name, value) in query.split(['&', '#']).filter_map(|part| part.split_once('=')) {
                let plain: String = name.to_ascii_lowercase().chars().filter(|c| !matches!(c, '-' | '_')).collect();
                let is_secret = PARAMETERS.contains(&plain.as_str())
                    && value.len() >= SECRET_CHARACTERS_MIN
                    && !has_expression(value);
                if is_secret {
                    let help =
                        "use a connection for credentials: what stands here is in every record of a run".to_owned();
                    self.add(pointer, format!("`{name}` in this URL looks like a credential"), Some(help));
                }
            }
        }
    }
}

/// What follows `http://` and `https://` in a text, up to white space or a quote outside of expressions.
fn urls(text: &str) -> Vec<&str> {
    let starts = ["http://", "https://"]
        .into_iter()
        .flat_map(|scheme| text.match_indices(scheme).filter_map(move |(at, _)| text.get(at + scheme.len()..)));
    starts.map(|rest| rest.get(..end(rest)).unwrap_or(rest)).collect()
}

fn end(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 && (c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')) => return at,
            _ => {}
        }
    }
    rest.len()
}
