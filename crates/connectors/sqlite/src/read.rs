//! One read of the log: which keys changed after a position, and how their rows stand now.
//!
//! The log holds keys, so a read gives the state of rows, not their history. What it gives is consistent once a
//! read has reached the end of the log in its own snapshot: then the transaction is `settled`.

use crate::capture::{At, Following};
use crate::connection::Open;
use crate::scan::One;
use crate::schema;
use crate::types;
use std::collections::{HashMap, HashSet};
use tidewater_core::change::{Change, Key, Mapping, Op, Row, Value};
use tidewater_core::transport::Budget;
use tidewater_core::{Error, Kind, Result, code};

/// One hot row may stand in the log a million times; more entries than this are not read at once.
const ENTRIES_PER_READ_MAX: usize = 200_000;

/// What a read found.
pub(crate) struct Found {
    pub(crate) changes: Vec<Change>,
    /// The last entry that is covered.
    pub(crate) through: i64,
    pub(crate) settled: bool,
    pub(crate) oldest_ms: Option<i64>,
    pub(crate) left_out: u64,
}

/// The answer of one look at the log.
pub(crate) enum Look {
    Found(Found),
    Nothing,
    SchemaChanged,
}

/// The source's log is full: what came after was not logged.
fn overrun(shown: &str, log_rows_max: u64) -> Error {
    Error::new(
        Kind::Lost,
        code::POSITION_LOST,
        format!("the change log of {shown} reached its limit of {log_rows_max}"),
    )
    .meaning("Later changes were not logged; nothing was skipped, the tables are compared instead.")
    .remedy("Nothing to do. Run the sync more often, or raise log_rows_max.")
}

impl Open {
    /// Looks at the log after `at`.
    pub(crate) fn look(&self, following: &Following, at: &At, budget: Budget) -> Result<Look> {
        self.read(|c| {
            let sqlite = |e| self.explain(e);
            if crate::meta::cookie(c).map_err(sqlite)? != following.cookie {
                return Ok(Look::SchemaChanged);
            }
            let end: (Option<i64>, i64) = c
                .prepare_cached("SELECT (SELECT max(seq) FROM _tidewater_log), seq_max FROM _tidewater_control")
                .and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
                .map_err(sqlite)?;
            match end {
                (Some(seq), _) if seq == at.seq => return Ok(Look::Nothing),
                (Some(seq), seq_max) if seq > at.seq && seq < seq_max => {}
                (Some(seq), _) if seq > at.seq => {
                    return Err(overrun(&self.database.shown, self.database.log_rows_max));
                }
                _ => return Err(crate::capture::restored(&self.database.shown)),
            }
            self.entries(c, following, at, budget, end.0.unwrap_or_default())
        })
    }

    fn entries(
        &self,
        c: &rusqlite::Connection,
        following: &Following,
        at: &At,
        budget: Budget,
        end: i64,
    ) -> Result<Look> {
        let sqlite = |e| self.explain(e);
        let width = following.mappings.iter().map(|m| m.source.key.len()).max().unwrap_or(1);
        let keys: Vec<String> = (1..=width).map(|n| format!("k{n}")).collect();
        let sql = format!(
            "SELECT seq, tab, via, at, {} FROM _tidewater_log WHERE seq > ?1 ORDER BY seq LIMIT {ENTRIES_PER_READ_MAX}",
            keys.join(", ")
        );
        let mut statement = c.prepare_cached(&sql).map_err(sqlite)?;
        let mut rows = statement.query([at.seq]).map_err(sqlite)?;
        let mut collected = Collected::new(c, &following.mappings);
        let mut found = Found { changes: vec![], through: at.seq, settled: false, oldest_ms: None, left_out: 0 };
        while let Some(row) = rows.next().map_err(sqlite)? {
            if collected.changes.len() >= budget.rows_max || collected.bytes >= budget.bytes_max {
                break;
            }
            let entry = entry(row, following).map_err(sqlite)?;
            if let Some((table, key, at_ms)) = entry {
                if key.values().any(|v| v == Value::Null) {
                    if schema::has_null_keys(c, &following.mappings[table].source).map_err(sqlite)? {
                        return Ok(Look::SchemaChanged);
                    }
                    // The row was never carried, and is gone.
                    found.through = row.get(0).map_err(sqlite)?;
                    continue;
                }
                collected.add(table, key).map_err(sqlite)?;
                found.oldest_ms = [found.oldest_ms, at_ms].into_iter().flatten().min();
            }
            found.through = row.get(0).map_err(sqlite)?;
        }
        found.settled = found.through == end;
        found.left_out = collected.left_out();
        found.changes = collected.changes;
        Ok(Look::Found(found))
    }
}

/// One log entry, if it belongs to this link: the mapping, the key, and when.
fn entry(row: &rusqlite::Row<'_>, following: &Following) -> rusqlite::Result<Option<(usize, Key, Option<i64>)>> {
    let Some(tab) = row.get::<_, Option<i64>>(1)? else { return Ok(None) };
    let Some(table) = following.tabs.get(&tab).copied() else { return Ok(None) };
    // What came through this very link is known at its other end.
    if row.get_ref(2)?.as_str_or_null().ok().flatten() == Some(following.link.as_str()) {
        return Ok(None);
    }
    let parts = following.mappings[table].source.key.len();
    let key = (0..parts).map(|n| types::column(row, 4 + n)).collect::<rusqlite::Result<Vec<_>>>()?;
    let at: Option<f64> = row.get(3)?;
    // Julian days to milliseconds since 1970.
    let at_ms = at.map(|days| ((days - 2_440_587.5) * 86_400_000.0) as i64);
    Ok(Some((table, Row::new(key), at_ms)))
}

/// Changes collected so far, each key once.
struct Collected<'c, 'm> {
    connection: &'c rusqlite::Connection,
    mappings: &'m [Mapping],
    lookups: HashMap<usize, One<'c, 'm>>,
    seen: HashSet<(usize, Key)>,
    changes: Vec<Change>,
    bytes: usize,
}

impl<'c, 'm> Collected<'c, 'm> {
    fn new(connection: &'c rusqlite::Connection, mappings: &'m [Mapping]) -> Self {
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
            Some(row) => {
                let actual = row.pick(&view.key);
                if actual != key {
                    // The database takes the two for one key (a collation, 1 and 1.0); another need not.
                    self.push(table, key, Op::Delete);
                    if !self.seen.insert((table, actual.clone())) {
                        return Ok(());
                    }
                }
                self.push(table, actual, Op::Upsert(row));
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
