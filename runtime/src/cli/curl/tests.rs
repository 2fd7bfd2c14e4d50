use serde_json::{Value, json};

use super::{arguments, step, words};

fn import(command: &str) -> Result<step::Imported, String> {
    step::of(arguments::read(words::split(command)?)?, &"call".parse().unwrap())
}

fn with(command: &str) -> Value {
    import(command).unwrap_or_else(|why| panic!("{command}: {why}")).step["with"].clone()
}

#[test]
fn words_are_read_as_a_shell_reads_them() {
    for (text, expected) in [
        ("curl  -X\tPOST", vec!["curl", "-X", "POST"]),
        (r#"curl -H 'a: b c' -H "d: \"e\" \$f \g""#, vec!["curl", "-H", "a: b c", "-H", "d: \"e\" $f \\g"]),
        ("curl \\\n  x \\\r\n y", vec!["curl", "x", "y"]),
        (r"curl $'it\'s\n\u00fc\x41'", vec!["curl", "it's\nüA"]),
        ("curl ''", vec!["curl", ""]),
        ("curl a'b'\"c\"", vec!["curl", "abc"]),
    ] {
        assert_eq!(words::split(text).unwrap(), expected, "{text}");
    }
    for (text, says) in [
        ("curl 'x", "single quote"),
        ("curl \"x", "double quote"),
        ("curl $'x", "$'"),
        ("curl x | jq", "`|` belongs to the shell"),
        ("curl x; rm", "names several URLs"),
        (r"curl $'\uD800'", "no character"),
    ] {
        let error = words::split(text).and_then(|words| arguments::read(words).map(|_| ())).expect_err(text);
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn each_kind_of_command_becomes_the_step_it_means() {
    for (command, expected) in [
        ("curl https://a.example/x", json!({ "method": "GET", "url": "https://a.example/x" })),
        ("curl -I a.example", json!({ "method": "HEAD", "url": "http://a.example/" })),
        (
            "curl -sSLX PUT https://a.example/x?b=1&b=2&c= -H 'Accept: text/csv' -m 2.5",
            json!({ "method": "PUT", "url": "https://a.example/x", "query": { "b": ["1", "2"], "c": "" },
                "headers": { "accept": "text/csv" }, "timeout_ms": 2500 }),
        ),
        (
            r#"curl https://a.example -H 'Content-Type: application/json' -d '{"name": "Zoë", "n": 1}'"#,
            json!({ "method": "POST", "url": "https://a.example/", "json": { "name": "Zoë", "n": 1 } }),
        ),
        (
            r#"curl --json '{"a": "{{ b }}"}' https://a.example"#,
            json!({ "method": "POST", "url": "https://a.example/", "headers": { "accept": "application/json" },
                "json": { "a": "{% raw %}{{ b }}{% endraw %}" } }),
        ),
        (
            "curl https://a.example -d a=1 -d b=%C3%BC --data-urlencode 'c=x y'",
            json!({ "method": "POST", "url": "https://a.example/", "form": { "a": "1", "b": "ü", "c": "x y" } }),
        ),
        (
            "curl -G https://a.example -d q=x",
            json!({ "method": "GET", "url": "https://a.example/", "query": { "q": "x" } }),
        ),
        (
            "curl https://a.example -H 'content-type: text/xml' --data-raw '<a/>'",
            json!({ "method": "POST", "url": "https://a.example/", "raw": "<a/>", "content_type": "text/xml" }),
        ),
        (
            "curl https://a.example -F 'name=Zoë' -F tag=x",
            json!({ "method": "POST", "url": "https://a.example/",
                "multipart": [{ "name": "name", "value": "Zoë" }, { "name": "tag", "value": "x" }] }),
        ),
    ] {
        assert_eq!(with(command), expected, "{command}");
    }
}

#[test]
fn credentials_become_a_connection_and_stand_nowhere() {
    for (command, kind, options) in [
        ("curl https://api.a.example -H 'Authorization: Bearer S3CRET'", "bearer", ""),
        ("curl https://api.a.example --oauth2-bearer S3CRET", "bearer", ""),
        ("curl https://api.a.example -u 'me:S3CRET'", "basic", " --username me"),
        ("curl https://me:S3CRET@api.a.example", "basic", " --username me"),
        ("curl https://api.a.example -H 'Authorization: Basic bWU6UzNDUkVU'", "basic", " --username me"),
        (
            "curl https://api.a.example -H 'Authorization: Token S3CRET'",
            "api-key",
            " --header authorization --prefix 'Token '",
        ),
        ("curl https://api.a.example -H 'X-API-Key: S3CRET'", "api-key", " --header x-api-key"),
        ("curl https://api.a.example/?api_key=S3CRET", "api-key", " --query api_key"),
    ] {
        let imported = import(command).unwrap();
        let needed = imported.connection.as_ref().unwrap_or_else(|| panic!("{command}"));
        assert_eq!((needed.kind, needed.options.as_str()), (kind, options), "{command}");
        assert_eq!(imported.step["connection"], "api-a-example");
        let all = format!("{} {} {:?} {:?}", imported.yaml(), imported.step, needed, imported.notes);
        assert!(!all.contains("S3CRET") && !all.contains("UzNDUkVU"), "{all}");
    }
    let imported = import("curl https://api.a.example/?api_key=S3CRET").unwrap();
    assert!(imported.notes[0].contains("in the query, where servers and proxies write it into their logs"));
}

#[test]
fn what_a_step_cannot_do_is_said() {
    for (command, says) in [
        ("wget https://a.example", "begins with `wget`"),
        ("curl", "no URL"),
        ("curl ftp://a.example", "not ftp"),
        ("curl https://a.example https://b.example", "several URLs"),
        ("curl https://a.example -d @file.json", "put its content"),
        ("curl https://a.example -F f=@cv.pdf", "`base64` of a part"),
        ("curl https://a.example -X TRACE", "cannot send TRACE"),
        ("curl https://a.example --proxy http://p", "--proxy cannot be carried over"),
        ("curl https://a.example -H", "--header has no value"),
        ("curl https://a.example -Q", "-Q is not known"),
    ] {
        let error = import(command).err().unwrap_or_else(|| panic!("{command} is taken"));
        assert!(error.contains(says), "{command}: {error}");
    }
    assert!(import("curl -k -L https://a.example").unwrap().notes.len() == 2);
}

#[test]
fn the_yaml_is_the_step() {
    let command = r#"curl -X PATCH https://api.a.example/v1?x=1 -H 'Authorization: Bearer S' -H 'Content-Type: application/json' -d '{"a": [1, "x: y"]}'"#;
    let imported = import(command).unwrap();
    let expected = "\
- id: call
  uses: flowcell/custom-webhook/request@1
  connection: api-a-example
  with:
    method: PATCH
    url: \"https://api.a.example/v1\"
    query: {\"x\":\"1\"}
    json: {\"a\":[1,\"x: y\"]}
";
    assert_eq!(imported.yaml(), expected);
    let read = flowcell_core::workflow::text::Located::read(&imported.yaml()).unwrap().value;
    assert_eq!(read, json!([imported.step]));
}
