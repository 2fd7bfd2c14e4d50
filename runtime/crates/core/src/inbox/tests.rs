use super::*;

fn message(link: Option<&str>) -> Message {
    Message {
        to: Audience { everyone: true, ..Audience::default() },
        title: "An invoice is paid".to_owned(),
        body: None,
        link: link.map(str::to_owned),
        priority: Priority::default(),
        key: None,
    }
}

#[test]
fn links_lead_to_web_pages_and_paths_of_this_server_only() {
    for good in ["https://crm.example/i/7?x=1#y", "http://10.0.0.7/x", "/runs/run_1", "/", "/a?b=c"] {
        assert_eq!(message(Some(good)).check(), Ok(()), "{good}");
    }
    for bad in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "//evil.example/x",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https://user:pw@evil.example",
        "https://user@evil.example",
        "https://",
        "ftp://a.example",
        "file:///etc/passwd",
        "runs/run_1",
        "",
        " https://a.example",
        "https://a.example/\nx",
    ] {
        assert_eq!(message(Some(bad)).check().unwrap_err().field, "/link", "{bad:?}");
    }
}

#[test]
fn texts_have_their_limits_and_say_which_field() {
    let with = |change: fn(&mut Message)| {
        let mut message = message(None);
        change(&mut message);
        message.check().err().map(|error| error.field)
    };
    assert_eq!(with(|message| message.title = " ".to_owned()), Some("/title"));
    assert_eq!(with(|message| message.title = "a\nb".to_owned()), Some("/title"));
    assert_eq!(with(|message| message.title = "ä".repeat(200)), None);
    assert_eq!(with(|message| message.title = "ä".repeat(201)), Some("/title"));
    assert_eq!(with(|message| message.body = Some("ä".repeat(1_000))), None);
    assert_eq!(with(|message| message.body = Some("ä".repeat(1_001))), Some("/body"));
    assert_eq!(with(|message| message.link = Some(format!("/{}", "a".repeat(1_000)))), Some("/link"));
}
