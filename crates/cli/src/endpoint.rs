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

use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::env::Env;
use tidewater_core::link::Status;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Database, SqliteSource, SqliteTarget};

/// What a URL names.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// A file.
    Sqlite(Database),
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

impl Endpoint {
    /// Its name for people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Endpoint::Sqlite(database) => database.shown.clone(),
        }
    }

    /// As a shell takes it.
    pub(crate) fn typed(&self) -> String {
        match self {
            Endpoint::Sqlite(database) => typed(database),
        }
    }

    /// Whether both are one database, as far as their names tell.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Endpoint::Sqlite(one), Endpoint::Sqlite(other)) => one.is_same(other),
        }
    }

    /// Whether it is a file that is not there. A server is only known to be away when it is asked.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Endpoint::Sqlite(database) => !database.exists(),
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
        }
    }

    /// Opens it as a source.
    pub(crate) async fn source(&self, access: Access, env: &Env) -> Result<Box<dyn Source>> {
        match self {
            Endpoint::Sqlite(database) => Ok(Box::new(SqliteSource::open(database, access.into(), env)?)),
        }
    }

    /// Opens it as a target.
    pub(crate) async fn target(&self, access: Access, env: &Env) -> Result<Box<dyn Target>> {
        match self {
            Endpoint::Sqlite(database) => Ok(Box::new(SqliteTarget::open(database, access.into(), env)?)),
        }
    }

    /// Puts back what a run replaced or deleted; how many rows.
    pub(crate) async fn restore(&self, run: &str, env: &Env) -> Result<u64> {
        match self {
            Endpoint::Sqlite(database) => SqliteTarget::open(database, Access::Write.into(), env)?.restore(run).await,
        }
    }

    /// Forgets what runs replaced or deleted more than so many days ago; how many rows.
    pub(crate) async fn forget(&self, days: u64, env: &Env) -> Result<u64> {
        match self {
            Endpoint::Sqlite(database) => SqliteTarget::open(database, Access::Write.into(), env)?.forget(days).await,
        }
    }

    /// What a sync from here puts into it, in words for people.
    pub(crate) fn installs_as_source(&self) -> &'static str {
        match self {
            Endpoint::Sqlite(_) => "a change log (_tidewater_…) and 4 to 6 triggers on each table",
        }
    }

    /// What a sync to here keeps in it, in words for people.
    pub(crate) fn keeps_as_target(&self) -> &'static str {
        match self {
            Endpoint::Sqlite(_) => "positions and a journal (_tidewater_…)",
        }
    }
}

impl From<Database> for Endpoint {
    fn from(database: Database) -> Self {
        Endpoint::Sqlite(database)
    }
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

fn refuse_same(source: &Endpoint, target: &Endpoint) -> Result<()> {
    if !source.is_same(target) {
        return Ok(());
    }
    let what = format!("{} and {} are the same database", source.shown(), target.shown());
    Err(Error::new(Kind::Invalid, code::SAME, what)
        .meaning("A database cannot be kept in step with itself. Nothing was changed.")
        .remedy("Name two different databases."))
}
