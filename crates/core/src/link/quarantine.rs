//! Rows in quarantine are tried again: by a link that runs, and when somebody asks for it.
//!
//! Both read an entry, then the row at the source, then write it if the entry is as it was. Whoever else wrote the row
//! or failed to in between has changed the entry, so an older state never takes the place of a newer one.

use super::follow::RETRIED_MAX;
use super::session::Session;
use super::{Link, Report};
use crate::apply::{Held, Quarantined, Which};
use crate::change::Key;
use crate::error::Result;
use crate::transport::{Batch, Mode, Progress};

/// So many rows in quarantine are named by a report.
const NAMED_MAX: u64 = 1_000;

/// What trying again did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// Rows that were read again.
    pub tried: u64,
    /// Rows that were written, or are gone at the source and need no place.
    pub written: u64,
    /// Rows that still cannot be written: the first of them.
    pub failed: Vec<Held>,
    /// How many those are.
    pub failed_rows: u64,
    /// Rows that somebody else wrote, tried or discarded meanwhile.
    pub passed_over: u64,
    /// Tables that were not tried, with the reason.
    pub skipped: Vec<(String, String)>,
    /// What the target's journal knows this by.
    pub run: String,
    /// Rows that were replaced or deleted and entered the journal.
    pub journaled: u64,
}

impl Link {
    /// Tries rows in quarantine again now: of all tables or of one, all or those with these keys as people see them.
    pub async fn retry(&mut self, table: Option<&str>, keys: &[String]) -> Result<Retried> {
        let mut report = Report::default();
        let mut session = Session::open(self, &mut report).await?;
        if session.ledger.position.is_none() {
            return Err(session.names.not_begun());
        }
        let mut retried = session.retry_chosen(table, keys).await?;
        (retried.run, retried.journaled) = (report.run.clone(), report.journaled);
        Ok(retried)
    }
}

impl Session<'_> {
    /// A page of this link's quarantine.
    pub(super) async fn held_page(
        &mut self,
        table: Option<&String>,
        after: Option<Key>,
        rows_max: u64,
    ) -> Result<Vec<Quarantined>> {
        let links = vec![self.writer().link];
        self.target.held(&Which { links, table: table.cloned(), after, rows_max, ..Which::default() }).await
    }

    /// Reads rows again from the source and writes them, if they can be by now.
    ///
    /// A comparison may have held them, so what they replace is kept in the journal, as the comparison would have.
    pub(super) async fn retry(&mut self, at: usize, page: &[Quarantined], settled: bool) -> Result<Retried> {
        let keys: Vec<Key> = page.iter().map(|entry| entry.held.key.clone()).collect();
        let mut retried = Retried { tried: page.len() as u64, ..Retried::default() };
        let mut rest = &keys[..];
        while !rest.is_empty() {
            self.check_stop()?;
            let from = keys.len() - rest.len();
            let (changes, later) = self.current(at, rest).await?;
            rest = later;
            let tries = page[from..from + changes.len()].iter().map(|entry| entry.tries).collect();
            let rows = changes.len() as u64;
            let mode = Mode::Journal { run: self.report.run.clone() };
            let progress = Progress::Retried { tries };
            let written =
                self.target.write(Batch { emptied: vec![], changes, origins: vec![], progress, settled, mode }).await?;
            self.report.upserts += written.upserts;
            self.report.deletes += written.deletes;
            self.report.journal(&written);
            retried.written += written.released;
            retried.failed_rows += written.held.len() as u64;
            retried.failed.extend(written.held);
            self.throttle(rows).await;
        }
        retried.passed_over = retried.tried.saturating_sub(retried.written + retried.failed_rows);
        Ok(retried)
    }

    async fn retry_chosen(&mut self, table: Option<&str>, keys: &[String]) -> Result<Retried> {
        let fit = self.target.prepare(self.mappings.clone(), &self.tables, false).await?;
        let mut all = Retried::default();
        let waiting: Vec<String> =
            self.ledger.held.keys().filter(|t| table.is_none_or(|name| name == *t)).cloned().collect();
        for name in waiting {
            let at = self.mappings.iter().position(|mapping| mapping.source.table == name);
            let why = at.map(|at| fit.unfit.get(&at).cloned());
            let (Some(at), Some(None)) = (at, &why) else {
                let gone = || format!("{} does not carry it any more", self.names.source_name);
                all.skipped.push((name, why.flatten().unwrap_or_else(gone)));
                continue;
            };
            let mut after = None;
            loop {
                let mut page = self.held_page(Some(&name), after.take(), RETRIED_MAX).await?;
                let ends = (page.len() as u64) < RETRIED_MAX;
                after = page.last().map(|last| last.held.key.clone());
                page.retain(|entry| keys.is_empty() || keys.iter().any(|key| entry.held.is_called(key)));
                all.add(self.retry(at, &page, false).await?);
                if ends {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// What is in quarantine at the end of a run, for its report.
    pub(super) async fn report_held(&mut self) -> Result<()> {
        self.ledger.held = self.target.ledger(&self.writer()).await?.held;
        self.report.held_rows = self.ledger.held.values().sum();
        self.report.held.clear();
        if self.report.held_rows > 0 {
            let page = self.held_page(None, None, NAMED_MAX).await?;
            self.report.held.extend(page.into_iter().map(|entry| entry.held));
        }
        Ok(())
    }

    /// Notes that a batch put rows into quarantine.
    pub(super) fn count_held(&mut self, held: &[Held]) {
        for held in held {
            *self.ledger.held.entry(held.table.clone()).or_default() += 1;
        }
    }
}

impl Retried {
    fn add(&mut self, other: Retried) {
        self.tried += other.tried;
        self.written += other.written;
        self.failed_rows += other.failed_rows;
        self.passed_over += other.passed_over;
        let room = (NAMED_MAX as usize).saturating_sub(self.failed.len());
        self.failed.extend(other.failed.into_iter().take(room));
    }
}
