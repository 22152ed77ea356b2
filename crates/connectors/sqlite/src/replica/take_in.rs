//! Taking in versions: joined with what is here, in one transaction with the rows that they show.

use super::{Member, SharedTable, key, parked, seal};
use crate::connection::Open;
use crate::scan::One;
use rusqlite::Connection;
use tidewater_core::Result;
use tidewater_core::change::{Key, Row, Value};
use tidewater_core::merge::{Conflict, Joined, Shown, Stamp, State, Write};
use tidewater_core::replica::{Merged, Preference, Version, Versions};

/// A row that is about to be written.
struct Pending {
    table: usize,
    key: Key,
    state: State,
    /// What is shown; `None` for a delete.
    row: Option<Row>,
    /// What is shown instead where the row was put together and breaks a constraint.
    fallback: Option<Row>,
    here: Here,
    /// From whom exactly this state came.
    via: Option<u32>,
    /// With the state that shows it.
    conflict: Option<(State, Conflict)>,
}

/// What there is of a row before it is written.
#[derive(Debug, Clone, Copy, Default)]
struct Here {
    /// Whether the user's table has a row under this key.
    there: bool,
    /// Whether the journal may hold a conflict of it, or it stands aside.
    disputed: bool,
}

/// Why a row could not be written as it is.
type Refused = Option<String>;

impl Member {
    /// Joins versions with what is here, writes the rows, and what there is to say of them.
    pub(super) fn take_in(
        &mut self,
        open: &Open,
        c: &Connection,
        versions: Versions,
        prefer: Option<&Preference>,
        run: &str,
    ) -> Result<Merged> {
        let sqlite = |e| open.explain(e);
        let via = self.ledger.number_of(&versions.node);
        let mut merged = Merged::default();
        let mut pending = Vec::new();
        let mut incoming = versions.versions;
        // Neighbours lie on the same pages.
        incoming.sort_unstable_by(|one, other| {
            (one.table, key::place(&one.key)).cmp(&(other.table, key::place(&other.key)))
        });
        for version in incoming {
            match self.join_one(open, c, version, via, prefer)? {
                Some(one) => pending.push(one),
                None => merged.known += 1,
            }
        }
        // Deletes first: they free unique values.
        pending.sort_by_key(|one| one.row.is_some());
        for one in pending {
            self.write_one(open, c, one, run, &mut merged)?;
        }
        self.arrange(open, c, versions.settled, run)?;
        merged.parked = parked::count(c).map_err(sqlite)?;
        c.prepare_cached(
            "INSERT INTO _tidewater_heard(node, scope, seq, at) VALUES (?1, ?2, ?3, datetime('now')) \
             ON CONFLICT (node, scope) DO UPDATE SET seq = excluded.seq, at = excluded.at",
        )
        .and_then(|mut s| s.execute((via, &self.scope, i64::try_from(versions.through).unwrap_or(i64::MAX))))
        .map_err(sqlite)?;
        Ok(merged)
    }

    /// Joins one version; `None` where it brings nothing new.
    fn join_one(
        &mut self,
        open: &Open,
        c: &Connection,
        version: Version,
        via: u32,
        prefer: Option<&Preference>,
    ) -> Result<Option<Pending>> {
        let sqlite = |e| open.explain(e);
        let Version { table: at, key, state: theirs } = version;
        let table = self.of[at];
        let tab = self.tables[table].tab;
        self.ledger.saw(theirs.seen());
        let stored = seal::stored(c, tab, &key).map_err(sqlite)?;
        let Some(stored) = stored else {
            return Ok(Some(self.pending(table, key, theirs, Some(via), Here::default())));
        };
        // Contents matter only where both sides have something that the other has not.
        let ours = self.decode(open, &stored, None)?;
        let there = stored.hash.is_some();
        let here = Here { there, disputed: ours.siblings().len() > 1 || !there };
        if ours.is_of_the_same_writes(&theirs) {
            return Ok(None);
        }
        match State::join(&ours, &theirs) {
            Joined::Same | Joined::Left => return Ok(None),
            Joined::Right => return Ok(Some(self.pending(table, key, theirs, Some(via), here))),
            Joined::New(_) => {}
        }
        let row = match there {
            true => self.tables[table].row(c, &key).map_err(sqlite)?,
            false => parked::row(c, tab, &key).map_err(sqlite)?,
        };
        let ours = self.decode(open, &stored, row.as_ref())?;
        match State::join(&ours, &theirs) {
            Joined::Same | Joined::Left => Ok(None),
            Joined::Right => Ok(Some(self.pending(table, key, theirs, Some(via), here))),
            Joined::New(state) => {
                let met = ours.seen().meets(theirs.seen());
                let chosen = match prefer {
                    Some(prefer) if !met => self.preferred(table, at, &ours, &theirs, prefer),
                    _ => None,
                };
                let Some(content) = chosen else { return Ok(Some(self.pending(table, key, state, None, here))) };
                Ok(Some(self.resolved(open, (table, key), state, content, here)))
            }
        }
    }

    fn pending(&self, table: usize, key: Key, state: State, via: Option<u32>, here: Here) -> Pending {
        let Shown { content: row, sources, conflict, .. } = self.shown(table, &state);
        let fallback = match sources.len() {
            0 | 1 => None,
            _ => Shown::fallback(&state, &self.tables[table].rules).content,
        };
        let conflict = conflict.map(|conflict| (state.clone(), conflict));
        Pending { table, key, state, row, fallback, here, via, conflict }
    }

    /// What first contact was told to choose; `None` where that is for the rules to say.
    fn preferred(
        &self,
        table: usize,
        at: usize,
        ours: &State,
        theirs: &State,
        prefer: &Preference,
    ) -> Option<Option<Row>> {
        let (ours, theirs) = (self.shown(table, ours).content, self.shown(table, theirs).content);
        match prefer {
            Preference::Ours => Some(ours),
            Preference::Theirs => Some(theirs),
            Preference::Newest(columns) => {
                let column = *columns.get(&at)?;
                let value =
                    |row: &Option<Row>| row.as_ref().and_then(|row| row.pick(&[column]).values().next().map(own));
                match compare(&value(&ours)?, &value(&theirs)?)? {
                    std::cmp::Ordering::Greater => Some(ours),
                    std::cmp::Ordering::Less => Some(theirs),
                    std::cmp::Ordering::Equal => None,
                }
            }
        }
    }

    /// A conflict that is settled as it is met, by a write of this node.
    fn resolved(
        &mut self,
        open: &Open,
        (table, key): (usize, Key),
        state: State,
        content: Option<Row>,
        here: Here,
    ) -> Pending {
        let shown = self.shown(table, &state);
        let wall = u64::try_from(open.env.clock.now_ms()).unwrap_or(0);
        let stamp = Stamp::next(wall, state.stamp_max());
        let write = Write { dot: self.ledger.take_dot(), stamp, content: content.clone() };
        let settled = state.resolve(write, &shown, &self.tables[table].rules);
        let conflict = shown.conflict.map(|conflict| (state, conflict));
        Pending { table, key, state: settled, row: content, fallback: None, here, via: None, conflict }
    }

    /// Writes one row and its version.
    fn write_one(
        &mut self,
        open: &Open,
        c: &Connection,
        mut one: Pending,
        run: &str,
        merged: &mut Merged,
    ) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[one.table];
        if one.here.disputed {
            parked::forget(c, of.tab, &one.key).map_err(sqlite)?;
        }
        let mut shown = one.row.clone();
        match &one.row {
            None if one.here.there => merged.deletes += of.writer.delete(c, &one.key).map_err(sqlite)?,
            None => {}
            Some(row) => {
                let mut refused = of.put(c, row, one.here.there).map_err(sqlite)?;
                if let (Some(_), Some(fallback)) = (&refused, &one.fallback) {
                    refused = of.put(c, fallback, one.here.there).map_err(sqlite)?;
                    shown = Some(fallback.clone());
                }
                match refused {
                    None => merged.upserts += 1,
                    Some(reason) => {
                        if one.here.there {
                            of.writer.delete(c, &one.key).map_err(sqlite)?;
                        }
                        let row = one.row.take().unwrap_or_default();
                        self.put_aside(c, one.table, &one.key, &row, &reason).map_err(sqlite)?;
                        shown = None;
                    }
                }
            }
        }
        self.tables[one.table].touched = true;
        if let (Some((state, conflict)), row) = (&one.conflict, shown.as_ref().or(one.row.as_ref())) {
            merged.conflicts +=
                u64::from(self.enter_conflict(open, c, (one.table, &one.key), (state, conflict), row, run)?);
            if state.seen() != one.state.seen() {
                // Settled as it was met.
                let id = conflict.id(&self.tables[one.table].view.table, &one.key);
                super::journal::end_one(c, &id, open.env.clock.now_ms()).map_err(sqlite)?;
            }
        } else if one.here.disputed {
            let (tab, now) = (self.tables[one.table].tab, open.env.clock.now_ms());
            super::journal::end(c, tab, &one.key, None, now).map_err(sqlite)?;
        }
        self.store(c, one.table, &one.key, shown.as_ref(), one.via, &one.state).map_err(sqlite)
    }
}

impl SharedTable {
    /// The row under exactly this key.
    pub(super) fn row(&self, c: &Connection, key: &Key) -> rusqlite::Result<Option<Row>> {
        Ok(One::new(c, &self.view)?.get(key)?.filter(|row| row.has(&self.view.key, key)))
    }

    /// Writes a row; says why, if the table refuses it.
    pub(super) fn put(&self, c: &Connection, row: &Row, there: bool) -> rusqlite::Result<Refused> {
        // Where it is not there, another row may be under a key that the table takes for the same: that is in the way.
        let done = if there { self.writer.upsert(c, row) } else { self.writer.insert(c, row) };
        match done {
            Ok(()) => Ok(None),
            Err(error) if crate::error::is_rows_fault(&error) => Ok(Some(crate::error::said(&error))),
            Err(error) => Err(error),
        }
    }
}

fn own(value: Value<'_>) -> Row {
    Row::new([value])
}

/// Which of two values is greater, where they can be compared.
fn compare(one: &Row, other: &Row) -> Option<std::cmp::Ordering> {
    let number = |value: &Value<'_>| match value {
        Value::I64(v) => Some(*v as f64),
        Value::U64(v) => Some(*v as f64),
        Value::F64(v) => Some(*v),
        _ => None,
    };
    match (one.values().next()?, other.values().next()?) {
        (Value::Null, Value::Null) => Some(std::cmp::Ordering::Equal),
        // What was never written is older than anything.
        (Value::Null, _) => Some(std::cmp::Ordering::Less),
        (_, Value::Null) => Some(std::cmp::Ordering::Greater),
        (Value::I64(a), Value::I64(b)) => Some(a.cmp(&b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(&b)),
        (a, b) => number(&a)?.partial_cmp(&number(&b)?),
    }
}
