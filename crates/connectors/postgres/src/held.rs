//! The quarantine of a target: an entry for each row that could not be written, changed in the transaction of the batch
//! that it is about. What the entries mean is in `tidewater_core::apply`. Tests: `tests/it/links/quarantine.rs`.

use crate::ledger::key;
use crate::meta::{self, bytes};
use crate::schema::{cell, has_table};
use crate::session::Session;
use crate::settings::Settings;
use crate::wire::quoted_text;
use std::collections::{BTreeMap, HashMap, HashSet};
use tidewater_core::apply::{Held, Quarantined, Which};
use tidewater_core::change::{Change, Key, Mapping};
use tidewater_core::env::Env;
use tidewater_core::transport::{Batch, Progress};
use tidewater_core::{Error, Result};

/// The entries with all their columns.
const ENTRIES: &str = "tidewater.held";
/// The same where an earlier version made the table without some.
const ENTRIES_BEFORE: &str =
    "(SELECT *, 1::bigint AS tries, NULL::timestamptz AS discarded FROM tidewater.held) AS entries";

/// One answer of the server holds so many entries at the most, which are as large as keys and reasons are.
const PAGE_MAX: u64 = 1_000;

/// The entries, as a table with all its columns.
async fn entries(session: &mut Session) -> Result<&'static str> {
    Ok(if meta::has_discarded(session).await? { ENTRIES } else { ENTRIES_BEFORE })
}

/// How many rows wait, by table; and how many were discarded.
pub(crate) async fn count(session: &mut Session, link: &str) -> Result<(BTreeMap<String, u64>, u64)> {
    let sql = format!(
        "SELECT name, count(*) FILTER (WHERE discarded IS NULL), count(discarded) FROM {} WHERE link = {} GROUP BY name",
        entries(session).await?,
        quoted_text(link)
    );
    let (mut waiting, mut discarded) = (BTreeMap::new(), 0);
    for row in session.query(&sql).await?.rows {
        let number = |at: usize| Ok::<u64, Error>(cell(&row, at)?.parse().unwrap_or(0));
        discarded += number(2)?;
        if number(1)? > 0 {
            waiting.insert(cell(&row, 0)?.to_owned(), number(1)?);
        }
    }
    Ok((waiting, discarded))
}

/// Whether the link has any entry.
pub(crate) async fn has_any(session: &mut Session, link: &str) -> Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT FROM tidewater.held WHERE link = {})", quoted_text(link));
    Ok(session.query(&sql).await?.rows.first().is_some_and(|row| row[0].as_deref() == Some("t")))
}

/// A page of entries.
pub(crate) async fn page(session: &mut Session, which: &Which) -> Result<Vec<Quarantined>> {
    let mut found = Vec::new();
    let from = entries(session).await?;
    // Where many are asked for, they come in several answers.
    while (found.len() as u64) < which.rows_max {
        let most = PAGE_MAX.min(which.rows_max - found.len() as u64);
        let sql = page_sql(which, from, most, which.skip + found.len() as u64);
        let rows = session.query(&sql).await?.rows;
        let ends = (rows.len() as u64) < most;
        for row in &rows {
            found.push(entry(row)?);
        }
        if ends {
            break;
        }
    }
    Ok(found)
}

fn page_sql(which: &Which, from: &str, most: u64, skip: u64) -> String {
    let mut conditions = vec![format!("discarded IS {}", if which.discarded { "NOT NULL" } else { "NULL" })];
    if !which.links.is_empty() {
        let links: Vec<String> = which.links.iter().map(|link| quoted_text(link)).collect();
        conditions.push(format!("link IN ({})", links.join(", ")));
    }
    conditions.extend(which.table.as_ref().map(|table| format!("name = {}", quoted_text(table))));
    conditions.extend(which.after.as_ref().map(|after| format!("key > {}", bytes(after.as_bytes()))));
    format!(
        "SELECT link, name, key, left(reason, 1000), to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), tries, \
         to_char(discarded AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM {from} WHERE {} \
         ORDER BY link, name, key LIMIT {most} OFFSET {skip}",
        conditions.join(" AND ")
    )
}

fn entry(row: &[Option<String>]) -> Result<Quarantined> {
    let held = Held { table: cell(row, 1)?.to_owned(), key: key(cell(row, 2)?)?, reason: cell(row, 3)?.to_owned() };
    Ok(Quarantined {
        link: cell(row, 0)?.to_owned(),
        held,
        since: cell(row, 4)?.to_owned(),
        tries: cell(row, 5)?.parse().unwrap_or(1),
        discarded_at: row[6].clone(),
    })
}

/// Rows by table and key, as a list for `IN`.
fn rows<'c>(mappings: &[Mapping], changes: impl Iterator<Item = &'c Change>) -> Vec<String> {
    let row = |change: &Change| {
        format!("({}, {})", quoted_text(&mappings[change.table].source.table), bytes(change.key.as_bytes()))
    };
    changes.map(row).collect()
}

/// The statement that finds out which changes of a batch are not to be written now: parts of rows that are not here as
/// a whole, which counts as a try; and rows tried again, whose entries must be as they were. It locks their entries.
pub(crate) fn left_alone_sql(mappings: &[Mapping], batch: &Batch, link: &str) -> Option<String> {
    let retried = matches!(batch.progress, Progress::Retried { .. });
    let asked = rows(mappings, batch.changes.iter().filter(|change| retried || change.is_partial()));
    if asked.is_empty() {
        return None;
    }
    let (link, asked) = (quoted_text(link), asked.join(", "));
    Some(match retried {
        true => format!(
            "SELECT name, key, tries FROM tidewater.held WHERE link = {link} AND (name, key) IN ({asked}) \
             AND discarded IS NULL ORDER BY name, key FOR UPDATE"
        ),
        false => format!(
            "UPDATE tidewater.held SET tries = tries + 1, discarded = NULL \
             WHERE link = {link} AND (name, key) IN ({asked}) RETURNING name, key, tries"
        ),
    })
}

/// The changes not to be written now, by the answer to [`left_alone_sql`].
pub(crate) fn left_alone(
    mappings: &[Mapping],
    batch: &Batch,
    answer: &[Vec<Option<String>>],
) -> Result<HashSet<usize>> {
    let mut found: HashMap<(String, Key), u64> = HashMap::new();
    for row in answer {
        found.insert((cell(row, 0)?.to_owned(), key(cell(row, 1)?)?), cell(row, 2)?.parse().unwrap_or(0));
    }
    let now = |change: &Change| found.get(&(mappings[change.table].source.table.clone(), change.key.clone())).copied();
    let changes = batch.changes.iter().enumerate();
    let alone = changes.filter(|(at, change)| match &batch.progress {
        Progress::Retried { tries } => now(change).is_none() || now(change) != tries.get(*at).copied(),
        _ => change.is_partial() && now(change).is_some(),
    });
    Ok(alone.map(|(at, _)| at).collect())
}

/// The statement that takes out the entries of changes that were written.
pub(crate) fn release_sql<'c>(
    mappings: &[Mapping],
    changes: impl Iterator<Item = &'c Change>,
    link: &str,
) -> Option<String> {
    let written = rows(mappings, changes);
    let sql = |written: &[String]| {
        format!(
            "DELETE FROM tidewater.held WHERE link = {} AND (name, key) IN ({})",
            quoted_text(link),
            written.join(", ")
        )
    };
    (!written.is_empty()).then(|| sql(&written))
}

/// The statement that enters what could not be written. A comparison does not know whether the row `changed` since it
/// was discarded.
pub(crate) fn enter_sql(held: &[Held], changed: bool, link: &str) -> Option<String> {
    let link = quoted_text(link);
    let entry = |held: &Held| {
        let (table, reason) = (quoted_text(&held.table), quoted_text(&held.reason));
        format!("({link}, {table}, {}, {reason}, now())", bytes(held.key.as_bytes()))
    };
    let entries: Vec<String> = held.iter().map(entry).collect();
    let discarded = if changed { "NULL" } else { "tidewater.held.discarded" };
    (!entries.is_empty()).then(|| {
        format!(
            "INSERT INTO tidewater.held(link, name, key, reason, since) VALUES {} ON CONFLICT (link, name, key) DO UPDATE \
             SET reason = excluded.reason, tries = tidewater.held.tries + 1, discarded = {discarded}",
            entries.join(", ")
        )
    })
}

/// Discards entries; which, or all of them: the target keeps what it has of these rows until they change at the source.
/// An engine at work that tries one of them again finds its entry changed. Says how many.
pub async fn discard(settings: &Settings, which: &Which, keys: &[Key], env: &Env) -> Result<u64> {
    let mut session = Session::open(settings, env).await?;
    if !has_table(&mut session, "held").await? {
        return Ok(0);
    }
    meta::check(&mut session).await?;
    meta::make(&mut session).await?;
    let links: Vec<String> = which.links.iter().map(|link| quoted_text(link)).collect();
    let table = which.table.as_ref().map_or(String::new(), |table| format!(" AND name = {}", quoted_text(table)));
    let keys: Vec<String> = keys.iter().map(|key| bytes(key.as_bytes())).collect();
    let keys = if keys.is_empty() { String::new() } else { format!(" AND key IN ({})", keys.join(", ")) };
    let sql = format!(
        "UPDATE tidewater.held SET discarded = now(), tries = tries + 1 WHERE link IN ({}){table}{keys} \
         AND discarded IS NULL",
        links.join(", ")
    );
    Ok(session.query(&sql).await?.affected)
}

/// A page of a database's quarantine. Read only; works while an engine runs.
pub async fn quarantine(settings: &Settings, which: &Which, env: &Env) -> Result<Vec<Quarantined>> {
    let mut session = Session::open(settings, env).await?;
    match has_table(&mut session, "held").await? {
        true => page(&mut session, which).await,
        false => Ok(vec![]),
    }
}
