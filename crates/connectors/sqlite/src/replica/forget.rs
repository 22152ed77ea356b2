//! Forgetting conflicts that are over: what a later write took the place of, longer ago than the journal is to keep it.
//!
//! Invariant: only what ended is forgotten. A conflict that waits for a person, whose row still has several siblings, or
//! whose row stands aside, stays however old it is. Nobody else misses an entry: versions, which carry the sides of what
//! has not ended, are not touched.

use super::State;
use crate::meta;
use rusqlite::Connection;
use tidewater_core::Result;

/// Entries forgotten in one transaction: each holds all sides of a row.
const FORGOTTEN_MAX: usize = 500;

/// Forgets some conflicts of a table that ended before `before_ms`. Says how many.
fn chunk(c: &Connection, tab: i64, before_ms: i64) -> rusqlite::Result<usize> {
    c.prepare_cached(
        "DELETE FROM _tidewater_conflict WHERE id IN (SELECT id FROM _tidewater_conflict WHERE tab = ?1 \
         AND ended IS NOT NULL AND ended < ?2 ORDER BY ended LIMIT ?3)",
    )?
    .execute((tab, before_ms, FORGOTTEN_MAX))
}

/// Whether a table has any.
fn any(c: &Connection, tab: i64, before_ms: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM _tidewater_conflict WHERE tab = ?1 AND ended IS NOT NULL AND ended < ?2)";
    c.prepare_cached(sql)?.query_row((tab, before_ms), |row| row.get(0))
}

impl State {
    /// Forgets some of what the tables of this membership need not keep. Says whether there may be more.
    pub(super) fn forget_kept(&mut self) -> Result<bool> {
        let Some(member) = &self.member else { return Ok(false) };
        let tables = member.of.iter().map(|at| &member.tables[*at]);
        let due = tables.filter_map(|table| Some((table.tab, self.open.days_ago_ms(table.keep_days?)))).collect();
        Ok(self.forget_some(due)? > 0)
    }

    /// Forgets everything that ended more than so many days ago, in all tables. Says how many conflicts.
    pub(super) fn forget_older(&mut self, days: u64) -> Result<u64> {
        let before_ms = self.open.days_ago_ms(days);
        let due: Vec<(i64, i64)> = self.open.read(|c| {
            if !meta::has_table(c, "_tidewater_conflict").map_err(|e| self.open.explain(e))? {
                return Ok(vec![]);
            }
            c.prepare("SELECT DISTINCT tab FROM _tidewater_conflict")
                .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, before_ms)))?.collect())
                .map_err(|e| self.open.explain(e))
        })?;
        let mut forgotten = 0;
        loop {
            match self.forget_some(due.clone())? {
                0 => return Ok(forgotten),
                some => forgotten += some,
            }
        }
    }

    /// Forgets some conflicts of the first table that has any which ended before its time. Says how many.
    fn forget_some(&self, due: Vec<(i64, i64)>) -> Result<u64> {
        let sqlite = |e| self.open.explain(e);
        for (tab, before_ms) in due {
            // Nothing is locked where there is nothing to forget.
            if self.open.read(|c| any(c, tab, before_ms).map_err(sqlite))? {
                return self.open.write(|c| chunk(c, tab, before_ms).map_err(sqlite)).map(|some| some as u64);
            }
        }
        Ok(0)
    }
}
