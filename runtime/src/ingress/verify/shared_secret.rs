//! Senders that send the secret itself: a bearer token (RFC 6750), a password (RFC 7617), a key in a header or in the query.

use data_encoding::BASE64;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::mac::{Key, same};
use super::read::{header, malformed};
use super::{Presented, Proof, Refusal, proof_by};

const AUTHORIZATION: &str = "authorization";

pub(super) fn bearer(request: &Presented<'_>, keys: &[Key]) -> Result<Proof, Refusal> {
    let token = credentials(request, "Bearer")?;
    same(keys, token.as_bytes()).map(proof_by).ok_or_else(|| wrong("the token"))
}

pub(super) fn basic(request: &Presented<'_>, keys: &[Key], username: &str) -> Result<Proof, Refusal> {
    let base64 = credentials(request, "Basic")?;
    let decoded = BASE64.decode(base64.as_bytes()).map_err(|_| malformed(AUTHORIZATION, "it is no base64"))?;
    let colon = decoded.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or_else(|| malformed(AUTHORIZATION, "there is no colon between user name and password"))?;
    let (user, password) = decoded.split_at(colon);
    let password = password.get(1..).unwrap_or_default();
    // Both are compared whatever the first one says.
    let is_user = bool::from(user.ct_eq(username.as_bytes()));
    let by = same(keys, password);
    match (is_user, by) {
        (true, Some(index)) => Ok(proof_by(index)),
        (false, _) => Err(wrong("the user name")),
        (true, None) => Err(wrong("the password")),
    }
}

pub(super) fn in_header(request: &Presented<'_>, keys: &[Key], name: &str) -> Result<Proof, Refusal> {
    let key = header(request, name)?;
    same(keys, key.as_bytes()).map(proof_by).ok_or_else(|| wrong(&format!("the key in the header `{name}`")))
}

pub(super) fn in_query(request: &Presented<'_>, keys: &[Key], name: &str) -> Result<Proof, Refusal> {
    let values = form_urlencoded::parse(request.query.as_bytes()).filter(|(parameter, _)| parameter == name);
    let values: Vec<_> = values.map(|(_, value)| value).collect();
    match values.as_slice() {
        [] => Err(Refusal::MissingParameter { name: name.to_owned() }),
        [key] => same(keys, key.as_bytes())
            .map(proof_by)
            .ok_or_else(|| wrong(&format!("the key in the query parameter `{name}`"))),
        several => Err(Refusal::Repeated { what: name.to_owned(), times: several.len() }),
    }
}

/// What follows the scheme, which is read in any case (RFC 9110 §11.1), and one space.
fn credentials<'a>(request: &Presented<'a>, scheme: &str) -> Result<&'a str, Refusal> {
    let text = header(request, AUTHORIZATION)?;
    match text.split_once(' ') {
        Some((given, rest)) if given.eq_ignore_ascii_case(scheme) && !rest.is_empty() => Ok(rest),
        _ => Err(malformed(AUTHORIZATION, format!("it is not of the form `{scheme} …`"))),
    }
}

fn wrong(what: &str) -> Refusal {
    Refusal::WrongSecret { what: what.to_owned() }
}
