//! SQLite's errors in our words.

use rusqlite::ErrorCode;
use std::path::Path;
use tidewater_core::{Error, Kind, code};

/// Whether a statement failed because of the row it wrote, and not because of the database.
pub(crate) fn is_rows_fault(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

/// What SQLite said, without what could hold row values.
pub(crate) fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// Turns an error over, naming the database.
pub(crate) fn of(error: &rusqlite::Error, shown: &str) -> Error {
    let said = said(error);
    let unchanged = "The transaction was rolled back: nothing is half-done.";
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => not_a_database(shown),
        Some(ErrorCode::DatabaseCorrupt) => {
            Error::new(Kind::Data, code::CORRUPT, format!("{shown} is damaged: {said}"))
                .meaning("SQLite found pages that cannot be right. Nothing was written from what was read.")
                .remedy(format!("Look at it with: sqlite3 {shown} 'PRAGMA integrity_check', and restore a backup."))
        }
        Some(ErrorCode::DiskFull) => {
            Error::new(Kind::Unavailable, code::DISK, format!("no space left for {shown}: {said}"))
                .meaning(unchanged)
                .remedy("Make room on that disk; the same command goes on where it stopped.")
        }
        Some(ErrorCode::SystemIoFailure) => {
            Error::new(Kind::Unavailable, code::DISK, format!("reading or writing {shown} failed: {said}"))
                .meaning(unchanged)
                .remedy("Look at the disk and its mount; the same command goes on where it stopped.")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            read_only(shown, &said)
        }
        Some(ErrorCode::CannotOpen) => {
            Error::new(Kind::Denied, code::READ_ONLY, format!("{shown} cannot be opened: {said}"))
                .meaning("SQLite needs the file and, beside it, room for its -wal or -journal file.")
                .remedy("Give this user the right to read and write the file and its folder.")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(Kind::Unavailable, code::BUSY, format!("{shown} is locked by another program"))
                .meaning("It held its lock for longer than 5 seconds. Nothing was changed.")
                .remedy("Let that program finish its transaction; the same command goes on where it stopped.")
        }
        _ => Error::new(Kind::Internal, code::STATEMENT, format!("{shown}: {said}"))
            .meaning(unchanged)
            .remedy("If this comes again, report it with the statement that creates the table."),
    }
}

/// Not a database.
pub(crate) fn not_a_database(shown: &str) -> Error {
    Error::new(Kind::Invalid, code::NOT_A_DATABASE, format!("{shown} is not a SQLite database"))
        .meaning("The file begins with something else, or is encrypted. It was not changed.")
        .remedy("Check the path; a SQLite file begins with the words “SQLite format 3”.")
}

/// A file that cannot be written.
pub(crate) fn read_only(shown: &str, said: &str) -> Error {
    Error::new(Kind::Denied, code::READ_ONLY, format!("{shown} cannot be written: {said}"))
        .meaning("A target is written to, and a source holds the triggers that log its changes. Nothing was changed.")
        .remedy(
            "Give this user the right to write the file and its folder. \
             A source that must stay untouched can be copied with --once.",
        )
}

/// A target whose folder is not there.
pub(crate) fn no_folder(shown: &str) -> Error {
    Error::new(Kind::Unavailable, code::MISSING, format!("{shown}: its folder does not exist"))
        .meaning("A target is created, but not its folder: it may be a disk that is not mounted. Nothing was changed.")
        .remedy("Mount the disk or make the folder, or check the path.")
}

/// A file that is not there.
pub(crate) fn missing(path: &Path, shown: &str) -> Error {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let no_folder = folder.is_some_and(|p| !p.exists());
    let what = if no_folder { "its folder does not exist" } else { "there is no such file" };
    Error::new(Kind::Unavailable, code::MISSING, format!("{shown}: {what}"))
        .meaning("A source is never created. Nothing was changed on either side.")
        .remedy("Check the path. Wrong direction? Swap the arguments.")
}
