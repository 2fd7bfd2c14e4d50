//! What is said of resume links in expressions, and of places that are to be hidden.

use super::meaning::found;

fn said(steps: &str, more: &str) -> String {
    found(&format!("id: w\nname: W\ntrigger: {{ manual: true }}\n{more}steps:\n{steps}"))
}

#[test]
fn a_link_is_read_before_its_wait_and_beside_it() {
    for steps in [
        "- { id: tell, set: { link: '{{ resume.ask }}?a=b' } }\n- { id: ask, wait: { resume: true } }\n- { id: z, set: { t: '{{ steps.tell.output }} {{ steps.z2.output | default(1) }}' } }\n",
        "- id: both\n  parallel:\n    a: [ { id: tell, stop: { message: '{{ resume.ask }}' } } ]\n    b: [ { id: ask, wait: { resume: true } } ]\n",
        "- id: each\n  for_each: '{{ [1] }}'\n  steps: [ { id: tell, respond: { text: '{{ resume.ask }}' } }, { id: ask, wait: { resume: true } } ]\n",
    ] {
        let said = said(steps, "");
        assert!(!said.contains("resume") && !said.contains("link"), "{said}");
    }
}

#[test]
fn a_link_that_there_is_not_is_refused_with_what_was_probably_meant() {
    let ask = "- { id: ask, wait: { resume: true } }\n- { id: pause, wait: { for: 1h } }\n";
    let looped = "- { id: each, for_each: '{{ [1] }}', steps: [ { id: ask, wait: { resume: true } } ] }\n";
    for (expression, rest, words) in [
        ("resume.aproval", "- { id: approval, wait: { resume: true } }\n", "did you mean `resume.approval`?"),
        ("resume.pause", ask, "step `pause` has no resume link"),
        ("resume.pause", "- { id: pause, wait: { for: 1h } }\n", "only a step `wait: { resume: true }` has one"),
        ("resume.nothing", "", "no step waits for a link"),
        ("resume.ask.url", ask, "which is a text"),
        ("resume.ask", looped, "once for each item"),
    ] {
        let said = said(&format!("- {{ id: tell, stop: {{ message: '{{{{ {expression} }}}}' }} }}\n{rest}"), "");
        assert!(said.contains(words), "{expression}: {said}");
    }
    let after = said(&format!("{ask}- {{ id: tell, stop: {{ message: '{{{{ resume.ask }}}}' }} }}\n"), "");
    assert!(after.contains("its link opens nothing any more"), "{after}");
    let key = said(ask, "settings: { reentry: { key: resume.ask, policy: skip } }\n");
    assert!(key.contains("there is no run yet"), "{key}");
}

#[test]
fn places_that_are_hidden_have_to_be_there_and_cannot_be_searched() {
    let steps =
        "- { id: payment, set: { token: 1 } }\n- { id: z, stop: { message: '{{ steps.payment.output.token }}' } }\n";
    for (settings, words) in [
        ("redact: [steps.paymnt.output.token]", "did you mean `steps.payment`?"),
        ("redact: [trigger.card], index: [trigger.card.number]", "no run can be found by it"),
        ("redact: [body.card]", "a place such as trigger.body.card.number"),
    ] {
        let said = said(steps, &format!("settings: {{ {settings} }}\n"));
        assert!(said.contains(words), "{settings}: {said}");
    }
    assert_eq!(
        said(steps, "settings: { redact: [trigger.card, steps.payment.output.token], index: [trigger.name] }\n"),
        "no problem\n"
    );
}
