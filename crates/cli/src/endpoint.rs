//! Endpoints: URLs turned into databases, two of them into the ends of a link, or several into the members of an
//! exchange.

use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::env::Env;
use tidewater_core::link::{Ends, Member};
use tidewater_core::replica::Replica;
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Access, Database, SqliteReplica, SqliteSource, SqliteTarget};

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
    quoted(&format!("sqlite:{}", database.shown))
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+,=".contains(c);
    let is_plain = !word.is_empty() && word.chars().all(plain);
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
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

/// A file that is not there.
pub(crate) fn missing(database: &Database, meaning: &str) -> Error {
    Error::new(Kind::Unavailable, code::MISSING, format!("{}: there is no such file", database.shown))
        .meaning(meaning)
        .remedy("Check the path, or make it with `tidewater sync`.")
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

/// A SQLite database that takes part in a sync both ways.
#[derive(Debug, Clone)]
pub(crate) struct SqliteMember {
    /// The name that rules know it by.
    pub(crate) endpoint: String,
    pub(crate) database: Database,
}

impl SqliteMember {
    /// Two databases without a configuration: known by the ends of their paths, as short as tells them apart. So a
    /// name is the same whichever is typed first, and however the path is written.
    pub(crate) fn pair(one: Database, other: Database) -> [Self; 2] {
        let paths = [one.canonical(), other.canonical()];
        let end = |path: &Path, parts: usize| {
            let all: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            all[all.len().saturating_sub(parts)..].join("/")
        };
        let longest = paths.iter().map(|path| path.components().count()).max().unwrap_or(1);
        let parts = (1..longest).find(|parts| end(&paths[0], *parts) != end(&paths[1], *parts)).unwrap_or(longest);
        let endpoints = [end(&paths[0], parts), end(&paths[1], parts)];
        let [first, second] = endpoints;
        [Self { endpoint: first, database: one }, Self { endpoint: second, database: other }]
    }

    /// These as the members of an exchange, which only looks at them or writes them.
    pub(crate) fn all(members: &[Self], looking: bool, env: &Env) -> Result<Vec<Arc<dyn Member>>> {
        for (at, member) in members.iter().enumerate() {
            members[..at].iter().try_for_each(|other| refuse_same(&other.database, &member.database))?;
        }
        let one = |member: &Self| {
            let (member, env) = (member.clone(), env.clone());
            Arc::new(SqliteParticipant { member, looking, env }) as Arc<dyn Member>
        };
        Ok(members.iter().map(one).collect())
    }
}

/// A member at work.
struct SqliteParticipant {
    member: SqliteMember,
    looking: bool,
    env: Env,
}

#[async_trait]
impl Member for SqliteParticipant {
    async fn open(&self, create: bool) -> Result<Box<dyn Replica>> {
        let access = match (self.looking, create) {
            (true, _) => Access::Read,
            (false, true) => Access::Create,
            (false, false) => Access::Write,
        };
        Ok(Box::new(SqliteReplica::open(&self.member.database, access, &self.env)?))
    }

    fn exists(&self) -> bool {
        self.member.database.exists()
    }

    fn endpoint(&self) -> String {
        self.member.endpoint.clone()
    }

    fn shown(&self) -> String {
        self.member.database.shown.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_pair_are_as_short_as_tells_them_apart() {
        for (one, other, wanted) in [
            ("/srv/shop.db", "/srv/till.db", ["shop.db", "till.db"]),
            ("/srv/a/shop.db", "/srv/b/shop.db", ["a/shop.db", "b/shop.db"]),
            ("/shop.db", "/srv/shop.db", ["//shop.db", "srv/shop.db"]),
        ] {
            let pair = SqliteMember::pair(Database::new(one), Database::new(other));
            assert_eq!(pair.map(|member| member.endpoint), wanted, "{one} {other}");
        }
    }
}
