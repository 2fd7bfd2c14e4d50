//! Where one request wants to go, in the one form that rules are compared with.

use std::cell::OnceCell;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::decide::{Denial, DeniedBy};
use super::rule::METHODS;

/// Scheme, host and port: what run data never chooses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// In lower case, without a trailing dot; IPv6 literals in brackets; international names in punycode.
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// `None` for other schemes, and for hosts that are neither an address nor a name of letters, digits, `-` and `_`.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = match url.scheme() {
            scheme @ ("http" | "https") => scheme.to_owned(),
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                is_host_name(name).then(|| name.to_owned())?
            }
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => format!("[{address}]"),
        };
        Some(Self { scheme, host, port: url.port_or_known_default()? })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// Whether `text` is a name as it stands in DNS (RFC 1035 lengths), with the underscore that some real hosts have.
/// `url` lets quotes and the like pass; those have no business in a name that is printed, compared and pasted.
pub(super) fn is_host_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        })
        // An address in dotted form is not a name; `url` has parsed those.
        && !text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

/// One request, checked for what no rule can allow: odd schemes, methods, hosts, and user names in the URL.
#[derive(Debug)]
pub struct RequestTarget<'a> {
    method: &'a str,
    url: &'a Url,
    origin: Origin,
    readings: OnceCell<Vec<String>>,
}

impl<'a> RequestTarget<'a> {
    pub fn new(method: &'a str, url: &'a Url) -> Result<Self, Denial> {
        let denied = |rule, message: String| Err(Denial { rule, message, grant_to_add: None });
        if !METHODS.contains(&method) {
            let shown: String = method.chars().take(20).filter(|c| !c.is_control()).collect();
            return denied(
                DeniedBy::Method,
                format!("the method `{shown}` is denied to plugins; use one of {}", METHODS.join(", ")),
            );
        }
        if !matches!(url.scheme(), "http" | "https") {
            return denied(
                DeniedBy::Scheme,
                format!("the scheme `{}` is denied; only http and https leave the sandbox", url.scheme()),
            );
        }
        if !url.username().is_empty() || url.password().is_some() {
            return denied(
                DeniedBy::Userinfo,
                "the URL carries a user name or password, which is denied: it would end in logs and can disguise the host. \
                 Remove what stands before the `@`"
                    .to_owned(),
            );
        }
        let Some(origin) = Origin::of(url).filter(|origin| origin.port != 0) else {
            return denied(
                DeniedBy::Host,
                "the URL's host is not an address or host name that can be reached".to_owned(),
            );
        };
        Ok(Self { method, url, origin, readings: OnceCell::new() })
    }

    pub fn method(&self) -> &str {
        self.method
    }
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path as a careful and as a careless server would read it. A rule must hold for both.
    pub(super) fn path_readings(&self) -> &[String] {
        self.readings.get_or_init(|| {
            let path = self.url.path();
            let mut careless = path.to_owned();
            // Three rounds: twice-encoded dots are known from proxies in front of servers; more is not.
            for _ in 0..3 {
                careless = decode_once(&careless);
            }
            // Path parameters (`..;x`) are cut from a segment before some servers resolve it.
            let careless: Vec<&str> =
                careless.split(['/', '\\']).map(|segment| segment.split(';').next().unwrap_or(segment)).collect();
            vec![resolve(path.split('/')), resolve(careless.into_iter())]
        })
    }
}

impl fmt::Display for RequestTarget<'_> {
    /// Method, origin and path; never the query, which may carry keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: String = self.url.path().chars().take(200).collect();
        write!(f, "{} {}{path}", self.method, self.origin)
    }
}

/// Decodes the escapes that can change where a path leads: `%25`, `%2e`, `%2f`, `%5c`.
fn decode_once(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        let plain = match escape.get(1..3).map(str::to_ascii_lowercase).as_deref() {
            Some("25") => "%",
            Some("2e") => ".",
            Some("2f" | "5c") => "/",
            _ => "",
        };
        if plain.is_empty() {
            decoded.push('%');
            rest = escape.get(1..).unwrap_or_default();
        } else {
            decoded.push_str(plain);
            rest = escape.get(3..).unwrap_or_default();
        }
    }
    decoded + rest
}

/// Removes `.`, `..` and empty segments; keeps whether the path ends with a slash.
fn resolve<'p>(segments: impl Iterator<Item = &'p str>) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_with_slash = true;
    for segment in segments {
        ends_with_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let slash = if ends_with_slash && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_careful_and_careless_servers_do() {
        for (path, careful, careless) in [
            ("/v1/a", "/v1/a", "/v1/a"),
            ("/v1//a/", "/v1/a/", "/v1/a/"),
            ("/v1/../a", "/a", "/a"),
            ("/v1/%2e%2E/a", "/a", "/a"),
            ("/v1\\..\\a", "/a", "/a"),
            ("/v1/..%2fa", "/v1/..%2fa", "/a"),
            ("/v1/..%5ca", "/v1/..%5ca", "/a"),
            ("/v1/%252e%252e/a", "/v1/%252e%252e/a", "/a"),
            ("/v1/..;x=1/a", "/v1/..;x=1/a", "/a"),
            ("/%zz%", "/%zz%", "/%zz%"),
            ("/v1/%C3%BC", "/v1/%C3%BC", "/v1/%C3%BC"),
            ("/", "/", "/"),
            ("/../..", "/", "/"),
        ] {
            let url = Url::parse(&format!("https://a.example{path}")).expect("parses");
            let request = RequestTarget::new("GET", &url).expect("well-formed");
            assert_eq!(request.path_readings(), [careful, careless], "{path}");
        }
    }

    #[test]
    fn what_no_rule_can_allow_is_refused_first() {
        for (method, url, rule) in [
            ("CONNECT", "https://a.example/", DeniedBy::Method),
            ("TRACE", "https://a.example/", DeniedBy::Method),
            ("get", "https://a.example/", DeniedBy::Method),
            ("GET", "ftp://a.example/", DeniedBy::Scheme),
            ("GET", "file:///etc/passwd", DeniedBy::Scheme),
            ("GET", "https://u@a.example/", DeniedBy::Userinfo),
            ("GET", "https://:p@a.example/", DeniedBy::Userinfo),
            ("GET", "https://a\"b.example/", DeniedBy::Host),
            ("GET", "https://a..example/", DeniedBy::Host),
            ("GET", "https://a.example:0/", DeniedBy::Host),
        ] {
            let parsed = Url::parse(url).expect(url);
            let denial = RequestTarget::new(method, &parsed).expect_err(url);
            assert_eq!(denial.rule, rule, "{method} {url}");
            assert!(!denial.message.contains(":p@") && !denial.message.contains("u@"));
        }
    }

    #[test]
    fn origins_have_one_form() {
        for (url, origin) in [
            ("HTTPS://API.Example.COM./x", "https://api.example.com"),
            ("http://bücher.example", "http://xn--bcher-kva.example"),
            ("http://0x7f.1:8080", "http://127.0.0.1:8080"),
            ("https://[::FFFF:1.2.3.4]:443", "https://[::ffff:1.2.3.4]"),
        ] {
            assert_eq!(Origin::of(&Url::parse(url).expect(url)).expect(url).to_string(), origin);
        }
    }
}
