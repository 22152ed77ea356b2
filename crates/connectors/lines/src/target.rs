//! Standard output as a target.

use crate::form::{Form, Lines};
use crate::kept::{Kept, KeptTable, Output, another};
use crate::printer::{Printer, Thread};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewater_core::apply::{
    Durability, Ledger, Phase, Prepared, Quarantined, Stretch, TableLedger, Target, Which, Writer, Written,
};
use tidewater_core::capture::Survey;
use tidewater_core::change::{Key, Mapping, Op, Origin, Position, RangeHash, Row, RowHash, Table, View};
use tidewater_core::env::Env;
use tidewater_core::transport::{Batch, Budget, Mode, Progress};
use tidewater_core::verify::{Chunk, Part, Range, Scan};
use tidewater_core::{Error, Result};

/// Standard output as a target: it hands changes on and keeps no rows.
pub struct LinesTarget {
    output: Output,
    env: Env,
    kept: Kept,
    forms: Arc<[Form]>,
    thread: Option<Thread>,
}

impl LinesTarget {
    /// Opens it. Nothing is written before the first rows are.
    pub fn open(output: &Output, env: &Env) -> Self {
        let kept = Kept::default();
        Self { output: output.clone(), env: env.clone(), kept, forms: Arc::new([]), thread: None }
    }

    /// What is remembered once a batch was printed.
    fn after(&self, progress: &Progress) -> Result<Kept> {
        let mut kept = Kept { updated_ms: self.env.clock.now_ms(), ..self.kept.clone() };
        match progress {
            Progress::Position { before, after } => {
                if kept.position.as_ref() != Some(before) {
                    return Err(Error::internal("the position does not follow the one kept"));
                }
                kept.position = Some(after.clone());
            }
            Progress::Copied { table, stretch } => {
                let name = self.forms.get(*table).map(|form| form.source.as_str()).unwrap_or_default();
                if let Some(table) = kept.tables.get_mut(name) {
                    let through = stretch.range.through.clone();
                    table.ledger.phase = through.map_or(Phase::Following, |key| Phase::Copying(Stretch::up_to(key)));
                }
            }
            Progress::Retried { .. } | Progress::None => {}
        }
        Ok(kept)
    }

    async fn thread(&mut self) -> Result<&Thread> {
        if self.thread.is_none() {
            self.thread = Some(Thread::start(Printer::open()?)?);
        }
        self.thread.as_ref().ok_or_else(|| Error::internal("no thread"))
    }

    fn token(&self) -> String {
        self.env.token()[..16].to_owned()
    }
}

/// There are no rows here: every table is an empty one.
#[async_trait]
impl Scan for LinesTarget {
    async fn survey(&mut self) -> Result<Survey> {
        Ok(Survey { identity: self.output.identity()?, dialect: "lines", ..Survey::default() })
    }

    async fn count(&mut self, _: &View, _: u64) -> Result<u64> {
        Ok(0)
    }

    async fn part(&mut self, _: &View, range: &Range, _: usize) -> Result<Part> {
        Ok(Part { range: range.clone(), hash: RangeHash::default(), last: true })
    }

    async fn hash(&mut self, _: &View, _: &Range) -> Result<RangeHash> {
        Ok(RangeHash::default())
    }

    async fn list(&mut self, _: &View, _: &Range, _: usize) -> Result<Vec<(Key, RowHash)>> {
        Ok(vec![])
    }

    async fn chunk(&mut self, _: &View, _: &Range, _: Budget) -> Result<Chunk> {
        Ok(Chunk { rows: vec![], through: None, left_out: 0 })
    }

    async fn fetch(&mut self, _: &View, keys: &[Key], _: usize) -> Result<Vec<Option<Row>>> {
        Ok(vec![None; keys.len()])
    }
}

#[async_trait]
impl Target for LinesTarget {
    async fn ledger(&mut self, writer: &Writer) -> Result<Ledger> {
        self.kept = match self.output.load()? {
            Some(kept) if kept.link == writer.link => kept,
            Some(kept) => return Err(another(&self.output, &kept)),
            None => Kept::new(self.output.identity()?, writer),
        };
        Ok(self.kept.ledger())
    }

    async fn prepare(&mut self, mappings: Arc<[Mapping]>, tables: &[Table], _: bool) -> Result<Prepared> {
        self.forms = mappings.iter().zip(tables).map(|(mapping, table)| Form::new(mapping, table)).collect();
        Ok(Prepared::default())
    }

    async fn record(&mut self, position: Option<&Position>, tables: &BTreeMap<String, TableLedger>) -> Result<()> {
        let mut kept = Kept { updated_ms: self.env.clock.now_ms(), ..self.kept.clone() };
        if let Some(position) = position {
            (kept.position, kept.epoch) = (Some(position.clone()), self.token());
        }
        for (name, ledger) in tables {
            let known = kept.tables.get(name);
            let anew = ledger.phase == Phase::Copying(vec![])
                && (position.is_some() || known.is_none_or(|known| known.ledger.phase != Phase::Copying(vec![])));
            let token = known.filter(|_| !anew).map_or_else(|| self.token(), |known| known.token.clone());
            kept.tables.insert(name.clone(), KeptTable { ledger: ledger.clone(), token });
        }
        self.output.save(&kept)?;
        self.kept = kept;
        Ok(())
    }

    /// Whatever came was printed.
    async fn held(&mut self, _: &Which) -> Result<Vec<Quarantined>> {
        Ok(vec![])
    }

    async fn write(&mut self, batch: Batch) -> Result<Written> {
        let after = self.after(&batch.progress)?;
        let moves = batch.progress != Progress::None;
        let printing = Printing { kept: self.kept.clone(), forms: self.forms.clone(), batch };
        let (output, kept) = (self.output.clone(), after.clone());
        let job = move |printer: &mut Printer| {
            let written = printing.print(printer)?;
            printer.flush()?;
            if output.is_resumable() {
                printer.sync()?;
            }
            if moves {
                output.save(&kept)?;
            }
            Ok(written)
        };
        let written = self.thread().await?.call(job).await?;
        self.kept = after;
        Ok(written)
    }

    fn streams(&self) -> bool {
        true
    }

    async fn leave(&mut self, link: &str) -> Result<Vec<String>> {
        match self.output.load()? {
            Some(kept) if kept.link == link => Ok(self.output.forget()?.into_iter().collect()),
            _ => Ok(vec![]),
        }
    }
}

/// A batch, on its way to the stream.
struct Printing {
    kept: Kept,
    forms: Arc<[Form]>,
    batch: Batch,
}

impl Printing {
    fn print(&self, printer: &mut Printer) -> Result<Written> {
        let position = self.kept.position.clone().unwrap_or_default().0;
        let lines = Lines { epoch: &self.kept.epoch, position: &position };
        let mut written = Written { durability: Durability::Durable, ..Written::default() };
        match (&self.batch.progress, &self.batch.mode) {
            (Progress::Position { after, .. }, _) => self.changes(&lines, after, printer, &mut written)?,
            (_, Mode::Journal { run }) => self.rows(&lines, run, printer, &mut written)?,
            _ => return Err(Error::internal("rows without a run")),
        }
        Ok(written)
    }

    /// Rows that are there.
    fn rows(&self, lines: &Lines<'_>, run: &str, printer: &mut Printer, written: &mut Written) -> Result<()> {
        for change in &self.batch.changes {
            let Some(form) = self.forms.get(change.table) else { continue };
            // Who remembers nothing has no token; the run is one.
            let token = self.kept.tables.get(&form.source).map_or(run, |table| table.token.as_str());
            form.snapshot(lines, token, change, &mut printer.buffer);
            written.upserts += 1;
            printer.line_is_done()?;
        }
        Ok(())
    }

    /// Changes, in the order of their source.
    fn changes(&self, lines: &Lines<'_>, after: &Position, printer: &mut Printer, written: &mut Written) -> Result<()> {
        let Batch { emptied, changes, origins, .. } = &self.batch;
        // A source that tells nothing of where its changes come from has them counted by where they lead.
        let unknown = |at: usize| Origin {
            place: after.0.as_str().into(),
            ordinal: i64::try_from(at).unwrap_or(i64::MAX),
            at_ms: None,
            verb: None,
        };
        let origin = |at: usize| origins.get(at).cloned().unwrap_or_else(|| unknown(at));
        for (nth, table) in emptied.iter().enumerate() {
            let Some(form) = self.forms.get(*table) else { continue };
            form.emptied(lines, &origin(nth), nth, &mut printer.buffer);
            written.deletes += 1;
            printer.line_is_done()?;
        }
        for (nth, change) in changes.iter().enumerate() {
            let Some(form) = self.forms.get(change.table) else { continue };
            let origin = origin(emptied.len() + nth);
            if form.change(lines, change, &origin, &mut printer.buffer) {
                match change.op {
                    Op::Delete => written.deletes += 1,
                    Op::Insert(_) | Op::Update(_) | Op::Upsert(_) => written.upserts += 1,
                }
            }
            printer.line_is_done()?;
        }
        Ok(())
    }
}
