use flowcell_core::connection::{Binding, Connection, OauthClient};
use flowcell_core::manual_clock::ManualClock;
use flowcell_testkit::SeededEntropy;

use super::*;

fn connection() -> StoredConnection {
    let at = Timestamp::from_millis(1);
    let client: OauthClient = serde_json::from_value(serde_json::json!({
        "token_url": "https://id.example/token", "client_id": "flow", "scopes": ["a", "b c"],
    }))
    .unwrap();
    let authorize_url = "https://id.example/auth?access_type=offline".parse().unwrap();
    let connection = Connection {
        workspace: WorkspaceId::default_workspace(),
        name: "crm".parse().unwrap(),
        kind: Kind::OauthCode { authorize_url, issuer: None, client },
        bound: Binding::default(),
        note: String::new(),
        state: State::Pending,
        created_at: at,
        updated_at: at,
    };
    StoredConnection { connection, revision: 1, sealed: Vec::new(), usage: flowcell_core::connection::Usage::default() }
}

fn place() -> Place {
    (WorkspaceId::default_workspace(), "crm".parse().unwrap())
}

fn consents() -> (Arc<ManualClock>, Consents) {
    let clock = Arc::new(ManualClock::default());
    clock.set(Timestamp::from_millis(1_000));
    let consents = Consents::new(Arc::clone(&clock) as _, Arc::new(SeededEntropy::new(7)));
    (clock, consents)
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(key, _)| key == name).unwrap_or_else(|| panic!("{name} in {url}")).1.into_owned()
}

fn begun(consents: &Consents) -> (String, Departure) {
    let redirect = "https://flow.example/oauth/callback".parse().unwrap();
    let departure = consents.begin(&connection(), &redirect).unwrap().expect("this kind consents");
    (parameter(&departure.to, "state"), departure)
}

#[test]
fn the_browser_leaves_with_all_that_the_standards_want() {
    let (_, consents) = consents();
    let (state, departure) = begun(&consents);
    for (name, value) in [
        ("access_type", "offline"),
        ("response_type", "code"),
        ("client_id", "flow"),
        ("redirect_uri", "https://flow.example/oauth/callback"),
        ("scope", "a b c"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(parameter(&departure.to, name), value);
    }
    let back = consents.come_back(&state, Some(departure.session.expose())).expect("it is the same browser");
    let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(back.verifier.expose().as_bytes()));
    assert_eq!(parameter(&departure.to, "code_challenge"), challenge);
    assert_eq!(back.verifier.expose().len(), 43);
}

#[test]
fn a_state_is_good_once_in_one_browser_for_ten_minutes() {
    let (clock, consents) = consents();
    let session = |departure: &Departure| departure.session.expose().clone();

    let (state, departure) = begun(&consents);
    assert!(consents.come_back(&state, Some(&session(&departure))).is_some());
    assert!(consents.come_back(&state, Some(&session(&departure))).is_none(), "twice");

    for wrong in [None, Some(""), Some("another")] {
        let (state, departure) = begun(&consents);
        assert!(consents.come_back(&state, wrong).is_none(), "another browser");
        assert!(consents.come_back(&state, Some(&session(&departure))).is_none(), "a state that was tried is gone");
    }

    let (_, departure) = begun(&consents);
    assert!(consents.come_back("forged", Some(&session(&departure))).is_none());

    let (state, departure) = begun(&consents);
    clock.set(clock.now() + TIME_MAX);
    assert!(consents.come_back(&state, Some(&session(&departure))).is_none(), "too late");
}

#[test]
fn an_answer_of_another_server_is_none() {
    let id: Url = "https://id.example/auth".parse().unwrap();
    let token: Url = "https://token.example:8443/token".parse().unwrap();
    let of = |issuer: Option<&str>| Issuer::of(issuer.map(str::to_owned).as_ref(), [&id, &token]);
    for (issuer, iss, is_ours) in [
        (None, None, true),
        (None, Some("https://id.example"), true),
        (None, Some("https://id.example/tenant/v2.0"), true),
        (None, Some("https://token.example:8443/"), true),
        (None, Some("https://other.example"), false),
        (None, Some("https://id.example.evil.example"), false),
        (None, Some("http://id.example"), false),
        (None, Some("nonsense"), false),
        (Some("https://accounts.example"), Some("https://accounts.example"), true),
        (Some("https://accounts.example"), Some("https://accounts.example/"), false),
        (Some("https://accounts.example"), Some("https://id.example"), false),
        (Some("https://accounts.example"), None, false),
    ] {
        assert_eq!(of(issuer).admits(iss).is_ok(), is_ours, "{issuer:?} {iss:?}");
    }
}

#[test]
fn looking_at_a_ticket_leaves_it_good() {
    let (clock, consents) = consents();
    let (ticket, _) = consents.ticket(place()).unwrap();
    assert_eq!((consents.opens(ticket.expose()), consents.opens(ticket.expose())), (Some(place()), Some(place())));
    assert_eq!(consents.redeem(ticket.expose()), Some(place()));
    assert_eq!(consents.opens(ticket.expose()), None);
    let (ticket, _) = consents.ticket(place()).unwrap();
    clock.set(clock.now() + TIME_MAX);
    assert_eq!(consents.opens(ticket.expose()), None);
    let (state, _) = begun(&consents);
    assert_eq!(consents.opens(&state), None);
}

#[test]
fn a_state_is_bound_to_the_connection_it_was_made_for() {
    let (_, consents) = consents();
    let redirect: Url = "https://flow.example/oauth/callback".parse().unwrap();
    let mut other = connection();
    other.connection.name = "other".parse().unwrap();
    let (state, departure) = begun(&consents);
    let theirs = consents.begin(&other, &redirect).unwrap().unwrap();
    let back = consents.come_back(&state, Some(departure.session.expose())).unwrap();
    assert_eq!(back.place.1.as_str(), "crm");
    // The browser of one consent does not bring back the state of another.
    assert!(consents.come_back(&parameter(&theirs.to, "state"), Some(departure.session.expose())).is_none());
}

#[test]
fn a_ticket_opens_once_and_is_no_state() {
    let (clock, consents) = consents();
    let (ticket, _) = consents.ticket(place()).unwrap();
    assert_eq!(consents.redeem(ticket.expose()), Some(place()));
    assert!(consents.redeem(ticket.expose()).is_none());
    let (ticket, _) = consents.ticket(place()).unwrap();
    assert!(consents.come_back(ticket.expose(), Some("")).is_none());
    let (ticket, _) = consents.ticket(place()).unwrap();
    clock.set(clock.now() + TIME_MAX);
    assert!(consents.redeem(ticket.expose()).is_none(), "too late");
}

#[test]
fn what_nobody_finishes_makes_room() {
    let (clock, consents) = consents();
    for _ in 0..PENDING_MAX {
        consents.ticket(place()).unwrap();
    }
    assert!(consents.ticket(place()).is_err());
    clock.set(clock.now() + TIME_MAX);
    assert!(consents.ticket(place()).is_ok());
}
