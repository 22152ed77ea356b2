//! Batches in which unique values stand in each other's way.
//!
//! Two rows that swapped a unique value cannot be written one after the other. So the rows of the batch are taken
//! away (into the journal first, where there is one) and inserted again. A row that fails even then is taken out of the batch, keeps what the target has,
//! and is held: the row in its way may arrive later, and if it belongs to the target alone, a person must know.

use crate::apply::{Failed, Outcome};
use crate::aside;
use crate::target::State;
use rusqlite::Connection;
use std::collections::BTreeMap;
use tidewater_core::apply::Written;
use tidewater_core::change::{Deletes, Op};
use tidewater_core::transport::{Batch, Mode};

/// Writes what can be written, and says which rows cannot. Runs inside the savepoint `rows`.
pub(crate) fn resolve(
    state: &State,
    c: &Connection,
    batch: &Batch,
    link: &str,
) -> rusqlite::Result<(Written, Vec<Failed>)> {
    let mut held: BTreeMap<usize, String> = BTreeMap::new();
    loop {
        let (written, failed) = round(state, c, batch, link, &held)?;
        if failed.is_empty() {
            return Ok((written, held.into_iter().collect()));
        }
        // Every round takes at least one row out, so the rounds end.
        held.extend(failed);
        c.execute_batch("ROLLBACK TO rows")?;
    }
}

fn round(
    state: &State,
    c: &Connection,
    batch: &Batch,
    link: &str,
    held: &BTreeMap<usize, String>,
) -> rusqlite::Result<(Written, Vec<Failed>)> {
    let mut outcome = Outcome::resolving();
    let rows = || batch.changes.iter().enumerate().filter(|(at, _)| !held.contains_key(at));
    for (at, _) in rows().filter(|(_, change)| matches!(change.op, Op::Delete)) {
        state.one(c, batch, at, link, &mut outcome)?;
    }
    // Rows that stay as they are must not be taken away, and marked rows are not gone.
    let replaces = batch.mode != Mode::KeepExisting;
    let again = |table: usize| replaces && state.mappings[table].deletes == Deletes::Apply;
    let mut taken = Vec::new();
    for (at, change) in rows().filter(|(_, c)| matches!(c.op, Op::Insert(_) | Op::Upsert(_)) && again(c.table)) {
        outcome.written.journaled += state.journal(c, batch, change, link)?;
        let aside = aside::take(c, &state.tables[change.table].unfiltered, &change.key)?;
        taken.extend(aside.map(|aside| (at, aside)));
    }
    for (at, _) in rows().filter(|(_, change)| !matches!(change.op, Op::Delete)) {
        state.one(c, batch, at, link, &mut outcome)?;
    }
    for (at, aside) in taken {
        match aside.give_back(c) {
            Err(error) if crate::error::is_rows_fault(&error) => {
                outcome.failed.push((at, crate::error::said(&error)));
            }
            done => done?,
        }
    }
    Ok((outcome.written, outcome.failed))
}
