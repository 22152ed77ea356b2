//! What an exchange did, for summaries.

use super::Member;
use crate::replica::Merged;
use std::sync::Arc;

/// What one run did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExchangeReport {
    /// The run's name in the journals.
    pub run: String,
    /// Each member, in the order given.
    pub members: Vec<MemberReport>,
    /// Tables carried.
    pub tables: Vec<String>,
    /// Tables not carried, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Things a person should know.
    pub notices: Vec<String>,
    /// Whether all members that are there held the same when it ended.
    pub in_step: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What one run did to one member.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemberReport {
    /// Its name for people.
    pub shown: String,
    /// Why it took no part, at the end.
    pub away: Option<String>,
    /// Tables created there.
    pub created: Vec<String>,
    /// Columns added there: table, column.
    pub added: Vec<(String, String)>,
    /// What was installed there.
    pub installed: Vec<String>,
    /// Why it became a new incarnation.
    pub renewed: Option<String>,
    /// Rows that were given versions.
    pub adopted: u64,
    /// Rows inserted or replaced.
    pub upserts: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Rows taken out, because they are not of the part that it holds any more.
    pub withdrawn: u64,
    /// Conflicts that entered its journal.
    pub conflicts: u64,
    /// Rows that stand aside, now.
    pub parked: u64,
    /// Versions that brought it nothing new.
    pub known: u64,
}

impl ExchangeReport {
    pub(super) fn new(run: String, members: &[Arc<dyn Member>]) -> Self {
        let members =
            members.iter().map(|member| MemberReport { shown: member.shown(), ..MemberReport::default() }).collect();
        Self { run, members, ..Self::default() }
    }

    /// Rows written so far: grows whenever something was achieved.
    pub(super) fn work(&self) -> u64 {
        self.members.iter().map(|m| m.adopted + m.changes()).sum()
    }

    /// Conflicts that entered the journal of any member. The same conflict counts once: it has the same number
    /// wherever it was seen, and whoever sees it first hands on a state that still holds it.
    pub fn conflicts(&self) -> u64 {
        self.members.iter().map(|m| m.conflicts).max().unwrap_or(0)
    }

    /// Whether a person should look.
    pub fn needs_attention(&self) -> bool {
        self.members.iter().any(|m| m.away.is_some() || m.parked > 0)
    }
}

impl MemberReport {
    pub(super) fn add(&mut self, merged: &Merged) {
        self.upserts += merged.upserts;
        self.deletes += merged.deletes;
        self.withdrawn += merged.withdrawn;
        self.known += merged.known;
        self.conflicts += merged.conflicts;
        self.parked = merged.parked;
    }

    /// Rows written.
    pub fn changes(&self) -> u64 {
        self.upserts + self.deletes + self.withdrawn
    }
}
