//! Two private servers, the databases on them, and what is measured of both.
//!
//! Invariants: both are set up alike and as a server of some size would be, but for what would come between at times
//! of its own (autovacuum, checkpoints by the clock); `fsync` is on. Work is measured after a checkpoint on either side.

use super::process::{self, Carried};
use crate::Result;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tidewater_core::env::Env;
use tidewater_postgres::Settings;
use tidewater_postgres::wire::{Connection, Purpose, Rows};
use tidewater_testing::{Postgres, Release, Setup};
use tokio::runtime::Runtime;

/// Beyond what servers of tests have.
const SETTINGS: [(&str, &str); 10] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("autovacuum", "off"),
    ("track_commit_timestamp", "on"),
    ("synchronous_commit", "on"),
    ("max_worker_processes", "20"),
    ("max_connections", "100"),
    ("timezone", "UTC"),
    // A native subscription starts its workers no sooner than so long after the one before; 5 s as it comes.
    ("wal_retrieve_retry_interval", "50ms"),
];
/// By then something is broken.
const WAIT_MAX: Duration = Duration::from_secs(900);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// What a piece of work took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// CPU seconds of the source's server.
    pub(super) source: f64,
    /// CPU seconds of the target's server.
    pub(super) target: f64,
    /// Of the processes between them.
    pub(super) carried: Carried,
}

/// The pair that everything runs on.
pub(super) struct Servers {
    pub(super) source: Server,
    pub(super) target: Server,
}

impl Servers {
    pub(super) fn start() -> Result<Self> {
        Ok(Self { source: Server::start()?, target: Server::start()? })
    }

    /// Does a piece of work, on servers that have nothing left to write.
    pub(super) fn measure(&self, work: impl FnOnce() -> Result<Carried>) -> Result<Cost> {
        for server in [&self.source, &self.target] {
            server.client("postgres")?.query("CHECKPOINT")?;
        }
        Command::new("sync").status()?;
        let (source, target, start) = (self.source.cpu()?, self.target.cpu()?, Instant::now());
        let carried = work()?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Cost { seconds, source: self.source.cpu()? - source, target: self.target.cpu()? - target, carried })
    }

    /// `tidewater`, with the databases of these names as source and target.
    pub(super) fn tidewater(&self, words: &[&str], source: &str, target: &str) -> Result<Command> {
        tidewater(words, &self.source.url(source), &self.target.url(target))
    }
}

/// The command of this build, between two endpoints.
pub(super) fn tidewater(words: &[&str], source: &str, target: &str) -> Result<Command> {
    let built: PathBuf = std::env::current_exe()?.with_file_name("tidewater");
    if !built.exists() {
        return Err("there is no tidewater beside the bench: cargo build --release -p tidewater".into());
    }
    let mut command = Command::new(built);
    command.args(words).args([source, target]);
    Ok(command)
}

/// One server.
pub(super) struct Server(Postgres);

impl Server {
    fn start() -> Result<Self> {
        let setup = SETTINGS.iter().fold(Setup::new(Release::Debian), |setup, (name, value)| setup.set(name, value));
        Ok(Self(Postgres::start_with(&setup)?))
    }

    pub(super) fn url(&self, database: &str) -> String {
        self.0.url(database)
    }

    /// The same for programs of PostgreSQL.
    pub(super) fn conninfo(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.0.port())
    }

    /// `psql` for a database, without what it would read from files.
    pub(super) fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = self.0.program("psql");
        command.args(["-qX", "-v", "ON_ERROR_STOP=1", &self.conninfo(database), "-c", sql]);
        command
    }

    /// `pgbench`; the database comes last of its arguments.
    pub(super) fn pgbench(&self) -> Command {
        let mut command = self.0.program("pgbench");
        command.args(["-n", "-h", "127.0.0.1", "-p", &self.0.port().to_string(), "-U", "postgres"]);
        command
    }

    /// A file that the server can write and read; it goes with the server.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.socket_folder().join(name)
    }

    pub(super) fn client(&self, database: &str) -> Result<Client> {
        Client::open(&self.url(database), Purpose::Sql)
    }

    /// CPU seconds so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        process::family_seconds(self.0.pid().ok_or("the server has ended")?)
    }

    /// Takes databases away, with the slots and subscriptions in them.
    pub(super) fn drop_databases(&self, names: &[&str]) -> Result<()> {
        let mut all = self.client("postgres")?;
        for name in names {
            if all.one(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"))? == "0" {
                continue;
            }
            let subscriptions = format!(
                "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = '{name}'"
            );
            for subscription in all.column(&subscriptions)? {
                self.client(name)?.query(&format!("DROP SUBSCRIPTION {subscription}"))?;
            }
            let slots = format!("FROM pg_replication_slots WHERE database = '{name}'");
            wait_for(|| Ok(all.one(&format!("SELECT count(*) {slots} AND active"))? == "0"))?;
            all.query(&format!("SELECT pg_drop_replication_slot(slot_name) {slots}"))?;
            all.query(&format!("DROP DATABASE {name} WITH (FORCE)"))?;
        }
        Ok(())
    }

    /// An empty database with these tables.
    pub(super) fn create(&self, name: &str, tables: &str) -> Result<()> {
        self.drop_databases(&[name])?;
        self.client("postgres")?.query(&format!("CREATE DATABASE {name}"))?;
        self.client(name)?.query(tables)?;
        Ok(())
    }

    /// A database with everything that is in another one.
    pub(super) fn clone_database(&self, from: &str, to: &str) -> Result<()> {
        self.drop_databases(&[to])?;
        let sql = format!("CREATE DATABASE {to} TEMPLATE {from} STRATEGY file_copy");
        self.client("postgres")?.query(&sql)?;
        Ok(())
    }

    /// How many rows `items` holds, and a sum over what is in them.
    pub(super) fn content(&self, database: &str) -> Result<String> {
        self.client(database)?
            .one("SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM items t")
    }
}

/// Waits until something is so.
pub(super) fn wait_for(mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > WAIT_MAX {
            return Err("what is waited for does not come".into());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// A connection that stays open.
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) runtime: Runtime,
}

impl Client {
    pub(super) fn open(url: &str, purpose: Purpose) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(Connection::open(&Settings::parse(url)?, purpose, &Env::real()))?;
        Ok(Self { connection, runtime })
    }

    pub(super) fn query(&mut self, sql: &str) -> Result<Rows> {
        Ok(self.runtime.block_on(self.connection.query(sql)).map_err(|error| format!("{error}: {sql}"))?)
    }

    /// The first column.
    pub(super) fn column(&mut self, sql: &str) -> Result<Vec<String>> {
        let rows = self.query(sql)?.rows;
        Ok(rows.into_iter().map(|row| row.into_iter().next().flatten().unwrap_or_default()).collect())
    }

    /// The first value.
    pub(super) fn one(&mut self, sql: &str) -> Result<String> {
        self.column(sql)?.into_iter().next().ok_or_else(|| format!("no answer: {sql}").into())
    }
}
