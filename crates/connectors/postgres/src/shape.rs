//! How the changes of a table in the log become changes of a mapping.

use crate::pgoutput::{ColumnValue, OldTuple, Relation, Tuple};
use crate::scan::Lines;
use crate::schema::Details;
use tidewater_core::change::{Change, Key, Mapping, Op, Row, Value, View};

/// One table of the log, seen by one mapping.
pub(crate) struct Shape {
    pub(crate) table: usize,
    view: View,
    /// For each column of the view its place in the log's rows; `None` where the log does not have it.
    places: Vec<Option<usize>>,
    lines: Lines,
    /// Rows are looked up as they stand now: the mapping sees only some of them, or the log has other columns.
    by_key: bool,
}

/// A change, or a row to be looked up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Change(Change),
    /// The row of this key as it stands when the batch is read.
    Fetch(usize, Key),
}

/// A row of the log that lacks its key: the table's replica identity was changed.
#[derive(Debug)]
pub(crate) struct NoKey;

impl Shape {
    /// The shape for a table of the log. The second part says whether the log has the columns that are known.
    pub(crate) fn new(table: usize, mapping: &Mapping, details: &Details, relation: &Relation<'_>) -> (Self, bool) {
        let view = mapping.source.clone();
        let names: Vec<&str> = relation.columns.iter().map(|column| column.name).collect();
        let place = |name: &str| names.iter().position(|there| *there == name);
        let places: Vec<Option<usize>> = view.columns.iter().map(|column| place(&column.name)).collect();
        let stored = details.table.columns.iter().filter(|column| !column.generated);
        let is_known = |name: &&str| details.table.column(name).is_some();
        let as_known = stored.clone().all(|column| place(&column.name).is_some()) && names.iter().all(is_known);
        let filtered = view.filter.is_some() || view.deleted_when.is_some();
        let by_key = filtered || places.iter().any(Option::is_none);
        let lines = Lines::new(&view, details);
        (Self { table, view, places, lines, by_key }, as_known)
    }

    pub(crate) fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.lines.left_out)
    }

    /// A row was inserted; `known` says that it was not there before.
    pub(crate) fn insert(&mut self, new: Tuple<'_>, is_new: bool) -> Result<Entry, NoKey> {
        let row = self.row(new, None);
        let key = self.key(&row)?;
        Ok(match (self.by_key, is_new) {
            (true, _) => Entry::Fetch(self.table, key),
            (false, true) => self.change(key, Op::Insert(row)),
            (false, false) => self.change(key, Op::Upsert(row)),
        })
    }

    /// A row was updated: the change of its old key where that is another one, and of its new one.
    pub(crate) fn update(
        &mut self,
        old: Option<OldTuple<'_>>,
        new: Tuple<'_>,
    ) -> Result<(Option<Entry>, Entry), NoKey> {
        let before = match old {
            Some(OldTuple::Key(tuple) | OldTuple::Row(tuple)) => Some(tuple),
            None => None,
        };
        let whole = matches!(old, Some(OldTuple::Row(_)));
        let old_key = before.map(|tuple| self.key_of(tuple)).transpose()?;
        let row = self.row(new, before.filter(|_| whole));
        let row = match &old_key {
            Some(old_key) => self.with_key(row, old_key),
            None => row,
        };
        let key = self.key(&row)?;
        let moved = old_key.filter(|old| *old != key);
        let is_whole = row.absent().is_empty();
        let entry = match (self.by_key, is_whole, moved.is_some()) {
            (true, ..) | (_, false, true) => Entry::Fetch(self.table, key),
            (false, true, _) => self.change(key, Op::Upsert(row)),
            (false, false, false) => self.change(key, Op::Update(row)),
        };
        let gone = moved.map(|old| self.gone(old));
        Ok((gone, entry))
    }

    /// A row was deleted.
    pub(crate) fn delete(&mut self, old: OldTuple<'_>) -> Result<Entry, NoKey> {
        let (OldTuple::Key(tuple) | OldTuple::Row(tuple)) = old;
        let key = self.key_of(tuple)?;
        Ok(self.gone(key))
    }

    fn gone(&self, key: Key) -> Entry {
        if self.by_key { Entry::Fetch(self.table, key) } else { self.change(key, Op::Delete) }
    }

    fn change(&self, key: Key, op: Op) -> Entry {
        Entry::Change(Change { table: self.table, key, op })
    }

    /// The view's columns of a row in the log; what did not change is taken from `old`, where that is whole.
    fn row(&mut self, new: Tuple<'_>, old: Option<Tuple<'_>>) -> Row {
        let new: Vec<ColumnValue<'_>> = new.columns().collect();
        let old: Vec<ColumnValue<'_>> = old.map(|old| old.columns().collect()).unwrap_or_default();
        for (at, place) in self.places.iter().enumerate() {
            let value = place.and_then(|place| new.get(place));
            let value = match value {
                Some(ColumnValue::Unchanged) => place.and_then(|place| old.get(place)).or(value),
                other => other,
            };
            match value {
                Some(ColumnValue::Text(text) | ColumnValue::Binary(text)) => self.lines.push(at, Some(text)),
                Some(ColumnValue::Null) => self.lines.push(at, None),
                Some(ColumnValue::Unchanged) | None => self.lines.push_unchanged(),
            }
        }
        self.lines.take()
    }

    /// The key of a row that is there.
    fn key(&self, row: &Row) -> Result<Key, NoKey> {
        let key = row.pick(&self.view.key);
        let known = key.values().all(|value| !matches!(value, Value::Null | Value::Unchanged));
        if known { Ok(key) } else { Err(NoKey) }
    }

    fn key_of(&mut self, tuple: Tuple<'_>) -> Result<Key, NoKey> {
        let row = self.row(tuple, None);
        self.key(&row)
    }

    /// The row, with key columns that did not change taken from the old key.
    fn with_key(&self, row: Row, old_key: &Key) -> Row {
        if self.view.key.iter().all(|at| row.values().nth(*at) != Some(Value::Unchanged)) {
            return row;
        }
        row.or(&old_key.spread(&self.view.key, self.view.columns.len()))
    }
}
