//! A target in memory: the double for tests of the link. It can be away, and can fail after it did the work.

use super::{Durability, Held, Ledger, Phase, Prepared, Quarantined, TableLedger, Target, Which, Writer, Written};
use crate::capture::Survey;
use crate::change::{Deletes, Key, Mapping, Op, Position, RangeHash, Row, RowHash, Table, View};
use crate::error::{Error, Kind, Result, code};
use crate::transport::{Batch, Budget, Mode, Progress};
use crate::verify::{Chunk, MemoryRows, Part, Range, Scan};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What tests see and change, and what survives when a link opens its target again.
#[derive(Debug, Default)]
pub struct MemoryTargetState {
    /// The tables' definitions.
    pub tables: Vec<Table>,
    /// Their rows.
    pub rows: MemoryRows,
    /// What the link stored.
    pub ledger: Ledger,
    /// The next this many calls fail as if the target were away.
    pub away: u32,
    /// The next this many writes are carried out, and then reported as failed.
    pub fail_after_write: u32,
    /// The quarantine. Rows come into it by tests only: everything can be written here.
    pub held: Vec<Held>,
    /// How many rows were written, in all.
    pub written: u64,
}

/// A target in memory. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct MemoryTarget {
    state: Arc<Mutex<MemoryTargetState>>,
    mappings: Arc<[Mapping]>,
}

impl MemoryTarget {
    /// Looks at or changes the state.
    pub fn with<T>(&self, f: impl FnOnce(&mut MemoryTargetState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn call<T>(&self, f: impl FnOnce(&mut MemoryTargetState) -> Result<T>) -> Result<T> {
        self.with(|state| {
            if state.away > 0 {
                state.away -= 1;
                return Err(Error::new(Kind::Unavailable, code::BUSY, "the target is away"));
            }
            f(state)
        })
    }

    fn carry_out(state: &mut MemoryTargetState, mappings: &[Mapping], batch: Batch) -> Result<Written> {
        match &batch.progress {
            Progress::Position { before, after } => {
                if state.ledger.position.as_ref() != Some(before) {
                    return Err(Error::internal("the position does not follow the one stored"));
                }
                state.ledger.position = Some(after.clone());
            }
            Progress::Copied { table, stretch } => {
                if let Some(TableLedger { phase: Phase::Copying(stretches), .. }) =
                    state.ledger.tables.get_mut(&mappings[*table].source.table)
                {
                    stretch.join(stretches);
                }
            }
            Progress::None | Progress::Retried { .. } => {}
        }
        let mut written = Written { durability: Durability::Durable, ..Written::default() };
        for change in batch.changes {
            let mapping = &mappings[change.table];
            state.held.retain(|held| held.table != mapping.source.table || held.key != change.key);
            let rows = state.rows.table(&mapping.target.table);
            match change.op {
                Op::Delete if mapping.deletes == Deletes::Apply => {
                    written.deletes += u64::from(rows.remove(&change.key).is_some());
                }
                Op::Delete => {}
                Op::Insert(row) | Op::Update(row) | Op::Upsert(row) => {
                    if batch.mode == Mode::KeepExisting && rows.contains_key(&change.key) {
                        written.kept += 1;
                    } else {
                        rows.insert(change.key, row);
                        written.upserts += 1;
                    }
                }
            }
        }
        state.written += written.upserts + written.deletes;
        if state.fail_after_write > 0 {
            state.fail_after_write -= 1;
            return Err(Error::new(Kind::Unavailable, code::DISK, "the answer was lost"));
        }
        Ok(written)
    }
}

#[async_trait]
impl Scan for MemoryTarget {
    async fn survey(&mut self) -> Result<Survey> {
        self.call(|state| {
            Ok(Survey { identity: "memory-target".into(), tables: state.tables.clone(), ..Survey::default() })
        })
    }

    async fn count(&mut self, view: &View, rows_max: u64) -> Result<u64> {
        self.call(|state| Ok((state.rows.table(&view.table).len() as u64).min(rows_max)))
    }

    async fn part(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Part> {
        self.call(|state| Ok(state.rows.part(view, range, rows_max)))
    }

    async fn hash(&mut self, view: &View, range: &Range) -> Result<RangeHash> {
        self.call(|state| Ok(state.rows.part(view, range, usize::MAX).hash))
    }

    async fn list(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Vec<(Key, RowHash)>> {
        self.call(|state| Ok(state.rows.list(view, range, rows_max)))
    }

    async fn chunk(&mut self, view: &View, range: &Range, budget: Budget) -> Result<Chunk> {
        self.call(|state| Ok(state.rows.chunk(view, range, budget)))
    }

    async fn fetch(&mut self, view: &View, keys: &[Key], _: usize) -> Result<Vec<Option<Row>>> {
        self.call(|state| Ok(state.rows.fetch(view, keys)))
    }
}

#[async_trait]
impl Target for MemoryTarget {
    async fn ledger(&mut self, writer: &Writer) -> Result<Ledger> {
        self.call(|state| {
            if state.ledger.position.is_none() {
                state.ledger.existing = writer.existing;
            }
            let mut ledger = state.ledger.clone();
            for held in &state.held {
                *ledger.held.entry(held.table.clone()).or_default() += 1;
            }
            Ok(ledger)
        })
    }

    async fn held(&mut self, which: &Which) -> Result<Vec<Quarantined>> {
        self.call(|state| {
            let mut held: Vec<&Held> = state.held.iter().collect();
            held.sort_by(|a, b| (&a.table, a.key.as_bytes()).cmp(&(&b.table, b.key.as_bytes())));
            let after = |held: &Held| which.after.as_ref().is_none_or(|key| held.key.as_bytes() > key.as_bytes());
            let asked = |held: &&Held| which.table.as_ref().is_none_or(|table| *table == held.table) && after(held);
            let entry = |held: &Held| Quarantined {
                link: String::new(),
                held: held.clone(),
                since: String::new(),
                tries: 1,
                discarded_at: None,
            };
            Ok(held.into_iter().filter(asked).take(which.rows_max as usize).map(entry).collect())
        })
    }

    async fn prepare(&mut self, mappings: Arc<[Mapping]>, tables: &[Table], create: bool) -> Result<Prepared> {
        self.mappings = mappings.clone();
        self.call(|state| {
            let mut prepared = Prepared::default();
            for (mapping, table) in mappings.iter().zip(tables) {
                if !state.tables.iter().any(|t| t.name == mapping.target.table) {
                    prepared.created.push(mapping.target.table.clone());
                    if create {
                        state.tables.push(Table { name: mapping.target.table.clone(), ..table.clone() });
                    }
                }
            }
            Ok(prepared)
        })
    }

    async fn record(&mut self, position: Option<&Position>, tables: &BTreeMap<String, TableLedger>) -> Result<()> {
        self.call(|state| {
            if let Some(position) = position {
                state.ledger.position = Some(position.clone());
            }
            state.ledger.tables.extend(tables.clone());
            Ok(())
        })
    }

    async fn write(&mut self, batch: Batch) -> Result<Written> {
        let mappings = self.mappings.clone();
        self.call(|state| Self::carry_out(state, &mappings, batch))
    }

    async fn leave(&mut self, _: &str) -> Result<Vec<String>> {
        self.with(|state| state.ledger = Ledger::default());
        Ok(vec![])
    }
}
