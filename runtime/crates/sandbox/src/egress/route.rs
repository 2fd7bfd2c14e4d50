//! Routes: origins whose requests the operator hands to another one, such as a gateway on this machine or the double of a test.
//!
//! A route changes where a connection goes, and nothing else: grants, ceilings and bindings of credentials hold for the origin that was asked for,
//! which is also what is recorded and sent as `Host`. The address of the other one is judged like any.

use std::collections::BTreeMap;
use std::net::IpAddr;

use flowcell_core::capability::Origin;
use http::Uri;
use serde::Deserialize;
use url::{Host, Url};

/// By the origin that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Routes(BTreeMap<String, Uri>);

impl TryFrom<BTreeMap<String, String>> for Routes {
    type Error = String;

    fn try_from(written: BTreeMap<String, String>) -> Result<Self, String> {
        let routes = written.into_iter().map(|(from, to)| Ok((key(&origin(&from)?), target(&to)?)));
        routes.collect::<Result<_, String>>().map(Self)
    }
}

impl Routes {
    /// Where a request for this goes instead.
    pub(super) fn instead_of(&self, uri: &Uri) -> Option<Uri> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&key(&Url::parse(&uri.to_string()).ok()?)).cloned()
    }
}

fn key(url: &Url) -> String {
    Origin::of(url).map(|origin| origin.to_string()).unwrap_or_default()
}

fn origin(text: &str) -> Result<Url, String> {
    let wrong = || {
        format!("`{text}` is not an origin: write `https://api.example.com` or `http://127.0.0.1:9000`, without a path")
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_origin = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty();
    if is_origin && url.host().is_some() { Ok(url) } else { Err(wrong()) }
}

/// Without TLS, credentials may travel within this machine only.
fn target(text: &str) -> Result<Uri, String> {
    let url = origin(text)?;
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    if url.scheme() == "http" && !is_here {
        return Err(format!(
            "`{text}` would be reached without TLS: a route to another machine begins with `https://`; `http://` is for 127.0.0.1 and [::1]"
        ));
    }
    url.as_str().parse().map_err(|_| format!("`{text}` is not an origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(from: &str, to: &str) -> Result<Routes, String> {
        Routes::try_from(BTreeMap::from([(from.to_owned(), to.to_owned())]))
    }

    #[test]
    fn a_route_is_for_its_origin_only() {
        let routes = routes("https://API.example.com", "http://127.0.0.1:9000").unwrap();
        let to = |uri: &str| routes.instead_of(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(to("https://api.example.com/v1/x?y"), Some("http://127.0.0.1:9000/".to_owned()));
        for other in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.example/",
            "https://example.com/",
        ] {
            assert_eq!(to(other), None, "{other}");
        }
    }

    #[test]
    fn a_route_without_tls_stays_on_this_machine() {
        for (from, to) in [
            ("https://a.example", "http://10.0.0.1"),
            ("https://a.example", "http://localhost:1"),
            ("https://a.example", "http://b.example"),
            ("https://a.example/x", "https://b.example"),
            ("https://a.example", "https://b.example/x"),
            ("a.example", "https://b.example"),
            ("ftp://a.example", "https://b.example"),
            ("https://u@a.example", "https://b.example"),
        ] {
            assert!(routes(from, to).is_err(), "{from} {to}");
        }
        for to in ["https://b.example", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert!(routes("https://a.example", to).is_ok(), "{to}");
        }
    }
}
