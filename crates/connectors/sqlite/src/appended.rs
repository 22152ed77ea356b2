//! Appended rows: those beyond the highest row number known, which are found by their keys and not logged one by one.
//!
//! For a table whose key is the row number, `_tidewater_table.top` is the highest number that was there when we last
//! looked. The trigger on inserts logs nothing beyond it. A *cut* makes one entry in the log for all rows beyond, and
//! raises `top` to the last of them: from then on whatever happens at or below it is logged row by row again.
//!
//! Invariant: a row is at or below `top`, or it is there to be found beyond; what leaves (a delete, a moved key, a row
//! that REPLACE takes away) is logged wherever it was. So whoever has read the whole log has seen everything only if
//! nothing is beyond `top` in the same snapshot. What the engine itself inserts is logged row by row, so it cuts before
//! it writes, and knows its own rows afterwards.
//!
//! Where a table is written on several sides, the time of each row is asked for. Then rows beyond `top` are logged row
//! by row, too, as long as `at` is NULL. Otherwise a range is open, which began at that time: what is appended shortly
//! after it is not logged, and a trigger makes the cut when it is over (`triggers`).
//!
//! Tests: `tests/it/appended.rs`, `tests/it/both_ways/times.rs`.

use crate::meta::PREFIX;
use crate::schema::Details;
use crate::sql::quote;
use rusqlite::{Connection, OptionalExtension};

/// A table whose appended rows are logged by range.
#[derive(Debug, Clone)]
pub(crate) struct Appended {
    /// The number under which other programs' writes to it are logged.
    pub(crate) tab: i64,
    table: String,
    /// Its key, which is the row number.
    key: String,
    /// Whether its ranges have a time.
    timed: bool,
}

/// What the table holds beyond what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// Nothing.
    Nothing,
    /// Rows with numbers beyond `top`, up to `highest`.
    Rows { top: i64, highest: i64 },
    /// The highest number known is gone: somebody else wrote to our table.
    Unknown,
}

impl Appended {
    /// `None` for a table whose rows go by another key.
    pub(crate) fn of(c: &Connection, details: &Details, tab: i64) -> rusqlite::Result<Option<Self>> {
        let Some(key) = details.named_row_number() else { return Ok(None) };
        let timed = crate::meta::is_shared(c, &details.table.name)?;
        Ok(Some(Self { tab, table: details.table.name.clone(), key: key.to_owned(), timed }))
    }

    /// The tables of a database whose appended rows are logged by range.
    pub(crate) fn all(c: &Connection) -> rusqlite::Result<Vec<Self>> {
        let tables: Vec<(i64, String)> = c
            .prepare("SELECT id, name FROM _tidewater_table WHERE via = '' AND top IS NOT NULL")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let details = |(tab, name): (i64, String)| Ok(crate::schema::details(c, &name)?.map(|d| (tab, d)));
        let found: Vec<Option<(i64, Details)>> = tables.into_iter().map(details).collect::<rusqlite::Result<_>>()?;
        let of = |(tab, details): (i64, Details)| Self::of(c, &details, tab).transpose();
        found.into_iter().flatten().filter_map(of).collect()
    }

    /// What is beyond, in the snapshot of this connection.
    pub(crate) fn beyond(&self, c: &Connection) -> rusqlite::Result<Beyond> {
        let open = if self.timed { "at IS NOT NULL" } else { "1" };
        let sql = format!("SELECT top, {}, {open} FROM _tidewater_table WHERE id = ?1", self.highest());
        let found = c
            .prepare_cached(&sql)?
            .query_row([self.tab], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        Ok(match found {
            Some((Some(top), Some(highest), true)) if highest > top => Beyond::Rows { top, highest },
            Some((Some(_), _, _)) => Beyond::Nothing,
            Some((None, _, _)) | None => Beyond::Unknown,
        })
    }

    /// Before its triggers are looked at: what was appended is cut, and where it is not known what that is, the trigger
    /// goes. Made anew, it tells every reader that the table may have changed unseen.
    pub(crate) fn prepare(&self, c: &Connection) -> rusqlite::Result<()> {
        match self.beyond(c)? {
            Beyond::Rows { .. } => self.cut(c)?,
            Beyond::Nothing => {}
            Beyond::Unknown => {
                c.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote(&format!("{PREFIX}{}_i", self.tab))))?;
            }
        }
        self.know(c)
    }

    /// Makes one entry for all rows beyond. In a write transaction.
    pub(crate) fn cut(&self, c: &Connection) -> rusqlite::Result<()> {
        if let Beyond::Rows { top, highest } = self.beyond(c)? {
            let at = if self.timed { ", at" } else { "" };
            c.prepare_cached(&format!(
                "INSERT INTO _tidewater_log(tab, k1, k2{at}) SELECT -id, ?2, ?3{at} FROM _tidewater_table WHERE id = ?1"
            ))?
            .execute((self.tab, top, highest))?;
            self.know(c)?;
        }
        Ok(())
    }

    /// The rows there are now are known: compared, copied, or logged by other means. In a write transaction.
    pub(crate) fn know(&self, c: &Connection) -> rusqlite::Result<()> {
        let highest = format!("ifnull({}, {})", self.highest(), i64::MIN);
        let (over, open) = if self.timed { (", at = NULL", "at IS NOT NULL OR ") } else { ("", "") };
        c.prepare_cached(&format!(
            "UPDATE _tidewater_table SET top = {highest}{over} WHERE id = ?1 AND ({open}top IS NOT {highest})"
        ))?
        .execute([self.tab])
        .map(drop)
    }

    /// How many rows there are with numbers after `after` up to `through`, counted no further than `rows_max`.
    pub(crate) fn count(&self, c: &Connection, after: i64, through: i64, rows_max: u64) -> rusqlite::Result<u64> {
        let (table, key) = (quote(&self.table), quote(&self.key));
        let rows = format!("SELECT 1 FROM {table} WHERE {key} > ?1 AND {key} <= ?2 LIMIT ?3");
        let most = i64::try_from(rows_max).unwrap_or(i64::MAX);
        c.prepare_cached(&format!("SELECT count(*) FROM ({rows})"))?.query_row((after, through, most), |row| row.get(0))
    }

    fn highest(&self) -> String {
        format!("(SELECT max({}) FROM {})", quote(&self.key), quote(&self.table))
    }
}
