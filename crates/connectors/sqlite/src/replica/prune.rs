//! The queue is appended to, and not searched for what a new entry makes stale: that would touch a page of it for each
//! row. Instead stale entries, whose version has moved on, are pruned when they may be as many as the others.
//!
//! Invariant: the newest entry of every row stays. So the queue has at most about twice as many entries as there are
//! versions, and a fixed number more.

use super::State;
use rusqlite::{Connection, OptionalExtension};
use tidewater_core::Result;

/// Fewer stale entries are not worth a look.
const STALE_MIN: u64 = 100_000;

/// Entries looked at in one transaction.
const LOOKED_AT: u64 = 20_000;

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl State {
    /// Prunes, if it is time.
    pub(super) fn prune(&mut self) -> Result<()> {
        let due = self.change(|open, c, member| due(c, member.ledger.seq).map(Some).map_err(|e| open.explain(e)))?;
        if due != Some(true) {
            return Ok(());
        }
        let mut after = Some(0);
        while let Some(from) = after {
            after = self.change(|open, c, _| chunk(c, from).map(Some).map_err(|e| open.explain(e)))?.flatten();
        }
        let done = self.change(|open, c, member| {
            let sql = "UPDATE _tidewater_replica SET prune_at = ?1 + (SELECT count(*) FROM _tidewater_queue)";
            c.execute(sql, [number(member.ledger.seq + STALE_MIN)]).map(Some).map_err(|e| open.explain(e))
        });
        done.map(drop)
    }
}

fn due(c: &Connection, seq: u64) -> rusqlite::Result<bool> {
    let at: i64 = c.query_row("SELECT prune_at FROM _tidewater_replica", [], |row| row.get(0))?;
    Ok(seq > at.unsigned_abs().max(STALE_MIN))
}

/// Prunes the entries after a number; says how far it came, if there are more.
fn chunk(c: &Connection, after: u64) -> rusqlite::Result<Option<u64>> {
    let through: Option<i64> = c
        .prepare_cached("SELECT seq FROM _tidewater_queue WHERE seq > ?1 ORDER BY seq LIMIT 1 OFFSET ?2")?
        .query_row((number(after), number(LOOKED_AT)), |row| row.get(0))
        .optional()?;
    c.prepare_cached(
        "DELETE FROM _tidewater_queue WHERE seq > ?1 AND seq <= ?2 AND NOT EXISTS (SELECT 1 FROM _tidewater_version v \
         WHERE v.tab = _tidewater_queue.tab AND v.key = _tidewater_queue.key AND v.seq = _tidewater_queue.seq)",
    )?
    .execute((number(after), through.unwrap_or(i64::MAX)))?;
    Ok(through.map(i64::unsigned_abs))
}
