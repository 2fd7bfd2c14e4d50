//! Where a command takes a secret from: a file, standard input, a variable of the environment, or a person who types it unseen. Never from the
//! command line itself.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use flowcell_core::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::document::text_of;
use crate::cli::{Failure, input};
use crate::config::secret_variable;

/// The largest secret that is read: what the server takes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Source {
    /// The file with the secret; `-` reads standard input. A JSON object for kinds with several secrets
    #[arg(long, value_name = "FILE", conflicts_with = "secret_env")]
    secret_file: Option<PathBuf>,
    /// The variable of the environment with the secret
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
}

impl Source {
    /// The secret document for the kind in `described`, if there is one: kinds whose secret Flowcell makes need none.
    pub(super) fn read(&self, described: &Value) -> Result<Option<Value>, Failure> {
        let kind = text_of(described, "/kind");
        let name = text_of(described, "/name");
        let given = match (&self.secret_file, &self.secret_env) {
            (Some(file), _) => {
                let bytes = Zeroizing::new(input::read_any(file, SECRET_BYTES_MAX)?);
                let text = std::str::from_utf8(&bytes)
                    .map_err(|_| Failure::Usage("the secret is not UTF-8 text".to_owned()))?;
                // Editors and `echo` end a line; no secret ends with one.
                Some(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
            }
            (None, Some(variable)) => {
                let value = secret_variable(variable);
                Some(value.ok_or_else(|| Failure::Usage(format!("the variable {variable} is not set, or empty")))?)
            }
            (None, None) if is_made(&kind) || is_public_client(described) => None,
            (None, None) if std::io::stdin().is_terminal() => Some(asked(&format!("{} of {name}: ", what(&kind)))?),
            (None, None) => {
                let message = format!(
                    "give the {} with --secret-file FILE (`-` reads standard input) or --secret-env NAME",
                    what(&kind)
                );
                return Err(Failure::Usage(message));
            }
        };
        Ok(given.map(|secret| document(&kind, &secret)))
    }
}

/// Whether Flowcell makes the secret when none is given.
fn is_made(kind: &str) -> bool {
    matches!(kind, "hmac" | "standard-webhooks" | "webhook-secret")
}

/// A client of OAuth without a secret.
fn is_public_client(described: &Value) -> bool {
    text_of(described, "/settings/authentication") == "none"
}

/// What the secret of a kind is called.
fn what(kind: &str) -> &'static str {
    match kind {
        "bearer" => "token",
        "api-key" => "key",
        "basic" | "smtp" => "password",
        "oauth-client-credentials" | "oauth-code" => "client secret",
        "google-service-account" => "private key",
        "webhook-url" => "address",
        _ => "secret",
    }
}

/// The document of the kind: a JSON object as it was given, or the one field that the kind has.
fn document(kind: &str, secret: &Secret<String>) -> Value {
    let text = secret.expose();
    if let Ok(object @ Value::Object(_)) = serde_json::from_str(text) {
        return object;
    }
    match kind {
        "bearer" => json!({ "token": text }),
        "api-key" => json!({ "key": text }),
        "basic" | "smtp" => json!({ "password": text }),
        "oauth-client-credentials" | "oauth-code" => json!({ "client_secret": text }),
        "google-service-account" => json!({ "private_key": text }),
        "webhook-url" => json!({ "url": text }),
        "hmac" | "standard-webhooks" | "webhook-secret" => json!({ "secrets": [{ "value": text }] }),
        // A plugin names its fields itself: the server says which.
        _ => json!(text),
    }
}

/// Asks on the terminal, without showing what is typed.
fn asked(prompt: &str) -> Result<Secret<String>> {
    let mut terminal =
        File::options().read(true).write(true).open("/dev/tty").context("there is no terminal to ask on")?;
    terminal.write_all(prompt.as_bytes())?;
    terminal.flush()?;
    let shown = tcgetattr(&terminal)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
    let mut typed = Zeroizing::new(String::new());
    let read = BufReader::new(&terminal).read_line(&mut typed);
    // Before anything else: a terminal that stays dumb is worse than a secret that was not read.
    tcsetattr(&terminal, OptionalActions::Flush, &shown)?;
    terminal.write_all(b"\n")?;
    read.context("nothing could be read from the terminal")?;
    Ok(Secret::new(typed.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_secret_becomes_the_document_of_its_kind_and_json_stays() {
        let of = |kind: &str, text: &str| document(kind, &Secret::new(text.to_owned())).to_string();
        assert_eq!(of("bearer", "t"), r#"{"token":"t"}"#);
        assert_eq!(of("basic", "{p"), r#"{"password":"{p"}"#);
        assert_eq!(of("hmac", "s"), r#"{"secrets":[{"value":"s"}]}"#);
        assert_eq!(of("plugin", r#"{"key":"k"}"#), r#"{"key":"k"}"#);
    }

    #[test]
    fn a_file_or_variable_is_read_and_nothing_is_asked_where_nothing_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "t0ken\r\n").unwrap();
        let from =
            |file: Option<PathBuf>, env: Option<&str>| Source { secret_file: file, secret_env: env.map(str::to_owned) };
        let bearer = json!({ "kind": "bearer", "name": "crm" });
        assert_eq!(from(Some(file), None).read(&bearer).unwrap(), Some(json!({ "token": "t0ken" })));
        assert!(matches!(from(None, Some("FLOWCELL_NO_SUCH_VARIABLE")).read(&bearer), Err(Failure::Usage(_))));
        let signing = json!({ "kind": "standard-webhooks", "name": "s" });
        assert_eq!(from(None, None).read(&signing).unwrap(), None);
        let public = json!({ "kind": "oauth-code", "settings": { "authentication": "none" } });
        assert_eq!(from(None, None).read(&public).unwrap(), None);
    }
}
