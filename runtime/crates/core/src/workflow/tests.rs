#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
#![allow(clippy::too_many_lines, clippy::format_collect, reason = "tables")]

mod documented;
mod links;
mod meaning;
mod tree;

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::compiled::{CompiledKind, CompiledWorkflow};
use super::text::Located;
use super::*;
use crate::capability::UrlScope;
use crate::id::Digest;
use crate::manifest::Manifest;
use crate::ports::{CatalogError, InstalledPlugin};
use crate::run::retry::{Backoff, RetryPolicy, ScheduleName};

/// The example of the documentation.
const PUSH_TO_BUILD: &str = r#"id: push-to-build
name: Tell the build server about pushes
trigger:
  uses: flowcell/webhook/inbound@1
  with: { methods: [POST] }
steps:
  - id: build
    name: Start a build
    uses: flowcell/custom-webhook/request@1
    with:
      method: POST
      url: https://build.example.com/repos/{{ trigger.body.repository.name }}/builds
      json:
        commit: "{{ trigger.body.after }}"
        messages: "{{ trigger.body.commits | map(attribute='message') | list }}"
    retry: { attempts: 5 }
"#;

struct Plugins(Vec<Arc<InstalledPlugin>>);

impl Plugins {
    fn new() -> Self {
        let webhook = json!({
            "id": "flowcell/webhook", "version": "1.2.0", "api": "flowcell:plugin@1", "title": "Webhook",
            "triggers": [{
                "id": "inbound", "title": "Inbound", "kind": "webhook", "output": {},
                "config": {
                    "type": "object", "additionalProperties": false,
                    "properties": { "methods": { "type": "array", "items": { "enum": ["GET", "POST", "PUT"] } } },
                },
            }],
            "actions": [{ "id": "send", "title": "Send", "input": { "type": "object" }, "output": {} }],
            "capabilities": { "http": [{ "reason": "to send", "from-input": "url" }] },
        });
        let custom = json!({
            "id": "flowcell/custom-webhook", "version": "1.0.0", "api": "flowcell:plugin@1", "title": "Custom webhook",
            "actions": [{
                "id": "request", "title": "Request", "output": {},
                "input": {
                    "type": "object", "required": ["method", "url"], "additionalProperties": false,
                    "properties": {
                        "method": { "enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] },
                        "url": { "type": "string", "description": "Where the request goes." },
                        "headers": { "type": "object", "additionalProperties": { "type": "string" } },
                        "json": {},
                        "retries": { "type": "integer", "minimum": 0 },
                        "body": { "oneOf": [
                            { "type": "object", "required": ["text"], "properties": { "text": { "type": "string" } }, "additionalProperties": false },
                            { "type": "object", "required": ["form"], "properties": { "form": { "type": "object" } }, "additionalProperties": false },
                        ] },
                        "delay": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
                    },
                },
            }],
            "capabilities": { "http": [{ "reason": "to send", "from-input": "url" }] },
        });
        let installed = |manifest: Value| {
            let digest = Digest::of(manifest.to_string().as_bytes());
            let manifest: Manifest = serde_json::from_value(manifest).expect("a manifest");
            Arc::new(InstalledPlugin { manifest, digest, bytes: [].into(), origin: "a test".to_owned() })
        };
        Self(vec![installed(webhook), installed(custom)])
    }
}

impl Catalog for Plugins {
    fn resolve(&self, uses: &Uses) -> Result<Arc<InstalledPlugin>, CatalogError> {
        let found = self.0.iter().find(|plugin| plugin.manifest.id == uses.plugin);
        let plugin = found.ok_or_else(|| {
            let wanted = uses.plugin.to_string();
            let ids: Vec<_> = self.0.iter().map(|plugin| plugin.manifest.id.to_string()).collect();
            let similar = problem::similar(&wanted, ids.iter().map(String::as_str)).map(str::to_owned);
            CatalogError::UnknownPlugin { plugin: wanted, similar }
        })?;
        let manifest = &plugin.manifest;
        if manifest.version.major != uses.major {
            let available = vec![manifest.version.clone()];
            return Err(CatalogError::NoSuchVersion { plugin: uses.plugin.to_string(), wanted: uses.major, available });
        }
        if manifest.action(&uses.member).is_none() && manifest.trigger(&uses.member).is_none() {
            let plugin = uses.plugin.to_string();
            return Err(CatalogError::UnknownMember { plugin, member: uses.member.clone(), similar: None });
        }
        Ok(Arc::clone(plugin))
    }
    fn by_digest(&self, digest: &Digest) -> Option<Arc<InstalledPlugin>> {
        self.0.iter().find(|plugin| plugin.digest == *digest).cloned()
    }
    fn list(&self) -> Vec<Arc<InstalledPlugin>> {
        self.0.clone()
    }
}

fn problems(text: &str) -> String {
    match check(text, &Plugins::new(), &[]) {
        Ok(_) => "no problem\n".to_owned(),
        Err(problems) => problems.iter().fold(String::new(), |mut shown, problem| {
            let _ = writeln!(shown, "{}", problem.in_file("w.yaml"));
            shown
        }),
    }
}

#[test]
fn the_example_of_the_documentation_is_read_and_compiled() {
    let workflow = check(PUSH_TO_BUILD, &Plugins::new(), &[]).expect("no problem");
    assert_eq!(workflow.id.as_str(), "push-to-build");
    let TriggerKind::Plugin { with, .. } = &workflow.trigger.kind else { panic!("a plugin's trigger") };
    assert_eq!(*with, json!({ "methods": ["POST"] }));
    let [step] = workflow.steps.as_slice() else { panic!("one step") };
    assert_eq!((step.id.as_str(), step.name.as_deref()), ("build", Some("Start a build")));
    let action = step.action().expect("an action");
    assert_eq!(action.retry, Some(RetryPolicy::Backoff(Backoff { attempts: 5, ..Backoff::default() })));
    assert_eq!((action.on_uncertain, action.timeout_ms), (OnUncertain::Auto, None));

    let plugins = Plugins::new();
    let manifest = |uses: &Uses| plugins.resolve(uses).ok().map(|plugin| Arc::new(plugin.manifest.clone()));
    let compiled = CompiledWorkflow::compile(workflow, manifest).expect("compiles");
    let step = compiled.steps.get(&"build".parse().expect("an id")).expect("the step");
    let CompiledKind::Action { input, scope, destination, .. } = &step.kind else { panic!("an action") };
    let [(field, UrlScope::Fixed { origin })] = scope.urls.as_slice() else { panic!("a fixed URL: {scope:?}") };
    assert_eq!((field.as_str(), origin.host.as_str(), origin.port), ("url", "build.example.com", 443));
    let destination = destination.as_ref().expect("a fixed URL");
    assert!(destination.url().starts_with("https://build.example.com/"), "{destination:?}");
    let paths: Vec<_> = input.references().into_iter().map(|reference| reference.path).collect();
    assert_eq!(paths, ["trigger.body.after", "trigger.body.commits", "trigger.body.repository.name"]);
}

#[test]
fn a_step_is_tried_again_as_it_says_else_as_its_plugin_says() {
    let retry_of = |text: &str, from_plugin: Option<ScheduleName>| {
        let workflow = check(text, &Plugins::new(), &[]).expect("no problem");
        let plugins = Plugins::new();
        let manifest = |uses: &Uses| {
            let mut manifest = plugins.resolve(uses).ok()?.manifest.clone();
            manifest.actions.iter_mut().for_each(|action| action.retry = from_plugin);
            Some(Arc::new(manifest))
        };
        let compiled = CompiledWorkflow::compile(workflow, manifest).expect("compiles");
        let step = compiled.steps.get(&"build".parse().expect("an id")).expect("the step");
        let CompiledKind::Action { retry, .. } = &step.kind else { panic!("an action") };
        retry.clone()
    };
    let webhook = RetryPolicy::from(ScheduleName::Webhook);
    let silent = PUSH_TO_BUILD.replace("    retry: { attempts: 5 }\n", "");
    assert_eq!(retry_of(&silent, None), RetryPolicy::default());
    assert_eq!(retry_of(&silent, Some(ScheduleName::Webhook)), webhook);
    let named = PUSH_TO_BUILD.replace("{ attempts: 5 }", "{ schedule: webhook }");
    assert_eq!(retry_of(&named, None), webhook);
    assert_eq!(retry_of(PUSH_TO_BUILD, Some(ScheduleName::Webhook)).attempts(), 5);
    let own = PUSH_TO_BUILD.replace("{ attempts: 5 }", "{ schedule: [5s, 2h] }");
    assert_eq!(retry_of(&own, Some(ScheduleName::Webhook)).attempts(), 3);
}

#[test]
fn json_says_the_same_as_yaml() {
    let yaml = Authored::parse(PUSH_TO_BUILD).expect("YAML");
    let text = serde_json::to_string_pretty(&yaml.located.value).expect("JSON");
    let json = Authored::parse(&text).expect("JSON");
    assert_eq!(json.workflow, yaml.workflow);
    let tabs = text.replace("  ", "\t");
    assert_eq!(Authored::parse(&tabs).expect("JSON indented with tabs").workflow, yaml.workflow);
    // And so does what the program writes itself.
    let written = serde_json::to_string(&yaml.workflow).expect("JSON");
    assert_eq!(Authored::parse(&written).expect("JSON").workflow, yaml.workflow);
}

#[test]
fn durations_and_choices_are_written_as_people_write_them() {
    let text = PUSH_TO_BUILD.replace(
        "    retry: { attempts: 5 }\n",
        "    retry: { attempts: 5, initial: 2s, max: 5m }\n    timeout: 30s\n    on_uncertain: park\n",
    );
    let step = check(&text, &Plugins::new(), &[]).expect("no problem").steps.remove(0);
    let action = step.action().expect("an action");
    assert_eq!(action.retry, Some(RetryPolicy::Backoff(Backoff { attempts: 5, initial_ms: 2_000, max_ms: 300_000 })));
    assert_eq!((action.timeout_ms, action.on_uncertain), (Some(30_000), OnUncertain::Park));
    let written = serde_json::to_value(&step).expect("JSON");
    assert_eq!(written.pointer("/retry"), Some(&json!({ "attempts": 5, "initial": "2s", "max": "5m" })));
    assert_eq!(written.pointer("/timeout"), Some(&json!("30s")));
}

#[test]
fn scalars_follow_the_core_schema_of_yaml_1_2() {
    let text = "a: on\nb: no\nc: True\nd: ~\ne:\nf: 12\ng: -0.5\nh: 1e3\ni: 0x1F\nj: 1_000\nk: '12'\nl: 2026-11-23\nm: 1.2.3\nn: .5\n\
                o: 9007199254740993\np: 18446744073709551615\nq: 12:30:45\nr: |\n  two\n  lines\ns: >-\n  one\n  line\nt: \"\\u00fc\"\nu: null\nv: --\nw: Yes\nx: 0o17\ny: <<\n";
    let value = Located::read(text).expect("YAML").value;
    expect![[r#"{"a":"on","b":"no","c":true,"d":null,"e":null,"f":12,"g":-0.5,"h":1000.0,"i":31,"j":"1_000","k":"12","l":"2026-11-23","m":"1.2.3","n":0.5,"o":9007199254740993,"p":18446744073709551615,"q":"12:30:45","r":"two\nlines\n","s":"one line","t":"ü","u":null,"v":"--","w":"Yes","x":15,"y":"<<"}"#]].assert_eq(&serde_json::to_string(&value).expect("JSON"));
}

#[test]
fn json_escapes_are_those_of_json() {
    let value =
        Located::read(r#"{"a": "\ud83d\ude00 \u00e9\u00e8 \\ud83d\\ude00 \/ \" \\ \n é", "b": 1.0e2, "c":[ ],"d":{}}"#)
            .map(|located| located.value);
    assert_eq!(value, Ok(json!({ "a": "\u{1f600} éè \\ud83d\\ude00 / \" \\ \n é", "b": 100.0, "c": [], "d": {} })));
}

/// Changes the example in one place and shows what is said about it.
fn bad(name: &str, find: &str, replace: &str) -> String {
    assert!(PUSH_TO_BUILD.contains(find), "{find}");
    let shown = problems(&PUSH_TO_BUILD.replacen(find, replace, 1));
    assert_ne!(shown, "no problem\n", "{name}");
    format!("# {name}\n{shown}")
}

fn table(cases: &[(&str, &str, &str)], expected: &Expect) {
    expected.assert_eq(&cases.iter().map(|(name, find, replace)| bad(name, find, replace)).collect::<String>());
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    let cases = [
        ("an expression that is not quoted", "\"{{ trigger.body.after }}\"", "{{ trigger.body.after }}"),
        ("an expression in a flow mapping", "{ methods: [POST] }", "{ methods: {{ trigger.x }} }"),
        ("an anchor", "commit: \"", "commit: &a \""),
        ("an alias", "\"{{ trigger.body.after }}\"", "*a"),
        ("a tag", "\"{{ trigger.body.after }}\"", "!!str x"),
        ("a text that begins with an exclamation mark", "Start a build", "!important"),
        ("a second document", "    retry", "---\n    retry"),
        ("a doubled key", "      method: POST\n", "      method: POST\n      url: https://a.example\n"),
        ("a tab", "    name: Start", "\tname: Start"),
        ("a lost indentation", "    uses: flowcell/custom", "   uses: flowcell/custom"),
        ("an open text", "name: Start a build", "name: \"Start a build"),
        ("a telephone number", "commit: \"{{ trigger.body.after }}\"", "commit: +4912345"),
        ("a postcode", "commit: \"{{ trigger.body.after }}\"", "commit: 01067"),
        ("a number beyond all", "commit: \"{{ trigger.body.after }}\"", "commit: 123456789012345678901234567890"),
        ("infinity", "commit: \"{{ trigger.body.after }}\"", "commit: .inf"),
        ("an object as a key", "commit: \"{{ trigger.body.after }}\"", "{ a: 1 }: 2"),
    ];
    table(
        &cases,
        &expect![[r##"
        # an expression that is not quoted
        w.yaml:14:18: an object or array cannot be a key
          help: put a text that begins with `{{` in quotes: "{{ trigger.body.id }}"
        # an expression in a flow mapping
        w.yaml:5:21: an object or array cannot be a key
          help: put a text that begins with `{{` in quotes: "{{ trigger.body.id }}"
        # an anchor
        w.yaml:14:17: anchors (`&name`) and aliases (`*name`) are not read
          help: write the value out where it is needed; put texts that begin with `&` or `*` in quotes
        # an alias
        w.yaml:14:17: this is neither YAML nor JSON: while parsing node, found unknown anchor
          help: write the value out where it is needed; put texts that begin with `&` or `*` in quotes
        # a tag
        w.yaml:14:17: tags such as `tag:yaml.org,2002:!str` are not read
          help: leave it out; put texts that begin with `!` in quotes
        # a text that begins with an exclamation mark
        w.yaml:8:11: tags such as `!important` are not read
          help: leave it out; put texts that begin with `!` in quotes
        # a second document
        w.yaml:16:1: a second document begins here
          help: write one workflow per file
        # a doubled key
        w.yaml:13:7: the key `url` is here twice (first in line 12)
          help: remove one of them
        # a tab
        w.yaml:7:9: this is neither YAML nor JSON: while scanning a plain scalar, found a tab
          help: indent with spaces: YAML does not take tabs
        # a lost indentation
        w.yaml:9:4: this is neither YAML nor JSON: while parsing a block collection, did not find expected '-' indicator
          help: compare the indentation of this line with that of the lines around it
        # an open text
        w.yaml:8:11: this is neither YAML nor JSON: invalid indentation in quoted scalar
          help: a text in quotes does not end where it should: look for a missing quote
        # a telephone number
        w.yaml:14:17: `+4912345` would be read as a number and lose its `+`
          help: put it in quotes if it is meant as text: "+4912345"
        # a postcode
        w.yaml:14:17: `01067` would be read as a number and lose its `0`
          help: put it in quotes if it is meant as text: "01067"
        # a number beyond all
        w.yaml:14:17: `123456789012345678901234567890` is too large a number
          help: put it in quotes if it is meant as text: "123456789012345678901234567890"
        # infinity
        w.yaml:14:17: `.inf` is a number that JSON cannot say
          help: put it in quotes if it is meant as text: ".inf"
        # an object as a key
        w.yaml:14:9: an object or array cannot be a key
          help: put a text that begins with `{{` in quotes: "{{ trigger.body.id }}"
    "##]],
    );
    let whole = [
        ("nothing", String::new()),
        ("a remark", "# x\n".to_owned()),
        ("a text", "hello".to_owned()),
        ("a list", "- a\n- b".to_owned()),
        ("too long", "x".repeat(300_000)),
        ("too deep", "[".repeat(100)),
        ("far too deep", "[".repeat(5_000)),
        ("a bad character", "a: \u{7}\n".to_owned()),
    ];
    let shown: String = whole.iter().map(|(name, text)| format!("# {name}\n{}", problems(text))).collect();
    expect![[r#"
        # nothing
        w.yaml:1:1: the text is empty
        # a remark
        w.yaml:1:1: the text is empty
        # a text
        w.yaml:1:1: the document must be an object, not a text
        # a list
        w.yaml:1:1: the document must be an object, not an array
        # too long
        w.yaml:1:1: the text has 300000 bytes; at most 262144 are read
        # too deep
        w.yaml:1:66: this is nested more than 64 deep
        # far too deep
        w.yaml:1:256: this is neither YAML nor JSON: recursion limit exceeded
          help: compare the indentation of this line with that of the lines around it
        # a bad character
        w.yaml:1:1: `id` is missing in the document
          help: Names the workflow over all its versions.
        w.yaml:1:1: `name` is missing in the document
          help: For people.
        w.yaml:1:1: `steps` is missing in the document
          help: add, for example: steps: [{ id: first, uses: flowcell/custom-webhook/request@1, with: { url: 'https://example.com/' } }]
        w.yaml:1:1: `trigger` is missing in the document
          help: What starts a run.
        w.yaml:1:1: there is no `a` in the document
          help: possible here: description, id, input, name, output, settings, steps, trigger
    "#]]
    .assert_eq(&shown);
}

#[test]
fn what_does_not_fit_the_schema_is_said_in_sentences() {
    let cases = [
        ("an unknown key at the top", "name: Tell", "titel: x\nname: Tell"),
        ("a misspelt key", "    retry:", "    retyr:"),
        ("an unknown key in a step", "    retry:", "    colour: red\n    retry:"),
        ("a missing name", "name: Tell the build server about pushes\n", ""),
        ("a missing id", "  - id: build\n    name: Start a build\n", "  - name: Start a build\n"),
        ("an id in capitals", "id: push-to-build", "id: Push_To_Build"),
        ("a step id with a hyphen", "- id: build", "- id: start-build"),
        ("a step id that is a number", "- id: build", "- id: 1"),
        ("an empty name", "name: Tell the build server about pushes", "name: \"\""),
        ("uses without a version", "flowcell/webhook/inbound@1", "flowcell/webhook/inbound"),
        ("with as a list", "with: { methods: [POST] }", "with: [POST]"),
        ("steps as an object", "steps:\n  - id", "steps:\n    id"),
        ("no attempts", "attempts: 5", "attempts: 0"),
        ("too many attempts", "attempts: 5", "attempts: 1000"),
        ("half an attempt", "attempts: 5", "attempts: 2.5"),
        ("an attempt in words", "attempts: 5", "attempts: five"),
        ("a duration without a unit", "attempts: 5", "initial: 5"),
        ("a duration in words", "attempts: 5", "max: 5 minutes"),
        ("a duration beyond a year", "retry: { attempts: 5 }", "timeout: 400d"),
        ("a misspelt choice", "retry: { attempts: 5 }", "on_uncertain: repaet"),
        ("another choice", "retry: { attempts: 5 }", "on_uncertain: ignore"),
        (
            "a doubled step id",
            "    retry: { attempts: 5 }\n",
            "  - id: build\n    uses: flowcell/webhook/send@1\n    with: { url: 'https://a.example' }\n",
        ),
    ];
    table(
        &cases,
        &expect![[r#"
            # an unknown key at the top
            w.yaml:2:1: there is no `titel` in the document
              help: possible here: description, input, output, settings
            # a misspelt key
            w.yaml:16:5: there is no `retyr` in `steps[0]`
              help: did you mean `retry`?
            # an unknown key in a step
            w.yaml:16:5: there is no `colour` in `steps[0]`
              help: possible here: connection, missing, on_error, on_uncertain, response, timeout
            # a missing name
            w.yaml:1:1: `name` is missing in the document
              help: For people.
            # a missing id
            w.yaml:7:5: `id` is missing in `steps[0]`
              help: Names the step in expressions: steps.<id>.output.
            # an id in capitals
            w.yaml:1:5: `id` is `Push_To_Build`, which is not an id: a letter, then letters, digits and hyphens in lower case, at most 64
            # a step id with a hyphen
            w.yaml:7:9: `steps[0].id` is `start-build`, which is not a step id: a letter, then letters, digits and underscores in lower case, at most 64
            # a step id that is a number
            w.yaml:7:9: `steps[0].id` is `1`, which is not a step id: a letter, then letters, digits and underscores in lower case, at most 64
            # an empty name
            w.yaml:2:7: `name` is empty
            # uses without a version
            w.yaml:4:9: `trigger.uses` is `flowcell/webhook/inbound`, which is not of the form publisher/plugin/action@major, such as flowcell/webhook/send@1
            # with as a list
            w.yaml:5:9: `trigger.with` must be an object, not an array
            # steps as an object
            w.yaml:7:5: `steps` must be an array, not an object
            # no attempts
            w.yaml:16:24: `steps[0].retry.attempts` is 0; the least is 1
            # too many attempts
            w.yaml:16:24: `steps[0].retry.attempts` is 1000; the most is 100
            # half an attempt
            w.yaml:16:24: `steps[0].retry.attempts` must be a whole number, not a number with a fraction
            # an attempt in words
            w.yaml:16:24: `steps[0].retry.attempts` must be a whole number, not a text
            # a duration without a unit
            w.yaml:16:23: `steps[0].retry.initial` is `5`, which is not a duration: a whole number and one of ms, s, m, h, d, such as 30s
            # a duration in words
            w.yaml:16:19: `steps[0].retry.max` is `5 minutes`, which is not a duration: a whole number and one of ms, s, m, h, d, such as 30s
            # a duration beyond a year
            w.yaml:16:14: `400d` is longer than 365d
            # a misspelt choice
            w.yaml:16:19: `steps[0].on_uncertain` is `repaet`, which is none of auto, repeat, park
              help: did you mean `repeat`?
            # another choice
            w.yaml:16:19: `steps[0].on_uncertain` is `ignore`, which is none of auto, repeat, park
            # a doubled step id
            w.yaml:16:9: the step id `build` is here twice (first in line 7)
              help: give each step an id of its own: expressions and logs name steps by it
        "#]],
    );
    let steps: String = (0..201).map(|number| format!("  - {{ id: s{number}, uses: a/b/c@1 }}\n")).collect();
    let many = PUSH_TO_BUILD.split("steps:\n").next().expect("a head").to_owned() + "steps:\n" + &steps;
    expect![[r#"
        w.yaml:7:3: `steps` has more than 200 items
    "#]]
    .assert_eq(&problems(&many));
}

#[test]
fn what_cannot_work_is_found_before_it_runs() {
    let second = |with: &str| {
        format!("    retry: {{ attempts: 5 }}\n  - id: tell\n    uses: flowcell/webhook/send@1\n    with: {with}\n")
    };
    let cases = [
        ("an unknown plugin", "flowcell/custom-webhook/request@1", "flowcell/custom-webhok/request@1"),
        ("another unknown plugin", "flowcell/custom-webhook/request@1", "acme/rockets/launch@1"),
        ("an unknown action", "flowcell/custom-webhook/request@1", "flowcell/custom-webhook/reqest@1"),
        ("a major version that is not there", "flowcell/custom-webhook/request@1", "flowcell/custom-webhook/request@2"),
        ("a trigger as a step", "flowcell/custom-webhook/request@1", "flowcell/webhook/inbound@1"),
        ("an action as the trigger", "flowcell/webhook/inbound@1", "flowcell/webhook/send@1"),
        (
            "an action of a plugin without triggers as the trigger",
            "flowcell/webhook/inbound@1",
            "flowcell/custom-webhook/request@1",
        ),
        ("an unknown input", "      method: POST", "      metod: GET\n      method: POST"),
        ("a missing input", "      method: POST\n", ""),
        ("a wrong choice", "method: POST", "method: post"),
        ("a wrong type", "      method: POST", "      method: POST\n      headers: { x: 1 }"),
        ("a wrong number", "      method: POST", "      method: POST\n      retries: -1"),
        ("one of several forms", "      method: POST", "      method: POST\n      body: { text: 1 }"),
        ("none of several types", "      method: POST", "      method: POST\n      delay: soon"),
        ("a wrong trigger setting", "[POST]", "[PSOT]"),
        ("an expression in a trigger setting", "[POST]", "['{{ trigger.x }}']"),
        ("a broken expression", "trigger.body.after }}", "trigger.body. }}"),
        ("an open expression", "trigger.body.after }}", "trigger.body.after"),
        ("an unknown filter", "| list", "| lst"),
        ("an unknown name", "trigger.body.after", "triger.body.after"),
        ("an expression in a key", "        commit:", "        \"{{ trigger.key }}\":"),
        (
            "an unknown step",
            "    retry: { attempts: 5 }\n",
            &second("{ url: 'https://a.example', x: '{{ steps.biuld.output }}' }"),
        ),
        ("another unknown step", "trigger.body.after", "steps.before.output.id"),
        ("half an input", "      method: POST", "      method: POST\n      retries: 1.5"),
        ("itself", "trigger.body.after", "steps.build.status"),
        (
            "what a step does not have",
            "    retry: { attempts: 5 }\n",
            &second("{ url: 'https://a.example', x: '{{ steps.build.outptu.id }}' }"),
        ),
        ("a host from data", "https://build.example.com/repos", "https://{{ trigger.body.host }}/repos"),
        ("a host that data extends", "https://build.example.com/repos/", "https://build.example.com"),
        (
            "a URL from data",
            "https://build.example.com/repos/{{ trigger.body.repository.name }}/builds",
            "\"{{ trigger.body.url }}\"",
        ),
        ("a scheme that is not sent", "https://build.example.com", "ftp://build.example.com"),
        ("no scheme", "https://build.example.com", "build.example.com"),
        ("credentials in a URL", "https://build.example.com", "https://me:secret@build.example.com"),
    ];
    let later = PUSH_TO_BUILD
        .replace("trigger.body.after", "steps.tell.output")
        .replace("    retry: { attempts: 5 }\n", &second("{ url: 'https://a.example' }"));
    expect![[r#"
        w.yaml:14:17: `steps.tell` runs later than this step
          help: a step can read the steps before it; change the order, or read another step
    "#]]
    .assert_eq(&problems(&later));
    table(
        &cases,
        &expect![[r#"
            # an unknown plugin
            w.yaml:9:11: there is no plugin `flowcell/custom-webhok`; did you mean `flowcell/custom-webhook`?
            # another unknown plugin
            w.yaml:9:11: there is no plugin `acme/rockets`
              help: the plugins are flowcell/custom-webhook, flowcell/webhook
            # an unknown action
            w.yaml:9:11: plugin `flowcell/custom-webhook` has no action or trigger `reqest`
              help: it has request (action)
            # a major version that is not there
            w.yaml:9:11: plugin `flowcell/custom-webhook` is there in version 1.0.0, not in version 2.x
              help: write flowcell/custom-webhook/request@1
            # a trigger as a step
            w.yaml:9:11: `flowcell/webhook/inbound@1` is a trigger; an action is needed here
              help: possible here: flowcell/webhook/send@1
            # an action as the trigger
            w.yaml:4:9: `flowcell/webhook/send@1` is an action; a trigger is needed here
              help: possible here: flowcell/webhook/inbound@1
            # an action of a plugin without triggers as the trigger
            w.yaml:4:9: `flowcell/custom-webhook/request@1` is an action; a trigger is needed here
              help: `flowcell/custom-webhook` has none; choose another plugin
            # an unknown input
            w.yaml:11:7: there is no `metod` in `steps[0].with`
              help: possible here: body, delay, headers, retries
            # a missing input
            w.yaml:11:7: `method` is missing in `steps[0].with`
            # a wrong choice
            w.yaml:11:15: `steps[0].with.method` is `post`, which is none of GET, POST, PUT, PATCH, DELETE, HEAD
              help: did you mean `POST`?
            # a wrong type
            w.yaml:12:21: `steps[0].with.headers.x` must be a text, not a number
            # a wrong number
            w.yaml:12:16: `steps[0].with.retries` is -1; the least is 0
            # one of several forms
            w.yaml:12:21: `steps[0].with.body.text` must be a text, not a number
            # none of several types
            w.yaml:12:14: `steps[0].with.delay` must be a whole number or null, not a text
            # a wrong trigger setting
            w.yaml:5:21: `trigger.with.methods[0]` is `PSOT`, which is none of GET, POST, PUT
              help: did you mean `POST`?
            # an expression in a trigger setting
            w.yaml:5:21: the trigger's settings cannot have expressions: there is no run yet that they could read
            # a broken expression
            w.yaml:14:17: syntax error: unexpected end of input, expected identifier or integer
            # an open expression
            w.yaml:14:17: syntax error: unexpected end of input, expected end of variable block
            # an unknown filter
            w.yaml:15:19: there is no filter `lst`; did you mean `last`?
            # an unknown name
            w.yaml:14:17: `triger` is undefined; did you mean `trigger`? (expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`)
            # an expression in a key
            w.yaml:14:9: the key `{{ trigger.key }}` has an expression in it; expressions are possible in values only
            # an unknown step
            w.yaml:19:42: there is no step `biuld`
              help: did you mean `steps.build`?
            # another unknown step
            w.yaml:14:17: there is no step `before`
              help: no step runs before this one
            # half an input
            w.yaml:12:16: `steps[0].with.retries` must be a whole number, not a number with a fraction
            # itself
            w.yaml:14:17: step `build` reads its own result, which is not there yet
            # what a step does not have
            w.yaml:19:42: `steps.build.outptu`: a step has `output`, `status` and `error`
              help: did you mean `steps.build.output`?
            # a host from data
            w.yaml:12:12: `https://{{ trigger.body.host }}/repos/{{ trigger.body.repository.name }}/builds` lets run data choose where the request goes: scheme, host and port must stand in the text
              help: write them out, as in https://api.example.com/{{ … }}: whoever sends the data could otherwise send your request, and what is in it, anywhere. (Where data may choose, a [[grants]] of the configuration lists the destinations)
            # a host that data extends
            w.yaml:12:12: `https://build.example.com{{ trigger.body.repository.name }}/builds` lets run data choose where the request goes: scheme, host and port must stand in the text
              help: write them out, as in https://api.example.com/{{ … }}: whoever sends the data could otherwise send your request, and what is in it, anywhere. (Where data may choose, a [[grants]] of the configuration lists the destinations)
            # a URL from data
            w.yaml:12:12: `{{ trigger.body.url }}` lets run data choose where the request goes: scheme, host and port must stand in the text
              help: write them out, as in https://api.example.com/{{ … }}: whoever sends the data could otherwise send your request, and what is in it, anywhere. (Where data may choose, a [[grants]] of the configuration lists the destinations)
            # a scheme that is not sent
            w.yaml:12:12: `ftp://build.example.com/repos/{{ trigger.body.repository.name }}/builds` is no URL to send to: it must begin with https:// or http://
            # no scheme
            w.yaml:12:12: `build.example.com/repos/{{ trigger.body.repository.name }}/builds` is no URL to send to: it must begin with https:// or http://
            # credentials in a URL
            w.yaml:12:12: `https://…@build.example.com/repos/{{ trigger.body.repository.name }}/builds` is no URL to send to: it carries a user name or password; use a connection for credentials
        "#]],
    );
}

#[test]
fn nothing_is_said_about_values_that_expressions_will_make() {
    let with = "      method: POST\n      retries: \"{{ trigger.body.n }}\"\n      headers: { x: \"{{ trigger.body.n }}\" }\n      body: { text: \"{{ 1 }}\" }\n      delay: \"{{ trigger.body.n }}\"";
    assert_eq!(problems(&PUSH_TO_BUILD.replace("      method: POST", with)), "no problem\n");
    assert_eq!(problems(&PUSH_TO_BUILD.replace("method: POST", "method: \"{{ trigger.method }}\"")), "no problem\n");
}

#[test]
fn several_problems_are_found_at_once_and_in_order() {
    let text = PUSH_TO_BUILD
        .replace("custom-webhook/request@1", "custom-webhook/reqest@1")
        .replace("inbound@1", "inbound@3")
        .replace("trigger.body.after", "steps.x");
    let lines: Vec<_> =
        check(&text, &Plugins::new(), &[]).expect_err("problems").iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [4, 9, 14]);
}

#[test]
fn the_published_schema_is_a_schema_and_accepts_the_example() {
    let schema: Value = serde_json::from_str(schema::WORKFLOW).expect("JSON");
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let example = Located::read(PUSH_TO_BUILD).expect("YAML").value;
    assert_eq!(schema::Schema::compile(&schema).expect("compiles").check(&example, ""), []);
}
