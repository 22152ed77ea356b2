//! Rows that stand aside: another row has a unique value of theirs.
//!
//! Which of the rows that claim a value is shown follows from their states alone, so that all replicas show the same:
//! rows are taken in the order of their claims, the earliest first, and one is shown if no row shown before it stands
//! in its way. A claim is the time at which the unique columns were written, and the key; only the key where the rules
//! do not look at columns, so that no later write of either row changes who is shown. That is the one arrangement in
//! which every row that stands aside has a row in its way that claimed earlier, so it is enough to mend what is not so
//! ([`Member::arrange`]). A row that breaks a constraint by itself claims nothing. A row that stands aside is kept
//! whole, is no delete, and comes back when its place is free.
//!
//! Architecture invariant: rows are arranged only when the log is sealed to its end, in the same transaction.

use super::show::Refused;
use super::{Member, SharedTable, journal, key, seal};
use crate::connection::Open;
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

/// Why a row stands aside, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Another row has a unique value of it.
    Taken = 0,
    /// It breaks a constraint by itself.
    Unfit = 1,
    /// A row that it refers to is not there.
    Orphan = 2,
}

/// When a row claimed its unique values, and its key.
type Claim = (Stamp, Key);

/// A row that stands aside.
struct Aside {
    key: Key,
    row: Row,
    why: Why,
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

/// Whether any row of a table stands aside.
pub(super) fn any(c: &Connection, tab: i64) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM _tidewater_parked WHERE tab = ?1)")?
        .query_row([tab], |row| row.get(0))
}

/// Whether any of them is an orphan.
pub(super) fn any_orphan(c: &Connection, tab: i64) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM _tidewater_parked WHERE tab = ?1 AND unfit = 2)")?
        .query_row([tab], |row| row.get(0))
}

/// The orphans of a table are looked at like others that stand aside.
pub(super) fn take_for_candidates(c: &Connection, tab: i64) -> rusqlite::Result<()> {
    c.prepare_cached("UPDATE _tidewater_parked SET unfit = 0 WHERE tab = ?1 AND unfit = 2")?.execute([tab]).map(drop)
}

/// A row stands aside, at least until everything else of its batch is written.
pub(super) fn keep(c: &Connection, tab: i64, key: &Key, row: &Row, why: &Refused) -> rusqlite::Result<()> {
    let (why, reason) = match why {
        Refused::Taken(reason) => (Why::Taken, reason),
        Refused::Unfit(reason) => (Why::Unfit, reason),
        Refused::Orphan(reason) => (Why::Orphan, reason),
    };
    c.prepare_cached(
        "INSERT INTO _tidewater_parked(tab, key, row, unfit, reason) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (tab, key) DO UPDATE SET row = excluded.row, unfit = excluded.unfit, reason = excluded.reason",
    )?
    .execute((tab, key::Stored(key), row.as_bytes(), why as i64, reason))
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

    fn claim(&self, key: &Key, shown: &Shown) -> Claim {
        let stamps = self.claimed.iter().filter_map(|column| shown.origins.get(*column)).map(|origin| origin.stamp);
        (stamps.max().unwrap_or(Stamp::GENESIS), key.clone())
    }
}

impl Member {
    /// Looks once at every row that stands aside, the earliest first; with `orphans` also at those. Adds who is shown
    /// now, with the state.
    pub(super) fn arrange_once(
        &mut self,
        open: &Open,
        c: &Connection,
        table: usize,
        orphans: bool,
        shown: &mut Vec<(usize, Key, State)>,
    ) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let mut aside = self.aside(open, c, table, |why| why == Why::Taken || (orphans && why == Why::Orphan))?;
        aside.sort_by(|one, other| one.claim.cmp(&other.claim));
        for one in aside {
            if self.tables[table].is_no_candidate(c, &one.row).map_err(sqlite)? {
                if one.why != Why::Orphan {
                    keep(c, self.tables[table].tab, &one.key, &one.row, &super::orphans::orphan()).map_err(sqlite)?;
                }
                continue;
            }
            let rivals = self.tables[table].in_the_way(c, &one.key, &one.row).map_err(sqlite)?;
            let mut later = Vec::new();
            for rival in &rivals {
                let (row, claim) = self.rival(open, c, table, rival)?;
                if claim > one.claim {
                    later.push((rival, row));
                }
            }
            if later.len() < rivals.len() {
                if one.why != Why::Taken {
                    keep(c, self.tables[table].tab, &one.key, &one.row, &taken()).map_err(sqlite)?;
                }
                continue;
            }
            c.execute_batch("SAVEPOINT place").map_err(sqlite)?;
            for (rival, _) in &later {
                self.tables[table].writer.delete(c, rival).map_err(sqlite)?;
            }
            let refused = self.tables[table].put(c, &one.row, false).map_err(sqlite)?;
            if let Some(why) = refused {
                // It cannot be shown whoever makes room: the schema is another one than when it was set aside.
                c.execute_batch("ROLLBACK TO place; RELEASE place").map_err(sqlite)?;
                keep(c, self.tables[table].tab, &one.key, &one.row, &Refused::Unfit(why.said())).map_err(sqlite)?;
                continue;
            }
            c.execute_batch("RELEASE place").map_err(sqlite)?;
            for (rival, row) in &later {
                keep(c, self.tables[table].tab, rival, row, &taken()).map_err(sqlite)?;
                self.now_shown(c, table, rival, Some(row), None).map_err(sqlite)?;
            }
            forget(c, self.tables[table].tab, &one.key).map_err(sqlite)?;
            self.now_shown(c, table, &one.key, None, Some(&one.row)).map_err(sqlite)?;
            shown.push((table, one.key, one.state));
        }
        Ok(())
    }

    /// The row in the user's table is another one than the version said: shown now, or not.
    pub(super) fn now_shown(
        &mut self,
        c: &Connection,
        table: usize,
        key: &Key,
        before: Option<&Row>,
        row: Option<&Row>,
    ) -> rusqlite::Result<()> {
        let tab = self.tables[table].tab;
        let hash = row.map(|row| row.hash().0);
        self.ledger.count(tab, before.map(|row| row.hash().0), hash);
        self.moved(table, key, before.is_some(), row.is_some());
        // Other replicas arrange their rows themselves; but a leaf is told what is shown.
        c.prepare_cached("UPDATE _tidewater_version SET hash = ?3 WHERE tab = ?1 AND key = ?2")?.execute((
            tab,
            key::Stored(key),
            hash.map(u128::to_le_bytes),
        ))?;
        self.hand_out_again(c, tab, key)
    }

    /// The rows of a table that stand aside for some reasons, with their claims.
    fn aside(&self, open: &Open, c: &Connection, table: usize, which: impl Fn(Why) -> bool) -> Result<Vec<Aside>> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        let parked: Vec<(key::Read, Vec<u8>, i64)> = c
            .prepare_cached("SELECT key, row, unfit FROM _tidewater_parked WHERE tab = ?1")
            .and_then(|mut s| s.query_map([of.tab], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
            .map_err(sqlite)?;
        let mut aside = Vec::new();
        for (key::Read(key), row, why) in parked {
            let reasons = [Why::Taken, Why::Unfit, Why::Orphan];
            let why = reasons.into_iter().find(|reason| *reason as i64 == why).unwrap_or(Why::Taken);
            if !which(why) {
                continue;
            }
            let row = crate::ledger::key(&row)?;
            let Some(stored) = seal::stored(c, of.tab, &key).map_err(sqlite)? else { continue };
            let state = self.decode(open, table, &stored, Some(&row))?;
            let claim = of.claim(&key, &self.shown(table, &state));
            aside.push(Aside { key, row, why, claim, state });
        }
        Ok(aside)
    }

    /// A row that is shown, and its claim.
    fn rival(&self, open: &Open, c: &Connection, table: usize, key: &Key) -> Result<(Row, Claim)> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        let (row, stored) = (of.row(c, key).map_err(sqlite)?, seal::stored(c, of.tab, key).map_err(sqlite)?);
        let (Some(row), Some(stored)) = (row, stored) else { return Err(self.unsealed(table)) };
        if stored.hash != Some(row.hash().0) {
            return Err(self.unsealed(table));
        }
        let state = self.decode(open, table, &stored, Some(&row))?;
        let claim = of.claim(key, &self.shown(table, &state));
        Ok((row, claim))
    }

    /// Who stands aside now is in the journal.
    pub(super) fn enter_parked(&mut self, open: &Open, c: &Connection, run: &str) -> Result<()> {
        for table in 0..self.tables.len() {
            if !any(c, self.tables[table].tab).map_err(|e| open.explain(e))? {
                continue;
            }
            for one in self.aside(open, c, table, |_| true)? {
                self.enter_one(open, c, table, &one, run)?;
            }
        }
        Ok(())
    }

    /// The journal gets a row that stands aside, in time before somebody else's takes its key.
    pub(super) fn enter_aside(
        &mut self,
        open: &Open,
        c: &Connection,
        (table, key): (usize, &Key),
        stored: &seal::Stored,
        row: &Row,
    ) -> Result<()> {
        let state = self.decode(open, table, stored, Some(row))?;
        let orphan = c
            .prepare_cached("SELECT unfit = 2 FROM _tidewater_parked WHERE tab = ?1 AND key = ?2")
            .and_then(|mut s| s.query_row((self.tables[table].tab, key::Stored(key)), |row| row.get(0)).optional())
            .map_err(|e| open.explain(e))?;
        let why = if orphan == Some(true) { Why::Orphan } else { Why::Taken };
        let claim = (Stamp::GENESIS, key.clone());
        let one = Aside { key: key.clone(), row: row.clone(), why, claim, state };
        self.enter_one(open, c, table, &one, "")
    }

    fn enter_one(&mut self, open: &Open, c: &Connection, table: usize, one: &Aside, run: &str) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        // One whose place is taken may have lost its parent since.
        let orphan = match one.why {
            Why::Taken => of.is_no_candidate(c, &one.row).map_err(sqlite)?,
            why => why == Why::Orphan,
        };
        let (kind, other, rule) = match orphan {
            true => (journal::ORPHAN, journal::PARKED, "park"),
            false => (journal::PARKED, journal::ORPHAN, "first-writer"),
        };
        if !of.kin.parents.is_empty() {
            let other = journal::parked_id(other, &of.view.table, &one.key, &one.state);
            journal::end_one(c, &other, open.env.clock.now_ms()).map_err(sqlite)?;
        }
        let entry = journal::New {
            id: journal::parked_id(kind, &of.view.table, &one.key, &one.state),
            tab: of.tab,
            key: &one.key,
            kind,
            rule: rule.to_owned(),
            open: false,
            state: self.ledger.encode(&one.state, &of.rules),
            shown: Some(&of.whole(&one.row)),
            at_ms: open.env.clock.now_ms(),
            run,
        };
        journal::enter(c, &entry).map(drop).map_err(sqlite)
    }
}

fn taken() -> Refused {
    Refused::Taken("another row claimed a unique value of it earlier".to_owned())
}
