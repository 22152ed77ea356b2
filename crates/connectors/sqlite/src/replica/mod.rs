//! A SQLite database as a replica.

use crate::connection::{Access, Database, Open};
use crate::schema;
use crate::worker::Worker;
use async_trait::async_trait;
use std::sync::Arc;
use tidewater_core::apply::Prepared;
use tidewater_core::capture::Survey;
use tidewater_core::change::{Key, RangeHash, Row, RowHash, Table, View};
use tidewater_core::env::Env;
use tidewater_core::merge::Node;
use tidewater_core::replica::{
    Adopted, Choice, Entry, Introduction, Joined, Membership, Merged, Preference, Replica, Selection, Shared, Versions,
};
use tidewater_core::transport::Budget;
use tidewater_core::verify::{Chunk, Part, Range, Scan};
use tidewater_core::{Error, Result};

struct State {
    open: Open,
}

/// A SQLite database as a replica.
pub struct SqliteReplica {
    worker: Worker<State>,
}

impl SqliteReplica {
    /// Opens it.
    pub fn open(database: &Database, access: Access, env: &Env) -> Result<Self> {
        let open = Open::new(database, access, env)?;
        Ok(Self { worker: Worker::start("replica", State { open })? })
    }

    /// The conflicts in its journal, the latest first.
    pub async fn conflicts(&mut self, _selection: &Selection) -> Result<Vec<Entry>> {
        Err(Error::internal("not yet"))
    }

    /// Settles a conflict as a person chose. A new write, which goes to the other replicas like any other.
    /// Says whether the row changed here.
    pub async fn settle(&mut self, _id: [u8; 16], _choice: Choice) -> Result<bool> {
        Err(Error::internal("not yet"))
    }
}

#[async_trait]
impl Scan for SqliteReplica {
    async fn survey(&mut self) -> Result<Survey> {
        self.worker.call(|s| s.open.read(|c| schema::survey(c, &s.open.identity).map_err(|e| s.open.explain(e)))).await
    }

    async fn count(&mut self, view: &View, rows_max: u64) -> Result<u64> {
        let view = view.clone();
        self.worker.call(move |s| s.open.count(&view, rows_max)).await
    }

    async fn estimate(&mut self, view: &View) -> Result<Option<u64>> {
        let view = view.clone();
        self.worker.call(move |s| s.open.estimate(&view)).await
    }

    async fn part(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Part> {
        let (view, range) = (view.clone(), range.clone());
        self.worker.call(move |s| s.open.part(&view, &range, rows_max)).await
    }

    async fn hash(&mut self, view: &View, range: &Range) -> Result<RangeHash> {
        let (view, range) = (view.clone(), range.clone());
        self.worker.call(move |s| s.open.hash(&view, &range)).await
    }

    async fn list(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Vec<(Key, RowHash)>> {
        let (view, range) = (view.clone(), range.clone());
        self.worker.call(move |s| s.open.list(&view, &range, rows_max)).await
    }

    async fn chunk(&mut self, view: &View, after: Option<&Key>, budget: Budget) -> Result<Chunk> {
        let (view, after) = (view.clone(), after.cloned());
        self.worker.call(move |s| s.open.chunk(&view, after.as_ref(), budget)).await
    }

    async fn fetch(&mut self, view: &View, keys: &[Key], bytes_max: usize) -> Result<Vec<Option<Row>>> {
        let (view, keys) = (view.clone(), keys.to_vec());
        self.worker.call(move |s| s.open.fetch(&view, &keys, bytes_max)).await
    }
}

#[async_trait]
impl Replica for SqliteReplica {
    async fn prepare(&mut self, _: Arc<[Shared]>, _: &[Table], _: bool) -> Result<Prepared> {
        Err(Error::internal("not yet"))
    }

    async fn join(&mut self, _: Membership) -> Result<Joined> {
        Err(Error::internal("not yet"))
    }

    async fn adopt(&mut self, _: usize, _: usize) -> Result<Adopted> {
        Err(Error::internal("not yet"))
    }

    async fn introduce(&mut self) -> Result<Introduction> {
        Err(Error::internal("not yet"))
    }

    async fn hear(&mut self, _: &Introduction) -> Result<u64> {
        Err(Error::internal("not yet"))
    }

    async fn versions(&mut self, _: Node, _: u64, _: Budget) -> Result<Option<Versions>> {
        Err(Error::internal("not yet"))
    }

    async fn merge(&mut self, _: Versions, _: Option<Preference>, _: &str) -> Result<Option<Merged>> {
        Err(Error::internal("not yet"))
    }

    async fn leave(&mut self) -> Result<Vec<String>> {
        Err(Error::internal("not yet"))
    }
}
