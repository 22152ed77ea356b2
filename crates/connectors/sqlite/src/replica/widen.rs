//! Columns that a shared table has got: its versions are written anew with them, without becoming newer.
//!
//! What ADD COLUMN puts into rows that are there is the same on all sides, and no write. So each content gets it as if
//! it had always been there. A row that holds something else in a new column was written since: the table is looked at
//! as a whole afterwards, and finds it.

use super::seal::{Phase, Stored, damaged};
use super::{Member, join, key, parked};
use crate::connection::Open;
use crate::scan::One;
use crate::schema;
use crate::sql::quote;
use rusqlite::Connection;
use tidewater_core::Result;
use tidewater_core::change::{Key, Row, RowBuilder, Value, View};
use tidewater_core::merge::State;

/// The number of a conflict, its state, and the row shown.
type Entry = ([u8; 16], Vec<u8>, Option<Vec<u8>>);

/// From the columns before to those now.
struct Widening {
    /// This file's table as it was seen before.
    before: View,
    /// The place that each of its columns had among all columns.
    held: Vec<usize>,
    /// The new place of each column.
    places: Vec<usize>,
    /// What the added columns hold in rows that were there; the others absent.
    added: Row,
    /// The new places of those that this file holds now, where that is not all.
    part: Option<Vec<usize>>,
}

impl Member {
    /// Gives the next versions of a table its new columns. Afterwards the table is looked at as a whole.
    pub(super) fn widen(
        &mut self,
        open: &Open,
        c: &Connection,
        table: usize,
        through: Option<Vec<u8>>,
        rows_max: usize,
    ) -> Result<(Phase, Option<Vec<u8>>)> {
        let sqlite = |e| open.explain(e);
        let Some(widening) = self.widening(open, c, table)? else { return Ok((Phase::Rescanning, None)) };
        if through.is_none() {
            self.widen_journal(open, c, table, &widening)?;
        }
        let tab = self.tables[table].tab;
        let after = through.map(|bytes| crate::ledger::key(&bytes)).transpose()?;
        let beyond = if after.is_some() { "key > ?2" } else { "?2 IS NULL" };
        let sql = format!(
            "SELECT key, hash, state FROM _tidewater_version WHERE tab = ?1 AND {beyond} ORDER BY key LIMIT ?3"
        );
        let versions: Vec<(Key, Stored)> = c
            .prepare_cached(&sql)
            .and_then(|mut s| {
                s.query_map((tab, after.as_ref().map(key::Stored), rows_max), |row| {
                    let hash: Option<[u8; 16]> = row.get(1)?;
                    let stored = Stored { hash: hash.map(u128::from_le_bytes), bytes: row.get(2)? };
                    Ok((row.get::<_, key::Read>(0)?.0, stored))
                })?
                .collect()
            })
            .map_err(sqlite)?;
        let last = versions.last().filter(|_| versions.len() == rows_max).map(|(key, _)| key.as_bytes().to_vec());
        for (key, stored) in versions {
            self.widen_one(open, c, table, (&key, &stored), &widening)?;
        }
        if last.is_some() {
            return Ok((Phase::Widening, last));
        }
        c.execute("UPDATE _tidewater_shared SET columns_before = NULL WHERE tab = ?1", [tab]).map_err(sqlite)?;
        Ok((Phase::Rescanning, None))
    }

    fn widen_one(
        &mut self,
        open: &Open,
        c: &Connection,
        table: usize,
        (key, stored): (&Key, &Stored),
        widening: &Widening,
    ) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let tab = self.tables[table].tab;
        let row = match stored.hash {
            Some(_) => One::new(c, &widening.before).and_then(|mut one| one.get(key)).map_err(sqlite)?,
            None => parked::row(c, tab, key).map_err(sqlite)?,
        };
        let whole = row.as_ref().map(|row| row.spread(&widening.held, widening.places.len()));
        let state = self.decode_with(open, stored, row.as_ref(), whole.as_ref())?;
        let state = state.widened(&widening.places, &widening.added);
        let wide = whole.map(|row| widening.row(&row)).map(|row| match &widening.part {
            Some(part) => row.pick(part),
            None => row,
        });
        // Where the row was written since, it keeps a hash that no row of the table has.
        let sealed = stored.hash.is_some() && stored.hash == row.as_ref().map(|row| row.hash().0);
        let hash = if sealed { wide.as_ref().map(|row| row.hash().0) } else { stored.hash };
        self.ledger.count(tab, stored.hash, hash);
        let bytes = self.ledger.encode(&state, &self.tables[table].rules);
        c.prepare_cached("UPDATE _tidewater_version SET hash = ?3, state = ?4 WHERE tab = ?1 AND key = ?2")
            .and_then(|mut s| s.execute((tab, key::Stored(key), hash.map(u128::to_le_bytes), bytes)))
            .map_err(sqlite)?;
        if let (None, Some(wide)) = (stored.hash, wide) {
            c.prepare_cached("UPDATE _tidewater_parked SET row = ?3 WHERE tab = ?1 AND key = ?2")
                .and_then(|mut s| s.execute((tab, key::Stored(key), wide.as_bytes())))
                .map_err(sqlite)?;
        }
        Ok(())
    }

    /// What is to become of the table's columns; nothing, if that is done.
    fn widening(&self, open: &Open, c: &Connection, table: usize) -> Result<Option<Widening>> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        let before: Option<Vec<u8>> = c
            .query_row("SELECT columns_before FROM _tidewater_shared WHERE tab = ?1", [of.tab], |row| row.get(0))
            .map_err(sqlite)?;
        let Some(before) = before else { return Ok(None) };
        let place = |name: &String| of.names.iter().position(|column| column == name);
        let places: Vec<usize> = join::unpacked(&before)?.iter().filter_map(place).collect();
        let details = schema::details(c, &of.view.table).map_err(sqlite)?;
        let mut added = RowBuilder::default();
        for (at, name) in of.names.iter().enumerate() {
            let described = details.as_ref().and_then(|details| details.table.column(name));
            match described.filter(|_| of.holds(name) && !places.contains(&at)) {
                Some(column) => push_default(c, column, &mut added).map_err(sqlite)?,
                None => added.push(&Value::Unchanged),
            }
        }
        // Of this file's columns those that there were before, in the order of before.
        let held: Vec<usize> = (0..places.len()).filter(|at| of.holds(&of.names[places[*at]])).collect();
        let own = |at: &usize| of.view.columns.iter().position(|c| c.name.eq_ignore_ascii_case(&of.names[places[*at]]));
        let own: Vec<usize> = held.iter().filter_map(own).collect();
        let columns = own.iter().map(|at| of.view.columns[*at].clone()).collect();
        let key = of.view.key.iter().filter_map(|at| own.iter().position(|place| place == at)).collect();
        let before = View { columns, key, ..of.view.clone() };
        Ok(Some(Widening { before, held, places, added: added.take(), part: of.part.clone() }))
    }

    /// The journal's entries are of rows as they were, too.
    fn widen_journal(&mut self, open: &Open, c: &Connection, table: usize, widening: &Widening) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let tab = self.tables[table].tab;
        let entries: Vec<Entry> = c
            .prepare("SELECT id, state, shown FROM _tidewater_conflict WHERE tab = ?1")
            .and_then(|mut s| s.query_map([tab], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
            .map_err(sqlite)?;
        for (id, bytes, shown) in entries {
            let shown = shown.map(|bytes| crate::ledger::key(&bytes)).transpose()?;
            let node_of = |number| self.ledger.node_of(number);
            let state = State::decode(&bytes, shown.as_ref(), &node_of)
                .map_err(|e| damaged(&open.database.shown, &e))?
                .widened(&widening.places, &widening.added);
            let bytes = self.ledger.encode(&state, &self.tables[table].rules);
            let wide = shown.as_ref().map(|row| widening.row(row));
            c.prepare_cached("UPDATE _tidewater_conflict SET state = ?2, shown = ?3 WHERE id = ?1")
                .and_then(|mut s| s.execute((id, bytes, wide.as_ref().map(Row::as_bytes))))
                .map_err(sqlite)?;
        }
        Ok(())
    }
}

impl Widening {
    /// A row as it was, with what the added columns hold.
    fn row(&self, row: &Row) -> Row {
        let before: Vec<Value<'_>> = row.values().collect();
        let place = |at: usize| self.places.iter().position(|place| *place == at);
        self.added
            .values()
            .enumerate()
            .map(|(at, added)| place(at).and_then(|at| before.get(at).cloned()).unwrap_or(added))
            .collect()
    }
}

/// What ADD COLUMN puts into rows that are there: the default, as the column takes it.
pub(super) fn push_default(
    c: &Connection,
    column: &tidewater_core::change::Column,
    into: &mut RowBuilder,
) -> rusqlite::Result<()> {
    let default = column.default.as_ref().map_or(String::new(), |default| format!(" DEFAULT ({default})"));
    c.execute_batch(&format!(
        "CREATE TEMP TABLE _tidewater_default({} {}{default}, _tidewater_x); \
         INSERT INTO temp._tidewater_default(_tidewater_x) VALUES (1);",
        quote(&column.name),
        column.declared
    ))?;
    c.query_row("SELECT * FROM temp._tidewater_default", [], |row| {
        into.push(&crate::types::column(row, 0)?);
        Ok(())
    })?;
    c.execute_batch("DROP TABLE temp._tidewater_default")
}
