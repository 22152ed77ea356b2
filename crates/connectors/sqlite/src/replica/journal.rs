//! The journal of conflicts: what collided, with all sides, as long as somebody may ask.

use super::{Member, SharedTable, key, seal};
use crate::connection::Open;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use tidewater_core::Result;
use tidewater_core::change::{Key, Row};
use tidewater_core::merge::{Conflict, Dot, Kind, Shown, State};
use tidewater_core::replica::{Entry, Selection, Side};

/// The kind of a row that stands aside.
pub(super) const PARKED: &str = "unique";

/// The kind of one that stands aside because what it refers to is not there.
pub(super) const ORPHAN: &str = "foreign-key";

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Update => "update",
        Kind::DeleteUpdate => "delete-update",
        Kind::Insert => "insert",
        Kind::FirstContact => "first-contact",
        Kind::Unique => PARKED,
        Kind::ForeignKey => ORPHAN,
    }
}

fn kind(word: &str) -> Kind {
    let all = [Kind::Update, Kind::DeleteUpdate, Kind::Insert, Kind::FirstContact, Kind::Unique, Kind::ForeignKey];
    all.into_iter().find(|kind| self::word(*kind) == word).unwrap_or(Kind::Update)
}

/// An entry to be.
pub(super) struct New<'a> {
    pub(super) id: [u8; 16],
    pub(super) tab: i64,
    pub(super) key: &'a Key,
    pub(super) kind: &'static str,
    pub(super) rule: String,
    pub(super) open: bool,
    pub(super) state: Vec<u8>,
    pub(super) shown: Option<&'a Row>,
    pub(super) at_ms: i64,
    pub(super) run: &'a str,
}

/// Enters a conflict. Says whether it was not there yet; one that had ended and came back goes on.
pub(super) fn enter(c: &Connection, new: &New<'_>) -> rusqlite::Result<bool> {
    let entered = c
        .prepare_cached(
            "INSERT INTO _tidewater_conflict(id, tab, key, kind, rule, open, state, shown, at, run) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
        )?
        .execute((
            new.id,
            new.tab,
            key::Stored(new.key),
            new.kind,
            &new.rule,
            new.open,
            &new.state,
            new.shown.map(Row::as_bytes),
            new.at_ms,
            new.run,
        ))?;
    if entered == 0 {
        c.prepare_cached("UPDATE _tidewater_conflict SET ended = NULL WHERE id = ?1 AND ended IS NOT NULL")?
            .execute([new.id])?;
    }
    Ok(entered > 0)
}

/// A later write took the place of a row's conflicts, but for the one that lasts.
pub(super) fn end(c: &Connection, tab: i64, key: &Key, lasts: Option<[u8; 16]>, now_ms: i64) -> rusqlite::Result<()> {
    c.prepare_cached(
        "UPDATE _tidewater_conflict SET ended = ?4 WHERE tab = ?1 AND key = ?2 AND id IS NOT ?3 AND ended IS NULL",
    )?
    .execute((tab, key::Stored(key), lasts, now_ms))
    .map(drop)
}

/// One conflict is over.
pub(super) fn end_one(c: &Connection, id: &[u8; 16], now_ms: i64) -> rusqlite::Result<()> {
    c.prepare_cached("UPDATE _tidewater_conflict SET ended = ?2 WHERE id = ?1 AND ended IS NULL")?
        .execute((id, now_ms))
        .map(drop)
}

/// The number of a row that stands aside: of its writes.
pub(super) fn parked_id(kind: &str, table: &str, key: &Key, state: &State) -> [u8; 16] {
    let siblings = state.siblings().iter().map(|sibling| sibling.dot).collect();
    Conflict { kind: Kind::Unique, collisions: vec![], open: false, siblings }.id(&format!("{kind} in {table}"), key)
}

/// A row does not stand aside any more, for whatever reason it did.
pub(super) fn end_parked(c: &Connection, table: &str, key: &Key, state: &State, now_ms: i64) -> rusqlite::Result<()> {
    [PARKED, ORPHAN].iter().try_for_each(|kind| end_one(c, &parked_id(kind, table, key, state), now_ms))
}

/// One row of the table.
struct Raw {
    id: [u8; 16],
    tab: i64,
    key: Key,
    kind: String,
    rule: String,
    open: bool,
    state: Vec<u8>,
    shown: Option<Vec<u8>>,
    at_ms: i64,
    ended_ms: Option<i64>,
    run: String,
}

impl Raw {
    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            tab: row.get(1)?,
            key: row.get::<_, key::Read>(2)?.0,
            kind: row.get(3)?,
            rule: row.get(4)?,
            open: row.get(5)?,
            state: row.get(6)?,
            shown: row.get(7)?,
            at_ms: row.get(8)?,
            ended_ms: row.get(9)?,
            run: row.get(10)?,
        })
    }
}

const COLUMNS: &str = "id, tab, key, kind, rule, open, state, shown, at, ended, run";

impl Member {
    /// Enters what is shown of a state with several siblings. Says whether the conflict was new.
    pub(super) fn enter_conflict(
        &mut self,
        open: &Open,
        c: &Connection,
        (table, key): (usize, &Key),
        (state, conflict): (&State, &Conflict),
        row: Option<&Row>,
        run: &str,
    ) -> Result<bool> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        let now = open.env.clock.now_ms();
        let new = New {
            id: conflict.id(&of.view.table, key),
            tab: of.tab,
            key,
            kind: word(conflict.kind),
            rule: of.policy.row.word(),
            open: conflict.open,
            state: self.ledger.encode(state, &of.rules),
            shown: row,
            at_ms: now,
            run,
        };
        end(c, new.tab, key, Some(new.id), now).map_err(sqlite)?;
        enter(c, &new).map_err(sqlite)
    }

    /// The conflicts that are asked for, the latest first.
    pub(super) fn entries(&self, open: &Open, c: &Connection, selection: &Selection) -> Result<Vec<Entry>> {
        let most = i64::try_from(selection.rows_max).ok().filter(|most| *most > 0).unwrap_or(-1);
        let skip = i64::try_from(selection.skip).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT {COLUMNS} FROM _tidewater_conflict WHERE {} ORDER BY at DESC, id LIMIT ?4 OFFSET ?5",
            self.selected(selection)
        );
        let raw: Vec<Raw> = c
            .prepare_cached(&sql)
            .and_then(|mut s| {
                let parameters = (&selection.id, &selection.run, selection.open, most, skip);
                s.query_map(parameters, Raw::read)?.collect()
            })
            .map_err(|e| open.explain(e))?;
        raw.into_iter().filter_map(|raw| self.entry(open, raw).transpose()).collect()
    }

    /// How many conflicts are asked for, whatever the page.
    pub(super) fn count_entries(&self, c: &Connection, selection: &Selection) -> rusqlite::Result<u64> {
        c.prepare_cached(&format!("SELECT count(*) FROM _tidewater_conflict WHERE {}", self.selected(selection)))?
            .query_row((&selection.id, &selection.run, selection.open), |row| row.get(0))
    }

    /// The condition of a selection; its parameters are the number's beginning, the run, and whether it is open.
    fn selected(&self, selection: &Selection) -> String {
        let asked =
            |of: &&SharedTable| selection.table.as_ref().is_none_or(|name| of.view.table.eq_ignore_ascii_case(name));
        // Entries of tables that are not shared any more cannot be read.
        let tabs: Vec<String> = self.tables.iter().filter(asked).map(|of| of.tab.to_string()).collect();
        format!(
            "tab IN ({}) AND (?1 IS NULL OR lower(hex(id)) GLOB lower(?1) || '*') AND (?2 IS NULL OR run = ?2) \
             AND (NOT ?3 OR (open AND ended IS NULL))",
            tabs.join(", ")
        )
    }

    /// One conflict by its number.
    pub(super) fn entry_of(&self, open: &Open, c: &Connection, id: &[u8; 16]) -> Result<Option<Entry>> {
        let sql = format!("SELECT {COLUMNS} FROM _tidewater_conflict WHERE id = ?1");
        let raw = c.prepare_cached(&sql).and_then(|mut s| s.query_row([id], Raw::read).optional());
        match raw.map_err(|e| open.explain(e))? {
            Some(raw) => self.entry(open, raw),
            None => Ok(None),
        }
    }

    /// Takes an entry apart; `None` where its table is not shared any more.
    fn entry(&self, open: &Open, raw: Raw) -> Result<Option<Entry>> {
        let Some(table) = self.tables.iter().position(|of| of.tab == raw.tab) else { return Ok(None) };
        let of = &self.tables[table];
        let row = raw.shown.map(|bytes| crate::ledger::key(&bytes)).transpose()?;
        let node_of = |number| self.ledger.node_of(number);
        let state =
            State::decode(&raw.state, row.as_ref(), &node_of).map_err(|e| seal::damaged(&open.database.shown, &e))?;
        let shown = self.shown(table, &state);
        let collisions = shown.conflict.as_ref().map(|conflict| &conflict.collisions[..]).unwrap_or_default();
        let kind = self::kind(&raw.kind);
        let parked = matches!(kind, Kind::Unique | Kind::ForeignKey);
        let collided = match kind {
            Kind::Unique => of.claimed.clone(),
            Kind::ForeignKey => of.kin.parents.iter().flat_map(|parent| parent.columns.iter().copied()).collect(),
            _ => collisions.iter().flat_map(|collision| collision.columns.iter().copied()).collect(),
        };
        let sides = sides(&state, &shown, row.as_ref().filter(|_| !parked), |dot| self.side_of(dot));
        Ok(Some(Entry {
            id: raw.id,
            table: of.view.table.clone(),
            columns: of.names.clone(),
            key: raw.key,
            kind,
            rule: raw.rule,
            collided,
            sides,
            shown: if parked { None } else { row },
            open: raw.open && raw.ended_ms.is_none(),
            at_ms: raw.at_ms,
            ended_ms: raw.ended_ms,
            run: raw.run,
        }))
    }

    fn side_of(&self, dot: &Dot) -> Option<String> {
        match dot {
            Dot::Write { node, .. } => Some(self.ledger.endpoint_of(node).unwrap_or_default().to_owned()),
            Dot::Genesis(_) => None,
        }
    }
}

/// The sides, and which of them are shown: the one that is the row, or else those that won a column.
fn sides(state: &State, shown: &Shown, row: Option<&Row>, endpoint: impl Fn(&Dot) -> Option<String>) -> Vec<Side> {
    let whole = |content: &Option<Row>| content.as_ref() == row;
    let taken = state.siblings().iter().filter(|sibling| whole(&sibling.content)).count() == 1;
    state
        .siblings()
        .iter()
        .enumerate()
        .map(|(at, sibling)| Side {
            dot: sibling.dot,
            endpoint: endpoint(&sibling.dot),
            stamp: sibling.stamp,
            content: sibling.content.clone(),
            won: if taken { whole(&sibling.content) } else { shown.sources.contains(&at) },
        })
        .collect()
}
