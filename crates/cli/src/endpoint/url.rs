//! Reading URLs. Tests: at the end, and `bad_input.rs` of the command's.

use super::Endpoint;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::Database;

/// Kinds of endpoints that are to come.
const LATER: [&str; 9] = ["mysql", "mariadb", "nats", "kafka", "http", "https", "stdout", "postgres", "postgresql"];

impl Endpoint {
    /// Reads the URL of an endpoint.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let refused = |what: String, remedy: &str| {
            Err(Error::new(Kind::Invalid, code::URL, what).meaning("Nothing was read or written.").remedy(remedy))
        };
        match url.split_once(':') {
            Some(("sqlite", rest)) => sqlite(url, rest),
            Some((scheme, _)) if LATER.contains(&scheme) => {
                let what = format!("{scheme}: endpoints are not built yet");
                Err(Error::new(Kind::Invalid, code::NOT_BUILT, what)
                    .meaning("This version carries rows between SQLite databases.")
                    .remedy("Use sqlite:PATH at both ends."))
            }
            // What may hold a password is not repeated.
            Some((scheme, rest)) if rest.contains('@') => {
                let what = format!("{scheme}:… is not the URL of an endpoint");
                refused(what, "Write a SQLite database as sqlite:PATH")
            }
            _ => {
                let guess = format!("Write a SQLite database as sqlite:{url}");
                refused(format!("{url} is not the URL of an endpoint"), &guess)
            }
        }
    }

    /// The database, where it can take part in a sync both ways.
    pub(crate) fn for_both_ways(self) -> Result<Database> {
        match self {
            Endpoint::Sqlite(database) => Ok(database),
        }
    }

    /// The database, where its journal can hold conflicts.
    pub(crate) fn with_conflicts(self) -> Result<Database> {
        match self {
            Endpoint::Sqlite(database) => Ok(database),
        }
    }
}

fn sqlite(url: &str, rest: &str) -> Result<Endpoint> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path == ":memory:" {
        return Err(Error::new(Kind::Invalid, code::URL, format!("{url} names no file"))
            .meaning("Nothing was read or written.")
            .remedy("Write a SQLite database as sqlite:PATH, for example sqlite:shop.db"));
    }
    Ok(Endpoint::Sqlite(Database::new(path)))
}
