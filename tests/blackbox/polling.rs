//! FEATURES T10 and P5 through the whole server: a plugin is asked what is new, registers URLs, and gives choices, at a provider that is a real HTTP
//! server; and the server dies meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowcell_tests::{Options, Receiver, Reply, Request, Server, eventually, post};
use serde_json::{Value, json};

use crate::guest;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A provider whose state the test changes.
#[derive(Default)]
struct State {
    /// Items are the numbers below.
    items: u64,
    page: u64,
    /// Answers every request for items with this, if it is there.
    refusal: Option<Reply>,
    /// What every request must carry.
    token: Option<String>,
    hooks: BTreeMap<u64, String>,
    made: u64,
    choices_asked: u64,
}

#[derive(Clone)]
struct Provider {
    state: Arc<Mutex<State>>,
    http: Arc<Receiver>,
}

impl Provider {
    fn start() -> Self {
        let state = Arc::new(Mutex::new(State { page: 5, ..State::default() }));
        let shared = Arc::clone(&state);
        let http = Receiver::answering(move |_, request| answer(&mut shared.lock().unwrap(), request));
        Self { state, http: Arc::new(http) }
    }

    fn origin(&self) -> String {
        self.http.origin()
    }

    fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn asked(&self, path: &str) -> Vec<Request> {
        self.http.requests().into_iter().filter(|request| request.target.starts_with(path)).collect()
    }

    /// The numbers that steps have appended, and under which keys.
    fn appended(&self) -> BTreeMap<u64, BTreeSet<String>> {
        let mut keys: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for request in self.asked("/append") {
            let number = request.json()["number"].as_u64().unwrap();
            keys.entry(number).or_default().insert(request.header("idempotency-key").unwrap().to_owned());
        }
        keys
    }
}

fn query<'r>(request: &'r Request, name: &str) -> &'r str {
    let pairs = request.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    pairs.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

fn json_reply(document: &Value) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(document.to_string())
}

fn answer(state: &mut State, request: &Request) -> Reply {
    if let Some(token) = &state.token
        && request.header("authorization") != Some(&format!("Bearer {token}"))
        && !request.target.starts_with("/append")
    {
        return Reply::status(401);
    }
    let path = request.target.split('?').next().unwrap_or_default().to_owned();
    match (request.method.as_str(), path.as_str()) {
        ("GET", "/items") => {
            if let Some(refusal) = &state.refusal {
                return refusal.clone();
            }
            let after: u64 = query(request, "after").parse().unwrap();
            let next = (after + state.page).min(state.items);
            json_reply(&json!({ "items": (after..next).collect::<Vec<_>>(), "next": next, "more": next < state.items }))
        }
        ("POST", "/hooks") => {
            let callback = request.json()["callback"].as_str().unwrap().to_owned();
            let known = state.hooks.iter().find(|(_, url)| **url == callback).map(|(id, _)| *id);
            let id = known.unwrap_or_else(|| {
                state.made += 1;
                state.made
            });
            state.hooks.insert(id, callback);
            json_reply(&json!({ "id": id }))
        }
        ("DELETE", hook) => {
            let id: u64 = hook.rsplit('/').next().unwrap().parse().unwrap();
            state.hooks.remove(&id);
            json_reply(&json!({}))
        }
        ("GET", "/choices") => {
            state.choices_asked += 1;
            if query(request, "search") == "slow" {
                return json_reply(&json!({ "names": [] })).after(Duration::from_mins(10));
            }
            if query(request, "search") == "limited" {
                return Reply::status(429).header("retry-after", "7");
            }
            let of = query(request, "sheet");
            let names: Vec<String> = ["Orders", "People"].iter().map(|name| format!("{of}{name}")).collect();
            json_reply(&json!({ "names": names, "next": "2" }))
        }
        ("POST", "/append") => state.refusal.clone().unwrap_or_else(|| json_reply(&json!({ "row": 1 }))),
        other => panic!("{other:?}"),
    }
}

/// A server that has the fixture, and grants it the provider.
fn server(provider: &Provider) -> Server {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("feed.wasm"), guest("fixture-feed")).unwrap();
    let config = folder.join("flowcell.toml");
    let grant = format!("[[grants]]\nplugin = \"fixture/feed\"\nhttp = [\"{}/*\"]\n", provider.origin());
    std::fs::write(&config, format!("{grant}\n[engine]\nstep_timeout_ms = 60000\n")).unwrap();
    let arguments =
        ["--plugins", folder.to_str().unwrap(), "--config", config.to_str().unwrap()].map(str::to_owned).to_vec();
    Server::start_with(Options { arguments, ..Options::default() })
}

/// Asks the provider, and appends what comes to it.
fn polling(provider: &Provider, trigger: &str) -> String {
    let origin = provider.origin();
    format!(
        "id: feed\nname: Feed\ntrigger:\n  uses: fixture/feed/items@1\n{trigger}  with:\n    url: {origin}\nsteps:\n  - id: append\n    \
         uses: flowcell/custom-webhook/request@1\n    retry: {{ attempts: 20, initial: 10ms, max: 1s }}\n    with:\n      \
         method: POST\n      url: {origin}/append\n      json: {{ number: \"{{{{ trigger.number }}}}\" }}\n"
    )
}

fn poll(server: &Server) -> Value {
    let answer = server.api("GET", "/api/v2/workflows/feed/trigger/poll", b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn until_appended(provider: &Provider, server: &Server, count: u64) {
    eventually(&format!("{count} items; the log:\n{}", server.log()), PATIENCE, || {
        (provider.appended().len() as u64 >= count).then_some(())
    });
}

fn add_connection(server: &Server, provider: &Provider, token: &str) {
    let file = server.folder().join("token");
    std::fs::write(&file, token).unwrap();
    let host = format!("{}/*", provider.origin());
    let added = server.cli(&[
        "connection",
        "add",
        "crm",
        "--kind",
        "bearer",
        "--host",
        &host,
        "--plugin",
        "fixture/feed",
        "--secret-file",
        file.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(added.code, Some(0), "{added:?}");
}

fn rotate_connection(server: &Server, token: &str) {
    let file = server.folder().join("token");
    std::fs::write(&file, token).unwrap();
    let rotated = server.cli(&["connection", "rotate", "crm", "--secret-file", file.to_str().unwrap()]);
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
}

#[test]
fn twenty_kills_lose_no_item_and_double_none() {
    let provider = Provider::start();
    let mut server = server(&provider);
    provider.set(|state| state.items = 3);
    server.apply(&polling(&provider, "  every: 1s\n"));
    until_appended(&provider, &server, 3);
    for cycle in 0..20_u64 {
        // More comes in the middle of everything; each kill falls at another point of a poll.
        let asked = provider.asked("/items").len();
        provider.set(|state| state.items += 12);
        eventually("it is asked", PATIENCE, || (provider.asked("/items").len() > asked).then_some(()));
        std::thread::sleep(Duration::from_millis((cycle * 7) % 60));
        server.kill();
        server.restart();
    }
    let items = provider.set(|state| state.items);
    until_appended(&provider, &server, items);
    let appended = provider.appended();
    assert_eq!(appended.len() as u64, items);
    assert!(appended.values().all(|keys| keys.len() == 1), "each item has one run: {appended:?}");
    let keys: BTreeSet<_> = appended.values().flatten().collect();
    assert_eq!(keys.len() as u64, items, "and each run one item");
    // The cursors that were asked with never went back behind what was stored.
    let cursors: Vec<u64> =
        provider.asked("/items").iter().map(|request| query(request, "after").parse().unwrap()).collect();
    assert!(cursors.is_sorted(), "{cursors:?}");
    let counts = eventually("the last poll is stored", PATIENCE, || {
        let shown = poll(&server);
        (shown["counts"]["started"] == json!(items)).then(|| shown["counts"].clone())
    });
    assert_eq!(counts["events"], json!(items));
}

#[test]
fn a_trigger_is_polled_once_it_is_published_and_keeps_its_cursor_as_long_as_it_asks_for_the_same() {
    let provider = Provider::start();
    let server = server(&provider);
    provider.set(|state| state.items = 7);
    let file = server.folder().join("feed.yaml");
    let apply = |text: &str, extra: &[&str]| {
        std::fs::write(&file, text).unwrap();
        server.cli(&[&["workflow", "apply", file.to_str().unwrap()], extra].concat())
    };
    let hourly = polling(&provider, "  every: 1h\n");
    let draft = apply(&hourly, &["--draft"]);
    assert!(draft.code == Some(0) && !draft.stdout.contains("/hooks/"), "{draft:?}");
    assert_eq!(server.api("GET", "/api/v2/workflows/feed/trigger/poll", b"").status, 404, "a draft is not polled");
    let published = apply(&hourly, &[]);
    assert!(published.stdout.contains("begin now"), "{published:?}");
    until_appended(&provider, &server, 7);
    assert_eq!(provider.asked("/items").len(), 2, "the draft asked for nothing; the second page at once");

    // Another version with the same settings.
    let renamed = hourly.replace("name: Feed", "name: Another");
    let applied = apply(&renamed, &[]);
    assert!(applied.stdout.contains("go on where they were"), "{applied:?}");
    provider.set(|state| state.items = 8);
    let now = server.cli(&["trigger", "poll-now", "feed"]);
    assert!(now.code == Some(0) && now.stdout.contains("1 started"), "{now:?}");
    until_appended(&provider, &server, 8);
    let shown = server.cli(&["trigger", "show", "feed"]);
    for part in ["asks        every 1h", "cursor      1 bytes", "8 started", "started by  uses"] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    assert!(!shown.stdout.contains("URL"), "{}", shown.stdout);

    // Another list.
    let other = renamed.replace("  with:\n    url:", "  with:\n    list: other\n    url:");
    let applied = apply(&other, &[]);
    assert!(applied.stdout.contains("begin anew"), "{applied:?}");
    eventually("all of the other list come", PATIENCE, || {
        let keys: usize = provider.appended().values().map(BTreeSet::len).sum();
        (keys == 16).then_some(())
    });
    // By hand from then on: nobody is asked any more.
    apply("id: feed\nname: Feed\ntrigger: { manual: true }\nsteps: [{ id: a, set: { a: 1 } }]\n", &[]);
    assert_eq!(server.cli(&["trigger", "poll-now", "feed"]).code, Some(1));

    let refused = apply(&polling(&provider, "  every: 500ms\n  reply: { wait: 1s }\n"), &[]);
    assert!(refused.stderr.contains("may be asked every 1s at most") && refused.stderr.contains("5:"), "{refused:?}");
    assert!(refused.stderr.contains("no request comes"), "{refused:?}");
}

#[test]
fn a_refused_connection_stops_the_polls_names_itself_and_they_go_on_by_themselves() {
    let provider = Provider::start();
    let server = server(&provider);
    provider.set(|state| (state.items, state.token) = (2, Some("right-token-of-the-provider".to_owned())));
    add_connection(&server, &provider, "wrong-token-of-the-provider");
    server.apply(&polling(&provider, "  every: 1s\n  connection: crm\n"));
    let shown = eventually("it is refused", PATIENCE, || {
        let shown = poll(&server);
        shown["hold"].is_object().then_some(shown)
    });
    assert_eq!(
        (&shown["hold"]["for"], &shown["hold"]["connection"]),
        (&json!("reconnecting"), &json!("crm")),
        "{shown:#}"
    );
    assert_eq!((&shown["error"]["code"], &shown["failures"]), (&json!("unauthorized"), &json!(1)), "{shown:#}");
    let said = server.cli(&["trigger", "show", "feed"]).stdout;
    assert!(said.contains("unauthorized") && said.contains("flowcell connection rotate crm"), "{said}");
    assert!(server.cli(&["connection", "usage", "crm"]).stdout.contains("trigger"));
    rotate_connection(&server, "right-token-of-the-provider");
    until_appended(&provider, &server, 2);
    let shown = eventually("it is stored", PATIENCE, || {
        let shown = poll(&server);
        shown["error"].is_null().then_some(shown)
    });
    assert_eq!((&shown["hold"], &shown["failures"]), (&Value::Null, &json!(0)), "{shown:#}");
}

#[test]
fn what_a_provider_asks_for_is_kept_and_a_wrong_setting_is_pointed_at() {
    let provider = Provider::start();
    let server = server(&provider);
    provider.set(|state| state.refusal = Some(Reply::status(429).header("retry-after", "1800")));
    server.apply(&polling(&provider, "  every: 1s\n"));
    let shown = eventually("it is refused", PATIENCE, || {
        let shown = poll(&server);
        shown["error"].is_object().then_some(shown)
    });
    assert_eq!(shown["error"]["code"], "rate-limited", "{shown:#}");
    let waits = |shown: &Value| {
        let at = |key: &str| {
            shown[key].as_str().unwrap()[11..19].split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap())
        };
        (at("next_at") - at("last_at")).rem_euclid(86_400)
    };
    assert!((1_800..1_900).contains(&waits(&shown)), "{shown:#}");
    provider.set(|state| {
        let body = json!({ "field": "/url" }).to_string();
        state.refusal = Some(Reply::status(422).header("content-type", "application/json").body(body));
    });
    let now = server.cli(&["trigger", "poll-now", "feed"]);
    assert!(now.code == Some(1) && now.stderr.contains("(trigger.with.url, line 7)"), "{now:?}");
    assert_eq!(poll(&server)["error"]["field"], "/url");
}

#[test]
fn a_plugin_that_crashes_again_and_again_is_not_asked_until_it_is_released() {
    let provider = Provider::start();
    let server = server(&provider);
    provider.set(|state| (state.items, state.refusal) = (1, Some(Reply::status(418))));
    server.apply(&polling(&provider, "  every: 1h\n"));
    eventually("it crashes", PATIENCE, || poll(&server)["error"].is_object().then_some(()));
    let mut shown = Value::Null;
    for _ in 0..6 {
        shown = server.cli(&["trigger", "poll-now", "feed", "--json"]).json();
    }
    assert_eq!((&shown["outcome"]["is"], &shown["hold"]["for"]), (&json!("held"), &json!("quarantined")), "{shown:#}");
    let asked = provider.asked("/items").len();
    assert_eq!(asked, 5);
    provider.set(|state| state.refusal = None);
    let digest = shown["hold"]["digest"].as_str().unwrap();
    assert_eq!(server.cli(&["plugin", "release", digest]).code, Some(0));
    assert!(server.cli(&["trigger", "poll-now", "feed"]).stdout.contains("1 started"));
}

#[test]
fn a_backlog_stays_at_the_provider() {
    let provider = Provider::start();
    let server = server(&provider);
    // Items enough for days; runs are executed one at a time, and each waits for the receiver.
    provider.set(|state| {
        (state.items, state.page) = (1_000_000, 100);
        state.refusal = None;
    });
    let text = polling(&provider, "  every: 1s\n")
        .replace("name: Feed\n", "name: Feed\nsettings: { concurrency: { limit: 1 } }\n");
    let text = text.replace("steps:\n", "steps:\n  - id: pause\n    wait: { for: 1h }\n");
    server.apply(&text);
    let shown = eventually("it waits for its runs", PATIENCE, || {
        let shown = poll(&server);
        (shown["hold"]["for"] == "backlog").then_some(shown)
    });
    let started = shown["counts"]["started"].as_u64().unwrap();
    assert!((1_000..=1_100).contains(&started), "{shown:#}");
    assert!(shown["hold"]["message"].as_str().unwrap().contains("have yet to be executed"), "{shown:#}");
}

#[test]
fn a_url_is_registered_when_it_is_published_moved_when_it_changes_and_taken_away_in_the_end() {
    let provider = Provider::start();
    let mut server = server(&provider);
    let text = polling(&provider, "").replace("feed/items@1", "feed/pushed@1");
    let applied = server.apply(&text);
    let standing = |count: usize| {
        eventually("the registrations are as they should be", PATIENCE, || {
            let hooks: Vec<String> = provider.set(|state| state.hooks.values().cloned().collect());
            (hooks.len() == count).then_some(hooks)
        })
    };
    let registered = |server: &Server| {
        eventually("it says so", PATIENCE, || {
            let shown = server.api("GET", "/api/v2/workflows/feed/trigger", b"").json();
            (shown["subscription"]["is"] == "registered").then_some(shown)
        })
    };
    assert_eq!(standing(1), std::slice::from_ref(&applied.url));
    registered(&server);
    assert_eq!(post(&standing(1)[0], &json!({ "number": 1 })).unwrap().status, 202);
    until_appended(&provider, &server, 1);

    let rotated = server.api("POST", "/api/v2/workflows/feed/trigger/rotate-url", br#"{"keep_old": "1h"}"#).json();
    eventually("the new URL stands there", PATIENCE, || {
        (standing(1) == [rotated["url"].as_str().unwrap().to_owned()]).then_some(())
    });
    // A server that dies and comes back, here on another port, registers its URL anew and takes the former one away.
    server.kill();
    server.restart();
    eventually("the URL of the new address stands there", PATIENCE, || {
        (standing(1) == [server.rebase(rotated["url"].as_str().unwrap())]).then_some(())
    });
    let shown = registered(&server);
    assert_eq!(shown["subscription"]["to_be_removed"], json!([]), "{shown:#}");
    assert!(server.cli(&["trigger", "show", "feed"]).stdout.contains("registered at the provider"));
    server.apply("id: feed\nname: Feed\ntrigger: { manual: true }\nsteps: [{ id: a, set: { a: 1 } }]\n");
    standing(0);
}

fn choices(server: &Server, document: &Value) -> flowcell_tests::Answer {
    server.api("POST", "/api/v2/plugins/fixture/feed/options", document.to_string().as_bytes())
}

#[test]
fn choices_for_a_field_come_from_the_plugin_and_are_good_for_a_minute() {
    let provider = Provider::start();
    let server = server(&provider);
    let wanted = json!({ "member": "append", "field": "/sheet", "input": { "url": provider.origin() } });
    for _ in 0..3 {
        let answer = choices(&server, &wanted);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["options"][0], json!({ "value": "Orders", "label": "Orders" }));
    }
    assert_eq!(provider.set(|state| state.choices_asked), 1, "the same question is answered from memory");
    let origin = provider.origin();
    let set = format!("url={origin}");
    let arguments = ["plugin", "options", "fixture/feed/append@1", "/column", "--set", &set, "--set", "sheet=S-"];
    let shown = server.cli(&arguments);
    assert!(
        shown.code == Some(0) && shown.stdout.contains("S-Orders") && shown.stdout.contains("--after 2"),
        "{shown:?}"
    );
    assert_eq!(provider.set(|state| state.choices_asked), 2);

    // What a form needs to know of a refusal.
    let dependent = json!({ "member": "append", "field": "/column", "input": { "url": origin } });
    let refused = choices(&server, &dependent);
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/sheet")), "{refused:?}");
    let refused = choices(&server, &json!({ "member": "append", "field": "/sheet" }));
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/url")), "{refused:?}");
    for (member, field) in [("append", "/url"), ("append", "/nothing"), ("nothing", "/sheet")] {
        assert_eq!(choices(&server, &json!({ "member": member, "field": field })).status, 404);
    }
    let searched = |search: &str| {
        let mut wanted = wanted.clone();
        wanted["search"] = json!(search);
        choices(&server, &wanted)
    };
    let limited = searched("limited");
    assert_eq!((limited.status, limited.header("retry-after")), (503, Some("7")), "{limited:?}");
    provider.set(|state| state.token = Some("right".to_owned()));
    let refused = searched("other");
    assert_eq!(
        (refused.status, refused.json()["type"].as_str().unwrap().rsplit('/').next()),
        (422, Some("connection-needed")),
        "{refused:?}"
    );
}

#[test]
fn whoever_asks_for_choices_and_goes_away_ends_the_call() {
    let provider = Provider::start();
    let server = server(&provider);
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let wanted =
        json!({ "member": "append", "field": "/sheet", "input": { "url": provider.origin() }, "search": "slow" });
    let body = wanted.to_string();
    let head = format!(
        "POST /api/v2/plugins/fixture/feed/options HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.origin().trim_start_matches("http://"),
        token.trim(),
        body.len()
    );
    // As many as wait at a time; then they go away, and as many others are served.
    let ask = || {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(server.origin().trim_start_matches("http://")).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let waiting: Vec<_> = (0..8).map(|_| ask()).collect();
    eventually("all of them ask the provider", PATIENCE, || {
        (provider.set(|state| state.choices_asked) == 8).then_some(())
    });
    let quick = json!({ "member": "append", "field": "/sheet", "input": { "url": provider.origin() } });
    assert_eq!(choices(&server, &quick).status, 503, "there are no more places");
    drop(waiting);
    // Long before the fifteen seconds that each of them might have taken.
    eventually("the places are free again", Duration::from_secs(10), || {
        (choices(&server, &quick).status == 200).then_some(())
    });
}

fn appending(provider: &Provider) -> String {
    let origin = provider.origin();
    format!(
        "id: add\nname: Add\ntrigger:\n  uses: flowcell/webhook/inbound@1\nsteps:\n  - id: note\n    set: {{ a: 1 }}\n  - id: append\n    \
         uses: fixture/feed/append@1\n    connection: crm\n    with:\n      url: {origin}\n      sheet: Orders\n"
    )
}

#[test]
fn a_step_whose_connection_is_refused_parks_its_run_until_the_owner_acts() {
    let provider = Provider::start();
    let server = server(&provider);
    add_connection(&server, &provider, "some-token-of-the-provider");
    provider.set(|state| state.refusal = Some(Reply::status(403)));
    let applied = server.apply(&appending(&provider));
    let run = server.trigger(&applied.url, &json!({}));
    let shown = eventually("it is parked", PATIENCE, || {
        let shown = server.run(&run);
        shown["steps"][1]["parked"].is_string().then_some(shown)
    });
    let said = shown["steps"][1]["parked"].as_str().unwrap();
    assert!(
        said.contains("`crm`") && said.contains("answered 403") && said.contains("flowcell connection rotate crm"),
        "{said}"
    );
    provider.set(|state| state.refusal = None);
    rotate_connection(&server, "other-token-of-the-provider");
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    assert_eq!(shown["status"], "succeeded", "{shown:#}");
}

#[test]
fn a_wrong_field_of_a_step_is_named_with_its_line_and_a_wish_to_be_left_alone_is_kept() {
    let provider = Provider::start();
    let server = server(&provider);
    add_connection(&server, &provider, "some-token-of-the-provider");
    let wrong = |field: &str| {
        let body = json!({ "field": field }).to_string();
        Some(Reply::status(422).header("content-type", "application/json").body(body))
    };
    provider.set(|state| state.refusal = wrong("/sheet"));
    let applied = server.apply(&appending(&provider));
    let run = server.trigger(&applied.url, &json!({}));
    let shown = server.wait_for_run(&run, &["succeeded", "failed"]);
    let error = &shown["steps"][1]["attempts"][0]["error"];
    assert_eq!((&error["code"], &error["details"]["field"]), (&json!("invalid-input"), &json!("/sheet")), "{shown:#}");
    assert_eq!(
        (&error["details"]["at"], &error["details"]["line"]),
        (&json!("steps[1].with.sheet"), &json!(13)),
        "{shown:#}"
    );
    assert!(server.cli(&["run", "show", &run]).stdout.contains("(steps[1].with.sheet, line 13)"));

    provider.set(|state| state.refusal = Some(Reply::status(429).header("retry-after", "1800")));
    let run = server.trigger(&applied.url, &json!({}));
    let shown = eventually("it is put off", PATIENCE, || {
        let shown = server.run(&run);
        shown["steps"][1]["retry_at"].is_string().then_some(shown)
    });
    let step = &shown["steps"][1];
    let seconds = |text: &str| text[11..19].split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    let ended = step["attempts"][0]["ended_at"].as_str().unwrap();
    let wait = (seconds(step["retry_at"].as_str().unwrap()) - seconds(ended)).rem_euclid(86_400);
    assert!((1_799..1_900).contains(&wait), "{step:#}");
    assert_eq!(step["attempts"][0]["error"]["code"], "rate-limited");
}
