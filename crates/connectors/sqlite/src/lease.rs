//! Two engines on one file exclude each other, by a lock that dies with its process.
//!
//! The lock is on a file of its own beside the database, never on the database: closing any descriptor of a
//! database file would drop SQLite's own locks. Within one process links share the lease.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use tidewater_core::env::Env;
use tidewater_core::{Error, Kind, Result, code};

static HELD: LazyLock<Mutex<HashMap<PathBuf, Weak<Lease>>>> = LazyLock::new(Mutex::default);

/// The right to work on a database file, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lease {
    file: File,
    path: PathBuf,
    /// The identity that the database gets when our tables are made in it. Several links may open a new database
    /// at once, and all must know it by the same name.
    pub(crate) pending_identity: String,
}

/// Where the lock of a database lies.
pub(crate) fn path_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-tidewater");
    path.into()
}

impl Lease {
    /// Takes the lease of a database, or joins the one that this process holds.
    pub(crate) fn take(database: &Path, shown: &str, env: &Env) -> Result<Arc<Lease>> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = held.get(database).and_then(Weak::upgrade) {
            return Ok(lease);
        }
        let path = path_of(database);
        loop {
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = open.map_err(|error| crate::error::read_only(shown, &error.to_string()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held_elsewhere(&path, shown)),
                Err(TryLockError::Error(error)) => return Err(crate::error::read_only(shown, &error.to_string())),
            }
            // The holder before us may have removed the file between our open and our lock: then we hold nothing.
            let ours = file.metadata().map(|m| (m.dev(), m.ino())).ok();
            let there = std::fs::metadata(&path).map(|m| (m.dev(), m.ino())).ok();
            if ours.is_none() || ours != there {
                continue;
            }
            let _ = file.set_len(0);
            let _ = file.rewind();
            let _ = write!(file, "{}", std::process::id());
            let lease = Arc::new(Lease { file, path, pending_identity: env.token() });
            held.insert(database.to_owned(), Arc::downgrade(&lease));
            return Ok(lease);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Removed while still locked: nobody can hold a lock on a file that is about to go.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

fn held_elsewhere(path: &Path, shown: &str) -> Error {
    let pid = tidewater_core::env::read_text_max(path, 16).unwrap_or_default();
    let who = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
    Error::new(Kind::Unavailable, code::LEASE, format!("another Tidewater{who} works on {shown}"))
        .meaning("Two engines on one file could overtake each other. Nothing was changed.")
        .remedy("Wait for it or stop it. To run several syncs on one file, put them in one tidewater.toml and use `tidewater run`.")
}
