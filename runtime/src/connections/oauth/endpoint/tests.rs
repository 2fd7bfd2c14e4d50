use bytes::Bytes;
use serde_json::json;

use super::*;

fn client(authentication: &str) -> OauthClient {
    serde_json::from_value(json!({
        "token_url": "https://id.example/token", "client_id": "a b", "scopes": ["x", "y"],
        "parameters": { "audience": "api" }, "authentication": authentication,
    }))
    .unwrap()
}

fn form(grant: &str) -> Form {
    vec![("grant_type", Secret::new(grant.to_owned()))]
}

#[test]
fn the_client_says_who_it_is_as_the_service_wants() {
    let secret = OauthSecret { client_secret: Some(Secret::new("p&ss".to_owned())), ..OauthSecret::default() };
    for (how, header, in_body) in [
        // RFC 6749 §2.3.1: form-encoded, then base64 of `a+b:p%26ss`.
        ("client-secret-basic", Some("Basic YStiOnAlMjZzcw=="), ""),
        ("client-secret-post", None, "&client_id=a+b&client_secret=p%26ss"),
        ("none", None, "&client_id=a+b"),
    ] {
        let (headers, body) = written(&client(how), &secret, &form("client_credentials"));
        let found = headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
        assert_eq!(found, header, "{how}");
        let expected = format!("grant_type=client_credentials&scope=x+y&audience=api{in_body}");
        assert_eq!(String::from_utf8(body).unwrap(), expected, "{how}");
    }
    let (_, body) = written(&client("none"), &secret, &form("refresh_token"));
    assert!(!String::from_utf8(body).unwrap().contains("scope"), "a renewal keeps what was granted");
}

fn answer(status: u16, body: &str) -> OutboundResponse {
    let headers = vec![("retry-after".to_owned(), "7".to_owned())];
    OutboundResponse { status, headers, body: Bytes::copy_from_slice(body.as_bytes()), duration: Duration::ZERO }
}

/// 2026-11-23T09:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

#[test]
fn when_to_ask_again_is_told_in_seconds_or_as_a_date() {
    let asked = |value: &str| {
        let headers = vec![("retry-after".to_owned(), value.to_owned())];
        retry_after(&OutboundResponse { headers, ..answer(503, "") }, NOW)
    };
    assert_eq!(asked("7"), Some(7_000));
    assert_eq!(asked("Mon, 23 Nov 2026 09:02:00 GMT"), Some(120_000));
    assert_eq!(asked("Mon, 23 Nov 2026 08:00:00 GMT"), Some(0), "it has passed");
    assert_eq!(asked("Mon, 23 Nov 2026 19:00:00 GMT"), Some(3_600_000), "no longer than an hour");
    assert_eq!(asked("soon"), None);
}

fn refusal(status: u16, body: &str) -> Refusal {
    read(&answer(status, body), "id.example", NOW).err().unwrap_or_else(|| panic!("{status} {body} is a token"))
}

#[test]
fn tokens_are_read() {
    for (body, lifetime, refresh) in [
        (r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r"}"#, Some(3600), Some("r")),
        (r#"{"access_token":"a","token_type":"bearer","expires_in":"60"}"#, Some(60), None),
        (r#"{"access_token":"a","refresh_token":""}"#, None, None),
        (r#"{"access_token":"a","expires_in":-5}"#, None, None),
    ] {
        let granted = read(&answer(200, body), "id.example", NOW).expect(body);
        assert_eq!(granted.access_token.expose(), "a");
        assert_eq!(granted.lifetime, lifetime.map(Duration::from_secs), "{body}");
        assert_eq!(granted.refresh_token.as_ref().map(|token| token.expose().as_str()), refresh, "{body}");
    }
}

#[test]
fn what_time_will_mend_is_told_from_what_only_the_owner_can() {
    for (status, body) in [
        (500, ""),
        (503, "{}"),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (429, ""),
        (408, ""),
        // Not the words of an authorization server.
        (400, "oops"),
        (403, "<html>blocked"),
        (404, r#"{"message":"no such page"}"#),
        (401, r#"{"error":{"type":"OAuthException"}}"#),
        (200, "<html>"),
        (200, "{}"),
        (200, r#"{"access_token":"a b"}"#),
    ] {
        assert!(
            matches!(refusal(status, body), Refusal::ForNow { retry_after_ms: Some(7_000), .. }),
            "{status} {body}"
        );
    }
    for (status, body, says) in [
        (400, r#"{"error":"invalid_grant","error_description":"was\nrevoked"}"#, "invalid_grant (wasrevoked)"),
        (401, r#"{"error":"invalid_client"}"#, "invalid_client"),
        (200, r#"{"error":"bad_verification_code","error_description":"gone"}"#, "bad_verification_code (gone)"),
        (302, "", "a redirect, which is not followed"),
        (200, r#"{"access_token":"a","token_type":"mac"}"#, "only Bearer"),
    ] {
        let Refusal::ForGood(reason) = refusal(status, body) else { panic!("{status} {body} is for now") };
        assert!(reason.contains(says), "{reason}");
    }
    let large = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(ANSWER_BYTES_MAX));
    assert!(matches!(refusal(200, &large), Refusal::ForNow { .. }));
}

#[test]
fn what_was_sent_is_not_in_what_is_said() {
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    let held =
        OauthSecret { client_secret: secret("pass&1"), refresh_token: secret("rt_abc"), ..OauthSecret::default() };
    let form =
        vec![("grant_type", Secret::new("authorization_code".to_owned())), ("code", Secret::new("code-7".to_owned()))];
    let body = r#"{"error":"invalid_grant","error_description":"rt_abc and code-7 for pass&1 or pass%261 are gone"}"#;
    let answer = without_echo(answer(400, body), &held, &form);
    let Some(Refusal::ForGood(reason)) = read(&answer, "id.example", NOW).err() else { panic!("refused for good") };
    assert!(reason.contains("••• and ••• for ••• or ••• are gone"), "{reason}");
}
