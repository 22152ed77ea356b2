//! The target is back: what was spooled is applied first, in its order, from where the target's ledger says.
//!
//! Invariants: a spool is removed only once what it holds is durable at the target, or all tables are being compared;
//! while it is applied nothing is confirmed to the source, which has let go of that long ago.

use super::Run;
use super::session::{Outcome, Session};
use super::spooling::{noted, of_target};
use super::state::State;
use crate::capture::{Resumed, Start};
use crate::change::{Position, Transaction};
use crate::error::{Kind, Result, code};
use crate::transport::{Budget, Card, Cursor, Place};

/// What a spool means for a link that is taken up.
pub(super) enum Backlog {
    /// There is none, or the target is past it.
    None,
    /// It has nothing for the target: something between the two is missing.
    Useless,
    /// It goes on from here.
    From(Cursor),
}

/// The rest of a spool, read ahead by one.
pub(super) struct Drain {
    cursor: Cursor,
    ahead: Option<Transaction>,
    /// Segments before this one were handed out whole.
    reached: u64,
    /// By the spool's index of a table, the link's; `None` where the table is not carried so any more.
    tables: Vec<Option<usize>>,
}

impl Session<'_> {
    /// Looks whether there is a spool, and where reading goes on at the source.
    pub(super) fn take_up_spool(&mut self) -> Result<(Backlog, Option<Position>)> {
        let resume = self.ledger.position.clone();
        self.have_spool(false)?;
        let Some(spool) = &self.spool else { return Ok((Backlog::None, resume)) };
        if let Some(damage) = spool.damage() {
            let text = damage.to_string();
            self.notice(text);
            return Ok((Backlog::Useless, resume));
        }
        let Some(position) = &resume else { return Ok((Backlog::Useless, resume)) };
        Ok(match spool.place(position, |one, other| self.source.order(one, other)) {
            Place::Past => (Backlog::None, resume),
            Place::Outside => (Backlog::Useless, resume),
            Place::Within(cursor) => (Backlog::From(cursor), spool.end().cloned()),
        })
    }

    /// Opens the spool, if there is one or it is to be made. Without one nothing is lost: what was stored where it cannot
    /// be read is compared.
    fn have_spool(&mut self, make: bool) -> Result<()> {
        let Some(settings) = self.settings.spool.as_ref().filter(|_| self.source.grows()) else { return Ok(()) };
        let link = &self.reader.link;
        if self.spool.as_ref().is_some_and(|spool| spool.link() == link) {
            return Ok(());
        }
        // Another database is the target now.
        *self.spool = None;
        match settings.open(&self.env.disk, link, make) {
            Err(error) if error.code == code::SPOOL_UNUSABLE => self.notice(error.to_string()),
            spool => *self.spool = spool?,
        }
        Ok(())
    }

    /// The source has begun, and the ledger knows what is to be compared.
    pub(super) fn settle_spool(&mut self, backlog: Backlog, start: &Start) -> Result<()> {
        let Some(spool) = &mut *self.spool else { return Ok(()) };
        match backlog {
            Backlog::From(cursor) if start.resumed == Resumed::At => {
                let now = noted(&self.mappings);
                let then = spool.card().map(|card| card.mappings.clone()).unwrap_or_default();
                let tables = then.iter().map(|table| now.iter().position(|other| other == table));
                let tables = tables.collect();
                self.position = self.ledger.position.clone().unwrap_or_default();
                self.drain = Some(Drain { reached: cursor.segment(), cursor, ahead: None, tables });
                Ok(())
            }
            _ => spool.clear(),
        }
    }

    /// Applies what was spooled. The outcome, where that is the end of the attempt.
    pub(super) async fn drain(&mut self) -> Result<Option<Outcome>> {
        if self.drain.is_none() {
            return Ok(None);
        }
        let bytes = self.spool.as_ref().map_or(0, |spool| spool.bytes());
        tracing::info!(bytes, "applying what was spooled");
        self.tell(&State::Following);
        loop {
            if self.stopped() {
                return self.finish(false).await.map(Some);
            }
            match self.next_spooled() {
                Ok(Some(transaction)) => self.apply_spooled(transaction).await?,
                Ok(None) => break,
                // What is missing is not at the source any more, as the next attempt finds out.
                Err(error) if error.kind == Kind::Lost => return Ok(Some(Outcome::Again)),
                Err(error) => return Err(error),
            }
        }
        self.drain = None;
        self.flush().await?;
        if self.durable.as_ref() == Some(&self.position) {
            self.forget_drained()?;
        }
        Ok(None)
    }

    async fn apply_spooled(&mut self, transaction: Transaction) -> Result<()> {
        let settled = transaction.settled;
        self.apply(transaction, false).await?;
        if settled {
            self.retry_held(true).await?;
        }
        if self.durable.as_ref() == Some(&self.position)
            && let (Some(drain), Some(spool)) = (&self.drain, &mut *self.spool)
        {
            spool.release(drain.reached)?;
        }
        Ok(())
    }

    /// Everything that was spooled is durable at the target.
    pub(super) fn forget_drained(&mut self) -> Result<()> {
        match &mut *self.spool {
            Some(spool) if self.drain.is_none() && !spool.is_empty() => spool.clear(),
            _ => Ok(()),
        }
    }

    /// As many of the transactions that follow as one batch may hold, as one.
    fn next_spooled(&mut self) -> Result<Option<Transaction>> {
        let budget = self.budget();
        let mut gathered: Option<Transaction> = None;
        while let Some(next) = self.next_record()? {
            match &mut gathered {
                None => gathered = Some(next),
                Some(all) if fits(all, &next, budget) => join(all, next),
                Some(_) => {
                    if let Some(drain) = &mut self.drain {
                        drain.ahead = Some(next);
                    }
                    break;
                }
            }
            if let Some(drain) = &mut self.drain {
                drain.reached = drain.cursor.segment();
            }
        }
        Ok(gathered)
    }

    /// The next transaction that the target does not have, in this link's count of tables.
    fn next_record(&mut self) -> Result<Option<Transaction>> {
        let (Some(drain), Some(spool)) = (&mut self.drain, &mut *self.spool) else { return Ok(None) };
        if let Some(ahead) = drain.ahead.take() {
            return Ok(Some(ahead));
        }
        while let Some(mut transaction) = spool.next(&mut drain.cursor)? {
            let is_in = self.source.order(&transaction.position, &self.position).is_some_and(std::cmp::Ordering::is_le);
            if is_in {
                continue;
            }
            // A table that is mapped otherwise now is compared as a whole, with what the source has now.
            let table = |then: usize| drain.tables.get(then).copied().flatten();
            transaction.emptied = transaction.emptied.into_iter().filter_map(table).collect();
            transaction.changes.retain_mut(|change| table(change.table).map(|now| change.table = now).is_some());
            return Ok(Some(transaction));
        }
        Ok(None)
    }

    /// Notes what is needed to go on without the target, while it is here.
    pub(super) fn ready_spool(&mut self) -> Result<()> {
        if self.settings.run != Run::Watch {
            return Ok(());
        }
        self.have_spool(true)?;
        let card = Card {
            link: self.reader.link.clone(),
            sync: self.settings.sync.clone(),
            source_identity: self.source_survey.identity.clone(),
            target: self.names.target_name.clone(),
            target_identity: self.reader.target_identity.clone(),
            mappings: noted(&self.mappings),
        };
        match self.spool.as_mut().map(|spool| spool.set_card(card)) {
            Some(Err(error)) => {
                self.notice(error.to_string());
                *self.spool = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes whether it is the target that fails.
    pub(super) fn of_target<T>(&mut self, result: Result<T>) -> Result<T> {
        of_target(self.at_target, result)
    }
}

fn fits(all: &Transaction, next: &Transaction, budget: Budget) -> bool {
    let bytes = |transaction: &Transaction| transaction.changes.iter().map(crate::change::Change::bytes).sum::<usize>();
    all.emptied.is_empty()
        && next.emptied.is_empty()
        && all.changes.len() + next.changes.len() <= budget.rows_max
        && bytes(all) + bytes(next) <= budget.bytes_max
}

fn join(all: &mut Transaction, next: Transaction) {
    all.changes.extend(next.changes);
    (all.position, all.settled, all.folded) = (next.position, next.settled, false);
    all.after_ms = all.after_ms.or(next.after_ms);
    all.left_out += next.left_out;
}
