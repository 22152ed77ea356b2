//! What moves: values, rows, keys, changes, transactions, positions, and the schema they belong to.
//!
//! Architecture invariant: this module is pure. No clock, no input or output, nothing that waits.
//! Tests: unit tests beside each part, properties and golden vectors in `tests/it/encoding.rs`.

mod encoding;
mod filter;
mod hash;
mod row;
mod schema;
mod scope;
mod value;

pub use encoding::{DecodeError, Raw, decode_value, encode_value};
pub(crate) use encoding::{read_varint, take, varint};
pub use filter::{BinaryOp, Expr, Filter, FilterError};
pub use hash::{RangeHash, RowHash};
pub use row::{Key, Row, RowBuilder};
pub use schema::{Column, ColumnKind, ForeignKey, Identity, Table, Unique};
pub use scope::{Deletes, Mapping, Pattern, Scope, TableScope, View, ViewColumn};
pub use value::{Decimal, Value};

use std::fmt;
use std::sync::Arc;

/// How far a link has come in its source. Text made and read by one connector only; elsewhere it is opaque:
/// compared for equality, stored beside the rows, shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Position(pub String);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a change does to its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A row that was not there before: from log sources, which know, and from first copies. A target that has it
    /// all the same (the change arrives again, somebody was faster) takes it as an upsert.
    Insert(Row),
    /// New contents of a row that was there; columns may be [`Value::Unchanged`]. From log sources.
    Update(Row),
    /// The row as it stands now, whatever was there before. From state queues and snapshots.
    Upsert(Row),
    /// The row is gone.
    Delete,
}

/// One row's insert, update or delete. `table` is the index into the link's mappings; the key and row
/// hold the mapping's columns in the mapping's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Index of the table in the link's list of mappings.
    pub table: usize,
    /// The values of the key columns, in key order.
    pub key: Key,
    /// What happened.
    pub op: Op,
}

impl Change {
    /// Whether it holds only some of the row's columns.
    pub fn is_partial(&self) -> bool {
        matches!(&self.op, Op::Update(row) if !row.absent().is_empty())
    }

    /// Bytes held in memory by this change, roughly; what budgets count.
    pub fn bytes(&self) -> usize {
        let row = match &self.op {
            Op::Insert(row) | Op::Update(row) | Op::Upsert(row) => row.as_bytes().len(),
            Op::Delete => 0,
        };
        size_of::<Self>() + self.key.as_bytes().len() + row
    }
}

/// What was done to a row at its source, where a [`Change`] says only what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A row came.
    Insert,
    /// A row that was there changed.
    Update,
    /// A row went.
    Delete,
}

/// Where a change comes from: the same whenever it is read, however it is batched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The place in the source: where a log source committed it, the entry of a state queue. Text of the connector's.
    pub place: Arc<str>,
    /// Tells the changes of one place apart, and rises with them; numbers may be left out.
    pub ordinal: i64,
    /// When it was committed, in milliseconds since 1970 UTC, if known.
    pub at_ms: Option<i64>,
    /// What was done, if known.
    pub verb: Option<Verb>,
}

/// Changes that belong together at the source, with the position right after them.
///
/// From a log source: one committed transaction, always `settled`. From a state queue: the rows read in one
/// snapshot; not `settled` as long as the queue had more, because rows that belong together may still be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Tables (by index of the mapping) that were emptied as a whole; that comes before the changes.
    pub emptied: Vec<usize>,
    /// The changes, in the order in which they are to take effect.
    pub changes: Vec<Change>,
    /// For each of the tables emptied, and then for each change, where it comes from; empty where nobody asked
    /// ([`crate::capture::Reader::origins`]), or where the source cannot tell.
    pub origins: Vec<Origin>,
    /// The position after the last change.
    pub position: Position,
    /// Whether the source was consistent at this position.
    pub settled: bool,
    /// Whether no row stands in it twice.
    pub folded: bool,
    /// All the changes were written after this time, in milliseconds since 1970 UTC, if known. The lag is at most
    /// what has passed since.
    pub after_ms: Option<i64>,
    /// How many values were over the size limit and are carried as NULL.
    pub left_out: u64,
}
