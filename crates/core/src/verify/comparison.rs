//! The comparison of one table, a step at a time, so that its caller can show progress and mend as it goes.

use super::{Part, Range, Scan};
use crate::change::{Key, Mapping, RangeHash, RowHash};
use crate::error::Result;
use std::collections::HashMap;

/// Ranges of at most this many rows a side are listed row by row.
pub const LEAF_ROWS: usize = 1_024;

/// The first ranges: large enough that a hash costs nothing beside the rows read, small enough for short locks.
const TOP_ROWS: usize = 16_384;

/// How many times smaller the parts of a differing range are.
const FANOUT: u64 = 16;

/// How two sides differ in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// Only at the source.
    Missing,
    /// At both, with other contents.
    Differs,
    /// Only at the target.
    Extra,
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub key: Key,
    /// How.
    pub kind: DifferenceKind,
}

/// What one step found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows of the source that are now done.
    pub source_rows: u64,
    /// Rows of the target that are now done.
    pub target_rows: u64,
    /// The rows that differ, at most two times [`LEAF_ROWS`].
    pub differences: Vec<Difference>,
}

/// A range to compare, with the side that divides it.
#[derive(Debug)]
struct Open {
    range: Range,
    by: Side,
    rows_max: usize,
    /// The hash of the range at the other side does not have to be read again when it is the whole answer.
    ahead: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// A comparison in progress.
#[derive(Debug)]
pub struct Comparison {
    open: Vec<Open>,
}

impl Default for Comparison {
    fn default() -> Self {
        Self { open: vec![Open { range: Range::default(), by: Side::Source, rows_max: TOP_ROWS, ahead: None }] }
    }
}

impl Comparison {
    /// Compares the next range; `None` when all is compared.
    pub async fn step(
        &mut self,
        mapping: &Mapping,
        source: &mut dyn Scan,
        target: &mut dyn Scan,
    ) -> Result<Option<Step>> {
        let Some(mut open) = self.open.pop() else { return Ok(None) };
        let (by_view, other_view) = match open.by {
            Side::Source => (&mapping.source, &mapping.target),
            Side::Target => (&mapping.target, &mapping.source),
        };
        let (by, other): (&mut dyn Scan, &mut dyn Scan) = match open.by {
            Side::Source => (&mut *source, &mut *target),
            Side::Target => (&mut *target, &mut *source),
        };
        let part = match open.ahead.take() {
            Some(part) => part,
            None => by.part(by_view, &open.range, open.rows_max).await?,
        };
        // The next part is read at one side while this one is hashed at the other.
        let rest = Range { after: part.range.through.clone(), through: open.range.through.clone() };
        let other_hash = if part.last {
            other.hash(other_view, &part.range).await?
        } else {
            let (hash, ahead) =
                tokio::join!(other.hash(other_view, &part.range), by.part(by_view, &rest, open.rows_max));
            self.open.push(Open { range: rest, by: open.by, rows_max: open.rows_max, ahead: Some(ahead?) });
            hash?
        };
        let (source_hash, target_hash) = match open.by {
            Side::Source => (part.hash, other_hash),
            Side::Target => (other_hash, part.hash),
        };
        if source_hash == target_hash {
            return Ok(Some(Step {
                source_rows: source_hash.rows,
                target_rows: target_hash.rows,
                differences: vec![],
            }));
        }
        self.divide(part.range, source_hash, target_hash, mapping, source, target).await.map(Some)
    }

    /// Goes into a range that differs: lists it where it is small, divides it by its larger side where it is not.
    async fn divide(
        &mut self,
        range: Range,
        source_hash: RangeHash,
        target_hash: RangeHash,
        mapping: &Mapping,
        source: &mut dyn Scan,
        target: &mut dyn Scan,
    ) -> Result<Step> {
        let most = source_hash.rows.max(target_hash.rows);
        if most <= LEAF_ROWS as u64 {
            // One more than a leaf holds: rows that came meanwhile must not be taken for missing ones.
            let (left, right) = tokio::join!(
                source.list(&mapping.source, &range, LEAF_ROWS + 1),
                target.list(&mapping.target, &range, LEAF_ROWS + 1)
            );
            let (left, right) = (left?, right?);
            if left.len().max(right.len()) <= LEAF_ROWS {
                return Ok(leaf(left, right));
            }
        }
        let by = if target_hash.rows > source_hash.rows { Side::Target } else { Side::Source };
        let rows_max = usize::try_from(most / FANOUT).unwrap_or(TOP_ROWS).clamp(LEAF_ROWS / 2, TOP_ROWS);
        self.open.push(Open { range, by, rows_max, ahead: None });
        Ok(Step::default())
    }
}

/// Compares two lists of the same range.
fn leaf(source: Vec<(Key, RowHash)>, target: Vec<(Key, RowHash)>) -> Step {
    let mut step = Step { source_rows: source.len() as u64, target_rows: target.len() as u64, differences: vec![] };
    let mut there: HashMap<Key, RowHash> = target.into_iter().collect();
    for (key, hash) in source {
        let kind = match there.remove(&key) {
            None => DifferenceKind::Missing,
            Some(other) if other != hash => DifferenceKind::Differs,
            Some(_) => continue,
        };
        step.differences.push(Difference { key, kind });
    }
    let extra = there.into_keys().map(|key| Difference { key, kind: DifferenceKind::Extra });
    step.differences.extend(extra);
    step.differences.sort_by(|a, b| a.key.cmp(&b.key));
    step
}
