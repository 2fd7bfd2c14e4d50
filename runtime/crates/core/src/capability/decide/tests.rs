use url::Url;

use super::*;
use crate::capability::{HttpCapability, HttpGrant, HttpRule};

fn rule(text: &str) -> HttpRule {
    HttpRule::parse(text).expect(text)
}

fn rights(hosts: &[&str], from_input: Option<&str>, granted: &[&str]) -> Rights {
    Rights {
        plugin: "acme/slack".parse().expect("an id"),
        asked: vec![HttpCapability {
            reason: "to post".into(),
            from_input: from_input.map(str::to_owned),
            hosts: hosts.iter().map(|text| rule(text)).collect(),
        }],
        granted: granted.iter().map(|text| text.parse::<HttpGrant>().expect("a grant")).collect(),
        services: crate::capability::ServiceRights::default(),
    }
}

fn scope(authored: &str) -> StepScope {
    StepScope { urls: vec![("url".into(), UrlScope::from_authored(authored))] }
}

fn check(request: &str, rights: &Rights, scope: &StepScope, ceiling: &Ceiling) -> Result<(), Denial> {
    let (method, url) = request.split_once(' ').expect("method and URL");
    let url = Url::parse(url).expect("a URL");
    decide(&RequestTarget::new(method, &url)?, rights, scope, ceiling)
}

#[test]
fn a_named_destination_needs_manifest_and_grant() {
    let slack = "https://hooks.slack.com/*";
    let open = Ceiling::default();
    for (asked, granted, request, expected) in [
        (slack, slack, "POST https://hooks.slack.com/services/T0", Ok(())),
        (slack, "POST https://hooks.slack.com/*", "POST https://hooks.slack.com/x", Ok(())),
        (slack, "POST https://hooks.slack.com/*", "GET https://hooks.slack.com/x", Err(DeniedBy::Grant)),
        ("POST https://hooks.slack.com/*", slack, "GET https://hooks.slack.com/x", Err(DeniedBy::Manifest)),
        (slack, "https://hooks.slack.com/services/*", "POST https://hooks.slack.com/x", Err(DeniedBy::Grant)),
        (slack, "https://*.slack.com", "POST https://hooks.slack.com/x", Ok(())),
        (slack, "https://*.slack.com", "POST https://files.slack.com/x", Err(DeniedBy::Manifest)),
        (slack, "https://other.example", "POST https://hooks.slack.com/x", Err(DeniedBy::Grant)),
        (slack, "https://other.example", "POST https://other.example/x", Err(DeniedBy::Manifest)),
        (slack, "from-input", "POST https://hooks.slack.com/x", Err(DeniedBy::Grant)),
        (slack, slack, "POST http://hooks.slack.com/x", Err(DeniedBy::Manifest)),
        (slack, slack, "POST https://hooks.slack.com:8443/x", Err(DeniedBy::Manifest)),
        (slack, slack, "TRACE https://hooks.slack.com/x", Err(DeniedBy::Method)),
        (slack, slack, "POST https://a:b@hooks.slack.com/x", Err(DeniedBy::Userinfo)),
        (slack, slack, "POST ftp://hooks.slack.com/x", Err(DeniedBy::Scheme)),
    ] {
        let found = check(request, &rights(&[asked], None, &[granted]), &StepScope::default(), &open);
        assert_eq!(found.map_err(|denial| denial.rule), expected, "asked {asked}, granted {granted}: {request}");
    }
}

#[test]
fn an_authored_destination_needs_consent_and_stays_where_it_is() {
    let open = Ceiling::default();
    let authored = "https://api.example.com/{{ contact.id }}";
    let data = "https://{{ trigger.body.host }}/";
    for (authored, granted, request, expected) in [
        (authored, &["from-input"][..], "GET https://api.example.com/7", Ok(())),
        (authored, &["https://api.example.com"], "GET https://api.example.com/7", Ok(())),
        (authored, &[], "GET https://api.example.com/7", Err(DeniedBy::Grant)),
        (authored, &["from-input"], "GET http://api.example.com/7", Err(DeniedBy::StepScope)),
        (authored, &["from-input"], "GET https://api.example.com:8443/7", Err(DeniedBy::StepScope)),
        (authored, &["from-input"], "GET https://evil.example/7", Err(DeniedBy::StepScope)),
        (authored, &["https://evil.example"], "GET https://evil.example/7", Err(DeniedBy::StepScope)),
        (data, &["from-input"], "GET https://api.example.com/7", Err(DeniedBy::DataChosen)),
        (
            data,
            &["from-input", "POST https://api.example.com"],
            "GET https://api.example.com/7",
            Err(DeniedBy::DataChosen),
        ),
        (data, &["https://api.example.com"], "GET https://api.example.com/7", Ok(())),
        ("nonsense", &["from-input"], "GET https://api.example.com/7", Err(DeniedBy::StepScope)),
    ] {
        let found = check(request, &rights(&[], Some("url"), granted), &scope(authored), &open);
        assert_eq!(found.map_err(|denial| denial.rule), expected, "{authored} granted {granted:?}: {request}");
    }
    let without =
        check("GET https://a.example/", &rights(&[], Some("url"), &["from-input"]), &StepScope::default(), &open);
    assert_eq!(without.expect_err("no url in this step").rule, DeniedBy::StepScope);
}

#[test]
fn the_ceiling_holds_over_every_grant() {
    let slack = rights(&["https://hooks.slack.com"], None, &["https://hooks.slack.com"]);
    let ungranted = rights(&["https://hooks.slack.com"], None, &[]);
    let none = StepScope::default();
    let request = "POST https://hooks.slack.com/x";
    let allow = |text: &str| Ceiling { allow: vec![rule(text)], deny_hosts: vec![] };
    let deny = |text: &str| Ceiling { allow: vec![], deny_hosts: vec![text.parse().expect("a host")] };
    for (ceiling, allowed) in [
        (allow("https://*.slack.com"), true),
        (allow("GET https://*.slack.com"), false),
        (allow("https://other.example"), false),
        (deny("other.example"), true),
        (deny("hooks.slack.com"), false),
        (deny("*.slack.com"), false),
    ] {
        let found = check(request, &slack, &none, &ceiling);
        assert_eq!(found.is_ok(), allowed, "{ceiling:?}");
        if !allowed {
            // No grant is printed where none can help, even if one is missing too.
            for rights in [&slack, &ungranted] {
                let denial = check(request, rights, &none, &ceiling).expect_err("above the ceiling");
                assert_eq!((denial.rule, denial.grant_to_add), (DeniedBy::Ceiling, None));
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Configuration {
    grants: Vec<Grant>,
}

#[test]
fn a_denial_prints_a_grant_that_works_when_it_is_pasted() {
    for (rights, scope, request) in [
        (
            rights(&["https://hooks.slack.com"], None, &[]),
            StepScope::default(),
            "POST https://hooks.slack.com/services/T0?key=secret",
        ),
        (rights(&[], Some("url"), &["from-input"]), scope("http://{{ h }}/"), "GET http://build.example.com:8080/x"),
        (rights(&[], Some("url"), &[]), scope("http://[::1]:9000/{{ h }}"), "PUT http://[::1]:9000/x"),
    ] {
        let denial = check(request, &rights, &scope, &Ceiling::default()).expect_err(request);
        let pasted = denial.grant_to_add.expect("a grant");
        assert!(denial.message.ends_with(&pasted) && !denial.message.contains("secret"), "{}", denial.message);
        let configuration: Configuration = toml::from_str(&format!("# before\n{pasted}\n")).expect("it is TOML");
        let granted = Rights::new(rights.plugin.clone(), rights.asked.clone(), &configuration.grants);
        assert_eq!(check(request, &granted, &scope, &Ceiling::default()), Ok(()), "{pasted}");
    }
}

#[test]
fn denials_explain_themselves() {
    let message = |request, rights: &Rights, scope: &StepScope| {
        check(request, rights, scope, &Ceiling::default()).expect_err("denied").message
    };
    let slack = rights(&["POST https://hooks.slack.com"], None, &[]);
    let webhook = rights(&[], Some("url"), &["from-input"]);
    assert_eq!(
        message("POST https://hooks.slack.com/services/T0", &slack, &StepScope::default()),
        "`POST https://hooks.slack.com/services/T0` is denied: the plugin acme/slack asks for it, but this workspace has not granted it. \
         To allow it, add to the configuration:\n[[grants]]\nplugin = \"acme/slack\"\nhttp = [\"POST https://hooks.slack.com/*\"]"
    );
    assert_eq!(
        message("GET https://evil.example/", &slack, &StepScope::default()),
        "`GET https://evil.example/` is denied: the plugin acme/slack does not ask for it in its manifest \
         (it asks for POST https://hooks.slack.com/*). No grant can add it; the plugin's author would have to ask for it"
    );
    assert_eq!(
        message("GET https://evil.example/", &webhook, &scope("https://api.example.com/{{ x }}")),
        "`GET https://evil.example/` is denied: this step's `url` leads to https://api.example.com and to no other place. \
         Change the step's `url`, or use a step of its own for this destination"
    );
    assert_eq!(
        message("GET https://a.example/", &webhook, &scope("https://{{ trigger.body.host }}/")),
        "`GET https://a.example/` is denied: in the step's `url` (`https://{{ trigger.body.host }}/`) run data chooses the destination. \
         Write scheme, host and port out in `url`; or, if data may choose this one, add to the configuration:\n\
         [[grants]]\nplugin = \"acme/slack\"\nhttp = [\"GET https://a.example/*\"]"
    );
}

#[test]
fn grants_are_taken_by_plugin_and_built_in_plugins_get_what_they_ask() {
    let asked = vec![
        HttpCapability { reason: "r".into(), from_input: Some("url".into()), hosts: vec![] },
        HttpCapability { reason: "r".into(), from_input: None, hosts: vec![rule("https://a.example")] },
    ];
    let plugin: crate::plugin::PluginId = "flowcell/custom-webhook".parse().expect("an id");
    let grant = Grant::as_asked(plugin.clone(), &asked);
    assert_eq!(
        grant.to_string(),
        "[[grants]]\nplugin = \"flowcell/custom-webhook\"\nhttp = [\"https://a.example/*\", \"from-input\"]"
    );
    let other =
        Grant { plugin: "acme/other".parse().expect("an id"), http: vec![HttpGrant::FromInput], services: vec![] };
    let rights = Rights::new(plugin, asked, &[other, grant.clone()]);
    assert_eq!(rights.granted, grant.http);
    let json = serde_json::to_value(&grant).expect("serialises");
    assert_eq!(serde_json::from_value::<Grant>(json).expect("reads back"), grant);
}
