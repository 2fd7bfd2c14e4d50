use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use serde_json::{Value, json};

use super::decide::{ContactWrite, Decided, Lookup, Outcome, Refusal, Wish, decide};
use super::event::{ChainLimits, ContactTrigger, Happened, Link, guard};
use super::field::{FieldDefinition, Kind, keep};
use super::wanted::Wanted;
use super::*;

/// Contacts in a map, as a backend would look them up.
#[derive(Default)]
struct Book {
    contacts: BTreeMap<ContactId, Contact>,
    made: u128,
}

struct Eyes<'b>(&'b Book);

impl Lookup<Infallible> for Eyes<'_> {
    fn contact(&mut self, id: ContactId) -> Result<Option<Contact>, Infallible> {
        Ok(self.0.contacts.get(&id).cloned())
    }
    fn owner(&mut self, identity: &Identity) -> Result<Option<ContactId>, Infallible> {
        let owner = self.0.contacts.values().find(|contact| contact.identities().any(|own| own == *identity));
        Ok(owner.map(|contact| contact.id))
    }
}

impl Book {
    fn ask(&mut self, wish: Wish) -> Result<Decided, Refusal> {
        self.made += 1;
        let write = ContactWrite {
            workspace: WorkspaceId::default_workspace(),
            wish,
            by: Actor::Api,
            at: Timestamp::from_millis(1_000 + u64::try_from(self.made).unwrap()),
            random: self.made,
            chain: Vec::new(),
            key: None,
        };
        let decided = decide(&write, &mut Eyes(self)).unwrap()?;
        let id = decided.after.as_ref().or(decided.before.as_ref()).unwrap().id;
        match &decided.after {
            Some(contact) => drop(self.contacts.insert(id, contact.clone())),
            None => drop(self.contacts.remove(&id)),
        }
        Ok(decided)
    }
    fn upsert(&mut self, document: &Value) -> Result<Decided, Refusal> {
        let (id, wanted) = read(document).unwrap();
        self.ask(Wish::Upsert { id, wanted })
    }
    fn id_of(&mut self, document: &Value) -> ContactId {
        self.upsert(document).unwrap().after.unwrap().id
    }
}

fn definitions() -> Vec<FieldDefinition> {
    let field = |name: &str, kind, options: &[&str]| FieldDefinition {
        name: name.parse().unwrap(),
        kind,
        label: String::new(),
        options: options.iter().map(ToString::to_string).collect(),
    };
    vec![
        field("plan", Kind::Choice, &["free", "gold"]),
        field("seats", Kind::Number, &[]),
        field("renews", Kind::Date, &[]),
        field("interests", Kind::List, &[]),
    ]
}

fn read(document: &Value) -> Result<(Option<ContactId>, Wanted), Vec<wanted::InvalidField>> {
    Wanted::read(document, &definitions())
}

#[test]
fn one_person_is_found_by_any_identity_however_it_is_written() {
    let mut book = Book::default();
    let made =
        book.upsert(&json!({ "email": "Ana@Example.com", "phone": "+49 30 901820", "first_name": "Ana" })).unwrap();
    assert_eq!(made.outcome, Outcome::Created);
    let id = made.after.unwrap().id;
    for document in [
        json!({ "email": " ANA@example.COM " }),
        json!({ "phone": "0049 (30) 901820" }),
        json!({ "email": "ana@example.com", "phone": "+4930901820" }),
        json!({ "id": id }),
    ] {
        let again = book.upsert(&document).unwrap();
        assert_eq!((again.outcome, again.after.unwrap().id, again.event), (Outcome::Unchanged, id, None), "{document}");
    }
    let changed = book.upsert(&json!({ "phone": "+4930901820", "external_id": "A-1", "last_name": "Lima" })).unwrap();
    assert_eq!(
        (changed.outcome, changed.changed()),
        (Outcome::Changed, vec!["external_id".to_owned(), "last_name".to_owned()])
    );
    let contact = changed.after.unwrap();
    assert_eq!((contact.version, contact.name().as_deref()), (2, Some("Ana Lima")));
    assert_eq!(book.id_of(&json!({ "external_id": "A-1" })), id);
    assert_eq!(book.contacts.len(), 1);
}

#[test]
fn two_contacts_are_never_made_one_and_the_refusal_names_both() {
    let mut book = Book::default();
    let ana = book.id_of(&json!({ "email": "ana@example.com" }));
    let ben = book.id_of(&json!({ "phone": "+4930901820" }));
    let refusal = book.upsert(&json!({ "email": "ana@example.com", "phone": "+4930901820" })).unwrap_err();
    assert_eq!((refusal.code(), refusal.contacts()), ("conflict", vec![ana, ben]));
    let text = refusal.to_string();
    for part in [&ana.to_string(), &ben.to_string(), "ana@example.com", "+4930901820", "cannot make two contacts one"] {
        assert!(text.contains(part), "{text}");
    }
    let (_, wanted) = read(&json!({ "phone": "+4930901820" })).unwrap();
    let refusal = book.ask(Wish::Change { id: ana, wanted }).unwrap_err();
    assert!(matches!(refusal, Refusal::Taken { owner, .. } if owner == ben), "{refusal}");
    assert!(matches!(book.upsert(&json!({ "first_name": "Nobody" })), Err(Refusal::NoIdentity)));
}

#[test]
fn what_is_freed_can_be_taken_and_what_is_deleted_is_gone() {
    let mut book = Book::default();
    let ana = book.id_of(&json!({ "email": "ana@example.com", "external_id": "1" }));
    let moved = book.upsert(&json!({ "external_id": "1", "email": null })).unwrap();
    assert_eq!(moved.keys(), (vec![Identity::Email("ana@example.com".to_owned())], vec![]));
    let other = book.id_of(&json!({ "email": "ana@example.com" }));
    assert_ne!(other, ana);
    let gone = book.ask(Wish::Delete { id: ana, if_version: Some(2) }).unwrap();
    assert_eq!((gone.outcome, gone.after), (Outcome::Deleted, None));
    assert!(matches!(book.ask(Wish::Delete { id: ana, if_version: None }), Err(Refusal::NotFound { .. })));
}

#[test]
fn a_change_of_another_version_is_refused() {
    let mut book = Book::default();
    let ana = book.id_of(&json!({ "email": "ana@example.com" }));
    let change = |version: u32| Wish::Change {
        id: ana,
        wanted: read(&json!({ "city": "Lisbon", "if_version": version })).unwrap().1,
    };
    let refusal = book.ask(change(7)).unwrap_err();
    assert!(matches!(refusal, Refusal::VersionMoved { expected: 7, actual: 1, .. }), "{refusal}");
    assert_eq!(book.ask(change(1)).unwrap().outcome, Outcome::Changed);
}

#[test]
fn values_are_kept_in_one_form_or_refused_with_what_they_should_be() {
    let options = ["free".to_owned(), "gold".to_owned()];
    for (kind, value, kept) in [
        (Kind::Number, json!("12.5"), Ok(json!(12.5))),
        (Kind::Boolean, json!("true"), Ok(json!(true))),
        (Kind::Date, json!("2026-11-23"), Ok(json!("2026-11-23"))),
        (Kind::Date, json!("23.11.2026"), Err("a date such as")),
        (Kind::Email, json!("A@B.example"), Ok(json!("a@b.example"))),
        (Kind::Email, json!("a b@c.example"), Err("an e-mail address")),
        (Kind::Email, json!("a@b@c.example"), Err("an e-mail address")),
        (Kind::Phone, json!("030 901820"), Err("with its country")),
        (Kind::Phone, json!("+1"), Err("with its country")),
        (Kind::Url, json!("javascript:alert(1)"), Err("https://")),
        (Kind::Url, json!("https://example.com/a"), Ok(json!("https://example.com/a"))),
        (Kind::Choice, json!("glod"), Err("did you mean `gold`")),
        (Kind::List, json!(["free"]), Ok(json!(["free"]))),
        (Kind::List, json!("free"), Err("a list of texts")),
        (Kind::Text, json!(12), Ok(json!("12"))),
        (Kind::Text, json!({}), Err("takes a text")),
    ] {
        match (keep(kind, &options, &value), kept) {
            (Ok(found), Ok(kept)) => assert_eq!(found, kept),
            (Err(found), Err(said)) => assert!(found.contains(said), "{found}"),
            (found, expected) => panic!("{kind:?} {value}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_document_says_where_it_is_wrong_and_what_was_meant() {
    let invalid = read(&json!({
        "emial": "a@b.example", "name": "Ana Lima", "plan": "gold", "phone": "12",
        "fields": { "plan": "silver", "paln": "gold", "city": "Lisbon" }, "add_tags": ["a"], "remove_tags": ["a"],
    }))
    .unwrap_err();
    let said: HashMap<String, String> = invalid
        .into_iter()
        .map(|found| (found.pointer, format!("{} {}", found.message, found.help.unwrap_or_default())))
        .collect();
    for (pointer, part) in [
        ("/emial", "did you mean `email`"),
        ("/name", "set `first_name` and `last_name`"),
        ("/plan", "write it in `fields`"),
        ("/phone", "with its country"),
        ("/fields/plan", "takes one of free, gold"),
        ("/fields/paln", "did you mean `plan`"),
        ("/fields/city", "stands beside `fields`"),
        ("/remove_tags", "added and removed at once"),
    ] {
        assert!(said.get(pointer).is_some_and(|said| said.contains(part)), "{pointer}: {said:?}");
    }
    let (_, wanted) = read(&json!({ "email": "", "phone": null, "fields": { "seats": "", "plan": null } })).unwrap();
    assert_eq!(wanted.names().into_iter().collect::<Vec<_>>(), ["fields.plan", "phone"], "an empty text says nothing");
}

fn trigger(document: Value) -> ContactTrigger {
    serde_json::from_value(document).unwrap()
}

#[test]
fn a_trigger_takes_the_changes_that_it_names() {
    let mut book = Book::default();
    let mut event = |document: Value| book.upsert(&document).unwrap().event.unwrap();
    let created = event(json!({ "email": "ana@example.com", "tags": ["new"] })).change;
    let plan = event(json!({ "email": "ana@example.com", "fields": { "plan": "gold" }, "city": "Lisbon" })).change;
    let tagged = event(json!({ "email": "ana@example.com", "add_tags": ["vip"], "remove_tags": ["new"] })).change;
    let table = [
        (json!({ "created": true }), [vec![Happened::Created], vec![], vec![]]),
        (json!({ "changed": true }), [vec![], vec![Happened::Changed], vec![]]),
        (json!({ "changed": ["fields.plan"] }), [vec![], vec![Happened::Changed], vec![]]),
        (json!({ "changed": ["phone"] }), [vec![], vec![], vec![]]),
        (json!({ "tag_added": ["vip"] }), [vec![], vec![], vec![Happened::TagAdded]]),
        (
            json!({ "tag_added": true, "tag_removed": ["new"] }),
            [vec![Happened::TagAdded], vec![], vec![Happened::TagAdded, Happened::TagRemoved]],
        ),
        (json!({ "deleted": true }), [vec![], vec![], vec![]]),
    ];
    for (written, expected) in table {
        let trigger = trigger(written.clone());
        assert_eq!([&created, &plan, &tagged].map(|change| trigger.matches(change)), expected, "{written}");
    }
    assert!(!trigger(json!({ "created": false, "changed": [] })).is_for_something());
}

#[test]
fn a_circle_is_ended_and_explained() {
    let mut book = Book::default();
    let mut event = book.upsert(&json!({ "email": "ana@example.com" })).unwrap().event.unwrap();
    let (ping, pong): (WorkflowId, WorkflowId) = ("ping".parse().unwrap(), "pong".parse().unwrap());
    let limits = ChainLimits::default();
    let mut started = 0;
    loop {
        let next = if started % 2 == 0 { &ping } else { &pong };
        let Err(circle) = guard(&event, next, &limits) else {
            event
                .chain
                .push(Link { workflow: next.clone(), run: RunId::from_parts(Timestamp::from_millis(started), 1) });
            started += 1;
            continue;
        };
        let text = circle.to_string();
        for part in ["`ping` and `pong`", "5 times already", "a `filter`", "by a person", &event.contact.id.to_string()]
        {
            assert!(text.contains(part), "{text}");
        }
        break;
    }
    assert_eq!(started, 10, "each five times");
    assert!(guard(&event, &"other".parse().unwrap(), &limits).is_ok());
    event.chain.extend(event.chain.clone());
    let circle = guard(&event, &"other".parse().unwrap(), &limits).unwrap_err();
    assert!(circle.what.contains("20 runs"), "{circle}");
}
