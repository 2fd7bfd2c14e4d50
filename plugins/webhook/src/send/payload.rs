//! What is sent, by preset. README.md documents every field; the tests compare byte for byte.

use std::collections::BTreeMap;

use flowcell_sdk::json::Verbatim;
use flowcell_sdk::{ActionError, Context, log};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Message;

/// The author's keys and values alone.
pub(super) fn data(message: &Message) -> Result<&BTreeMap<String, Verbatim>, ActionError> {
    let unsent = [
        ("/contact", message.contact.is_some()),
        ("/trigger", message.trigger.is_some()),
        ("/location", message.location.is_some()),
        ("/workflow_name", message.workflow_name.is_some()),
    ];
    if let Some((pointer, _)) = unsent.into_iter().find(|(_, given)| *given) {
        let field = pointer.trim_start_matches('/');
        let advice =
            format!("the preset `data` sends `data` alone: put it there, or choose a preset that sends `{field}`");
        return Err(ActionError::invalid_input(pointer, advice));
    }
    Ok(&message.data)
}

/// Flowcell's own shape.
#[derive(Serialize)]
pub(super) struct Clean<'m> {
    /// The same for every attempt; also in the header `webhook-id` when the request is signed.
    id: &'m str,
    workspace: &'m str,
    workflow: Named<'m>,
    run: Id<'m>,
    step: &'m str,
    contact: Option<&'m Map<String, Value>>,
    trigger: Option<&'m Verbatim>,
    data: &'m BTreeMap<String, Verbatim>,
}

#[derive(Serialize)]
struct Named<'m> {
    id: &'m str,
    name: &'m str,
}

#[derive(Serialize)]
struct Id<'m> {
    id: &'m str,
}

pub(super) fn clean<'m>(ctx: &'m Context, message: &'m Message) -> Clean<'m> {
    Clean {
        id: &ctx.idempotency_key,
        workspace: &ctx.workspace,
        workflow: workflow(ctx, message),
        run: Id { id: &ctx.run },
        step: &ctx.step,
        contact: message.contact.as_ref(),
        trigger: message.trigger.as_ref(),
        data: &message.data,
    }
}

fn workflow<'m>(ctx: &'m Context, message: &'m Message) -> Named<'m> {
    Named { id: &ctx.workflow, name: message.workflow_name.as_deref().unwrap_or(&ctx.workflow) }
}

/// The names of HighLevel's outbound webhook. What is not known is an empty text there, never missing.
#[derive(Serialize)]
pub(super) struct HighLevel<'m> {
    contact_id: String,
    first_name: String,
    last_name: String,
    full_name: String,
    email: String,
    phone: String,
    /// Joined with commas.
    tags: String,
    country: String,
    date_created: String,
    full_address: String,
    contact_type: String,
    location: Location,
    workflow: Named<'m>,
    #[serde(rename = "triggerData")]
    trigger_data: TriggerData<'m>,
    #[serde(rename = "customData")]
    custom_data: &'m BTreeMap<String, Verbatim>,
    /// The contact's own fields, under their labels.
    #[serde(flatten)]
    fields: BTreeMap<&'m str, &'m Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    name: String,
    address: String,
    city: String,
    state: String,
    country: String,
    postal_code: String,
    full_address: String,
    id: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TriggerData<'m> {
    Given(&'m Verbatim),
    None {},
}

/// The names of [`HighLevel`] itself, which a contact's field cannot take over.
const STANDARD: [&str; 15] = [
    "contact_id",
    "first_name",
    "last_name",
    "full_name",
    "email",
    "phone",
    "tags",
    "country",
    "date_created",
    "full_address",
    "contact_type",
    "location",
    "workflow",
    "triggerData",
    "customData",
];

pub(super) fn highlevel<'m>(ctx: &'m Context, message: &'m Message) -> HighLevel<'m> {
    let nobody = Map::new();
    let contact = message.contact.as_ref();
    let known = Facts(contact.unwrap_or(&nobody));
    let address = Facts(known.object("address").unwrap_or(&nobody));
    let (first_name, last_name) = (known.text("first_name"), known.text("last_name"));
    let full_name = known.text("full_name");
    let country = known.text("country");
    HighLevel {
        contact_id: known.text("id"),
        full_name: if full_name.is_empty() { joined(&[&first_name, &last_name], " ") } else { full_name },
        first_name,
        last_name,
        email: known.text("email"),
        phone: known.text("phone"),
        tags: known.list("tags"),
        country: if country.is_empty() { address.text("country") } else { country },
        date_created: known.text("created_at"),
        full_address: address.written_out(),
        contact_type: known.text("type"),
        location: location(message.location.as_ref().unwrap_or(&nobody), ctx),
        workflow: workflow(ctx, message),
        trigger_data: message.trigger.as_ref().map_or(TriggerData::None {}, TriggerData::Given),
        custom_data: &message.data,
        fields: fields(contact),
    }
}

/// The contact's fields by label. One that is called like a standard field is left out, and the log says so.
fn fields(contact: Option<&Map<String, Value>>) -> BTreeMap<&str, &Value> {
    let fields = contact.and_then(|contact| contact.get("fields")).and_then(Value::as_object);
    let fields = fields.into_iter().flatten().map(|(label, value)| (label.as_str(), value));
    fields
        .filter(|(label, _)| {
            let free = !STANDARD.contains(label);
            if !free {
                log::warn!("the contact's field `{label}` is not sent: the payload has a standard field of this name");
            }
            free
        })
        .collect()
}

fn location(given: &Map<String, Value>, ctx: &Context) -> Location {
    let given = Facts(given);
    let id = given.text("id");
    Location {
        name: given.text("name"),
        address: given.text("address"),
        city: given.text("city"),
        state: given.text("state"),
        country: given.text("country"),
        postal_code: given.text("postal_code"),
        full_address: given.written_out(),
        id: if id.is_empty() { ctx.workspace.clone() } else { id },
    }
}

/// An object that people filled in: what is missing or of another kind reads as an empty text.
struct Facts<'m>(&'m Map<String, Value>);

impl<'m> Facts<'m> {
    fn text(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(truth)) => truth.to_string(),
            _ => String::new(),
        }
    }

    fn object(&self, name: &str) -> Option<&'m Map<String, Value>> {
        self.0.get(name)?.as_object()
    }

    /// A list's texts, joined with commas; a text as it is.
    fn list(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            _ => self.text(name),
        }
    }

    /// An address on one line: street, city, state, postal code.
    fn written_out(&self) -> String {
        let full = self.text("full_address");
        if !full.is_empty() {
            return full;
        }
        let street = [self.text("line1"), self.text("address")].into_iter().find(|text| !text.is_empty());
        let state = joined(&[&self.text("state"), &self.text("postal_code")], " ");
        joined(&[&street.unwrap_or_default(), &self.text("line2"), &self.text("city"), &state], ", ")
    }
}

fn joined(parts: &[&str], with: &str) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(with)
}

#[cfg(test)]
mod tests;
