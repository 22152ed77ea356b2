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

/// So many rows of the quarantine are read at a time; of each table so many are tried again whenever a watching link
/// is in step.
pub(super) const RETRIED_MAX: u64 = 1_000;

/// While a link watches, sequences are moved on when it is in step and something was written, and no more often.
const COUNTERS: Duration = Duration::from_secs(60);

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
        self.carry_counters().await?;
        let (mut carried, mut behind) = (self.env.clock.monotonic(), false);
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
                        self.flush().await?;
                        self.tell(&State::InStep);
                        in_step = true;
                    }
                    if behind && self.env.clock.monotonic() - carried >= COUNTERS {
                        self.carry_counters().await?;
                        (carried, behind) = (self.env.clock.monotonic(), false);
                    }
                }
                Read::Changes(transaction) => {
                    let settled = transaction.settled;
                    behind = true;
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
        let streams = self.target.streams();
        let changes = if transaction.folded || streams { transaction.changes } else { fold(transaction.changes) };
        let carried = changes.into_iter().filter(|c| !halted(c.table));
        let changes: Vec<Change> = carried.collect();
        let rows = changes.len();
        let progress = Progress::Position { before: self.position.clone(), after: after.clone() };
        let origins = if streams { transaction.origins } else { vec![] };
        let batch = Batch { emptied, changes, origins, progress, settled, mode: Mode::Replace };
        let (env, budget) = ((self.env, self.stop.clone()), self.budget());
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
        self.count_held(&written.held);
        let lag_ms = after_ms.map(|after| self.env.clock.now_ms().saturating_sub(after).max(0));
        self.event(Event::Applied { written: &written, lag_ms });
        self.throttle(rows as u64).await;
        ahead.transpose()
    }

    /// Rows that could not be written are read again and tried together: what stood in their way may be gone.
    ///
    /// A run that ends tries all. A watching link tries some of each table, and the next ones the next time: however
    /// many wait, what is new does not wait for them.
    pub(super) async fn retry_held(&mut self, settled: bool) -> Result<()> {
        if self.ledger.held.is_empty() {
            return Ok(());
        }
        let watching = self.settings.run == Run::Watch;
        for (at, mapping) in self.mappings.clone().iter().enumerate() {
            let name = &mapping.source.table;
            if matches!(self.phases[at], Phase::Halted(_)) || !self.ledger.held.contains_key(name) {
                continue;
            }
            let mut after = if watching { self.tried.remove(&at) } else { None };
            loop {
                let page = self.held_page(Some(name), after.take(), RETRIED_MAX).await?;
                self.retry(at, &page, settled).await?;
                if (page.len() as u64) < RETRIED_MAX {
                    break;
                }
                after = page.last().map(|last| last.held.key.clone());
                if let (true, Some(key)) = (watching, &after) {
                    self.tried.insert(at, key.clone());
                    break;
                }
            }
        }
        self.ledger.held = self.target.ledger(&self.writer()).await?.held;
        Ok(())
    }

    /// Makes durable what was written, and confirms it at once.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let is_news = self.durable.as_ref() != Some(&self.position);
        if is_news && self.target.flush().await? == Durability::Durable {
            self.durable = Some(self.position.clone());
        }
        self.confirm(true).await
    }

    /// Who goes over to the target is to be given no value that a row has already.
    pub(super) async fn carry_counters(&mut self) -> Result<()> {
        let counters = self.source.counters(&self.mappings).await?;
        for said in self.target.advance(&self.mappings, &counters).await? {
            if !self.report.notices.contains(&said) {
                self.notice(said);
            }
        }
        Ok(())
    }

    /// Ends cleanly: the position is confirmed, so that the source keeps no more than it must.
    pub(super) async fn finish(&mut self, in_step: bool) -> Result<Outcome> {
        self.flush().await?;
        self.report_held().await?;
        if in_step {
            self.carry_counters().await?;
        }
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
