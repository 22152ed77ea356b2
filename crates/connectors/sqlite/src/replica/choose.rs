//! What a person may do with a replica at rest: look at its conflicts, and settle them. And rules that changed.

use super::ledger::Ledger;
use super::{Member, READER, State, journal, key, seal};
use crate::capture;
use crate::connection::Open;
use crate::meta;
use rusqlite::Connection;
use std::sync::Arc;
use tidewater_core::change::{Key, Row, Value};
use tidewater_core::merge::{Kind as Collided, Shown, Stamp, Write};
use tidewater_core::replica::{Choice, Entry, Membership, Selection, Shared};
use tidewater_core::{Error, Kind, Result, code};

impl State {
    /// The conflicts in the journal.
    pub(super) fn conflicts(&mut self, selection: &Selection) -> Result<Vec<Entry>> {
        let open = &self.open;
        open.read(|c| {
            let sqlite = |e| open.explain(e);
            if !meta::has_table(c, "_tidewater_replica").map_err(sqlite)? {
                return Ok(vec![]);
            }
            let Some(ledger) = Ledger::load(c).map_err(sqlite)? else { return Ok(vec![]) };
            let following = capture::Following::nowhere(READER);
            let nobody = Membership { endpoint: String::new(), tables: Arc::new([]) };
            let member = Member::new(ledger, following, self.tables(c)?, &nobody)?;
            member.entries(open, c, selection)
        })
    }

    /// Settles a conflict.
    pub(super) fn settle(&mut self, id: &[u8; 16], choice: &Choice) -> Result<bool> {
        if self.member.is_none() {
            self.rejoin()?;
        }
        if !self.seal_all()? {
            return Err(Error::new(Kind::Unavailable, code::HALTED, "a table changed its schema meanwhile")
                .meaning("Nothing was written.")
                .remedy("Sync once, then try again."));
        }
        let changed = self.change(|open, c, member| {
            let Some(entry) = member.entry_of(open, c, id)? else { return Err(unknown(&open.database.shown)) };
            member.choose(open, c, &entry, choice).map(Some)
        })?;
        Ok(changed.unwrap_or(false))
    }

    /// Takes part again with what it has, without anybody else.
    fn rejoin(&mut self) -> Result<()> {
        let open = &self.open;
        let (endpoint, tables) = open.read(|c| {
            let sqlite = |e| open.explain(e);
            let takes_part = meta::has_table(c, "_tidewater_replica").map_err(sqlite)?;
            let ledger = if takes_part { Ledger::load(c).map_err(sqlite)? } else { None };
            let Some(ledger) = ledger else { return Err(unknown(&open.database.shown)) };
            Ok((ledger.endpoint().to_owned(), self.tables(c)?))
        })?;
        let shared = tables.into_iter().map(|table| Shared { view: table.view, policy: table.policy });
        let membership = Membership { endpoint, tables: shared.collect() };
        let joined = self.join(&membership)?;
        for table in joined.unadopted {
            while !self.adopt(table, 5_000)?.done {}
        }
        Ok(())
    }
}

impl Member {
    /// Writes what was chosen.
    fn choose(&mut self, open: &Open, c: &Connection, entry: &Entry, choice: &Choice) -> Result<bool> {
        let sqlite = |e| open.explain(e);
        let Some(table) = self.tables.iter().position(|of| of.view.table == entry.table) else {
            return Err(unknown(&open.database.shown));
        };
        let (tab, key) = (self.tables[table].tab, &entry.key);
        let Some(stored) = seal::stored(c, tab, key).map_err(sqlite)? else {
            return Err(unknown(&open.database.shown));
        };
        let there = stored.hash.is_some();
        let now_row = self.tables[table].row(c, key).map_err(sqlite)?;
        let content = content(entry, choice, now_row.as_ref())?;
        if content.as_ref().is_some_and(|row| !row.has(&self.tables[table].view.key, key)) {
            return Err(other_key(&entry.table));
        }
        if entry.kind == Collided::Unique && !matches!(choice, Choice::Set(_)) {
            return Err(stands_aside(&entry.table));
        }
        let row = if there { now_row.clone() } else { super::parked::row(c, tab, key).map_err(sqlite)? };
        let state = self.decode(open, &stored, row.as_ref())?;
        let shown: Shown = self.shown_as(table, &state, stored.hash);
        let now = open.env.clock.now_ms();
        let stamp = Stamp::next(u64::try_from(now).unwrap_or(0), state.stamp_max());
        let write = Write { dot: self.ledger.next_dot(), stamp, content: content.clone() };
        let settled = state.resolve(write, &shown, &self.tables[table].rules);
        let of = &self.tables[table];
        let refused = match &content {
            None if there => of.writer.delete(c, key).map(|_| None),
            None => Ok(None),
            Some(row) => of.put(c, row, there),
        };
        if let Some(why) = refused.map_err(sqlite)? {
            return Err(Error::new(
                Kind::Conflict,
                code::ROW_HELD,
                format!("{}: the row cannot be written: {why}", entry.table),
            )
            .meaning("Nothing was changed.")
            .remedy("Choose other values with --set, or change what is in the way."));
        }
        super::parked::forget(c, tab, key).map_err(sqlite)?;
        self.store(c, table, key, content.as_ref(), None, &settled).map_err(sqlite)?;
        journal::end(c, tab, key, None, now).map_err(sqlite)?;
        self.tables[table].touched = true;
        self.arrange(open, c, false, "")?;
        Ok(content != now_row)
    }

    /// Rows in conflict are shown as the rules say now, where those changed.
    pub(super) fn show_by_new_rules(&mut self, open: &Open, c: &Connection) -> Result<()> {
        let sqlite = |e| open.explain(e);
        for table in 0..self.tables.len() {
            let tab = self.tables[table].tab;
            let keys: Vec<key::Read> = c
                .prepare_cached(
                    "SELECT DISTINCT key FROM _tidewater_conflict WHERE tab = ?1 AND ended IS NULL AND kind <> 'unique'",
                )
                .and_then(|mut s| s.query_map([tab], |row| row.get(0))?.collect())
                .map_err(sqlite)?;
            for key::Read(key) in keys {
                self.show_again(open, c, table, &key)?;
            }
        }
        Ok(())
    }

    fn show_again(&mut self, open: &Open, c: &Connection, table: usize, key: &Key) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let tab = self.tables[table].tab;
        let Some(stored) = seal::stored(c, tab, key).map_err(sqlite)? else { return Ok(()) };
        let now_row = self.tables[table].row(c, key).map_err(sqlite)?;
        // Written since: sealing sees to it.
        if stored.hash != now_row.as_ref().map(|row| row.hash().0) {
            return Ok(());
        }
        let state = self.decode(open, &stored, now_row.as_ref())?;
        let shown = self.shown(table, &state);
        let fallback = Shown::fallback(&state, &self.tables[table].rules).content;
        if state.siblings().len() < 2 || shown.content == now_row || fallback == now_row {
            return Ok(());
        }
        let of = &self.tables[table];
        let refused = match &shown.content {
            None => of.writer.delete(c, key).map(|_| None),
            Some(row) => of.put(c, row, now_row.is_some()),
        };
        if refused.map_err(sqlite)?.is_none() {
            self.store(c, table, key, shown.content.as_ref(), None, &state).map_err(sqlite)?;
        }
        Ok(())
    }
}

/// The row that a choice makes; `None` for a delete.
fn content(entry: &Entry, choice: &Choice, now: Option<&Row>) -> Result<Option<Row>> {
    match choice {
        Choice::Take(number) => {
            let side = number.checked_sub(1).and_then(|at| entry.sides.get(at));
            let side = side.ok_or_else(|| {
                let what = format!("this conflict has no side {number}");
                Error::new(Kind::Invalid, code::USAGE, what)
                    .meaning("Nothing was changed.")
                    .remedy(format!("Its sides are 1 to {}; `tidewater conflicts show` shows them.", entry.sides.len()))
            })?;
            Ok(side.content.clone())
        }
        Choice::Set(values) => {
            let latest = || entry.sides.iter().rev().find_map(|side| side.content.as_ref());
            let Some(row) = now.or_else(latest) else { return Ok(None) };
            set(entry, row, values).map(Some)
        }
        Choice::Restore => {
            let loser = entry.sides.iter().rev().find(|side| !side.won).or(entry.sides.first());
            let Some(loser) = loser else { return Ok(now.cloned()) };
            match (&loser.content, now) {
                (Some(lost), Some(now)) if !entry.collided.is_empty() && entry.shown.is_some() => {
                    let lost: Vec<Value<'_>> = lost.values().collect();
                    let values = now.values().enumerate();
                    let pick = |(at, value)| match lost.get(at) {
                        Some(lost) if entry.collided.contains(&at) => lost.clone(),
                        _ => value,
                    };
                    Ok(Some(values.map(pick).collect()))
                }
                (content, _) => Ok(content.clone()),
            }
        }
    }
}

fn set(entry: &Entry, row: &Row, values: &[(String, Value<'static>)]) -> Result<Row> {
    let mut columns: Vec<Value<'_>> = row.values().collect();
    for (name, value) in values {
        let place = entry.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        let Some(place) = place else {
            return Err(Error::new(Kind::Invalid, code::SCOPE, format!("{} has no column {name}", entry.table))
                .meaning("Nothing was changed.")
                .remedy(format!("There are: {}", entry.columns.join(", "))));
        };
        columns[place] = value.clone();
    }
    Ok(columns.into_iter().collect())
}

fn other_key(table: &str) -> Error {
    Error::new(Kind::Invalid, code::SCOPE, format!("the key of a row of {table} cannot be set"))
        .meaning("It would be another row. Nothing was changed.")
        .remedy("Set other columns; change the key with a statement of your own.")
}

fn unknown(shown: &str) -> Error {
    Error::new(Kind::Invalid, code::SCOPE, format!("{shown} has no such conflict"))
        .meaning("Nothing was changed.")
        .remedy("`tidewater conflicts list` shows those there are.")
}

fn stands_aside(table: &str) -> Error {
    let what = format!("this row of {table} stands aside for another with the same unique value");
    Error::new(Kind::Conflict, code::ROW_HELD, what)
        .meaning("It cannot be shown as it is. Nothing was changed.")
        .remedy("Give it another value with --set COLUMN=VALUE, or change or delete the row in its way.")
}
