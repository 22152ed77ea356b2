//! Rows in memory, in key order: what the in-memory doubles of source and target scan.

use super::{Chunk, Part, Range};
use crate::change::{Key, RangeHash, Row, RowHash, View};
use crate::transport::Budget;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// Tables of rows by key, ordered by the key's encoding.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    tables: HashMap<String, BTreeMap<Key, Row>>,
}

impl MemoryRows {
    /// The rows of a table.
    pub fn table(&mut self, name: &str) -> &mut BTreeMap<Key, Row> {
        self.tables.entry(name.to_owned()).or_default()
    }

    fn within<'a>(&'a self, view: &View, range: &Range) -> Box<dyn Iterator<Item = (&'a Key, &'a Row)> + 'a> {
        let Some(table) = self.tables.get(&view.table) else { return Box::new(std::iter::empty()) };
        if range.after.is_some() && range.after >= range.through && range.through.is_some() {
            return Box::new(std::iter::empty());
        }
        let after = range.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let through = range.through.clone().map_or(Bound::Unbounded, Bound::Included);
        Box::new(table.range((after, through)))
    }

    pub(crate) fn part(&self, view: &View, range: &Range, rows_max: usize) -> Part {
        let mut hash = RangeHash::default();
        let mut through = None;
        let mut rows = self.within(view, range);
        for (key, row) in rows.by_ref().take(rows_max) {
            hash.add(row.hash());
            through = Some(key.clone());
        }
        let last = rows.next().is_none();
        let through = if last { range.through.clone() } else { through };
        Part { range: Range { after: range.after.clone(), through }, hash, last }
    }

    pub(crate) fn list(&self, view: &View, range: &Range, rows_max: usize) -> Vec<(Key, RowHash)> {
        self.within(view, range).take(rows_max).map(|(key, row)| (key.clone(), row.hash())).collect()
    }

    pub(crate) fn chunk(&self, view: &View, range: &Range, budget: Budget) -> Chunk {
        let mut rows = self.within(view, range).peekable();
        let mut chunk = Chunk { rows: Vec::new(), through: None, left_out: 0 };
        while let Some((key, row)) = rows.next() {
            chunk.rows.push(row.clone());
            if chunk.rows.len() == budget.rows_max && rows.peek().is_some() {
                chunk.through = Some(key.clone());
                break;
            }
        }
        chunk
    }

    pub(crate) fn fetch(&self, view: &View, keys: &[Key]) -> Vec<Option<Row>> {
        let table = self.tables.get(&view.table);
        keys.iter().map(|key| table.and_then(|t| t.get(key)).cloned()).collect()
    }
}
