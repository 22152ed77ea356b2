//! What goes one way does not go both ways, and the other way round: a link would replace what its target wrote.
//!
//! Looks only; what cannot be read now will be told by whoever opens it. Tables apart may go different ways.

use super::wanted::{WantedExchange, WantedLink};
use crate::endpoint::Endpoint;
use tidewater_core::env::Env;
use tidewater_core::link::{ReplicaStatus, Status};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::Database;

/// Refuses a link over tables that both its ends share as replicas.
pub(super) fn refuse_link(wanted: &WantedLink) -> Result<()> {
    // Only among SQLite databases does anything go both ways.
    let (Endpoint::Sqlite(source), Endpoint::Sqlite(target)) = (&wanted.source, &wanted.target) else {
        return Ok(());
    };
    let [source, target] = [source, target].map(|database| status(database).replica);
    let (Some(source), Some(target)) = (source, target) else { return Ok(()) };
    let knows = |one: &ReplicaStatus, other: &ReplicaStatus| one.peers.iter().any(|p| p.endpoint == other.endpoint);
    let both = |table: &str| source.tables.iter().any(|(name, _)| name.eq_ignore_ascii_case(table));
    let mut shared = target.tables.iter().map(|(table, _)| table).filter(|table| both(table));
    let met = knows(&source, &target) || knows(&target, &source);
    match shared.find(|table| met && wanted.settings.scope.sees(table)) {
        None => Ok(()),
        Some(table) => Err(refusal(&wanted.source, &wanted.target, table, "both ways", "Add --both-ways")),
    }
}

/// Refuses an exchange over tables that a link carries from one member to another.
pub(super) fn refuse_exchange(wanted: &WantedExchange) -> Result<()> {
    let members: Vec<(&Database, Status)> = wanted.members.iter().map(|m| (&m.database, status(&m.database))).collect();
    for (target, to) in &members {
        for link in &to.links {
            let from = |(_, status): &&(&Database, Status)| status.identity.as_ref() == Some(&link.source_identity);
            let Some((source, _)) = members.iter().find(from) else { continue };
            if let Some(table) = link.tables.iter().find(|table| wanted.settings.scope.sees(&table.name)) {
                let ends = [source, target].map(|database| Endpoint::from((*database).clone()));
                return Err(refusal(&ends[0], &ends[1], &table.name, "one way", "Leave --both-ways out"));
            }
        }
    }
    Ok(())
}

fn status(database: &Database) -> Status {
    if database.exists() {
        tidewater_sqlite::status(database, &Env::real()).unwrap_or_default()
    } else {
        Status::default()
    }
}

fn refusal(source: &Endpoint, target: &Endpoint, table: &str, way: &str, stay: &str) -> Error {
    let what = format!("{} and {} are in step {way}: {table}, for one", source.shown(), target.shown());
    Error::new(Kind::Conflict, code::DIRECTION, what)
        .meaning(
            "One way, the source replaces what was written at the target; both ways, nothing is. Nothing was changed.",
        )
        .remedy(format!(
            "{stay} to go on as before. To change it, end the old sync first: tidewater teardown {} {}",
            source.typed(),
            target.typed()
        ))
}
