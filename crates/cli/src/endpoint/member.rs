//! SQLite databases as the members of an exchange.

use super::refuse_same;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::link::Member;
use tidewater_core::replica::Replica;
use tidewater_sqlite::{Access, Database, SqliteReplica};

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
            members[..at]
                .iter()
                .try_for_each(|other| refuse_same(&other.database.clone().into(), &member.database.clone().into()))?;
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
