//! Rows that stand aside: another row has a unique value of theirs.
//!
//! Which of the rows that claim a value is shown follows from their states alone, so that all replicas show the same:
//! rows are taken in the order of their claims, the earliest first, and one is shown if no row shown before it stands
//! in its way. A claim is the time at which the unique columns (or the row) were written, and the key. That is the one
//! arrangement in which every row that stands aside has a row in its way that claimed earlier, so it is enough to mend
//! what is not so ([`Member::arrange`]). A row that stands aside is kept whole, is no delete, and comes back when its
//! place is free.

use super::{Member, SharedTable, journal, key, seal};
use crate::connection::Open;
use crate::scan::One;
use crate::schema::Details;
use crate::sql::{list, quote};
use crate::types::bind;
use rusqlite::{Connection, OptionalExtension};
use tidewater_core::Result;
use tidewater_core::change::{Key, Row, RowBuilder, View};
use tidewater_core::merge::{Shown, Stamp, State};

/// Finds the rows that stand in the way of a row, by one unique index.
#[derive(Debug, Clone)]
pub(super) struct Rivals {
    /// Parameters are the row's values.
    sql: String,
}

/// The searches of a table, and the columns that a claim is made by. An error names an index that is not understood.
pub(super) fn rivals(details: &Details, view: &View) -> Result<(Vec<Rivals>, Vec<usize>), String> {
    let mut claimed: Vec<usize> = view.key.clone();
    let mut found = Vec::new();
    for probe in crate::probes::of_indexes(details) {
        let Some(probe) = probe else {
            return Err(format!("{} has a unique index over an expression that cannot be read", view.table));
        };
        let mut condition = probe.condition.clone();
        for (at, column) in view.columns.iter().enumerate() {
            condition = condition.replace(&format!("NEW.{}", quote(&column.name)), &format!("?{}", at + 1));
        }
        if condition.contains("NEW.") {
            return Err(format!("{} has a unique index over a generated column", view.table));
        }
        let key = list("", view.key.iter().map(|at| view.columns[*at].name.as_str()));
        found.push(Rivals { sql: format!("SELECT {key} FROM {} WHERE {condition}", quote(&view.table)) });
        for name in probe.columns.iter().flatten() {
            claimed.extend(view.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)));
        }
    }
    claimed.sort_unstable();
    claimed.dedup();
    Ok((found, claimed))
}

/// When a row claimed its unique values, and its key.
type Claim = (Stamp, Key);

/// A row that stands aside.
struct Aside {
    key: Key,
    row: Row,
    claim: Claim,
    state: State,
}

/// The content of a row that stands aside.
pub(super) fn row(c: &Connection, tab: i64, key: &Key) -> rusqlite::Result<Option<Row>> {
    let bytes: Option<Vec<u8>> = c
        .prepare_cached("SELECT row FROM _tidewater_parked WHERE tab = ?1 AND key = ?2")?
        .query_row((tab, key::Stored(key)), |row| row.get(0))
        .optional()?;
    Ok(bytes.and_then(|bytes| crate::ledger::key(&bytes).ok()))
}

/// A row does not stand aside any more.
pub(super) fn forget(c: &Connection, tab: i64, key: &Key) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM _tidewater_parked WHERE tab = ?1 AND key = ?2")?
        .execute((tab, key::Stored(key)))
        .map(drop)
}

/// How many stand aside in all tables.
pub(super) fn count(c: &Connection) -> rusqlite::Result<u64> {
    c.prepare_cached("SELECT count(*) FROM _tidewater_parked")?.query_row([], |row| row.get(0))
}

fn any(c: &Connection, tab: i64) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM _tidewater_parked WHERE tab = ?1)")?
        .query_row([tab], |row| row.get(0))
}

fn keep(c: &Connection, tab: i64, key: &Key, row: &Row, reason: &str) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO _tidewater_parked(tab, key, row, reason) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (tab, key) DO UPDATE SET row = excluded.row, reason = excluded.reason",
    )?
    .execute((tab, key::Stored(key), row.as_bytes(), reason))
    .map(drop)
}

/// The row in the user's table is another one than the version said: shown now, or not.
fn set_hash(c: &Connection, tab: i64, key: &Key, row: Option<&Row>) -> rusqlite::Result<()> {
    c.prepare_cached("UPDATE _tidewater_version SET hash = ?3 WHERE tab = ?1 AND key = ?2")?
        .execute((tab, key::Stored(key), row.map(|row| row.hash().0.to_le_bytes())))
        .map(drop)
}

impl SharedTable {
    /// The keys of the rows in the way of `row`, which has `key`.
    fn in_the_way(&self, c: &Connection, key: &Key, row: &Row) -> rusqlite::Result<Vec<Key>> {
        let mut keys = Vec::new();
        let mut builder = RowBuilder::default();
        for rivals in &self.rivals {
            let mut statement = c.prepare_cached(&rivals.sql)?;
            let used = statement.parameter_count();
            bind(&mut statement, 1, row.raw().take(used))?;
            let mut rows = statement.raw_query();
            while let Some(found) = rows.next()? {
                for part in 0..self.view.key.len() {
                    builder.push(&crate::types::column(found, part)?);
                }
                let rival = builder.take();
                if rival != *key && !keys.contains(&rival) {
                    keys.push(rival);
                }
            }
        }
        Ok(keys)
    }

    fn claim(&self, key: &Key, state: &State, shown: &Shown) -> Claim {
        let by_column = self.claimed.iter().filter_map(|column| shown.origins.get(*column)).map(|o| o.stamp).max();
        let whole = || shown.sources.iter().filter_map(|at| state.siblings().get(*at)).map(|s| s.stamp).max();
        (by_column.or_else(whole).unwrap_or(Stamp::GENESIS), key.clone())
    }
}

impl Member {
    /// A row cannot be shown: it stands aside, at least until everything else of its batch is written.
    pub(super) fn put_aside(
        &mut self,
        c: &Connection,
        table: usize,
        key: &Key,
        row: &Row,
        reason: &str,
    ) -> rusqlite::Result<()> {
        let of = &mut self.tables[table];
        of.touched = true;
        keep(c, of.tab, key, row, reason)
    }

    /// Brings every table that was written to where each row that stands aside has an earlier one in its way.
    /// `settled`: this is no passing state of a batch, and who stands aside now enters the journal.
    pub(super) fn arrange(&mut self, open: &Open, c: &Connection, settled: bool, run: &str) -> Result<()> {
        for table in 0..self.tables.len() {
            let of = &self.tables[table];
            if (of.touched || settled) && any(c, of.tab).map_err(|e| open.explain(e))? {
                while self.arrange_once(open, c, table)? {}
                if settled {
                    self.enter_parked(open, c, table, run)?;
                }
            }
            self.tables[table].touched = false;
        }
        Ok(())
    }

    /// Shows the first row that stands aside without a reason. Says whether there was one.
    fn arrange_once(&mut self, open: &Open, c: &Connection, table: usize) -> Result<bool> {
        let sqlite = |e| open.explain(e);
        let mut aside = self.aside(open, c, table)?;
        aside.sort_by(|one, other| one.claim.cmp(&other.claim));
        let of = self.tables[table].clone();
        for one in aside {
            let rivals = of.in_the_way(c, &one.key, &one.row).map_err(sqlite)?;
            let mut later = Vec::new();
            for rival in &rivals {
                let (row, claim) = self.rival(open, c, table, rival)?;
                if claim > one.claim {
                    later.push((rival, row));
                }
            }
            if later.len() < rivals.len() {
                let reason = format!("{} has a unique value of it", rivals[0]);
                keep(c, of.tab, &one.key, &one.row, &reason).map_err(sqlite)?;
                continue;
            }
            for (rival, row) in &later {
                of.writer.delete(c, rival).map_err(sqlite)?;
                set_hash(c, of.tab, rival, None).map_err(sqlite)?;
                keep(c, of.tab, rival, row, "another row claimed a unique value of it earlier").map_err(sqlite)?;
            }
            match of.writer.insert(c, &one.row) {
                Ok(()) => {
                    forget(c, of.tab, &one.key).map_err(sqlite)?;
                    set_hash(c, of.tab, &one.key, Some(&one.row)).map_err(sqlite)?;
                    let now = open.env.clock.now_ms();
                    let id = journal::parked_id(&of.view.table, &one.key, &one.state);
                    journal::end_one(c, &id, now).map_err(sqlite)?;
                    return Ok(true);
                }
                Err(error) if crate::error::is_rows_fault(&error) => {
                    keep(c, of.tab, &one.key, &one.row, &crate::error::said(&error)).map_err(sqlite)?;
                    if !later.is_empty() {
                        return Ok(true);
                    }
                }
                Err(error) => return Err(sqlite(error)),
            }
        }
        Ok(false)
    }

    /// The rows of a table that stand aside, with their claims.
    fn aside(&self, open: &Open, c: &Connection, table: usize) -> Result<Vec<Aside>> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        let parked: Vec<(key::Read, Vec<u8>)> = c
            .prepare_cached("SELECT key, row FROM _tidewater_parked WHERE tab = ?1")
            .and_then(|mut s| s.query_map([of.tab], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(sqlite)?;
        let mut aside = Vec::new();
        for (key::Read(key), row) in parked {
            let row = crate::ledger::key(&row)?;
            let Some(stored) = seal::stored(c, of.tab, &key).map_err(sqlite)? else { continue };
            let state = self.decode(open, &stored, Some(&row))?;
            let claim = of.claim(&key, &state, &self.shown(table, &state));
            aside.push(Aside { key, row, claim, state });
        }
        Ok(aside)
    }

    /// A row that is shown, and its claim.
    fn rival(&self, open: &Open, c: &Connection, table: usize, key: &Key) -> Result<(Row, Claim)> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        let row = One::new(c, &of.view).and_then(|mut one| one.get(key)).map_err(sqlite)?.unwrap_or_default();
        let Some(stored) = seal::stored(c, of.tab, key).map_err(sqlite)? else {
            return Ok((row, (Stamp::GENESIS, key.clone())));
        };
        let state = self.decode(open, &stored, Some(&row))?;
        let shown = self.shown_as(table, &state, stored.hash);
        Ok((row, of.claim(key, &state, &shown)))
    }

    /// Who stands aside now is in the journal.
    fn enter_parked(&mut self, open: &Open, c: &Connection, table: usize, run: &str) -> Result<()> {
        for one in self.aside(open, c, table)? {
            let of = &self.tables[table];
            let entry = journal::New {
                id: journal::parked_id(&of.view.table, &one.key, &one.state),
                tab: of.tab,
                key: &one.key,
                kind: journal::PARKED,
                rule: "first-writer".to_owned(),
                open: false,
                state: self.ledger.encode(&one.state, &of.rules),
                shown: Some(&one.row),
                at_ms: open.env.clock.now_ms(),
                run,
            };
            journal::enter(c, &entry).map_err(|e| open.explain(e))?;
        }
        Ok(())
    }
}
