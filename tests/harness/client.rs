//! A plain HTTP client that reports what came back, whatever the status.

use std::time::Duration;

use serde_json::Value;

/// A response, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request on a connection of its own; `Err` when there is no HTTP answer.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let outcome = if body.is_empty() && matches!(method, "GET" | "HEAD" | "DELETE") {
        agent.run(builder.body(()).map_err(|error| error.to_string())?)
    } else {
        agent.run(builder.body(body).map_err(|error| error.to_string())?)
    };
    let mut response = outcome.map_err(|error| error.to_string())?;
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok(Answer { status, headers, body })
}

pub fn get(url: &str) -> Result<Answer, String> {
    request("GET", url, &[], b"")
}

pub fn delete(url: &str) -> Result<Answer, String> {
    request("DELETE", url, &[], b"")
}

/// Posts JSON.
pub fn post(url: &str, body: &Value) -> Result<Answer, String> {
    request("POST", url, &[("content-type", "application/json")], body.to_string().as_bytes())
}
