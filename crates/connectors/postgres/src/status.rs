//! What a database knows about its syncs. Reads beside a running engine, and writes nothing.

use crate::capture;
use crate::ledger;
use crate::schema::{cell, has_table};
use crate::session::Session;
use crate::settings::Settings;
use crate::wire::quoted_text;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::link::{Behind, FollowerStatus, LinkStatus, Status, TableStatus};

/// Reads it.
pub async fn status(settings: &Settings, env: &Env) -> Result<Status> {
    let mut session = Session::open(settings, env).await?;
    let mut status = Status { followers: followers(&mut session).await?, ..Status::default() };
    if has_table(&mut session, "link").await? {
        status.links = links(&mut session).await?;
        let runs = "SELECT run, count(*) FROM tidewater.journal GROUP BY run ORDER BY max(id)";
        for row in session.query(runs).await?.rows {
            status.journal.push((cell(&row, 0)?.to_owned(), cell(&row, 1)?.parse().unwrap_or(0)));
        }
    }
    if !status.followers.is_empty() || !status.links.is_empty() {
        status.identity = Some(crate::schema::identity(&mut session).await?);
    }
    Ok(status)
}

/// Publications and slots of ours: a link has both, and one alone that was left behind is shown too, because a slot
/// that nobody reads keeps the server's log.
const FOLLOWERS: &str = "SELECT coalesce(p.pubname, s.slot_name), \
     pg_catalog.obj_description(p.oid, 'pg_publication'), \
     CASE WHEN s.wal_status <> 'lost' THEN greatest(pg_catalog.pg_wal_lsn_diff(CASE WHEN \
     pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE \
     pg_catalog.pg_current_wal_flush_lsn() END, s.confirmed_flush_lsn), 0)::bigint END, \
     (SELECT to_char(reply_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') \
     FROM pg_catalog.pg_stat_replication r WHERE r.pid = s.active_pid) \
     FROM (SELECT oid, pubname FROM pg_catalog.pg_publication WHERE pg_catalog.starts_with(pubname, 'tidewater_')) p \
     FULL JOIN (SELECT * FROM pg_catalog.pg_replication_slots WHERE pg_catalog.starts_with(slot_name, 'tidewater_') \
     AND plugin = 'pgoutput' AND database = pg_catalog.current_database()) s ON s.slot_name = p.pubname ORDER BY 1";

/// The links that read here. Whom they are for stands in the comments of their publications.
async fn followers(session: &mut Session) -> Result<Vec<FollowerStatus>> {
    let mut found = Vec::new();
    for row in session.query(FOLLOWERS).await?.rows {
        let Some(link) = capture::link(cell(&row, 0)?) else { continue };
        let (target, target_identity) = row[1].as_deref().and_then(capture::target).unwrap_or_default();
        let behind = row[2].as_deref().and_then(|bytes| bytes.parse().ok());
        found.push(FollowerStatus {
            link: link.to_owned(),
            target: target.to_owned(),
            target_identity: target_identity.to_owned(),
            behind: behind.map_or(Behind::TooFar, Behind::Bytes),
            seen_at: row[3].clone(),
        });
    }
    Ok(found)
}

async fn links(session: &mut Session) -> Result<Vec<LinkStatus>> {
    let sql = "SELECT link, source, source_identity, position, \
         to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM tidewater.link ORDER BY link";
    let mut found = Vec::new();
    for row in session.query(sql).await?.rows {
        let link = cell(&row, 0)?.to_owned();
        let sql = format!(
            "SELECT name, phase, reason FROM tidewater.link_table WHERE link = {} ORDER BY name",
            quoted_text(&link)
        );
        let tables = session.query(&sql).await?.rows;
        let table = |row: &Vec<Option<String>>| {
            Ok(TableStatus { name: cell(row, 0)?.to_owned(), phase: cell(row, 1)?.to_owned(), reason: row[2].clone() })
        };
        found.push(LinkStatus {
            source: cell(&row, 1)?.to_owned(),
            source_identity: cell(&row, 2)?.to_owned(),
            position: row[3].clone(),
            updated_at: cell(&row, 4)?.to_owned(),
            tables: tables.iter().map(table).collect::<Result<_>>()?,
            held: ledger::held(session, &link).await?,
            link,
        });
    }
    Ok(found)
}
