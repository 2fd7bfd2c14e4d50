//! What a plugin asks for, in sentences for the person who decides. `plugin inspect` and the API say the same.

use crate::capability::{ContactsCapability, HttpCapability, HttpRule};
use crate::manifest::{Capabilities, Manifest};

/// Says each capability in one sentence, and that there is none in one as well.
pub fn sentences(capabilities: &Capabilities) -> Vec<String> {
    let mut sentences: Vec<String> = capabilities.http.iter().map(http).collect();
    sentences.extend(services(capabilities));
    if sentences.is_empty() {
        sentences.push("Asks for nothing outside its sandbox.".to_owned());
    }
    sentences
}

fn services(capabilities: &Capabilities) -> Vec<String> {
    let Capabilities { http: _, key_value, mail, inbox, contacts, files } = capabilities;
    let because = |what: String, reason: &str| format!("May {what}, because: {reason}");
    [
        key_value.as_ref().map(|asked| {
            because(
                format!("keep up to {} KiB of values between calls, in each workspace", asked.quota_kib),
                &asked.reason,
            )
        }),
        mail.as_ref().map(|asked| {
            because("send mail through the connection of kind smtp that a step names".to_owned(), &asked.reason)
        }),
        inbox.as_ref().map(|asked| {
            let what =
                "write to the inbox of the people of a workspace, and see their names, addresses and quiet hours";
            because(what.to_owned(), &asked.reason)
        }),
        contacts.as_ref().map(|asked| because(contact_work(asked), &asked.reason)),
        files.as_ref().map(|asked| {
            because(
                format!("keep up to {} MiB of files in a directory of its own, in each workspace", asked.quota_mib),
                &asked.reason,
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `read email and tags of contacts, write tags of contacts and delete contacts`.
fn contact_work(asked: &ContactsCapability) -> String {
    let of = |doing: &str, fields: &[String]| match fields {
        [] => None,
        fields if fields.iter().any(|field| field == "*") => Some(format!("{doing} everything of contacts")),
        fields => Some(format!("{doing} {} of contacts", enumerate(fields))),
    };
    let work = [of("read", &asked.read), of("write", &asked.write), asked.delete.then(|| "delete contacts".to_owned())];
    enumerate(&work.into_iter().flatten().collect::<Vec<_>>())
}

/// Says of each action which connections it works with, and why.
pub fn connections(manifest: &Manifest) -> Vec<String> {
    let of_actions = manifest.actions.iter().map(|action| (&action.id, action.connection.as_ref()));
    let of_triggers = manifest.triggers.iter().map(|trigger| (&trigger.id, trigger.connection.as_ref()));
    let slots = of_actions.chain(of_triggers).filter_map(|(id, slot)| Some((id, slot?)));
    let mut sentences: Vec<String> = slots
        .map(|(id, slot)| {
            let kinds: Vec<String> = slot.kinds.iter().map(|kind| titled(manifest, kind)).collect();
            let which = if kinds.is_empty() { "any kind".to_owned() } else { alternatives(&kinds) };
            let needs = if slot.required { "needs a connection" } else { "can use a connection" };
            let default = slot
                .default
                .as_ref()
                .map_or_else(String::new, |name| format!(" (where a step names none: `{name}`, if it is there)"));
            format!("`{id}` {needs} of {which}{default}, because: {}", slot.reason)
        })
        .collect();
    sentences.extend(manifest.connections.iter().map(|kind| {
        let secret: Vec<String> =
            kind.properties().map(|(name, _)| name.to_owned()).filter(|name| kind.is_secret(name)).collect();
        format!(
            "Brings the kind `{}` along ({}): the host keeps {} and adds it to requests; the plugin never sees it.",
            kind.id,
            kind.title,
            enumerate(&secret)
        )
    }));
    sentences
}

fn titled(manifest: &Manifest, kind: &str) -> String {
    manifest.connection(kind).map_or_else(|| kind.to_owned(), |declared| format!("{kind} ({})", declared.title))
}

fn alternatives(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => format!("the kind {one}"),
        [first @ .., last] => format!("the kinds {} or {last}", first.join(", ")),
    }
}

fn http(capability: &HttpCapability) -> String {
    let what = match &capability.from_input {
        Some(field) => format!("requests to the address you write in the field `{field}`"),
        None => hosts(&capability.hosts),
    };
    format!("May send {what}, because: {}", capability.reason)
}

/// `POST to A and B and requests to C`: destinations with the same methods stand together.
fn hosts(rules: &[HttpRule]) -> String {
    let groups = rules.chunk_by(|one, next| one.methods == next.methods);
    let groups: Vec<_> = groups
        .map(|group| format!("{} to {}", methods(group), enumerate(&group.iter().map(destination).collect::<Vec<_>>())))
        .collect();
    enumerate(&groups)
}

fn methods(group: &[HttpRule]) -> String {
    match group.first().map(|rule| &rule.methods) {
        Some(methods) if !methods.is_empty() => enumerate(&methods.iter().cloned().collect::<Vec<_>>()),
        _ => "requests".to_owned(),
    }
}

fn destination(rule: &HttpRule) -> String {
    let usual_port = if rule.scheme == "http" { 80 } else { 443 };
    let port = if rule.port == usual_port { String::new() } else { format!(":{}", rule.port) };
    let path = if rule.path == "/*" { "" } else { &rule.path };
    let unencrypted = if rule.scheme == "http" { " (not encrypted)" } else { "" };
    format!("{}://{}{port}{path}{unencrypted}", rule.scheme, rule.host)
}

fn enumerate(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slack(methods: &[&str], path: &str) -> HttpRule {
        HttpRule {
            methods: methods.iter().map(ToString::to_string).collect(),
            scheme: "https".to_owned(),
            host: "hooks.slack.com".to_owned(),
            port: 443,
            path: path.to_owned(),
        }
    }

    fn say(from_input: Option<&str>, hosts: Vec<HttpRule>) -> String {
        let capability =
            HttpCapability { reason: "it notifies.".to_owned(), from_input: from_input.map(str::to_owned), hosts };
        sentences(&Capabilities { http: vec![capability], ..Capabilities::default() }).join("\n")
    }

    #[test]
    fn each_capability_is_one_plain_sentence() {
        assert_eq!(sentences(&Capabilities::default()), ["Asks for nothing outside its sandbox."]);
        assert_eq!(
            say(Some("url"), Vec::new()),
            "May send requests to the address you write in the field `url`, because: it notifies."
        );
        assert_eq!(
            say(None, vec![slack(&["POST"], "/services/*")]),
            "May send POST to https://hooks.slack.com/services/*, because: it notifies."
        );
        assert_eq!(
            say(None, vec![slack(&[], "/*"), slack(&[], "/b")]),
            "May send requests to https://hooks.slack.com and https://hooks.slack.com/b, because: it notifies."
        );
        let local = HttpRule { scheme: "http".to_owned(), port: 8080, ..slack(&["GET", "POST", "PUT"], "/*") };
        assert_eq!(
            say(None, vec![slack(&[], "/*"), local]),
            "May send requests to https://hooks.slack.com and GET, POST and PUT to http://hooks.slack.com:8080 (not encrypted), \
             because: it notifies."
        );
    }

    #[test]
    fn services_are_said_with_their_reach() {
        let capabilities: Capabilities = toml::from_str(
            r#"
            key-value = { reason = "a." }
            mail = { reason = "b." }
            inbox = { reason = "c." }
            contacts = { reason = "d.", read = ["email", "tags", "fields.vip"], write = ["*"], delete = true }
            files = { reason = "e.", quota-mib = 2 }
            "#,
        )
        .expect("capabilities");
        assert_eq!(
            sentences(&capabilities),
            [
                "May keep up to 256 KiB of values between calls, in each workspace, because: a.",
                "May send mail through the connection of kind smtp that a step names, because: b.",
                "May write to the inbox of the people of a workspace, and see their names, addresses and quiet hours, because: c.",
                "May read email, tags and fields.vip of contacts, write everything of contacts and delete contacts, because: d.",
                "May keep up to 2 MiB of files in a directory of its own, in each workspace, because: e.",
            ]
        );
    }
}
