//! `inboundWebhookRequest`, `custom_values`, `right_now` and `contact`.

use super::*;

fn with_clock(texts: &[&str], expected: &Expect) {
    let trigger = json!({
        "method": "POST",
        "headers": { "x-shop": "berlin" },
        "query": { "page": "2" },
        "body": { "email": "ada@example.com", "headers": "forged", "items": [{ "sku": "A" }] },
    });
    let (run, workflow) = (run(trigger), workflow());
    let values = json!({ "company": "Acme", "vat id": "DE1" });
    let scope = Scope::of(&run, &workflow).at(HALF_PAST_NINE, "Europe/Berlin").with_custom_values(&values);
    let lines = texts.iter().map(|text| format!("{text}\n    {}\n", shown_in(&scope, text)));
    expected.assert_eq(&lines.collect::<String>());
}

fn shown_in(scope: &Scope<'_>, text: &str) -> String {
    match Program::compile(&json!(text)) {
        Err(errors) => format!("error compile {}", errors.first().expect("an error")),
        Ok(program) => match program.render(scope) {
            Ok(value) => value.to_string(),
            Err(error) => format!("error {error}"),
        },
    }
}

#[test]
fn high_levels_names_read_the_same_data() {
    with_clock(
        &[
            "{{ inboundWebhookRequest.email }}",
            "{{ inboundWebhookRequest.email | upper }}",
            "{{inboundWebhookRequest.items[0].sku}} of {{ inboundWebhookRequest.query.page }}",
            "{{ inboundWebhookRequest.headers['x-shop'] }}",
            "{{ inboundWebhookRequest.headers }}",
            "{{ inboundWebhookRequest.method ~ '' }}",
            "{{ inboundWebhookRequest }}",
            "{{ inboundWebhookRequest | keys }}",
            "{{ inboundWebhookRequest.emial }}",
            "{{ inboundWebhookRequest.emial | upper }}",
            "{{ inboundWebhookRequest.items.sku }}",
            "{{ inboundwebhookrequest.email }}",
            "{{ contact.email }}",
            "{{ contact.email | upper }}",
        ],
        &expect![[r#"
            {{ inboundWebhookRequest.email }}
                "ada@example.com"
            {{ inboundWebhookRequest.email | upper }}
                "ADA@EXAMPLE.COM"
            {{inboundWebhookRequest.items[0].sku}} of {{ inboundWebhookRequest.query.page }}
                "A of 2"
            {{ inboundWebhookRequest.headers['x-shop'] }}
                "berlin"
            {{ inboundWebhookRequest.headers }}
                {"x-shop":"berlin"}
            {{ inboundWebhookRequest.method ~ '' }}
                "POST"
            {{ inboundWebhookRequest }}
                {"email":"ada@example.com","headers":{"x-shop":"berlin"},"items":[{"sku":"A"}],"method":"POST","query":{"page":"2"}}
            {{ inboundWebhookRequest | keys }}
                ["email","headers","items","method","query"]
            {{ inboundWebhookRequest.emial }}
                error `inboundWebhookRequest.emial` is undefined; did you mean `email`? (`inboundWebhookRequest` has email, headers, items)
            {{ inboundWebhookRequest.emial | upper }}
                error `inboundWebhookRequest.emial` is undefined; did you mean `email`? (`inboundWebhookRequest` has email, headers, items)
            {{ inboundWebhookRequest.items.sku }}
                error `inboundWebhookRequest.items.sku` is undefined: `inboundWebhookRequest.items` is an array
            {{ inboundwebhookrequest.email }}
                error compile `inboundwebhookrequest` is undefined; did you mean `inboundWebhookRequest`? (expressions read `trigger`, `steps`, `contact`, `workflow`, `run`, `custom_values`, `resume` and `right_now`)
            {{ contact.email }}
                error `contact` is undefined: this run has no contact. A contact trigger brings one, and so does a step of a plugin that finds or makes one; what a webhook sends is under `trigger.body`
            {{ contact.email | upper }}
                error `contact` is undefined: this run has no contact. A contact trigger brings one, and so does a step of a plugin that finds or makes one; what a webhook sends is under `trigger.body`
        "#]],
    );
}

#[test]
fn the_workspaces_values_are_read() {
    with_clock(
        &[
            "{{ custom_values.company }}",
            "{{ custom_values.company | upper }}",
            "{{ custom_values['vat id'] }}",
            "{{ custom_values.compny }}",
            "{{ custom_values | length }}",
        ],
        &expect![[r#"
            {{ custom_values.company }}
                "Acme"
            {{ custom_values.company | upper }}
                "ACME"
            {{ custom_values['vat id'] }}
                "DE1"
            {{ custom_values.compny }}
                error `custom_values.compny` is undefined; did you mean `company`? (`custom_values` has company, vat id)
            {{ custom_values | length }}
                2
        "#]],
    );
    assert_eq!(
        shown(json!("{{ custom_values.company }}")),
        "error : `custom_values.company` is undefined: `custom_values` is empty"
    );
}

#[test]
fn the_time_is_that_of_the_scope_in_the_workflows_zone() {
    with_clock(
        &[
            "{{ right_now.hour }}:{{ right_now.minute }} on {{ right_now.day_of_week }}",
            "{{ right_now.hour + 1 }}",
            "{{ right_now.houre }}",
            "{{ now() }}",
            "{{ [1] | map('format_date', 'YYYY') | first }}",
            "{% for x in [1] %}{{ today() }}{% endfor %}",
        ],
        &expect![[r#"
            {{ right_now.hour }}:{{ right_now.minute }} on {{ right_now.day_of_week }}
                "9:30 on Monday"
            {{ right_now.hour + 1 }}
                10
            {{ right_now.houre }}
                error `right_now.houre` is undefined; did you mean `hour`? (`right_now` has am_pm, ampm, date, day, day_of_week, day_of_year, hour, hour_ampm, iso, little_endian_date, middle_endian_date, minute and 9 more)
            {{ now() }}
                "2026-11-23T09:30:05+01:00"
            {{ [1] | map('format_date', 'YYYY') | first }}
                "1970"
            {% for x in [1] %}{{ today() }}{% endfor %}
                "2026-11-23"
        "#]],
    );
    // Without a clock: when the run was created, in UTC.
    assert_eq!(shown(json!("{{ now() }}")), "\"2025-11-23T08:00:00Z\"");
    let (run, workflow) = (run(json!({})), workflow());
    let scope = Scope::of(&run, &workflow).at(HALF_PAST_NINE, "Europe/Berlni");
    expect!["error `right_now`: there is no such time zone; did you mean `Europe/Berlin`?"]
        .assert_eq(&shown_in(&scope, "{{ right_now.day }}"));
    expect!["error `right_now`: there is no such time zone; did you mean `Europe/Berlin`?"]
        .assert_eq(&shown_in(&scope, "{{ right_now.day + 1 }}"));
    expect![
        "error `weekday` reads the workflow's time zone: there is no such time zone; did you mean `Europe/Berlin`?"
    ]
    .assert_eq(&shown_in(&scope, "{{ '2026-11-23' | weekday }}"));
    expect!["error `now()`: there is no such time zone; did you mean `Europe/Berlin`?"]
        .assert_eq(&shown_in(&scope, "{{ now() }}"));
}
