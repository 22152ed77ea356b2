//! Carry changes: bounded batches between capture and apply, folded to their net effect; a spool on disk while a target
//! is away.
//!
//! Invariants: a batch never grows past its budget by more than one row; folding never changes what the target
//! holds afterwards. Tests: unit tests beside each part, the property in `tests/it/fold.rs`.

mod budget;
mod fold;
mod raw;
mod spool;

pub use budget::{Budget, Pace};
pub use fold::fold;
pub use raw::RawRows;
pub use spool::{Card, Cursor, Place, Spool, SpoolStatus};

use crate::apply::Stretch;
use crate::change::{Change, Origin, Position};
use std::collections::HashSet;

/// Changes that are applied together in one transaction at the target, with the progress that they make.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Tables (by index of the mapping) whose rows all go first, as far as the mapping sees them.
    pub emptied: Vec<usize>,
    /// At most one change per row; all of them, in order, for a target that [streams](crate::apply::Target::streams).
    pub changes: Vec<Change>,
    /// As in a transaction; empty for every other target.
    pub origins: Vec<Origin>,
    /// Stored in the same transaction as the changes.
    pub progress: Progress,
    /// Whether the source was consistent after these changes: only then do references have to hold.
    pub settled: bool,
    /// What happens to rows that stand in the way.
    pub mode: Mode,
}

/// How far a batch brings its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Changes up to here are applied. The position of the batch before must still be the one stored.
    Position {
        /// What the target must hold now.
        before: Position,
        /// What it holds afterwards.
        after: Position,
    },
    /// The first copy of one table came further: the stretch of this number begins with this range, or, where it is
    /// there, goes on with it.
    Copied {
        /// Index of the mapping.
        table: usize,
        /// What is there now.
        stretch: Stretch,
    },
    /// None: single rows that are mended.
    None,
    /// Rows of the quarantine are tried again. Those whose entry has changed since they were read are left alone.
    Retried {
        /// For each change, how often its row had been tried when its entry was read.
        tries: Vec<u64>,
    },
}

impl Batch {
    /// The same without the changes at some places.
    #[must_use]
    pub fn without(&self, places: &HashSet<usize>) -> Self {
        fn rest<T: Clone>(all: &[T], places: &HashSet<usize>) -> Vec<T> {
            let rest = all.iter().enumerate().filter(|(at, _)| !places.contains(at));
            rest.map(|(_, one)| one.clone()).collect()
        }
        Self {
            emptied: self.emptied.clone(),
            changes: rest(&self.changes, places),
            origins: rest(&self.origins, places),
            progress: self.progress.clone(),
            settled: self.settled,
            mode: self.mode.clone(),
        }
    }
}

/// How a batch meets rows that the target has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The source's word counts: rows are replaced and deleted.
    Replace,
    /// Rows that are there stay as they are.
    KeepExisting,
    /// As `Replace`, but what is replaced or deleted enters the journal first, under this run.
    Journal {
        /// The run, for `conflicts restore --run`.
        run: String,
    },
}
