//! The quarantine: rows that a target could not write, by key. Values are not kept: a row is read again from the source.
//!
//! Contract. The target keeps an entry for each, and MUST change it in the transaction of the batch that it is about:
//! - a change that was written takes its entry away;
//! - one that could not be makes an entry, or notes the new reason and one more try;
//! - a change of a part of a row that has an entry MUST NOT be written, because the rest of the row is not here: it
//!   counts as a try, and the row is read again as a whole;
//! - a row that was discarded waits for its next change ([`Progress::Position`]) and is then as any other; what a
//!   comparison cannot write of it stays discarded;
//! - of rows tried again ([`Progress::Retried`]), only those are written whose entries are as they were when the row
//!   was read. So whoever tries again or discards needs to keep nobody else out.
//!
//! Nobody has all entries in memory: they are read in pages. Tests: those of the connectors.
//!
//! [`Progress::Position`]: crate::transport::Progress::Position
//! [`Progress::Retried`]: crate::transport::Progress::Retried

use crate::change::Key;

/// A row that could not be written. Its contents are read again from the source when it is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The table's name at the source.
    pub table: String,
    /// The row's key.
    pub key: Key,
    /// What the target said.
    pub reason: String,
}

impl Held {
    /// Whether people call the row so: its key as it is shown, or a text without its quotes.
    pub fn is_called(&self, key: &str) -> bool {
        let shown = self.key.to_string();
        shown == key || shown.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) == Some(key)
    }
}

/// An entry of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The link that it belongs to.
    pub link: String,
    /// The row.
    pub held: Held,
    /// When it first could not be written, UTC.
    pub since: String,
    /// How often it could not be written since. Changes whenever the entry does.
    pub tries: u64,
    /// When somebody discarded it, UTC.
    pub discarded_at: Option<String>,
}

/// Which entries of the quarantine, in the order of link, table and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Only those of these links; none is all.
    pub links: Vec<String>,
    /// Only those of this table.
    pub table: Option<String>,
    /// Those that were discarded, instead of those that wait.
    pub discarded: bool,
    /// Only those with a greater key. For one link and one table.
    pub after: Option<Key>,
    /// So many are passed over.
    pub skip: u64,
    /// No more than so many.
    pub rows_max: u64,
}
