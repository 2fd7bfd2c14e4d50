//! Contacts, when the store is opened: every record reads, and whatever a contact is found by leads to it.

use flowcell_core::contact::event::ContactEvent;
use flowcell_core::contact::field::FieldDefinition;
use flowcell_core::contact::port::Remembered;
use flowcell_core::contact::{Change, Contact, Note};
use flowcell_core::id::ContactId;

use super::{EVERYTHING, Reader, damage, name};
use crate::embedded::open::Damage;
use crate::embedded::tables::{self, ContactPart, Table, WorkspaceNumber};

impl Reader<'_> {
    pub(super) fn contacts(&mut self) -> Result<(), Damage> {
        let table = Table::Contacts;
        let (mut identities, mut led) = (0_u64, 0_u64);
        self.scan((table, EVERYTHING), |reader, key, body| {
            let malformed = || damage(&name(table, key), "its key is malformed".to_owned());
            match ContactPart::of(key).ok_or_else(malformed)? {
                ContactPart::Contact => {
                    let contact: Contact = reader.decode(table, key, body)?;
                    let workspace = key.first_chunk::<4>().map(|number| WorkspaceNumber::from_be_bytes(*number));
                    let workspace = workspace.ok_or_else(malformed)?;
                    for identity in contact.identities() {
                        identities += 1;
                        if !reader.holds(table, &tables::identity(workspace, &identity))? {
                            let problem = format!("its {} leads nowhere", identity.field());
                            return Err(damage(&contact.id.to_string(), problem));
                        }
                    }
                }
                ContactPart::Identity => {
                    led += 1;
                    reader.decode::<ContactId>(table, key, body)?;
                }
                ContactPart::Note => drop(reader.decode::<Note>(table, key, body)?),
                ContactPart::History => drop(reader.decode::<Change>(table, key, body)?),
                ContactPart::Waiting => drop(reader.decode::<ContactEvent>(table, key, body)?),
                ContactPart::Definition => drop(reader.decode::<FieldDefinition>(table, key, body)?),
                ContactPart::Remembered => drop(reader.decode::<Remembered>(table, key, body)?),
            }
            Ok(())
        })?;
        if identities == led {
            return Ok(());
        }
        let problem = format!("contacts are found by {identities} identities, and {led} lead to one");
        Err(damage(&format!("the table `{}`", table.name()), problem))
    }
}
