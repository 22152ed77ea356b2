//! Showing a state: the one place where the row, its version and the journal are written together.

use super::{Member, SharedTable, journal, parked};
use crate::connection::Open;
use crate::scan::One;
use rusqlite::Connection;
use rusqlite::ffi;
use tidewater_core::Result;
use tidewater_core::change::{Key, Row};
use tidewater_core::merge::{Conflict, Shown, State};
use tidewater_core::replica::Merged;

/// What there is of a row before it is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Here {
    /// The hash of the row in the user's table, if there is one.
    pub(super) hash: Option<u128>,
    /// Whether it stands aside.
    pub(super) aside: bool,
    /// Whether the journal may hold a conflict of it.
    pub(super) disputed: bool,
}

/// A state that is to be shown.
pub(super) struct Showing {
    pub(super) table: usize,
    pub(super) key: Key,
    pub(super) state: State,
    /// The row; `None` for a delete.
    pub(super) row: Option<Row>,
    /// What is shown instead where the row was put together and breaks a CHECK.
    pub(super) fallback: Option<Row>,
    pub(super) here: Here,
    /// From whom exactly this state came.
    pub(super) via: Option<u32>,
    /// What the journal is told, with the state that shows it.
    pub(super) conflict: Option<(State, Conflict)>,
}

/// Why a row was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another row has a unique value of it.
    Taken(String),
    /// It breaks a constraint by itself.
    Unfit(String),
    /// A row that it refers to is not there.
    Orphan(String),
}

impl Refused {
    /// What the database said.
    pub(super) fn said(self) -> String {
        match self {
            Refused::Taken(said) | Refused::Unfit(said) | Refused::Orphan(said) => said,
        }
    }
}

impl SharedTable {
    /// The row under exactly this key.
    pub(super) fn row(&self, c: &Connection, key: &Key) -> rusqlite::Result<Option<Row>> {
        Ok(One::new(c, &self.view)?.get(key)?.filter(|row| row.has(&self.view.key, key)))
    }

    /// Writes a row; says why, if the table refuses it.
    pub(super) fn put(&self, c: &Connection, row: &Row, there: bool) -> rusqlite::Result<Option<Refused>> {
        // Where it is not there, another row may be under a key that the table takes for the same: that is in the way.
        let done = if there { self.writer.upsert(c, row) } else { self.writer.insert(c, row) };
        match done {
            Ok(()) => Ok(None),
            Err(error) if crate::error::is_rows_fault(&error) => {
                let said = crate::error::said(&error);
                let code = error.sqlite_error().map_or(0, |error| error.extended_code);
                let taken =
                    [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_ROWID];
                Ok(Some(if taken.contains(&code) { Refused::Taken(said) } else { Refused::Unfit(said) }))
            }
            Err(error) => Err(error),
        }
    }
}

impl Member {
    /// What is to be written for a state.
    pub(super) fn showing(&self, table: usize, key: Key, state: State, via: Option<u32>, here: Here) -> Showing {
        let of = &self.tables[table];
        let Shown { content, sources, conflict, .. } = self.shown(table, &state);
        let fallback = match sources.len() {
            0 | 1 => None,
            _ => Shown::fallback(&state, &of.rules).content.map(|row| of.own_of(row)),
        };
        let row = content.map(|row| of.own_of(row));
        let conflict = conflict.map(|conflict| (state.clone(), conflict));
        Showing { table, key, state, row, fallback, here, via, conflict }
    }

    /// Writes the row of a state, its version, and what there is to say of it.
    pub(super) fn show(
        &mut self,
        open: &Open,
        c: &Connection,
        one: &Showing,
        run: &str,
        merged: &mut Merged,
    ) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[one.table];
        let (tab, there) = (of.tab, one.here.hash.is_some());
        if one.here.aside {
            parked::forget(c, tab, &one.key).map_err(sqlite)?;
        }
        let (mut shown, mut refused) = (one.row.as_ref(), None);
        match &one.row {
            None if there => merged.deletes += of.writer.delete(c, &one.key).map_err(sqlite)?,
            None => {}
            Some(row) => {
                refused = of.put(c, row, there).map_err(sqlite)?;
                if let (Some(Refused::Unfit(_)), Some(fallback)) = (&refused, &one.fallback) {
                    refused = of.put(c, fallback, there).map_err(sqlite)?;
                    shown = Some(fallback);
                }
            }
        }
        if let (Some(why), Some(row)) = (&refused, shown) {
            if there {
                of.writer.delete(c, &one.key).map_err(sqlite)?;
            }
            parked::keep(c, tab, &one.key, row, why).map_err(sqlite)?;
        } else if shown.is_some() {
            merged.upserts += 1;
        }
        // What is new to its table frees no place.
        self.tables[one.table].touched |= there || one.here.aside || refused.is_some();
        self.tell(open, c, one, shown, run, merged)?;
        let hash = shown.filter(|_| refused.is_none()).map(|row| row.hash().0);
        self.store(c, (one.table, &one.key), one.here.hash, hash, one.via, &one.state).map_err(sqlite)
    }

    /// Tells the journal.
    fn tell(
        &mut self,
        open: &Open,
        c: &Connection,
        one: &Showing,
        shown: Option<&Row>,
        run: &str,
        merged: &mut Merged,
    ) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let (tab, now) = (self.tables[one.table].tab, open.env.clock.now_ms());
        let Some((state, conflict)) = &one.conflict else {
            if one.here.disputed || one.here.aside {
                journal::end(c, tab, &one.key, None, now).map_err(sqlite)?;
            }
            return Ok(());
        };
        let shown = shown.map(|row| self.tables[one.table].whole(row).into_owned());
        let new = self.enter_conflict(open, c, (one.table, &one.key), (state, conflict), shown.as_ref(), run)?;
        merged.conflicts += u64::from(new);
        if state.seen() != one.state.seen() {
            // Settled as it was met.
            let id = conflict.id(&self.tables[one.table].view.table, &one.key);
            journal::end_one(c, &id, now).map_err(sqlite)?;
        }
        Ok(())
    }
}
