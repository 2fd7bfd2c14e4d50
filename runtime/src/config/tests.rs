use super::*;

#[test]
fn the_printed_default_is_the_default() {
    assert_eq!(Config::parse(DEFAULT_TEXT, "text").unwrap(), Config::default());
}

#[test]
fn the_keys_that_are_commented_out_are_right_too() {
    let uncommented: String = DEFAULT_TEXT
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') && !key.is_empty() => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = Config::parse(&uncommented, "text").unwrap();
    assert_eq!(config.public_url.map(String::from).as_deref(), Some("https://flowcell.example.com/"));
    assert_eq!(config.grants.first().map(|grant| grant.http.len()), Some(2));
    assert_eq!((config.egress.ceiling.allow.len(), config.egress.ceiling.deny_hosts.len()), (2, 2));
}

#[test]
fn an_unknown_key_is_an_error_with_a_place_and_a_suggestion() {
    let error =
        Config::parse("listen = \"127.0.0.1:1\"\n\n[http]\nbody_byte_max = 1\n", "text").unwrap_err().to_string();
    assert!(error.contains("line 4"), "{error}");
    assert!(error.contains("body_byte_max") && error.contains("did you mean `body_bytes_max`?"), "{error}");
}

#[test]
fn values_that_could_not_work_are_refused() {
    for (text, what) in [
        ("http.connections_max = 0", "http.connections_max"),
        ("http.body_bytes_max = 500_000_000", "http.bodies_in_flight_bytes_max"),
        ("egress.ceiling.deny_hosts = [\"https://a.example\"]", "host"),
        ("egress.routes.\"https://a.example\" = \"http://b.example\"", "without TLS"),
        ("public_url = \"ftp://example.com\"", "http://"),
        ("public_url = \"https://example.com/?a\"", "query"),
        ("store.free_hard_mib = 256", "store.free_soft_mib"),
        ("engine.breaker_rest_max_ms = 10", "engine.breaker_rest_ms"),
        ("retention.every_ms = 10", "retention.every_ms"),
        ("listen = \"localhost\"", "listen"),
        ("egress.allow = [\"10.0.0.0/64\"]", "allow"),
    ] {
        let error = Config::parse(text, "text").unwrap_err().to_string();
        assert!(error.contains(what), "{text}: {error}");
    }
}
