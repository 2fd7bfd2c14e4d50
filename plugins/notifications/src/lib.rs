//! Notifications: each channel is an action of its own; `notify` tells people by whichever of them works.

mod discord;
mod email;
mod http;
mod in_app;
mod notify;
mod slack;
mod teams;
mod twilio;

flowcell_sdk::plugin! {
    actions: {
        "notify" => notify::notify,
        "email" => email::email,
        "in-app" => in_app::in_app,
        "slack" => slack::slack,
        "discord" => discord::discord,
        "teams" => teams::teams,
        "sms" => twilio::sms,
        "whatsapp" => twilio::whatsapp,
        "http" => http::http,
    },
}

use flowcell_sdk::http::Response;
use flowcell_sdk::{ActionError, connection};

/// Where requests go: what the step names, else where the connection may be used, if its address is the secret, else the service itself.
fn server(named: Option<&str>, usual: &str) -> Result<String, ActionError> {
    if let Some(named) = named {
        return Ok(named.trim_end_matches('/').to_owned());
    }
    let facts = connection::facts().filter(|facts| facts.kind.as_deref() == Some("webhook-url"));
    let origin = facts.and_then(|facts| facts.hosts.iter().find_map(|rule| origin(rule)));
    match origin {
        Some(origin) => Ok(origin),
        None if usual.is_empty() => Err(ActionError::invalid_input(
            "/server",
            "where to send is not known: use a connection of the kind webhook-url, or name the server",
        )),
        None => Ok(usual.to_owned()),
    }
}

/// `https://host:port` of a rule such as `POST https://host:port/path/*`.
fn origin(rule: &str) -> Option<String> {
    let url = rule.split(' ').next_back()?;
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next().filter(|host| !host.contains('*'))?;
    Some(format!("{scheme}://{host}"))
}

/// What a service's refusal means when its body says no more.
fn refused(response: &Response, service: &str) -> ActionError {
    let mut error = response.status_error();
    if matches!(response.status, 401 | 403) {
        error = ActionError::unauthorized(format!(
            "{service} does not accept the credentials of the step's connection{}: {}",
            connection::facts().map(|facts| format!(" `{}`", facts.name)).unwrap_or_default(),
            error.message
        ))
        .detail("status", response.status);
    }
    error
}

#[cfg(test)]
mod tests {
    use flowcell_sdk::connection::Facts;
    use flowcell_sdk::test::Harness;

    use super::*;

    /// A connection as the host tells of it.
    pub(crate) fn facts(kind: &str, host: &str) -> Facts {
        let hosts = if host.is_empty() { Vec::new() } else { vec![format!("POST {host}/*")] };
        Facts { name: "conn".to_owned(), kind: Some(kind.to_owned()), hosts, ..Facts::default() }
    }

    /// Whether a body is what a service publishes that it takes; `schema` says where that stands.
    pub(crate) fn assert_fits(schema: &str, body: &serde_json::Value) {
        let schema = serde_json::from_str(schema).expect("a schema");
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .expect("a schema")
            .iter_errors(body)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {body}");
    }

    #[test]
    fn requests_go_where_the_step_says_or_where_the_secret_address_is() {
        let host = Harness::new();
        assert_eq!(server(Some("https://eu.example/"), "https://slack.com").unwrap(), "https://eu.example");
        assert_eq!(server(None, "https://slack.com").unwrap(), "https://slack.com");
        assert_eq!(server(None, "").unwrap_err().details["field"], "/server");
        host.set_connection(facts("bearer", "https://hooks.example"));
        assert_eq!(server(None, "https://slack.com").unwrap(), "https://slack.com");
        host.set_connection(facts("webhook-url", "https://hooks.example:8443"));
        assert_eq!(server(None, "https://slack.com").unwrap(), "https://hooks.example:8443");
    }
}
