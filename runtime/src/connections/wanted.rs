//! What somebody wants a connection to be, and whether it can: names of headers, hosts, plugins, limits.

use flowcell_core::capability::HttpRule;
use flowcell_core::connection::{Binding, KeyPlace, Kind, OauthClient, SmtpTls};
use flowcell_core::plugin::PluginId;
use url::{Host, Url};

use crate::services::mail::{are_certificates, check_sender};

/// Rules of a binding: an interface has one or a few hosts; more than this is a grant to the world.
const HOSTS_MAX: usize = 50;

/// Plugins that may use one connection: all that a workspace commonly has.
const PLUGINS_MAX: usize = 100;

/// Characters of a note: a paragraph.
pub(crate) const NOTE_MAX: usize = 1_000;

/// Bytes of a connection's own certificates: a few of them.
const CA_BYTES_MAX: usize = 32 * 1024;

/// Headers that say where a message ends, where it goes or who may see it: a secret in one of them would break the request or be sent on.
const NEVER_A_SECRET: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
    "keep-alive",
    "user-agent",
];

/// A fact that cannot be, and where it stands in the document that was sent (a JSON Pointer).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct InvalidFact {
    pub(crate) pointer: &'static str,
    pub(crate) message: String,
}

/// Checks what is public of a connection.
pub(crate) fn check(kind: &Kind, bound: &Binding) -> Result<(), InvalidFact> {
    check_kind(kind)?;
    let is_for_steps = !matches!(kind, Kind::WebhookSecret);
    if bound.anywhere && !kind.only_signs() {
        let message = "its secret itself is sent, so it has to name where: `anywhere` is for kinds that only sign";
        return wrong("/anywhere", message.to_owned());
    }
    if bound.anywhere && !bound.hosts.is_empty() {
        return wrong("/anywhere", "it is for any host, or for the `hosts` that it names, not both".to_owned());
    }
    if kind.only_signs() && is_for_steps && bound.hosts.is_empty() && !bound.anywhere {
        let message = "name the hosts that it signs for, or say `anywhere: true`: the secret never leaves, its signatures may go anywhere then";
        return wrong("/hosts", message.to_owned());
    }
    let sends_over_http = is_for_steps && !kind.only_signs() && !matches!(kind, Kind::Smtp { .. });
    if sends_over_http && bound.hosts.is_empty() {
        let message =
            "name where the secret may go, such as `https://api.example.com/v1/*`: without that it would go nowhere";
        return wrong("/hosts", message.to_owned());
    }
    if is_for_steps && bound.plugins.is_empty() {
        let message = "name the plugins whose steps may use it, such as `flowcell/custom-webhook`";
        return wrong("/plugins", message.to_owned());
    }
    if bound.hosts.len() > HOSTS_MAX || bound.plugins.len() > PLUGINS_MAX {
        let message = format!("a connection has at most {HOSTS_MAX} hosts and {PLUGINS_MAX} plugins");
        return wrong("/hosts", message);
    }
    Ok(())
}

/// What is allowed and seldom meant; in sentences.
pub(crate) fn warnings(kind: &Kind, bound: &Binding) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Kind::ApiKey(KeyPlace::Query { name }) = kind {
        warnings.push(format!(
            "The key goes into the query as `{name}`: servers and proxies write queries into their logs. Use a header, if the interface takes one."
        ));
    }
    if let Kind::Smtp { host, tls: SmtpTls::None, .. } = kind
        && !is_loopback(host)
    {
        warnings.push(format!(
            "The password and every mail go to {host} without encryption: whoever is on the way can read them. Use `starttls` or `implicit`."
        ));
    }
    if !kind.only_signs() {
        let in_clear = bound.hosts.iter().filter(|rule| rule.scheme == "http" && !is_near(rule));
        warnings.extend(in_clear.map(|rule| {
            format!(
                "The secret goes to {} without encryption: whoever is on the way can read it. Use https://.",
                rule.host
            )
        }));
    }
    warnings
}

fn check_kind(kind: &Kind) -> Result<(), InvalidFact> {
    match kind {
        Kind::ApiKey(KeyPlace::Header { name, prefix }) => {
            header("/settings/header/name", name)?;
            printable("/settings/header/prefix", prefix)
        }
        Kind::ApiKey(KeyPlace::Query { name }) if name.is_empty() => {
            wrong("/settings/query/name", "the parameter has no name".to_owned())
        }
        Kind::ApiKey(KeyPlace::Query { name }) => printable("/settings/query/name", name),
        Kind::Basic { username } if username.contains(':') => {
            wrong("/settings/username", "a user name cannot contain a colon (RFC 7617)".to_owned())
        }
        Kind::Basic { username } | Kind::Smtp { username, .. } if username.chars().any(char::is_control) => {
            wrong("/settings/username", "a user name cannot contain control characters".to_owned())
        }
        Kind::OauthClientCredentials(client) => oauth(client),
        Kind::OauthCode { authorize_url, issuer, client } => {
            encrypted("/settings/authorize_url", authorize_url)?;
            if issuer.as_ref().is_some_and(|issuer| issuer.parse::<Url>().is_err()) {
                return wrong(
                    "/settings/issuer",
                    "an issuer is a URL, written exactly as the server writes it".to_owned(),
                );
            }
            oauth(client)
        }
        Kind::GoogleServiceAccount { token_url, .. } => encrypted("/settings/token_url", token_url),
        Kind::Hmac(signing) => {
            header("/settings/header", &signing.header)?;
            printable("/settings/prefix", &signing.prefix)?;
            signing.timestamp_header.as_ref().map_or(Ok(()), |name| header("/settings/timestamp_header", name))
        }
        Kind::Smtp { host, sender, ca, .. } => {
            if Host::parse(host).is_err() {
                return wrong("/settings/host", "the mail server's host is not a host name or address".to_owned());
            }
            if let Some(error) = sender.as_ref().and_then(|sender| check_sender(sender).err()) {
                return wrong("/settings/sender", error.message);
            }
            if ca.as_ref().is_some_and(|pem| pem.len() > CA_BYTES_MAX || !are_certificates(pem)) {
                return wrong("/settings/ca", "it holds no certificates of an authority (PEM)".to_owned());
            }
            Ok(())
        }
        Kind::Bearer
        | Kind::Basic { .. }
        | Kind::StandardWebhooks { .. }
        | Kind::WebhookUrl
        | Kind::WebhookSecret
        | Kind::Plugin { .. } => Ok(()),
    }
}

fn oauth(client: &OauthClient) -> Result<(), InvalidFact> {
    if client.client_id.is_empty() {
        return wrong("/settings/client_id", "the client has no id".to_owned());
    }
    encrypted("/settings/token_url", &client.token_url)
}

fn header(pointer: &'static str, name: &str) -> Result<(), InvalidFact> {
    let Ok(parsed) = http::HeaderName::from_bytes(name.as_bytes()) else {
        return wrong(pointer, "it is not the name of a header: letters, digits and hyphens".to_owned());
    };
    if NEVER_A_SECRET.contains(&parsed.as_str()) {
        return wrong(
            pointer,
            format!("the header `{parsed}` belongs to the request itself and cannot carry a secret"),
        );
    }
    Ok(())
}

fn printable(pointer: &'static str, text: &str) -> Result<(), InvalidFact> {
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(());
    }
    wrong(pointer, "only printable ASCII can stand here".to_owned())
}

/// A token endpoint gets the client's secret: over TLS, or on this machine.
fn encrypted(pointer: &'static str, url: &Url) -> Result<(), InvalidFact> {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback) {
        return Ok(());
    }
    wrong(pointer, "it has to begin with https://, since a secret goes there".to_owned())
}

fn is_near(rule: &HttpRule) -> bool {
    is_loopback(&rule.host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether every rule of `narrower` stands in `wider`, word for word: then a change takes something away and adds nothing.
pub(crate) fn only_takes_away(narrower: &[HttpRule], wider: &Binding) -> bool {
    // No rule at all would be nowhere, or anywhere again.
    (!narrower.is_empty() || wider.hosts.is_empty())
        && (wider.anywhere || narrower.iter().all(|rule| wider.hosts.contains(rule)))
}

/// Adds a plugin, once.
pub(crate) fn allow(plugins: &mut Vec<PluginId>, plugin: PluginId) {
    if !plugins.contains(&plugin) {
        plugins.push(plugin);
        plugins.sort();
    }
}

fn wrong<T>(pointer: &'static str, message: String) -> Result<T, InvalidFact> {
    Err(InvalidFact { pointer, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn checked(kind: Value, hosts: &[&str], plugins: &[&str]) -> Result<(), InvalidFact> {
        let bound = Binding {
            anywhere: false,
            hosts: hosts.iter().map(|rule| rule.parse().unwrap()).collect(),
            plugins: plugins.iter().map(|id| id.parse().unwrap()).collect(),
        };
        check(&serde_json::from_value(kind).unwrap(), &bound)
    }

    #[test]
    fn a_secret_that_is_sent_needs_to_know_where_and_by_whom() {
        let (hosts, plugins) = (["https://a.example"], ["acme/crm"]);
        let bearer = json!({ "kind": "bearer" });
        assert_eq!(checked(bearer.clone(), &hosts, &plugins), Ok(()));
        assert_eq!(checked(bearer.clone(), &[], &plugins).unwrap_err().pointer, "/hosts");
        assert_eq!(checked(bearer, &hosts, &[]).unwrap_err().pointer, "/plugins");
        let signing = json!({ "kind": "standard-webhooks", "settings": {} });
        assert_eq!(checked(signing.clone(), &[], &plugins).unwrap_err().pointer, "/hosts");
        assert_eq!(checked(signing.clone(), &hosts, &plugins), Ok(()));
        let anywhere = |kind: &Value, hosts: &[&str]| {
            let bound = Binding {
                hosts: hosts.iter().map(|rule| rule.parse().unwrap()).collect(),
                anywhere: true,
                plugins: vec!["acme/crm".parse().unwrap()],
            };
            check(&serde_json::from_value(kind.clone()).unwrap(), &bound).map_err(|error| error.pointer)
        };
        assert_eq!(anywhere(&signing, &[]), Ok(()));
        assert_eq!(anywhere(&signing, &hosts), Err("/anywhere"));
        assert_eq!(anywhere(&json!({ "kind": "bearer" }), &[]), Err("/anywhere"));
        assert_eq!(checked(json!({ "kind": "webhook-secret" }), &[], &[]), Ok(()));
    }

    #[test]
    fn settings_that_could_not_work_are_refused_where_they_stand() {
        let api_key = |name: &str, prefix: &str| json!({ "kind": "api-key", "settings": { "header": { "name": name, "prefix": prefix } } });
        let oauth = |url: &str, id: &str| json!({ "kind": "oauth-client-credentials", "settings": { "token_url": url, "client_id": id } });
        for (kind, pointer) in [
            (api_key("x key", ""), "/settings/header/name"),
            (api_key("Content-Length", ""), "/settings/header/name"),
            (api_key("x-key", "a\nb"), "/settings/header/prefix"),
            (json!({ "kind": "api-key", "settings": { "query": { "name": "" } } }), "/settings/query/name"),
            (json!({ "kind": "basic", "settings": { "username": "a:b" } }), "/settings/username"),
            (json!({ "kind": "hmac", "settings": { "header": "host" } }), "/settings/header"),
            (oauth("http://a.example/token", "c"), "/settings/token_url"),
            (oauth("https://a.example/token", ""), "/settings/client_id"),
        ] {
            let error = checked(kind.clone(), &["https://a.example"], &["acme/crm"]).unwrap_err();
            assert_eq!(error.pointer, pointer, "{kind}");
        }
        assert_eq!(checked(oauth("http://127.0.0.1:9/token", "c"), &["http://127.0.0.1:9"], &["acme/crm"]), Ok(()));
    }

    #[test]
    fn a_secret_in_the_query_or_in_the_clear_is_warned_about() {
        let of = |kind: Value, host: &str| {
            let bound = Binding { hosts: vec![host.parse().unwrap()], anywhere: false, plugins: Vec::new() };
            warnings(&serde_json::from_value(kind).unwrap(), &bound).join("\n")
        };
        let query = json!({ "kind": "api-key", "settings": { "query": { "name": "key" } } });
        assert!(of(query, "https://a.example").contains("logs"));
        assert!(of(json!({ "kind": "bearer" }), "http://a.example").contains("without encryption"));
        assert_eq!(
            of(json!({ "kind": "bearer" }), "http://127.0.0.1:8080")
                + &of(json!({ "kind": "bearer" }), "https://a.example"),
            ""
        );
    }

    #[test]
    fn hosts_are_taken_away_without_the_secret_and_added_only_with_it() {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<HttpRule>>();
        let bound = |hosts: Vec<HttpRule>, anywhere| Binding { hosts, anywhere, plugins: Vec::new() };
        let all = rules(&["https://a.example", "GET https://b.example/v1/*"]);
        let wide = bound(all.clone(), false);
        assert!(only_takes_away(&rules(&["https://a.example/*"]), &wide));
        assert!(only_takes_away(&all, &wide));
        assert!(!only_takes_away(&rules(&["https://a.example", "https://c.example"]), &wide));
        assert!(!only_takes_away(&rules(&["https://b.example/v1/*"]), &wide));
        assert!(!only_takes_away(&[], &wide));
        assert!(only_takes_away(&all, &bound(Vec::new(), true)), "from anywhere every rule takes something away");
    }
}
