use serde_json::json;

use crate::testing::Bench;

const CALLER: &str = "id: caller\nname: Caller\ntrigger: { manual: true }\nsteps:\n- id: sub\n  call: { workflow: callee, with: { email: x } }\n";

fn callee(version: &str) -> String {
    format!(
        "id: callee\nname: {version}\ntrigger: {{ manual: true }}\ninput: {{ properties: {{ email: {{ type: string }} }}, additionalProperties: false }}\n\
         steps:\n- {{ id: names, set: {{ a: 1 }} }}\n"
    )
}

#[tokio::test]
async fn a_call_is_checked_against_the_store() {
    let bench = Bench::new();
    let refused = bench.api("POST", "/workflows", CALLER).await;
    assert_eq!(refused.status, 422, "{}", refused.json);
    assert_eq!(refused.json["errors"][0]["message"], "there is no workflow `callee`");

    let draft = bench.api("POST", "/workflows?draft=true", &callee("draft")).await;
    assert_eq!(draft.status, 201, "{}", draft.json);
    let refused = bench.api("POST", "/workflows", CALLER).await;
    assert_eq!(refused.json["errors"][0]["message"], "workflow `callee` is not published");

    assert_eq!(bench.api("POST", "/workflows", &callee("published")).await.status, 201);
    let taken = bench.api("POST", "/workflows", CALLER).await;
    assert_eq!((taken.status, &taken.json["warnings"]), (201, &json!([])), "{}", taken.json);

    let refused = bench.api("POST", "/workflows", &CALLER.replace("email: x", "emial: x")).await;
    assert_eq!(refused.json["errors"][0]["help"], "did you mean `email`?");
    let circle = callee("circle").replace("set: { a: 1 }", "call: { workflow: caller }");
    let refused = bench.api("POST", "/workflows", &circle).await;
    let message = "this call comes back to this workflow: callee → caller → callee";
    assert_eq!(refused.json["errors"][0]["message"], message);
}

#[tokio::test]
async fn a_warning_is_told_and_does_not_keep_a_workflow_out() {
    let bench = Bench::new();
    let applied = bench.api("POST", "/workflows", &callee("first")).await;
    assert_eq!(applied.status, 201, "{}", applied.json);
    assert_eq!(applied.json["warnings"][0]["message"], "nobody reads what step `names` sets");
    assert_eq!((&applied.json["warnings"][0]["line"], &applied.json["version"]), (&json!(6), &json!(1)));
    let again = bench.api("POST", "/workflows", &callee("first")).await;
    assert_eq!((again.status, &again.json["warnings"]), (200, &applied.json["warnings"]));
}
