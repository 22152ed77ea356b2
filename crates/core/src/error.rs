//! The one public error: what happened, what it means, what to do, and a number with a page.
//!
//! Stages have narrow errors of their own where a caller decides by them; whatever reaches a person is this type.
//! A [`Kind`] says what the caller must do, a [`Code`] names the page under `docs/errors/`.
//! Messages carry names, numbers and keys of metadata, never row values.

use std::fmt;

/// What the caller must do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The endpoint cannot be used at the moment: try again later. Set by connectors.
    Unavailable,
    /// Two sides disagree and a person decides how. Set by first contact, `verify` and the direction check.
    Conflict,
    /// The command, the configuration or the file named is wrong: mend the input.
    Invalid,
    /// A right is missing: file permissions, credentials.
    Denied,
    /// The source no longer has our position: recover by comparison. Set by captures.
    Lost,
    /// One table or row cannot be carried: it is set aside, everything else goes on.
    Data,
    /// A bug in Tidewater: report it.
    Internal,
}

/// The number of an error; `Code(21)` is `E0021` and `docs/errors/E0021.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:04}", self.0)
    }
}

/// Every number in use. A number is never given a second meaning.
pub mod code {
    use super::Code;

    /// Wrong use of the command.
    pub const USAGE: Code = Code(1);
    /// The configuration file has an error.
    pub const CONFIGURATION: Code = Code(2);
    /// The feature belongs to a later version.
    pub const NOT_BUILT: Code = Code(3);
    /// The URL of an endpoint is not understood.
    pub const URL: Code = Code(4);
    /// Stopped before it was done.
    pub const INTERRUPTED: Code = Code(5);
    /// The database file does not exist.
    pub const MISSING: Code = Code(10);
    /// The file is not a database.
    pub const NOT_A_DATABASE: Code = Code(11);
    /// The file or its folder cannot be written or opened.
    pub const READ_ONLY: Code = Code(12);
    /// No space left, or an input/output error.
    pub const DISK: Code = Code(13);
    /// The database is damaged.
    pub const CORRUPT: Code = Code(14);
    /// Another program holds the database.
    pub const BUSY: Code = Code(15);
    /// Source and target are the same database.
    pub const SAME: Code = Code(16);
    /// Our own tables were written by a newer version.
    pub const FORMAT: Code = Code(17);
    /// A statement failed in a way that has no number of its own.
    pub const STATEMENT: Code = Code(18);
    /// The state file is none, or another sync's.
    pub const STATE: Code = Code(19);
    /// Nothing to sync: no such table, or none left.
    pub const NO_TABLES: Code = Code(20);
    /// First contact: the target holds rows that this sync would change.
    pub const FIRST_CONTACT_DIFFERS: Code = Code(21);
    /// The sync is established in the other direction.
    pub const DIRECTION: Code = Code(22);
    /// The target's table has other columns than the source's.
    pub const COLUMNS_DIFFER: Code = Code(23);
    /// An empty source would empty the target.
    pub const SOURCE_EMPTY: Code = Code(24);
    /// A foreign key leads to a table that is not selected.
    pub const FOREIGN_KEY_OUTSIDE: Code = Code(25);
    /// A table, column or expression of the scope does not exist or cannot be used.
    pub const SCOPE: Code = Code(26);
    /// Replicas settle conflicts by different rules.
    pub const RULES_DIFFER: Code = Code(27);
    /// Rows refer to rows that are not there, before a table is first shared.
    pub const ORPHANS: Code = Code(28);
    /// A replica holds another part of a table than it was filled with.
    pub const PART_CHANGED: Code = Code(29);
    /// Another Tidewater works on this file.
    pub const LEASE: Code = Code(30);
    /// A table's schema drifted: the table is halted.
    pub const HALTED: Code = Code(40);
    /// A key holds NULL.
    pub const NULL_KEY: Code = Code(41);
    /// A table cannot be carried at all.
    pub const UNSUPPORTED_TABLE: Code = Code(42);
    /// The endpoint keeps no rows, so this cannot be done with it.
    pub const KEEPS_NO_ROWS: Code = Code(43);
    /// A row could not be written at the target and is held.
    pub const ROW_HELD: Code = Code(50);
    /// The source no longer has our position.
    pub const POSITION_LOST: Code = Code(60);
    /// Stored bytes are not what we wrote.
    pub const DECODE: Code = Code(70);
    /// The server cannot be reached, or the connection broke.
    pub const UNREACHABLE: Code = Code(80);
    /// The server lets nobody in with these credentials.
    pub const SIGN_IN: Code = Code(81);
    /// The connection cannot be protected as asked.
    pub const TLS: Code = Code(82);
    /// The user lacks a right at the server.
    pub const PRIVILEGE: Code = Code(83);
    /// The server has reached a limit of its own.
    pub const LIMIT: Code = Code(84);
    /// The server is not set up for what is asked, or too old.
    pub const SERVER_SETTING: Code = Code(85);
    /// The log does not say which row was changed.
    pub const REPLICA_IDENTITY: Code = Code(86);
    /// Whoever read the output closed it.
    pub const OUTPUT_CLOSED: Code = Code(90);
    /// The spool is not what was written.
    pub const SPOOL_DAMAGED: Code = Code(95);
    /// The spool is full.
    pub const SPOOL_FULL: Code = Code(96);
    /// The spool's folder cannot be written or read.
    pub const SPOOL_UNUSABLE: Code = Code(97);
    /// A bug in Tidewater.
    pub const INTERNAL: Code = Code(99);
}

/// The public error. `Display` prints all of it, one thought a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What the caller must do.
    pub kind: Kind,
    /// Its number.
    pub code: Code,
    /// What happened, with the names involved.
    pub what: String,
    /// What it means for the user's data.
    pub meaning: String,
    /// What to do now.
    pub remedy: String,
}

impl Error {
    /// A new error; add [`Error::meaning`] and [`Error::remedy`] where `what` does not say it all.
    pub fn new(kind: Kind, code: Code, what: impl Into<String>) -> Self {
        Self { kind, code, what: what.into(), meaning: String::new(), remedy: String::new() }
    }

    /// Adds what it means.
    #[must_use]
    pub fn meaning(mut self, text: impl Into<String>) -> Self {
        self.meaning = text.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy = text.into();
        self
    }

    /// A bug: an invariant of ours does not hold.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Kind::Internal, code::INTERNAL, what)
            .meaning("This is a bug in Tidewater; nothing half-done was left behind.")
            .remedy("Please report it with the command you ran.")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.what)?;
        for line in [&self.meaning, &self.remedy] {
            if !line.is_empty() {
                write!(f, "\n{line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The result of everything that a person may see fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
