//! What a database knows about its syncs. Reads beside a running engine, and writes nothing.

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

/// The links whose publications are here, as their comments tell them.
async fn followers(session: &mut Session) -> Result<Vec<FollowerStatus>> {
    let sql = "SELECT p.pubname, pg_catalog.obj_description(p.oid, 'pg_publication'), \
         pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(), s.confirmed_flush_lsn)::bigint, \
         coalesce(s.wal_status, 'lost') = 'lost', coalesce(to_char((SELECT reply_time FROM pg_catalog.pg_stat_replication r \
         WHERE r.pid = s.active_pid) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '') \
         FROM pg_catalog.pg_publication p LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = p.pubname \
         WHERE p.pubname LIKE 'tidewater\\_%' ORDER BY 1";
    let mut found = Vec::new();
    for row in session.query(sql).await?.rows {
        let Some(comment) = row[1].as_deref() else { continue };
        let mut parts = comment.split(crate::capture::COMMENT_SEPARATOR);
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (link, target, target_identity) = (part(), part(), part());
        let behind = match row[2].as_deref().and_then(|bytes| bytes.parse::<u64>().ok()) {
            Some(bytes) if cell(&row, 3)? == "f" => Behind::Bytes(bytes),
            _ => Behind::TooFar,
        };
        found.push(FollowerStatus { link, target, target_identity, behind, seen_at: cell(&row, 4)?.to_owned() });
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
