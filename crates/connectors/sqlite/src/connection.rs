//! Opening a database, with everything that can be wrong about it.

use crate::error;
use crate::lease::Lease;
use rusqlite::{Connection, OpenFlags};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidewater_core::env::Env;
use tidewater_core::{Error, Kind, Result, code};

/// Other programs' short transactions are waited for this long.
const BUSY: Duration = Duration::from_secs(5);

/// Of each connection's page cache, in KiB; bounds memory whatever the table's size.
const CACHE_KIB: i64 = 16_384;

/// A batch writes some thousand pages; a checkpoint after each would write the same ones again and again.
const CHECKPOINT_PAGES: i64 = 8_192;

/// Commits survive the crash of the machine. As FULL where there is a write-ahead log; where there is none, also the
/// folder is flushed, from which a commit removes its journal.
const FLUSHED: &str = "EXTRA";

/// Within a first copy, which writes each page once: a checkpoint waits for the disk, and gains nothing there but that
/// the log stays short (128 MiB).
const COPY_CHECKPOINT_PAGES: i64 = 32_768;

/// Of a replica: the log grows to 64 MiB.
const REPLICA_CHECKPOINT_PAGES: i64 = 16_384;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only: `plan`, `status`, `verify`, and a source of `--once`. Falls back to a read-only open.
    Read,
    /// A source, or a target that must exist already.
    Write,
    /// A target: created when missing.
    Create,
}

/// A SQLite endpoint: its file, and how it is named to people.
#[derive(Debug, Clone)]
pub struct Database {
    /// The file.
    pub path: PathBuf,
    /// Its name for people.
    pub shown: String,
    /// The change log keeps about this many entries, read or not, and forgets older ones.
    pub log_rows_max: u64,
}

impl Database {
    /// At about 30 bytes an entry: 30 MB beside the user's tables when an engine never comes back.
    pub const LOG_ROWS_MAX_DEFAULT: u64 = 1_000_000;

    /// The database at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let shown = path.display().to_string();
        Self { path, shown, log_rows_max: Self::LOG_ROWS_MAX_DEFAULT }
    }

    /// The file with its links resolved: two names of one file are one database.
    pub fn canonical(&self) -> PathBuf {
        if let Ok(path) = self.path.canonicalize() {
            return path;
        }
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        match (folder.canonicalize(), self.path.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            _ => self.path.clone(),
        }
    }

    /// Whether both are one file, by whatever names.
    pub fn is_same(&self, other: &Self) -> bool {
        let id = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        let (ours, theirs) = (id(&self.path), id(&other.path));
        self.canonical() == other.canonical() || (ours.is_some() && ours == theirs)
    }

    /// Whether the file is there.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }
}

/// An open database.
pub(crate) struct Open {
    /// First, so that it is closed before the lease is given up.
    pub(crate) connection: Connection,
    pub(crate) database: Database,
    pub(crate) env: Env,
    /// This file's identity: stored with our tables, or made now.
    pub(crate) identity: String,
    file: Option<(u64, u64)>,
    created: bool,
    lease: Option<Arc<Lease>>,
}

impl Open {
    /// Opens it.
    pub(crate) fn new(database: &Database, access: Access, env: &Env) -> Result<Self> {
        let shown = &database.shown;
        let there = database.path.exists();
        if !there && (access == Access::Write || !folder_exists(&database.path)) {
            return Err(match access {
                Access::Create => error::no_folder(shown),
                Access::Read | Access::Write => error::missing(&database.path, shown),
            });
        }
        if database.path.is_dir() {
            return Err(Error::new(Kind::Invalid, code::NOT_A_DATABASE, format!("{shown} is a folder"))
                .meaning("A SQLite database is a file. Nothing was changed.")
                .remedy("Name the database file inside it."));
        }
        let lease = match access {
            Access::Read => None,
            Access::Write | Access::Create => Some(Lease::take(&database.canonical(), shown, env)?),
        };
        let connection = connect(database, access, there).map_err(|e| error::of(&e, shown))?;
        let mut open = Self {
            connection,
            database: database.clone(),
            env: env.clone(),
            identity: String::new(),
            file: None,
            created: !there && access == Access::Create,
            lease,
        };
        open.file = open.file_now();
        open.set_up(access).map_err(|e| error::of(&e, shown))?;
        open.identity = match crate::meta::identity(&open.connection).map_err(|e| error::of(&e, shown))? {
            Some((format, _)) if format > crate::meta::FORMAT => return Err(newer_format(shown, format)),
            Some((_, identity)) => identity,
            None => open.lease.as_ref().map_or_else(|| env.token(), |lease| lease.pending_identity.clone()),
        };
        Ok(open)
    }

    fn set_up(&self, access: Access) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(512);
        // Effects of the user's triggers and foreign-key actions arrive as changes of their own.
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        // A target's position must survive the crash of the machine; a source's marks are checked anyway.
        let synchronous = if access == Access::Create { FLUSHED } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // The first look at the file: says whether it is a database at all.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    }

    /// Whether commits are flushed to disk one by one, as they are from the beginning, or in long runs. For a target.
    pub(crate) fn flush_each(&self, each: bool) -> Result<()> {
        let (synchronous, pages) = if each { (FLUSHED, CHECKPOINT_PAGES) } else { ("NORMAL", COPY_CHECKPOINT_PAGES) };
        let set = |name, value: &dyn rusqlite::ToSql| self.connection.pragma_update(None, name, value);
        set("synchronous", &synchronous).and_then(|()| set("wal_autocheckpoint", &pages)).map_err(|e| self.explain(e))
    }

    /// For a replica: every row that goes over touches a page of the table and one of its versions, on both sides, so
    /// commits are flushed one by one, but brought into the file in longer runs.
    pub(crate) fn for_replica(&self) -> Result<()> {
        self.flush_each(true)?;
        let pages = REPLICA_CHECKPOINT_PAGES;
        self.connection.pragma_update(None, "wal_autocheckpoint", pages).map_err(|e| self.explain(e))
    }

    /// The next commits are flushed by the first one after [`Self::for_replica`], if there is a write-ahead log. Says
    /// whether there is: otherwise each is flushed as before.
    pub(crate) fn flush_later(&self) -> Result<bool> {
        let mode = self.connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        let writes_ahead = mode.map_err(|e| self.explain(e))? == "wal";
        if writes_ahead {
            self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(|e| self.explain(e))?;
        }
        Ok(writes_ahead)
    }

    /// Whether the path still leads to the file that was opened.
    pub(crate) fn is_same_file(&self) -> bool {
        self.file.is_none() || self.file_now() == self.file
    }

    fn file_now(&self) -> Option<(u64, u64)> {
        std::fs::metadata(&self.database.path).ok().map(|m| (m.dev(), m.ino()))
    }

    /// An error of SQLite's in our words.
    pub(crate) fn explain(&self, error: rusqlite::Error) -> Error {
        error::of(&error, &self.database.shown)
    }

    /// So many days ago, in milliseconds since 1970 UTC.
    pub(crate) fn days_ago_ms(&self, days: u64) -> i64 {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let days = i64::try_from(days).unwrap_or(i64::MAX);
        self.env.clock.now_ms().saturating_sub(days.saturating_mul(DAY_MS))
    }

    /// Runs `work` in a read transaction: one snapshot, short.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.transaction("BEGIN", |c| work(c).map(Some))?.ok_or_else(nothing_kept)
    }

    /// Runs `work` in a write transaction that has its lock from the beginning.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.write_or_not(|c| work(c).map(Some))?.ok_or_else(nothing_kept)
    }

    /// The same; where `work` answers `None`, nothing of it is kept.
    pub(crate) fn write_or_not<T>(&self, work: impl FnOnce(&Connection) -> Result<Option<T>>) -> Result<Option<T>> {
        self.transaction("BEGIN IMMEDIATE", work)
    }

    fn transaction<T>(&self, begin: &str, work: impl FnOnce(&Connection) -> Result<Option<T>>) -> Result<Option<T>> {
        self.connection.execute_batch(begin).map_err(|e| self.explain(e))?;
        let result = work(&self.connection).and_then(|done| match done {
            Some(done) => self.connection.execute_batch("COMMIT").map(|()| Some(done)).map_err(|e| self.explain(e)),
            None => Ok(None),
        });
        // A failed COMMIT may leave the transaction open; some errors have already ended it.
        if !matches!(result, Ok(Some(_))) && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        result
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A target that nothing was ever written to leaves no empty file behind.
        let empty = std::fs::metadata(&self.database.path).is_ok_and(|m| m.len() == 0);
        if self.created && empty {
            let _ = std::fs::remove_file(&self.database.path);
        }
    }
}

fn nothing_kept() -> Error {
    Error::internal("a transaction kept nothing without saying why")
}

fn folder_exists(path: &Path) -> bool {
    path.parent().is_none_or(|p| p.as_os_str().is_empty() || p.is_dir())
}

fn connect(database: &Database, access: Access, there: bool) -> rusqlite::Result<Connection> {
    let base = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match access {
        // What is not there yet is empty: plans and comparisons need no file for that.
        Access::Read if !there => Connection::open_in_memory_with_flags(base | OpenFlags::SQLITE_OPEN_READ_WRITE),
        Access::Read => {
            // A database in WAL mode is best read by a connection that may write its -shm file.
            let opened = Connection::open_with_flags(&database.path, base | OpenFlags::SQLITE_OPEN_READ_WRITE);
            match opened {
                Ok(connection) => Ok(connection),
                Err(_) => Connection::open_with_flags(&database.path, base | OpenFlags::SQLITE_OPEN_READ_ONLY),
            }
        }
        Access::Write => Connection::open_with_flags(&database.path, base | OpenFlags::SQLITE_OPEN_READ_WRITE),
        Access::Create => Connection::open_with_flags(
            &database.path,
            base | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        ),
    }
}

fn newer_format(shown: &str, format: i64) -> Error {
    Error::new(
        Kind::Invalid,
        code::FORMAT,
        format!("{shown} was used by a newer Tidewater (format {format}, this one knows {})", crate::meta::FORMAT),
    )
    .meaning("Its _tidewater_ tables may mean something that this version does not know. Nothing was changed.")
    .remedy("Use the newer version, or take its tables out with that version's `teardown`.")
}
