//! Following: changes are read, written with their position, and only then confirmed to the source.

use super::Run;
use super::copy::timed_write;
use super::session::{Outcome, Session};
use super::state::{Event, State};
use crate::apply::{Durability, Phase};
use crate::capture::Read;
use crate::change::{Change, Transaction};
use crate::error::Result;
use crate::transport::{Batch, Mode, Progress, fold};
use std::time::Duration;

/// So many held rows are tried again at a time.
const RETRIED_MAX: usize = 1_000;

impl Session<'_> {
    /// Follows the source until it is in step, or until stopped.
    pub(super) async fn follow(&mut self) -> Result<Outcome> {
        self.tell(&State::Following);
        if let Some(outcome) = self.drain().await? {
            return Ok(outcome);
        }
        self.ready_spool()?;
        let watching = self.settings.run == Run::Watch;
        let wait = if watching { self.settings.wait } else { Duration::ZERO };
        let mut ahead = None;
        let mut in_step = false;
        self.retry_held(false).await?;
        loop {
            if self.stopped() {
                return self.finish(in_step).await;
            }
            let read = match ahead.take() {
                Some(read) => read,
                None => self.source.read(&self.position, self.budget(), wait).await?,
            };
            match read {
                Read::SchemaChanged => return Ok(Outcome::Again),
                Read::Nothing => {
                    if !in_step {
                        if !watching {
                            return self.finish(true).await;
                        }
                        self.confirm(true).await?;
                        self.tell(&State::InStep);
                        in_step = true;
                    }
                }
                Read::Changes(transaction) => {
                    let settled = transaction.settled;
                    if in_step {
                        self.tell(&State::Following);
                        in_step = false;
                    }
                    let reads_ahead = !settled;
                    ahead = self.apply(transaction, reads_ahead).await?;
                    if settled {
                        self.retry_held(true).await?;
                        if !watching {
                            return self.finish(true).await;
                        }
                        self.rest(self.settings.every).await;
                    }
                }
            }
        }
    }

    /// Writes one transaction. With `reads_ahead`, what follows is read meanwhile.
    pub(super) async fn apply(&mut self, transaction: Transaction, reads_ahead: bool) -> Result<Option<Read>> {
        let after = transaction.position.clone();
        let (settled, after_ms) = (transaction.settled, transaction.after_ms);
        self.report.left_out += transaction.left_out;
        let halted = |table: usize| matches!(self.phases[table], Phase::Halted(_));
        let emptied = transaction.emptied.iter().copied().filter(|table| !halted(*table)).collect();
        let changes = if transaction.folded { transaction.changes } else { fold(transaction.changes) };
        let carried = changes.into_iter().filter(|c| !(halted(c.table) || c.is_partial() && self.holds(c)));
        let changes: Vec<Change> = carried.collect();
        let rows = changes.len();
        let progress = Progress::Position { before: self.position.clone(), after: after.clone() };
        let batch = Batch { emptied, changes, progress, settled, mode: Mode::Replace };
        let (env, budget) = (self.env, self.budget());
        let (written, ahead) = if reads_ahead {
            let (written, ahead) = tokio::join!(
                timed_write(env, &mut self.target, batch),
                self.source.read(&after, budget, Duration::ZERO)
            );
            (written, Some(ahead))
        } else {
            (timed_write(env, &mut self.target, batch).await, None)
        };
        let (written, took) = self.of_target(written)?;
        self.learn(rows, took);
        self.position = after;
        if written.durability == Durability::Durable {
            self.durable = Some(self.position.clone());
            self.forget_drained()?;
            self.confirm(false).await?;
        }
        self.report.upserts += written.upserts;
        self.report.deletes += written.deletes;
        self.report.journal(&written);
        self.ledger.held.extend(written.held.clone());
        let lag_ms = after_ms.map(|after| self.env.clock.now_ms().saturating_sub(after).max(0));
        self.event(Event::Applied { written: &written, lag_ms });
        self.throttle(rows as u64).await;
        ahead.transpose()
    }

    /// Whether the row is held: then what did not change of it is not at the target, and it is read again as a whole.
    fn holds(&self, change: &Change) -> bool {
        let name = &self.mappings[change.table].source.table;
        self.ledger.held.iter().any(|held| held.table == *name && held.key == change.key)
    }

    /// Rows that could not be written are read again and tried together: what stood in their way may be gone.
    ///
    /// A comparison may have held them, so what they replace is kept in the journal, as the comparison would have.
    pub(super) async fn retry_held(&mut self, settled: bool) -> Result<()> {
        if self.ledger.held.is_empty() {
            return Ok(());
        }
        for (at, mapping) in self.mappings.clone().iter().enumerate() {
            if matches!(self.phases[at], Phase::Halted(_)) {
                continue;
            }
            let mine = self.ledger.held.iter().filter(|h| h.table == mapping.source.table).take(RETRIED_MAX);
            let mut keys: Vec<_> = mine.map(|h| h.key.clone()).collect();
            keys.sort();
            keys.dedup();
            let mut rest = &keys[..];
            while !rest.is_empty() {
                self.check_stop()?;
                let (changes, later) = self.current(at, rest).await?;
                rest = later;
                let rows = changes.len() as u64;
                let mode = Mode::Journal { run: self.report.run.clone() };
                let written = self
                    .target
                    .write(Batch { emptied: vec![], changes, progress: Progress::None, settled, mode })
                    .await?;
                self.report.upserts += written.upserts;
                self.report.deletes += written.deletes;
                self.report.journal(&written);
                self.throttle(rows).await;
            }
        }
        self.ledger.held = self.target.ledger(&self.writer()).await?.held;
        Ok(())
    }

    /// Ends cleanly: the position is confirmed, so that the source keeps no more than it must.
    pub(super) async fn finish(&mut self, in_step: bool) -> Result<Outcome> {
        self.confirm(true).await?;
        self.report.held = self.target.ledger(&self.writer()).await?.held;
        for (mapping, phase) in self.mappings.iter().zip(&self.phases) {
            if let Phase::Halted(why) = phase {
                self.report.halted.insert(mapping.source.table.clone(), why.clone());
            }
        }
        if self.settings.run == Run::UntilInStep
            && !self.settings.keeps_log
            && let Some(notice) = self.source.rest().await?
        {
            self.notice(notice);
        }
        if in_step {
            self.tell(&State::InStep);
        }
        self.report.in_step = in_step;
        Ok(Outcome::Done)
    }
}
