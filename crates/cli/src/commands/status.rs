//! `tidewater status`: what each database knows about its syncs. Works beside a running engine.

use super::wanted::{configuration, spool_folders};
use super::{ATTENTION, DONE, Worst};
use crate::args::StatusArgs;
use crate::endpoint::Endpoint;
use crate::output::{self, FAINT, GOOD, LOOK, STRONG, bytes, count, number, styled};
use crate::spool;
use serde_json::{Value, json};
use std::path::PathBuf;
use tidewater_core::Result;
use tidewater_core::apply::Held;
use tidewater_core::env::Env;
use tidewater_core::link::{Behind, FollowerStatus, LinkStatus, ReplicaStatus, Status};

/// Rows in quarantine named one by one.
const NAMED: usize = 10;

/// Shows every database. One that cannot be asked keeps none of the others from being shown.
pub(crate) async fn status(args: &StatusArgs) -> Result<u8> {
    let config = if args.urls.is_empty() { Some(configuration(args.config.clone())?) } else { None };
    let endpoints: Vec<Endpoint> = match &config {
        Some(config) => config.endpoints.values().map(|e| Endpoint::parse(&e.url)).collect::<Result<_>>()?,
        None => args.urls.iter().map(|url| Endpoint::parse(url)).collect::<Result<_>>()?,
    };
    let folders = spool_folders(config.as_ref());
    let (alone, mut worst) = (endpoints.len() == 1, Worst::default());
    for endpoint in &endpoints {
        let shown = endpoint.shown();
        // A target of the file that no run has created yet is not a failure.
        if endpoint.is_missing() && args.urls.is_empty() {
            match args.json {
                true => output::line(&json!({ "database": shown, "missing": true }).to_string()),
                false => output::line(&format!("{shown}: not there yet")),
            }
            continue;
        }
        worst.note(&shown, "its status", show(endpoint, &folders, args.json).await, alone, args.json)?;
    }
    Ok(worst.code)
}

async fn show(endpoint: &Endpoint, folders: &[PathBuf], json: bool) -> Result<u8> {
    let status = endpoint.status(&Env::real()).await?;
    let links =
        status.followers.iter().map(|follower| &follower.link).chain(status.links.iter().map(|link| &link.link));
    let spools = spool::found(folders, links.map(String::as_str));
    if json {
        let mut facts = facts(endpoint, &status);
        facts["spools"] = spools.iter().map(spool::facts).collect();
        output::line(&facts.to_string());
    } else {
        let spools = spools.iter().map(spool::line);
        lines(endpoint, &status).into_iter().chain(spools).for_each(|line| output::line(&line));
    }
    Ok(if needs_attention(&status) { ATTENTION } else { DONE })
}

fn needs_attention(status: &Status) -> bool {
    let troubled = |l: &LinkStatus| l.held_rows() > 0 || l.tables.iter().any(|t| t.phase == "halted");
    status.links.iter().any(troubled)
        || status.followers.iter().any(|f| f.behind == Behind::TooFar)
        || status.replica.as_ref().is_some_and(|replica| replica.conflicts_open + replica.parked > 0)
}

fn lines(endpoint: &Endpoint, status: &Status) -> Vec<String> {
    let mut lines = vec![styled(STRONG, &endpoint.shown())];
    if status.followers.is_empty() && status.links.is_empty() && status.replica.is_none() {
        lines.push(styled(FAINT, "  no links"));
    }
    for follower in &status.followers {
        let target = match follower.target.as_str() {
            "" => format!("link {}", follower.link),
            target => target.to_owned(),
        };
        let seen = follower.seen_at.as_ref().map(|at| format!("  (last seen {at} UTC)")).unwrap_or_default();
        lines.push(format!("  → {target}  {}{seen}", behind(follower.behind)));
    }
    for link in &status.links {
        let position = link.position.as_deref().unwrap_or("not begun");
        lines.push(format!("  ← {}  at {position}  (last write {} UTC)", link.source, link.updated_at));
        let rows = link.tables.iter().map(|t| {
            let phase = if t.phase == "following" { t.phase.clone() } else { styled(LOOK, &t.phase) };
            vec![
                t.name.clone(),
                phase,
                if t.held > 0 { format!("{} in quarantine", number(t.held)) } else { String::new() },
            ]
        });
        lines.push(output::table(&["  table", "phase", ""], rows.collect(), &[]));
        for table in &link.tables {
            if let Some(why) = &table.reason {
                lines.push(styled(LOOK, &format!("  E0040 {} is halted: {why}", table.name)));
            }
        }
        lines.extend(quarantine(endpoint, link));
    }
    lines.extend(status.replica.iter().flat_map(|replica| replica_lines(endpoint, replica)));
    for (run, rows) in &status.journal {
        let rows = count(*rows, "row", "rows");
        lines.push(format!("  journal: run {run} replaced or deleted {rows}; undo with `tidewater conflicts restore`"));
    }
    lines
}

/// Rows in quarantine: the first of them, and how to see the others.
fn quarantine(endpoint: &Endpoint, link: &LinkStatus) -> Vec<String> {
    let one = |held: &Held| {
        styled(LOOK, &format!("  E0050 {} key {} is in quarantine: {}", held.table, held.key, held.reason))
    };
    let mut lines: Vec<String> = link.held.iter().take(NAMED).map(one).collect();
    if link.held_rows() > 0 {
        let rows = count(link.held_rows(), "row", "rows");
        lines.push(format!("  {rows} in quarantine; see: tidewater quarantine list {}", endpoint.typed()));
    }
    if link.discarded > 0 {
        let rows = count(link.discarded, "row was given up", "rows were given up");
        lines.push(format!("  {rows}; see: tidewater quarantine list {} --discarded", endpoint.typed()));
    }
    lines
}

/// How far a link is behind.
fn behind(behind: Behind) -> String {
    match behind {
        Behind::Changes(0) => styled(GOOD, "has everything logged so far"),
        Behind::Changes(n) => format!("{} behind", count(n, "change", "changes")),
        Behind::Bytes(n) => format!("{} of the server's log behind", bytes(n)),
        Behind::Resting => "nothing is kept for it between runs: the next one compares all tables".to_owned(),
        Behind::TooFar => styled(LOOK, "so far behind that the next run compares all tables"),
    }
}

/// What it does both ways.
fn replica_lines(endpoint: &Endpoint, replica: &ReplicaStatus) -> Vec<String> {
    let pending = match replica.pending {
        0 => styled(GOOD, "every write has its version"),
        n => format!("{} since the last run", count(n, "write", "writes")),
    };
    let tables = count(replica.tables.len() as u64, "table", "tables");
    let mut lines = vec![format!("  ↔ both ways as {}: {tables}, {pending}", replica.endpoint)];
    for peer in &replica.peers {
        let waiting = match peer.waiting {
            Some(0) => styled(GOOD, "has everything"),
            Some(n) => format!("{} to go there", count(n, "row", "rows")),
            None => styled(FAINT, "not known how far it is"),
        };
        let heard = peer.heard_at.as_ref().map(|at| format!("  (last read {at} UTC)")).unwrap_or_default();
        lines.push(format!("  ↔ {}  {waiting}{heard}", peer.endpoint));
    }
    let rows = replica.tables.iter().map(|(table, rule)| vec![table.clone(), rule.clone()]);
    lines.push(output::table(&["  table", "conflicts"], rows.collect(), &[]));
    if replica.conflicts > 0 {
        let open = match replica.conflicts_open {
            0 => String::new(),
            n => styled(LOOK, &format!(", {} open", number(n))),
        };
        let conflicts = count(replica.conflicts, "conflict", "conflicts");
        lines.push(format!("  journal: {conflicts}{open}; see: tidewater conflicts list {}", endpoint.typed()));
    }
    if replica.parked > 0 {
        let rows = count(replica.parked, "row stands aside", "rows stand aside");
        lines
            .push(styled(LOOK, &format!("  {rows}: another row has a unique value of theirs, or a parent is missing")));
    }
    lines
}

fn replica_facts(replica: &ReplicaStatus) -> Value {
    let tables = replica.tables.iter().map(|(table, rule)| json!({ "table": table, "conflicts": rule }));
    let peers = replica
        .peers
        .iter()
        .map(|p| json!({ "endpoint": p.endpoint, "rows_waiting": p.waiting, "heard_at": p.heard_at }));
    json!({
        "endpoint": replica.endpoint, "tables": tables.collect::<Vec<_>>(), "pending": replica.pending,
        "peers": peers.collect::<Vec<_>>(), "conflicts": replica.conflicts, "conflicts_open": replica.conflicts_open,
        "parked": replica.parked,
    })
}

fn follower_facts(follower: &FollowerStatus) -> Value {
    let (changes, bytes) = match follower.behind {
        Behind::Changes(n) => (Some(n), None),
        Behind::Bytes(n) => (None, Some(n)),
        Behind::Resting | Behind::TooFar => (None, None),
    };
    json!({
        "link": follower.link, "target": follower.target, "pending": changes, "log_bytes": bytes,
        "resting": follower.behind == Behind::Resting,
        "too_far_behind": follower.behind == Behind::TooFar, "seen_at": follower.seen_at,
    })
}

fn facts(endpoint: &Endpoint, status: &Status) -> Value {
    let followers: Vec<Value> = status.followers.iter().map(follower_facts).collect();
    let links: Vec<Value> = status
        .links
        .iter()
        .map(|l| {
            let tables: Vec<Value> = l
                .tables
                .iter()
                .map(|t| json!({ "table": t.name, "phase": t.phase, "reason": t.reason, "quarantined": t.held }))
                .collect();
            let held: Vec<Value> = l
                .held
                .iter()
                .map(|h| json!({ "table": h.table, "key": h.key.to_string(), "reason": h.reason }))
                .collect();
            json!({
                "link": l.link, "source": l.source, "position": l.position, "updated_at": l.updated_at,
                "tables": tables, "quarantine": held, "quarantined": l.held_rows(), "discarded": l.discarded,
            })
        })
        .collect();
    let journal: Vec<Value> = status.journal.iter().map(|(run, rows)| json!({ "run": run, "rows": rows })).collect();
    json!({
        "database": endpoint.shown(), "identity": status.identity, "followers": followers, "links": links,
        "journal": journal, "replica": status.replica.as_ref().map(replica_facts), "needs_attention": needs_attention(status),
    })
}
