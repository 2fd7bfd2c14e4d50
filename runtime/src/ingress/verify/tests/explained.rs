//! What the owner is told of a request that was refused.

use super::*;

fn told(case: &Case) -> (&'static str, String) {
    let refusal = case.check().unwrap_err();
    (refusal.code(), refusal.to_string())
}

#[test]
fn a_refusal_says_what_was_missing_and_whose_signature_is_there_instead() {
    assert_eq!(
        told(&github().without("x-hub-signature-256")),
        ("signature-missing", "the header `x-hub-signature-256` is missing".into())
    );
    let stripes = Case { headers: stripe().headers, ..github() };
    let (code, message) = told(&stripes);
    assert_eq!(code, "signature-missing");
    assert!(message.contains("`stripe-signature`, which is that of the scheme `stripe`"), "{message}");
    let twice = slack().also("x-slack-signature", "v0=00");
    assert_eq!(told(&twice), ("signature-repeated", "`x-slack-signature` is there 2 times; one is expected".into()));
    let (code, message) = told(&github().with("x-hub-signature-256", "sha1=00"));
    assert_eq!((code, message.contains("does not begin with `sha256=`")), ("signature-malformed", true), "{message}");
    assert_eq!(told(&bearer().with("authorization", "Bearer no")), ("secret-mismatch", "the token is wrong".into()));
}

#[test]
fn a_skewed_clock_is_told_in_seconds_and_only_where_the_signature_fits() {
    let (code, message) = told(&stripe().at(AT_S + 4_000));
    assert_eq!(code, "clock-skew");
    assert!(message.contains("4000 s old"), "{message}");
    let (_, message) = told(&slack().at(AT_S - 500));
    assert!(message.contains("500 s in the future"), "{message}");
    let (code, _) = told(&stripe().at(AT_S + 4_000).body(b"other"));
    assert_eq!(code, "signature-mismatch", "the time of a signature that does not fit says nothing");
}

#[test]
fn another_key_and_another_body_are_not_told_apart_unless_something_shows_which() {
    for case in all().into_iter().filter(|case| signs_body(&case.scheme) && case.scheme.secret().is_some()) {
        let (code, plain) = told(&case.body(b"something else"));
        assert_eq!(code, "signature-mismatch");
        assert!(plain.ends_with("(these two cannot be told apart)"), "{plain}");
        let added = [case.body.as_slice(), b"\r\n"].concat();
        let (_, message) = told(&case.body(&added));
        assert!(message.contains("the white space at its end, which was added"), "{message}");
    }
    let signed = github();
    let signature = format!("sha256={}", hex(Sha256, &[br#"{"a":"b c","d":[1]}"#]));
    let pretty = signed.with("x-hub-signature-256", signature).body(b"{\n  \"a\": \"b c\",\n  \"d\": [1]\n}");
    assert!(told(&pretty).1.contains("without its white space"), "{:?}", told(&pretty));

    let spaced = [SECRET, b"\n"].concat();
    assert!(told(&github().secrets(&[&spaced])).1.contains("white space around it"));
    let encoded = BASE64.encode(SECRET);
    assert!(told(&shopify().secrets(&[encoded.as_bytes()])).1.contains("the base64 of"));
}

#[test]
fn refusing_a_large_body_stays_cheap() {
    let body = vec![b'x'; 200_000];
    let added = [body.as_slice(), b"\n"].concat();
    let signature = format!("sha256={}", hex(Sha256, &[&body]));
    let (_, message) = told(&github().with("x-hub-signature-256", signature).body(&added));
    assert!(message.ends_with("(these two cannot be told apart)"), "nothing more is tried: {message}");
}

#[test]
fn slacks_challenge_is_recognised_in_its_own_form_alone() {
    use super::super::slack::challenge;
    let real = br#"{"token":"t","challenge":"3eZbrw1aB","type":"url_verification"}"#;
    assert_eq!(challenge(real).as_deref(), Some("3eZbrw1aB"));
    let long = format!(r#"{{"type":"url_verification","challenge":"{}"}}"#, "x".repeat(5_000));
    for other in [
        br#"{"type":"event_callback","challenge":"url_verification"}"#.as_slice(),
        br#"{"type":"url_verification"}"#,
        b"url_verification",
        br#"[{"type":"url_verification","challenge":"x"}]"#,
        long.as_bytes(),
    ] {
        assert_eq!(challenge(other), None, "{}", String::from_utf8_lossy(other));
    }
}
