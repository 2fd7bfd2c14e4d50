use std::sync::atomic::Ordering;

use super::*;

fn kept(body: &[u8], outcome: Outcome) -> Kept {
    Kept {
        number: 0,
        id: "req_1".to_owned(),
        at: Timestamp::from_millis(5),
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers: "content-type:text/plain\nx-a:b:c\n".to_owned(),
        body: body.into(),
        body_bytes: body.len(),
        former_url: None,
        proof: None,
        outcome,
    }
}

fn ignored() -> Outcome {
    Outcome::Ignored { reason: "r".to_owned() }
}

fn rejected() -> Outcome {
    Outcome::Rejected { status: 401, code: "c".to_owned(), reason: "r".to_owned() }
}

fn recent(requests_max: usize, bytes_max: usize) -> Recent {
    Recent::new(Arc::new(Limits::new(requests_max, bytes_max)))
}

#[test]
fn the_latest_are_kept_and_refused_ones_push_out_no_others() {
    let recent = recent(3, 1_000_000);
    recent.push(kept(b"good", ignored()));
    for number in 0..10_u8 {
        recent.push(kept(&[b'0' + number], rejected()));
    }
    let all = recent.list(None, 100);
    let bodies: Vec<_> = all.iter().map(|kept| String::from_utf8_lossy(&kept.body).into_owned()).collect();
    assert_eq!(bodies, ["9", "8", "7", "good"], "the newest first");
    assert_eq!(recent.list(Some(Sort::Rejected), 2).len(), 2);
    assert_eq!(recent.list(Some(Sort::Ignored), 9).len(), 1);
    assert_eq!(recent.after(9).len(), 2);
}

#[test]
fn memory_stays_within_the_limits_of_a_trigger_and_of_all() {
    let limits = Arc::new(Limits::new(1_000, 3 * TRIGGER_BYTES_MAX / 2));
    let large = vec![b'x'; BODY_BYTES_MAX];
    let (one, other) = (Recent::new(Arc::clone(&limits)), Recent::new(Arc::clone(&limits)));
    for _ in 0..200 {
        one.push(kept(&large, ignored()));
    }
    assert!(limits.used.load(Ordering::Relaxed) <= TRIGGER_BYTES_MAX);
    for _ in 0..200 {
        other.push(kept(&large, ignored()));
    }
    let used = limits.used.load(Ordering::Relaxed);
    assert!(used <= limits.bytes_max + BODY_BYTES_SCARCE + 1_000, "{used}");
    let sum: usize = [&one, &other].iter().flat_map(|recent| recent.after(0)).map(|kept| kept.bytes()).sum();
    assert_eq!(used, sum, "what is counted is what is there");
    assert!(!other.after(0).is_empty(), "the latest is there however little room there is");
}

#[test]
fn a_kept_request_is_shown_with_its_body_as_text_or_in_base64() {
    let shown = kept("grün".as_bytes(), ignored()).view();
    assert_eq!((&shown["body"], &shown["body_bytes"]), (&json!("grün"), &json!(5)));
    assert_eq!(shown["headers"][1], json!({ "name": "x-a", "value": "b:c" }));
    assert_eq!(shown["outcome"], json!({ "is": "ignored", "reason": "r" }));
    assert!(shown.get("body_cut").is_none());
    let shown = kept(&[0xff, 0x00], ignored()).view();
    assert_eq!((shown.get("body"), &shown["body_base64"]), (None, &json!("/wA=")));
    let mut cut = kept("grün".as_bytes(), ignored());
    cut.cut_body(3);
    assert_eq!((&cut.view()["body"], &cut.view()["body_cut"]), (&json!("gr\u{fffd}"), &json!(true)));
}

#[tokio::test]
async fn whoever_follows_is_told_of_the_next_one() {
    let recent = recent(3, 1_000_000);
    recent.push(kept(b"before", ignored()));
    let (reached, mut latest) = recent.follow();
    assert_eq!(reached, 1);
    recent.push(kept(b"after", ignored()));
    latest.changed().await.unwrap();
    assert_eq!(recent.after(reached).len(), 1);
}

#[test]
fn secrets_are_masked_by_their_names() {
    for secret in ["authorization", "cookie", "x-api-key", "x-hub-signature-256", "stripe-signature", "x-auth-token"] {
        assert!(mask::is_secret(secret, None), "{secret}");
    }
    for open in ["content-type", "webhook-id", "webhook-timestamp", "idempotency-key", "x-github-event"] {
        assert!(!mask::is_secret(open, None), "{open}");
    }
    assert!(mask::is_secret("x-acme", Some("X-Acme")), "what the trigger names");
    assert_eq!(mask::query("a=1&key=s&%6bey=s&b", None), "a=1&key=•••&%6bey=•••&b");
    assert_eq!(mask::query("a=1&code=s", Some("code")), "a=1&code=•••");
    assert_eq!(mask::query("a=1&b", None), "a=1&b");
}
