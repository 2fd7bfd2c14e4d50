//! The tree of steps: every key is read and written back, every mixture that cannot be is refused with a sentence.

use super::*;
use crate::id::StepId;
use crate::schedule::Missed;
use crate::workflow::compiled::{List, expression_text};
use crate::workflow::settings::Weekday;
use crate::workflow::step::{Join, Missing, MissingPolicy, OnError, StopStatus, WaitFor};
use crate::workflow::trigger::DedupeBy;

/// Every key there is.
const EVERYTHING: &str = r#"id: order-paid
name: Order paid
description: What happens when an order is paid.
settings:
  timezone: Europe/Berlin
  timeout: 7d
  concurrency: { limit: 5, key: "{{ trigger.body.customer }}" }
  reentry: { key: trigger.body.email, policy: replace }
  window: { days: [mon, fri], from: "09:00", to: "17:00", timezone: Europe/Paris }
  paused: [2026-12-24, { from: 2026-12-31, to: 2027-01-01 }]
  on_failure: tell-somebody
  retention: { days: 30, runs: 10000, keep_failed_days: 90 }
  index: [trigger.body.email, steps.vars.output.total]
  redact: [trigger.body.card.number, "steps.vars.output.*.pin"]
input: { type: object }
output: { total: "{{ steps.vars.output.total }}" }
trigger:
  uses: flowcell/webhook/inbound@1
  with: { methods: [POST] }
  filter: { value: "{{ trigger.body.total }}", is: exists }
  dedupe: { header: X-Id, window: 24h }
  reply: { wait: 10s }
steps:
  - id: vars
    name: Names
    set: { total: "{{ trigger.body.total }}" }
    missing: { "/total": { default: 0 }, "*": empty }
  - id: size
    if:
      - name: big
        when: "{{ steps.vars.output.total > 100 }}"
        steps:
          - id: note
            set: { size: big }
      - when:
          all:
            - { value: "{{ trigger.body.country }}", is: equal, to: DE }
            - any: [trigger.body.gift, { not: { value: "{{ trigger.body.note }}", is: empty } }]
        steps: []
    else:
      - id: refuse
        stop: { status: failed, message: "too small: {{ trigger.body.total }}" }
  - id: lines
    for_each: "{{ trigger.body.items }}"
    as: line
    parallel: 4
    batch: 10
    on_item_error: continue
    collect: "{{ steps.send.output.id }}"
    steps:
      - id: send
        uses: flowcell/custom-webhook/request@1
        with: { method: POST, url: "https://crm.example.com/", json: "{{ line }}" }
        retry: { attempts: 5, initial: 2s, max: 5m }
        on_uncertain: repeat
        timeout: 30s
        on_error: { substitute: { id: "none in {{ loop.index }}" } }
  - id: both
    parallel:
      mail:
        - id: mail
          uses: flowcell/custom-webhook/request@1
          with: { method: POST, url: "https://mail.example.com/" }
          on_error: continue
      crm:
        - id: enrich
          call: { workflow: enrich, version: 3, with: { email: "{{ trigger.body.email }}" } }
          timeout: 1h
          on_error:
            steps:
              - id: excuse
                set: { because: "{{ steps.enrich.status }}" }
    join: settled
  - id: short
    wait: { for: 90s }
  - id: until
    wait: { until: "{{ trigger.body.when }}", timeout: 30d }
  - id: office
    wait: { window: { days: [mon], from: "22:00", to: "06:00" } }
  - id: paid
    wait: { event: order.paid, match: "{{ event.id == trigger.body.id }}", timeout: 3d }
    on_timeout: []
  - id: approval
    wait: { resume: true, timeout: 2d }
    on_timeout:
      - id: refused
        stop: { status: cancelled }
  - id: answer
    respond: { status: 201, headers: { x-id: "{{ run.id }}" }, json: { ok: true } }
"#;

fn everything() -> Workflow {
    Authored::parse(EVERYTHING).unwrap_or_else(|problems| panic!("{problems:#?}")).workflow
}

fn id(text: &str) -> StepId {
    text.parse().expect("an id")
}

#[test]
fn every_key_is_read() {
    let workflow = everything();
    let settings = &workflow.settings;
    assert_eq!((settings.timezone.as_deref(), settings.timeout_ms), (Some("Europe/Berlin"), Some(7 * 86_400_000)));
    let window = settings.window.as_ref().expect("a window");
    assert_eq!(
        (window.days.as_slice(), window.from.minutes(), window.to.minutes()),
        (&[Weekday::Mon, Weekday::Fri][..], 540, 1020)
    );
    let paused: Vec<_> = settings.paused.iter().map(|pause| format!("{}..{}", pause.first(), pause.last())).collect();
    assert_eq!(paused, ["2026-12-24..2026-12-24", "2026-12-31..2027-01-01"]);
    let dedupe = workflow.trigger.dedupe.as_ref().expect("dedupe");
    assert_eq!((&dedupe.by, dedupe.window_ms), (&DedupeBy::Header("X-Id".to_owned()), 86_400_000));
    assert_eq!(workflow.trigger.reply.map(|reply| reply.wait_ms), Some(10_000));

    let kinds: Vec<_> =
        workflow.all_steps().map(|placed| format!("{} {}", placed.pointer, placed.step.key())).collect();
    expect![[r#"
        /steps/0 set
        /steps/1 if
        /steps/1/if/0/steps/0 set
        /steps/1/else/0 stop
        /steps/2 for_each
        /steps/2/steps/0 uses
        /steps/3 parallel
        /steps/3/parallel/crm/0 call
        /steps/3/parallel/crm/0/on_error/steps/0 set
        /steps/3/parallel/mail/0 uses
        /steps/4 wait
        /steps/5 wait
        /steps/6 wait
        /steps/7 wait
        /steps/8 wait
        /steps/8/on_timeout/0 stop
        /steps/9 respond"#]]
    .assert_eq(&kinds.join("\n"));
    // Each of those places is one of the document.
    let document = Located::read(EVERYTHING).expect("YAML").value;
    for placed in workflow.all_steps() {
        let written = document.pointer(&placed.pointer).and_then(|step| step.get("id")).and_then(Value::as_str);
        assert_eq!(written, Some(placed.step.id.as_str()));
    }

    let step = |name: &str| workflow.step(&id(name)).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(step("vars").missing.policy("/total"), &MissingPolicy::Default(json!(0)));
    assert_eq!(step("vars").missing.policy("/total/deep"), &MissingPolicy::Default(json!(0)));
    assert_eq!(step("vars").missing.policy("/other"), &MissingPolicy::Empty);
    assert_eq!(step("send").missing, Missing::default());
    assert_eq!(step("send").on_error, OnError::Substitute(json!({ "id": "none in {{ loop.index }}" })));
    assert_eq!(step("mail").on_error, OnError::Continue);
    let StepKind::Parallel(both) = &step("both").kind else { panic!("parallel") };
    assert_eq!(both.join, Join::Settled);
    let StepKind::Stop(stop) = &step("refuse").kind else { panic!("stop") };
    assert_eq!(stop.status, StopStatus::Failed);
    let StepKind::Wait(paid) = &step("paid").kind else { panic!("wait") };
    assert!(matches!(&paid.what, WaitFor::Event { name, matches: Some(_) } if name == "order.paid"));
    assert_eq!((paid.timeout_ms, paid.on_timeout.as_deref()), (Some(3 * 86_400_000), Some(&[][..])));
}

#[test]
fn every_key_is_written_back() {
    let workflow = everything();
    let written = serde_json::to_string(&workflow).expect("JSON");
    let read = Authored::parse(&written).unwrap_or_else(|problems| panic!("{problems:#?}\n{written}"));
    assert_eq!(read.workflow, workflow);
    assert!(!written.contains("null"), "{written}");
}

#[test]
fn triggers_of_every_kind_are_read_and_written_back() {
    let cases = [
        ("schedule: { cron: '0 9 * * 1-5' }", "schedule"),
        ("schedule: { every: 15m, missed: last }", "schedule"),
        ("schedule: { at: 2026-12-24T09:00, timezone: Europe/Berlin, missed: all }", "schedule"),
        ("manual: true", "manual"),
        ("error: true", "error"),
        ("event: order.shipped\n  filter: trigger.total > 3\n  dedupe: { path: id }", "event"),
        ("event: order.shipped\n  dedupe: { body: true }", "event"),
    ];
    for (text, key) in cases {
        let text = format!("id: w\nname: W\ntrigger:\n  {text}\nsteps: [{{ id: a, set: {{ x: 1 }} }}]\n");
        let workflow = Authored::parse(&text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}")).workflow;
        assert_eq!(workflow.trigger.key(), key);
        let written = serde_json::to_string(&workflow).expect("JSON");
        assert_eq!(Authored::parse(&written).expect("JSON").workflow, workflow, "{written}");
    }
    let schedule = |text: &str| match serde_json::from_value::<Trigger>(json!({ "schedule": { "every": text } })) {
        Ok(Trigger { kind: TriggerKind::Schedule(schedule), .. }) => schedule,
        other => panic!("{other:?}"),
    };
    assert_eq!((schedule("15m").every.as_deref(), schedule("15m").missed), (Some("15m"), Missed::Skip));
}

#[test]
fn steps_are_compiled_with_the_names_of_their_place() {
    let plugins = Plugins::new();
    let manifest = |uses: &Uses| plugins.resolve(uses).ok().map(|plugin| Arc::new(plugin.manifest.clone()));
    let compiled = CompiledWorkflow::compile(everything(), manifest).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(compiled.steps.len(), 17);
    let around = |name: &str| {
        let around = compiled.steps.get(&id(name)).expect("compiled").around.iter();
        around.map(|around| (around.step.to_string(), around.list.clone())).collect::<Vec<_>>()
    };
    assert_eq!(around("vars"), []);
    assert_eq!(around("send"), [("lines".to_owned(), List::Each)]);
    assert_eq!(
        around("excuse"),
        [("both".to_owned(), List::Parallel("crm".to_owned())), ("enrich".to_owned(), List::OnError)]
    );
    assert_eq!(around("refused"), [("approval".to_owned(), List::OnTimeout)]);
    assert!(compiled.filter.is_some() && compiled.output.is_some());
    assert!(compiled.reentry_key.is_some() && compiled.concurrency_key.is_some());

    let outside = EVERYTHING.replace("x-id: \"{{ run.id }}\"", "x-id: \"{{ line }}\"");
    let outside = Authored::parse(&outside).expect("a shape").workflow;
    let problems = CompiledWorkflow::compile(outside, manifest).expect_err("`line` is not known there");
    let problems: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect();
    assert!(
        problems.len() == 1 && problems[0].starts_with("/steps/9/respond/headers/x-id: `line` is undefined"),
        "{problems:?}"
    );
    assert_eq!(expression_text("trigger.body"), json!("{{ trigger.body }}"));
    assert_eq!(expression_text("{{ trigger.body }}"), json!("{{ trigger.body }}"));
}

/// Shows what is said about a workflow with these steps.
fn steps(text: &str) -> String {
    let text =
        format!("id: w\nname: W\ntrigger: {{ manual: true }}\nsteps:\n  {}\n", text.trim().replace('\n', "\n  "));
    shape(&text)
}

fn shape(text: &str) -> String {
    match Authored::parse(text) {
        Ok(_) => "no problem\n".to_owned(),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

#[test]
fn mixtures_that_cannot_be_are_refused_with_a_sentence() {
    let cases = [
        ("no kind", "- id: a\n  with: {}"),
        ("a misspelt kind", "- id: a\n  use: a/b/c@1"),
        ("another misspelt kind", "- id: a\n  foreach: '{{ trigger }}'\n  steps: [{ id: b, set: {} }]"),
        ("two kinds", "- id: a\n  uses: a/b/c@1\n  if: [{ when: trigger, steps: [] }]"),
        ("three kinds", "- id: a\n  uses: a/b/c@1\n  set: {}\n  stop: {}"),
        (
            "branches beside uses",
            "- id: a\n  uses: a/b/c@1\n  parallel: { x: [{ id: b, set: {} }], y: [{ id: c, set: {} }] }",
        ),
        ("a key of another kind", "- id: a\n  set: {}\n  retry: { attempts: 2 }"),
        ("on_error of a stop", "- id: a\n  stop: {}\n  on_error: continue"),
        ("a loop without steps", "- id: a\n  for_each: trigger.items"),
        ("a loop over a number", "- id: a\n  for_each: 3\n  steps: [{ id: b, set: {} }]"),
        (
            "a loop with branches",
            "- id: a\n  for_each: trigger.items\n  parallel: { x: [] }\n  steps: [{ id: b, set: {} }]",
        ),
        ("parallel with a number", "- id: a\n  parallel: 4"),
        ("one branch", "- id: a\n  parallel: { x: [{ id: b, set: {} }] }"),
        ("a bad branch name", "- id: a\n  parallel: { X-1: [{ id: b, set: {} }], y: [{ id: c, set: {} }] }"),
        ("an empty parallel branch", "- id: a\n  parallel: { x: [], y: [{ id: c, set: {} }] }"),
        ("a branch without a condition", "- id: a\n  if: [{ steps: [] }]"),
        ("a branch without steps", "- id: a\n  if: [{ when: trigger.x }]"),
        ("a condition that is a truth value", "- id: a\n  if: [{ when: true, steps: [] }]"),
        ("a condition with two groups", "- id: a\n  if: [{ when: { all: [trigger.x], any: [trigger.y] }, steps: [] }]"),
        ("a condition without a value", "- id: a\n  if: [{ when: { is: equal, to: 3 }, steps: [] }]"),
        ("a comparison that is none", "- id: a\n  if: [{ when: { value: 1, is: equals, to: 3 }, steps: [] }]"),
        ("a comparison without is", "- id: a\n  if: [{ when: { value: 1, to: 3 }, steps: [] }]"),
        ("an empty group", "- id: a\n  if: [{ when: { all: [] }, steps: [] }]"),
        ("a wait for nothing", "- id: a\n  wait: {}"),
        ("a wait for two things", "- id: a\n  wait: { for: 3d, until: '{{ trigger.at }}' }"),
        ("a wait in words", "- id: a\n  wait: { for: three days }"),
        ("a wait as a text", "- id: a\n  wait: 3d"),
        ("a match without an event", "- id: a\n  wait: { resume: true, match: event.id }"),
        ("resume: false", "- id: a\n  wait: { resume: false }"),
        ("a bad window", "- id: a\n  wait: { window: { days: [monday], from: 9, to: '25:00' } }"),
        ("a stop that is none", "- id: a\n  stop: { status: ok }"),
        ("a call of nothing", "- id: a\n  call: { with: {} }"),
        ("an answer with two bodies", "- id: a\n  respond: { json: {}, text: x }"),
        ("an answer with a bad status", "- id: a\n  respond: { status: 99 }"),
        ("an on_error that is none", "- id: a\n  set: {}\n  on_error: ignore"),
        ("an on_error with both", "- id: a\n  set: {}\n  on_error: { substitute: 1, steps: [{ id: b, set: {} }] }"),
        ("an on_error without steps", "- id: a\n  set: {}\n  on_error: { steps: [] }"),
        ("a missing that is none", "- id: a\n  set: {}\n  missing: ignore"),
        ("a missing for all and for some", "- id: a\n  set: {}\n  missing: { default: 1, '*': empty }"),
        ("a missing for a bad place", "- id: a\n  set: {}\n  missing: { total: empty }"),
        (
            "the same id in two branches",
            "- id: a\n  if:\n    - { when: trigger.x, steps: [{ id: b, set: {} }] }\n  else: [{ id: b, set: {} }]",
        ),
        ("a step that is a text", "- first"),
    ];
    expect![[r##"
        # no kind
        5:5: exactly one of uses, if, for_each, parallel, wait, stop, call, set, respond is needed; this step has none
        # a misspelt kind
        6:5: there is no `use` in `steps[0]`
          help: did you mean `uses`?
        # another misspelt kind
        6:5: there is no `foreach` in `steps[0]`
          help: did you mean `for_each`?
        # two kinds
        5:5: exactly one of uses, if, for_each, parallel, wait, stop, call, set, respond is needed; this step has both `uses` and `if`
        # three kinds
        5:5: exactly one of uses, if, for_each, parallel, wait, stop, call, set, respond is needed; this step has `uses`, `stop` and `set`
        # branches beside uses
        5:5: exactly one of uses, if, for_each, parallel, wait, stop, call, set, respond is needed; this step has both `uses` and `parallel`
        # a key of another kind
        7:5: there is no `retry` in `steps[0]`
          help: possible here: missing, name, on_error
        # on_error of a stop
        7:5: there is no `on_error` in `steps[0]`
          help: possible here: name
        # a loop without steps
        5:5: `steps` is missing in `steps[0]`
          help: add, for example: steps: [{ id: note, set: { name: '{{ item.name }}' } }]
        # a loop over a number
        6:15: `steps[0].for_each` must be a text or an array, not a number
        # a loop with branches
        7:15: `steps[0].parallel` must be a whole number, not an object
        # parallel with a number
        6:15: `steps[0].parallel` must be an object, not a number
        # one branch
        6:15: `steps[0].parallel` has less than 2 entries
        # a bad branch name
        6:17: `X-1` is not a branch name: a letter, then letters, digits and underscores in lower case, at most 64
        # an empty parallel branch
        6:20: `steps[0].parallel.x` is empty; at least one item is needed
        # a branch without a condition
        6:10: `when` is missing in `steps[0].if[0]`
          help: The condition: an expression, or all, any, not, or value, is, to.
        # a branch without steps
        6:10: `steps` is missing in `steps[0].if[0]`
          help: add, for example: steps: []
        # a condition that is a truth value
        6:18: `steps[0].if[0].when` must be a text or an object, not true or false
        # a condition with two groups
        6:18: exactly one of all, any, not, value is needed; this condition has both `all` and `any`
        # a condition without a value
        6:18: exactly one of all, any, not, value is needed; this condition has none
        # a comparison that is none
        6:34: `steps[0].if[0].when.is` is `equals`, which is none of equal, not-equal, greater, at-least, less, at-most, contains, not-contains, starts-with, ends-with, in, matches, exists, missing, empty, not-empty, true, false, before, after
          help: did you mean `equal`?
        # a comparison without is
        6:18: `is` is missing in `steps[0].if[0].when`
          help: How: is: equal, greater, contains, exists, …
        # an empty group
        6:25: `steps[0].if[0].when.all` is empty; at least one item is needed
        # a wait for nothing
        6:11: exactly one of for, until, window, event, resume is needed; `wait` has none
        # a wait for two things
        6:11: exactly one of for, until, window, event, resume is needed; `wait` has both `for` and `until`
        # a wait in words
        6:18: `steps[0].wait.for` is `three days`, which is not a duration such as 3d, or an expression that yields one
        # a wait as a text
        6:11: `steps[0].wait` must be an object, not a text
        # a match without an event
        6:27: there is no `match` in `steps[0].wait`
          help: possible here: timeout
        # resume: false
        6:21: `steps[0].wait.resume` must be `true`
        # a bad window
        6:30: `steps[0].wait.window.days[0]` is `monday`, which is none of mon, tue, wed, thu, fri, sat, sun
        6:45: `steps[0].wait.window.from` is `9`, which is not a time of day such as "09:30" (in quotes)
        6:52: `steps[0].wait.window.to` is `25:00`, which is not a time of day such as "09:30" (in quotes)
        # a stop that is none
        6:21: `steps[0].stop.status` is `ok`, which is none of succeeded, failed, cancelled
        # a call of nothing
        6:11: `workflow` is missing in `steps[0].call`
          help: The id of the other workflow.
        # an answer with two bodies
        6:14: an answer has `json` or `text`, not both
        # an answer with a bad status
        6:24: `steps[0].respond.status` is 99; the least is 200
        # an on_error that is none
        7:15: `steps[0].on_error` is `ignore`, which is none of fail, continue
        # an on_error with both
        7:15: exactly one of substitute, steps is needed; `on_error` has both `substitute` and `steps`
        # an on_error without steps
        7:24: `steps[0].on_error.steps` is empty; at least one item is needed
        # a missing that is none
        7:14: `steps[0].missing` is `ignore`, which is none of fail, empty
        # a missing for all and for some
        7:14: `missing` is one of fail, empty, { default: … }, or an object with one of these for each field
        # a missing for a bad place
        7:16: there is no `total` in `steps[0].missing`
          help: possible here: *, default
        # the same id in two branches
        8:18: the step id `b` is here twice (first in line 7)
          help: give each step an id of its own: expressions and logs name steps by it
        # a step that is a text
        5:5: `steps[0]` must be an object, not a text
    "##]].assert_eq(&cases.iter().map(|(name, text)| format!("# {name}\n{}", steps(text))).collect::<String>());
}

#[test]
fn triggers_and_settings_that_cannot_be_are_refused_with_a_sentence() {
    let cases = [
        ("no kind", "trigger: {}"),
        ("a misspelt kind", "trigger: { shedule: { every: 1h } }"),
        ("two kinds", "trigger: { manual: true, event: order.paid }"),
        ("with beside a schedule", "trigger: { schedule: { every: 1h }, with: {} }"),
        ("manual: false", "trigger: { manual: false }"),
        ("a schedule with two", "trigger: { schedule: { every: 1h, cron: '* * * * *' } }"),
        ("a schedule with none", "trigger: { schedule: { timezone: Europe/Berlin } }"),
        ("an unknown policy", "trigger: { schedule: { every: 1h, missed: lost } }"),
        ("an event name with blanks", "trigger: { event: order was paid }"),
        ("two ways to dedupe", "trigger: { event: x, dedupe: { header: a, body: true } }"),
        ("a reply without a deadline", "trigger: { event: x, reply: {} }"),
        ("an unknown setting", "settings: { timezon: Europe/Berlin }"),
        ("no limit", "settings: { concurrency: { key: trigger.x } }"),
        ("a limit of none", "settings: { concurrency: { limit: 0 } }"),
        ("a policy that is none", "settings: { reentry: { key: trigger.x, policy: wait } }"),
        ("a day that is none", "settings: { paused: [2026-13-01] }"),
        ("a day that is not in the calendar", "settings: { paused: [2026-02-30] }"),
        ("a pause that ends before it begins", "settings: { paused: [{ from: 2026-12-24, to: 2026-12-23 }] }"),
        ("a pause without an end", "settings: { paused: [{ from: 2026-12-24 }] }"),
        ("a window by the clock of nobody", "settings: { window: { from: '9:00', timezone: 3 } }"),
    ];
    let text = |case: &str| {
        let trigger = if case.starts_with("trigger") { "" } else { "trigger: { manual: true }\n" };
        format!("id: w\nname: W\n{case}\n{trigger}steps: [{{ id: a, set: {{}} }}]\n")
    };
    expect![[r##"
        # no kind
        3:10: exactly one of uses, schedule, manual, error, event, contact is needed; the trigger has none
        # a misspelt kind
        3:12: there is no `shedule` in `trigger`
          help: did you mean `schedule`?
        # two kinds
        3:10: exactly one of uses, schedule, manual, error, event, contact is needed; the trigger has both `manual` and `event`
        # with beside a schedule
        3:37: there is no `with` in `trigger`
          help: possible here: dedupe, filter, reply
        # manual: false
        3:20: `trigger.manual` must be `true`
        # a schedule with two
        3:22: exactly one of cron, every, at is needed; `schedule` has both `cron` and `every`
        # a schedule with none
        3:22: exactly one of cron, every, at is needed; `schedule` has none
        # an unknown policy
        3:43: `trigger.schedule.missed` is `lost`, which is none of skip, last, all
          help: did you mean `last`?
        # an event name with blanks
        3:19: `trigger.event` is `order was paid`, which is not an event name: letters, digits and . _ : / -, at most 128, such as order.shipped
        # two ways to dedupe
        3:30: exactly one of header, path, body is needed; `dedupe` has both `header` and `body`
        # a reply without a deadline
        3:29: `wait` is missing in `trigger.reply`
          help: How long the sender is kept waiting; after that it is answered 202 and told where to look.
        # an unknown setting
        3:13: there is no `timezon` in `settings`
          help: did you mean `timezone`?
        # no limit
        3:26: `limit` is missing in `settings.concurrency`
          help: How many runs go on at a time; others wait.
        # a limit of none
        3:35: `settings.concurrency.limit` is 0; the least is 1
        # a policy that is none
        3:48: `settings.reentry.policy` is `wait`, which is none of allow, skip, replace
        # a day that is none
        3:22: `settings.paused[0]` is `2026-13-01`, which is not a day such as 2026-12-24
        # a day that is not in the calendar
        3:22: `2026-02-30` is not a day of the calendar such as 2026-12-24
        # a pause that ends before it begins
        3:22: 2026-12-23 is before 2026-12-24
        # a pause without an end
        3:22: `to` is missing in `settings.paused[0]`
          help: The last day.
        # a window by the clock of nobody
        3:29: `settings.window.from` is `9:00`, which is not a time of day such as "09:30" (in quotes)
        3:47: `settings.window.timezone` is `3`, which is not a time zone such as Europe/Berlin
    "##]].assert_eq(&cases.iter().map(|(name, case)| format!("# {name}\n{}", shape(&text(case)))).collect::<String>());
}
