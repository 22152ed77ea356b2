//! What a database knows about the links that read and write it. Read only; works while an engine runs.

use crate::appended::{Appended, Beyond};
use crate::connection::{Access, Database, Open};
use crate::held;
use crate::meta;
use rusqlite::Connection;
use tidewater_core::Result;
use tidewater_core::apply::Which;
use tidewater_core::env::Env;
use tidewater_core::link::{Behind, FollowerStatus, LinkStatus, PeerStatus, ReplicaStatus, Status, TableStatus};

/// Appended rows are counted so far: it takes about a second.
const APPENDED_COUNTED_MAX: u64 = 10_000_000;

/// Reads what a database knows about its links.
pub fn status(database: &Database, env: &Env) -> Result<Status> {
    if !database.exists() {
        return Err(crate::error::missing(&database.path, &database.shown));
    }
    let open = Open::new(database, Access::Read, env)?;
    open.read(|c| {
        let mut status = read(c).map_err(|e| open.explain(e))?;
        for link in &mut status.links {
            let links = vec![link.link.clone()];
            let which = Which { links, rows_max: Status::HELD_MAX, ..Which::default() };
            let named = held::page(c, &which).map_err(|e| open.explain(e))??;
            link.held = named.into_iter().map(|entry| entry.held).collect();
            let held = held::count(c, &link.link, false).map_err(|e| open.explain(e))?;
            for table in &mut link.tables {
                table.held = held.get(&table.name).copied().unwrap_or_default();
            }
            link.discarded = held::count(c, &link.link, true).map_err(|e| open.explain(e))?.values().sum();
        }
        Ok(status)
    })
}

/// The appended rows of a table that a link has not confirmed: in ranges in its log, and beyond what the log knows of.
fn pending_rows(c: &Connection, link: &str, table: &Appended) -> rusqlite::Result<u64> {
    let follows = "SELECT EXISTS (SELECT 1 FROM _tidewater_reader_table WHERE link = ?1 AND tab = ?2)";
    if !c.prepare_cached(follows)?.query_row((link, table.tab), |row| row.get::<_, bool>(0))? {
        return Ok(0);
    }
    let mut ranges: Vec<(i64, i64)> = c
        .prepare_cached(
            "SELECT l.k1, l.k2 FROM _tidewater_log l, _tidewater_reader r \
             WHERE r.link = ?1 AND l.seq > r.confirmed AND l.tab = -?2",
        )?
        .query_map((link, table.tab), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if let Beyond::Rows { top, highest } = table.beyond(c)? {
        ranges.push((top, highest));
    }
    let mut rows = 0;
    for (after, through) in ranges {
        rows += table.count(c, after, through, APPENDED_COUNTED_MAX - rows)?;
    }
    Ok(rows)
}

fn read(c: &Connection) -> rusqlite::Result<Status> {
    let mut status = Status { identity: meta::identity(c)?.map(|(_, identity)| identity), ..Status::default() };
    if meta::has_table(c, "_tidewater_reader")? {
        status.followers = c
            .prepare(
                "SELECT link, target, target_identity, seen_at, \
                 (SELECT count(*) FROM _tidewater_log l JOIN _tidewater_table t ON t.id = l.tab WHERE l.seq > r.confirmed \
                 AND t.via <> r.link AND EXISTS (SELECT 1 FROM _tidewater_table a JOIN _tidewater_reader_table f \
                 ON f.tab = a.id WHERE f.link = r.link AND a.via = '' AND a.name = t.name)), \
                 (SELECT min(seq) FROM _tidewater_log WHERE seq > 0) > r.confirmed + 1 \
                 FROM _tidewater_reader r WHERE r.link <> 'both ways' ORDER BY target",
            )?
            .query_map([], |row| {
                let (pending, forgotten): (u64, Option<bool>) = (row.get(4)?, row.get(5)?);
                Ok(FollowerStatus {
                    link: row.get(0)?,
                    target: row.get(1)?,
                    target_identity: row.get(2)?,
                    seen_at: Some(row.get(3)?),
                    behind: if forgotten == Some(true) { Behind::TooFar } else { Behind::Changes(pending) },
                })
            })?
            .collect::<Result<_, _>>()?;
        if meta::has_tops(c)? {
            let appended = Appended::all(c)?;
            for follower in &mut status.followers {
                for table in &appended {
                    let rows = pending_rows(c, &follower.link, table)?;
                    if let Behind::Changes(pending) = &mut follower.behind {
                        *pending += rows;
                    }
                }
            }
        }
    }
    if meta::has_table(c, "_tidewater_link")? {
        status.links = c
            .prepare("SELECT link, source, source_identity, position, updated_at FROM _tidewater_link ORDER BY source")?
            .query_map([], |row| {
                Ok(LinkStatus {
                    link: row.get(0)?,
                    source: row.get(1)?,
                    source_identity: row.get(2)?,
                    position: row.get(3)?,
                    updated_at: row.get(4)?,
                    tables: vec![],
                    held: vec![],
                    discarded: 0,
                })
            })?
            .collect::<Result<_, _>>()?;
        for link in &mut status.links {
            link.tables = c
                .prepare_cached("SELECT name, phase, reason FROM _tidewater_link_table WHERE link = ?1 ORDER BY name")?
                .query_map([&link.link], |row| {
                    Ok(TableStatus { name: row.get(0)?, phase: row.get(1)?, reason: row.get(2)?, held: 0 })
                })?
                .collect::<Result<_, _>>()?;
        }
    }
    status.replica = replica(c)?;
    if meta::has_table(c, "_tidewater_journal")? {
        status.journal = c
            .prepare("SELECT run, count(*) FROM _tidewater_journal GROUP BY run ORDER BY min(id)")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
    }
    Ok(status)
}

fn replica(c: &Connection) -> rusqlite::Result<Option<ReplicaStatus>> {
    if !meta::has_table(c, "_tidewater_replica")? {
        return Ok(None);
    }
    let number = |sql: &str| c.query_row(sql, [], |row| row.get::<_, u64>(0));
    let peers = "SELECT n.endpoint, max(h.at), max(n.confirmed) FROM _tidewater_node n \
                 JOIN _tidewater_heard h ON h.node = n.number WHERE n.own_from IS NULL GROUP BY n.endpoint ORDER BY 1";
    let waiting = "SELECT count(*) FROM _tidewater_queue q JOIN _tidewater_version v \
                   ON v.tab = q.tab AND v.key = q.key AND v.seq = q.seq WHERE q.seq > ?1 AND NOT EXISTS \
                   (SELECT 1 FROM _tidewater_node n WHERE n.number = q.via AND n.endpoint = ?2)";
    let peers: Vec<(String, String, Option<i64>)> = c
        .prepare(peers)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut status = ReplicaStatus {
        endpoint: c.query_row("SELECT endpoint FROM _tidewater_replica", [], |row| row.get(0))?,
        pending: number(
            "SELECT count(*) FROM _tidewater_log l JOIN _tidewater_table t ON t.id = l.tab \
             WHERE l.seq > (SELECT confirmed FROM _tidewater_reader WHERE link = 'both ways') \
             AND t.via <> 'both ways' AND t.name IN (SELECT name FROM _tidewater_shared)",
        )?,
        conflicts: number("SELECT count(*) FROM _tidewater_conflict")?,
        conflicts_open: number("SELECT count(*) FROM _tidewater_conflict WHERE open AND ended IS NULL")?,
        parked: number("SELECT count(*) FROM _tidewater_parked")?,
        ..ReplicaStatus::default()
    };
    if meta::has_tops(c)? {
        for table in Appended::all(c)? {
            status.pending += pending_rows(c, "both ways", &table)?;
        }
    }
    for (endpoint, heard_at, confirmed) in peers {
        let waiting = match confirmed {
            Some(confirmed) => Some(c.query_row(waiting, (confirmed, &endpoint), |row| row.get(0))?),
            None => None,
        };
        status.peers.push(PeerStatus { endpoint, waiting, heard_at: Some(heard_at) });
    }
    status.kept_days = c
        .prepare("SELECT name, keep_days FROM _tidewater_shared WHERE keep_days IS NOT NULL ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let rules: Vec<(String, Vec<u8>)> = c
        .prepare("SELECT name, rules FROM _tidewater_shared ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    status.tables = rules.into_iter().map(|(name, rules)| (name, crate::replica::rule_word(&rules))).collect();
    Ok(Some(status))
}
