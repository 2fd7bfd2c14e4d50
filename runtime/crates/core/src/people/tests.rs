use super::*;

fn person(id: &str, roles: &[&str]) -> Person {
    Person {
        workspace: WorkspaceId::default_workspace(),
        id: id.parse().unwrap(),
        name: id.to_owned(),
        email: None,
        phone: None,
        roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        quiet_hours: None,
        channels: Vec::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn quiet(from: &str, to: &str, timezone: &str) -> QuietHours {
    QuietHours { from: from.parse().unwrap(), to: to.parse().unwrap(), timezone: timezone.to_owned() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn quiet_hours_end_in_the_zone_of_the_person() {
    let night = quiet("22:00", "07:00", "Europe/Berlin");
    for (now, until) in [
        ("2026-11-23T20:59:59Z", None),
        ("2026-11-23T21:00:00Z", Some("2026-11-24T06:00:00Z")),
        ("2026-11-24T05:59:59Z", Some("2026-11-24T06:00:00Z")),
        ("2026-11-24T06:00:00Z", None),
        // The night in which clocks go forward is an hour shorter.
        ("2026-03-28T22:00:00Z", Some("2026-03-29T05:00:00Z")),
    ] {
        assert_eq!(night.quiet_until(at(now)), until.map(at), "{now}");
    }
    let noon = quiet("12:00", "13:00", "America/New_York");
    assert_eq!(noon.quiet_until(at("2026-11-23T17:30:00Z")), Some(at("2026-11-23T18:00:00Z")));
    assert_eq!(noon.quiet_until(at("2026-11-23T12:30:00Z")), None);
}

#[test]
fn quiet_hours_that_mean_nothing_are_refused() {
    assert!(quiet("22:00", "22:00", "UTC").check().is_err());
    assert!(quiet("22:00", "07:00", "Mars/Olympus").check().is_err());
    assert!(quiet("22:00", "00:00", "UTC").check().is_ok());
    // And a record that cannot be read keeps nobody from being told.
    assert_eq!(quiet("22:00", "07:00", "Mars/Olympus").quiet_until(at("2026-11-23T23:00:00Z")), None);
}

#[test]
fn an_audience_is_everybody_whom_it_names_once() {
    let people = [person("ana", &["support", "on-call"]), person("ben", &["support"]), person("cem", &[])];
    let named = |audience: serde_json::Value| {
        let audience: Audience = serde_json::from_value(audience).unwrap();
        audience.of(&people).map(|of| of.into_iter().map(|person| person.id.to_string()).collect::<Vec<_>>())
    };
    let json = |text: &str| serde_json::from_str(text).unwrap();
    assert_eq!(named(json(r#"{"everyone": true}"#)).unwrap(), ["ana", "ben", "cem"]);
    assert_eq!(named(json(r#"{"roles": ["support"], "users": ["ana"]}"#)).unwrap(), ["ana", "ben"]);
    assert_eq!(named(json(r#"{"roles": ["nobody"]}"#)).unwrap(), [""; 0]);
    assert_eq!(named(json("{}")).unwrap_err(), NoAudience::Empty);
    let unknown = named(json(r#"{"users": ["anna"]}"#)).unwrap_err().to_string();
    assert!(unknown.contains("no user `anna`") && unknown.contains("did you mean `ana`"), "{unknown}");
}
