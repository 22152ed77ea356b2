//! A PostgreSQL database as a target.

use crate::scan::{Reader, scan_by_reader};
use crate::schema::{cell, has_table};
use crate::session::Session;
use crate::settings::Settings;
use crate::wire::quoted_text;
use crate::writer::TableWriter;
use crate::{create, held, ledger, sequences, triggers, undo};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewater_core::apply::{
    Durability, Ledger, Prepared, Quarantined, Stretch, TableLedger, Target, Which, Writer, Written,
};
use tidewater_core::capture::Counter;
use tidewater_core::change::{Key, Mapping, Position, RangeHash, Row, RowHash, Table, View};
use tidewater_core::env::Env;
use tidewater_core::transport::{Batch, Budget, RawRows};
use tidewater_core::verify::{Chunk, Part, Range};
use tidewater_core::{Error, Kind, Result, code};

/// A first copy is written over so many connections: as many as there are processors here, which is what there is to go by.
const LANES_MIN: usize = 2;
const LANES_MAX: usize = 4;

/// What an endpoint is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To look.
    Read,
    /// To install capture, and to write.
    Write,
}

/// A PostgreSQL database as a target.
pub struct PostgresTarget {
    pub(crate) reader: Reader,
    pub(crate) writer: Option<Writer>,
    pub(crate) mappings: Arc<[Mapping]>,
    /// By mapping: what writing its table needs to know; `None` where the table does not fit.
    pub(crate) tables: Vec<Option<TableWriter>>,
    /// Whether there may be entries of the link in the quarantine. Only its own batches make any.
    pub(crate) has_held: bool,
    /// Whether the user's triggers and foreign-key actions can be kept from running for our writes.
    pub(crate) without_triggers: bool,
    /// So many batches were written since the last that survives a crash.
    pub(crate) unflushed: u32,
    /// Whether the link is recorded here.
    pub(crate) has_ledger: bool,
    /// The tables that the link carries already, with the columns that it carried the last time.
    followed: BTreeMap<String, Vec<String>>,
}

impl PostgresTarget {
    /// Opens it.
    pub async fn open(settings: &Settings, access: Access, env: &Env) -> Result<Self> {
        let mut session = Session::open(settings, env).await?;
        let without_triggers = may_silence_triggers(&mut session).await?;
        if access == Access::Write {
            refuse_standby(&mut session).await?;
        }
        Ok(Self {
            reader: Reader::new(session),
            writer: None,
            mappings: Arc::new([]),
            tables: vec![],
            has_held: false,
            without_triggers,
            unflushed: 0,
            has_ledger: false,
            followed: BTreeMap::new(),
        })
    }

    /// Puts back what a run replaced or deleted. Says how many rows.
    pub async fn restore(&mut self, run: &str) -> Result<u64> {
        undo::restore(&mut self.reader, run).await
    }

    /// Forgets what runs replaced or deleted that ended more than so many days ago. Says how many rows.
    pub async fn forget(&mut self, older_than_days: u64) -> Result<u64> {
        undo::forget(&mut self.reader.session, older_than_days).await
    }
}

/// Whether the session may be set to run neither triggers nor foreign-key actions.
async fn may_silence_triggers(session: &mut Session) -> Result<bool> {
    let sql = match session.major_version() {
        0..=14 => "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
        _ => "SELECT pg_catalog.has_parameter_privilege('session_replication_role', 'SET')",
    };
    Ok(session.query(sql).await?.rows.first().is_some_and(|row| row[0].as_deref() == Some("t")))
}

async fn refuse_standby(session: &mut Session) -> Result<()> {
    let found = session.query("SELECT pg_catalog.pg_is_in_recovery()").await?;
    if found.rows.first().is_none_or(|row| row[0].as_deref() != Some("t")) {
        return Ok(());
    }
    Err(Error::new(Kind::Denied, code::READ_ONLY, format!("{} is a standby", session.shown))
        .meaning("It takes no writes. Nothing was written.")
        .remedy("Name its primary server."))
}

scan_by_reader!(PostgresTarget);

#[async_trait]
impl Target for PostgresTarget {
    async fn ledger(&mut self, writer: &Writer) -> Result<Ledger> {
        let ledger = ledger::read(&mut self.reader.session, writer).await?;
        self.has_ledger = ledger.position.is_some();
        self.has_held = self.has_ledger && held::has_any(&mut self.reader.session, &writer.link).await?;
        self.followed = ledger::columns(&mut self.reader.session, &writer.link).await?;
        self.writer = Some(writer.clone());
        Ok(ledger)
    }

    async fn prepare(&mut self, mappings: Arc<[Mapping]>, tables: &[Table], create: bool) -> Result<Prepared> {
        self.reader.survey().await?;
        let days = self.writer.as_ref().and_then(|writer| writer.journal_keep_days);
        if let (true, Some(days)) = (create, days) {
            self.forget(days).await?;
        }
        if create {
            crate::meta::make(&mut self.reader.session).await?;
        }
        let (session, there) = (&mut self.reader.session, &self.reader.tables);
        let prepared = create::prepare(session, there, (&mappings, tables), &self.followed, create).await?;
        if create {
            self.reader.survey().await?;
            if let Some(writer) = &self.writer {
                let fits = mappings.iter().enumerate().filter(|(at, _)| !prepared.unfit.contains_key(at));
                let tables: Vec<&str> = fits.map(|(_, mapping)| mapping.target.table.as_str()).collect();
                triggers::prepare(&mut self.reader.session, writer, &tables, self.without_triggers).await?;
            }
        }
        let writer = |(at, mapping): (usize, &Mapping)| {
            let details =
                self.reader.tables.get(&mapping.target.table).filter(|_| !prepared.unfit.contains_key(&at))?;
            Some(TableWriter::new(mapping, details))
        };
        self.tables = mappings.iter().enumerate().map(writer).collect();
        self.mappings = mappings;
        Ok(prepared)
    }

    async fn record(&mut self, position: Option<&Position>, tables: &BTreeMap<String, TableLedger>) -> Result<()> {
        let Some(writer) = &self.writer else { return Err(Error::internal("record before ledger")) };
        ledger::record(&mut self.reader.session, writer, &self.mappings, position, tables).await?;
        self.has_ledger = true;
        Ok(())
    }

    async fn held(&mut self, which: &Which) -> Result<Vec<Quarantined>> {
        held::page(&mut self.reader.session, which).await
    }

    async fn write(&mut self, batch: Batch) -> Result<Written> {
        self.write_batch(&batch).await
    }

    async fn flush(&mut self) -> Result<Durability> {
        // What is flushed, is flushed with everything before it.
        self.unflushed = 0;
        self.reader.session.query("BEGIN; SELECT pg_catalog.txid_current(); COMMIT").await?;
        Ok(Durability::Durable)
    }

    async fn complete(&mut self, table: usize) -> Result<()> {
        create::complete(&mut self.reader.session, &self.mappings[table].target.table).await
    }

    fn lanes(&self) -> usize {
        std::thread::available_parallelism().map_or(LANES_MIN, |cores| cores.get().clamp(LANES_MIN, LANES_MAX))
    }

    async fn load(&mut self, table: usize, rows: &mut dyn RawRows, stretch: Option<&Stretch>) -> Result<Option<u64>> {
        self.load_rows(table, rows, stretch).await
    }

    async fn advance(&mut self, mappings: &[Mapping], counters: &[Counter]) -> Result<Vec<String>> {
        sequences::advance(&mut self.reader.session, mappings, counters).await
    }

    async fn leave(&mut self, link: &str) -> Result<Vec<String>> {
        let session = &mut self.reader.session;
        if !has_table(session, "link").await? {
            return Ok(vec![]);
        }
        create::complete_all(session).await?;
        let mut gone = Vec::new();
        if !triggers::leave(session, link).await?.is_empty() {
            gone.push("the protection against other writers".to_owned());
        }
        let link = quoted_text(link);
        session
            .query(&format!(
                "BEGIN; DELETE FROM tidewater.held WHERE link = {link}; DELETE FROM tidewater.link_table WHERE link = {link}; \
                 DELETE FROM tidewater.stretch WHERE link = {link}; DELETE FROM tidewater.link WHERE link = {link}; COMMIT"
            ))
            .await?;
        let left = "SELECT (SELECT count(*) FROM tidewater.link) + (SELECT count(*) FROM tidewater.journal)";
        let left = session.query(left).await?;
        let row = left.rows.first().ok_or_else(|| Error::internal("count(*) without a row"))?;
        if cell(row, 0)? != "0" {
            gone.push("the link's entries in the schema tidewater".to_owned());
            return Ok(gone);
        }
        session.query("DROP SCHEMA tidewater CASCADE").await?;
        gone.push("the schema tidewater".to_owned());
        Ok(gone)
    }
}
