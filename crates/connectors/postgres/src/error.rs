//! What servers and connections say, in words for people: what it means and what to do.

use crate::wire::{ServerError, WireError};
use tidewater_core::{Error, Kind, code};

/// Turns an error of a connection into the public one. `shown` is the server, without secrets.
pub(crate) fn explain(error: WireError, shown: &str) -> Error {
    match error {
        WireError::Settings(error) => Error::new(Kind::Invalid, code::URL, format!("{shown}: {error}"))
            .meaning("Nothing was read or written.")
            .remedy("Mend the URL, the environment or the password file."),
        WireError::Tls(why) => Error::new(Kind::Denied, code::TLS, format!("{shown}: TLS: {why}"))
            .meaning("The connection cannot be protected as asked. Nothing was read or written.")
            .remedy(
                "Name the authority that signed the server's certificate with ?sslrootcert=FILE. To go without \
                     verification, which lets anybody in between read along, say ?sslmode=no-verify.",
            ),
        WireError::SignIn(why) => signing_in(shown, &why),
        WireError::Server(error) => of_server(&error, shown),
        error if error.is_retryable() => {
            Error::new(Kind::Unavailable, code::UNREACHABLE, format!("{shown} cannot be reached: {error}"))
                .meaning("Nothing is half-done; whatever was confirmed is there.")
                .remedy("Check that the server runs and the address is right. A running sync tries again by itself.")
        }
        error => Error::new(Kind::Internal, code::STATEMENT, format!("{shown}: {error}"))
            .meaning("The server answered something that is not understood.")
            .remedy("Please report it with the server's version."),
    }
}

fn signing_in(shown: &str, why: &str) -> Error {
    Error::new(Kind::Denied, code::SIGN_IN, format!("{shown} lets nobody in: {why}"))
        .meaning("Nothing was read or written.")
        .remedy("Check the user, the database and the password (PGPASSWORD, ~/.pgpass), and pg_hba.conf of the server.")
}

fn of_server(error: &ServerError, shown: &str) -> Error {
    let said = error.to_string();
    let what = format!("{shown}: {said}");
    match error.sqlstate.as_str() {
        "28P01" | "28000" | "3D000" => signing_in(shown, &said),
        "42501" => Error::new(Kind::Denied, code::PRIVILEGE, what)
            .meaning("The user lacks a right. Nothing was changed.")
            .remedy(privilege_remedy(error)),
        "53400" | "53300" => Error::new(Kind::Unavailable, code::LIMIT, what)
            .meaning("The server has reached a limit of its own. Nothing was changed.")
            .remedy(
                "Raise the setting that the message names (max_replication_slots, max_wal_senders, \
                     max_connections) and restart the server, or take out slots that nobody uses.",
            ),
        "25006" => Error::new(Kind::Denied, code::READ_ONLY, what)
            .meaning("The server takes no writes: a standby, or default_transaction_read_only. Nothing was changed.")
            .remedy("Name the primary server, or sync from this one only with --once."),
        "53100" | "53200" => Error::new(Kind::Unavailable, code::DISK, what)
            .meaning("The server has no room. Nothing is half-done.")
            .remedy("Free disk space at the server. A running sync tries again by itself."),
        "55P03" | "40001" | "40P01" | "57014" | "55006" => Error::new(Kind::Unavailable, code::BUSY, what)
            .meaning("Others hold what this needs. Nothing is half-done.")
            .remedy("It is tried again. If it does not pass, look at pg_stat_activity for who holds the lock."),
        _ if error.is_retryable() => Error::new(Kind::Unavailable, code::UNREACHABLE, what)
            .meaning("Nothing is half-done; whatever was confirmed is there.")
            .remedy("Nothing to do: it is tried again."),
        _ => Error::new(Kind::Invalid, code::STATEMENT, what)
            .meaning("The server refused a statement. Nothing is half-done.")
            .remedy("The message is the server's own; its log has the statement."),
    }
}

fn privilege_remedy(error: &ServerError) -> String {
    match error.message.contains("replication") {
        true => "Give it: ALTER ROLE … REPLICATION; (or rds_replication and the like at hosting providers).".to_owned(),
        false => "Grant it to the user that the URL names, or name the owner of the tables. Capture needs \
                  REPLICATION and the ownership of the tables; a target needs CREATE on the database."
            .to_owned(),
    }
}

/// Whether the fault is in a row, and not in the database: such a row is set aside, and the others go on.
pub(crate) fn is_rows_fault(error: &ServerError) -> bool {
    let class = error.sqlstate.get(..2).unwrap_or("");
    matches!(class, "22" | "23" | "44")
        || matches!(error.sqlstate.as_str(), "P0001" | "54000" | "42804" | "42846" | "428C9")
}
