//! What the check says about a tree that has the right shape and cannot work.

use super::*;
use crate::id::WorkflowId;
use crate::workflow::check::others::{Callee, Found, Others};

/// Other workflows: `enrich` takes a typed input and calls `deeper`, `deeper` calls `back`, `back` calls `w`, `tell` takes failures,
/// `draft` is not published.
struct Neighbours;

impl Others for Neighbours {
    fn find(&self, workflow: &WorkflowId, version: Option<u32>) -> Found {
        let id = |text: &str| text.parse::<WorkflowId>().expect("an id");
        let callee = |trigger: &str, calls: &[&str]| {
            let calls = calls.iter().map(|call| id(call)).collect();
            Found::There(Box::new(Callee { version: 3, trigger: trigger.to_owned(), calls, ..Callee::default() }))
        };
        match (workflow.as_str(), version) {
            (_, Some(number)) if number > 3 => Found::NoVersion { latest: 3 },
            ("enrich", _) => Found::There(Box::new(Callee {
                version: 3,
                trigger: "manual".to_owned(),
                input: Some(json!({
                    "type": "object", "required": ["email"], "additionalProperties": false,
                    "properties": { "email": { "type": "string" }, "age": { "type": "integer" } },
                })),
                output: Some(json!({ "score": 7, "name": "{{ trigger.email }}" })),
                calls: Vec::new(),
            })),
            ("deeper", _) => callee("manual", &["back"]),
            ("back", _) => callee("manual", &["w"]),
            ("tell", _) => callee("error", &[]),
            ("draft", None) => Found::NoVersion { latest: 2 },
            _ => Found::Missing { known: ["enrich", "deeper", "back", "tell"].map(id).to_vec() },
        }
    }
}

pub(super) fn found(text: &str) -> String {
    let plugins = Plugins::new();
    let surroundings = Surroundings { catalog: &plugins, grants: &[], others: &Neighbours, reference: None };
    let examined = examine(text, &surroundings);
    let problems = examined.findings.problems.iter();
    let shown: String = problems.map(|problem| format!("{problem}\n")).collect();
    if shown.is_empty() { "no problem\n".to_owned() } else { shown }
}

/// What is found in a workflow with these steps, and perhaps other parts before them.
fn steps(text: &str) -> String {
    let (head, text) = text.split_once("---\n").unwrap_or(("trigger: { manual: true }\n", text));
    found(&format!("id: w\nname: W\n{head}steps:\n  {}\n", text.trim().replace('\n', "\n  ")))
}

fn table(cases: &[(&str, &str)], expected: &Expect) {
    expected.assert_eq(&cases.iter().map(|(name, text)| format!("# {name}\n{}", steps(text))).collect::<String>());
}

const INPUT: &str = "trigger: { manual: true }\ninput: { type: object, properties: { email: { type: string }, total: { type: integer }, lines: { type: array, items: { type: object, properties: { sku: { type: string } } } } } }\n---\n";
const CALL: &str = "- id: c\n  call: { workflow: enrich, with: { email: '{{ trigger.email }}' } }\n";

/// An action that reads something.
const SEND: &str = "uses: flowcell/webhook/send@1";

#[test]
fn a_step_reads_only_what_has_run() {
    let send = |id: &str, read: &str| format!("{{ id: {id}, {SEND}, with: {{ x: '{{{{ {read} }}}}' }} }}");
    let cases = [
        ("the step before", format!("- {}\n- {}", send("a", "trigger"), send("b", "steps.a.output.x"))),
        ("a later step", format!("- {}\n- {}", send("a", "steps.b.output.x"), send("b", "trigger"))),
        ("a step that is not there", format!("- {}\n- {}", send("first", "trigger"), send("b", "steps.frist.output"))),
        ("a part that a step has not", format!("- {}\n- {}", send("a", "trigger"), send("b", "steps.a.outptu"))),
        (
            "the other branch",
            format!(
                "- id: c\n  if:\n    - when: trigger.x\n      steps: [{}]\n  else: [{}]",
                send("a", "trigger"),
                send("b", "steps.a.output")
            ),
        ),
        (
            "a branch, from behind",
            format!(
                "- id: c\n  if: [{{ when: trigger.x, steps: [{}] }}]\n- {}",
                send("a", "trigger"),
                send("b", "steps.a.output")
            ),
        ),
        (
            "a branch, from behind, guarded",
            format!(
                "- id: c\n  if: [{{ when: trigger.x, steps: [{}] }}]\n- {}",
                send("a", "trigger"),
                send("b", "steps.a.output | default(1)")
            ),
        ),
        (
            "a branch, from behind, where the other ends the run",
            format!(
                "- id: c\n  if: [{{ when: trigger.x, steps: [{}] }}]\n  else: [{{ id: z, stop: {{}} }}]\n- {}",
                send("a", "trigger"),
                send("b", "steps.a.output")
            ),
        ),
        (
            "a branch, asked by a condition",
            format!(
                "- id: c\n  if: [{{ when: trigger.x, steps: [{}] }}]\n- id: d\n  if: [{{ when: {{ value: '{{{{ steps.a.output }}}}', is: exists }}, steps: [] }}]",
                send("a", "trigger")
            ),
        ),
        (
            "before the branches, from inside",
            format!(
                "- {}\n- id: c\n  if: [{{ when: steps.a.output.x, steps: [{}] }}]",
                send("a", "trigger"),
                send("b", "steps.a.output")
            ),
        ),
        (
            "the if itself, from inside",
            format!("- id: c\n  if: [{{ when: trigger.x, steps: [{}] }}]", send("b", "steps.c.output")),
        ),
        (
            "a step inside, from its if",
            format!("- id: c\n  if: [{{ when: steps.b.output, steps: [{}] }}]", send("b", "trigger")),
        ),
        (
            "a step in a loop, from behind",
            format!(
                "- id: l\n  for_each: trigger.items\n  steps: [{}]\n- {}",
                send("a", "item"),
                send("b", "steps.a.output")
            ),
        ),
        (
            "a step in a loop, collected",
            format!(
                "- id: l\n  for_each: trigger.items\n  collect: '{{{{ steps.a.output }}}}'\n  steps: [{}]\n- {}",
                send("a", "item"),
                send("b", "steps.l.output.results")
            ),
        ),
        (
            "a field that a loop's output has not",
            format!(
                "- id: l\n  for_each: trigger.items\n  steps: [{}]\n- {}",
                send("a", "item"),
                send("b", "steps.l.output.result")
            ),
        ),
        (
            "the loop itself, from inside",
            format!("- id: l\n  for_each: trigger.items\n  steps: [{}]", send("a", "steps.l.output")),
        ),
        (
            "the iteration before",
            format!(
                "- id: l\n  for_each: trigger.items\n  steps: [{}, {}]",
                send("a", "item"),
                send("b", "steps.a.output")
            ),
        ),
        (
            "another branch at the same time",
            format!(
                "- id: p\n  parallel:\n    x: [{}]\n    y: [{}]",
                send("a", "trigger"),
                send("b", "steps.a.output")
            ),
        ),
        (
            "parallel branches, from behind",
            format!(
                "- id: p\n  parallel:\n    x: [{}]\n    y: [{}]\n- {}",
                send("a", "trigger"),
                send("b", "trigger"),
                send("c", "steps.a.output")
            ),
        ),
        (
            "a race, from behind",
            format!(
                "- id: p\n  parallel:\n    x: [{}]\n    y: [{}]\n  join: race\n- {}",
                send("a", "trigger"),
                send("b", "trigger"),
                send("c", "steps.a.output")
            ),
        ),
        (
            "the failed step, from its on_error",
            format!("- id: a\n  {SEND}\n  on_error:\n    steps: [{}]", send("b", "steps.a.error.code")),
        ),
        (
            "its output, from there",
            format!("- id: a\n  {SEND}\n  on_error:\n    steps: [{}]", send("b", "steps.a.output")),
        ),
        (
            "its error, in the substitute",
            format!(
                "- id: a\n  {SEND}\n  on_error: {{ substitute: {{ because: '{{{{ steps.a.error.message }}}}' }} }}"
            ),
        ),
        (
            "what goes on without an output",
            format!("- id: a\n  {SEND}\n  on_error: continue\n- {}", send("b", "steps.a.output")),
        ),
        (
            "the item outside of its loop",
            format!("- id: l\n  for_each: trigger.items\n  steps: [{}]\n- {}", send("a", "item"), send("b", "item.id")),
        ),
        ("the loop's numbers outside", format!("- {}", send("b", "loop.index"))),
        ("an event outside of match", format!("- {}", send("b", "event.id"))),
        (
            "an event in match",
            format!(
                "- id: a\n  wait: {{ event: x, match: 'event.id == trigger.id', timeout: 1d }}\n- {}",
                send("b", "steps.a.output.event")
            ),
        ),
        (
            "a step, from the trigger's filter",
            format!("trigger: {{ event: x, filter: steps.a.output }}\n---\n- {}", send("a", "trigger")),
        ),
        (
            "the last step, from the workflow's output",
            format!("trigger: {{ manual: true }}\noutput: '{{{{ steps.a.output }}}}'\n---\n- {}", send("a", "trigger")),
        ),
    ];
    let cases: Vec<_> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    table(
        &cases,
        &expect![[r##"
            # the step before
            no problem
            # a later step
            5:56: `steps.b` runs later than this step
              help: a step can read the steps before it; change the order, or read another step
            # a step that is not there
            6:56: there is no step `frist`
              help: did you mean `steps.first`?
            # a part that a step has not
            6:56: `steps.a.outptu`: a step has `output`, `status` and `error`
              help: did you mean `steps.a.output`?
            # the other branch
            9:63: step `a` is in another branch of `c`: where this one runs, that one does not
              help: read the steps of this branch and those before it
            # a branch, from behind
            7:56: warning: step `a` runs in some runs only (`c` decides), and this reads it in all
              help: provide for its absence: `| default(…)`, a condition with `is: exists`, or read `steps.c`
            # a branch, from behind, guarded
            no problem
            # a branch, from behind, where the other ends the run
            no problem
            # a branch, asked by a condition
            no problem
            # before the branches, from inside
            no problem
            # the if itself, from inside
            6:88: step `c` has not ended here: this step is a part of it
              help: read the steps before this one
            # a step inside, from its if
            6:18: step `b` is a part of `c` and has not run yet
              help: read the steps before this one
            # a step in a loop, from behind
            8:56: step `a` runs inside the loop `l`, once for each item: outside of it there is not one result
              help: let the loop collect it (`collect: "{{ steps.a.output }}"`) and read `steps.l.output.results`
            # a step in a loop, collected
            no problem
            # a field that a loop's output has not
            8:56: there is no `result` in `steps.l.output`
              help: did you mean `steps.l.output.results`?
            # the loop itself, from inside
            7:64: step `l` has not ended here: this step is a part of it
              help: read the steps before this one
            # the iteration before
            no problem
            # another branch at the same time
            8:62: step `a` runs in another branch of `p` at the same time
              help: read it after `p`, where both branches have ended
            # parallel branches, from behind
            no problem
            # a race, from behind
            10:56: warning: step `a` runs in some runs only (`p` decides), and this reads it in all
              help: provide for its absence: `| default(…)`, a condition with `is: exists`, or read `steps.p`
            # the failed step, from its on_error
            no problem
            # its output, from there
            8:66: step `a` has failed here and has no output
              help: it has `steps.a.error` (code, message, details)
            # its error, in the substitute
            no problem
            # what goes on without an output
            8:56: warning: step `a` has no output when it has failed, and its `on_error: continue` goes on then
              help: provide for its absence: `| default(…)`, or `on_error: { substitute: … }` there
            # the item outside of its loop
            8:56: `item` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
            # the loop's numbers outside
            5:56: `loop` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
            # an event outside of match
            5:56: `event` is undefined: expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`
            # an event in match
            no problem
            # a step, from the trigger's filter
            3:30: no step has run when this is asked
              help: read `trigger` here: it is asked before the run begins
            # the last step, from the workflow's output
            no problem
        "##]],
    );
}

#[test]
fn paths_and_types_are_followed_where_they_are_known() {
    let send = |id: &str, read: &str| format!("- {{ id: {id}, {SEND}, with: {{ x: '{{{{ {read} }}}}' }} }}\n");
    let cases = [
        ("an unknown field of the input", format!("{INPUT}{}", send("a", "trigger.emial"))),
        ("a field of a text", format!("{INPUT}{}", send("a", "trigger.email.domain"))),
        ("an unknown field of the run", send("a", "run.started")),
        (
            "an unknown field of what was set",
            format!("- id: s\n  set: {{ name: x, size: 3 }}\n{}", send("a", "steps.s.output.nmae")),
        ),
        ("an unknown field of a call's output", format!("{CALL}{}", send("a", "steps.c.output.scroe"))),
        (
            "a branch that is none",
            format!(
                "- id: p\n  parallel: {{ x: [{{ id: a, stop: {{}} }}], y: [{{ id: b, stop: {{}} }}] }}\n  join: race\n{}",
                send("c", "steps.p.output.z.status")
            ),
        ),
        (
            "a field that a wait has not",
            format!("- id: p\n  wait: {{ for: 3s }}\n{}", send("c", "steps.p.output.reasn")),
        ),
        ("a field of a call's output", format!("{CALL}{}", send("a", "steps.c.output.score"))),
        (
            "a loop over a number",
            format!("{INPUT}- id: l\n  for_each: '{{{{ trigger.total }}}}'\n  steps: [{{ id: a, {SEND} }}]"),
        ),
        (
            "a loop over what was set",
            format!(
                "- id: s\n  set: {{ name: x }}\n- id: l\n  for_each: steps.s.output\n  steps: [{{ id: a, {SEND} }}]"
            ),
        ),
        (
            "an unknown field of an item",
            format!("{INPUT}- id: l\n  for_each: trigger.lines\n  steps:\n    {}", send("a", "item.skuu").trim()),
        ),
        (
            "an unknown field of the loop",
            format!("{INPUT}- id: l\n  for_each: trigger.lines\n  steps:\n    {}", send("a", "loop.number").trim()),
        ),
        (
            "a field of a batch",
            format!(
                "{INPUT}- id: l\n  for_each: trigger.lines\n  batch: 3\n  steps:\n    {}",
                send("a", "item.sku").trim()
            ),
        ),
        (
            "a number where a text is needed",
            format!(
                "{INPUT}- id: a\n  uses: flowcell/custom-webhook/request@1\n  with: {{ method: POST, url: 'https://a.example/', headers: {{ total: '{{{{ trigger.total }}}}' }} }}"
            ),
        ),
        (
            "a number within a text",
            format!(
                "{INPUT}- id: a\n  uses: flowcell/custom-webhook/request@1\n  with: {{ method: POST, url: 'https://a.example/', headers: {{ total: '{{{{ trigger.total }}}} EUR' }} }}"
            ),
        ),
        ("a number until which is waited", format!("{INPUT}- id: a\n  wait: {{ until: '{{{{ trigger.total }}}}' }}")),
        (
            "a field that is filled in",
            format!("- id: a\n  {SEND}\n  with: {{ x: '{{{{ trigger.x }}}}' }}\n  missing: {{ /y: empty }}"),
        ),
        (
            "an input that is no schema",
            "trigger: { manual: true }\ninput: { type: objekt }\n---\n- { id: a, set: {} }".to_owned(),
        ),
    ];
    let cases: Vec<_> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    table(
        &cases,
        &expect![[r##"
            # an unknown field of the input
            6:56: there is no `emial` in `trigger`
              help: did you mean `trigger.email`?
            # a field of a text
            6:56: there is no `domain` in `trigger.email`, which is a text
            # an unknown field of the run
            5:56: there is no `started` in `run`
              help: `run` has created_at, id
            # an unknown field of what was set
            7:56: there is no `nmae` in `steps.s.output`
              help: did you mean `steps.s.output.name`?
            # an unknown field of a call's output
            7:56: there is no `scroe` in `steps.c.output`
              help: did you mean `steps.c.output.score`?
            # a branch that is none
            8:56: there is no `z` in `steps.p.output`
              help: `steps.p.output` has winner, x, y
            # a field that a wait has not
            7:56: there is no `reasn` in `steps.p.output`
              help: did you mean `steps.p.output.reason`?
            # a field of a call's output
            no problem
            # a loop over a number
            7:15: `trigger.total` is a number; `steps[0].for_each` takes a list
            # a loop over what was set
            8:15: `steps.s.output` is an object; `steps[1].for_each` takes a list
            # an unknown field of an item
            9:60: there is no `skuu` in `item`
              help: did you mean `item.sku`?
            # an unknown field of the loop
            9:60: there is no `number` in `loop`
              help: `loop` has count, index
            # a field of a batch
            10:60: there is no `sku` in `item`, which is a list
            # a number where a text is needed
            8:72: `trigger.total` is a number; `steps[0].with.headers.total` takes a text
            # a number within a text
            no problem
            # a number until which is waited
            7:20: `trigger.total` is a number; `steps[0].wait.until` takes a text
            # a field that is filled in
            8:20: step `a` has no field `/y`
              help: its fields are /x
            # an input that is no schema
            4:8: the schema is not a JSON Schema (2020-12) at `/type`: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword
            6:19: warning: nobody reads what step `a` sets
              help: read `steps.a.output` somewhere, or leave it out
        "##]],
    );
}

#[test]
fn what_is_in_vain_or_without_an_end_is_found() {
    let webhook = "trigger: { uses: flowcell/webhook/inbound@1, reply: { wait: 10s } }\n---\n";
    let nested = |depth: usize| {
        let mut text = format!("- {{ id: inner, {SEND} }}");
        for level in 0..depth {
            text = format!(
                "- id: n{level}\n  for_each: trigger.items\n  as: i{level}\n  steps:\n    {}",
                text.replace('\n', "\n    ")
            );
        }
        text
    };
    let cases = [
        ("a step after a stop", format!("- id: a\n  stop: {{}}\n- {{ id: b, {SEND} }}\n- {{ id: c, {SEND} }}")),
        ("a step after branches that all end", format!("- id: a\n  if: [{{ when: trigger.x, steps: [{{ id: s, stop: {{}} }}] }}]\n  else: [{{ id: t, stop: {{}} }}]\n- {{ id: b, {SEND} }}")),
        ("a step after a branch that ends", format!("- id: a\n  if: [{{ when: trigger.x, steps: [{{ id: s, stop: {{}} }}] }}]\n- {{ id: b, {SEND} }}")),
        ("a step after a stop in a branch", format!("- id: a\n  if: [{{ when: trigger.x, steps: [{{ id: s, stop: {{}} }}, {{ id: b, {SEND} }}] }}]")),
        ("a set that nobody reads", "- id: a\n  set: { x: 1 }".to_owned()),
        ("a collect that nobody reads", format!("- id: l\n  for_each: trigger.items\n  collect: '{{{{ item }}}}'\n  steps: [{{ id: a, {SEND} }}]")),
        ("a set that somebody may read", format!("- id: a\n  set: {{ x: 1 }}\n- {{ id: b, {SEND}, with: {{ all: '{{{{ steps }}}}' }} }}")),
        ("on_timeout without a timeout", "- id: a\n  wait: { resume: true }\n  on_timeout: []".to_owned()),
        ("a wait of two years", "- id: a\n  wait: { for: 800d }".to_owned()),
        ("a wait until a day without a zone", "- id: a\n  wait: { until: 2026-12-24T09:00 }".to_owned()),
        ("a window of no time", "- id: a\n  wait: { window: { from: '09:00', to: '09:00' } }".to_owned()),
        ("a time zone that is none", "trigger: { manual: true }\nsettings: { timezone: Europe/Berlni }\n---\n- id: a\n  wait: { window: { from: '09:00', timezone: America/Berlin } }".to_owned()),
        ("an item called like a root", format!("- id: l\n  for_each: trigger.items\n  as: steps\n  steps: [{{ id: a, {SEND} }}]")),
        ("two items of the same name", format!("- id: l\n  for_each: trigger.items\n  steps:\n    - id: m\n      for_each: item.parts\n      steps: [{{ id: a, {SEND} }}]")),
        ("an answer to nobody", "- id: a\n  respond: { json: {} }".to_owned()),
        ("an answer to a sender that does not wait", "trigger: { uses: flowcell/webhook/inbound@1 }\n---\n- id: a\n  respond: { json: {} }".to_owned()),
        ("a sender that waits in vain", format!("{webhook}- {{ id: a, {SEND} }}")),
        ("a sender that is answered", format!("{webhook}- id: a\n  respond: {{ json: {{}} }}")),
        ("a reply to a schedule", "trigger: { schedule: { every: 1h }, reply: { wait: 10s } }\n---\n- { id: a, stop: {} }".to_owned()),
        ("eight levels", nested(8)),
        ("nine levels", nested(9)),
    ];
    let cases: Vec<_> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
    table(
        &cases,
        &expect![[r#"
        # a step after a stop
        7:11: step `b` is never reached: `a` ends the run
          help: move it before `a`, or leave it out
        # a step after branches that all end
        8:11: step `b` is never reached: every way through `a` ends the run
          help: move it before `a`, or leave it out
        # a step after a branch that ends
        no problem
        # a step after a stop in a branch
        6:64: step `b` is never reached: `s` ends the run
          help: move it before `s`, or leave it out
        # a set that nobody reads
        6:10: warning: nobody reads what step `a` sets
          help: read `steps.a.output` somewhere, or leave it out
        # a collect that nobody reads
        7:14: warning: nobody reads what step `l` collects
          help: read `steps.l.output` somewhere, or leave it out
        # a set that somebody may read
        no problem
        # on_timeout without a timeout
        7:17: step `a` has no timeout: this never happens
          help: add `timeout: …` to `wait`, or leave `on_timeout` out
        # a wait of two years
        6:18: `800d` is longer than 365d
        # a wait until a day without a zone
        6:20: `2026-12-24T09:00` is not a date and time with its offset
          help: write it as in 2026-12-24T09:00:00+01:00
        # a window of no time
        6:21: from 09:00 to 09:00 is no time at all
          help: for whole days leave `from` and `to` out
        # a time zone that is none
        4:23: there is no time zone `Europe/Berlni`
          help: did you mean `Europe/Berlin`?
        7:48: there is no time zone `America/Berlin`
          help: did you mean `Europe/Berlin`?
        # an item called like a root
        7:9: `steps` means something else in expressions; call the item otherwise
          help: for example `as: item`
        # two items of the same name
        8:9: warning: a loop around this one calls its item `item` too; here it cannot be read
          help: give this one another name: `as: …`
        # an answer to nobody
        6:14: step `a` answers nobody: no sender waits for a run that is started by `manual`
          help: leave the step out; a `call` gets the workflow's `output`
        # an answer to a sender that does not wait
        6:14: step `a` answers a sender that does not wait
          help: add `reply: { wait: 10s }` to the trigger, or leave the step out
        # a sender that waits in vain
        3:53: the sender would wait for an answer, and no step gives one
          help: add a step with `respond: { json: … }`, or leave `reply` out
        # a sender that is answered
        no problem
        # a reply to a schedule
        3:44: nobody waits for the answer of a run that is started by `schedule`
          help: leave `reply` out
        # eight levels
        no problem
        # nine levels
        41:41: step `inner` is nested more than 8 deep
          help: move the inner steps to a workflow of their own and `call` it
    "#]],
    );
    let many: String =
        (0..101).map(|n| format!("- id: i{n}\n  for_each: trigger.x\n  steps: [{{ id: s{n}, {SEND} }}]\n")).collect();
    expect![[r#"
        305:5: the workflow has more than 200 steps
          help: move some of them to a workflow of their own and `call` it
    "#]]
    .assert_eq(&steps(&many));
}

#[test]
fn other_workflows_are_looked_up() {
    let cases = [
        (
            "a good call",
            "- id: a\n  call: { workflow: enrich, with: { email: '{{ trigger.email }}', age: '{{ trigger.age }}' } }",
        ),
        ("an unknown workflow", "- id: a\n  call: { workflow: enrihc }"),
        ("another unknown workflow", "- id: a\n  call: { workflow: something }"),
        ("a version that is not there", "- id: a\n  call: { workflow: enrich, version: 9 }"),
        ("a workflow that is not published", "- id: a\n  call: { workflow: draft }"),
        ("an input that does not fit", "- id: a\n  call: { workflow: enrich, with: { emial: x, age: old } }"),
        ("itself", "- id: a\n  call: { workflow: w }"),
        ("a circle", "- id: a\n  call: { workflow: deeper }"),
        ("an error workflow", "- id: a\n  call: { workflow: tell }"),
        ("a good on_failure", "trigger: { manual: true }\nsettings: { on_failure: tell }\n---\n- { id: a, stop: {} }"),
        (
            "an on_failure that is not there",
            "trigger: { manual: true }\nsettings: { on_failure: tel }\n---\n- { id: a, stop: {} }",
        ),
        (
            "an on_failure that takes no failures",
            "trigger: { manual: true }\nsettings: { on_failure: enrich }\n---\n- { id: a, stop: {} }",
        ),
        ("itself as on_failure", "trigger: { error: true }\nsettings: { on_failure: w }\n---\n- { id: a, stop: {} }"),
    ];
    table(
        &cases,
        &expect![[r#"
        # a good call
        no problem
        # an unknown workflow
        6:23: there is no workflow `enrihc`
          help: did you mean `enrich`?
        # another unknown workflow
        6:23: there is no workflow `something`
          help: apply that workflow first
        # a version that is not there
        6:23: workflow `enrich` has no version 9
          help: its newest version is 3; without `version` the published one is called
        # a workflow that is not published
        6:23: workflow `draft` is not published
          help: publish it, or name a version: the newest is 2
        # an input that does not fit
        6:37: `email` is missing in `steps[0].call.with`
        6:39: there is no `emial` in `steps[0].call.with`
          help: did you mean `email`?
        6:54: `steps[0].call.with.age` must be a whole number, not a text
        # itself
        6:23: workflow `w` calls itself
          help: a workflow that calls itself never ends: use `for_each`, or call another workflow
        # a circle
        6:23: this call comes back to this workflow: w → deeper → back → w
          help: a circle of calls never ends: break it at one of them
        # an error workflow
        6:23: workflow `tell` takes failures (`error: true`); it cannot be called
          help: name it as `on_failure`, or call another one
        # a good on_failure
        no problem
        # an on_failure that is not there
        4:25: there is no workflow `tel`
          help: did you mean `tell`?
        # an on_failure that takes no failures
        4:25: workflow `enrich` is started by `manual`, not by failures
          help: give `enrich` the trigger `error: true`, or name another one
        # itself as on_failure
        4:25: a workflow cannot be its own error workflow
          help: name another workflow: one that fails cannot report its own failures
    "#]],
    );
    let text = "id: w\nname: W\ntrigger: { manual: true }\nsettings: { on_failure: tell }\nsteps: [{ id: a, call: { workflow: enrich } }]\n";
    let plugins = Plugins::new();
    let alone = Surroundings { catalog: &plugins, grants: &[], others: &check::others::Unknown, reference: None };
    let findings = examine(text, &alone).findings;
    assert_eq!(findings.problems, []);
    assert_eq!(findings.not_looked_up.iter().map(WorkflowId::as_str).collect::<Vec<_>>(), ["enrich", "tell"]);
}

#[test]
fn credentials_in_a_url_are_found_wherever_it_stands() {
    let cases = [
        (
            "a user",
            "- id: a\n  uses: flowcell/webhook/send@1\n  with: { url: 'https://a.example/', note: 'see https://me:secret@b.example/x' }",
        ),
        (
            "a user in the URL itself",
            "- id: a\n  uses: flowcell/webhook/send@1\n  with: { url: 'https://me:secret@a.example/' }",
        ),
        (
            "a key",
            "- id: a\n  uses: flowcell/webhook/send@1\n  with: { url: 'https://a.example/?page=1&api_key=0123456789abcdef' }",
        ),
        (
            "a token in a list",
            "- id: a\n  uses: flowcell/webhook/send@1\n  with: { url: 'https://a.example/', json: ['https://b.example/?Access-Token=0123456789abcdef#x'] }",
        ),
        (
            "a key from data",
            "- id: a\n  uses: flowcell/webhook/send@1\n  with: { url: 'https://a.example/?api_key={{ trigger.the_key }}' }",
        ),
        (
            "a key that is a word",
            "- id: a\n  uses: flowcell/webhook/send@1\n  with: { url: 'https://a.example/?key=name' }",
        ),
        (
            "an address in a path",
            "- id: a\n  uses: flowcell/webhook/send@1\n  with: { url: 'https://a.example/@someone?mail=a@b.example' }",
        ),
    ];
    table(
        &cases,
        &expect![[r#"
        # a user
        7:46: a user name or password stands in this URL
          help: use a connection for credentials
        # a user in the URL itself
        7:18: `https://…@a.example/` is no URL to send to: it carries a user name or password; use a connection for credentials
        # a key
        7:18: `api_key` in this URL looks like a credential
          help: use a connection for credentials: what stands here is in every record of a run
        # a token in a list
        7:47: `Access-Token` in this URL looks like a credential
          help: use a connection for credentials: what stands here is in every record of a run
        # a key from data
        no problem
        # a key that is a word
        no problem
        # an address in a path
        no problem
    "#]],
    );
}

/// What a text is warned about, measured against the samples of a mapping reference.
fn against_samples(steps: &str, samples: &[Value]) -> Vec<String> {
    let plugins = Plugins::new();
    let schema = crate::infer::schema_of(samples);
    let surroundings =
        Surroundings { catalog: &plugins, grants: &[], others: &check::others::Unknown, reference: Some(&schema) };
    let text = format!("id: w\nname: W\ntrigger: {{ manual: true }}\nsteps:\n{steps}\n  - {{ id: end, stop: {{}} }}\n");
    let found = examine(&text, &surroundings).findings.problems;
    let read = found.iter().filter(|problem| problem.message.contains("trigger") || problem.message.contains("item"));
    read.map(ToString::to_string).collect()
}

#[test]
fn expressions_are_measured_against_the_samples_of_the_reference() {
    let samples = [
        json!({ "body": { "email": "a@b.de", "items": [{ "sku": "x" }], "note": "n" } }),
        json!({ "body": { "email": "a@b.de", "items": [] } }),
    ];
    let read = |expression: &str| {
        let step = format!("  - {{ id: a, set: {{ v: \"{{{{ {expression} }}}}\" }} }}\n");
        against_samples(&format!("{step}  - {{ id: b, set: {{ v: \"{{{{ steps.a.output.v }}}}\" }} }}"), &samples)
    };
    for good in [
        "trigger.body.email",
        "trigger.body.items[0].sku",
        "trigger.body.note | default('-')",
        "trigger.body.phone | default('-')",
    ] {
        assert_eq!(read(good), Vec::<String>::new(), "{good}");
    }
    for (wrong, message, help) in [
        (
            "trigger.body.emial",
            "no sample of the mapping reference has `emial` in `trigger.body`",
            "did you mean `trigger.body.email`?",
        ),
        (
            "trigger.body.items[0].skuu",
            "has `skuu` in `trigger.body.items[…]`",
            "did you mean `trigger.body.items[…].sku`?",
        ),
        ("trigger.body.email.user", "there is no `user` in `trigger.body.email`, which is a text", ""),
        ("trigger.body.note", "`trigger.body.note` is not in every sample", "default"),
    ] {
        let found = read(wrong);
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
        assert!(
            found[0].contains("warning") && found[0].contains(message) && found[0].contains(help),
            "{wrong}: {found:?}"
        );
    }
    let looped = "  - id: each\n    for_each: \"{{ trigger.body.items }}\"\n    steps:\n      - { id: in, set: { v: \"{{ item.skuu }}\" } }\n      - { id: use, set: { v: \"{{ steps.in.output.v }}\" } }";
    let found = against_samples(looped, &samples);
    assert!(found.len() == 1 && found[0].contains("did you mean `item.sku`?"), "{found:?}");
}
