//! Which runs may go: age, count and outcome, decided from the newest run of a workflow to its oldest, and how much has to go for the rest to
//! fit. Pure.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{RunId, WorkflowId};
use crate::ports::{Kept, Usage};
use crate::run::fold::RunStatus;
use crate::time::Timestamp;

/// What is kept of a workflow's runs; what is absent does not limit. Unfinished and pinned runs are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionRules {
    /// Runs that ended longer ago than this many days go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Runs beyond the newest this many go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u32>,
    /// Failed runs are kept this many days, whatever the two above say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_failed_days: Option<u32>,
}

impl RetentionRules {
    /// These rules, and those of `other` where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            days: self.days.or(other.days),
            runs: self.runs.or(other.runs),
            keep_failed_days: self.keep_failed_days.or(other.keep_failed_days),
        }
    }

    /// Whether the run goes, given how many finished runs of its workflow are newer.
    fn removes(&self, run: &Kept, newer: u32, now: Timestamp) -> bool {
        let Some(ended) = run.summary.finished_at else { return false };
        let age = now.since(ended);
        let older_than = |days: u32| age > Duration::from_secs(u64::from(days) * 86_400);
        let is_kept_failure =
            run.summary.status == RunStatus::Failed && self.keep_failed_days.is_some_and(|days| !older_than(days));
        !is_kept_failure && (self.days.is_some_and(older_than) || self.runs.is_some_and(|runs| newer >= runs))
    }
}

/// Goes through the runs of a workspace from the newest to the oldest and picks those that go.
#[derive(Debug)]
pub struct Picker {
    now: Timestamp,
    default: RetentionRules,
    rules: HashMap<WorkflowId, RetentionRules>,
    /// Finished runs seen so far.
    seen: HashMap<WorkflowId, u32>,
}

impl Picker {
    pub fn new(now: Timestamp, default: RetentionRules, rules: HashMap<WorkflowId, RetentionRules>) -> Self {
        Self { now, default, rules, seen: HashMap::new() }
    }

    /// Whether the next older run goes.
    pub fn picks(&mut self, run: &Kept) -> bool {
        if !run.summary.status.is_final() || run.is_pinned {
            return false;
        }
        let workflow = &run.summary.workflow;
        let newer = self.seen.entry(workflow.clone()).or_default();
        let own = self.rules.get(workflow).copied().unwrap_or_default();
        let goes = own.or(self.default).removes(run, *newer, self.now);
        *newer = newer.saturating_add(1);
        goes
    }

    /// The runs of a page, newest first, that go.
    pub fn pick(&mut self, page: &[Kept]) -> Vec<RunId> {
        page.iter().filter(|run| self.picks(run)).map(|run| run.summary.id).collect()
    }
}

/// What a store may take of the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteCap(pub u64);

impl ByteCap {
    /// What a data file takes at most for each byte of keys and records in it: beyond that it is copied (docs/logs.md).
    pub const FILE_PER_LIVE: u64 = 4;

    /// What is left after a removal, in hundredths of the cap: some room, so that the next delivery does not begin it all again.
    const LEAVES: u64 = 80;

    /// Keys, records and payload files that have to go, in bytes, so that the data file fits once it is copied; nothing while it does. Not by
    /// what the file takes at the moment: what was removed stays in it until then, and removing more would not change that.
    pub fn excess(self, usage: &Usage) -> Option<u64> {
        let needed = usage.live_bytes.saturating_mul(Self::FILE_PER_LIVE).saturating_add(usage.payload_bytes);
        if needed <= self.0 {
            return None;
        }
        let counted = usage.live_bytes.saturating_add(usage.payload_bytes);
        let excess = needed - self.0 / 100 * Self::LEAVES;
        // Of what is needed the same part goes as of what counts.
        let goes = u128::from(counted) * u128::from(excess) / u128::from(needed.max(1));
        Some(u64::try_from(goes).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{EventId, WorkspaceId};
    use crate::run::fold::RunSummary;

    const DAY_MS: u64 = 86_400_000;

    fn run(days_ago: u64, status: RunStatus) -> Kept {
        let at = Timestamp::from_millis((1_000 - days_ago) * DAY_MS);
        let summary = RunSummary {
            id: RunId::from_parts(at, u128::from(days_ago)),
            workspace: WorkspaceId::default_workspace(),
            workflow: "push".parse().unwrap(),
            version: 1,
            event: EventId::from_bytes([0; 16]),
            status,
            created_at: at,
            finished_at: status.is_final().then_some(at),
            due_at: None,
            events: 2,
            error_code: None,
            contact: None,
            marks: Vec::new(),
        };
        Kept { summary, is_pinned: false }
    }

    #[test]
    fn age_count_and_outcome_decide_and_pinned_and_unfinished_runs_stay() {
        use RunStatus::{Failed, Succeeded, Waiting};
        let rules = |days, runs, keep_failed_days| RetentionRules { days, runs, keep_failed_days };
        let history = [
            run(1, Succeeded),
            run(2, Failed),
            run(20, Succeeded),
            run(40, Failed),
            run(41, Succeeded),
            run(50, Waiting),
            Kept { is_pinned: true, ..run(60, Succeeded) },
            run(100, Failed),
        ];
        for (rules, gone) in [
            (rules(None, None, None), &[][..]),
            (rules(Some(30), None, None), &[40, 41, 100]),
            (rules(Some(30), None, Some(90)), &[41, 100]),
            (rules(None, Some(3), None), &[40, 41, 100]),
            (rules(None, Some(3), Some(90)), &[41, 100]),
            (rules(Some(0), Some(0), None), &[1, 2, 20, 40, 41, 100]),
        ] {
            let now = Timestamp::from_millis(1_000 * DAY_MS);
            let mut picker = Picker::new(now, RetentionRules::default(), [("push".parse().unwrap(), rules)].into());
            let picked: Vec<u64> =
                picker.pick(&history).into_iter().map(|id| 1_000 - id.created_at().as_millis() / DAY_MS).collect();
            assert_eq!(picked, gone, "{rules:?}");
        }
    }

    #[test]
    fn what_has_to_go_leaves_four_fifths_of_the_cap_and_nothing_goes_below_it() {
        let usage = |live_bytes, payload_bytes| Usage { live_bytes, payload_bytes, file_bytes: 1 << 40 };
        let cap = ByteCap(1_000);
        assert_eq!(cap.excess(&usage(200, 200)), None);
        assert_eq!(cap.excess(&usage(0, 0)), None);
        assert_eq!(cap.excess(&usage(500, 0)), Some(300), "200 are left, and need 800");
        assert_eq!(cap.excess(&usage(0, 1_600)), Some(800));
        assert_eq!(ByteCap(0).excess(&usage(10, 10)), Some(20));
        assert!(cap.excess(&usage(u64::MAX, u64::MAX)).is_some());
    }

    #[test]
    fn a_workflows_rules_come_before_the_operators() {
        let operator = RetentionRules { days: Some(30), runs: Some(5), keep_failed_days: None };
        let own = RetentionRules { days: Some(7), ..RetentionRules::default() };
        assert_eq!(own.or(operator), RetentionRules { days: Some(7), runs: Some(5), keep_failed_days: None });
    }
}
