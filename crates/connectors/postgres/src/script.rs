//! Statements that go to the server together: one message, and the rows that their COPYs take as the server asks for
//! them. What each of them touched comes back in their order.
//!
//! Invariant: the server carries out none that stands behind one that it refused.

use crate::text::push_line;
use crate::wire::{Answer, Connection, SENT_BYTES, WireError};
use tidewater_core::apply::Written;
use tidewater_core::change::Row;

/// What the rows that a statement touched count as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    Nothing,
    Deletes,
    Upserts,
    /// Of so many; what is there already was kept.
    Missing(u64),
    Released,
}

/// Statements to be sent.
#[derive(Debug, Default)]
pub(crate) struct Script<'r> {
    sql: String,
    counts: Vec<Counts>,
    copies: Vec<Vec<&'r Row>>,
}

impl<'r> Script<'r> {
    /// Adds one statement.
    pub(crate) fn then(&mut self, sql: &str, counts: Counts) {
        if !self.sql.is_empty() {
            self.sql.push_str("; ");
        }
        self.sql.push_str(sql);
        self.counts.push(counts);
    }

    /// Adds a `COPY … FROM STDIN` of these rows or keys.
    pub(crate) fn copy(&mut self, sql: &str, rows: impl Iterator<Item = &'r Row>, counts: Counts) {
        self.then(sql, counts);
        self.copies.push(rows.collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Adds what the statements touched.
    pub(crate) fn count(&self, touched: &[u64], written: &mut Written) {
        debug_assert_eq!(self.counts.len(), touched.len(), "each statement answers once");
        for (counts, rows) in self.counts.iter().zip(touched) {
            match counts {
                Counts::Nothing => {}
                Counts::Deletes => written.deletes += rows,
                Counts::Upserts => written.upserts += rows,
                Counts::Missing(of) => {
                    written.upserts += rows;
                    written.kept += of.saturating_sub(*rows);
                }
                Counts::Released => written.released += rows,
            }
        }
    }

    /// Sends all of it. Rows are still being written down while the server takes in the first.
    pub(crate) async fn run(&self, connection: &mut Connection) -> Result<Vec<u64>, WireError> {
        connection.send_query(&self.sql).await?;
        let mut touched = Vec::with_capacity(self.counts.len());
        let mut copies = self.copies.iter();
        let mut lines = Vec::new();
        loop {
            match connection.answer().await? {
                Answer::Touched(rows) => touched.push(rows),
                Answer::Ready => return Ok(touched),
                Answer::Copy => {
                    lines.clear();
                    for row in copies.next().into_iter().flatten() {
                        push_line(row.raw(), &mut lines);
                        if lines.len() >= SENT_BYTES {
                            connection.send_copy(&lines).await?;
                            lines.clear();
                        }
                    }
                    connection.send_copy(&lines).await?;
                    connection.copied_in().await?;
                }
            }
        }
    }
}
