//! What a group of writes comes to: changes of records, of what is kept in memory, and answers. Decides what only the order
//! of writes can decide: which of two equal deliveries is first, which version follows which.

use std::collections::{HashMap, HashSet};

use flowcell_core::id::{Digest, EventId, RunId, WorkspaceId};
use flowcell_core::ports::{Accepted, DedupeTerms, StoreError};
use flowcell_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AcceptWrite, AppendWrite, DefineWrite, Reply, Write};
use crate::embedded::codec;
use crate::embedded::group::{Group, Row};
use crate::embedded::guard::without_panic;
use crate::embedded::shared::{Directory, Shared};
use crate::embedded::tables::{self, Table, WorkspaceNumber};
use crate::embedded::tracker::Effect;
use crate::rules;

/// The record of [`Table::Dedupe`]: the first delivery with a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) event: EventId,
    pub(crate) runs: Vec<RunId>,
    pub(crate) at: Timestamp,
    /// The SHA-256 of its body, where it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Digest>,
}

/// A group in the making.
pub(crate) struct Applied<'a> {
    shared: &'a Shared,
    pub(crate) group: Group,
    /// First deliveries of this group, by the key of their dedupe record.
    seen: HashMap<sled::IVec, Seen>,
    /// What this group adds to the directory.
    added: Directory,
    removed_hooks: Vec<[u8; 32]>,
    effects: Vec<Effect>,
    answers: Vec<Answer>,
}

enum Answer {
    Accepted(Reply<Accepted>, Result<Accepted, StoreError>),
    Done(Reply<()>, Result<(), StoreError>),
    Workspace(Reply<WorkspaceNumber>, Result<WorkspaceNumber, StoreError>),
}

impl<'a> Applied<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            group: Group::default(),
            seen: HashMap::new(),
            added: Directory::default(),
            removed_hooks: Vec::new(),
            effects: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The runs whose records the group changes.
    pub(crate) fn runs(&self) -> HashSet<RunId> {
        self.effects.iter().filter_map(Effect::written).collect()
    }

    pub(crate) fn take(&mut self, write: Write) {
        match write {
            Write::Accept(write) => self.accept(*write),
            Write::Append(write) => self.append(write),
            Write::Define(write) => self.define(*write),
            Write::Workspace { name, reply } => {
                let number = self.workspace(name);
                self.answers.push(Answer::Workspace(reply, number));
            }
            Write::Release { run } => self.effects.push(Effect::Released { run }),
            // The writer's own business.
            Write::Close { .. } => {}
        }
    }

    /// Changes what is kept in memory and answers everybody. The group is durable now.
    pub(crate) fn answer(self) {
        let shared = self.shared;
        if !self.added.workspaces.is_empty() || !self.added.heads.is_empty() {
            let mut directory = shared.directory_mut();
            for token in &self.removed_hooks {
                directory.hooks.remove(token);
            }
            directory.workspaces.extend(self.added.workspaces);
            directory.heads.extend(self.added.heads);
            directory.hooks.extend(self.added.hooks);
        }
        let mut has_work = false;
        if !self.effects.is_empty() {
            let mut tracker = shared.tracker();
            for effect in self.effects {
                has_work |= tracker.apply(effect);
            }
        }
        // Before the answers: who subscribes after its own write was answered is not woken by it.
        if has_work {
            shared.changed.notify_waiters();
        }
        // A caller that is gone needs no answer.
        for answer in self.answers {
            match answer {
                Answer::Accepted(reply, result) => drop(reply.send(result)),
                Answer::Done(reply, result) => drop(reply.send(result)),
                Answer::Workspace(reply, result) => drop(reply.send(result)),
            }
        }
    }

    fn accept(&mut self, write: AcceptWrite) {
        let first = match &write.dedupe {
            Some(row) => match self.first(&row.key, write.received_at, &write.terms) {
                Ok(first) => first,
                Err(error) => return self.answers.push(Answer::Accepted(write.reply, Err(error))),
            },
            None => None,
        };
        if let Some(first) = first {
            let accepted = Accepted { event: first.event, runs: first.runs, duplicate: true };
            return self.answers.push(Answer::Accepted(write.reply, Ok(accepted)));
        }
        for (table, key) in &write.taken_if {
            match self.is_taken(*table, key) {
                Ok(false) => {}
                Ok(true) => {
                    let error = rules::exists(&write.accepted.event.to_string());
                    return self.answers.push(Answer::Accepted(write.reply, Err(error)));
                }
                Err(error) => return self.answers.push(Answer::Accepted(write.reply, Err(error))),
            }
        }
        if let Some(row) = write.dedupe {
            let (event, runs) = (write.accepted.event, write.accepted.runs.clone());
            let seen = Seen { event, runs, at: write.received_at, body: write.terms.body };
            self.seen.insert(row.key.clone(), seen);
            self.group.put(row);
        }
        for row in write.rows {
            self.group.put(row);
        }
        self.effects.extend(write.effects);
        self.answers.push(Answer::Accepted(write.reply, Ok(write.accepted)));
    }

    /// The delivery that one at `now` with this key repeats.
    fn first(&self, key: &sled::IVec, now: Timestamp, terms: &DedupeTerms) -> Result<Option<Seen>, StoreError> {
        let seen = match self.seen.get(key) {
            Some(seen) => Some(seen.clone()),
            None => self.shared.read::<Seen>(Table::Dedupe, key, "the record of an earlier delivery")?,
        };
        let Some(seen) = seen else { return Ok(None) };
        let earlier = rules::Earlier { event: seen.event, at: seen.at, body: seen.body };
        Ok(rules::repeats(earlier, now, terms)?.then_some(seen))
    }

    fn is_taken(&self, table: Table, key: &sled::IVec) -> Result<bool, StoreError> {
        if self.group.writes(table, key) {
            return Ok(true);
        }
        without_panic(|| self.shared.trees.get(table).contains_key(key))
            .and_then(|found| found.map_err(|error| error.to_string()))
            .map_err(|problem| StoreError::Damaged { what: format!("the table `{}`", table.name()), problem })
    }

    fn append(&mut self, write: AppendWrite) {
        for row in write.rows {
            self.group.put(row);
        }
        self.effects.push(write.effect);
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
