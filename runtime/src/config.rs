//! The configuration: the one place that reads the environment and the configuration file.
//!
//! Everything has a default; `flowcell config default` prints them with comments, and a test holds that text and [`Config::default`] together.
//! An unknown key is an error, since a misspelt limit would be no limit.

mod sections;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use flowcell_core::capability::Grant;
use flowcell_core::secret::Secret;
use serde::Deserialize;
use url::Url;

pub(crate) use sections::{
    Egress, Engine, Http, Ingress, KeyFrom, Plugins, Redaction, Retention, Sandbox, Secrets, Store, Triggers, size,
};

/// The commented default configuration.
pub(crate) const DEFAULT_TEXT: &str = include_str!("config/default.toml");

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Option<Url>,
    pub(crate) log: String,
    pub(crate) drain_timeout_ms: u64,
    pub(crate) http: Http,
    pub(crate) ingress: Ingress,
    pub(crate) triggers: Triggers,
    pub(crate) engine: Engine,
    pub(crate) sandbox: Sandbox,
    pub(crate) egress: Egress,
    pub(crate) store: Store,
    pub(crate) retention: Retention,
    pub(crate) secrets: Secrets,
    pub(crate) redaction: Redaction,
    pub(crate) plugins: Plugins,
    /// What expressions read as `custom_values`.
    pub(crate) custom_values: serde_json::Map<String, serde_json::Value>,
    /// What plugins from folders may reach.
    pub(crate) grants: Vec<Grant>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            log: "info".to_owned(),
            drain_timeout_ms: 25_000,
            http: Http::default(),
            ingress: Ingress::default(),
            triggers: Triggers::default(),
            engine: Engine::default(),
            sandbox: Sandbox::default(),
            egress: Egress::default(),
            store: Store::default(),
            retention: Retention::default(),
            secrets: Secrets::default(),
            redaction: Redaction::default(),
            plugins: Plugins::default(),
            custom_values: serde_json::Map::new(),
            grants: Vec::new(),
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// `problem` shows the place in the text.
    #[error("the configuration {origin} is not right:\n{problem}{help}")]
    Wrong { origin: String, problem: String, help: String },
}

impl Config {
    /// Reads a configuration file.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, &format!("file {}", path.display()))
    }

    /// Parses a configuration; `origin` says where it came from, for the error.
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: String, help: String| ConfigError::Wrong { origin: origin.to_owned(), problem, help };
        let config: Self = toml::from_str(text).map_err(|error| {
            let help =
                suggestion(error.message()).map_or_else(String::new, |name| format!("\nhelp: did you mean `{name}`?"));
            wrong(error.to_string().trim_end().to_owned(), help)
        })?;
        config.check().map_err(|problem| wrong(problem, String::new()))?;
        Ok(config)
    }

    /// Refuses values under which the server could not work at all.
    fn check(&self) -> Result<(), String> {
        for (section, keys) in [
            ("http", self.http.positive()),
            ("ingress", self.ingress.positive()),
            ("triggers", self.triggers.positive()),
            ("engine", self.engine.positive()),
            ("sandbox", self.sandbox.positive()),
            ("egress", self.egress.positive()),
            ("store", self.store.positive()),
        ] {
            if let Some((key, _)) = keys.iter().find(|(_, value)| *value == 0) {
                return Err(format!(
                    "`{section}.{key}` is 0: with that nothing would work; leave it out for the default"
                ));
            }
        }
        if self.http.bodies_in_flight_bytes_max / 2 < self.http.body_bytes_max {
            return Err("`http.bodies_in_flight_bytes_max` is less than twice `http.body_bytes_max`: the API, which gets half, could never be \
                 sent the largest bodies; raise the one or lower the other"
                .to_owned());
        }
        if self.store.free_hard_mib >= self.store.free_soft_mib {
            return Err("`store.free_hard_mib` is not below `store.free_soft_mib`: deliveries have to be refused before runs are held up".to_owned());
        }
        if self.engine.breaker_rest_ms < 100 || self.engine.breaker_rest_max_ms < self.engine.breaker_rest_ms {
            return Err("`engine.breaker_rest_ms` is at least 100, and at most `engine.breaker_rest_max_ms`".to_owned());
        }
        if self.retention.every_ms < 1_000 {
            return Err("`retention.every_ms` is less than a second: each pass reads every run once".to_owned());
        }
        if self.secrets.key_from == KeyFrom::Command && self.secrets.key_command.is_empty() {
            return Err("`secrets.key_from` is \"command\", and `secrets.key_command` says not which".to_owned());
        }
        match &self.public_url {
            Some(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                Err(format!("`public_url` is `{url}`; it has to begin with http:// or https://"))
            }
            Some(url) if url.query().is_some() || url.fragment().is_some() => {
                Err("`public_url` has a query or fragment; only scheme, host, port and path belong there".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The known name that was probably meant, from serde's "unknown field `a`, expected one of `b`, `c`".
fn suggestion(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    flowcell_core::workflow::problem::similar(unknown, quoted)
}

/// What the environment says; read once, at the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// `FLOWCELL_SERVER`: where the CLI finds the server.
    pub(crate) server: Option<String>,
    /// `FLOWCELL_TOKEN`: the CLI's token.
    pub(crate) token: Option<String>,
    /// `FLOWCELL_LOG`: what is logged, before the configuration file's `log`.
    pub(crate) log: Option<String>,
    /// `NO_COLOR` (no-color.org): set to anything, no colours are printed.
    pub(crate) no_color: bool,
    /// Where commands without a server keep compiled plugins: `XDG_CACHE_HOME`, else `HOME/.cache`.
    pub(crate) cache: Option<PathBuf>,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub(crate) fn read() -> Self {
        let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            server: get("FLOWCELL_SERVER"),
            token: get("FLOWCELL_TOKEN"),
            log: get("FLOWCELL_LOG"),
            no_color: get("NO_COLOR").is_some(),
            cache: get("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(get("HOME")?).join(".cache"))),
        }
    }
}

/// A secret from the environment: for the server's own key, and for a variable that a command was told to read.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn secret_variable(name: &str) -> Option<Secret<String>> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests;
