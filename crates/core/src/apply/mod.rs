//! Write a target: what a connector must do so that each change takes effect exactly once.
//!
//! Contract. A target MUST store a batch's progress in the same transaction as its rows, and MUST refuse a batch
//! whose position does not follow the one stored. It MUST NOT answer [`Durability::Durable`] before the batch
//! survives a crash of the machine. A row it cannot write it MUST hold by key, in the same transaction, and go on;
//! what becomes of held rows is in `quarantine`.
//! It writes without the user's triggers and foreign-key actions: their effects arrive as changes of their own.
//! Every method is cancel-safe.

mod memory;
mod quarantine;
mod stretch;

pub use memory::MemoryTarget;
pub use quarantine::{Held, Quarantined, Which};
pub use stretch::Stretch;

use crate::capture::Counter;
use crate::change::{Mapping, Position, Table};
use crate::error::Result;
use crate::transport::{Batch, RawRows};
use crate::verify::Scan;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What first contact may do to rows that the target has already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: if any row would change, nothing is written.
    #[default]
    Refuse,
    /// Add missing rows only.
    Keep,
    /// The source wins where both have the row; rows only at the target stay.
    Overwrite,
    /// As overwrite, and rows only at the target are deleted.
    Mirror,
}

impl Existing {
    /// The word in configuration, flags and ledgers.
    pub fn word(self) -> &'static str {
        match self {
            Existing::Refuse => "refuse",
            Existing::Keep => "keep",
            Existing::Overwrite => "overwrite",
            Existing::Mirror => "mirror",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Refuse, Self::Keep, Self::Overwrite, Self::Mirror].into_iter().find(|e| e.word() == word)
    }
}

/// Who writes: what a target keeps about one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The link.
    pub link: String,
    /// The source, as people know it.
    pub source: String,
    /// The source's identity.
    pub source_identity: String,
    /// What first contact may do.
    pub existing: Existing,
    /// Whether programs other than the engine are kept from writing the target's tables; `None` leaves that as it is.
    pub protect: Option<bool>,
    /// The user's triggers that do run when the engine writes.
    pub run_triggers: Vec<String>,
    /// For how many days the journal keeps what a run replaced or deleted; `None` is for ever.
    pub journal_keep_days: Option<u64>,
}

/// What a target knows about one link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// How far it came; `None` before the first copy began.
    pub position: Option<Position>,
    /// What first contact was allowed to do.
    pub existing: Existing,
    /// By the table's name at the source.
    pub tables: BTreeMap<String, TableLedger>,
    /// How many rows are in quarantine, by the table's name at the source. Who wants the rows asks for pages of them.
    pub held: BTreeMap<String, u64>,
}

/// What a target knows about one table of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLedger {
    /// The digest of the mapping under which it was copied.
    pub digest: String,
    /// Where it stands.
    pub phase: Phase,
}

/// Where one table of a link stands. Durable at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Set when the first copy begins, and with every chunk: these stretches are there, in the order of their keys.
    Copying(Vec<Stretch>),
    /// Set by first contact, where the target's table held rows already: it is compared under the policy chosen.
    Meeting,
    /// Set when the whole table may differ from the source (position lost, capture removed, scope changed).
    Comparing,
    /// Set with the last chunk of a copy or comparison: changes are followed.
    Following,
    /// Set by the link when the schema drifted; the text says what would mend it. Ends when it is mended.
    Halted(String),
}

/// What a batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows inserted or replaced.
    pub upserts: u64,
    /// Rows deleted or marked.
    pub deletes: u64,
    /// Rows that were replaced or deleted and entered the journal.
    pub journaled: u64,
    /// Rows that stayed as they were, under [`crate::transport::Mode::KeepExisting`].
    pub kept: u64,
    /// Rows that could not be written and are held.
    pub held: Vec<Held>,
    /// Rows held before that are now written.
    pub released: u64,
    /// Rows that refer to a parent that is not there.
    pub dangling: u64,
    /// Whether it survives a crash.
    pub durability: Durability,
}

/// Whether what was written survives a crash of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// It does: the position may be confirmed to the source.
    Durable,
    /// Not yet, but with the next batch that is durable, or with [`Target::flush`]: nothing may be confirmed.
    #[default]
    Accepted,
}

/// What [`Target::prepare`] did, or found that it must not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Tables that were created.
    pub created: Vec<String>,
    /// Columns that were added: table, column.
    pub added: Vec<(String, String)>,
    /// By index of the mapping: why the table cannot be written, and the DDL that would mend it.
    pub unfit: BTreeMap<usize, String>,
}

/// A target of changes.
#[async_trait]
pub trait Target: Scan {
    /// What is known about this link. Writes nothing.
    async fn ledger(&mut self, writer: &Writer) -> Result<Ledger>;

    /// Says how the mapped tables fit, and with `create` makes what is missing: tables, added columns, protection.
    async fn prepare(&mut self, mappings: Arc<[Mapping]>, tables: &[Table], create: bool) -> Result<Prepared>;

    /// Records phases of tables, and the link's position when it is begun or taken up anew. One transaction.
    async fn record(&mut self, position: Option<&Position>, tables: &BTreeMap<String, TableLedger>) -> Result<()>;

    /// A page of the rows in quarantine. Writes nothing.
    async fn held(&mut self, which: &Which) -> Result<Vec<Quarantined>>;

    /// Writes a batch and its progress in one transaction.
    async fn write(&mut self, batch: Batch) -> Result<Written>;

    /// Makes durable what was accepted, and says whether it is. Called when nothing more comes just now, and at the end.
    async fn flush(&mut self) -> Result<Durability> {
        Ok(Durability::Accepted)
    }

    /// A table that [`Target::prepare`] made gets what it could be filled faster without, such as indexes.
    async fn complete(&mut self, _table: usize) -> Result<()> {
        Ok(())
    }

    /// How many parts of a first copy can be written beside each other, each over a target of its own.
    fn lanes(&self) -> usize {
        1
    }

    /// Writes rows of the first copy of a table, and the stretch that they are, in one transaction. Says how many;
    /// `None` where that cannot be: nothing was written then, and the rows are to come one by one.
    async fn load(
        &mut self,
        _table: usize,
        _rows: &mut dyn RawRows,
        _stretch: Option<&Stretch>,
    ) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Moves the sequences that give columns of these mappings their values on, as far as rows and the source's own are;
    /// never back. Says what could not be done, for people.
    async fn advance(&mut self, _mappings: &[Mapping], _counters: &[Counter]) -> Result<Vec<String>> {
        Ok(vec![])
    }

    /// Whether it hands changes on and keeps no rows. Then it is given every change with its origin, instead of what
    /// they come to; and where others would be compared, it is sent all rows anew: there is nothing to compare.
    fn streams(&self) -> bool {
        false
    }

    /// Takes out everything that the link put there but the rows; says what.
    async fn leave(&mut self, link: &str) -> Result<Vec<String>>;
}
