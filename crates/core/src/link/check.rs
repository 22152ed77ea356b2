//! Verify: compare what the source and the target hold now, name what differs, and mend it if asked.
//!
//! Both sides may be written to meanwhile. So a row that differs is looked at again, after the time that a
//! running sync would need, before it is called different.

use super::session::Session;
use super::state::State;
use super::{Existing, Link, Report, copy};
use crate::apply::Held;
use crate::change::{Change, Deletes, Key, Mapping, Op, Row, Value};
use crate::error::Result;
use crate::transport::{Batch, Mode, Pace, Progress};
use crate::verify::{Comparison, Difference, DifferenceKind};
use std::time::Duration;

/// At most this many differing rows of one table are looked at again and named.
pub const NAMED_MAX: usize = 10_000;

/// A running sync has brought a change over by then.
const SETTLE: Duration = Duration::from_millis(1_500);

/// How one table compares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Its name at the source.
    pub table: String,
    /// Rows at the source.
    pub source_rows: u64,
    /// Rows at the target.
    pub target_rows: u64,
    /// Rows that differ, at most [`NAMED_MAX`] of them.
    pub differing: Vec<DifferingRow>,
    /// How many more differ.
    pub more: u64,
    /// Rows mended.
    pub mended: u64,
    /// Rows only at the target that are there by choice (`deletes = "ignore"`).
    pub kept: u64,
    /// Why the table could not be compared, and the DDL that would mend it.
    pub unfit: Option<String>,
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingRow {
    /// Its key.
    pub key: Key,
    /// How.
    pub kind: DifferenceKind,
    /// The columns that differ, by their names at the source.
    pub columns: Vec<String>,
}

impl Verdict {
    /// Whether both sides are equal now.
    pub fn equal(&self) -> bool {
        self.differing.is_empty() && self.more == 0 && self.unfit.is_none()
    }
}

impl Link {
    /// Compares every table; with `repair`, sends what differs (the target's rows enter the journal first).
    pub async fn verify(&mut self, repair: bool) -> Result<(Vec<Verdict>, Report)> {
        let mut report = Report::default();
        let mut session = Session::open(self, &mut report).await?;
        let verdicts = session.verify_all(repair).await?;
        Ok((verdicts, report))
    }
}

impl Session<'_> {
    async fn verify_all(&mut self, repair: bool) -> Result<Vec<Verdict>> {
        let fit = self.target.prepare(self.mappings.clone(), &self.tables, false).await?;
        let mut verdicts = Vec::new();
        self.tell(&State::Comparing);
        for (at, mapping) in self.mappings.clone().iter().enumerate() {
            let verdict = match fit.unfit.get(&at) {
                Some(why) => {
                    Verdict { table: mapping.source.table.clone(), unfit: Some(why.clone()), ..Verdict::default() }
                }
                None => self.verify_one(mapping).await?,
            };
            verdicts.push((at, verdict));
        }
        // As long as differences go away by themselves, a sync is at work, and they are looked at again.
        let differing = |verdicts: &[(usize, Verdict)]| verdicts.iter().map(|(_, v)| v.differing.len()).sum::<usize>();
        let mut before = differing(&verdicts);
        while before > 0 {
            self.rest(SETTLE).await;
            for (at, verdict) in &mut verdicts {
                self.look_again(*at, verdict).await?;
            }
            let now = differing(&verdicts);
            if now == before {
                break;
            }
            before = now;
        }
        if repair {
            for (at, verdict) in &verdicts {
                self.refuse_repair(*at, verdict).await?;
            }
            for (at, verdict) in &mut verdicts {
                while verdict.unfit.is_none() && !verdict.equal() {
                    self.repair(*at, verdict).await?;
                }
            }
        }
        Ok(verdicts.into_iter().map(|(_, verdict)| verdict).collect())
    }

    async fn verify_one(&mut self, mapping: &Mapping) -> Result<Verdict> {
        let mut verdict = Verdict { table: mapping.source.table.clone(), ..Verdict::default() };
        let total = self.total(mapping).await?;
        let mut comparison = Comparison::default();
        while let Some(step) = comparison.step(mapping, &mut *self.source, &mut *self.target).await? {
            self.check_stop()?;
            verdict.source_rows += step.source_rows;
            verdict.target_rows += step.target_rows;
            for Difference { key, kind } in step.differences {
                if kind == DifferenceKind::Extra && mapping.deletes == Deletes::Ignore {
                    verdict.kept += 1;
                } else if verdict.differing.len() < NAMED_MAX {
                    verdict.differing.push(DifferingRow { key, kind, columns: vec![] });
                } else {
                    verdict.more += 1;
                }
            }
            self.progress(&mapping.source.table, verdict.source_rows, total);
        }
        Ok(verdict)
    }

    /// Reads the rows that differed again, at both sides, and keeps those that still do.
    async fn look_again(&mut self, at: usize, verdict: &mut Verdict) -> Result<()> {
        let mapping = self.mappings[at].clone();
        let mut still = Vec::new();
        let mut rest = std::mem::take(&mut verdict.differing);
        while !rest.is_empty() {
            self.check_stop()?;
            let keys: Vec<Key> = rest.iter().take(256).map(|d| d.key.clone()).collect();
            let source = self.source.fetch(&mapping.source, &keys, Pace::BYTES_MAX).await?;
            let keys = &keys[..source.len().clamp(1, keys.len())];
            let mut target = Vec::new();
            while target.len() < keys.len() {
                target.extend(self.target.fetch(&mapping.target, &keys[target.len()..], Pace::BYTES_MAX).await?);
            }
            let later = rest.split_off(keys.len());
            for (row, sides) in rest.into_iter().zip(source.into_iter().zip(target)) {
                let (kind, columns) = match sides {
                    (None, None) => continue,
                    (Some(s), Some(t)) if s == t => continue,
                    (Some(_), None) => (DifferenceKind::Missing, vec![]),
                    (None, Some(_)) => (DifferenceKind::Extra, vec![]),
                    (Some(s), Some(t)) => (DifferenceKind::Differs, columns_that_differ(&mapping, &s, &t)),
                };
                still.push(DifferingRow { key: row.key, kind, columns });
            }
            rest = later;
        }
        verdict.differing = still;
        Ok(())
    }

    /// Repair never empties a target because its source is empty.
    async fn refuse_repair(&mut self, at: usize, verdict: &Verdict) -> Result<()> {
        let mapping = self.mappings[at].clone();
        let extra = verdict.differing.iter().any(|d| d.kind == DifferenceKind::Extra);
        let mirror = self.settings.existing == Existing::Mirror;
        if extra && !mirror && self.source.count(&mapping.source, 1).await? == 0 {
            return Err(copy::source_empty(&self.names.source_name, &self.names.target_name, &mapping));
        }
        Ok(())
    }

    /// Sends the rows that differ as they stand at the source now, then looks whether more do.
    async fn repair(&mut self, at: usize, verdict: &mut Verdict) -> Result<()> {
        let keys: Vec<Key> = verdict.differing.drain(..).map(|d| d.key).collect();
        let mut held = Vec::new();
        for keys in keys.chunks(self.budget().rows_max) {
            held.extend(self.send(at, keys, verdict).await?.into_iter().map(|h| h.key));
        }
        // What stood in their way may have been sent since, or stands among them.
        let held = self.send(at, &held, verdict).await?;
        self.note_held(held, false)?;
        if verdict.more > 0 {
            let again = self.verify_one(&self.mappings[at].clone()).await?;
            *verdict = Verdict { mended: verdict.mended, ..again };
            self.refuse_repair(at, verdict).await?;
        }
        Ok(())
    }

    /// Sends single rows as they stand at the source now. Says which could not be written.
    async fn send(&mut self, at: usize, mut keys: &[Key], verdict: &mut Verdict) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        while !keys.is_empty() {
            self.check_stop()?;
            let (changes, later) = self.current(at, keys).await?;
            keys = later;
            let rows = changes.len() as u64;
            let mode = Mode::Journal { run: self.report.run.clone() };
            let batch =
                Batch { emptied: vec![], changes, origins: vec![], progress: Progress::None, settled: false, mode };
            let written = self.target.write(batch).await?;
            verdict.mended += written.upserts + written.deletes;
            self.report.journal(&written);
            held.extend(written.held);
            self.throttle(rows).await;
        }
        Ok(held)
    }

    /// The first of these rows as they stand at the source now, as many as fit into one batch; and the keys after.
    pub(super) async fn current<'k>(&mut self, at: usize, keys: &'k [Key]) -> Result<(Vec<Change>, &'k [Key])> {
        let view = self.mappings[at].source.clone();
        let rows = self.source.fetch(&view, keys, Pace::BYTES_MAX).await?;
        let (now, later) = keys.split_at(rows.len().clamp(1, keys.len()));
        let changes = now.iter().zip(rows).map(|(key, row)| Change {
            table: at,
            key: key.clone(),
            op: row.map_or(Op::Delete, Op::Upsert),
        });
        Ok((changes.collect(), later))
    }
}

fn columns_that_differ(mapping: &Mapping, source: &Row, target: &Row) -> Vec<String> {
    let same = |(_, (a, b)): &(usize, (Value<'_>, Value<'_>))| Row::new([a.clone()]) == Row::new([b.clone()]);
    let pairs = source.values().zip(target.values()).enumerate();
    pairs.filter(|pair| !same(pair)).map(|(at, _)| mapping.source.columns[at].name.clone()).collect()
}
