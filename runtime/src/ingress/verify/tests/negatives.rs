//! What must not pass: every kind of damage to every part that proves something, generated for each scheme.

use std::collections::BTreeMap;

use super::*;

/// How a value can be damaged.
fn damaged(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let flip = |at: usize| {
        let mut bytes = value.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = if *byte == b'a' { b'b' } else { b'a' };
        }
        bytes
    };
    let half = value.len() / 2;
    vec![
        ("empty", Vec::new()),
        ("another first character", flip(0)),
        ("another middle character", flip(half)),
        ("another last character", flip(value.len().saturating_sub(1))),
        ("without the first character", value[1..].to_vec()),
        ("without the last character", value[..value.len() - 1].to_vec()),
        ("the first half", value[..half].to_vec()),
        ("the second half", value[half..].to_vec()),
        ("twice", value.repeat(2)),
        ("twice with a comma", [value, b", ", value].concat()),
        ("a space before it", [b" ", value].concat()),
        ("a space after it", [value, b" "].concat()),
        ("a tab after it", [value, b"\t"].concat()),
        ("a character after it", [value, b"a"].concat()),
        ("quoted", [b"\"", value, b"\""].concat()),
        ("upper case", value.to_ascii_uppercase()),
        ("lower case", value.to_ascii_lowercase()),
        ("reversed", value.iter().rev().copied().collect()),
        ("oversized", [value, vec![b'a'; 5_000].as_slice()].concat()),
        ("garbled", b"%%%=,;v1".to_vec()),
        ("not ASCII", [value, "é".as_bytes()].concat()),
        ("null", b"null".to_vec()),
        ("true", b"true".to_vec()),
        ("zeros", vec![b'0'; value.len()]),
        (
            "another version",
            String::from_utf8_lossy(value)
                .replace("v1", "v9")
                .replace("v0=", "v9=")
                .replace("sha256=", "sha1=")
                .into_bytes(),
        ),
        ("as if percent-encoded", String::from_utf8_lossy(value).replace(['=', '-', '0'], "%3D").into_bytes()),
    ]
}

/// Everything that is done to a good request.
fn negatives(case: &Case) -> BTreeMap<String, Case> {
    let mut all = BTreeMap::new();
    let mut put = |name: String, damaged: Case| drop(all.insert(name, damaged));
    for (name, value) in &case.headers {
        put(format!("no {name}"), case.without(name));
        put(format!("{name} twice"), case.also(name, value.clone()));
        put(format!("{name} and another"), case.also(name, b"x".to_vec()));
        put(format!("another before {name}"), case.with(name, b"x".to_vec()).also(name, value.clone()));
        for (how, value) in damaged(value) {
            put(format!("{name}: {how}"), case.with(name, value));
        }
    }
    if let Some((before, rest)) = case.query.split_once("key=") {
        let (value, after) = rest.split_once('&').unwrap();
        let with = |query: String| Case { query, ..case.clone() };
        put("no key".into(), with("a=1&b".into()));
        put("another name".into(), with(format!("{before}Key={value}&{after}")));
        put("the key twice".into(), with(format!("{}&key={value}", case.query)));
        put("another key".into(), with(format!("key=x&{}", case.query)));
        for (how, value) in damaged(value.as_bytes()) {
            put(format!("key: {how}"), with(format!("{before}key={}&{after}", String::from_utf8_lossy(&value))));
        }
        for name in ["key", "x-key", "x-api-key", "authorization"] {
            put(format!("in the header {name}"), with(String::new()).also(name, value.as_bytes().to_vec()));
        }
        put("in the body".into(), with(String::new()).body(case.query.as_bytes()));
    }
    if signs_body(&case.scheme) {
        let body = &case.body;
        for (how, body) in damaged(body).into_iter().filter(|(how, _)| *how != "not ASCII") {
            put(format!("body: {how}"), case.body(&body));
        }
        for (how, body) in [
            ("a line break after it", [body.as_slice(), b"\n"].concat()),
            ("a zero after it", [body.as_slice(), b"\0"].concat()),
            ("a byte order mark", ["\u{feff}".as_bytes(), body].concat()),
            ("without white space", body.iter().copied().filter(|byte| *byte != b' ').collect()),
            ("one bit", body.iter().enumerate().map(|(at, byte)| if at == 9 { byte ^ 1 } else { *byte }).collect()),
        ] {
            put(format!("body: {how}"), case.body(&body));
        }
    }
    // Where public keys suffice, no secret is looked at.
    let secrets = if case.scheme.secret().is_some() { case.secrets.as_slice() } else { &[] };
    for (index, (how, key)) in secrets.iter().flat_map(|secret| damaged(secret)).enumerate() {
        put(format!("secret {index}: {how}"), case.secrets(&[&key]));
    }
    if case.scheme.secret().is_some() {
        put("no secret".into(), case.secrets(&[]));
        put("two other secrets".into(), case.secrets(&[b"whsec_b3RoZXI=", b"whsec_d3Jvbmc="]));
    }
    if signs_time(&case.scheme) {
        for seconds in [301, 302, 600, 3_600, 86_400, 31_536_000] {
            put(format!("{seconds} s later"), case.at(AT_S + seconds));
            put(format!("{seconds} s earlier"), case.at(AT_S - seconds));
        }
    }
    for other in super::all() {
        if other.scheme.name() != case.scheme.name() {
            let headers = other.headers.clone();
            put(format!("signed for {}", other.scheme.name()), Case { headers, query: other.query, ..case.clone() });
        }
    }
    all
}

/// Damage that leaves the same meaning, by scheme and name. What is not listed must be refused.
fn is_harmless(case: &Case, name: &str, damaged: &Case) -> bool {
    let parts = |case: &Case| {
        let mut headers = case.headers.clone();
        headers.sort();
        (headers, case.query.clone(), case.body.clone(), case.secrets.clone(), case.now_s)
    };
    let unchanged = parts(damaged) == parts(case);
    // A generic HMAC takes hexadecimal in either case, and what else `Stripe-Signature` holds is not signed.
    let is_prefix_case = matches!(case.scheme, Scheme::Hmac { .. }) && name.ends_with("lower case");
    let is_v0 = matches!(case.scheme, Scheme::Stripe { .. })
        && [
            "stripe-signature: another last character",
            "stripe-signature: without the last character",
            "stripe-signature: a space after it",
            "stripe-signature: a tab after it",
            "stripe-signature: a character after it",
            "stripe-signature: twice",
            "stripe-signature: twice with a comma",
        ]
        .contains(&name);
    // The padding of base64 says nothing.
    let is_padding = matches!(case.scheme, Scheme::StandardWebhooks { .. })
        && name.starts_with("secret")
        && name.ends_with("without the last character");
    unchanged || is_prefix_case || is_v0 || is_padding
}

#[test]
fn every_kind_of_damage_is_refused_in_every_scheme() {
    let mut total = 0;
    for case in all() {
        let good = case.check();
        assert!(good.is_ok(), "{case:?}");
        let negatives = negatives(&case);
        let (mut refused, mut passed) = (0, Vec::new());
        for (name, damaged) in &negatives {
            if is_harmless(&case, name, damaged) {
                continue;
            }
            match damaged.check() {
                Ok(_) => passed.push(name),
                Err(_) => refused += 1,
            }
        }
        assert!(passed.is_empty(), "{}: {passed:?} passed", case.scheme.name());
        assert!(refused >= 40, "{}: only {refused} of {}", case.scheme.name(), negatives.len());
        total += refused;
    }
    assert!(total >= 700, "{total}");
}

#[test]
fn a_secret_that_is_empty_or_no_key_verifies_nothing_and_is_ours_to_mend() {
    for case in all().into_iter().filter(|case| case.scheme.secret().is_some()) {
        let mut unusable: Vec<Vec<&[u8]>> = vec![vec![], vec![b""], vec![SECRET, b""]];
        if matches!(case.scheme, Scheme::StandardWebhooks { .. }) {
            unusable.extend([vec![b"whsec_".as_slice()], vec![b"whsec_%%%"], vec![b"not base64!"]]);
        }
        for secrets in unusable {
            let refused = case.secrets(&secrets).check();
            assert!(matches!(refused, Err(Refusal::UnusableSecret { .. })), "{secrets:?}: {refused:?}");
        }
    }
}

#[test]
fn nobody_chooses_the_weaker_signature_for_us() {
    // A good older signature beside a newer one that does not fit.
    let case = highlevel_rsa().also("x-ghl-signature", BASE64.encode(&[7; 64]).into_bytes());
    assert!(matches!(case.check(), Err(Refusal::NoMatch { .. })));
    // A good `v1` under Svix's names, where the standard ones are there as well.
    let mut svix = standard_webhooks();
    for (name, _) in &mut svix.headers {
        *name = name.replace("webhook-", "svix-");
    }
    assert!(svix.check().is_ok());
    assert!(svix.also("webhook-signature", "v1,AAAA").check().is_err());
}

#[test]
fn a_public_key_that_is_none_is_told_before_anything_is_sent() {
    for (text, expected) in [
        (json!({ "scheme": "standard-webhooks", "public_key": "AAAA" }), "whpk_"),
        (json!({ "scheme": "standard-webhooks", "public_key": "whpk_AAAA" }), "32 bytes"),
        (json!({ "scheme": "standard-webhooks", "public_key": "whpk_%" }), "base64"),
        (json!({ "scheme": "highlevel", "public_key": "AAAA" }), "PEM"),
        (
            json!({ "scheme": "highlevel", "public_key": "-----BEGIN PUBLIC KEY-----\n%\n-----END PUBLIC KEY-----" }),
            "base64",
        ),
        (
            json!({ "scheme": "highlevel", "public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----" }),
            "neither",
        ),
    ] {
        let error = Verifier::new(&scheme(text.clone())).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
