//! What a database knows about the links that read and write it. Read only; works while an engine runs.
//!
//! As a source it keeps a publication and a slot for each link, and in the publication's comment whom they are for.
//! Tests: those of the command, `crates/cli/tests/it/postgres.rs`.

use crate::capture;
use crate::held;
use crate::schema::{cell, has_table, identity};
use crate::session::Session;
use crate::settings::Settings;
use crate::wire::quoted_text;
use tidewater_core::Result;
use tidewater_core::apply::Which;
use tidewater_core::env::Env;
use tidewater_core::link::{Behind, FollowerStatus, LinkStatus, Status, TableStatus};

/// Publications and slots of ours, both named after their link. One alone that was left behind is told too: a slot that
/// nobody reads keeps the server's log.
const FOLLOWERS: &str = "SELECT coalesce(p.pubname, s.slot_name), \
     pg_catalog.obj_description(p.oid, 'pg_publication'), \
     CASE WHEN s.wal_status <> 'lost' THEN greatest(pg_catalog.pg_wal_lsn_diff(CASE WHEN \
     pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END, \
     s.confirmed_flush_lsn), 0)::bigint END, \
     (SELECT to_char(reply_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') \
     FROM pg_catalog.pg_stat_replication r WHERE r.pid = s.active_pid), s.slot_name IS NULL \
     FROM (SELECT oid, pubname FROM pg_catalog.pg_publication WHERE pg_catalog.starts_with(pubname, 'tidewater_')) p \
     FULL JOIN (SELECT * FROM pg_catalog.pg_replication_slots WHERE pg_catalog.starts_with(slot_name, 'tidewater_') \
     AND plugin = 'pgoutput' AND database = pg_catalog.current_database()) s ON s.slot_name = p.pubname ORDER BY 2, 1";

const LINKS: &str = "SELECT link, source, source_identity, position, \
     to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM tidewater.link ORDER BY source, link";

/// Reads what a database knows about its links.
pub async fn status(settings: &Settings, env: &Env) -> Result<Status> {
    let mut session = Session::open(settings, env).await?;
    let mut status = Status { followers: followers(&mut session).await?, ..Status::default() };
    if has_table(&mut session, "link").await? {
        status.links = links(&mut session).await?;
    }
    if has_table(&mut session, "journal").await? {
        let runs = "SELECT run, count(*) FROM tidewater.journal GROUP BY run ORDER BY min(id)";
        for row in session.query(runs).await?.rows {
            status.journal.push((cell(&row, 0)?.to_owned(), cell(&row, 1)?.parse().unwrap_or(0)));
        }
    }
    if !(status.followers.is_empty() && status.links.is_empty()) {
        status.identity = Some(identity(&mut session).await?);
    }
    Ok(status)
}

async fn followers(session: &mut Session) -> Result<Vec<FollowerStatus>> {
    let mut followers = Vec::new();
    for row in session.query(FOLLOWERS).await?.rows {
        let Some(link) = capture::link(cell(&row, 0)?) else { continue };
        let (target, target_identity) = row[1].as_deref().and_then(capture::target).unwrap_or_default();
        let behind = match row[2].as_deref().and_then(|bytes| bytes.parse().ok()) {
            Some(bytes) => Behind::Bytes(bytes),
            // A run that ends drops its slot, unless the server bounds what that keeps of its log.
            None if cell(&row, 4)? == "t" => Behind::Resting,
            None => Behind::TooFar,
        };
        followers.push(FollowerStatus {
            link: link.to_owned(),
            target,
            target_identity,
            behind,
            seen_at: row[3].clone(),
        });
    }
    Ok(followers)
}

async fn links(session: &mut Session) -> Result<Vec<LinkStatus>> {
    let mut links = Vec::new();
    for row in session.query(LINKS).await?.rows {
        let link = cell(&row, 0)?.to_owned();
        let sql = format!(
            "SELECT name, phase, reason FROM tidewater.link_table WHERE link = {} ORDER BY name",
            quoted_text(&link)
        );
        let (waiting, discarded) = held::count(session, &link).await?;
        let table = |row: Vec<Option<String>>| {
            let (name, phase) = (cell(&row, 0)?.to_owned(), cell(&row, 1)?.to_owned());
            let held = waiting.get(&name).copied().unwrap_or_default();
            Ok(TableStatus { name, phase, reason: row[2].clone(), held })
        };
        let tables = session.query(&sql).await?.rows.into_iter().map(table).collect::<Result<_>>()?;
        let which = Which { links: vec![link.clone()], rows_max: Status::HELD_MAX, ..Which::default() };
        let named = held::page(session, &which).await?;
        links.push(LinkStatus {
            source: cell(&row, 1)?.to_owned(),
            source_identity: cell(&row, 2)?.to_owned(),
            position: row[3].clone(),
            updated_at: cell(&row, 4)?.to_owned(),
            tables,
            held: named.into_iter().map(|entry| entry.held).collect(),
            discarded,
            link,
        });
    }
    Ok(links)
}
