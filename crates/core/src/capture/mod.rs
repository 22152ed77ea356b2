//! Read a source: what a connector must do so that nothing is missed.
//!
//! Contract. A source MUST hand out every row changed after a position, at least once, in an order in which the
//! newest state of a row is never followed by an older one. It MUST NOT hand out a position that covers a change
//! it has not handed out. It MUST notice when a position is not its own (restored, replaced, overrun) and say
//! [`Resumed::Lost`]; it MUST NOT skip ahead. Every method is cancel-safe: a call that was dropped may have been
//! carried out, and doing it again is harmless.

mod memory;

pub use memory::MemorySource;

use crate::change::{Key, Mapping, Position, Table, Transaction, View};
use crate::error::Result;
use crate::transport::{Budget, RawRows};
use crate::verify::{Range, Scan};
use async_trait::async_trait;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// What stands at an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The identity of this database: stored with our own tables, or made now and stored when they are.
    pub identity: String,
    /// The kind of database, in whose words tables are declared: two of one kind can take each other's statements.
    pub dialect: &'static str,
    /// The tables that can be carried.
    pub tables: Vec<Table>,
    /// The tables that cannot, with the reason.
    pub skipped: Vec<(String, String)>,
    /// The user's own triggers: name, table.
    pub triggers: Vec<(String, String)>,
    /// The links that write here: who sends.
    pub fed_by: Vec<Feed>,
}

/// A link that writes to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The link.
    pub link: String,
    /// The source, as people know it.
    pub source: String,
    /// The source's identity.
    pub source_identity: String,
}

/// Who reads: what a source keeps about one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The link.
    pub link: String,
    /// The target, as people know it.
    pub target: String,
    /// The target's identity.
    pub target_identity: String,
    /// Whether transactions are to say where each change comes from.
    pub origins: bool,
}

/// How a source took up a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// There was none: everything is still to be copied.
    Fresh,
    /// Reading goes on right after it.
    At,
    /// The source does not have it any more; all tables are to be compared.
    Lost(String),
}

/// What `begin` found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Changes after this position will be read.
    pub position: Position,
    /// How that position came about.
    pub resumed: Resumed,
    /// What was installed, in words for people.
    pub installed: Vec<String>,
    /// Mappings (by index) that may have changed unseen and are to be compared.
    pub void: Vec<usize>,
}

/// One answer of [`Source::read`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Changes.
    Changes(Transaction),
    /// Nothing came in the time given.
    Nothing,
    /// A table's schema is not what the mappings say, or its capture was removed: survey and begin again.
    SchemaChanged,
}

/// The last value that a source gave a column by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Index of the mapping.
    pub table: usize,
    /// Index of the column in the mapping.
    pub column: usize,
    /// The value.
    pub last: i64,
}

/// A source of changes.
#[async_trait]
pub trait Source: Scan {
    /// Installs what capture needs for these mappings, and takes up `resume`. Atomic: all or nothing.
    async fn begin(&mut self, reader: &Reader, mappings: Arc<[Mapping]>, resume: Option<&Position>) -> Result<Start>;

    /// Reads changes after `after`, waiting up to `wait` for the first.
    async fn read(&mut self, after: &Position, budget: Budget, wait: Duration) -> Result<Read>;

    /// Where a part of a table ends that is worth a copy of its own; `None` where the range ends before.
    async fn boundary(&mut self, _view: &View, _range: &Range) -> Result<Option<Key>> {
        Ok(None)
    }

    /// All rows of a range as they are, for a target of the same kind; `None` where they cannot be had so, as with values
    /// over the view's limit among them.
    async fn raw<'s>(&'s mut self, _view: &View, _range: &Range) -> Result<Option<Box<dyn RawRows + 's>>> {
        Ok(None)
    }

    /// `position` is durable at the target: what lies before it may be forgotten. `flush` does so at once.
    async fn confirm(&mut self, position: &Position, flush: bool) -> Result<()>;

    /// Whether what it keeps for a link grows without a bound while nobody reads.
    fn grows(&self) -> bool {
        false
    }

    /// The position up to which everything was confirmed for a link, for whoever reads on without the target; no other
    /// reader of the link is at work when this returns. `None` where nothing is kept for it.
    async fn kept(&mut self, _link: &str) -> Result<Option<Position>> {
        Ok(None)
    }

    /// How two positions stand to each other; `None` where that cannot be said.
    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        (one == other).then_some(Ordering::Equal)
    }

    /// The run ends, and nobody says when the next one comes: what would grow at the source without a bound until then
    /// is taken out. Says what, and what that means, for people.
    async fn rest(&mut self) -> Result<Option<String>> {
        Ok(None)
    }

    /// How far the sequences are that give columns of these mappings their values.
    async fn counters(&mut self, _mappings: &[Mapping]) -> Result<Vec<Counter>> {
        Ok(vec![])
    }

    /// Takes out everything that `begin` installed for this link; says what.
    async fn leave(&mut self, link: &str) -> Result<Vec<String>>;
}
