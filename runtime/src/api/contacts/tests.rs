use serde_json::{Value, json};

use crate::testing::{Answer, Bench};

fn document(value: &Value) -> String {
    value.to_string()
}

async fn upsert(bench: &Bench, value: &Value) -> Answer {
    bench.api("POST", "/contacts", &document(value)).await
}

fn slug(answer: &Answer) -> String {
    answer.json["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_contact_is_made_found_changed_and_deleted() {
    let bench = Bench::new();
    let made = upsert(&bench, &json!({ "email": "Ana@Example.com", "first_name": "Ana", "tags": ["new"] })).await;
    assert_eq!((made.status, made.json["outcome"].as_str()), (201, Some("created")), "{made:?}");
    let id = made.json["contact"]["id"].as_str().unwrap().to_owned();
    assert_eq!(made.headers["location"], format!("/api/v2/contacts/{id}"));
    let again = upsert(&bench, &json!({ "email": "ana@example.com", "phone": "0049 30 901820" })).await;
    assert_eq!((again.status, &again.json["changed"]), (200, &json!(["phone"])));
    let shown = bench.api("GET", &format!("/contacts/{id}"), "").await;
    assert_eq!((shown.status, &shown.headers["etag"]), (200, &"\"2\"".parse().unwrap()));
    assert_eq!((&shown.json["name"], &shown.json["phone"]), (&json!("Ana"), &json!("+4930901820")));
    for query in ["email=ANA@example.com", "phone=%2B4930901820", "tag=new", "field=first_name=Ana"] {
        let found = bench.api("GET", &format!("/contacts?{query}"), "").await;
        assert_eq!(found.json["contacts"][0]["id"], json!(id), "{query}: {found:?}");
    }
    let none = bench.api("GET", "/contacts?tag=old", "").await;
    assert_eq!(none.json["contacts"], json!([]));
    let history = bench.api("GET", &format!("/contacts/{id}/history"), "").await;
    assert_eq!(history.json["changes"][0]["fields"]["phone"], json!({ "to": "+4930901820" }));
    assert_eq!(history.json["changes"][0]["by"], json!({ "via": "api" }));
    assert_eq!(bench.api("DELETE", &format!("/contacts/{id}"), "").await.json["deleted"], json!(true));
    assert_eq!(bench.api("GET", &format!("/contacts/{id}"), "").await.status, 404);
    assert_eq!(bench.api("DELETE", &format!("/contacts/{id}"), "").await.status, 404);
    let history = bench.api("GET", &format!("/contacts/{id}/history"), "").await;
    assert_eq!(history.json["changes"].as_array().map(Vec::len), Some(1), "{history:?}");
}

#[tokio::test]
async fn a_version_that_somebody_else_has_changed_is_not_changed_again() {
    let bench = Bench::new();
    let id =
        upsert(&bench, &json!({ "email": "ana@example.com" })).await.json["contact"]["id"].as_str().unwrap().to_owned();
    let change = async |tag: &str, city: &str| {
        let headers = [("authorization", "Bearer fcat_a-token-for-tests"), ("if-match", tag)];
        bench.send("PATCH", &format!("/api/v2/contacts/{id}"), &headers, &document(&json!({ "city": city }))).await
    };
    assert_eq!(change("\"1\"", "Lisbon").await.status, 200);
    let refused = change("\"1\"", "Porto").await;
    assert_eq!((refused.status, slug(&refused).as_str()), (412, "version-moved"), "{refused:?}");
    assert_eq!(change("*", "Porto").await.status, 200);
    assert_eq!(change("three", "Faro").await.status, 400);
    let named = bench.api("PATCH", &format!("/contacts/{id}"), r#"{"if_version": 1, "city": "Faro"}"#).await;
    assert_eq!(named.status, 412);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_place_and_what_to_do() {
    let bench = Bench::new();
    let ana = upsert(&bench, &json!({ "email": "ana@example.com" })).await.json["contact"]["id"].clone();
    let ben = upsert(&bench, &json!({ "phone": "+4930901820" })).await.json["contact"]["id"].clone();
    let both = upsert(&bench, &json!({ "email": "ana@example.com", "phone": "+4930901820" })).await;
    assert_eq!((both.status, slug(&both).as_str()), (409, "contact-conflict"));
    assert_eq!(both.json["errors"][0]["pointer"], json!("/email"));
    for id in [&ana, &ben] {
        assert!(both.json["detail"].as_str().unwrap().contains(id.as_str().unwrap()), "{both:?}");
    }
    let wrong =
        upsert(&bench, &json!({ "emial": "x@example.com", "phone": "030 1", "fields": { "plan": "gold" } })).await;
    assert_eq!((wrong.status, wrong.json["errors"].as_array().map(Vec::len)), (422, Some(3)), "{wrong:?}");
    assert_eq!(upsert(&bench, &json!({ "first_name": "Nobody" })).await.status, 422);
    assert_eq!(upsert(&bench, &json!([1])).await.status, 422);
    for query in [
        "email=nobody",
        "field=plan",
        "field=plan=gold",
        "limit=0",
        "cursor=x",
        "email=a@b.example&phone=%2B4930901820",
        "wrong=1",
    ] {
        assert_eq!(bench.api("GET", &format!("/contacts?{query}"), "").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn fields_are_defined_set_and_removed() {
    let bench = Bench::new();
    let defined = bench
        .api("PUT", "/contact-fields/plan", r#"{"kind": "choice", "options": ["free", "gold"], "label": "Plan"}"#)
        .await;
    assert_eq!(defined.status, 201, "{defined:?}");
    assert_eq!(
        bench.api("PUT", "/contact-fields/plan", r#"{"kind": "choice", "options": ["free", "gold"]}"#).await.status,
        200
    );
    let set = upsert(&bench, &json!({ "email": "ana@example.com", "fields": { "plan": "gold" } })).await;
    assert_eq!(set.json["contact"]["fields"], json!({ "plan": "gold" }));
    let found = bench.api("GET", "/contacts?field=fields.plan=gold", "").await;
    assert_eq!(found.json["contacts"].as_array().map(Vec::len), Some(1));
    let refused = upsert(&bench, &json!({ "email": "ana@example.com", "fields": { "plan": "glod" } })).await;
    assert_eq!(refused.json["errors"][0]["pointer"], json!("/fields/plan"));
    assert!(refused.json["errors"][0]["message"].as_str().unwrap().contains("did you mean `gold`"), "{refused:?}");
    for (name, body, status) in [
        ("email", r#"{"kind": "text"}"#, 422),
        ("Plan", r#"{"kind": "text"}"#, 400),
        ("size", r#"{"kind": "choice"}"#, 422),
        ("size", r#"{"kind": "huge"}"#, 422),
        ("size", r#"{"kind": "number", "options": ["1"]}"#, 422),
    ] {
        assert_eq!(bench.api("PUT", &format!("/contact-fields/{name}"), body).await.status, status, "{name} {body}");
    }
    assert_eq!(bench.api("DELETE", "/contact-fields/plan", "").await.status, 200);
    assert_eq!(bench.api("DELETE", "/contact-fields/plan", "").await.status, 404);
    assert_eq!(bench.api("GET", "/contact-fields", "").await.json["fields"], json!([]));
}

#[tokio::test]
async fn notes_are_written_and_read_the_newest_first() {
    let bench = Bench::new();
    let id =
        upsert(&bench, &json!({ "email": "ana@example.com" })).await.json["contact"]["id"].as_str().unwrap().to_owned();
    let path = format!("/contacts/{id}/notes");
    for text in ["called", "sent the offer"] {
        assert_eq!(bench.api("POST", &path, &document(&json!({ "text": text }))).await.status, 201);
    }
    let notes = bench.api("GET", &path, "").await.json["notes"].clone();
    assert_eq!(notes.as_array().map(Vec::len), Some(2));
    for body in [r#"{"text": " "}"#, r#"{"note": "x"}"#, "{}"] {
        assert_eq!(bench.api("POST", &path, body).await.status, 422, "{body}");
    }
    let other = path.replace("con_", "con_7").replacen("con_70", "con_7", 1);
    assert_ne!(bench.api("GET", &other, "").await.status, 200);
}

#[tokio::test]
async fn sixty_four_concurrent_upserts_over_the_api_make_one_contact() {
    let bench = Bench::new();
    let body = document(&json!({ "email": "ana@example.com", "phone": "+4930901820" }));
    let mut created = 0;
    let mut asked = tokio::task::JoinSet::new();
    let bench = std::sync::Arc::new(bench);
    for _ in 0..64 {
        let (bench, body) = (std::sync::Arc::clone(&bench), body.clone());
        asked.spawn(async move { bench.api("POST", "/contacts", &body).await });
    }
    while let Some(answer) = asked.join_next().await {
        created += usize::from(answer.unwrap().status == 201);
    }
    assert_eq!(created, 1);
    assert_eq!(bench.api("GET", "/contacts", "").await.json["contacts"].as_array().map(Vec::len), Some(1));
}
