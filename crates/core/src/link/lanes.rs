//! First copies in lanes: parts of a table beside each other, each over connections of its own, as bytes that nobody
//! looks into. Between two databases of one kind only; everything else goes the way of `copy.rs`.
//!
//! Invariants: a part and its stretch in the ledger are one transaction; a part that the target refuses as a whole goes
//! row by row, so that the row at fault is found; what is in flight has a bound, so has what a kill makes read again.

use super::copy::{Copying, Tally};
use super::session::Session;
use crate::apply::{Stretch, Target, Written};
use crate::capture::Source;
use crate::change::Mapping;
use crate::error::{Error, Result};
use crate::transport::{Budget, Pace};
use crate::verify::Range;
use std::collections::VecDeque;
use tokio::task::JoinSet;

/// A smaller table is copied before further connections are there.
const ROWS_MIN: u64 = 50_000;
/// Rows that go one by one go in chunks of this many.
const CHUNK_ROWS: usize = 2_000;

/// A source and a target of its own.
pub(super) struct Lane {
    source: Box<dyn Source>,
    target: Box<dyn Target>,
}

/// What a lane is to carry.
struct Part {
    at: usize,
    mapping: Mapping,
    stretch: Stretch,
    ledger: bool,
    run: String,
}

/// The parts of a table, in order, as they are asked for.
struct Parts {
    gaps: VecDeque<Stretch>,
    /// The number of the next stretch behind all that are known.
    number: u32,
}

impl Session<'_> {
    /// Whether a table is copied in lanes.
    pub(super) fn goes_in_lanes(&self, at: usize, total: Option<u64>) -> bool {
        let mapping = &self.mappings[at];
        let declared = |name: &str| self.tables[at].column(name).map(|column| &column.declared);
        let there = self.target_survey.tables.iter().find(|table| table.name == mapping.target.table);
        let is_same = |(source, target): (&crate::change::ViewColumn, &crate::change::ViewColumn)| {
            let there = there.map(|table| table.column(&target.name).map(|column| &column.declared));
            there.is_none_or(|there| there == declared(&source.name))
        };
        self.target.lanes() > 1
            && self.source_survey.dialect == self.target_survey.dialect
            && self.throttle.is_open()
            && total.is_none_or(|total| total >= ROWS_MIN)
            && mapping.source.columns.iter().zip(&mapping.target.columns).all(is_same)
    }

    /// Copies what is missing of a table.
    pub(super) async fn copy_in_lanes(
        &mut self,
        at: usize,
        missing: Vec<Stretch>,
        ledger: bool,
        tally: &mut Tally,
    ) -> Result<()> {
        let mapping = self.mappings[at].clone();
        let mut idle = match self.lanes.take() {
            Some(lanes) => lanes,
            None => self.open_lanes().await?,
        };
        let mut parts = Parts::of(missing);
        let mut running = JoinSet::new();
        loop {
            self.check_stop()?;
            while let Some(lane) = idle.pop() {
                let Some(stretch) = parts.next(&mut *self.source, &mapping).await? else {
                    idle.push(lane);
                    break;
                };
                let part = Part { at, mapping: mapping.clone(), stretch, ledger, run: self.report.run.clone() };
                running.spawn(lane.carry(part));
            }
            let Some(carried) = running.join_next().await else { break };
            let carried = carried.map_err(|error| Error::internal(format!("a lane ended: {error}")))?;
            let (lane, written, left_out) = carried?;
            self.report.left_out += left_out;
            self.note_copied(at, written.upserts, written, ledger, tally)?;
            idle.push(lane);
        }
        self.lanes = Some(idle);
        Ok(())
    }

    /// Opens as many lanes as the target takes; fewer, where a server has no more room.
    async fn open_lanes(&mut self) -> Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        while lanes.len() < self.target.lanes() {
            match self.open_lane().await {
                Ok(lane) => lanes.push(lane),
                Err(error) if lanes.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(lanes)
    }

    async fn open_lane(&mut self) -> Result<Lane> {
        let source = self.ends.source().await?;
        let mut target = self.ends.target().await?;
        target.ledger(&self.writer()).await?;
        target.prepare(self.mappings.clone(), &self.tables, false).await?;
        Ok(Lane { source, target })
    }
}

impl Parts {
    fn of(missing: Vec<Stretch>) -> Self {
        let number = missing.last().map_or(0, |last| last.number);
        Self { gaps: missing.into(), number }
    }

    /// The next part. What has no end yet, or is large, ends where the source says.
    async fn next(&mut self, source: &mut dyn Source, mapping: &Mapping) -> Result<Option<Stretch>> {
        let Some(gap) = self.gaps.pop_front() else { return Ok(None) };
        if gap.range.through.is_some() {
            return Ok(Some(gap));
        }
        let Some(end) = source.boundary(&mapping.source, &gap.range).await? else { return Ok(Some(gap)) };
        self.number += 1;
        let rest = Range { after: Some(end.clone()), through: None };
        self.gaps.push_back(Stretch { number: self.number, range: rest });
        Ok(Some(Stretch { number: gap.number, range: Range { after: gap.range.after, through: Some(end) } }))
    }
}

impl Lane {
    /// Carries a part; at once, or row by row.
    async fn carry(mut self, part: Part) -> Result<(Self, Written, u64)> {
        let (written, left_out) = match self.at_once(&part).await? {
            Some(upserts) => (Written { upserts, ..Written::default() }, 0),
            None => self.by_rows(part).await?,
        };
        Ok((self, written, left_out))
    }

    async fn at_once(&mut self, part: &Part) -> Result<Option<u64>> {
        let rows = self.source.raw(&part.mapping.source, &part.stretch.range).await?;
        let Some(mut rows) = rows else { return Ok(None) };
        self.target.load(part.at, &mut *rows, part.ledger.then_some(&part.stretch)).await
    }

    async fn by_rows(&mut self, part: Part) -> Result<(Written, u64)> {
        let copying = Copying { at: part.at, mapping: &part.mapping, ledger: part.ledger, run: &part.run };
        let budget = Budget { rows_max: CHUNK_ROWS, bytes_max: Pace::BYTES_MAX };
        let (mut all, mut left_out) = (Written::default(), 0);
        let mut rest = Some(part.stretch);
        while let Some(stretch) = rest {
            let chunk = self.source.chunk(&part.mapping.source, &stretch.range, budget).await?;
            let copied = copying.chunk(chunk, stretch);
            let written = self.target.write(copied.batch).await?;
            all.upserts += written.upserts;
            all.journaled += written.journaled;
            all.kept += written.kept;
            all.held.extend(written.held);
            left_out += copied.left_out;
            rest = copied.rest;
        }
        Ok((all, left_out))
    }
}
