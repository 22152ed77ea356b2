//! Compare two sides by hierarchical range hashes: for first contact, `verify`, lost positions and repairs.
//!
//! Ranges of keys are hashed on both sides; where the hashes differ the range is divided, down to lists of keys
//! with their row hashes. What is equal is never sent. Invariants: every key of either side lies in exactly one
//! range; memory is bounded by [`LEAF_ROWS`] rows a side. Both sides may be written to meanwhile: a difference is
//! a row to look at again, not yet a verdict. Tests: `tests/it/compare.rs`.

mod comparison;
mod memory;

pub use comparison::{Comparison, Difference, DifferenceKind, LEAF_ROWS, Step};
pub use memory::MemoryRows;

use crate::capture::Survey;
use crate::change::{Key, RangeHash, Row, RowHash, View};
use crate::error::Result;
use crate::transport::Budget;
use async_trait::async_trait;

/// Keys after `after`, up to and including `through`, in the order of the view's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Exclusive; `None` is the beginning.
    pub after: Option<Key>,
    /// Inclusive; `None` is the end.
    pub through: Option<Key>,
}

/// The first rows of a range, hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The part of the range that was read; its end is the range's own where `last`.
    pub range: Range,
    /// Its hash.
    pub hash: RangeHash,
    /// Whether nothing of the range is left.
    pub last: bool,
}

/// Rows in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The rows.
    pub rows: Vec<Row>,
    /// The last key; `None` when the range is read to its end.
    pub through: Option<Key>,
    /// How many values were over the size limit and are carried as NULL.
    pub left_out: u64,
}

/// Reading an endpoint by key. Every call is one short read transaction; cancel-safe.
#[async_trait]
pub trait Scan: Send {
    /// What stands here.
    async fn survey(&mut self) -> Result<Survey>;

    /// How many rows the view sees; counted no further than `rows_max`, so that a small one is answered at once.
    async fn count(&mut self, view: &View, rows_max: u64) -> Result<u64>;

    /// About how many rows the view sees, where that can be told without reading them.
    async fn estimate(&mut self, _view: &View) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Hashes the first rows of a range, at most `rows_max`.
    async fn part(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Part>;

    /// Hashes a whole range.
    async fn hash(&mut self, view: &View, range: &Range) -> Result<RangeHash>;

    /// Lists the first keys of a range with their row hashes, at most `rows_max`.
    async fn list(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Vec<(Key, RowHash)>>;

    /// Reads the first rows of a range, in an order that is this endpoint's own.
    async fn chunk(&mut self, view: &View, range: &Range, budget: Budget) -> Result<Chunk>;

    /// Reads single rows; `None` where there is none (or none that the view sees). Stops after the row that
    /// passes `bytes_max`: the answer may be shorter than `keys`, but never empty.
    async fn fetch(&mut self, view: &View, keys: &[Key], bytes_max: usize) -> Result<Vec<Option<Row>>>;
}
