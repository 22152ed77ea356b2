//! Databases that are members of one sync, written to by the `sqlite3` shell, and met in any combination.

use crate::given::{block_on, shell};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tidewater_core::Result;
use tidewater_core::env::{Clock, Env};
use tidewater_core::link::{Exchange, ExchangeReport, ExchangeSettings, Member, Unwatched};
use tidewater_core::replica::{Choice, Entry, Replica, Selection};
use tidewater_sqlite::{Access, Database, SqliteReplica};

/// Members `a.db`, `b.db`, …
pub(crate) struct Group {
    pub(crate) folder: TempDir,
    pub(crate) settings: ExchangeSettings,
    pub(crate) log_rows_max: u64,
    /// The machine's clock is this many days ahead of the real one.
    pub(crate) days: i64,
}

struct File {
    database: Database,
    name: String,
    env: Env,
}

#[async_trait]
impl Member for File {
    async fn open(&self, create: bool) -> Result<Box<dyn Replica>> {
        let access = if create { Access::Create } else { Access::Write };
        Ok(Box::new(SqliteReplica::open(&self.database, access, &self.env)?))
    }
    fn exists(&self) -> bool {
        self.database.exists()
    }
    fn endpoint(&self) -> String {
        self.name.clone()
    }
    fn shown(&self) -> String {
        format!("{}.db", self.name)
    }
}

/// A group whose members all begin with `sql`.
pub(crate) fn group(members: &str, sql: &str) -> Group {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (settings, log_rows_max) = (ExchangeSettings::default(), Database::LOG_ROWS_MAX_DEFAULT);
    let group = Group { folder, settings, log_rows_max, days: 0 };
    for member in members.chars() {
        group.write(member, sql);
    }
    group
}

impl Group {
    pub(crate) fn path(&self, member: char) -> PathBuf {
        self.folder.path().join(format!("{member}.db"))
    }

    /// What another program writes.
    pub(crate) fn write(&self, member: char, sql: &str) -> String {
        shell(&self.path(member), sql)
    }

    /// Members meet: `ab`, `abc`, … The first is the hub.
    pub(crate) fn try_meet(&self, members: &str) -> Result<ExchangeReport> {
        let members: Vec<PathBuf> = members.chars().map(|name| self.path(name)).collect();
        let env = Env { clock: Arc::new(Ahead { real: Env::real(), days: self.days }), ..Env::real() };
        exchange_of(member_in(&env, self.log_rows_max), env.clone(), &members, self.settings.clone())
    }

    pub(crate) fn meet(&self, members: &str) -> ExchangeReport {
        let report = self.try_meet(members).unwrap_or_else(|error| panic!("{members} meet: {error}"));
        assert!(report.in_step, "{report:?}");
        report
    }

    /// All these members hold the same in `table`; what that is.
    pub(crate) fn same(&self, members: &str, table: &str) -> String {
        let dump = |member| self.write(member, &format!("SELECT * FROM {table} ORDER BY 1"));
        let mut dumps = members.chars().map(|member| (member, dump(member)));
        let (first, held) = dumps.next().expect("a member");
        for (member, other) in dumps {
            assert_eq!(held, other, "{first} and {member} hold different {table}");
        }
        held
    }

    pub(crate) fn conflicts(&self, member: char) -> Vec<Entry> {
        let mut replica = open(&self.path(member), Access::Read);
        block_on(replica.conflicts(&Selection::default())).expect("the journal is read")
    }

    pub(crate) fn settle(&self, member: char, entry: &Entry, choice: Choice) -> bool {
        let mut replica = open(&self.path(member), Access::Write);
        block_on(replica.settle(entry.id, choice)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// How many versions with a conflict a member holds, and other questions to its bookkeeping.
    pub(crate) fn count(&self, member: char, of: &str) -> usize {
        self.write(member, &format!("SELECT count(*) FROM {of}")).parse().expect("a number")
    }
}

/// Files meet; each is called as it is called without its extension.
pub(crate) fn exchange(files: &[PathBuf], settings: ExchangeSettings, log_rows_max: u64) -> Result<ExchangeReport> {
    exchange_in(Env::real(), files, settings, log_rows_max)
}

/// The same; the exchange, though not its members, by another clock.
pub(crate) fn exchange_in(
    env: Env,
    files: &[PathBuf],
    settings: ExchangeSettings,
    log_rows_max: u64,
) -> Result<ExchangeReport> {
    exchange_of(member_in(&Env::real(), log_rows_max), env, files, settings)
}

pub(crate) fn exchange_of(
    member: impl Fn(&PathBuf) -> Arc<dyn Member>,
    env: Env,
    files: &[PathBuf],
    settings: ExchangeSettings,
) -> Result<ExchangeReport> {
    let (_tell, stop) = tokio::sync::watch::channel(false);
    block_on(Exchange::new(files.iter().map(member).collect(), settings, env, Arc::new(Unwatched), stop).run())
}

/// Members whose clock is that of `env`.
pub(crate) fn member_in(env: &Env, log_rows_max: u64) -> impl Fn(&PathBuf) -> Arc<dyn Member> {
    let env = env.clone();
    move |path| {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let database = Database { log_rows_max, ..Database::new(path) };
        Arc::new(File { database, name, env: env.clone() })
    }
}

/// The real clock, some days later.
struct Ahead {
    real: Env,
    days: i64,
}

#[async_trait]
impl Clock for Ahead {
    fn now_ms(&self) -> i64 {
        self.real.clock.now_ms() + self.days * 24 * 3600 * 1000
    }
    fn monotonic(&self) -> Duration {
        self.real.clock.monotonic()
    }
    async fn sleep(&self, duration: Duration) {
        self.real.clock.sleep(duration).await;
    }
}

pub(crate) fn open(path: &Path, access: Access) -> SqliteReplica {
    SqliteReplica::open(&Database::new(path), access, &Env::real()).expect("it opens")
}

/// Waits until the clock says another millisecond, and some: what is written next is later.
pub(crate) fn later() {
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_millis();
    let before = now();
    while now() < before + 3 {}
}
