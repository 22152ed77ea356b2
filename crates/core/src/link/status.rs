//! What a database knows about the syncs that it takes part in: the same for every kind, and read beside a running
//! engine. A connector fills it, and writes nothing for it. Tests: those of the connectors, and of the command.

use crate::apply::Held;

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The database's identity, if it takes part in any link.
    pub identity: Option<String>,
    /// Links that read this database.
    pub followers: Vec<FollowerStatus>,
    /// Links that write this database.
    pub links: Vec<LinkStatus>,
    /// Runs in the journal that can be undone, with their rows.
    pub journal: Vec<(String, u64)>,
    /// What it does as a replica, if it takes part in a sync both ways.
    pub replica: Option<ReplicaStatus>,
}

impl Status {
    /// So many rows in quarantine are named.
    pub const HELD_MAX: u64 = 100;
}

/// A link that reads this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerStatus {
    /// The link.
    pub link: String,
    /// Its target, as people know it.
    pub target: String,
    /// The target's identity.
    pub target_identity: String,
    /// How much of what was written here it has not confirmed.
    pub behind: Behind,
    /// When it last confirmed, UTC; `None` where the source does not know.
    pub seen_at: Option<String>,
}

/// How far a link is behind, in what its source can count without reading rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// So many changed rows are logged for it.
    Changes(u64),
    /// So much of the server's log, which holds what it does not carry too.
    Bytes(u64),
    /// Its source keeps nothing for it between runs: its next run compares all tables, as was said when the last ended.
    Resting,
    /// What it needs is not there any more: its next run compares all tables.
    TooFar,
}

impl LinkStatus {
    /// How many rows are in quarantine.
    pub fn held_rows(&self) -> u64 {
        self.tables.iter().map(|table| table.held).sum()
    }
}

/// A link that writes this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The link.
    pub link: String,
    /// Its source, as people know it.
    pub source: String,
    /// The source's identity.
    pub source_identity: String,
    /// How far it came.
    pub position: Option<String>,
    /// When it last wrote, UTC.
    pub updated_at: String,
    /// Its tables.
    pub tables: Vec<TableStatus>,
    /// The first rows in quarantine, at most [`Status::HELD_MAX`].
    pub held: Vec<Held>,
    /// How many rows somebody discarded out of it that did not change at the source since.
    pub discarded: u64,
}

/// One table of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// Its name at the source.
    pub name: String,
    /// `copying`, `meeting`, `comparing`, `following`, `halted`.
    pub phase: String,
    /// Where halted: what would mend it.
    pub reason: Option<String>,
    /// How many of its rows are in quarantine.
    pub held: u64,
}

/// A database that takes part in syncs both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// The name that rules know it by.
    pub endpoint: String,
    /// The tables that it shares, each with the word of its rule.
    pub tables: Vec<(String, String)>,
    /// Entries of its log that have no version yet.
    pub pending: u64,
    /// The replicas that it has met.
    pub peers: Vec<PeerStatus>,
    /// Conflicts that wait for a person.
    pub conflicts_open: u64,
    /// Conflicts in its journal, all told.
    pub conflicts: u64,
    /// Tables whose conflicts the journal keeps for so many days once they ended; those of the others for ever.
    pub kept_days: Vec<(String, u64)>,
    /// Rows that stand aside because another has a unique value of theirs.
    pub parked: u64,
}

/// Another replica, as far as this one knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// The name that rules know it by.
    pub endpoint: String,
    /// Versions here that it has not been seen to have; `None` where nothing is known of that.
    pub waiting: Option<u64>,
    /// When this one last read from it, UTC.
    pub heard_at: Option<String>,
}
