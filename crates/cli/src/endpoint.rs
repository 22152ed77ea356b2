//! Endpoints: what a URL names, of whatever kind. `url.rs` reads URLs, `ends.rs` makes two endpoints the ends of a
//! link, `member.rs` makes SQLite databases the members of an exchange.
//!
//! Invariant: a password is in no text that comes from here, neither in names nor in commands nor in errors.
//! Tests: `url.rs`, `member.rs`, and those of the command.

mod ends;
mod member;
mod url;

pub(crate) use ends::Pair;
pub(crate) use member::SqliteMember;

use tidewater_core::apply::{Quarantined, Target, Which};
use tidewater_core::capture::Source;
use tidewater_core::change::Key;
use tidewater_core::env::Env;
use tidewater_core::link::Status;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_lines::{LinesTarget, Output};
use tidewater_postgres::{Host, PostgresSource, PostgresTarget, Settings};
use tidewater_sqlite::{Database, SqliteSource, SqliteTarget};

/// What a URL names.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// A file.
    Sqlite(Database),
    /// A database of a server.
    Postgres(Box<Settings>),
    /// Standard output, as lines of JSON.
    Stdout(Output),
}

/// What an endpoint is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading only; nothing is installed.
    Read,
    /// Writing to what is there.
    Write,
    /// Writing; made where it is missing, if that can be.
    Create,
}

impl From<Access> for tidewater_sqlite::Access {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => Self::Read,
            Access::Write => Self::Write,
            Access::Create => Self::Create,
        }
    }
}

impl From<Access> for tidewater_postgres::Access {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => Self::Read,
            // Databases of a server are made by whoever runs it.
            Access::Write | Access::Create => Self::Write,
        }
    }
}

impl Endpoint {
    /// Its name for people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Endpoint::Sqlite(database) => database.shown.clone(),
            Endpoint::Postgres(settings) => settings.shown(),
            Endpoint::Stdout(output) => output.shown(),
        }
    }

    /// As a shell takes it; a password, where it needs one, comes from the environment or from a password file.
    pub(crate) fn typed(&self) -> String {
        match self {
            Endpoint::Sqlite(database) => typed(database),
            Endpoint::Postgres(settings) => quoted(&settings.typed()),
            Endpoint::Stdout(output) => quoted(&output.shown()),
        }
    }

    /// Whether both are one database, as far as their names tell.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Endpoint::Sqlite(one), Endpoint::Sqlite(other)) => one.is_same(other),
            (Endpoint::Postgres(one), Endpoint::Postgres(other)) => {
                (machine(&one.host), one.port, &one.database) == (machine(&other.host), other.port, &other.database)
            }
            _ => false,
        }
    }

    /// Whether it is a file that is not there. A server is only known to be away when it is asked.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Endpoint::Sqlite(database) => !database.exists(),
            Endpoint::Postgres(_) | Endpoint::Stdout(_) => false,
        }
    }

    /// The error for one that is missing.
    pub(crate) fn missing(&self, meaning: &str) -> Error {
        Error::new(Kind::Unavailable, code::MISSING, format!("{}: there is no such file", self.shown()))
            .meaning(meaning)
            .remedy("Check the path, or make it with `tidewater sync`.")
    }

    /// What it knows about its syncs.
    pub(crate) async fn status(&self, env: &Env) -> Result<Status> {
        match self {
            Endpoint::Sqlite(database) => tidewater_sqlite::status(database, env),
            Endpoint::Postgres(settings) => tidewater_postgres::status(settings, env).await,
            Endpoint::Stdout(output) => output.status(),
        }
    }

    /// Opens it as a source.
    pub(crate) async fn source(&self, access: Access, env: &Env) -> Result<Box<dyn Source>> {
        match self {
            Endpoint::Sqlite(database) => Ok(Box::new(SqliteSource::open(database, access.into(), env)?)),
            Endpoint::Postgres(settings) => Ok(Box::new(PostgresSource::open(settings, access.into(), env).await?)),
            Endpoint::Stdout(output) => {
                Err(no_rows(output, "it cannot be a source", "Name a database first, and stdout: second."))
            }
        }
    }

    /// Opens it as a target.
    pub(crate) async fn target(&self, access: Access, env: &Env) -> Result<Box<dyn Target>> {
        match self {
            Endpoint::Sqlite(database) => Ok(Box::new(SqliteTarget::open(database, access.into(), env)?)),
            Endpoint::Postgres(settings) => Ok(Box::new(PostgresTarget::open(settings, access.into(), env).await?)),
            Endpoint::Stdout(output) => Ok(Box::new(LinesTarget::open(output, env))),
        }
    }

    /// Puts back what a run replaced or deleted; how many rows.
    pub(crate) async fn restore(&self, run: &str, env: &Env) -> Result<u64> {
        match self {
            Endpoint::Sqlite(database) => SqliteTarget::open(database, Access::Write.into(), env)?.restore(run).await,
            Endpoint::Postgres(settings) => {
                PostgresTarget::open(settings, Access::Write.into(), env).await?.restore(run).await
            }
            Endpoint::Stdout(output) => Err(no_journal(output)),
        }
    }

    /// Forgets what runs replaced or deleted more than so many days ago; how many rows.
    pub(crate) async fn forget(&self, days: u64, env: &Env) -> Result<u64> {
        match self {
            Endpoint::Sqlite(database) => SqliteTarget::open(database, Access::Write.into(), env)?.forget(days).await,
            Endpoint::Postgres(settings) => {
                PostgresTarget::open(settings, Access::Write.into(), env).await?.forget(days).await
            }
            Endpoint::Stdout(output) => Err(no_journal(output)),
        }
    }

    /// A page of its quarantine.
    pub(crate) async fn quarantine(&self, which: &Which, env: &Env) -> Result<Vec<Quarantined>> {
        match self {
            Endpoint::Sqlite(database) => tidewater_sqlite::quarantine(database, which, env),
            Endpoint::Postgres(settings) => tidewater_postgres::quarantine(settings, which, env).await,
            Endpoint::Stdout(output) => Err(no_quarantine(output)),
        }
    }

    /// Discards rows in quarantine, these or all; how many.
    pub(crate) async fn discard(&self, which: &Which, keys: &[Key], env: &Env) -> Result<u64> {
        match self {
            Endpoint::Sqlite(database) => tidewater_sqlite::discard(database, which, keys, env),
            Endpoint::Postgres(settings) => tidewater_postgres::discard(settings, which, keys, env).await,
            Endpoint::Stdout(output) => Err(no_quarantine(output)),
        }
    }

    /// What a sync from here puts into it, in words for people.
    pub(crate) fn installs_as_source(&self) -> &'static str {
        match self {
            Endpoint::Sqlite(_) => "a change log (_tidewater_…) and 4 to 6 triggers on each table",
            Endpoint::Postgres(_) => "a publication and a logical replication slot (tidewater_…)",
            Endpoint::Stdout(_) => "nothing",
        }
    }

    /// By what means a trigger that is listed in `run_triggers` runs here, in words for people.
    pub(crate) fn how_it_runs(&self) -> &'static str {
        match self {
            Endpoint::Sqlite(_) | Endpoint::Stdout(_) => "",
            Endpoint::Postgres(_) => " (ENABLE ALWAYS TRIGGER, put back by teardown)",
        }
    }

    /// What a sync to here keeps in it, in words for people.
    pub(crate) fn keeps_as_target(&self) -> &'static str {
        match self {
            Endpoint::Sqlite(_) => "positions and a journal (_tidewater_…)",
            Endpoint::Postgres(_) => "positions and a journal (the schema tidewater)",
            Endpoint::Stdout(output) if output.is_resumable() => "how far it came (the state file)",
            Endpoint::Stdout(_) => "nothing; what is installed at the source is taken out when a run ends",
        }
    }

    /// Whether it is standard output, which then holds nothing but rows.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Endpoint::Stdout(_))
    }

    /// Whether it remembers how far a sync to it came, so that the next run goes on from there.
    pub(crate) fn remembers(&self) -> bool {
        match self {
            Endpoint::Sqlite(_) | Endpoint::Postgres(_) => true,
            Endpoint::Stdout(output) => output.is_resumable(),
        }
    }
}

impl From<Database> for Endpoint {
    fn from(database: Database) -> Self {
        Endpoint::Sqlite(database)
    }
}

/// The refusal of what needs rows that are kept.
pub(crate) fn no_rows(output: &Output, what: &str, remedy: &str) -> Error {
    Error::new(Kind::Invalid, code::KEEPS_NO_ROWS, format!("{}: {what}", output.shown()))
        .meaning("Standard output hands rows on and keeps none of them. Nothing was read or written.")
        .remedy(remedy)
}

/// The refusal of what is about a journal.
pub(crate) fn no_journal(output: &Output) -> Error {
    no_rows(output, "it has no journal", "Nothing is replaced or deleted there. Name a database.")
}

/// The refusal of what is about rows that could not be written.
fn no_quarantine(output: &Output) -> Error {
    no_rows(output, "it has no quarantine", "Whatever comes is printed. Name a database.")
}

/// A SQLite database as a shell takes it.
pub(crate) fn typed(database: &Database) -> String {
    quoted(&format!("sqlite:{}", database.shown))
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+,=".contains(c);
    let is_plain = !word.is_empty() && word.chars().all(plain);
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The machine that a host names, as far as the name tells.
fn machine(host: &Host) -> String {
    match host {
        Host::Name(name) if ["localhost", "127.0.0.1", "::1"].contains(&name.as_str()) => "localhost".to_owned(),
        Host::Name(name) => name.to_lowercase(),
        Host::Socket(folder) => folder.to_string_lossy().into_owned(),
    }
}

fn refuse_same(source: &Endpoint, target: &Endpoint) -> Result<()> {
    if !source.is_same(target) {
        return Ok(());
    }
    let what = format!("{} and {} are the same database", source.shown(), target.shown());
    Err(Error::new(Kind::Invalid, code::SAME, what)
        .meaning("A database cannot be kept in step with itself. Nothing was changed.")
        .remedy("Name two different databases."))
}
