//! Kinds that a plugin declares: texts with places for the connection's fields, `Token {{ secret.key }}`. Substitution and nothing else: no
//! filters, no conditions, so that what is sent can be read off the declaration.

use std::collections::BTreeMap;

use flowcell_core::connection::{Additions, InjectedInto, Injection};
use flowcell_core::secret::Secret;
use flowcell_sandbox::egress::is_forbidden_header;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Bound;
use super::fixed::Fixed;

/// The public fields of a connection, and the secret ones.
type Fields<'f> = (&'f Map<String, Value>, BTreeMap<String, Secret<String>>);

/// Fails, with the reason, when a place names a field that the connection has not.
pub(super) fn authorizer(bound: Bound, inject: &[Injection], fields: Fields<'_>) -> Result<Fixed, String> {
    let mut additions = Additions::default();
    for Injection { into, value } in inject {
        let value = filled(value, &fields)?;
        match into {
            InjectedInto::Header(name) if is_forbidden_header(&name.to_ascii_lowercase()) => {
                return Err(format!("the declaration sets the header `{name}`, which only the host sets"));
            }
            InjectedInto::Header(name) => additions.headers.push((name.to_ascii_lowercase(), value)),
            InjectedInto::Query(name) => additions.query.push((name.clone(), value)),
        }
    }
    Ok(Fixed::new(bound, additions, fields.1.into_values().collect()))
}

fn filled(template: &str, fields: &Fields<'_>) -> Result<Secret<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let mut rest = template;
    while let Some((before, from)) = rest.split_once("{{") {
        let (place, after) = from
            .split_once("}}")
            .ok_or_else(|| format!("the declaration `{template}` has a `{{{{` without its `}}}}`"))?;
        text.push_str(before);
        text.push_str(&field(place.trim(), fields).ok_or_else(|| {
            format!("the declaration `{template}` names `{}`, which the connection does not have", place.trim())
        })?);
        rest = after;
    }
    text.push_str(rest);
    Ok(Secret::new(text.to_string()))
}

fn field(place: &str, (public, secret): &Fields<'_>) -> Option<Zeroizing<String>> {
    if let Some(name) = place.strip_prefix("secret.") {
        return secret.get(name).map(|value| Zeroizing::new(value.expose().clone()));
    }
    let value = public.get(place.strip_prefix("field.")?)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(Zeroizing::new(text))
}
