//! One read of the log: which keys changed after a position, and how their rows stand now.
//!
//! The log holds keys, so a read gives the state of rows, not their history. What it gives is consistent once a
//! read has reached the end of the log in its own snapshot: then the transaction is `settled`.

use crate::capture::{At, Following};
use crate::connection::Open;
use crate::scan::One;
use crate::schema;
use crate::types;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use std::collections::{HashMap, HashSet};
use tidewater_core::change::{Change, Key, Mapping, Op, RowBuilder, Value};
use tidewater_core::transport::Budget;
use tidewater_core::{Error, Kind, Result, code};

/// One hot row may stand in the log a million times; more entries than this are not read at once.
const ENTRIES_PER_READ_MAX: usize = 200_000;

/// What a read found.
pub(crate) struct Found {
    pub(crate) changes: Vec<Change>,
    /// When each was last written, in milliseconds since 1970 UTC; empty where the log has no time.
    pub(crate) written_ms: Vec<Option<i64>>,
    /// The last entry that is covered.
    pub(crate) through: i64,
    pub(crate) settled: bool,
    pub(crate) left_out: u64,
}

/// The answer of one look at the log.
pub(crate) enum Look {
    Found(Found),
    Nothing,
    SchemaChanged,
}

/// The log went over its limit and forgot its oldest entries, unread ones among them.
fn overrun(shown: &str, log_rows_max: u64) -> Error {
    Error::new(
        Kind::Lost,
        code::POSITION_LOST,
        format!("the change log of {shown} reached its limit of {log_rows_max}"),
    )
    .meaning("Its oldest changes were forgotten; nothing is skipped, the tables are compared instead.")
    .remedy("Nothing to do. Run the sync more often, or raise log_rows_max.")
}

/// Where the log begins and ends.
pub(crate) struct Ends {
    /// The oldest entry that it still has.
    pub(crate) first: i64,
    /// The newest; 0 before the first.
    pub(crate) last: i64,
    /// False where somebody emptied it.
    pub(crate) whole: bool,
}

impl Ends {
    pub(crate) fn of(c: &Connection) -> rusqlite::Result<Self> {
        c.prepare_cached(
            "SELECT (SELECT min(seq) FROM _tidewater_log WHERE seq > 0), (SELECT max(seq) FROM _tidewater_log), \
             EXISTS (SELECT 1 FROM _tidewater_log WHERE seq = 0)",
        )?
        .query_row([], |row| {
            let (first, last, whole): (Option<i64>, Option<i64>, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Self { first: first.unwrap_or(1), last: last.unwrap_or(0), whole })
        })
    }
}

impl Open {
    /// Looks at the log after `at`.
    pub(crate) fn look(&self, following: &mut Following, at: &At, budget: Budget) -> Result<Look> {
        self.read(|c| self.look_in(c, following, at, budget))
    }

    /// The same, in the caller's transaction.
    pub(crate) fn look_in(&self, c: &Connection, following: &mut Following, at: &At, budget: Budget) -> Result<Look> {
        let sqlite = |e| self.explain(e);
        if crate::meta::cookie(c).map_err(sqlite)? != following.cookie {
            return Ok(Look::SchemaChanged);
        }
        let Ends { first, last, whole } = Ends::of(c).map_err(sqlite)?;
        if !whole || last < at.seq {
            return Err(crate::capture::restored(&self.database.shown));
        }
        if last == at.seq {
            return Ok(Look::Nothing);
        }
        if first > at.seq + 1 {
            return Err(overrun(&self.database.shown, self.database.log_rows_max));
        }
        self.entries(c, following, at, budget, last)
    }

    fn entries(&self, c: &Connection, following: &mut Following, at: &At, budget: Budget, end: i64) -> Result<Look> {
        let sqlite = |e| self.explain(e);
        let width = following.mappings.iter().map(|m| m.source.key.len()).max().unwrap_or(1);
        let keys: Vec<String> = (1..=width).map(|n| format!("k{n}")).collect();
        let sql = format!(
            "SELECT seq, tab, {}{} FROM _tidewater_log WHERE seq > ?1 ORDER BY seq LIMIT {ENTRIES_PER_READ_MAX}",
            keys.join(", "),
            if following.timed { ", at" } else { "" }
        );
        let mut statement = c.prepare_cached(&sql).map_err(sqlite)?;
        let mut rows = statement.query([at.seq]).map_err(sqlite)?;
        let mappings = following.mappings.clone();
        let mut collected = Collected::new(c, &mappings);
        let mut written = HashMap::new();
        let mut builder = RowBuilder::default();
        let mut found = Found { changes: vec![], written_ms: vec![], through: at.seq, settled: false, left_out: 0 };
        while let Some(row) = rows.next().map_err(sqlite)? {
            if collected.changes.len() >= budget.rows_max || collected.bytes >= budget.bytes_max {
                break;
            }
            if let Some(table) = table(c, row, following).map_err(sqlite)? {
                let key = key(row, mappings[table].source.key.len(), &mut builder).map_err(sqlite)?;
                if key.values().any(|v| v == Value::Null) {
                    if schema::has_null_keys(c, &mappings[table].source).map_err(sqlite)? {
                        return Ok(Look::SchemaChanged);
                    }
                    // The row was never carried, and is gone.
                    found.through = row.get(0).map_err(sqlite)?;
                    continue;
                }
                if following.timed {
                    let day: Option<f64> = row.get(2 + width).map_err(sqlite)?;
                    written.insert((table, key.clone()), day.map(unix_ms));
                }
                collected.add(table, key).map_err(sqlite)?;
            }
            found.through = row.get(0).map_err(sqlite)?;
        }
        found.settled = found.through == end;
        found.left_out = collected.left_out();
        found.changes = collected.changes;
        if following.timed {
            let written = |change: &Change| written.get(&(change.table, change.key.clone())).copied().flatten();
            found.written_ms = found.changes.iter().map(written).collect();
        }
        Ok(Look::Found(found))
    }
}

/// A Julian day number, which is what every SQLite library can tell the time in, as milliseconds since 1970 UTC.
fn unix_ms(day: f64) -> i64 {
    const DAY_1970: f64 = 2_440_587.5;
    ((day - DAY_1970) * 86_400_000.0).round() as i64
}

/// The mapping of one log entry, if it belongs to this link.
fn table(c: &Connection, row: &SqlRow<'_>, following: &mut Following) -> rusqlite::Result<Option<usize>> {
    let Some(tab) = row.get::<_, Option<i64>>(1)? else { return Ok(None) };
    if let Some(known) = following.tabs.get(&tab) {
        return Ok(*known);
    }
    let found: Option<(String, String)> = c
        .query_row("SELECT name, via FROM _tidewater_table WHERE id = ?1", [tab], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let of = |name: String| following.mappings.iter().position(|m| m.source.table == name);
    // What came through this very link is known at its other end.
    let table = found.filter(|(_, via)| *via != following.link).and_then(|(name, _)| of(name));
    following.tabs.insert(tab, table);
    Ok(table)
}

/// The key of one log entry.
fn key(row: &SqlRow<'_>, parts: usize, builder: &mut RowBuilder) -> rusqlite::Result<Key> {
    for part in 0..parts {
        builder.push(&types::column(row, 2 + part)?);
    }
    Ok(builder.take())
}

/// Changes collected so far, each key once.
struct Collected<'c, 'm> {
    connection: &'c Connection,
    mappings: &'m [Mapping],
    lookups: HashMap<usize, One<'c, 'm>>,
    seen: HashSet<(usize, Key)>,
    changes: Vec<Change>,
    bytes: usize,
}

impl<'c, 'm> Collected<'c, 'm> {
    fn new(connection: &'c Connection, mappings: &'m [Mapping]) -> Self {
        let (lookups, seen) = (HashMap::new(), HashSet::new());
        Self { connection, mappings, lookups, seen, changes: vec![], bytes: 0 }
    }

    fn add(&mut self, table: usize, key: Key) -> rusqlite::Result<()> {
        if !self.seen.insert((table, key.clone())) {
            return Ok(());
        }
        let view = &self.mappings[table].source;
        let lookup = match self.lookups.entry(table) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(One::new(self.connection, view)?),
        };
        let row = lookup.get(&key)?;
        match row {
            None => self.push(table, key, Op::Delete),
            Some(row) if row.has(&view.key, &key) => self.push(table, key, Op::Upsert(row)),
            Some(row) => {
                // The database takes the two for one key (a collation, 1 and 1.0); another need not.
                self.push(table, key, Op::Delete);
                let actual = row.pick(&view.key);
                if self.seen.insert((table, actual.clone())) {
                    self.push(table, actual, Op::Upsert(row));
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, table: usize, key: Key, op: Op) {
        let change = Change { table, key, op };
        self.bytes += change.bytes();
        self.changes.push(change);
    }

    fn left_out(&self) -> u64 {
        self.lookups.values().map(One::left_out).sum()
    }
}
