//! Handing out versions: the rows after a number, as they stand, with everything known of them.

use super::{Member, key, parked};
use crate::connection::Open;
use crate::read::Ends;
use crate::scan::One;
use rusqlite::{Connection, Row as SqlRow};
use std::collections::HashMap;
use tidewater_core::Result;
use tidewater_core::change::{Key, Row};
use tidewater_core::merge::Node;
use tidewater_core::replica::{Version, Versions};
use tidewater_core::transport::Budget;

use super::seal::Stored;

/// Versions looked at in one read, as many times the budget: those that go elsewhere cost little.
const LOOKED_AT: usize = 8;

/// The number of no node.
const NOBODY: i64 = -1;

impl Member {
    /// The versions after a number that did not come from exactly this peer; `None` where the log is not sealed to its
    /// end.
    pub(super) fn queue(
        &self,
        open: &Open,
        c: &Connection,
        peer: Node,
        after: u64,
        budget: Budget,
    ) -> Result<Option<Versions>> {
        let sqlite = |e| open.explain(e);
        let appended = self.following.has_beyond(c).map_err(sqlite)?;
        if appended || Ends::of(c).map_err(sqlite)?.last != self.ledger.sealed.seq {
            return Ok(None);
        }
        let mut statement = c
            .prepare_cached(
                "SELECT q.seq, q.tab, q.key, v.hash, v.state, q.via FROM _tidewater_queue q \
                 CROSS JOIN _tidewater_version v ON v.tab = q.tab AND v.key = q.key AND v.seq = q.seq \
                 WHERE q.seq > ?1 AND q.via <> ?2 ORDER BY q.seq",
            )
            .map_err(sqlite)?;
        let from = i64::try_from(after).unwrap_or(i64::MAX);
        let (leaf, via) = (self.leaves.get(&peer), self.ledger.known_as(&peer));
        // A row that came from a leaf may have left its part with that very write.
        let left_out = if leaf.is_some() { NOBODY } else { via };
        let mut rows = statement.query((from, left_out)).map_err(sqlite)?;
        let mut found = Versions { versions: vec![], node: self.ledger.node(), through: after, settled: false };
        let mut contents = Contents { c, member: self, open: HashMap::new() };
        let (mut bytes, mut looked_at) = (0, 0);
        loop {
            let Some(row) = rows.next().map_err(sqlite)? else {
                found.through = self.ledger.seq.max(after);
                found.settled = true;
                return Ok(Some(found));
            };
            let full = found.versions.len() >= budget.rows_max || looked_at >= budget.rows_max * LOOKED_AT;
            if full || bytes >= budget.bytes_max {
                return Ok(Some(found));
            }
            looked_at += 1;
            let (seq, table, key, stored) = self.read(row).map_err(sqlite)?;
            found.through = seq;
            let Some(place) = table else { continue };
            let table = self.of[place];
            let content = contents.of(table, &key, &stored).map_err(sqlite)?;
            if stored.hash != content.shown.then(|| content.row.as_ref().map(|row| row.hash().0)).flatten() {
                return Err(self.unsealed(table));
            }
            bytes += stored.bytes.len() + content.row.as_ref().map_or(0, |row| row.as_bytes().len());
            let state = self.decode_sealed(open, table, &stored, content.row.as_ref())?;
            // Of what was taken back from here others are told only that it was.
            let withdrawn = self.is_leaf() && state.has_taken_back();
            let state = if withdrawn { state.known() } else { state };
            let version = Version { table: place, key, state, withdrawn };
            let version = match leaf {
                None => Some(version),
                Some(leaf) => {
                    let known = row.get::<_, i64>(5).map_err(sqlite)? == via;
                    let of = (place, known, content.shown);
                    self.for_leaf(c, leaf, of, content.row.as_ref(), version).map_err(sqlite)?
                }
            };
            found.versions.extend(version);
        }
    }

    /// One row of the queue: its number, its table's place in the membership, its key, and the rest.
    fn read(&self, row: &SqlRow<'_>) -> rusqlite::Result<(u64, Option<usize>, Key, Stored)> {
        let (seq, tab): (i64, i64) = (row.get(0)?, row.get(1)?);
        let table = self.of.iter().position(|table| self.tables[*table].tab == tab);
        let hash: Option<[u8; 16]> = row.get(3)?;
        let stored = Stored { hash: hash.map(u128::from_le_bytes), bytes: row.get(4)? };
        Ok((seq.unsigned_abs(), table, row.get::<_, key::Read>(2)?.0, stored))
    }
}

/// The contents of rows, wherever they are kept.
struct Contents<'a> {
    c: &'a Connection,
    member: &'a Member,
    open: HashMap<usize, One<'a, 'a>>,
}

struct Content {
    row: Option<Row>,
    /// In the user's table, and not aside.
    shown: bool,
}

impl Contents<'_> {
    fn of(&mut self, table: usize, key: &Key, stored: &Stored) -> rusqlite::Result<Content> {
        let of = &self.member.tables[table];
        if stored.hash.is_none() {
            return Ok(Content { row: parked::row(self.c, of.tab, key)?, shown: false });
        }
        let one = match self.open.entry(table) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(One::new(self.c, &of.view)?),
        };
        let row = one.get(key)?.filter(|row| row.has(&of.view.key, key));
        Ok(Content { row, shown: true })
    }
}
