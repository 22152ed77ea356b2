//! One read of the log: which keys changed after a position, and how their rows stand now.
//!
//! The log holds keys, so a read gives the state of rows, not their history. What it gives is consistent once a
//! read has reached the end of the log in its own snapshot, and no row is there that the log does not know of
//! (`appended`): then the transaction is `settled`. An entry that stands for a range gives all rows in it, as if each
//! of their keys had been logged; a range may hold more than a read, and is then gone on with.

use crate::appended::Beyond;
use crate::capture::{At, Following};
use crate::connection::Open;
use crate::scan::{One, Reader, numbered_sql};
use crate::schema;
use crate::types;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use tidewater_core::change::{Change, Key, Mapping, Op, RowBuilder, Value};
use tidewater_core::transport::Budget;
use tidewater_core::{Error, Kind, Result, code};

/// One hot row may stand in the log a million times; more entries than this are not read at once.
const ENTRIES_PER_READ_MAX: usize = 200_000;

/// What a read found.
pub(crate) struct Found {
    pub(crate) changes: Vec<Change>,
    /// When each was last written, in milliseconds since 1970 UTC, where the log says so.
    pub(crate) written_ms: Vec<Option<i64>>,
    /// For each the last entry that speaks of it.
    pub(crate) places: Vec<Place>,
    /// The last entry that is covered.
    pub(crate) through: i64,
    /// Of the range after it, the rows through this number are covered, too.
    pub(crate) within: Option<i64>,
    pub(crate) settled: bool,
    pub(crate) left_out: u64,
}

/// The number of an entry, and which of its rows.
pub(crate) type Place = (i64, i64);

/// The answer of one look at the log.
pub(crate) enum Look {
    Found(Found),
    Nothing,
    SchemaChanged,
}

/// The log went over its limit and forgot its oldest entries, unread ones among them.
pub(crate) fn overrun(shown: &str, log_rows_max: u64) -> Error {
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
    /// Looks at the log after `at`. Where it is read to its end, what was appended is cut first.
    pub(crate) fn look(&self, following: &mut Following, at: &At, budget: Budget) -> Result<Look> {
        loop {
            if let Some(look) = self.read(|c| self.snapshot(c, following, at, budget))? {
                return Ok(look);
            }
            // Now there is an entry after `at`, so the loop ends.
            self.write(|c| following.cut(c).map_err(|e| self.explain(e)))?;
        }
    }

    /// One look in one snapshot. `None` where the log is read to its end, but rows are there that it does not know of.
    fn snapshot(&self, c: &Connection, following: &mut Following, at: &At, budget: Budget) -> Result<Option<Look>> {
        let sqlite = |e| self.explain(e);
        let Some(Ends { first, last, .. }) = self.ends(c, following, at)? else {
            return Ok(Some(Look::SchemaChanged));
        };
        let mut appended = false;
        for table in following.appended.values() {
            match table.beyond(c).map_err(sqlite)? {
                Beyond::Nothing => {}
                Beyond::Rows { .. } => appended = true,
                Beyond::Unknown => return Ok(Some(Look::SchemaChanged)),
            }
        }
        if last == at.seq {
            return Ok(if appended { None } else { Some(Look::Nothing) });
        }
        if first > at.seq + 1 {
            return Err(overrun(&self.database.shown, self.database.log_rows_max));
        }
        let mut look = self.entries(c, following, at, budget, last)?;
        if let Look::Found(found) = &mut look {
            found.settled &= !appended;
        }
        Ok(Some(look))
    }

    /// Where a log ends that was read to `at`; `None` where the schema changed.
    pub(crate) fn ends(&self, c: &Connection, following: &Following, at: &At) -> Result<Option<Ends>> {
        let sqlite = |e| self.explain(e);
        if crate::meta::cookie(c).map_err(sqlite)? != following.cookie {
            return Ok(None);
        }
        let ends = Ends::of(c).map_err(sqlite)?;
        if !ends.whole || ends.last < at.seq {
            return Err(crate::capture::restored(&self.database.shown));
        }
        Ok(Some(ends))
    }

    fn entries(&self, c: &Connection, following: &mut Following, at: &At, budget: Budget, end: i64) -> Result<Look> {
        let sqlite = |e| self.explain(e);
        let (sql, width) = entries_sql(following, ENTRIES_PER_READ_MAX);
        let mut statement = c.prepare_cached(&sql).map_err(sqlite)?;
        let mut rows = statement.query([at.seq]).map_err(sqlite)?;
        let mappings = following.mappings.clone();
        let mut collected = Collected::new(c, &mappings, budget);
        let mut builder = RowBuilder::default();
        let mut found = Found {
            changes: vec![],
            written_ms: vec![],
            places: vec![],
            through: at.seq,
            within: at.within,
            settled: false,
            left_out: 0,
        };
        while let Some(row) = rows.next().map_err(sqlite)? {
            if collected.is_full() {
                break;
            }
            let written_ms = written_ms(row, following, width).map_err(sqlite)?;
            collected.place = (row.get(0).map_err(sqlite)?, 0);
            match entry(c, row, following).map_err(sqlite)? {
                Says::Others => {}
                Says::Range(table, after, through) => {
                    let after = found.within.unwrap_or(after);
                    found.within = collected.range(table, after, through, written_ms).map_err(sqlite)?;
                    if found.within.is_some() {
                        break;
                    }
                }
                Says::Key(table) => {
                    let key = key(row, mappings[table].source.key.len(), &mut builder).map_err(sqlite)?;
                    if !key.values().any(|v| v == Value::Null) {
                        collected.add(table, key, written_ms).map_err(sqlite)?;
                    } else if schema::has_null_keys(c, &mappings[table].source).map_err(sqlite)? {
                        return Ok(Look::SchemaChanged);
                    }
                    // Otherwise the row was never carried, and is gone.
                }
            }
            (found.through, found.within) = (row.get(0).map_err(sqlite)?, None);
        }
        found.settled = found.through == end && found.within.is_none();
        found.left_out = collected.left_out();
        (found.changes, found.written_ms, found.places) = (collected.changes, collected.written_ms, collected.places);
        Ok(Look::Found(found))
    }
}

/// A Julian day number, which is what every SQLite library can tell the time in, as milliseconds since 1970 UTC.
fn unix_ms(day: f64) -> i64 {
    const DAY_1970: f64 = 2_440_587.5;
    ((day - DAY_1970) * 86_400_000.0).round() as i64
}

/// When the log says that an entry was written.
pub(crate) fn written_ms(row: &SqlRow<'_>, following: &Following, width: usize) -> rusqlite::Result<Option<i64>> {
    let day: Option<f64> = if following.timed { row.get(2 + width)? } else { None };
    Ok(day.map(unix_ms))
}

/// What one entry of the log says to a link.
pub(crate) enum Says {
    /// One key of this mapping's table.
    Key(usize),
    /// The rows of this mapping's table with numbers after the first up to the second.
    Range(usize, i64, i64),
    /// Nothing.
    Others,
}

pub(crate) fn entry(c: &Connection, row: &SqlRow<'_>, following: &mut Following) -> rusqlite::Result<Says> {
    let Some(tab) = row.get::<_, Option<i64>>(1)? else { return Ok(Says::Others) };
    let range = tab < 0;
    Ok(match table(c, tab.saturating_abs(), following)? {
        None => Says::Others,
        Some(table) if !range => Says::Key(table),
        // A table that is rebuilt with another key is compared.
        Some(_) if !following.appended.contains_key(&tab.saturating_neg()) => Says::Others,
        Some(table) => Says::Range(table, row.get(2)?, row.get(3)?),
    })
}

/// The mapping of a table's number, if its entries belong to this link.
fn table(c: &Connection, tab: i64, following: &mut Following) -> rusqlite::Result<Option<usize>> {
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

/// The statement that reads the log after a number; how many columns of keys it has, and after them the time, if the
/// log says so.
pub(crate) fn entries_sql(following: &Following, entries_max: usize) -> (String, usize) {
    let ends = if following.appended.is_empty() { 1 } else { 2 };
    let width = following.mappings.iter().map(|m| m.source.key.len()).max().unwrap_or(1).max(ends);
    let keys: Vec<String> = (1..=width).map(|n| format!("k{n}")).collect();
    let (keys, at) = (keys.join(", "), if following.timed { ", at" } else { "" });
    let sql =
        format!("SELECT seq, tab, {keys}{at} FROM _tidewater_log WHERE seq > ?1 ORDER BY seq LIMIT {entries_max}");
    (sql, width)
}

/// The key of one log entry.
pub(crate) fn key(row: &SqlRow<'_>, parts: usize, builder: &mut RowBuilder) -> rusqlite::Result<Key> {
    for part in 0..parts {
        builder.push(&types::column(row, 2 + part)?);
    }
    Ok(builder.take())
}

/// Changes collected so far, each key once.
pub(crate) struct Collected<'c, 'm> {
    connection: &'c Connection,
    mappings: &'m [Mapping],
    budget: Budget,
    lookups: HashMap<usize, One<'c, 'm>>,
    /// The places of keys in `changes`.
    seen: HashMap<(usize, Key), usize>,
    pub(crate) changes: Vec<Change>,
    pub(crate) written_ms: Vec<Option<i64>>,
    pub(crate) places: Vec<Place>,
    /// Where what comes next stands.
    pub(crate) place: Place,
    bytes: usize,
    /// Values over the limit, in ranges.
    left_out: u64,
}

impl<'c, 'm> Collected<'c, 'm> {
    pub(crate) fn new(connection: &'c Connection, mappings: &'m [Mapping], budget: Budget) -> Self {
        let (lookups, seen) = (HashMap::new(), HashMap::new());
        let (changes, written_ms, places, place) = (vec![], vec![], vec![], (0, 0));
        Self { connection, mappings, budget, lookups, seen, changes, written_ms, places, place, bytes: 0, left_out: 0 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.changes.len() >= self.budget.rows_max || self.bytes >= self.budget.bytes_max
    }

    pub(crate) fn add(&mut self, table: usize, key: Key, written_ms: Option<i64>) -> rusqlite::Result<()> {
        if !self.see(table, &key, written_ms) {
            return Ok(());
        }
        let view = &self.mappings[table].source;
        let lookup = match self.lookups.entry(table) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(One::new(self.connection, view)?),
        };
        let row = lookup.get(&key)?;
        match row {
            None => self.push(table, key, Op::Delete, written_ms),
            Some(row) if row.has(&view.key, &key) => self.push(table, key, Op::Upsert(row), written_ms),
            Some(row) => {
                // The database takes the two for one key (a collation, 1 and 1.0); another need not.
                self.push(table, key, Op::Delete, written_ms);
                let actual = row.pick(&view.key);
                self.place.1 = 1;
                if self.see(table, &actual, None) {
                    self.push(table, actual, Op::Upsert(row), None);
                }
            }
        }
        Ok(())
    }

    /// The rows with numbers after `after` up to `through`, in order, while there is room: whoever stopped before the
    /// end is told after which row. A row that the view does not see may have been one that it saw.
    ///
    /// `written_ms` is when the first of them was appended. What is known of a row by its key may be later: that counts.
    fn range(
        &mut self,
        table: usize,
        after: i64,
        through: i64,
        written_ms: Option<i64>,
    ) -> rusqlite::Result<Option<i64>> {
        let view = &self.mappings[table].source;
        let mut statement = self.connection.prepare_cached(&numbered_sql(view))?;
        let mut rows = statement.query([after, through])?;
        let mut reader = Reader::new(view);
        let (mut builder, mut last, mut stopped) = (RowBuilder::default(), after, None);
        while let Some(row) = rows.next()? {
            if self.is_full() {
                stopped = Some(last);
                break;
            }
            last = row.get(0)?;
            self.place.1 = last;
            builder.push(&Value::I64(last));
            let key = builder.take();
            let known = self.seen.get(&(table, key.clone())).and_then(|at| self.written_ms[*at]);
            if self.see(table, &key, written_ms.max(known)) {
                let visible: bool = row.get(1)?;
                let op = if visible { Op::Upsert(reader.row(row, 2)?) } else { Op::Delete };
                self.push(table, key, op, written_ms);
            }
        }
        self.left_out += reader.left_out;
        Ok(stopped)
    }

    /// Whether this key is a new one, and is to be pushed now. Otherwise it was written once more.
    fn see(&mut self, table: usize, key: &Key, written_ms: Option<i64>) -> bool {
        match self.seen.entry((table, key.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(self.changes.len());
                true
            }
            Entry::Occupied(entry) => {
                let last = &mut self.written_ms[*entry.get()];
                *last = written_ms.or(*last);
                self.places[*entry.get()] = self.place;
                false
            }
        }
    }

    fn push(&mut self, table: usize, key: Key, op: Op, written_ms: Option<i64>) {
        let change = Change { table, key, op };
        self.bytes += change.bytes();
        self.changes.push(change);
        self.written_ms.push(written_ms);
        self.places.push(self.place);
    }

    fn left_out(&self) -> u64 {
        self.left_out + self.lookups.values().map(One::left_out).sum::<u64>()
    }
}
