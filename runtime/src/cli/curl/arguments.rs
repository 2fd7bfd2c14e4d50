//! What the words of a cURL command ask for. What a step cannot do is refused or noted, never silently dropped.

use flowcell_core::secret::Secret;
use url::Url;

/// A request, as the command says it.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) method: Option<String>,
    pub(super) url: Option<Url>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) data: Vec<String>,
    /// `--json` says the content type too.
    pub(super) is_json: bool,
    pub(super) parts: Vec<Field>,
    pub(super) login: Option<Login>,
    pub(super) timeout_ms: Option<u64>,
    /// `-G`: the data goes to the query.
    pub(super) data_in_query: bool,
    pub(super) notes: Vec<String>,
}

/// `-F name=value`.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

pub(super) enum Login {
    /// `-u name:password`; only the name is kept.
    Basic { username: String },
    /// `--oauth2-bearer`.
    Bearer,
}

/// Options without an argument that change nothing a step would show.
const QUIET: [&str; 22] = [
    "silent",
    "show-error",
    "verbose",
    "include",
    "fail",
    "fail-with-body",
    "compressed",
    "globoff",
    "progress-bar",
    "http1.1",
    "http2",
    "http1.0",
    "no-buffer",
    "tcp-nodelay",
    "ipv4",
    "ipv6",
    "no-keepalive",
    "path-as-is",
    "no-progress-meter",
    "tlsv1.2",
    "tlsv1.3",
    "raw",
];

/// The same with an argument.
const QUIET_WITH_VALUE: [&str; 8] =
    ["output", "write-out", "connect-timeout", "retry", "retry-delay", "retry-max-time", "stderr", "trace-ascii"];

pub(super) fn read(words: Vec<String>) -> Result<Asked, String> {
    let mut words = words.into_iter();
    match words.next() {
        Some(word) if word == "curl" || word.ends_with("/curl") || word == "curl.exe" => {}
        Some(word) => return Err(format!("the command begins with `{}`, not with curl", shown(&word))),
        None => return Err("there is no command".to_owned()),
    }
    let mut asked = Asked::default();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, inline) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            asked.option(name, || inline.or_else(|| words.next()))?;
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            asked.shorts(short, &mut words)?;
        } else {
            asked.set_url(&word)?;
        }
    }
    if asked.url.is_none() {
        return Err("the command names no URL".to_owned());
    }
    Ok(asked)
}

impl Asked {
    /// `-sSLXPOST`: flags stand together; what follows one that takes a value is its value.
    fn shorts(&mut self, shorts: &str, words: &mut impl Iterator<Item = String>) -> Result<(), String> {
        for (at, short) in shorts.char_indices() {
            let rest = shorts.get(at + short.len_utf8()..).unwrap_or_default();
            let name = long_name(short).ok_or_else(|| format!("the option -{short} is not known here"))?;
            let mut took_value = false;
            self.option(name, || {
                took_value = true;
                if rest.is_empty() { words.next() } else { Some(rest.to_owned()) }
            })?;
            if took_value {
                break;
            }
        }
        Ok(())
    }

    fn option(&mut self, name: &str, value: impl FnOnce() -> Option<String>) -> Result<(), String> {
        let value = || value().ok_or_else(|| format!("--{name} has no value"));
        match name {
            "request" => self.method = Some(value()?.to_ascii_uppercase()),
            "url" => self.set_url(&value()?)?,
            "header" => self.header(&value()?)?,
            "data" | "data-ascii" | "data-binary" => {
                let text = value()?;
                if text.starts_with('@') {
                    return Err(format!("--{name} reads a file ({}); put its content into the command", shown(&text)));
                }
                self.data.push(text);
            }
            "data-raw" => self.data.push(value()?),
            "data-urlencode" => self.data.push(url_encoded(&value()?)?),
            "json" => {
                self.data.push(value()?);
                self.is_json = true;
            }
            "form" | "form-string" => self.field(name, &value()?)?,
            "get" => self.data_in_query = true,
            "head" => self.method = Some("HEAD".to_owned()),
            "user" => {
                // The password goes no further than this line.
                let login = Secret::new(value()?);
                let username = login.expose().split(':').next().unwrap_or_default().to_owned();
                self.login = Some(Login::Basic { username });
            }
            "oauth2-bearer" => {
                drop(Secret::new(value()?));
                self.login = Some(Login::Bearer);
            }
            "user-agent" => self.headers.push(("user-agent".to_owned(), value()?)),
            "referer" => self.headers.push(("referer".to_owned(), value()?)),
            "cookie" => {
                drop(Secret::new(value()?));
                self.notes.push(
                    "cookies were left out: they belong to a browser's session; use an API key or token of the service"
                        .to_owned(),
                );
            }
            "max-time" => {
                let seconds: f64 = value()?.parse().map_err(|_| "--max-time is no number of seconds".to_owned())?;
                if !(0.001..=86_400.0).contains(&seconds) {
                    return Err("--max-time is not between 1 ms and a day".to_owned());
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "its range was just checked"
                )]
                let millis = (seconds * 1000.0) as u64;
                self.timeout_ms = Some(millis);
            }
            "location" => self.notes.push(
                "redirects (-L) are not followed: a 3xx comes back as it is; write the address that they lead to"
                    .to_owned(),
            ),
            "insecure" => self.notes.push("certificates are always checked: -k was left out".to_owned()),
            name if QUIET.contains(&name) => {}
            name if QUIET_WITH_VALUE.contains(&name) => drop(value()?),
            name => return Err(format!("the option --{} cannot be carried over into a step", shown(name))),
        }
        Ok(())
    }

    fn set_url(&mut self, text: &str) -> Result<(), String> {
        if self.url.is_some() {
            return Err("the command names several URLs; a step sends one request".to_owned());
        }
        // As curl does.
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&text).map_err(|error| format!("the URL cannot be read: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("a step speaks http and https, not {}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.login = Some(Login::Basic { username: url.username().to_owned() });
            let cleared = url.set_username("").and_then(|()| url.set_password(None));
            cleared.map_err(|()| "the URL's user name cannot be taken out".to_owned())?;
        }
        self.url = Some(url);
        Ok(())
    }

    fn header(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with('@') {
            return Err("-H reads a file here; put the headers into the command".to_owned());
        }
        // `Name:` removes one that curl would send, `Name;` sends an empty one.
        let (name, value) = match (line.split_once(':'), line.strip_suffix(';')) {
            (Some((name, value)), _) => (name.trim(), value.trim()),
            (None, Some(name)) => (name.trim(), ""),
            (None, None) => return Err(format!("`{}` is no header", shown(line))),
        };
        let removes = value.is_empty() && !line.ends_with(';');
        if !removes {
            self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Ok(())
    }

    fn field(&mut self, option: &str, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("--{option} is `name=value`"))?;
        if option == "form" && value.starts_with(['@', '<']) {
            return Err(format!(
                "the field `{}` is a file of this machine; in a step its content comes as `base64` of a part, from an earlier step",
                shown(name)
            ));
        }
        self.parts.push(Field { name: name.to_owned(), value: value.to_owned() });
        Ok(())
    }
}

/// `content`, `=content`, `name=content`: the content is encoded.
fn url_encoded(text: &str) -> Result<String, String> {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    match text.split_once('=') {
        Some(("", content)) => Ok(encode(content)),
        Some((name, content)) => Ok(format!("{name}={}", encode(content))),
        None if text.contains('@') => {
            Err("--data-urlencode reads a file here; put its content into the command".to_owned())
        }
        None => Ok(encode(text)),
    }
}

fn long_name(short: char) -> Option<&'static str> {
    Some(match short {
        'X' => "request",
        'H' => "header",
        'd' => "data",
        'F' => "form",
        'G' => "get",
        'I' => "head",
        'u' => "user",
        'A' => "user-agent",
        'e' => "referer",
        'b' => "cookie",
        'm' => "max-time",
        'L' => "location",
        'k' => "insecure",
        's' => "silent",
        'S' => "show-error",
        'v' => "verbose",
        'i' => "include",
        'f' => "fail",
        'g' => "globoff",
        '#' => "progress-bar",
        'N' => "no-buffer",
        '4' => "ipv4",
        '6' => "ipv6",
        'o' => "output",
        'w' => "write-out",
        _ => return None,
    })
}

/// The beginning of a text from the command, for a message: enough to find it, too little to hold a key.
fn shown(text: &str) -> String {
    text.chars().take(24).filter(|c| !c.is_control()).collect()
}
