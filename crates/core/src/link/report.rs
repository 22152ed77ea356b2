//! What a link did, for summaries.

use crate::apply::{Held, Written};
use crate::capture::Survey;
use crate::change::Table;
use crate::env::Env;
use std::collections::BTreeMap;

/// What one run of a link did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The link's identity.
    pub link: String,
    /// Tables carried, by name at the source.
    pub tables: Vec<String>,
    /// Tables not carried, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Tables created at the target.
    pub created: Vec<String>,
    /// Columns added at the target.
    pub added: Vec<(String, String)>,
    /// What was installed in the source.
    pub installed: Vec<String>,
    /// Rows copied in first copies.
    pub copied: u64,
    /// Rows found equal, and rows mended, by comparisons.
    pub compared: u64,
    /// Rows written because a comparison found them missing or different.
    pub mended: u64,
    /// Rows deleted because a comparison found them only at the target.
    pub removed: u64,
    /// Rows that stood only at the target and were left there.
    pub left: u64,
    /// Rows that differed and stayed as they were, by choice.
    pub kept: u64,
    /// Changes applied: inserts and updates.
    pub upserts: u64,
    /// Changes applied: deletes.
    pub deletes: u64,
    /// Rows that entered the journal, under `run`.
    pub journaled: u64,
    /// The run's name in the journal.
    pub run: String,
    /// Rows in quarantine now: the first of them.
    pub held: Vec<Held>,
    /// How many there are.
    pub held_rows: u64,
    /// Tables halted, with what would mend them.
    pub halted: BTreeMap<String, String>,
    /// References to rows that are not there, seen while applying.
    pub dangling: u64,
    /// Values over the size limit, which are NULL at the target.
    pub left_out: u64,
    /// Things a person should know.
    pub notices: Vec<String>,
    /// Whether the target reached what the source held at that moment.
    pub in_step: bool,
    /// Whether the tables to be compared anew are recorded as such: then a further attempt goes on instead of beginning anew.
    pub resynced: bool,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// An attempt begins.
    pub(super) fn begin(&mut self, link: String, tables: &[Table], survey: &Survey, env: &Env) {
        self.link = link;
        self.tables = tables.iter().map(|table| table.name.clone()).collect();
        self.skipped = survey.skipped.clone();
        self.halted.clear();
        if self.run.is_empty() {
            self.run = env.token()[..12].to_owned();
        }
    }

    /// Whether a person should look.
    pub fn needs_attention(&self) -> bool {
        self.held_rows > 0 || !self.halted.is_empty()
    }

    /// Changes applied.
    pub fn changes(&self) -> u64 {
        self.upserts + self.deletes
    }

    /// Rows written so far: grows whenever something was achieved. Comparing alone achieves nothing.
    pub(super) fn work(&self) -> u64 {
        self.copied + self.mended + self.removed + self.changes()
    }

    pub(super) fn journal(&mut self, written: &Written) {
        self.journaled += written.journaled;
        self.dangling += written.dangling;
    }
}
