//! What a group of writes comes to: changes of records, of what is kept in memory, and answers. Decides what only the order
//! of writes can decide: which of two equal deliveries is first, which version follows which.

mod accept;
mod remove;
mod trigger;

use std::collections::HashMap;
use std::sync::Arc;

use flowcell_core::connection::StoredConnection;
use flowcell_core::id::{ConnectionName, WorkspaceId};
use flowcell_core::ports::{Accepted, StoreError};
use serde::de::DeserializeOwned;

use super::contacts::Contacts;
use super::{AppendWrite, ConnectionWrite, CursorWrite, DefineWrite, Reply, RotateWrite, RowsWrite, Write};
use crate::embedded::blocks::Ended;
use crate::embedded::codec;
use crate::embedded::disk::Disk;
use crate::embedded::group::{Group, Row};
use crate::embedded::shared::{Directory, Shared};
use crate::embedded::tables::{self, Table, WorkspaceNumber};
use crate::embedded::tracker::Effect;
use crate::rules;
use crate::tail::Grown;
pub(crate) use accept::{DeliveredRows, Seen};
pub(crate) use trigger::TriggerWrite;

/// A group in the making.
pub(crate) struct Applied<'a> {
    pub(super) shared: &'a Shared,
    /// What the groups before have changed and the trees do not have yet.
    pub(super) held: Arc<Group>,
    pub(crate) group: Group,
    /// First deliveries of this group, by the key of their dedupe record.
    seen: HashMap<sled::IVec, Seen>,
    /// What this group adds to the directory.
    added: Directory,
    removed_hooks: Vec<[u8; 32]>,
    /// What became of contacts.
    pub(super) contacts: Contacts,
    /// What became of connections; none: removed.
    connections: HashMap<(WorkspaceId, ConnectionName), Option<StoredConnection>>,
    effects: Vec<Effect>,
    grown: Vec<Grown<WorkspaceNumber>>,
    ended: Vec<Ended>,
    /// The revisions of triggers' states that this group writes.
    revisions: HashMap<sled::IVec, u64>,
    answers: Vec<Answer>,
}

enum Answer {
    Accepted(Reply<Accepted>, Result<Accepted, StoreError>),
    Polled(Reply<Vec<Accepted>>, Result<Vec<Accepted>, StoreError>),
    Done(Reply<()>, Result<(), StoreError>),
    Workspace(Reply<WorkspaceNumber>, Result<WorkspaceNumber, StoreError>),
}

impl<'a> Applied<'a> {
    /// `held` is what is durable and not in the trees.
    pub(crate) fn new(shared: &'a Shared, held: Arc<Group>) -> Self {
        Self {
            shared,
            held,
            group: Group::default(),
            seen: HashMap::new(),
            added: Directory::default(),
            removed_hooks: Vec::new(),
            contacts: Contacts::default(),
            connections: HashMap::new(),
            effects: Vec::new(),
            grown: Vec::new(),
            ended: Vec::new(),
            revisions: HashMap::new(),
            answers: Vec::new(),
        }
    }

    /// Takes a write in. Before a removal the trees have everything that is durable.
    pub(crate) fn take(&mut self, write: Write, disk: &mut Disk) {
        match write {
            Write::Remove(write) => self.remove(*write, disk),
            Write::Accept(write) => {
                let accepted = self.accept(write.delivered);
                self.answers.push(Answer::Accepted(write.reply, accepted));
            }
            Write::Append(write) => self.append(write),
            Write::Define(write) => self.define(*write),
            Write::Cursor(write) => self.cursor(*write),
            Write::Connection(write) => self.connection(*write),
            Write::Rows(write) => self.rows(*write),
            Write::Trigger(write) => self.trigger(*write),
            Write::Rotate(write) => self.rotate(*write),
            Write::Contact(write) => self.contact(*write),
            Write::Workspace { name, reply } => {
                let number = self.workspace(name);
                self.answers.push(Answer::Workspace(reply, number));
            }
            Write::Release { run } => self.effects.push(Effect::Released { run }),
            // The writer's own business.
            Write::Close { .. } | Write::Compact { .. } => {}
        }
    }

    /// Writes the runs that end in this group into the index.
    pub(crate) fn index(&mut self, disk: &mut Disk) {
        let number = disk.last_number() + 1;
        disk.blocks.add(&self.ended, number, &mut self.group);
    }

    /// Changes what is kept in memory, tells who follows and answers everybody. The group, whose number is `number`, is durable now.
    pub(crate) fn answer(self, number: u64) {
        let shared = self.shared;
        shared.tail.push(number, self.grown);
        let is_same = self.added.workspaces.is_empty() && self.added.heads.is_empty() && self.added.cursors.is_empty();
        if !is_same || !self.connections.is_empty() {
            let mut directory = shared.directory_mut();
            for (place, connection) in self.connections {
                match connection {
                    Some(connection) => directory.connections.insert(place, connection),
                    None => directory.connections.remove(&place),
                };
            }
            for token in &self.removed_hooks {
                directory.hooks.remove(token);
            }
            directory.workspaces.extend(self.added.workspaces);
            directory.heads.extend(self.added.heads);
            directory.hooks.extend(self.added.hooks);
            directory.cursors.extend(self.added.cursors);
        }
        let mut has_work = false;
        if !self.effects.is_empty() {
            let mut tracker = shared.tracker();
            for effect in self.effects {
                has_work |= tracker.apply(effect, number);
            }
        }
        // Before the answers: who subscribes after its own write was answered is not woken by it.
        if has_work {
            shared.changed.notify_waiters();
        }
        self.contacts.answer(shared);
        // A caller that is gone needs no answer.
        for answer in self.answers {
            match answer {
                Answer::Accepted(reply, result) => drop(reply.send(result)),
                Answer::Polled(reply, result) => drop(reply.send(result)),
                Answer::Done(reply, result) => drop(reply.send(result)),
                Answer::Workspace(reply, result) => drop(reply.send(result)),
            }
        }
    }

    /// The record as the groups before leave it.
    fn before<T: DeserializeOwned>(&self, table: Table, key: &sled::IVec, what: &str) -> Result<Option<T>, StoreError> {
        match self.held.pending(table, key) {
            Some(Some(record)) => self.shared.decode(table, key, record, what).map(Some),
            Some(None) => Ok(None),
            None => self.shared.read(table, key, what),
        }
    }

    fn append(&mut self, write: AppendWrite) {
        for row in write.rows {
            self.group.put(row);
        }
        self.effects.push(write.effect);
        self.grown.push(write.grown);
        self.ended.extend(write.ended.map(|ended| *ended));
        if let Some(reply) = write.reply {
            self.answers.push(Answer::Done(reply, Ok(())));
        }
    }

    fn define(&mut self, write: DefineWrite) {
        let key = (write.head.head.workspace.clone(), write.head.head.id.clone());
        let directory = self.shared.directory();
        let stored = self.added.heads.get(&key).or_else(|| directory.heads.get(&key)).cloned();
        let token = write.hook.token_hash;
        let owner = self.added.hooks.get(&token).or_else(|| directory.hooks.get(&token)).cloned();
        drop(directory);
        let checked = rules::check_version(&write.version, stored.as_ref().map_or(0, |stored| stored.head.latest));
        let checked = checked.and_then(|()| {
            rules::check_url(&write.head.head, stored.as_ref().map_or(0, |stored| stored.head.hook_generation))
        });
        let is_foreign = owner.is_some_and(|hook| hook.workspace != key.0 || hook.workflow != key.1);
        let checked = if is_foreign { checked.and(Err(rules::hook_taken(&write.head.head))) } else { checked };
        if checked.is_ok() {
            if let Some(old) = stored.map(|stored| stored.token_hash).filter(|old| *old != token) {
                self.group.remove(Table::Hooks, tables::hook(&old));
                self.added.hooks.remove(&old);
                self.removed_hooks.push(old);
            }
            for row in write.rows {
                self.group.put(row);
            }
            self.removed_hooks.retain(|removed| *removed != token);
            self.added.hooks.insert(token, write.hook.hook);
            self.added.heads.insert(key, write.head);
        }
        self.answers.push(Answer::Done(write.reply, checked));
    }

    fn cursor(&mut self, write: CursorWrite) {
        for row in write.rows {
            self.group.put(row);
        }
        self.added.cursors.insert(write.cursor.place(), write.cursor);
        self.answers.push(Answer::Done(write.reply, Ok(())));
    }

    fn connection(&mut self, write: ConnectionWrite) {
        let revision = match self.connections.get(&write.place) {
            Some(changed) => changed.as_ref().map(|stored| stored.revision),
            None => self.shared.directory().connections.get(&write.place).map(|stored| stored.revision),
        };
        let checked = match &write.connection {
            Some(connection) => rules::check_revision(connection, revision.unwrap_or(0)),
            None if revision.is_none() => Err(StoreError::NotFound { what: format!("connection `{}`", write.place.1) }),
            None => Ok(()),
        };
        if checked.is_ok() {
            if write.connection.is_none() {
                self.group.remove(Table::Connections, write.key);
            }
            for row in write.rows {
                self.group.put(row);
            }
            self.connections.insert(write.place, write.connection);
        }
        self.answers.push(Answer::Done(write.reply, checked));
    }

    fn rows(&mut self, write: RowsWrite) {
        for (table, key) in write.remove {
            self.group.remove(table, key);
        }
        for row in write.rows {
            self.group.put(row);
        }
        self.answers.push(Answer::Done(write.reply, Ok(())));
    }

    fn rotate(&mut self, write: RotateWrite) {
        let RotateWrite { rows, head, hook, gone, reply } = write;
        let key = (head.head.workspace.clone(), head.head.id.clone());
        let directory = self.shared.directory();
        let stored = self.added.heads.get(&key).or_else(|| directory.heads.get(&key));
        let mut checked = rules::check_rotation(&head.head, &hook, stored.map(|stored| &stored.head));
        let leads = |token: &[u8; 32]| self.added.hooks.get(token).or_else(|| directory.hooks.get(token));
        if checked.is_ok() && leads(&hook.token_hash).is_some() {
            checked = Err(rules::hook_taken(&head.head));
        }
        let is_own =
            |token: &&[u8; 32]| leads(token).is_some_and(|led| led.workspace == key.0 && led.workflow == key.1);
        let gone: Vec<[u8; 32]> = gone.iter().filter(is_own).copied().collect();
        drop(directory);
        if checked.is_ok() {
            for token in gone {
                self.group.remove(Table::Hooks, tables::hook(&token));
                self.added.hooks.remove(&token);
                self.removed_hooks.push(token);
            }
            for row in rows {
                self.group.put(row);
            }
            self.removed_hooks.retain(|removed| *removed != hook.token_hash);
            self.added.hooks.insert(hook.token_hash, hook.hook);
            self.added.heads.insert(key, head);
        }
        self.answers.push(Answer::Done(reply, checked));
    }

    fn workspace(&mut self, name: WorkspaceId) -> Result<WorkspaceNumber, StoreError> {
        let directory = self.shared.directory();
        if let Some(number) = directory.workspaces.get(&name).or_else(|| self.added.workspaces.get(&name)) {
            return Ok(*number);
        }
        let used = directory.workspaces.values().chain(self.added.workspaces.values()).max().copied().unwrap_or(0);
        drop(directory);
        let number = used
            .checked_add(1)
            .ok_or_else(|| StoreError::Refused { message: "there are too many workspaces".to_owned() })?;
        let key = tables::workspace(number);
        let record = codec::encode(Table::Workspaces, &key, &name)?.record;
        self.group.put(Row { table: Table::Workspaces, key, record });
        self.added.workspaces.insert(name, number);
        Ok(number)
    }
}
