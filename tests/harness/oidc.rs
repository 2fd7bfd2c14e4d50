//! A real authorization server (`oidc-provider` of npm) on loopback, and the browser of somebody who signs in there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::client::{Answer, post, request};
use crate::tools::node;

/// Runs until dropped.
#[derive(Debug)]
pub struct Oidc {
    child: Child,
    origin: String,
}

impl Oidc {
    pub const CLIENT: &str = "flowcell";
    pub const SECRET: &str = "s3cret-of-the-client";

    pub fn start() -> Self {
        let mut command = node(include_str!("../tools/oidc.mjs"), &[]);
        // Its warnings are about what a test does not need.
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("no authorization server: {said}"));
        let origin = format!("http://127.0.0.1:{}", said.pointer("/port").unwrap());
        Self { child, origin }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Changes what happens next (see `tests/tools/oidc.mjs`); returns what has happened.
    pub fn control(&self, change: &Value) -> Value {
        post(&self.url("/control"), change).unwrap().json()
    }

    pub fn count(&self, what: &str) -> u64 {
        self.control(&json!({})).get(what).and_then(Value::as_u64).unwrap_or_else(|| panic!("nobody counts {what}"))
    }

    /// Whether it knows this access token as its own.
    pub fn knows(&self, authorization: &str) -> bool {
        request("GET", &self.url("/me"), &[("authorization", authorization)], b"").unwrap().status == 200
    }
}

impl Drop for Oidc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Follows redirects and keeps cookies, as far as signing in needs it.
#[derive(Debug, Default)]
pub struct Browser {
    /// By origin and name.
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    /// Opens an address and does what a person does: signs in, consents. Stops before an address that begins with `stop`, and returns it.
    pub fn until(&mut self, address: &str, stop: &str) -> String {
        let mut address = address.to_owned();
        for _ in 0..20 {
            if address.starts_with(stop) {
                return address;
            }
            let answer = self.open(&address);
            address = if let Some(to) = answer.header("location") {
                joined(&address, to)
            } else {
                let to = between(&answer.body, "action=\"", "\"");
                let form = match between(&answer.body, "name=\"prompt\" value=\"", "\"").as_str() {
                    "login" => "prompt=login&login=ann&password=x",
                    "consent" => "prompt=consent",
                    other => panic!("a page that asks for {other}: {answer:?}"),
                };
                let answer = self.send("POST", &joined(&address, &to), form);
                let to = answer.header("location").unwrap_or_else(|| panic!("the form was refused: {answer:?}"));
                joined(&address, to)
            };
        }
        panic!("redirected without end; last to {address}");
    }

    /// Opens an address, and where a page asks whether to go on, goes on: what it leads to stands in `location`.
    pub fn open(&mut self, address: &str) -> Answer {
        let mut answer = self.send("GET", address, "");
        if answer.status == 200 && address.contains("/oauth/start/") {
            answer = self.send("POST", address, "");
            let to = answer.header("refresh").and_then(|refresh| refresh.strip_prefix("0;url=")).map(str::to_owned);
            answer.headers.extend(to.map(|to| ("location".to_owned(), to)));
        }
        answer
    }

    /// One request, without following anything.
    pub fn get(&mut self, address: &str) -> Answer {
        self.send("GET", address, "")
    }

    fn send(&mut self, method: &str, address: &str, form: &str) -> Answer {
        let origin = origin(address);
        let mine = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        let cookies: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = vec![("cookie", cookies.as_str())];
        if method == "POST" {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        let answer = request(method, address, &headers, form.as_bytes()).unwrap();
        for (_, set) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            let key = (origin.clone(), name.to_owned());
            if value.is_empty() {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        answer
    }
}

/// `http://host:port` of an address.
fn origin(address: &str) -> String {
    address.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

fn joined(base: &str, to: &str) -> String {
    if to.starts_with('/') { origin(base) + to } else { to.to_owned() }
}

fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(after).next().unwrap_or_default().to_owned()
}
