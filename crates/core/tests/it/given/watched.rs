//! Ends that are watched: their calls are counted, each may be interrupted before it is carried out and after, and
//! the target can do what real ones do: refuse every write, or answer before anything is durable.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewater_core::apply::{
    Durability, Ledger, MemoryTarget, Prepared, Quarantined, TableLedger, Target, Which, Writer, Written,
};
use tidewater_core::capture::{Feed, MemorySource, Read, Reader, Source, Start, Survey};
use tidewater_core::change::{Key, Mapping, Position, RangeHash, Row, RowHash, Table, View};
use tidewater_core::env::Env;
use tidewater_core::link::Ends;
use tidewater_core::transport::{Batch, Budget};
use tidewater_core::verify::{Chunk, Part, Range, Scan};
use tidewater_core::{Error, Kind, Result, code};

/// What is noted about both ends, and what is to go wrong at them.
pub(crate) struct Notes {
    env: Env,
    /// Calls of either end.
    pub(crate) calls: AtomicU64,
    /// Every batch that was written: when, and how many changes.
    pub(crate) batches: Mutex<Vec<(Duration, u64)>>,
    /// The links that write to the source.
    pub(crate) fed_by: Mutex<Vec<Feed>>,
    /// Every write fails, and is not carried out.
    pub(crate) disk_full: AtomicBool,
    /// The target says that nothing it wrote is durable yet.
    pub(crate) never_durable: AtomicBool,
    /// Whether what is never durable by itself is with a flush.
    pub(crate) flushes: AtomicBool,
    /// This table does not fit at the target, and cannot be written.
    pub(crate) unfit: Mutex<Option<String>>,
    /// The next this many reads say that the schema changed.
    pub(crate) schema_changes: AtomicU64,
    /// How often a source was begun.
    pub(crate) begun: AtomicU64,
}

impl Notes {
    pub(crate) fn new(env: &Env) -> Self {
        Self {
            env: env.clone(),
            calls: AtomicU64::new(0),
            batches: Mutex::default(),
            fed_by: Mutex::default(),
            disk_full: AtomicBool::new(false),
            never_durable: AtomicBool::new(false),
            flushes: AtomicBool::new(false),
            unfit: Mutex::default(),
            schema_changes: AtomicU64::new(0),
            begun: AtomicU64::new(0),
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// One end, watched.
pub(crate) struct Watched<T> {
    inner: T,
    notes: Arc<Notes>,
    fed_by: Vec<Feed>,
    unfit_at: Option<usize>,
}

impl<T> Watched<T> {
    pub(crate) fn new(inner: T, notes: &Arc<Notes>) -> Self {
        Self { inner, notes: notes.clone(), fed_by: vec![], unfit_at: None }
    }
}

/// A call that may be dropped before it is carried out, and when it is carried out but nobody knows.
async fn call<R>(notes: &Notes, work: impl Future<Output = R>) -> R {
    notes.calls.fetch_add(1, Ordering::Relaxed);
    tokio::task::yield_now().await;
    let answer = work.await;
    tokio::task::yield_now().await;
    answer
}

#[async_trait]
impl<T: Scan> Scan for Watched<T> {
    async fn survey(&mut self) -> Result<Survey> {
        let survey = call(&self.notes, self.inner.survey()).await?;
        Ok(Survey { fed_by: self.fed_by.clone(), ..survey })
    }

    async fn count(&mut self, view: &View, rows_max: u64) -> Result<u64> {
        call(&self.notes, self.inner.count(view, rows_max)).await
    }

    async fn part(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Part> {
        call(&self.notes, self.inner.part(view, range, rows_max)).await
    }

    async fn hash(&mut self, view: &View, range: &Range) -> Result<RangeHash> {
        call(&self.notes, self.inner.hash(view, range)).await
    }

    async fn list(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Vec<(Key, RowHash)>> {
        call(&self.notes, self.inner.list(view, range, rows_max)).await
    }

    async fn chunk(&mut self, view: &View, range: &Range, budget: Budget) -> Result<Chunk> {
        call(&self.notes, self.inner.chunk(view, range, budget)).await
    }

    async fn fetch(&mut self, view: &View, keys: &[Key], bytes_max: usize) -> Result<Vec<Option<Row>>> {
        call(&self.notes, self.inner.fetch(view, keys, bytes_max)).await
    }
}

#[async_trait]
impl Source for Watched<MemorySource> {
    async fn begin(&mut self, reader: &Reader, mappings: Arc<[Mapping]>, resume: Option<&Position>) -> Result<Start> {
        self.notes.begun.fetch_add(1, Ordering::Relaxed);
        call(&self.notes, self.inner.begin(reader, mappings, resume)).await
    }

    async fn read(&mut self, after: &Position, budget: Budget, wait: Duration) -> Result<Read> {
        let left = self.notes.schema_changes.load(Ordering::Relaxed);
        if left > 0 {
            self.notes.schema_changes.store(left - 1, Ordering::Relaxed);
            return call(&self.notes, async { Ok(Read::SchemaChanged) }).await;
        }
        let read = call(&self.notes, self.inner.read(after, budget, wait)).await?;
        if read == Read::Nothing && !wait.is_zero() {
            self.notes.env.clock.sleep(wait).await;
        }
        Ok(read)
    }

    async fn confirm(&mut self, position: &Position, flush: bool) -> Result<()> {
        call(&self.notes, self.inner.confirm(position, flush)).await
    }

    fn grows(&self) -> bool {
        self.inner.grows()
    }

    async fn kept(&mut self, link: &str) -> Result<Option<Position>> {
        call(&self.notes, self.inner.kept(link)).await
    }

    fn order(&self, one: &Position, other: &Position) -> Option<std::cmp::Ordering> {
        self.inner.order(one, other)
    }

    async fn leave(&mut self, link: &str) -> Result<Vec<String>> {
        call(&self.notes, self.inner.leave(link)).await
    }
}

#[async_trait]
impl Target for Watched<MemoryTarget> {
    async fn ledger(&mut self, writer: &Writer) -> Result<Ledger> {
        call(&self.notes, self.inner.ledger(writer)).await
    }

    async fn held(&mut self, which: &Which) -> Result<Vec<Quarantined>> {
        call(&self.notes, self.inner.held(which)).await
    }

    async fn prepare(&mut self, mappings: Arc<[Mapping]>, tables: &[Table], create: bool) -> Result<Prepared> {
        let mut prepared = call(&self.notes, self.inner.prepare(mappings.clone(), tables, create)).await?;
        if let Some(unfit) = &*self.notes.unfit.lock().expect("not poisoned") {
            self.unfit_at = mappings.iter().position(|m| m.target.table == *unfit);
            prepared.unfit.extend(self.unfit_at.map(|at| (at, "a column is missing".to_owned())));
        }
        Ok(prepared)
    }

    async fn record(&mut self, position: Option<&Position>, tables: &BTreeMap<String, TableLedger>) -> Result<()> {
        call(&self.notes, self.inner.record(position, tables)).await
    }

    async fn write(&mut self, batch: Batch) -> Result<Written> {
        if self.notes.disk_full.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Unavailable, code::DISK, "no space left"));
        }
        if batch.changes.iter().any(|change| Some(change.table) == self.unfit_at) {
            return Err(Error::new(Kind::Internal, code::STATEMENT, "the table has no such column"));
        }
        let noted = (self.notes.env.clock.monotonic(), batch.changes.len() as u64);
        self.notes.batches.lock().expect("not poisoned").push(noted);
        let mut written = call(&self.notes, self.inner.write(batch)).await?;
        if self.notes.never_durable.load(Ordering::Relaxed) {
            written.durability = Durability::Accepted;
        }
        Ok(written)
    }

    async fn flush(&mut self) -> Result<Durability> {
        let flushes = self.notes.flushes.load(Ordering::Relaxed);
        Ok(if flushes { Durability::Durable } else { Durability::Accepted })
    }

    async fn leave(&mut self, link: &str) -> Result<Vec<String>> {
        call(&self.notes, self.inner.leave(link)).await
    }
}

/// The two ends of a link, opened anew as often as it likes.
pub(crate) struct WatchedEnds {
    source: MemorySource,
    target: MemoryTarget,
    notes: Arc<Notes>,
}

impl WatchedEnds {
    pub(crate) fn new(source: &MemorySource, target: &MemoryTarget, notes: &Arc<Notes>) -> Self {
        Self { source: source.clone(), target: target.clone(), notes: notes.clone() }
    }
}

#[async_trait]
impl Ends for WatchedEnds {
    async fn source(&self) -> Result<Box<dyn Source>> {
        let fed_by = self.notes.fed_by.lock().expect("not poisoned").clone();
        Ok(Box::new(Watched { fed_by, ..Watched::new(self.source.clone(), &self.notes) }))
    }

    async fn target(&self) -> Result<Box<dyn Target>> {
        Ok(Box::new(Watched::new(self.target.clone(), &self.notes)))
    }

    fn source_name(&self) -> String {
        "shop.db".to_owned()
    }

    fn target_name(&self) -> String {
        "till.db".to_owned()
    }
}
