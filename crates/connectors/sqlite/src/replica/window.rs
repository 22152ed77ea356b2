//! Reading the log ahead: the keys of many entries at once, in the order of their rows, which are then sealed in
//! transactions of their own.
//!
//! So a page with rows and a page with versions is written once a window and not once a transaction; and because
//! versions take their numbers in that order, whoever takes them in finds its pages in order, too.
//!
//! Invariant: the log counts as sealed to the window's end when the last of its keys is, and not before. What of it was
//! sealed before an engine died is found unchanged when the log is read again.

use super::key;
use crate::capture::{At, Following};
use crate::connection::Open;
use crate::read::{self, Collected, Ends, Says};
use crate::schema;
use rusqlite::Connection;
use tidewater_core::Result;
use tidewater_core::change::{Change, Key, Mapping, RowBuilder, Value};
use tidewater_core::transport::Budget;

/// Entries of the log in a window.
const ENTRIES_MAX: usize = 131_072;

/// A window ends after the entry that passes this many bytes of keys.
const BYTES_MAX: usize = 4 << 20;

/// A key, as the log tells of it.
struct Told {
    table: usize,
    key: Key,
    written_ms: Option<i64>,
    /// By a range of appended rows: its time is that of the first of them.
    ranged: bool,
}

/// Some of the log.
pub(super) struct Window {
    /// What is still to be sealed.
    told: std::vec::IntoIter<Told>,
    /// The last entry that is covered.
    pub(super) through: i64,
    /// Of the range in the entry after that, the rows up to this number are covered, too.
    pub(super) within: Option<i64>,
}

/// What entries of the log tell.
struct Entries {
    told: Vec<Told>,
    through: i64,
    within: Option<i64>,
}

impl Entries {
    /// Adds the rows with numbers after the first up to the second, while there is room: whoever stopped before the end
    /// is told after which row.
    fn range(
        &mut self,
        c: &Connection,
        (table, mapping): (usize, &Mapping),
        (after, through): (i64, i64),
        written_ms: Option<i64>,
    ) -> rusqlite::Result<Option<i64>> {
        let room = ENTRIES_MAX.saturating_sub(self.told.len());
        let mut statement = c.prepare_cached(&crate::scan::numbers_sql(&mapping.source))?;
        let mut rows = statement.query((after, through, room))?;
        let (mut last, mut count) = (after, 0);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            count += 1;
            self.told.push(Told { table, key: Key::new([Value::I64(last)]), written_ms, ranged: true });
        }
        Ok((count == room && last < through).then_some(last))
    }
}

/// What reading ahead found.
pub(super) enum Ahead {
    /// Something to seal.
    Window(Window),
    /// The log is sealed to its end.
    Nothing,
    SchemaChanged,
}

impl Window {
    /// Reads the log after `at`. Of tables that come first in `ranks` the rows come first.
    pub(super) fn read(
        open: &Open,
        c: &Connection,
        following: &mut Following,
        at: &At,
        ranks: &[usize],
    ) -> Result<Ahead> {
        let Some(Ends { first, last, .. }) = open.ends(c, following, at)? else { return Ok(Ahead::SchemaChanged) };
        if last == at.seq {
            return Ok(Ahead::Nothing);
        }
        if first > at.seq + 1 {
            return Err(read::overrun(&open.database.shown, open.database.log_rows_max));
        }
        match Self::entries(c, following, at).map_err(|e| open.explain(e))? {
            Some(entries) => Ok(Ahead::Window(Self::arranged(entries, ranks))),
            None => Ok(Ahead::SchemaChanged),
        }
    }

    fn entries(c: &Connection, following: &mut Following, at: &At) -> rusqlite::Result<Option<Entries>> {
        let (sql, width) = read::entries_sql(following, ENTRIES_MAX);
        let mut statement = c.prepare_cached(&sql)?;
        let mut rows = statement.query([at.seq])?;
        let mappings = following.mappings.clone();
        let mut found = Entries { told: Vec::new(), through: at.seq, within: at.within };
        let mut bytes = 0;
        let mut builder = RowBuilder::default();
        while let Some(row) = rows.next()? {
            if bytes >= BYTES_MAX || found.told.len() >= ENTRIES_MAX {
                break;
            }
            match read::entry(c, row, following)? {
                Says::Others => {}
                Says::Range(table, after, through) => {
                    let range = (found.within.unwrap_or(after), through);
                    let written_ms = read::written_ms(row, following, width)?;
                    found.within = found.range(c, (table, &mappings[table]), range, written_ms)?;
                    if found.within.is_some() {
                        break;
                    }
                }
                Says::Key(table) => {
                    let key = read::key(row, mappings[table].source.key.len(), &mut builder)?;
                    if !key.values().any(|v| v == Value::Null) {
                        bytes += key.as_bytes().len();
                        let written_ms = read::written_ms(row, following, width)?;
                        found.told.push(Told { table, key, written_ms, ranged: false });
                    } else if schema::has_null_keys(c, &mappings[table].source)? {
                        return Ok(None);
                    }
                    // Otherwise the row was never carried, and is gone.
                }
            }
            (found.through, found.within) = (row.get(0)?, None);
        }
        Ok(Some(found))
    }

    /// Each key once, with the time of its last entry that has one. The time of a range is that of its first row: what
    /// is known of a row by its key may be later, and counts.
    fn arranged(entries: Entries, ranks: &[usize]) -> Self {
        let Entries { mut told, through, within } = entries;
        // Stable, so that of one key the last entry is the last one.
        told.sort_by_cached_key(|one| (ranks.get(one.table).copied(), key::place(&one.key)));
        told.dedup_by(|later, one| {
            let same = later.table == one.table && later.key == one.key;
            if same {
                one.written_ms = match later.ranged || one.ranged {
                    true => later.written_ms.max(one.written_ms),
                    false => later.written_ms.or(one.written_ms),
                };
                one.ranged &= later.ranged;
            }
            same
        });
        Self { told: told.into_iter(), through, within }
    }

    /// How many of its keys were not given out.
    pub(super) fn left(&self) -> usize {
        self.told.len()
    }

    /// The next of its rows as they stand now, each with the time at which it was written.
    pub(super) fn next(
        &mut self,
        c: &Connection,
        mappings: &[Mapping],
        budget: Budget,
    ) -> rusqlite::Result<Vec<(Change, Option<i64>)>> {
        let mut collected = Collected::new(c, mappings, budget);
        while !collected.is_full() {
            let Some(Told { table, key, written_ms, .. }) = self.told.next() else { break };
            collected.add(table, key, written_ms)?;
        }
        Ok(collected.changes.into_iter().zip(collected.written_ms).collect())
    }
}
