//! Reading URLs, and who of their endpoints can do what. Tests: at the end, and `bad_input.rs` of the command's.

use super::{Endpoint, no_journal, no_rows};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_lines::Output;
use tidewater_postgres::Settings;
use tidewater_sqlite::Database;

/// Kinds of endpoints that are to come.
const LATER: [&str; 6] = ["mysql", "mariadb", "nats", "kafka", "http", "https"];

/// How they are written.
const FORMS: &str = "Write a SQLite database as sqlite:PATH, a PostgreSQL database as postgres://USER@HOST/DATABASE, standard \
    output as stdout:";

impl Endpoint {
    /// Reads the URL of an endpoint.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        match url.split_once(':') {
            Some(("sqlite", rest)) => sqlite(url, rest),
            Some((scheme @ ("postgres" | "postgresql"), _)) => postgres(scheme, url),
            Some(("stdout", rest)) => stdout(url, rest),
            Some((scheme, _)) if LATER.contains(&scheme) => {
                let what = format!("{scheme}: endpoints are not built yet");
                Err(Error::new(Kind::Invalid, code::NOT_BUILT, what)
                    .meaning("This version carries rows between SQLite and PostgreSQL databases.")
                    .remedy("Use sqlite:PATH or postgres://USER@HOST/DATABASE at both ends."))
            }
            // What may hold a password is not repeated.
            Some((scheme, rest)) if rest.contains('@') || rest.contains("password") => {
                Err(refused(format!("{scheme}:… is not the URL of an endpoint"), FORMS))
            }
            Some((_, rest)) if rest.starts_with("//") => {
                Err(refused(format!("{url} is not the URL of an endpoint"), FORMS))
            }
            _ => {
                let guess = format!("Write a SQLite database as sqlite:{url}");
                Err(refused(format!("{url} is not the URL of an endpoint"), &guess))
            }
        }
    }

    /// The database, where it can take part in a sync both ways.
    pub(crate) fn for_both_ways(self) -> Result<Database> {
        match self {
            Endpoint::Sqlite(database) => Ok(database),
            Endpoint::Postgres(settings) => {
                let what = format!("{}: PostgreSQL does not take part in syncs both ways yet", settings.shown());
                Err(Error::new(Kind::Invalid, code::NOT_BUILT, what)
                    .meaning("Both ways, this version carries rows between SQLite databases. Nothing was changed.")
                    .remedy("One way it does: leave --both-ways out."))
            }
            Endpoint::Stdout(output) => {
                Err(no_rows(&output, "it cannot take part in a sync both ways", "Leave --both-ways out."))
            }
        }
    }

    /// The database, where its journal can hold conflicts.
    pub(crate) fn with_conflicts(self) -> Result<Database> {
        match self {
            Endpoint::Sqlite(database) => Ok(database),
            Endpoint::Postgres(settings) => {
                let what = format!("{}: PostgreSQL has no journal of conflicts yet", settings.shown());
                let endpoint = Endpoint::Postgres(settings);
                Err(Error::new(Kind::Invalid, code::NOT_BUILT, what)
                    .meaning("Conflicts are of syncs both ways, in which it takes no part. Nothing was changed.")
                    .remedy(format!(
                        "What runs one way replaced or deleted is listed by: tidewater status {0}\n\
                         and put back by: tidewater conflicts restore {0} --run RUN",
                        endpoint.typed()
                    )))
            }
            Endpoint::Stdout(output) => Err(no_journal(&output)),
        }
    }
}

fn refused(what: String, remedy: &str) -> Error {
    Error::new(Kind::Invalid, code::URL, what).meaning("Nothing was read or written.").remedy(remedy)
}

fn sqlite(url: &str, rest: &str) -> Result<Endpoint> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path == ":memory:" {
        let remedy = "Write a SQLite database as sqlite:PATH, for example sqlite:shop.db";
        return Err(refused(format!("{url} names no file"), remedy));
    }
    Ok(Endpoint::Sqlite(Database::new(path)))
}

fn stdout(url: &str, rest: &str) -> Result<Endpoint> {
    let (name, query) = rest.split_once('?').map_or((rest, None), |(name, query)| (name, Some(query)));
    let state = query.map(|query| query.strip_prefix("state=").filter(|path| !path.is_empty()));
    let is_name = name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    match (is_name, state) {
        (true, None) => Ok(Endpoint::Stdout(Output::new(name, None))),
        (true, Some(Some(path))) => Ok(Endpoint::Stdout(Output::new(name, Some(path.into())))),
        _ => Err(refused(
            format!("{url} is not the URL of standard output"),
            "Write stdout:, stdout:NAME, or stdout:?state=FILE to go on where the last run ended.",
        )),
    }
}

fn postgres(scheme: &str, url: &str) -> Result<Endpoint> {
    match Settings::parse(url) {
        Ok(settings) => Ok(Endpoint::Postgres(Box::new(settings))),
        // The URL may hold a password, and could not be taken apart: it is not repeated.
        Err(why) => Err(refused(
            format!("{scheme}:… is not the URL of a PostgreSQL database: {why}"),
            "Write postgres://USER@HOST:PORT/DATABASE. The password comes from PGPASSWORD or a password file; % in a \
             name is written %25, @ %40, / %2F.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Endpoint {
        Endpoint::parse(url).expect("a URL")
    }

    #[test]
    fn a_password_is_in_no_name_no_command_and_no_error() {
        let endpoint =
            parsed("postgres://ana:hunter2@db.example.org:5433/shop?sslmode=verify-ca&sslrootcert=a%20b.pem");
        assert_eq!(endpoint.shown(), "postgres://ana@db.example.org:5433/shop");
        let typed = "'postgres://ana@db.example.org:5433/shop?sslmode=verify-ca&sslrootcert=a%20b.pem'";
        assert_eq!(endpoint.typed(), typed);
        assert!(!format!("{endpoint:?}").contains("hunter2"));
        for error in [endpoint.clone().for_both_ways(), endpoint.with_conflicts()] {
            let error = error.expect_err("not built");
            assert!(error.code == code::NOT_BUILT && !error.to_string().contains("hunter2"), "{error}");
        }
        for wrong in [
            "postgres://ana:hunter2@host:port/shop",
            "postgres://ana:hunter2@host/shop?sslmod=require",
            "postgres://ana:hunter2%@host/shop",
            "postgresql:ana:hunter2@host/shop",
            "pg://ana:hunter2@host/shop",
            "pg://host/shop?password=hunter2",
            "ana:hunter2@host/shop",
        ] {
            let error = Endpoint::parse(wrong).expect_err(wrong);
            assert!(error.code == code::URL && !error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn names_of_one_database_are_the_same_and_others_are_not() {
        let same = |one: &str, other: &str| parsed(one).is_same(&parsed(other));
        assert!(same("postgres://ana@db/shop", "postgresql://bo:secret@DB:5432/shop?sslmode=require"));
        assert!(same("postgres://a@localhost/shop", "postgres://a@127.0.0.1/shop"));
        assert!(same("postgres://a@localhost/shop", "postgres://a@[::1]/shop"));
        for other in ["postgres://ana@db/till", "postgres://ana@db:5433/shop", "postgres://ana@bd/shop", "sqlite:shop"]
        {
            assert!(!same("postgres://ana@db/shop", other), "{other}");
        }
    }
}
