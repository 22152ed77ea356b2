//! First copies and comparisons: a table at a time, a chunk at a time, each chunk with its progress in the
//! target's transaction, so that an interruption resumes at the chunk.

use super::session::{Outcome, Session};
use super::state::State;
use crate::apply::{Existing, Held, Phase, Stretch, Target, Written};
use crate::change::{Change, Deletes, Mapping, Op, Row};
use crate::env::Env;
use crate::error::{Error, Kind, Result, code};
use crate::transport::{Batch, Mode, Pace, Progress};
use crate::verify::{Chunk, Comparison, Difference, DifferenceKind, Range};
use std::time::Duration;
use tokio::sync::watch;

/// What a comparison may do to the target.
#[derive(Debug, Clone, Copy)]
struct Policy {
    differs: bool,
    extra: bool,
    mode_keep: bool,
}

impl Session<'_> {
    /// Brings every table that is not yet followed to that point.
    pub(super) async fn copy_all(&mut self) -> Result<()> {
        for at in 0..self.mappings.len() {
            match self.phases[at].clone() {
                Phase::Copying(done) => {
                    self.tell(&State::Copying);
                    self.copy(at, done, true).await?;
                }
                Phase::Meeting => {
                    self.tell(&State::Comparing);
                    let policy = Policy::first_contact(self.existing());
                    self.compare(at, policy, true).await?;
                }
                Phase::Comparing => {
                    self.tell(&State::Comparing);
                    if let Some(why) = self.emptied(at).await? {
                        self.halt(at, why).await?;
                        continue;
                    }
                    let policy = Policy::recovery(self.existing());
                    self.compare(at, policy, true).await?;
                }
                Phase::Following | Phase::Halted(_) => {}
            }
        }
        self.lanes = None;
        Ok(())
    }

    /// Compare and copy, once, leaving nothing behind but rows.
    pub(super) async fn once(&mut self) -> Result<Outcome> {
        let fit = self.target.prepare(self.mappings.clone(), &self.tables, false).await?;
        for (at, mapping) in self.mappings.clone().iter().enumerate() {
            let created = fit.created.contains(&mapping.target.table);
            if let Some(why) = fit.unfit.get(&at) {
                return Err(self.does_not_fit(mapping, why));
            }
            let empty = created || self.target.count(&mapping.target, 1).await? == 0;
            self.phases[at] = if empty { Phase::Copying(vec![]) } else { Phase::Meeting };
        }
        self.ledger.tables.clear();
        self.refuse_collisions(&self.phases.clone()).await?;
        let made = self.target.prepare(self.mappings.clone(), &self.tables, true).await?;
        self.report.created.extend(made.created);
        for at in 0..self.mappings.len() {
            if self.phases[at] == Phase::Meeting {
                self.tell(&State::Comparing);
                self.compare(at, Policy::first_contact(self.settings.existing), false).await?;
            } else {
                self.tell(&State::Copying);
                self.copy(at, vec![], false).await?;
            }
        }
        self.carry_counters().await?;
        self.report.in_step = true;
        Ok(Outcome::Done)
    }

    /// Copies what is missing of a table.
    async fn copy(&mut self, at: usize, done: Vec<Stretch>, ledger: bool) -> Result<()> {
        let mapping = self.mappings[at].clone();
        let total = self.total(&mapping).await?;
        let rows = match total {
            Some(total) if !done.is_empty() => self.target.count(&mapping.target, total).await?,
            _ => 0,
        };
        let mut tally = Tally { rows, total };
        let missing = Stretch::missing(&done);
        if self.goes_in_lanes(at, total) {
            self.copy_in_lanes(at, missing, ledger, &mut tally).await?;
            self.target.complete(at).await?;
        } else {
            self.target.complete(at).await?;
            for stretch in missing {
                self.copy_stretch(at, stretch, ledger, &mut tally).await?;
            }
        }
        self.phases[at] = Phase::Following;
        if ledger {
            let tables = self.ledger_tables(|other| other == at);
            self.target.record(None, &tables).await?;
        }
        Ok(())
    }

    /// Copies a stretch. The next chunk is read while this one is written.
    async fn copy_stretch(&mut self, at: usize, stretch: Stretch, ledger: bool, tally: &mut Tally) -> Result<()> {
        let mapping = self.mappings[at].clone();
        let run = self.report.run.clone();
        let copying = Copying { at, mapping: &mapping, ledger, run: &run };
        let chunk = self.source.chunk(&mapping.source, &stretch.range, self.budget()).await?;
        let mut next = Some(copying.chunk(chunk, stretch));
        while let Some(copied) = next.take() {
            self.check_stop()?;
            let Copied { batch, rest, left_out } = copied;
            let rows = batch.changes.len();
            self.report.left_out += left_out;
            let budget = self.budget();
            let read = async {
                let Some(rest) = rest else { return Ok(None) };
                let chunk = self.source.chunk(&mapping.source, &rest.range, budget).await?;
                Ok::<_, Error>(Some(copying.chunk(chunk, rest)))
            };
            let (read, written) =
                tokio::join!(read, timed_write((self.env, self.stop.clone()), &mut self.target, batch));
            let (written, took) = written?;
            next = read?;
            self.learn(rows, took);
            self.note_copied(at, rows as u64, written, ledger, tally)?;
            self.throttle(rows as u64).await;
        }
        Ok(())
    }

    /// Rows of a first copy are at the target.
    pub(super) fn note_copied(
        &mut self,
        at: usize,
        rows: u64,
        written: Written,
        ledger: bool,
        tally: &mut Tally,
    ) -> Result<()> {
        self.report.copied += written.upserts;
        self.report.journal(&written);
        self.note_held(written.held, ledger)?;
        tally.rows += rows;
        self.progress(&self.mappings[at].source.table, tally.rows, tally.total);
        Ok(())
    }

    /// Compares a table and mends the target as the policy allows.
    async fn compare(&mut self, at: usize, policy: Policy, ledger: bool) -> Result<()> {
        let mapping = self.mappings[at].clone();
        let total = self.total(&mapping).await?;
        self.target.complete(at).await?;
        let mut comparison = Comparison::default();
        let mut done = 0;
        while let Some(step) = comparison.step(&mapping, &mut *self.source, &mut *self.target).await? {
            self.check_stop()?;
            done += step.source_rows;
            self.report.compared += step.source_rows;
            self.mend(at, &mapping, step.differences, policy, ledger).await?;
            self.progress(&mapping.source.table, done, total);
        }
        self.phases[at] = Phase::Following;
        if ledger {
            let tables = self.ledger_tables(|other| other == at);
            self.target.record(None, &tables).await?;
        }
        Ok(())
    }

    /// Sends rows that differ, as they stand at the source now.
    async fn mend(
        &mut self,
        at: usize,
        mapping: &Mapping,
        differences: Vec<Difference>,
        policy: Policy,
        ledger: bool,
    ) -> Result<()> {
        let (mut fetched, mut deleted) = (Vec::new(), Vec::new());
        for difference in differences {
            match difference.kind {
                DifferenceKind::Missing => fetched.push(difference.key),
                DifferenceKind::Differs if policy.differs => fetched.push(difference.key),
                DifferenceKind::Differs => self.report.kept += 1,
                DifferenceKind::Extra if policy.extra && mapping.deletes != Deletes::Ignore => {
                    deleted.push(difference.key)
                }
                DifferenceKind::Extra => self.report.left += 1,
            }
        }
        let mode = match policy.mode_keep {
            true => Mode::KeepExisting,
            false => Mode::Journal { run: self.report.run.clone() },
        };
        let batch = |changes| Batch {
            emptied: vec![],
            changes,
            origins: vec![],
            progress: Progress::None,
            settled: false,
            mode: mode.clone(),
        };
        // Rows are taken away first: a row that comes may need a unique value that one of them holds.
        for keys in deleted.chunks(self.budget().rows_max) {
            self.check_stop()?;
            let deletes = keys.iter().map(|key| Change { table: at, key: key.clone(), op: Op::Delete }).collect();
            let written = self.target.write(batch(deletes)).await?;
            self.report.removed += written.deletes;
            self.report.journal(&written);
            self.throttle(keys.len() as u64).await;
        }
        let mut keys = &fetched[..];
        while !keys.is_empty() {
            self.check_stop()?;
            let most = keys.len().min(self.budget().rows_max);
            let rows = self.source.fetch(&mapping.source, &keys[..most], Pace::BYTES_MAX).await?;
            let (now, later) = keys.split_at(rows.len().clamp(1, most));
            keys = later;
            let present = now.iter().zip(rows).filter_map(|(key, row)| Some((key.clone(), row?)));
            let changes: Vec<Change> =
                present.map(|(key, row)| Change { table: at, key, op: Op::Upsert(row) }).collect();
            let count = changes.len() as u64;
            let written = self.target.write(batch(changes)).await?;
            self.report.mended += written.upserts;
            self.report.kept += written.kept;
            self.report.journal(&written);
            self.note_held(written.held, ledger)?;
            self.throttle(count).await;
        }
        Ok(())
    }

    /// A source table that is empty, against a target table that is not: more likely an accident than a wish.
    async fn emptied(&mut self, at: usize) -> Result<Option<String>> {
        let mapping = self.mappings[at].clone();
        if self.existing() == Existing::Mirror
            || mapping.deletes == Deletes::Ignore
            || self.source.count(&mapping.source, 1).await? > 0
            || self.target.count(&mapping.target, 1).await? == 0
        {
            return Ok(None);
        }
        let refusal = source_empty(&self.names.source_name, &self.names.target_name, &mapping);
        Ok(Some(refusal.to_string()))
    }

    /// Halts one table; the others go on.
    async fn halt(&mut self, at: usize, why: String) -> Result<()> {
        self.report.halted.insert(self.mappings[at].source.table.clone(), why.clone());
        self.phases[at] = Phase::Halted(why);
        let tables = self.ledger_tables(|other| other == at);
        self.target.record(None, &tables).await
    }

    /// A row that cannot be written is tried again when the tables are followed. Without a ledger it has no place
    /// to be held: then it is an error.
    pub(super) fn note_held(&mut self, held: Vec<Held>, ledger: bool) -> Result<()> {
        if let (false, Some(held)) = (ledger, held.first()) {
            return Err(Error::new(
                Kind::Data,
                code::ROW_HELD,
                format!("{} key {} could not be written: {}", held.table, held.key, held.reason),
            )
            .meaning("The rows before it are there; nothing was replaced without a journal entry.")
            .remedy("Mend the row at the source or the constraint at the target, and run the command again."));
        }
        self.count_held(&held);
        Ok(())
    }

    pub(super) fn learn(&mut self, rows: usize, took: Duration) {
        self.pace.learn(rows, took);
    }
}

impl Policy {
    fn first_contact(existing: Existing) -> Self {
        match existing {
            // Everything was equal when it was looked at: what differs now was changed at the source since.
            Existing::Refuse | Existing::Mirror => Self { differs: true, extra: true, mode_keep: false },
            Existing::Keep => Self { differs: false, extra: false, mode_keep: true },
            Existing::Overwrite => Self { differs: true, extra: false, mode_keep: false },
        }
    }

    /// After a lost position. Rows only at the target are deletes that were missed, unless first contact let
    /// rows of the target's own stay: those cannot be told from deletes, and stay.
    fn recovery(existing: Existing) -> Self {
        let extra = matches!(existing, Existing::Refuse | Existing::Mirror);
        Self { differs: true, extra, mode_keep: false }
    }
}

/// The refusal to empty a target.
pub(super) fn source_empty(source: &str, target: &str, mapping: &Mapping) -> Error {
    Error::new(
        Kind::Conflict,
        code::SOURCE_EMPTY,
        format!("{} is empty at {source}, and {} is not at {target}", mapping.source.table, mapping.target.table),
    )
    .meaning("Going on would delete every row at the target. Nothing was deleted.")
    .remedy("If the source was replaced by mistake, restore it. If the rows are to go, use --existing mirror.")
}

/// How much of a table is copied, and of how much.
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) total: Option<u64>,
}

/// What chunks of one table are made into batches with.
pub(super) struct Copying<'a> {
    pub(super) at: usize,
    pub(super) mapping: &'a Mapping,
    pub(super) ledger: bool,
    pub(super) run: &'a str,
}

/// A chunk, ready to be written. Made as soon as it is read, while the one before is still being written.
pub(super) struct Copied {
    pub(super) batch: Batch,
    /// What is left of the stretch.
    pub(super) rest: Option<Stretch>,
    pub(super) left_out: u64,
}

impl Copying<'_> {
    /// The rows are inserts: nothing is there. What another program writes there meanwhile enters the journal.
    pub(super) fn chunk(&self, chunk: Chunk, stretch: Stretch) -> Copied {
        let (at, number) = (self.at, stretch.number);
        let change = |row: Row| Change { table: at, key: row.pick(&self.mapping.source.key), op: Op::Insert(row) };
        let end = chunk.through.clone().or_else(|| stretch.range.through.clone());
        let rest = chunk.through.map(|key| Range { after: Some(key), through: stretch.range.through });
        let done = Stretch { number, range: Range { after: stretch.range.after, through: end } };
        let progress = match self.ledger {
            true => Progress::Copied { table: at, stretch: done },
            false => Progress::None,
        };
        let changes = chunk.rows.into_iter().map(change).collect();
        let mode = Mode::Journal { run: self.run.to_owned() };
        let batch = Batch { emptied: vec![], changes, origins: vec![], progress, settled: false, mode };
        Copied { batch, rest: rest.map(|range| Stretch { number, range }), left_out: chunk.left_out }
    }
}

/// So long a target that hands changes on may still take them when a stop was asked for: whoever reads them may never.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Writes, and says how long it took.
pub(super) async fn timed_write(
    (env, stop): (&Env, watch::Receiver<bool>),
    target: &mut Box<dyn Target>,
    batch: Batch,
) -> Result<(Written, Duration)> {
    let start = env.clock.monotonic();
    let streams = target.streams();
    let written = tokio::select! {
        biased;
        written = target.write(batch) => written?,
        () = given_up(env, stop), if streams => return Err(super::interrupted()),
    };
    Ok((written, env.clock.monotonic() - start))
}

/// Some time after a stop was asked for.
async fn given_up(env: &Env, mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
    env.clock.sleep(LAST_WRITE).await;
}
