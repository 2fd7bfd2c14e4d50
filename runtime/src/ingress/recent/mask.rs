//! What of a request is not kept: whatever proves something, by the name it goes under.

use std::borrow::Cow;

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "•••";

/// Parts of names that secrets have.
const PARTS: [&str; 10] =
    ["auth", "cookie", "credential", "hmac", "key", "passw", "secret", "session", "sign", "token"];

/// Whether the value of a header or a query parameter is masked; names of headers are in lower case. `own` is the name under which the trigger's
/// sender proves itself.
pub(super) fn is_secret(name: &str, own: Option<&str>) -> bool {
    match name {
        // What nearly every request has, so that it costs one comparison; and two names that only look like secrets.
        "accept" | "accept-encoding" | "accept-language" | "connection" | "content-length" | "content-type"
        | "date" | "host" | "traceparent" | "user-agent" | "x-forwarded-for" | "x-forwarded-proto" | "x-real-ip"
        | "x-request-id" | "idempotency-key" | ":authority" => false,
        name => own.is_some_and(|own| own.eq_ignore_ascii_case(name)) || PARTS.iter().any(|part| name.contains(part)),
    }
}

/// The query with the values of its secrets masked.
pub(super) fn query<'a>(query: &'a str, own: Option<&str>) -> Cow<'a, str> {
    let is_masked = |parameter: &str| {
        let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
        // Written out, a name can hide behind escapes.
        name.contains('%') || is_secret(&name.to_ascii_lowercase(), own)
    };
    if !query.split('&').any(is_masked) {
        return query.into();
    }
    let masked = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if is_masked(parameter) => format!("{name}={MASK}"),
        _ => parameter.to_owned(),
    });
    masked.collect::<Vec<_>>().join("&").into()
}
