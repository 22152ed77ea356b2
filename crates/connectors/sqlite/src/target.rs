//! A SQLite database as a target.

use crate::appended::Appended;
use crate::connection::{Access, Database, Open};
use crate::worker::Worker;
use crate::{create, ledger, teardown};
use async_trait::async_trait;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::apply::{Ledger, Prepared, Quarantined, TableLedger, Target, Which, Writer, Written};
use tidewater_core::change::{Key, Mapping, Position, Table};
use tidewater_core::env::Env;
use tidewater_core::transport::Batch;

/// What lives on the connection's thread.
pub(crate) struct State {
    pub(crate) open: Open,
    pub(crate) writer: Option<Writer>,
    pub(crate) mappings: Arc<[Mapping]>,
    /// By mapping: what writing its table needs to know. Made by `prepare`.
    pub(crate) tables: Vec<crate::apply::TableWriter>,
    /// Rows of unsettled batches whose parents were not there yet.
    pub(crate) dangling: HashSet<(usize, Key)>,
    /// The schema version when the ledger was read, and as we changed it since.
    pub(crate) seen: Option<i64>,
    /// The schema for which the engine's own triggers were made.
    pub(crate) chained_at: Option<i64>,
    /// Made with them: the tables whose appended rows are logged by range.
    pub(crate) appended: Arc<[Appended]>,
    /// Whether the file has a write-ahead log. Made by `prepare`.
    pub(crate) write_ahead: bool,
    /// Whether commits are flushed to disk now.
    pub(crate) flushed: bool,
}

/// A SQLite database as a target.
pub struct SqliteTarget {
    worker: Worker<State>,
}

impl SqliteTarget {
    /// Opens it. With [`Access::Read`] it can be scanned and planned for, but not written to.
    pub fn open(database: &Database, access: Access, env: &Env) -> Result<Self> {
        let state = State {
            open: Open::new(database, access, env)?,
            writer: None,
            mappings: Arc::new([]),
            tables: vec![],
            dangling: HashSet::new(),
            seen: None,
            chained_at: None,
            appended: Arc::new([]),
            write_ahead: false,
            flushed: true,
        };
        if access != Access::Read {
            state.open.flush_each(true)?;
        }
        Ok(Self { worker: Worker::start("target", state)? })
    }

    /// Puts back what a run replaced or deleted. Says how many rows.
    pub async fn restore(&mut self, run: &str) -> Result<u64> {
        let run = run.to_owned();
        self.worker.call(move |s| crate::undo::restore(&s.open, &run)).await
    }

    /// Forgets what runs replaced or deleted that ended more than so many days ago. Says how many rows.
    pub async fn forget(&mut self, older_than_days: u64) -> Result<u64> {
        self.worker.call(move |s| crate::undo::forget(&s.open, older_than_days)).await
    }
}

crate::scan::scan_on_its_thread!(SqliteTarget);

#[async_trait]
impl Target for SqliteTarget {
    async fn ledger(&mut self, writer: &Writer) -> Result<Ledger> {
        let writer = writer.clone();
        self.worker.call(move |s| ledger::read(s, writer)).await
    }

    async fn prepare(&mut self, mappings: Arc<[Mapping]>, tables: &[Table], create: bool) -> Result<Prepared> {
        let tables = tables.to_vec();
        self.worker.call(move |s| create::prepare(s, mappings, &tables, create)).await
    }

    async fn record(&mut self, position: Option<&Position>, tables: &BTreeMap<String, TableLedger>) -> Result<()> {
        let (position, tables) = (position.cloned(), tables.clone());
        self.worker.call(move |s| ledger::record(s, position.as_ref(), &tables)).await
    }

    async fn held(&mut self, which: &Which) -> Result<Vec<Quarantined>> {
        let which = which.clone();
        self.worker.call(move |s| s.open.read(|c| crate::held::page(c, &which).map_err(|e| s.open.explain(e))?)).await
    }

    async fn write(&mut self, batch: Batch) -> Result<Written> {
        self.worker.call(move |s| s.write(&batch)).await
    }

    async fn leave(&mut self, link: &str) -> Result<Vec<String>> {
        let link = link.to_owned();
        self.worker.call(move |s| s.open.write(|c| teardown::target(c, &link).map_err(|e| s.open.explain(e)))).await
    }
}
