use serde_json::json;

use super::*;

#[test]
fn literal_destinations_are_fixed() {
    for (text, origin) in [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/{{ contact.id }}", "https://api.example.com"),
        ("  https://api.example.com/x\n", "https://api.example.com"),
        ("https://api.example.com?q={{ x }}", "https://api.example.com"),
        ("https://api.example.com#{{ x }}", "https://api.example.com"),
        ("https://api.example.com:8443/{% if x %}a{% endif %}", "https://api.example.com:8443"),
        ("https://api.example.com:443/{{ x }}", "https://api.example.com"),
        ("HTTPS://API.EXAMPLE.COM/{{ x }}", "https://api.example.com"),
        ("https://api.example.com./{{ x }}", "https://api.example.com"),
        ("https://bücher.example/{{ x }}", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:9000/{{ x }}", "http://127.0.0.1:9000"),
        ("http://0x7f.1/{{ x }}", "http://127.0.0.1"),
        ("http://[::1]:9000/{{ x }}", "http://[::1]:9000"),
        ("https://api.example.com/a b/{{ x }}", "https://api.example.com"),
        ("https://api.example.com/\\{{ x }}", "https://api.example.com"),
        ("https://api.example.com/{# note #}", "https://api.example.com"),
        ("https://api.example.com/@{{ x }}", "https://api.example.com"),
        ("https://api.example.com//{{ x }}", "https://api.example.com"),
        ("https://api.example.com/}}{{ x }}", "https://api.example.com"),
    ] {
        match UrlScope::from_authored(text) {
            UrlScope::Fixed { origin: found } => assert_eq!(found.to_string(), origin, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn an_expression_that_could_touch_the_authority_is_data() {
    for text in [
        "{{ x }}",
        "{{ x }}://api.example.com/",
        "http{{ x }}://api.example.com/",
        "https:{{ x }}//api.example.com/",
        "https:/{{ x }}",
        "https://{{ trigger.body.host }}/",
        "https:///{{ x }}",
        "https:////{{ x }}/",
        "https://api.example.com{{ x }}",
        "https://api.example.com{{ x }}/path",
        "https://api.{{ x }}.com/",
        "https://api.example.com:{{ port }}/",
        "https://api.example.com:80{{ x }}",
        "https://{{ user }}@api.example.com/",
        "https://user:{{ password }}@api.example.com/",
        "https://user@{{ x }}",
        "https://[{{ x }}]/",
        "https://api.example.com\\{{ x }}",
        "https:\\\\{{ x }}",
        "https:\\\\api.example.com\\{{ x }}",
        "https://api.example.com\t{{ x }}",
        "https://api.exam\nple.com/{{ x }}",
        "ht\ntps://api.example.com/{{ x }}",
        " https://api.example.com/{{ x }}",
        "https://api.example.com {{- x }}",
        "https://api.example.com{% if x %}.evil.example{% endif %}/",
        "{% if x %}https://a.example/{% else %}https://b.example/{% endif %}",
        "https://api.example{# note #}.com/",
        "{# note #}https://api.example.com/",
        "https://api.example.com／{{ x }}",
        "https://api.example.com。{{ x }}/",
        "//api.example.com/{{ x }}",
        "api.example.com/{{ x }}",
        "/{{ x }}",
        "ftp://api.example.com/{{ x }}",
        "javascript://api.example.com/{{ x }}",
    ] {
        assert!(
            matches!(UrlScope::from_authored(text), UrlScope::FromData { .. }),
            "{text}: {:?}",
            UrlScope::from_authored(text)
        );
    }
}

#[test]
fn literal_text_that_leads_nowhere_says_why() {
    for (text, reason) in [
        ("", "absolute URL"),
        ("/path", "absolute URL"),
        ("api.example.com", "absolute URL"),
        ("ftp://api.example.com/", "http and https"),
        ("https://user:secret@api.example.com/", "user name or password"),
        ("https://user:secret@api.example.com/{{ x }}", "user name or password"),
        ("https://a.example\\@b.example/", "backslashes"),
        ("https://a.exam\nple/", "backslashes"),
        ("https://a\"b.example/", "host"),
        ("https://a.example:0/", "host"),
        ("https://4294967296/{{ x }}", "absolute URL"),
        ("https://a.example／b/", "absolute URL"),
    ] {
        match UrlScope::from_authored(text) {
            UrlScope::Invalid { authored, reason: found } => {
                assert!(found.contains(reason), "{text}: {found}");
                assert!(!authored.contains("secret"), "{authored}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn no_data_moves_a_fixed_destination() {
    let hostile = [
        "@evil.example",
        ".evil.example",
        "\\@evil.example",
        "//evil.example",
        "\t\n",
        "/../../",
        "?@evil.example",
        "#@evil.example",
        ":80@evil.example",
    ];
    for authored in
        ["https://api.example.com/{{ x }}", "https://api.example.com?{{ x }}", "https://api.example.com#{{ x }}"]
    {
        let UrlScope::Fixed { origin } = UrlScope::from_authored(authored) else { panic!("{authored}") };
        for data in hostile {
            let rendered = Url::parse(&authored.replace("{{ x }}", data)).expect("parses");
            assert_eq!(Origin::of(&rendered).as_ref(), Some(&origin), "{rendered}");
        }
    }
}

#[test]
fn a_steps_scope_has_an_entry_for_each_from_input_field() {
    let capability = |field: &str| HttpCapability { reason: "r".into(), from_input: Some(field.into()), hosts: vec![] };
    let asked = [capability("url"), capability("auth/token_url"), capability("absent"), capability("number")];
    let with = json!({"url": "https://a.example/{{ x }}", "auth": {"token_url": "{{ x }}"}, "number": 5, "other": "https://b.example"});
    let scope = StepScope::from_authored(&asked, &with);
    let fields: Vec<&str> = scope.urls.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["url", "auth/token_url", "number"]);
    assert!(matches!(scope.of("url"), Some(UrlScope::Fixed { .. })));
    assert!(matches!(scope.of("auth/token_url"), Some(UrlScope::FromData { .. })));
    assert!(matches!(scope.of("number"), Some(UrlScope::Invalid { .. })));
    assert_eq!(scope.of("absent"), None);
}

#[test]
fn user_names_and_passwords_are_not_shown() {
    let UrlScope::FromData { authored } = UrlScope::from_authored("https://me:hunter2@{{ x }}/p@q") else { panic!() };
    assert_eq!(authored, "https://…@{{ x }}/p@q");
}
