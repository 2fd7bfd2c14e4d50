//! `flowcell connection add`: from options to a connection. Nothing secret is an option: what stands on a command line, everybody on the machine
//! can read.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::secret::Source;
use super::{generated, print};
use crate::cli::document::{items, text_of};
use crate::cli::output::Output;
use crate::cli::{Failure, input};
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its name, as steps write it: `connection: NAME`
    name: String,
    /// How it authenticates
    #[arg(long, value_enum)]
    kind: KindName,
    /// Where the secret may go: `[METHOD,…] scheme://host[:port][/path/*]`
    #[arg(long, value_name = "RULE")]
    host: Vec<String>,
    /// hmac, standard-webhooks: sign for any host that a step sends to, instead of --host
    #[arg(long, conflicts_with = "host")]
    anywhere: bool,
    /// A plugin whose steps may use it, such as flowcell/custom-webhook
    #[arg(long, value_name = "PLUGIN")]
    plugin: Vec<String>,
    /// Who it is for, in your words
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    secret: Source,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindName {
    Bearer,
    ApiKey,
    Basic,
    OauthClientCredentials,
    OauthCode,
    Hmac,
    StandardWebhooks,
    GoogleServiceAccount,
    Smtp,
    WebhookUrl,
    WebhookSecret,
    Plugin,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings of the kind")]
struct Settings {
    /// api-key, hmac: the header
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// api-key: the parameter of the query
    #[arg(long, value_name = "NAME", conflicts_with = "header")]
    query: Option<String>,
    /// api-key, hmac: what stands before the key or signature, such as `sha256=`
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// basic, smtp: the user's name
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// oauth-*, google-service-account: the token endpoint
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// oauth-code: where the owner consents
    #[arg(long, value_name = "URL")]
    authorize_url: Option<String>,
    /// oauth-code: the issuer identifier of a server whose answers always name it (RFC 9207: `authorization_response_iss_parameter_supported`)
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// oauth-*: the client's id
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// oauth-*: client-secret-basic, client-secret-post or none
    #[arg(long, value_name = "METHOD")]
    authentication: Option<String>,
    /// oauth-*, google-service-account: a scope
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// hmac: sha1, sha256 or sha512 [default: sha256]
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,
    /// hmac: hex or base64 [default: hex]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// hmac: a header with the time, which is signed too
    #[arg(long, value_name = "NAME")]
    timestamp_header: Option<String>,
    /// google-service-account: the key file that Google gave you (JSON), for everything but the scopes
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// smtp: the mail server
    #[arg(long, value_name = "HOST")]
    smtp_host: Option<String>,
    /// smtp: its port [default: 587]
    #[arg(long, value_name = "PORT")]
    smtp_port: Option<u16>,
    /// smtp: starttls, implicit, or none for a server on this machine [default: starttls]
    #[arg(long, value_name = "HOW")]
    smtp_tls: Option<String>,
    /// smtp: whom mails come from that name no sender, `Ana <ana@example.com>` [default: the user's name]
    #[arg(long, value_name = "ADDRESS")]
    smtp_sender: Option<String>,
    /// smtp: certificates (PEM) of an authority of your own
    #[arg(long, value_name = "FILE")]
    smtp_ca: Option<PathBuf>,
    /// plugin: the kind it declares, PUBLISHER/NAME/KIND
    #[arg(long, value_name = "KIND")]
    declared: Option<String>,
    /// plugin: a field that is no secret, NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    field: Vec<String>,
}

/// The largest key file that is read: Google's have some 2.4 KiB.
const KEY_FILE_BYTES_MAX: usize = 64 * 1024;

pub(super) async fn add(args: &Add, client: &Client, output: &Output) -> Result<(), Failure> {
    let kind = args.kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let key_file =
        args.settings.key_file.as_ref().map(|file| input::read_file(file, KEY_FILE_BYTES_MAX)).transpose()?;
    let key_file: Option<Value> = key_file
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(|_| Failure::Usage("the key file is not JSON; Google gives it as JSON".to_owned()))?;
    let mut settings = args.settings.of(args.kind, key_file.as_ref()).map_err(Failure::Usage)?;
    if let (Some(file), Some(settings)) = (&args.settings.smtp_ca, settings.as_object_mut()) {
        let pem = String::from_utf8(input::read_file(file, KEY_FILE_BYTES_MAX)?.clone());
        let pem = pem.map_err(|_| Failure::Usage("the file of --smtp-ca holds no certificates (PEM)".to_owned()))?;
        settings.insert("ca".to_owned(), json!(pem));
    }
    let described = json!({ "kind": kind, "name": args.name, "settings": settings });
    let secret = match key_file.as_ref().and_then(|file| file.get("private_key")) {
        Some(private_key) => Some(json!({ "private_key": private_key })),
        None => args.secret.read(&described)?,
    };
    let mut body =
        json!({ "name": args.name, "kind": kind, "hosts": args.host, "plugins": args.plugin, "note": args.note });
    if let Some(fields) = body.as_object_mut() {
        if args.anywhere {
            fields.insert("anywhere".to_owned(), json!(true));
        }
        if !settings.is_null() {
            fields.insert("settings".to_owned(), settings);
        }
        fields.extend(secret.map(|secret| ("secret".to_owned(), secret)));
    }
    let document = client.post_json("connections", Some(&body)).await?;
    print(&document, output);
    if !output.is_json() {
        generated(&document, output);
    }
    for warning in items(&document, "/warnings") {
        output.warning(&text_of(warning, ""));
    }
    Ok(())
}

impl Settings {
    /// As the API takes them; `null` for kinds without any.
    fn of(&self, kind: KindName, key_file: Option<&Value>) -> Result<Value, String> {
        let need =
            |value: &Option<String>, option: &str| value.clone().ok_or_else(|| format!("this kind needs --{option}"));
        let mut settings = Map::new();
        let mut put = |key: &str, value: Value| settings.insert(key.to_owned(), value);
        let mut optional = Vec::new();
        match kind {
            KindName::Bearer | KindName::WebhookUrl | KindName::WebhookSecret => return Ok(Value::Null),
            KindName::StandardWebhooks => return Ok(json!({})),
            KindName::ApiKey => {
                return match (&self.header, &self.query) {
                    (_, Some(name)) => Ok(json!({ "query": { "name": name } })),
                    (Some(name), None) => {
                        let prefix = self.prefix.clone().unwrap_or_default();
                        Ok(json!({ "header": { "name": name, "prefix": prefix } }))
                    }
                    (None, None) => Err("this kind needs --header or --query".to_owned()),
                };
            }
            KindName::Basic => {
                put("username", json!(need(&self.username, "username")?));
            }
            KindName::OauthClientCredentials | KindName::OauthCode => {
                if kind == KindName::OauthCode {
                    put("authorize_url", json!(need(&self.authorize_url, "authorize-url")?));
                }
                put("token_url", json!(need(&self.token_url, "token-url")?));
                put("client_id", json!(need(&self.client_id, "client-id")?));
                put("scopes", json!(self.scope));
                optional.push(("authentication", &self.authentication));
                if kind == KindName::OauthCode {
                    optional.push(("issuer", &self.issuer));
                }
            }
            KindName::Hmac => {
                put("header", json!(need(&self.header, "header")?));
                optional.extend([
                    ("algorithm", &self.algorithm),
                    ("encoding", &self.encoding),
                    ("prefix", &self.prefix),
                    ("timestamp_header", &self.timestamp_header),
                ]);
            }
            KindName::GoogleServiceAccount => {
                let file = key_file.ok_or("this kind needs --key-file")?;
                put("client_email", json!(text_of(file, "/client_email")));
                let token_url = self.token_url.clone().unwrap_or_else(|| text_of(file, "/token_uri"));
                put("token_url", json!(token_url));
                put("scopes", json!(self.scope));
            }
            KindName::Smtp => {
                put("host", json!(need(&self.smtp_host, "smtp-host")?));
                put("port", json!(self.smtp_port.unwrap_or(587)));
                put("tls", json!(self.smtp_tls.as_deref().unwrap_or("starttls")));
                put("username", json!(need(&self.username, "username")?));
                optional.push(("sender", &self.smtp_sender));
            }
            KindName::Plugin => {
                let declared = need(&self.declared, "declared")?;
                let (plugin, id) = declared.rsplit_once('/').ok_or("--declared is PUBLISHER/NAME/KIND")?;
                put("plugin", json!(plugin));
                put("id", json!(id));
                put("fields", Value::Object(self.fields()?));
            }
        }
        for (key, value) in optional {
            settings.extend(value.as_ref().map(|value| (key.to_owned(), json!(value))));
        }
        Ok(Value::Object(settings))
    }

    fn fields(&self) -> Result<Map<String, Value>, String> {
        let split = |field: &String| {
            let (name, value) = field.split_once('=').ok_or_else(|| format!("`{field}` is not NAME=VALUE"))?;
            Ok((name.to_owned(), json!(value)))
        };
        self.field.iter().map(split).collect()
    }
}
