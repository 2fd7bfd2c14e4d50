//! `flowcell run pin-data RUN`: a test case from a real run: its trigger, the answers its steps got, and what became of it.

use clap::Args;
use flowcell_core::testcase::yaml;
use serde_json::{Map, Value, json};

use crate::cli::Failure;
use crate::cli::document::{at, items, path_segment, text_of};
use crate::cli::output::Output;
use crate::client::Client;

#[derive(Debug, Args)]
pub(crate) struct PinData {
    /// The run's id, `run_…`
    id: String,
}

pub(crate) async fn pin_data(args: &PinData, client: &Client, output: &Output) -> Result<(), Failure> {
    let run = client.get(&format!("runs/{}", path_segment(&args.id))).await?;
    let suite = suite_of(&run);
    if output.is_json() {
        output.document(&suite);
    } else {
        output.line(format!(
            "# From {}. Look through it before you keep it: what people sent stands in it; secrets are masked.\n{}",
            args.id,
            yaml::write(&suite).trim_end()
        ));
    }
    Ok(())
}

/// A test file with one case.
fn suite_of(run: &Value) -> Value {
    let mut pins = Map::new();
    let mut requests = Vec::new();
    let mut steps = Map::new();
    for step in items(run, "/steps") {
        let id = text_of(step, "/id");
        let attempts: Vec<&Value> =
            items(step, "/attempts").iter().filter(|attempt| !at(attempt, "/ended_at").is_null()).collect();
        let pinned: Vec<Value> = attempts.iter().filter_map(|attempt| pinned(attempt)).collect();
        match (pinned.len(), pinned.into_iter().next_back()) {
            (1, Some(only)) => drop(pins.insert(id.clone(), only)),
            (0, _) => {}
            _ => drop(pins.insert(id.clone(), attempts.iter().filter_map(|attempt| self::pinned(attempt)).collect())),
        }
        for exchange in attempts.iter().flat_map(|attempt| items(attempt, "/http")) {
            requests.push(request(&id, exchange));
        }
        if at(step, "/plugin").is_object()
            && matches!(text_of(step, "/status").as_str(), "succeeded" | "failed" | "handled")
        {
            steps.insert(id, at(step, "/status").clone());
        }
    }
    let mut expect = Map::new();
    expect.insert("status".to_owned(), at(run, "/status").clone());
    if let Some(code) = at(run, "/error/code").as_str() {
        expect.insert("error".to_owned(), json!({ "code": code, "step": at(run, "/error/step") }));
    }
    expect.insert("steps".to_owned(), Value::Object(steps));
    expect.insert("requests".to_owned(), Value::Array(requests));
    let name = format!("it goes as it went in {}", text_of(run, "/id"));
    json!({
        "cases": [{
            "name": name,
            "now": at(run, "/created_at"),
            "trigger": at(run, "/trigger"),
            "pin": pins,
            "expect": expect,
        }]
    })
}

/// What stands in for an attempt: the answers it got, or without any its end.
fn pinned(attempt: &Value) -> Option<Value> {
    let exchanges = items(attempt, "/http");
    if !exchanges.is_empty() {
        return Some(json!({ "http": exchanges.iter().filter_map(answer).collect::<Vec<_>>() }));
    }
    let error = at(attempt, "/error");
    if error.is_object() {
        let fields =
            ["code", "message", "retryable"].map(|key| (key.to_owned(), error.get(key).cloned().unwrap_or_default()));
        return Some(json!({ "error": Map::from_iter(fields) }));
    }
    attempt.get("output").map(|output| json!({ "output": output }))
}

fn answer(exchange: &Value) -> Option<Value> {
    let mut answer = Map::new();
    answer.insert("method".to_owned(), at(exchange, "/request/method").clone());
    answer.insert("url".to_owned(), at(exchange, "/request/url").clone());
    if let Some(code) = at(exchange, "/error/code").as_str() {
        answer.insert("error".to_owned(), json!(code));
        return Some(Value::Object(answer));
    }
    answer.insert("status".to_owned(), exchange.pointer("/response/status")?.clone());
    let headers = items(exchange, "/response/headers")
        .iter()
        .filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)));
    // What a plugin looks at; the others only tell when and through what the answer came.
    let telling = |name: &str| matches!(name, "content-type" | "location" | "retry-after" | "link" | "etag");
    let headers: Map<String, Value> =
        headers.filter(|(name, _)| telling(name)).map(|(name, value)| (name.to_owned(), json!(value))).collect();
    if !headers.is_empty() {
        answer.insert("headers".to_owned(), Value::Object(headers));
    }
    let body = at(exchange, "/response/body");
    match (body.get("text").and_then(Value::as_str), body.get("base64")) {
        (Some(text), _) => match serde_json::from_str::<Value>(text) {
            Ok(json) if json.is_object() || json.is_array() => drop(answer.insert("json".to_owned(), json)),
            _ => drop(answer.insert("text".to_owned(), json!(text))),
        },
        (None, Some(coded)) => drop(answer.insert("base64".to_owned(), coded.clone())),
        (None, None) => {}
    }
    Some(Value::Object(answer))
}

fn request(step: &str, exchange: &Value) -> Value {
    let mut request = Map::new();
    request.insert("step".to_owned(), json!(step));
    request.insert("method".to_owned(), at(exchange, "/request/method").clone());
    request.insert("url".to_owned(), at(exchange, "/request/url").clone());
    let text = at(exchange, "/request/body/text").as_str().filter(|_| at(exchange, "/request/body/truncated") != true);
    if let Some(json) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        request.insert("json".to_owned(), json);
    }
    Value::Object(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowcell_core::testcase::Suite;

    #[test]
    fn a_run_becomes_a_case_that_can_be_read_again() {
        let exchange = |status: u16| {
            json!({
                "number": 1, "started_at": "2026-01-05T09:00:00Z", "duration_ms": 3,
                "request": { "method": "POST", "url": "https://crm.example.com/leads", "headers": [["authorization", "•••"]], "body": { "bytes": 9, "text": "{\"a\":\"b\"}" } },
                "response": { "status": status, "headers": [["content-type", "application/json"], ["date", "x"]], "body": { "bytes": 8, "text": "{\"id\":7}" } },
            })
        };
        let run = json!({
            "id": "run_1", "status": "succeeded", "created_at": "2026-01-05T09:00:00.000Z", "trigger": { "body": { "name": "Ada" } }, "error": null,
            "steps": [
                { "id": "create", "status": "succeeded", "plugin": {}, "attempts": [
                    { "ended_at": "x", "http": [exchange(503)], "error": { "code": "http-status", "message": "m", "retryable": true, "details": {} } },
                    { "ended_at": "x", "http": [exchange(201)], "output": { "status": 201 } },
                ] },
                { "id": "plain", "status": "succeeded", "plugin": {}, "attempts": [{ "ended_at": "x", "http": [], "error": null, "output": { "n": 1 } }] },
                { "id": "size", "status": "succeeded", "plugin": null, "attempts": [] },
            ],
        });
        let text = yaml::write(&suite_of(&run));
        let suite = Suite::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        assert_eq!(suite.cases.len(), 1);
        expect_test::expect![[r#"
            cases:
              - name: it goes as it went in run_1
                now: "2026-01-05T09:00:00.000Z"
                trigger:
                  body:
                    name: Ada
                pin:
                  create:
                    - http:
                        - status: 503
                          method: POST
                          url: "https://crm.example.com/leads"
                          headers:
                            content-type: application/json
                          json:
                            id: 7
                    - http:
                        - status: 201
                          method: POST
                          url: "https://crm.example.com/leads"
                          headers:
                            content-type: application/json
                          json:
                            id: 7
                  plain:
                    output:
                      n: 1
                expect:
                  status: succeeded
                  requests:
                    - step: create
                      method: POST
                      url: "https://crm.example.com/leads"
                      json:
                        a: b
                    - step: create
                      method: POST
                      url: "https://crm.example.com/leads"
                      json:
                        a: b
                  steps:
                    create: succeeded
                    plain: succeeded
        "#]]
        .assert_eq(&text);
    }
}
