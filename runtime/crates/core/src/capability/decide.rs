//! One request against all four parties. Every refusal says who refuses, and what would change it.

use super::grant::{Ceiling, Grant, Rights};
use super::scope::{StepScope, UrlScope};
use super::target::RequestTarget;

/// Why a request may not leave the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    pub rule: DeniedBy,
    /// For people: what was denied, by whom, and what to do.
    pub message: String,
    /// TOML that, pasted into the configuration, would allow it. Absent where no grant can.
    pub grant_to_add: Option<String>,
}

/// Who refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeniedBy {
    /// Not one of the methods a guest may use.
    Method,
    /// Neither http nor https.
    Scheme,
    /// A user name or password in the URL.
    Userinfo,
    /// Not a host that can be reached.
    Host,
    /// The plugin does not ask for it.
    Manifest,
    /// The step's author sent the plugin elsewhere.
    StepScope,
    /// An expression chose the destination, and no grant names it.
    DataChosen,
    /// The workspace did not grant it.
    Grant,
    /// The operator allows it to nobody.
    Ceiling,
}

impl DeniedBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Scheme => "scheme",
            Self::Userinfo => "userinfo",
            Self::Host => "host",
            Self::Manifest => "manifest",
            Self::StepScope => "step-scope",
            Self::DataChosen => "data-chosen",
            Self::Grant => "grant",
            Self::Ceiling => "ceiling",
        }
    }
}

/// How far one capability of the manifest takes a request, before grants are looked at.
enum Reach<'a> {
    /// The manifest names the destination.
    Named,
    /// The step's author fixed the destination.
    Authored,
    /// Run data chose the destination.
    Data { field: &'a str, authored: &'a str },
    /// The step leads elsewhere, or nowhere.
    Elsewhere { field: &'a str, scope: Option<&'a UrlScope> },
}

/// Decides whether `request` is inside manifest ∩ workspace grant ∩ step scope ∩ operator ceiling.
pub fn decide(
    request: &RequestTarget<'_>,
    rights: &Rights,
    scope: &StepScope,
    ceiling: &Ceiling,
) -> Result<(), Denial> {
    let reach = reach(request, rights, scope);
    // First what no grant can change, so that a printed grant always works.
    match reach {
        None => return Err(not_asked(request, rights)),
        Some(Reach::Elsewhere { field, scope }) => return Err(elsewhere(request, field, scope)),
        Some(_) => {}
    }
    if ceiling.denies_host(request.origin()) || !ceiling.contains(request) {
        return Err(above_ceiling(request));
    }
    let granted = match reach {
        Some(Reach::Authored) => rights.consents_to_inputs() || rights.names(request),
        _ => rights.names(request),
    };
    if granted {
        return Ok(());
    }
    Err(match reach {
        Some(Reach::Data { field, authored }) => chosen_by_data(request, rights, field, authored),
        _ => not_granted(request, rights),
    })
}

/// The capability that reaches furthest: named or authored before data before elsewhere.
fn reach<'a>(request: &RequestTarget<'_>, rights: &'a Rights, scope: &'a StepScope) -> Option<Reach<'a>> {
    let mut best = None;
    for capability in &rights.asked {
        if capability.hosts.iter().any(|rule| rule.matches(request)) {
            return Some(Reach::Named);
        }
        let Some(field) = capability.from_input.as_deref() else { continue };
        match scope.of(field) {
            Some(UrlScope::Fixed { origin }) if origin == request.origin() => return Some(Reach::Authored),
            Some(UrlScope::FromData { authored }) => best = Some(Reach::Data { field, authored }),
            other if !matches!(best, Some(Reach::Data { .. })) => best = Some(Reach::Elsewhere { field, scope: other }),
            _ => {}
        }
    }
    best
}

fn not_asked(request: &RequestTarget<'_>, rights: &Rights) -> Denial {
    let rules: Vec<String> =
        rights.asked.iter().flat_map(|capability| &capability.hosts).take(10).map(ToString::to_string).collect();
    let asked = if rules.is_empty() { "nothing".to_owned() } else { rules.join("; ") };
    Denial {
        rule: DeniedBy::Manifest,
        message: format!(
            "`{request}` is denied: the plugin {} does not ask for it in its manifest (it asks for {asked}). \
             No grant can add it; the plugin's author would have to ask for it",
            rights.plugin
        ),
        grant_to_add: None,
    }
}

fn elsewhere(request: &RequestTarget<'_>, field: &str, scope: Option<&UrlScope>) -> Denial {
    let fixed = match scope {
        Some(UrlScope::Fixed { origin }) => format!("this step's `{field}` leads to {origin} and to no other place"),
        Some(UrlScope::Invalid { authored, reason }) => {
            format!("this step's `{field}` is `{authored}`, which leads nowhere ({reason})")
        }
        _ => format!("this step has no `{field}`"),
    };
    Denial {
        rule: DeniedBy::StepScope,
        message: format!(
            "`{request}` is denied: {fixed}. Change the step's `{field}`, or use a step of its own for this destination"
        ),
        grant_to_add: None,
    }
}

fn above_ceiling(request: &RequestTarget<'_>) -> Denial {
    Denial {
        rule: DeniedBy::Ceiling,
        message: format!(
            "`{request}` is denied: it lies outside what the operator of this server allows to anybody. \
             No grant can go beyond that; ask the operator"
        ),
        grant_to_add: None,
    }
}

fn chosen_by_data(request: &RequestTarget<'_>, rights: &Rights, field: &str, authored: &str) -> Denial {
    let grant = Grant::for_request(&rights.plugin, request).to_string();
    Denial {
        rule: DeniedBy::DataChosen,
        message: format!(
            "`{request}` is denied: in the step's `{field}` (`{authored}`) run data chooses the destination. \
             Write scheme, host and port out in `{field}`; or, if data may choose this one, add to the configuration:\n{grant}"
        ),
        grant_to_add: Some(grant),
    }
}

fn not_granted(request: &RequestTarget<'_>, rights: &Rights) -> Denial {
    let grant = Grant::for_request(&rights.plugin, request).to_string();
    Denial {
        rule: DeniedBy::Grant,
        message: format!(
            "`{request}` is denied: the plugin {} asks for it, but this workspace has not granted it. \
             To allow it, add to the configuration:\n{grant}",
            rights.plugin
        ),
        grant_to_add: Some(grant),
    }
}

#[cfg(test)]
mod tests;
