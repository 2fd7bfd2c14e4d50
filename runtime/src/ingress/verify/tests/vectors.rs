//! What passes: published vectors, secrets that are being replaced, times at the very limit.

use super::*;

#[test]
fn a_good_request_of_every_scheme_passes() {
    for case in all() {
        let expected = if case.scheme.secret().is_some() { Proof::CurrentSecret } else { Proof::PublicKey };
        assert_eq!(case.check(), Ok(expected), "{case:?}");
    }
}

#[test]
fn the_vectors_that_providers_published_pass() {
    let mut standard = standard_webhooks().body(br#"{"test": 2432232314}"#).at(1_614_265_330);
    standard.secrets = vec![b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec()];
    let standard = standard
        .with("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
        .with("webhook-timestamp", "1614265330")
        .with("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(standard.check(), Ok(Proof::CurrentSecret), "Standard Webhooks and Svix");
    let mut svix = standard.clone();
    for (name, _) in &mut svix.headers {
        *name = name.replace("webhook-", "svix-");
    }
    assert_eq!(svix.check(), Ok(Proof::CurrentSecret), "Svix's own names");

    let github = github()
        .body(b"Hello, World!")
        .secrets(&[b"It's a Secret to Everybody"])
        .with("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    assert_eq!(github.check(), Ok(Proof::CurrentSecret), "GitHub, Validating webhook deliveries");

    let slack = slack()
        .body(b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c")
        .secrets(&[b"8f742231b10e8888abcd99yyyzzz85a5"])
        .with("x-slack-request-timestamp", "1531420618")
        .with("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503")
        .at(1_531_420_618);
    assert_eq!(slack.check(), Ok(Proof::CurrentSecret), "Slack, Verifying requests");

    for (algorithm, code) in [
        ("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "sha512",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let text = json!({ "scheme": "hmac", "secret": "s", "header": "x-sig", "algorithm": algorithm });
        let case = case(text, &[("x-sig", code)]).body(b"what do ya want for nothing?").secrets(&[b"Jefe"]);
        assert_eq!(case.check(), Ok(Proof::CurrentSecret), "RFC 4231 and RFC 2202, test case 2: {algorithm}");
        assert_eq!(case.with("x-sig", code.to_uppercase()).check(), Ok(Proof::CurrentSecret), "in either case");
    }
}

#[test]
fn highlevels_published_keys_are_the_ones_of_its_guide() {
    use super::super::public_key::PublicKey;
    let keys = Verifier::new(&scheme(json!({ "scheme": "highlevel" }))).unwrap().public_keys;
    let [PublicKey::Ed25519(ed25519), PublicKey::Rsa(rsa)] = keys.as_slice() else { panic!("two keys: {keys:?}") };
    assert_eq!((BASE64.encode(ed25519).as_str(), rsa.len()), ("i2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=", 526));
    // A signature by any other key is none.
    for case in [highlevel(), highlevel_rsa()] {
        let case = Case { scheme: scheme(json!({ "scheme": "highlevel" })), ..case };
        assert!(matches!(case.check(), Err(Refusal::NoMatch { .. })));
    }
}

#[test]
fn a_secret_that_is_being_replaced_counts_and_is_told_apart() {
    for case in all().into_iter().filter(|case| case.scheme.secret().is_some()) {
        let current = case.secrets[0].clone();
        let other = if matches!(case.scheme, Scheme::StandardWebhooks { .. }) { "whsec_b3RoZXI=" } else { "other" };
        let other = other.as_bytes();
        assert_eq!(case.secrets(&[current.as_slice(), other]).check(), Ok(Proof::CurrentSecret));
        assert_eq!(case.secrets(&[other, current.as_slice()]).check(), Ok(Proof::PreviousSecret), "{case:?}");
        assert!(case.secrets(&[other]).check().is_err(), "once it has ended, it counts no more");
    }
}

#[test]
fn several_signatures_stand_side_by_side() {
    let case = standard_webhooks();
    let signature = String::from_utf8(case.header("webhook-signature").to_vec()).unwrap();
    for several in
        [format!("v1,AAAA {signature}"), format!("{signature} v1a,AAAA"), format!("v2,whatever {signature} v1,AAAA")]
    {
        assert_eq!(case.with("webhook-signature", several.as_str()).check(), Ok(Proof::CurrentSecret), "{several}");
    }
    let case = stripe();
    let signature = String::from_utf8(case.header("stripe-signature").to_vec()).unwrap();
    let several = signature.replace(",v1=", ",v1=0000,v1=");
    assert_eq!(case.with("stripe-signature", several).check(), Ok(Proof::CurrentSecret));
}

#[test]
fn a_signed_time_counts_up_to_the_limit_and_not_beyond() {
    for case in all().into_iter().filter(|case| signs_time(&case.scheme)) {
        let good = case.check();
        for now_s in [AT_S - 300, AT_S - 1, AT_S + 1, AT_S + 300] {
            assert_eq!(case.at(now_s).check(), good, "{now_s}: {case:?}");
        }
        for (now_s, seconds) in
            [(AT_S - 301, -301), (AT_S + 301, 301), (0, -i128::from(AT_S)), (AT_S * 2, i128::from(AT_S))]
        {
            assert_eq!(case.at(now_s).check(), Err(Refusal::ClockSkew { seconds }), "{case:?}");
        }
    }
}

#[test]
fn what_a_scheme_does_not_sign_may_change() {
    for case in all() {
        if !signs_body(&case.scheme) {
            assert_eq!(case.body(b"another").check(), Ok(Proof::CurrentSecret), "{case:?}");
        }
        let good = case.check();
        assert_eq!(case.also("x-something", "else").check(), good);
    }
}
