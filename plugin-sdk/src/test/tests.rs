use serde_json::json;

use super::*;
use crate::contacts::{self, By, Outcome};
use crate::inbox::{self, Audience, Notification};
use crate::key_value::{self, Expected, Write};
use crate::{Plugin, connection};

#[expect(clippy::unnecessary_wraps, reason = "the signatures of actions and triggers")]
mod plugin {
    use super::*;

    #[derive(crate::Input)]
    struct Append {
        #[input(options)]
        spreadsheet: String,
        #[input(options, depends_on = "spreadsheet")]
        sheet: String,
    }

    fn append(_: &Context, input: Append) -> Result<Value, ActionError> {
        Ok(json!([input.spreadsheet, input.sheet]))
    }

    fn inbound(_: &Context, _: Value, _: WebhookRequest) -> Result<Outcome2, ActionError> {
        Ok(crate::trigger::Outcome::Ignore("nothing".to_owned()))
    }
    type Outcome2 = crate::trigger::Outcome<Value>;

    pub(super) fn rows(_: &Context, _: Value, cursor: Option<u64>) -> Result<Polled<Value, u64>, ActionError> {
        let row = cursor.unwrap_or(0) + 1;
        Ok(Polled { events: vec![Event::new(json!({ "row": row }))], cursor: Some(row), more: row < 3 })
    }

    pub(super) fn subscribe(
        _: &Context,
        _: Value,
        wanted: Subscribe<String>,
    ) -> Result<Subscription<String>, ActionError> {
        let registration = wanted.registration.unwrap_or(wanted.callback_url);
        Ok(Subscription { registration, renew_before: Some(Duration::from_mins(1)) })
    }

    pub(super) fn unsubscribe(_: &Context, _: Value, registration: String) -> Result<(), ActionError> {
        if registration.is_empty() { Err(ActionError::permanent("empty", "nothing")) } else { Ok(()) }
    }

    pub(super) fn choices(
        _: &Context,
        field: &str,
        input: &Value,
        query: OptionsQuery,
    ) -> Result<Options, ActionError> {
        let label = format!("{field} of {} like {:?}", input["spreadsheet"], query.search);
        Ok([crate::options::Choice::new(1, label)].into_iter().collect())
    }

    crate::plugin! {
        actions: { "append" => append },
        triggers: { "inbound" => inbound },
        polls: { "rows" => rows },
        subscriptions: { "inbound" => (subscribe, unsubscribe) },
        options: { "append" => choices },
    }
}

#[test]
fn values_are_kept_with_versions_and_for_as_long_as_was_said() {
    let host = Harness::new();
    let values = key_value::plugin();
    let ttl = Write { ttl: Some(Duration::from_secs(5)), expected: Expected::Absent };
    let version = values.set("a", &json!([1]), ttl).expect("absent");
    assert!(values.set("a", "other", ttl).expect_err("there").is_conflict());
    let entry = values.get::<Vec<u8>>("a").expect("read").expect("there");
    assert_eq!((entry.value, entry.version), (vec![1], version));
    host.advance(Duration::from_secs(5));
    assert_eq!(values.get::<Value>("a").expect("read"), None);
    assert_eq!((values.add("n", 2, None), values.add("n", -5, None)), (Ok(2), Ok(-3)));
    assert_eq!(values.keys("", None, 10), Ok(vec!["n".to_owned()]));
    assert_eq!(key_value::workflow().keys("", None, 10), Ok(vec![]));
    assert_eq!(values.delete("n", Expected::Anything), Ok(true));

    host.fail(HostError::new("quota", "full"));
    assert_eq!(values.add("n", 1, None).map_err(ActionError::from).expect_err("scripted").code, "quota");
}

#[test]
fn mail_and_inbox_are_captured_and_contacts_played() {
    let host = Harness::new();
    host.refuse_mail_to("b@example.com");
    let receipt = Message { cc: vec!["b@example.com".into()], ..Message::new("a@example.com", "s").text("t") }
        .send()
        .expect("sent");
    assert_eq!(
        (receipt.accepted, receipt.rejected.len(), host.mails().len()),
        (vec!["a@example.com".to_owned()], 1, 1)
    );

    host.add_person(json!({"id": "ana", "name": "Ana", "roles": ["ops"]}));
    let ops = Audience { roles: vec!["ops".into()], ..Audience::default() };
    assert_eq!(inbox::people(&ops).expect("people")[0].name, "Ana");
    assert_eq!(Notification::new(ops, "Hello").send().expect("kept").recipients, ["ana"]);
    assert_eq!(host.notifications()[0]["title"], "Hello");

    let made = contacts::upsert(&json!({"email": "c@example.com"})).expect("made");
    assert_eq!(made.outcome, Outcome::Created);
    let id = made.contact["id"].as_str().expect("an id").to_owned();
    let changed = contacts::change(&id, &json!({"add_tags": ["vip"], "set": {"fields": {"n": 1}}})).expect("changed");
    assert_eq!((changed.outcome, changed.changed), (Outcome::Changed, vec!["fields.n".to_owned(), "tags".to_owned()]));
    assert_eq!(contacts::find(By::Email("c@example.com")).expect("read").expect("there")["tags"], json!(["vip"]));
    contacts::enroll(&id).expect("there");
    assert_eq!((host.enrolled(), contacts::delete(&id), host.contacts().len()), (Some(id), Ok(true), 0));

    assert_eq!(connection::facts(), None);
    host.set_connection(Facts { name: "crm".to_owned(), ..Facts::default() });
    assert_eq!(connection::facts().expect("set").name, "crm");
}

#[test]
fn polls_subscriptions_and_options_are_called_as_the_host_does() {
    let host = Harness::new();
    let first = host.poll(plugin::rows, json!({}), None).expect("polled");
    let second = host.poll(plugin::rows, json!({}), first.cursor).expect("polled");
    assert_eq!(
        (second.events[0].payload.clone(), second.cursor, second.more),
        (json!({"row": 2}), Some(json!(2)), true)
    );
    let wrong = host.poll(plugin::rows, json!({}), Some(json!("x"))).expect_err("another version's cursor");
    assert_eq!(wrong.code, "invalid-state");

    let wanted = Subscribe { callback_url: "https://h".to_owned(), registration: None };
    let made = host.subscribe(plugin::subscribe, json!({}), wanted).expect("registered");
    assert_eq!(made.registration, json!("https://h"));
    host.unsubscribe(plugin::unsubscribe, json!({}), made.registration).expect("taken away");

    let query = OptionsQuery { search: Some("a".to_owned()), after: None };
    let choices = host.options(plugin::choices, "/sheet", json!({"spreadsheet": "s"}), query).expect("choices");
    assert_eq!(choices, json!({"options": [{"value": 1, "label": "/sheet of \"s\" like Some(\"a\")"}]}));
}

#[test]
fn what_is_not_registered_is_unknown_and_fields_of_choices_say_so_in_the_schema() {
    let ctx = context();
    assert_eq!(plugin::ThisPlugin::poll("inbound", &ctx, "{}", None).expect_err("no poll").code, "unknown-trigger");
    let query = OptionsQuery::default();
    assert_eq!(
        plugin::ThisPlugin::options("rows", &ctx, ("/a", "{}"), query).expect_err("none").code,
        "unknown-options"
    );
    let schemas = schemas::<plugin::ThisPlugin>();
    assert_eq!(schemas[0]["input"]["properties"]["spreadsheet"]["x-options"], json!({}));
    assert_eq!(schemas[0]["input"]["properties"]["sheet"]["x-options"], json!({"depends_on": ["/spreadsheet"]}));
    let rows = schemas.iter().find(|line| line["id"] == "rows").expect("the poll has a line");
    assert_eq!(rows["kind"], "trigger");
}
