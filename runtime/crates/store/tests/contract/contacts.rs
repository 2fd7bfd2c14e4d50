use std::sync::Arc;
use std::time::Duration;

use flowcell_core::contact::decide::{ContactWrite, Outcome, Refusal, Wish};
use flowcell_core::contact::field::{FieldDefinition, Kind};
use flowcell_core::contact::filter::{ContactFilter, ContactPageRequest};
use flowcell_core::contact::port::{Contacts, Written};
use flowcell_core::contact::wanted::Wanted;
use flowcell_core::contact::{Actor, Contact, Identity};
use flowcell_core::id::{ContactId, WorkspaceId};
use serde_json::{Value, json};

use crate::backend::{Backend, at, workspace};

fn definition(name: &str) -> FieldDefinition {
    FieldDefinition { name: name.parse().unwrap(), kind: Kind::Text, label: "x".repeat(100), options: Vec::new() }
}

fn write(number: u64, wish: Wish) -> ContactWrite {
    ContactWrite {
        workspace: workspace(),
        wish,
        by: Actor::Api,
        at: at(number),
        random: u128::from(number),
        chain: Vec::new(),
        key: None,
    }
}

fn upsert(number: u64, document: &Value) -> ContactWrite {
    let (id, wanted) = Wanted::read(document, &[definition("plan"), definition("story")]).unwrap();
    write(number, Wish::Upsert { id, wanted })
}

async fn done(contacts: &dyn Contacts, write: ContactWrite) -> Written {
    contacts.write(write).await.unwrap().unwrap()
}

async fn found(contacts: &dyn Contacts, email: &str) -> Option<Contact> {
    contacts.find(&workspace(), &Identity::Email(email.to_owned())).await.unwrap()
}

async fn all(contacts: &dyn Contacts, filter: ContactFilter) -> Vec<Contact> {
    let page = contacts.search(&workspace(), &filter, ContactPageRequest { before: None, limit: 100 }).await.unwrap();
    assert_eq!((page.next, page.is_cut), (None, false));
    page.contacts
}

/// Makes the writes at once and counts what they came to.
async fn at_once(store: &Backend, writes: Vec<ContactWrite>) -> Vec<Written> {
    let asked: Vec<_> = writes
        .into_iter()
        .map(|write| {
            let contacts = Arc::clone(&store.contacts);
            tokio::task::spawn(async move { contacts.write(write).await.unwrap().unwrap() })
        })
        .collect();
    let mut written = Vec::new();
    for asked in asked {
        written.push(asked.await.unwrap());
    }
    written
}

pub(crate) async fn sixty_four_concurrent_upserts_of_one_person_make_one_contact(store: Backend) {
    let writes = (0..64).map(|number| {
        let email = if number % 2 == 0 { "Ana@Example.com" } else { "ana@example.com " };
        upsert(number, &json!({ "email": email, "add_tags": [format!("tag-{number}")] }))
    });
    let written = at_once(&store, writes.collect()).await;
    assert_eq!(written.iter().filter(|one| one.outcome == Outcome::Created).count(), 1);
    let versions: std::collections::BTreeSet<u32> =
        written.iter().map(|one| one.contact.as_ref().unwrap().version).collect();
    assert_eq!(versions, (1..=64).collect(), "each of them saw the one before");
    let store = store.restart();
    let contacts = all(&*store.contacts, ContactFilter::default()).await;
    assert_eq!(contacts.len(), 1);
    assert_eq!((contacts[0].tags.len(), contacts[0].version), (64, 64));
    assert_eq!(store.contacts.history(&workspace(), contacts[0].id, (None, 100)).await.unwrap().len(), 64);
    assert_eq!(store.contacts.waiting(100).await.unwrap().len(), 64);
}

pub(crate) async fn concurrent_upserts_by_different_identities_make_one_contact(store: Backend) {
    let documents = [
        json!({ "email": "ana@example.com", "external_id": "7" }),
        json!({ "phone": "+4930901820", "external_id": "7" }),
        json!({ "email": "ana@example.com", "phone": "+4930901820", "external_id": "7" }),
    ];
    let writes = (0..30).map(|number| upsert(number, &documents[usize::try_from(number).unwrap() % 3])).collect();
    let written = at_once(&store, writes).await;
    assert!(written.iter().all(|one| one.id == written[0].id));
    let contacts = all(&*store.contacts, ContactFilter::default()).await;
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].identities().count(), 3);
    let other = done(&*store.contacts, upsert(40, &json!({ "email": "ben@example.com" }))).await.id;
    let merging = upsert(41, &json!({ "email": "ben@example.com", "phone": "+4930901820" }));
    let refusal = store.contacts.write(merging).await.unwrap().unwrap_err();
    assert!(
        matches!(refusal, Refusal::TwoContacts { first, second, .. } if first == other && second == contacts[0].id)
    );
}

pub(crate) async fn a_change_leaves_what_it_is_found_by_free_for_others(store: Backend) {
    let contacts = &*store.contacts;
    let ana = done(contacts, upsert(1, &json!({ "email": "ana@example.com", "external_id": "1" }))).await.id;
    let taken = upsert(2, &json!({ "external_id": "2", "email": "ana@example.com" }));
    assert_eq!(done(contacts, taken).await.id, ana, "the address says who is meant");
    done(contacts, upsert(3, &json!({ "id": ana, "email": "ana@example.org" }))).await;
    assert_eq!(found(contacts, "ana@example.com").await, None);
    let other = done(contacts, upsert(4, &json!({ "email": "ana@example.com" }))).await;
    assert_eq!(other.outcome, Outcome::Created);
    done(contacts, write(5, Wish::Delete { id: ana, if_version: None })).await;
    let store = store.restart();
    let contacts = &*store.contacts;
    assert_eq!(found(contacts, "ana@example.org").await, None);
    assert_eq!(found(contacts, "ana@example.com").await.unwrap().id, other.id);
    let again = done(contacts, upsert(6, &json!({ "email": "ana@example.org" }))).await;
    assert_eq!(again.outcome, Outcome::Created);
    assert_ne!(again.id, ana);
}

pub(crate) async fn what_a_change_sets_off_waits_until_it_is_dispatched(store: Backend) {
    let changed = store.contacts.changed();
    done(&*store.contacts, upsert(1, &json!({ "email": "ana@example.com" }))).await;
    tokio::time::timeout(Duration::from_mins(1), changed).await.unwrap();
    done(&*store.contacts, upsert(2, &json!({ "email": "ana@example.com" }))).await;
    done(&*store.contacts, upsert(3, &json!({ "email": "ana@example.com", "city": "Lisbon" }))).await;
    let store = store.restart();
    let waiting = store.contacts.waiting(100).await.unwrap();
    let cities: Vec<_> = waiting.iter().map(|event| event.contact.value("city")).collect();
    assert_eq!(cities, [None, Some(json!("Lisbon"))], "what changes nothing sets nothing off");
    assert_eq!(store.contacts.waiting(1).await.unwrap(), waiting[..1]);
    store.contacts.dispatched(&[(workspace(), waiting[0].id)]).await.unwrap();
    store.contacts.dispatched(&[(workspace(), waiting[0].id)]).await.unwrap();
    assert_eq!(store.restart().contacts.waiting(100).await.unwrap(), waiting[1..]);
}

pub(crate) async fn the_same_key_is_answered_as_the_first_time(store: Backend) {
    let with_key = |number: u64| ContactWrite {
        key: Some("run_1/note/1".to_owned()),
        ..upsert(number, &json!({ "email": "ana@example.com", "city": "Lisbon" }))
    };
    let first = done(&*store.contacts, with_key(1)).await;
    assert_eq!((first.outcome, first.is_repeated), (Outcome::Created, false));
    done(&*store.contacts, upsert(2, &json!({ "email": "ana@example.com", "city": "Porto" }))).await;
    let store = store.restart();
    let again = done(&*store.contacts, with_key(3)).await;
    assert_eq!(
        (again.outcome, again.id, again.changed, again.is_repeated),
        (Outcome::Created, first.id, first.changed, true)
    );
    assert_eq!(again.contact.unwrap().value("city"), Some(json!("Porto")), "what came meanwhile stays");
    let note = |number| ContactWrite {
        key: Some("n".to_owned()),
        ..write(number, Wish::Note { id: first.id, text: "called".to_owned() })
    };
    let noted = done(&*store.contacts, note(4)).await;
    assert_eq!(done(&*store.contacts, note(5)).await.note, noted.note);
    assert_eq!(store.contacts.notes(&workspace(), first.id, (None, 10)).await.unwrap().len(), 1);
    let late = at(0) + Duration::from_hours(73);
    assert_eq!(store.contacts.forget_keys(at(10)).await.unwrap(), 0);
    assert_eq!(store.contacts.forget_keys(late).await.unwrap(), 2);
    assert!(!done(&*store.contacts, ContactWrite { at: late, ..note(6) }).await.is_repeated);
}

pub(crate) async fn a_deleted_contact_takes_notes_and_history_with_it(store: Backend) {
    let contacts = &*store.contacts;
    let ana = done(contacts, upsert(1, &json!({ "email": "ana@example.com" }))).await.id;
    let ben = done(contacts, upsert(2, &json!({ "email": "ben@example.com" }))).await.id;
    for (number, id) in [(3, ana), (4, ben), (5, ana)] {
        done(contacts, write(number, Wish::Note { id, text: format!("note {number}") })).await;
    }
    let texts = |notes: Vec<flowcell_core::contact::Note>| notes.into_iter().map(|note| note.text).collect::<Vec<_>>();
    assert_eq!(texts(contacts.notes(&workspace(), ana, (None, 10)).await.unwrap()), ["note 5", "note 3"]);
    let wrong = contacts.write(write(6, Wish::Delete { id: ana, if_version: Some(9) })).await.unwrap();
    assert!(matches!(wrong, Err(Refusal::VersionMoved { actual: 1, .. })));
    let gone = done(contacts, write(7, Wish::Delete { id: ana, if_version: Some(1) })).await;
    assert_eq!((gone.outcome, gone.contact), (Outcome::Deleted, None));
    let store = store.restart();
    let contacts = &*store.contacts;
    assert_eq!(contacts.get(&workspace(), ana).await.unwrap(), None);
    assert!(contacts.notes(&workspace(), ana, (None, 10)).await.unwrap().is_empty());
    let history = contacts.history(&workspace(), ana, (None, 10)).await.unwrap();
    assert_eq!((history.len(), history[0].fields.len()), (1, 0), "that it was deleted, and nothing that was known");
    assert_eq!(texts(contacts.notes(&workspace(), ben, (None, 10)).await.unwrap()), ["note 4"]);
    assert_eq!(contacts.waiting(10).await.unwrap().last().unwrap().contact.email.as_deref(), Some("ana@example.com"));
}

pub(crate) async fn contacts_are_searched_in_pages_within_their_workspace(store: Backend) {
    let contacts = &*store.contacts;
    let mut ids: Vec<ContactId> = Vec::new();
    for number in 1..=7_u64 {
        let plan = if number % 2 == 0 { "gold" } else { "free" };
        let document =
            json!({ "email": format!("c{number}@example.com"), "fields": { "plan": plan }, "tags": ["all", plan] });
        ids.insert(0, done(contacts, upsert(number, &document)).await.id);
    }
    let other: WorkspaceId = "other".parse().unwrap();
    let foreign = ContactWrite { workspace: other.clone(), ..upsert(8, &json!({ "email": "c1@example.com" })) };
    assert_eq!(done(contacts, foreign).await.outcome, Outcome::Created);
    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let page = contacts
            .search(&workspace(), &ContactFilter::default(), ContactPageRequest { before, limit: 3 })
            .await
            .unwrap();
        paged.extend(page.contacts.iter().map(|contact| contact.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(paged, ids);
    let gold = [ids[1], ids[3], ids[5]];
    for filter in [
        ContactFilter { tag: Some("gold".to_owned()), ..ContactFilter::default() },
        ContactFilter { field: Some(("fields.plan".to_owned(), "gold".to_owned())), ..ContactFilter::default() },
    ] {
        assert_eq!(all(contacts, filter).await.iter().map(|contact| contact.id).collect::<Vec<_>>(), gold);
    }
    let email =
        ContactFilter { identity: Some(Identity::Email("c3@example.com".to_owned())), ..ContactFilter::default() };
    assert_eq!(all(contacts, email.clone()).await[0].id, ids[4]);
    assert!(all(contacts, ContactFilter { tag: Some("gold".to_owned()), ..email }).await.is_empty());
    assert_eq!(contacts.get(&other, ids[0]).await.unwrap(), None);
}

pub(crate) async fn large_contacts_notes_and_definitions_survive_a_restart(store: Backend) {
    let contacts = &*store.contacts;
    contacts.define(&workspace(), definition("story")).await.unwrap();
    let many = FieldDefinition {
        kind: Kind::Choice,
        options: (0..200).map(|n| format!("{n}-{}", "o".repeat(50))).collect(),
        ..definition("choice")
    };
    contacts.define(&workspace(), many.clone()).await.unwrap();
    contacts.define(&workspace(), many.clone()).await.unwrap();
    let tags: Vec<String> = (0..100).map(|number| format!("{number}-{}", "t".repeat(80))).collect();
    let large =
        upsert(1, &json!({ "email": "ana@example.com", "tags": tags, "fields": { "story": "s".repeat(4_000) } }));
    let ana = done(contacts, large).await.id;
    done(contacts, write(2, Wish::Note { id: ana, text: "n".repeat(30_000) })).await;
    done(contacts, upsert(3, &json!({ "id": ana, "city": "Lisbon" }))).await;
    let store = store.restart();
    let contacts = &*store.contacts;
    let contact = contacts.get(&workspace(), ana).await.unwrap().unwrap();
    assert_eq!((contact.tags.len(), contact.version), (100, 2));
    assert_eq!(contacts.notes(&workspace(), ana, (None, 1)).await.unwrap()[0].text.len(), 30_000);
    assert_eq!(contacts.definitions(&workspace()).await.unwrap(), [many, definition("story")]);
    let waiting: Vec<_> =
        contacts.waiting(10).await.unwrap().into_iter().map(|event| (workspace(), event.id)).collect();
    contacts.dispatched(&waiting).await.unwrap();
    done(contacts, write(4, Wish::Delete { id: ana, if_version: None })).await;
    assert!(contacts.undefine(&workspace(), &"choice".parse().unwrap()).await.unwrap());
    assert!(!contacts.undefine(&workspace(), &"choice".parse().unwrap()).await.unwrap());
    let store = store.restart();
    assert_eq!(store.contacts.definitions(&workspace()).await.unwrap(), [definition("story")]);
    assert!(all(&*store.contacts, ContactFilter::default()).await.is_empty());
}
