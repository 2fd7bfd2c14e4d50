//! What more can be said of a signature that does not fit: whose header it is, and whether it fits a body or a secret that is nearly the one
//! we have. It is asked for refused requests only, and what it finds is told to the trigger's owner, never to the sender.

use data_encoding::{BASE64, BASE64_NOPAD};

use super::mac::Key;
use super::{Presented, Refusal};

/// The largest body for which variants are tried: a refused request must stay cheap.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// By which header a scheme is known.
const SIGNS: [(&str, &str); 7] = [
    ("webhook-signature", "standard-webhooks"),
    ("x-hub-signature-256", "github"),
    ("stripe-signature", "stripe"),
    ("x-slack-signature", "slack"),
    ("x-shopify-hmac-sha256", "shopify"),
    ("x-ghl-signature", "highlevel"),
    ("x-wh-signature", "highlevel"),
];

/// The scheme of another sender, where its header is there.
pub(super) fn other_scheme(request: &Presented<'_>) -> Option<String> {
    let found = SIGNS.iter().find(|(header, _)| request.headers.contains_key(*header));
    found.map(|(header, scheme)| format!("there is `{header}`, which is that of the scheme `{scheme}`"))
}

/// The refusal of a signature that fits none of `keys`; `fits` says whether it fits a key and a body.
pub(super) fn no_match(request: &Presented<'_>, keys: &[Key], fits: impl Fn(&[u8], &[u8]) -> bool) -> Refusal {
    if request.body.len() > BODY_BYTES_MAX {
        return Refusal::NoMatch { hint: None };
    }
    let by_body = bodies(request.body).into_iter().find_map(|(body, hint)| {
        let is_it = keys.iter().any(|key| fits(key.bytes(), &body));
        is_it.then(|| hint.to_owned())
    });
    let hint = by_body.or_else(|| {
        let secrets = keys.iter().flat_map(|key| secrets(key.bytes()));
        let mut fitting = secrets.filter(|(secret, _)| fits(secret, request.body));
        fitting.next().map(|(_, hint)| hint.to_owned())
    });
    Refusal::NoMatch { hint }
}

/// What the body may have been before something on the way changed it.
fn bodies(body: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut bodies = Vec::new();
    let mut put = |other: Vec<u8>, hint| {
        if other != body {
            bodies.push((other, hint));
        }
    };
    put(
        body.trim_ascii_end().to_vec(),
        "it fits the body without the white space at its end, which was added on the way",
    );
    put([body, b"\n"].concat(), "it fits the body with a line break at its end, which was lost on the way");
    put(without_carriage_returns(body), "it fits the body with other line ends, which were changed on the way");
    put(without_space(body), "it fits the JSON without its white space: something on the way wrote the body anew");
    put(Vec::new(), "it fits an empty body: the sender signed nothing of it");
    bodies
}

/// What the secret may have been meant as.
fn secrets(secret: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let trimmed = secret.trim_ascii();
    let mut secrets = Vec::new();
    if trimmed.len() < secret.len() {
        secrets.push((trimmed.to_vec(), "it fits the secret without the white space around it: store it anew"));
    }
    let bare = trimmed.strip_prefix(b"whsec_").unwrap_or(trimmed);
    if let Ok(bytes) = BASE64.decode(bare).or_else(|_| BASE64_NOPAD.decode(bare)) {
        secrets
            .push((bytes, "it fits the bytes that the secret is the base64 of: store those, or choose another scheme"));
    }
    let text = BASE64.encode(secret);
    secrets.push((
        format!("whsec_{text}").into_bytes(),
        "it fits the text `whsec_…` itself instead of the bytes it stands for",
    ));
    secrets
}

fn without_carriage_returns(body: &[u8]) -> Vec<u8> {
    body.iter().copied().filter(|byte| *byte != b'\r').collect()
}

/// White space outside of the texts of a JSON document.
fn without_space(body: &[u8]) -> Vec<u8> {
    let (mut is_text, mut is_escaped) = (false, false);
    let keep = |byte: &u8| {
        let keeps = is_text || !byte.is_ascii_whitespace();
        if is_escaped {
            is_escaped = false;
        } else {
            match byte {
                b'"' => is_text = !is_text,
                b'\\' => is_escaped = is_text,
                _ => {}
            }
        }
        keeps
    };
    body.iter().copied().filter(keep).collect()
}
