//! An endpoint that accepts writes of its own and takes in those of others: what a connector must do so that all
//! replicas of a table become equal and no write is lost.
//!
//! Contract. A replica MUST seal what other programs wrote (give it a dot of its own, [`crate::merge`]) before it
//! hands out or merges a state of that row, in the same transaction as the merge. It MUST NOT hand out a version
//! before its seal survives a crash of the machine, and MUST NOT use a dot twice: a file that was copied, restored or
//! put back is another node, and says so by another incarnation. It MUST store a batch's progress with its rows.
//! It writes without the user's triggers and foreign-key actions. What it settles between sides enters its journal
//! in the same transaction. Every method is cancel-safe: a call that was dropped may have been carried out, and doing
//! it again is harmless.

mod journal;

pub use journal::{Choice, Entry, Selection, Side};

use crate::apply::Prepared;
use crate::change::{Filter, Key, Table, View};
use crate::error::Result;
use crate::merge::{Node, Policy, State};
use crate::transport::Budget;
use crate::verify::Scan;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One table of a sync between replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// Its columns, the same at all replicas and in the same order: by name. No filter.
    pub view: View,
    /// Its rules.
    pub policy: Policy,
    /// For how many days the journal keeps conflicts that ended; `None` is for ever. A replica's own affair.
    pub journal_keep_days: Option<u64>,
    /// What this replica holds of it; `None` is all. Rows in versions have all columns, those not held absent.
    pub part: Option<Part>,
}

/// What a replica holds of a table. Such a replica is a leaf: it exchanges with full replicas only, which take rows
/// back that are not of the part any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The columns, as ascending indexes into the table's; the key's are among them.
    pub columns: Vec<usize>,
    /// Only rows for which this is true, by the columns of the full replica.
    pub filter: Option<Filter>,
}

impl Shared {
    /// The view of what this replica holds, in columns: its own table.
    pub fn own(&self) -> View {
        let Some(part) = &self.part else { return self.view.clone() };
        self.view.narrowed(&part.columns)
    }
}

/// What a replica takes part in.
#[derive(Debug, Clone, PartialEq)]
pub struct Membership {
    /// The name that rules know this endpoint by.
    pub endpoint: String,
    /// The tables. Whatever stands for a table in a version is an index into these.
    pub tables: Arc<[Shared]>,
}

/// One incarnation of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation {
    /// Its name in dots.
    pub node: Node,
    /// It began after this number of the replica's queue: what came before was done by the one before, and is here.
    pub from: u64,
}

/// What a replica knows about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The node.
    pub node: Node,
    /// The endpoint that it belongs to, by its name.
    pub endpoint: String,
    /// The greatest counter among its dots seen.
    pub counter: u64,
    /// How far its queue was read; 0 where it was never met.
    pub heard: u64,
    /// Whether all that it had was once taken in, from it or from somebody who had met it.
    pub met: bool,
}

/// What a replica says of one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableSaid {
    /// The hash of its rules.
    pub rules: [u8; 16],
    /// The hashes of the rules that it had before.
    pub rules_before: Vec<[u8; 16]>,
    /// The sum of the hashes of the rows shown, as sealed.
    pub digest: u128,
    /// What it holds of the table; `None` is all.
    pub part: Option<Part>,
}

/// What a replica says of itself before it exchanges anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Introduction {
    /// What it was and is, oldest first; the last one is the present. Empty before it joined.
    pub incarnations: Vec<Incarnation>,
    /// The nodes that it knows, itself among them.
    pub known: Vec<Known>,
    /// Every table that it shares, by name in small letters.
    pub tables: BTreeMap<String, TableSaid>,
    /// Rows that stand aside.
    pub parked: u64,
}

impl Introduction {
    /// The present incarnation.
    pub fn node(&self) -> Option<Node> {
        self.incarnations.last().map(|incarnation| incarnation.node)
    }

    /// Whether the two have met, or both have met a third: then their rows have a common past.
    pub fn is_related(&self, other: &Self) -> bool {
        let is = |of: &Self, node: &Node| of.incarnations.iter().any(|incarnation| incarnation.node == *node);
        let met = |of: &Self, node: &Node| of.known.iter().any(|known| known.met && known.node == *node);
        self.known.iter().any(|known| known.met && (is(other, &known.node) || met(other, &known.node)))
            || other.known.iter().any(|known| known.met && is(self, &known.node))
            // A copy was the other once.
            || self.incarnations.iter().any(|incarnation| is(other, &incarnation.node))
    }
}

/// What joining did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Joined {
    /// What was installed, in words for people.
    pub installed: Vec<String>,
    /// Why this is a new incarnation, where it is one although the file took part before.
    pub renewed: Option<String>,
    /// Tables (by index) whose rows have no versions yet, or may have changed unseen: to be adopted.
    pub unadopted: Vec<usize>,
}

/// One chunk of adopting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Rows looked at.
    pub rows: u64,
    /// Whether the table is done.
    pub done: bool,
}

/// One row's state, with all contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Index of the table.
    pub table: usize,
    /// The row's key.
    pub key: Key,
    /// What is known of it.
    pub state: State,
    /// To a partial replica: the row is not of its part any more. Without contents. From one: of some of its contents it
    /// knows only that they were taken back.
    pub withdrawn: bool,
}

/// Some versions out of a replica's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// At most one of each row.
    pub versions: Vec<Version>,
    /// Whose queue.
    pub node: Node,
    /// The number that is covered.
    pub through: u64,
    /// Whether that was the end of the queue, with nothing unsealed.
    pub settled: bool,
}

/// Whose content counts where two sides meet for the first time with different rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preference {
    /// What the replica holds that merges.
    Ours,
    /// What comes in.
    Theirs,
    /// The greater value in this column (index into the table's columns, by table); where equal, what the rules say.
    Newest(BTreeMap<usize, usize>),
}

/// What merging did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Rows inserted or replaced.
    pub upserts: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Rows taken out, because they are not of this replica's part any more.
    pub withdrawn: u64,
    /// Versions that brought nothing new.
    pub known: u64,
    /// Conflicts that entered the journal.
    pub conflicts: u64,
    /// Rows that stand aside now, all told: another has a unique value of theirs, or what they refer to is not there.
    pub parked: u64,
}

/// A replica.
#[async_trait]
pub trait Replica: Scan {
    /// Says how the tables fit, and with `create` makes those that are missing. `tables` describes them as they stand
    /// at a replica that has them.
    async fn prepare(&mut self, shared: Arc<[Shared]>, tables: &[Table], create: bool) -> Result<Prepared>;

    /// Takes part: installs what capture needs, takes up the rules, and renews the incarnation where the file is not
    /// as it was left, or as `peers` have known it.
    async fn join(&mut self, membership: Membership, peers: &[Introduction]) -> Result<Joined>;

    /// Gives versions to the next rows of a table that have none: by content at first contact; as new writes where
    /// writes may have been missed. Goes on where it was, also after a crash.
    async fn adopt(&mut self, table: usize, rows_max: usize) -> Result<Adopted>;

    /// What it says of itself.
    async fn introduce(&mut self) -> Result<Introduction>;

    /// Learns what `peer` says, and answers how far its queue was read. A replica that is behind what others know of
    /// it becomes a new incarnation here.
    async fn hear(&mut self, peer: &Introduction) -> Result<u64>;

    /// Seals what is pending, and reads its queue after a number. What came from exactly `peer` is left out.
    /// `None` where the schema changed: to be surveyed and joined again.
    async fn versions(&mut self, peer: Node, after: u64, budget: Budget) -> Result<Option<Versions>>;

    /// Takes in versions and their progress in one transaction, under this run in the journal.
    /// `None` where the schema changed, and nothing was written.
    async fn merge(&mut self, versions: Versions, prefer: Option<Preference>, run: &str) -> Result<Option<Merged>>;

    /// Everything that `peer` said it had was taken in, and its peers' before: it and they are met.
    async fn met(&mut self, peer: &Introduction) -> Result<()>;

    /// Forgets some of the conflicts that ended longer ago than the journal keeps those of their tables, in one short
    /// transaction; never one that has not ended. Says whether there may be more.
    async fn forget(&mut self) -> Result<bool>;

    /// Takes out everything that `join` put there but the rows; says what.
    async fn leave(&mut self) -> Result<Vec<String>>;
}
