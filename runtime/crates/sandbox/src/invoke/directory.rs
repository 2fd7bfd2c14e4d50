//! Which private directory a call gets, and what it may do with it. Whether there is one follows from manifest and grant; the rest is in [`crate::files`].

use std::sync::Arc;

use flowcell_core::capability::{Rights, Service};

use super::{Mode, Request};
use crate::Sandbox;
use crate::files::{Owner, Quota};
use crate::host::files::{Access, CallFiles, Keeps};
use crate::host::service::Reach;
use crate::load::Loaded;

impl Sandbox {
    /// The private directory of a call. Triggers have it as steps do: like their values, it is no effect on anybody else.
    pub(super) fn files(&self, request: &Request<'_>, loaded: &Loaded, rights: &Rights) -> Option<Box<CallFiles>> {
        let manifest = &loaded.plugin.manifest;
        let asked = manifest.capabilities.files.as_ref()?;
        let denied = rights.decide_service(Service::Files).err().map(|denial| denial.message);
        let owner = Owner { workspace: request.workspace.clone(), plugin: manifest.id.clone() };
        let access = if request.reach == Reach::ReadOnly { Access::ReadOnly } else { Access::ReadWrite };
        let keeps = match request.mode {
            Mode::Live => Keeps::UntilItIsDeleted,
            Mode::Dry(_) | Mode::Replay(_) => Keeps::DuringTheCall,
        };
        let terms = (Quota::of_bytes(asked.quota_bytes()), access, keeps);
        Some(Box::new(CallFiles::new(Arc::clone(&self.files), owner, terms, denied)))
    }
}
