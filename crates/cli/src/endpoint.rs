//! Endpoints: URLs turned into databases, and two of them into the ends of a link.

use async_trait::async_trait;
use std::sync::Arc;
use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::env::Env;
use tidewater_core::link::Ends;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Access, Database, SqliteSource, SqliteTarget};

/// Reads `sqlite:PATH`.
pub(crate) fn database(url: &str) -> Result<Database> {
    let refused = |what: String, remedy: &str| {
        Err(Error::new(Kind::Invalid, code::URL, what).meaning("Nothing was read or written.").remedy(remedy))
    };
    let path = match url.split_once(':') {
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some((scheme @ ("postgres" | "postgresql" | "mysql" | "mariadb" | "nats" | "kafka" | "http" | "https"), _)) => {
            let what = format!("{scheme}: endpoints are not built yet");
            return Err(Error::new(Kind::Invalid, code::NOT_BUILT, what)
                .meaning("This version carries rows between SQLite databases.")
                .remedy("Use sqlite:PATH at both ends."));
        }
        // What may hold a password is not repeated.
        Some((scheme, rest)) if rest.contains('@') => {
            let what = format!("{scheme}:… is not the URL of an endpoint");
            return refused(what, "Write a SQLite database as sqlite:PATH");
        }
        _ => {
            let guess = format!("Write a SQLite database as sqlite:{url}");
            return refused(format!("{url} is not the URL of an endpoint"), &guess);
        }
    };
    if path.is_empty() || path == ":memory:" {
        return refused(
            format!("{url} names no file"),
            "Write a SQLite database as sqlite:PATH, for example sqlite:shop.db",
        );
    }
    Ok(Database::new(path))
}

/// A database as a shell takes it.
pub(crate) fn typed(database: &Database) -> String {
    let url = format!("sqlite:{}", database.shown);
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+,=".contains(c);
    if url.chars().all(plain) { url } else { format!("'{}'", url.replace('\'', "'\\''")) }
}

/// Two SQLite databases.
pub(crate) struct SqliteEnds {
    pub(crate) source: Database,
    pub(crate) source_access: Access,
    pub(crate) target: Database,
    pub(crate) target_access: Access,
    pub(crate) env: Env,
}

impl SqliteEnds {
    /// The ends of a link that reads and writes.
    pub(crate) fn writing(source: Database, target: Database, once: bool, env: &Env) -> Result<Arc<Self>> {
        refuse_same(&source, &target)?;
        let source_access = if once { Access::Read } else { Access::Write };
        Ok(Arc::new(Self { source, source_access, target, target_access: Access::Create, env: env.clone() }))
    }

    /// The ends of a link that only looks.
    pub(crate) fn looking(source: Database, target: Database, env: &Env) -> Result<Arc<Self>> {
        refuse_same(&source, &target)?;
        let (source_access, target_access) = (Access::Read, Access::Read);
        Ok(Arc::new(Self { source, source_access, target, target_access, env: env.clone() }))
    }
}

fn refuse_same(source: &Database, target: &Database) -> Result<()> {
    if !source.is_same(target) {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, code::SAME, format!("{} and {} are the same database", source.shown, target.shown))
        .meaning("A database cannot be kept in step with itself. Nothing was changed.")
        .remedy("Name two different files."))
}

#[async_trait]
impl Ends for SqliteEnds {
    async fn source(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(SqliteSource::open(&self.source, self.source_access, &self.env)?))
    }

    async fn target(&self) -> Result<Box<dyn Target>> {
        Ok(Box::new(SqliteTarget::open(&self.target, self.target_access, &self.env)?))
    }

    fn source_name(&self) -> String {
        self.source.shown.clone()
    }

    fn target_name(&self) -> String {
        self.target.shown.clone()
    }

    fn source_url(&self) -> String {
        typed(&self.source)
    }

    fn target_url(&self) -> String {
        typed(&self.target)
    }
}
