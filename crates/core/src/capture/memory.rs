//! A source in memory, with a queue of keys like the one that triggers write: the double for tests of the link.
//!
//! It can do what real sources do: lose its position, change its schema, be away, and fail after it did the work.

use super::{Read, Reader, Resumed, Source, Start, Survey};
use crate::change::{Change, Key, Mapping, Op, Position, RangeHash, Row, RowHash, Table, Transaction, View};
use crate::error::{Error, Kind, Result, code};
use crate::transport::Budget;
use crate::verify::{Chunk, MemoryRows, Part, Range, Scan};
use async_trait::async_trait;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What tests see and change, and what survives when a link opens its source again.
#[derive(Debug, Default)]
pub struct MemoryState {
    /// The tables' definitions.
    pub tables: Vec<Table>,
    /// Their rows.
    pub rows: MemoryRows,
    /// The queue: table name and key of each write.
    pub log: Vec<(String, Key)>,
    /// Positions are only known under this name; a new one means a restored or replaced source.
    pub generation: u64,
    /// The next this many calls fail as if the source were away.
    pub away: u32,
    /// What was confirmed last; what lies before it is not there any more.
    pub confirmed: Option<Position>,
    /// Whether what it keeps grows without a bound.
    pub grows: bool,
}

/// A source in memory. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    state: Arc<Mutex<MemoryState>>,
    mappings: Arc<[Mapping]>,
}

impl MemorySource {
    /// Looks at or changes the state.
    pub fn with<T>(&self, f: impl FnOnce(&mut MemoryState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes a row (`None` deletes it) as an application would, and queues its key.
    pub fn write(&self, table: &str, key: Key, row: Option<Row>) {
        self.with(|state| {
            match row {
                Some(row) => state.rows.table(table).insert(key.clone(), row),
                None => state.rows.table(table).remove(&key),
            };
            state.log.push((table.to_owned(), key));
        });
    }

    fn call<T>(&self, f: impl FnOnce(&mut MemoryState) -> T) -> Result<T> {
        self.with(|state| {
            if state.away > 0 {
                state.away -= 1;
                return Err(Error::new(Kind::Unavailable, code::BUSY, "the source is away"));
            }
            Ok(f(state))
        })
    }

    fn position(state: &MemoryState, at: usize) -> Position {
        Position(format!("{at}@{}", state.generation))
    }

    fn confirmed(state: &MemoryState) -> Option<usize> {
        Self::at(state, state.confirmed.as_ref()?)
    }

    fn at(state: &MemoryState, position: &Position) -> Option<usize> {
        let (at, generation) = position.0.split_once('@')?;
        let at = at.parse().ok()?;
        (generation == state.generation.to_string() && at <= state.log.len()).then_some(at)
    }
}

#[async_trait]
impl Scan for MemorySource {
    async fn survey(&mut self) -> Result<Survey> {
        self.call(|state| Survey {
            identity: "memory-source".into(),
            tables: state.tables.clone(),
            ..Survey::default()
        })
    }

    async fn count(&mut self, view: &View, rows_max: u64) -> Result<u64> {
        self.call(|state| (state.rows.table(&view.table).len() as u64).min(rows_max))
    }

    async fn part(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Part> {
        self.call(|state| state.rows.part(view, range, rows_max))
    }

    async fn hash(&mut self, view: &View, range: &Range) -> Result<RangeHash> {
        self.call(|state| state.rows.part(view, range, usize::MAX).hash)
    }

    async fn list(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Vec<(Key, RowHash)>> {
        self.call(|state| state.rows.list(view, range, rows_max))
    }

    async fn chunk(&mut self, view: &View, range: &Range, budget: Budget) -> Result<Chunk> {
        self.call(|state| state.rows.chunk(view, range, budget))
    }

    async fn fetch(&mut self, view: &View, keys: &[Key], _: usize) -> Result<Vec<Option<Row>>> {
        self.call(|state| state.rows.fetch(view, keys))
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn begin(&mut self, _: &Reader, mappings: Arc<[Mapping]>, resume: Option<&Position>) -> Result<Start> {
        self.mappings = mappings;
        self.call(|state| {
            let end = Self::position(state, state.log.len());
            let (position, resumed) = match resume {
                None => (end, Resumed::Fresh),
                Some(at) if Self::at(state, at).is_none() => (end, Resumed::Lost("the source was replaced".into())),
                Some(at) if Self::at(state, at) < Self::confirmed(state) => {
                    (end, Resumed::Lost("its log went on without the target".into()))
                }
                Some(at) => (at.clone(), Resumed::At),
            };
            if resumed != Resumed::At {
                state.confirmed = None;
            }
            Start { position, resumed, installed: vec![], void: vec![] }
        })
    }

    async fn read(&mut self, after: &Position, budget: Budget, _: Duration) -> Result<Read> {
        let mappings = self.mappings.clone();
        self.call(|state| {
            let Some(from) = Self::at(state, after) else {
                return Err(Error::new(Kind::Lost, code::POSITION_LOST, "the source was replaced"));
            };
            let through = state.log.len().min(from + budget.rows_max);
            if through == from {
                return Ok(Read::Nothing);
            }
            let mut changes: Vec<Change> = Vec::new();
            let entries: Vec<(String, Key)> = state.log[from..through].to_vec();
            for (name, key) in entries {
                let Some(table) = mappings.iter().position(|m| m.source.table == name) else { continue };
                if changes.iter().any(|c| c.table == table && c.key == key) {
                    continue;
                }
                let row = state.rows.table(&name).get(&key).cloned();
                changes.push(Change { table, key, op: row.map_or(Op::Delete, Op::Upsert) });
            }
            Ok(Read::Changes(Transaction {
                emptied: vec![],
                changes,
                origins: vec![],
                position: Self::position(state, through),
                settled: through == state.log.len(),
                folded: false,
                after_ms: None,
                left_out: 0,
            }))
        })?
    }

    async fn confirm(&mut self, position: &Position, _: bool) -> Result<()> {
        self.call(|state| {
            if Self::at(state, position) >= Self::confirmed(state) {
                state.confirmed = Some(position.clone());
            }
        })
    }

    fn grows(&self) -> bool {
        self.with(|state| state.grows)
    }

    async fn kept(&mut self, _: &str) -> Result<Option<Position>> {
        self.call(|state| state.confirmed.clone())
    }

    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        self.with(|state| Some(Self::at(state, one)?.cmp(&Self::at(state, other)?)))
    }

    async fn leave(&mut self, _: &str) -> Result<Vec<String>> {
        self.with(|state| {
            // What was kept for the link is gone.
            state.confirmed = state.grows.then(|| Self::position(state, state.log.len()));
        });
        Ok(vec![])
    }
}
