use super::*;

#[test]
fn rules_have_one_printed_form() {
    for (text, printed) in [
        ("https://api.example.com", "https://api.example.com/*"),
        ("https://api.example.com/*", "https://api.example.com/*"),
        ("https://api.example.com/", "https://api.example.com/"),
        ("https://API.Example.com.:443/v1/*", "https://api.example.com/v1/*"),
        ("POST,GET https://hooks.slack.com/services/*", "GET,POST https://hooks.slack.com/services/*"),
        ("http://localhost:8080/x", "http://localhost:8080/x"),
        ("https://*.example.com", "https://*.example.com/*"),
        ("https://*.example.com:8443/v1/*", "https://*.example.com:8443/v1/*"),
        ("http://10.0.0.5:8080/*", "http://10.0.0.5:8080/*"),
        ("http://[fd00::1]:8080", "http://[fd00::1]:8080/*"),
        ("https://bücher.example", "https://xn--bcher-kva.example/*"),
    ] {
        let rule = HttpRule::parse(text).expect(text);
        assert_eq!(rule.to_string(), printed);
        assert_eq!(HttpRule::parse(printed), Ok(rule.clone()), "{text}");
        let json = serde_json::to_string(&rule).expect("serialises");
        assert_eq!(serde_json::from_str::<HttpRule>(&json).expect("reads back"), rule);
    }
}

#[test]
fn rules_that_could_be_read_more_widely_than_meant_are_refused() {
    for text in [
        "",
        "*",
        "https://*",
        "https://*/",
        "https://*.com",
        "https://*.*.example.com",
        "https://api.*.com",
        "https://api*.example.com",
        "https://*.10.0.0.1",
        "https://*.[::1]",
        "://x.example",
        "x.example",
        "//x.example",
        "ftp://x.example",
        "HTTPS://x.example",
        "*://x.example",
        "https://u@x.example",
        "https://u:p@x.example",
        "https://x.example?q",
        "https://x.example/a?b",
        "https://x.example/#",
        "https://x.example\\y",
        "https://x.example/\ty",
        "https://x.example /",
        "POST  https://x.example",
        "post https://x.example",
        "CONNECT https://x.example",
        "TRACE https://x.example",
        "* https://x.example",
        "POST, GET https://x.example",
        "https://",
        "https:///x",
        "https://x.example:0",
        "https://x.example:99999",
        "https://x.example:x",
        "https://x.example/v1*",
        "https://x.example/*/v1",
        "https://x.example/../v1/*",
        "https://x.example/v1/./*",
        "https://x.example/v1//*",
        "https://x.example/%2e%2e/*",
        "https://x.example/\"",
        "https://a\"b.example",
        "https://a..b.example",
        "https://exa mple.com",
    ] {
        assert!(HttpRule::parse(text).is_err(), "{text}");
    }
    let error = HttpRule::parse("https://*").expect_err("too wide").to_string();
    assert!(error.contains("name the hosts"), "{error}");
}

#[test]
fn a_rule_matches_method_scheme_host_port_and_path() {
    for (rule, method, url, expected) in [
        ("https://a.example", "GET", "https://a.example/x?y", true),
        ("https://a.example", "GET", "https://A.EXAMPLE./x", true),
        ("https://a.example", "GET", "http://a.example/", false),
        ("https://a.example", "GET", "https://a.example:8443/", false),
        ("https://a.example:8443", "GET", "https://a.example:8443/", true),
        ("https://a.example", "GET", "https://b.a.example/", false),
        ("https://a.example", "GET", "https://a.example.evil/", false),
        ("POST https://a.example", "POST", "https://a.example/", true),
        ("POST https://a.example", "GET", "https://a.example/", false),
        ("https://*.a.example", "GET", "https://b.a.example/", true),
        ("https://*.a.example", "GET", "https://c.b.a.example/", true),
        ("https://*.a.example", "GET", "https://a.example/", false),
        ("https://*.a.example", "GET", "https://eviLa.example/", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/x", true),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/", true),
        ("https://a.example/v1/*", "GET", "https://a.example/v1", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v12", false),
        ("https://a.example/v1/*", "GET", "https://a.example/V1/x", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/../admin", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/%2e%2e/admin", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/..%2fadmin", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/..\\admin", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/..%5cadmin", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/%252e%252e/admin", false),
        ("https://a.example/v1/*", "GET", "https://a.example/v1/..;/admin", false),
        ("https://a.example/v1/*", "GET", "https://a.example//v1//x", true),
        ("https://a.example/v1/*", "GET", "https://a.example/x/../v1/y", true),
        ("https://a.example/v1", "GET", "https://a.example/v1", true),
        ("https://a.example/v1", "GET", "https://a.example/v1?q=1", true),
        ("https://a.example/v1", "GET", "https://a.example/v1/", false),
    ] {
        let url = Url::parse(url).expect(url);
        let request = RequestTarget::new(method, &url).expect("well-formed");
        assert_eq!(HttpRule::parse(rule).expect(rule).matches(&request), expected, "{rule} ~ {method} {url}");
    }
}

#[test]
fn host_patterns_are_hosts_only() {
    for good in ["a.example", "*.a.example", "10.0.0.1", "[::1]", "localhost"] {
        assert_eq!(good.parse::<HostPattern>().expect(good).to_string(), good);
    }
    for bad in ["", "*", "*.com", "a.example/x", "a.example:443", "a.example:80", "u@a.example", "https://a.example"] {
        assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
    }
}
