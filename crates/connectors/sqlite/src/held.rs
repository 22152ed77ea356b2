//! The quarantine of a target: an entry for each row that could not be written, changed in the transaction of the batch
//! that it is about. What the entries mean is in `tidewater_core::apply`. Tests: `tests/it/quarantine.rs`.

use crate::connection::{Access, Database, Open};
use crate::ledger::key;
use crate::meta;
use crate::own_ddl;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::collections::{BTreeMap, HashSet};
use tidewater_core::Result;
use tidewater_core::apply::{Held, Quarantined, Which, Written};
use tidewater_core::change::{Key, Mapping};
use tidewater_core::env::Env;
use tidewater_core::transport::{Batch, Progress};

/// How many rows wait, by table; `discarded` counts those that somebody discarded.
pub(crate) fn count(c: &Connection, link: &str, discarded: bool) -> rusqlite::Result<BTreeMap<String, u64>> {
    let wanted = if discarded { "NOT NULL" } else { "NULL" };
    let sql =
        format!("SELECT name, count(*) FROM {} WHERE link = ?1 AND discarded IS {wanted} GROUP BY name", table(c)?);
    c.prepare_cached(&sql)?.query_map([link], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// A page of entries.
pub(crate) fn page(c: &Connection, which: &Which) -> rusqlite::Result<Result<Vec<Quarantined>>> {
    let mut values: Vec<Value> = which.links.iter().map(|link| Value::Text(link.clone())).collect();
    let mut conditions = vec![format!("discarded IS {}", if which.discarded { "NOT NULL" } else { "NULL" })];
    if !values.is_empty() {
        conditions.push(format!("link IN ({})", vec!["?"; values.len()].join(", ")));
    }
    if let Some(table) = &which.table {
        conditions.push("name = ?".to_owned());
        values.push(Value::Text(table.clone()));
    }
    if let Some(after) = &which.after {
        conditions.push("key > ?".to_owned());
        values.push(Value::Blob(after.as_bytes().to_vec()));
    }
    values.extend([which.rows_max, which.skip].map(|n| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))));
    let sql = format!(
        "SELECT link, name, key, reason, since, tries, discarded FROM {} WHERE {} ORDER BY link, name, key LIMIT ? OFFSET ?",
        table(c)?,
        conditions.join(" AND ")
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        let (link, table, bytes, reason) = (row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?, row.get(3)?);
        let (since, tries, discarded_at) = (row.get(4)?, row.get(5)?, row.get(6)?);
        let entry = |key| Quarantined { link, held: Held { table, key, reason }, since, tries, discarded_at };
        Ok(key(&bytes).map(entry))
    })?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().collect())
}

/// The entries, as a table with all its columns: earlier versions made it without some.
fn table(c: &Connection) -> rusqlite::Result<&'static str> {
    Ok(match meta::has_column(c, "_tidewater_held", "discarded")? {
        true => "_tidewater_held",
        false => "(SELECT *, 1 AS tries, NULL AS discarded FROM _tidewater_held)",
    })
}

/// Whether the link has any entry.
fn has_any(c: &Connection, link: &str) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM _tidewater_held WHERE link = ?1)")?
        .query_row([link], |row| row.get(0))
}

/// The changes of a batch that are not to be written now: parts of rows that are not here as a whole, which counts as
/// a try; and rows tried again whose entries are not as they were.
pub(crate) fn left_alone(
    c: &Connection,
    mappings: &[Mapping],
    batch: &Batch,
    link: &str,
) -> rusqlite::Result<HashSet<usize>> {
    let retried = matches!(batch.progress, Progress::Retried { .. });
    if !(retried || batch.changes.iter().any(tidewater_core::change::Change::is_partial)) || !has_any(c, link)? {
        return Ok(if retried { (0..batch.changes.len()).collect() } else { HashSet::new() });
    }
    meta::upgrade_target(c)?;
    let mut alone = HashSet::new();
    for (at, change) in batch.changes.iter().enumerate() {
        let row = (link, &mappings[change.table].source.table, change.key.as_bytes());
        let is_alone = match &batch.progress {
            Progress::Retried { tries } => {
                let sql = "SELECT tries FROM _tidewater_held WHERE link = ?1 AND name = ?2 AND key = ?3 AND discarded IS NULL";
                let now: Option<u64> = c.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?;
                now.is_none() || now != tries.get(at).copied()
            }
            _ if change.is_partial() => {
                let sql = "UPDATE _tidewater_held SET tries = tries + 1, discarded = NULL WHERE link = ?1 AND name = ?2 AND key = ?3";
                c.prepare_cached(sql)?.execute(row)? > 0
            }
            _ => false,
        };
        if is_alone {
            alone.insert(at);
        }
    }
    Ok(alone)
}

/// Enters what could not be written, and takes out what was. Says how many that are.
pub(crate) fn keep(
    c: &Connection,
    mappings: &[Mapping],
    (batch, written): (&Batch, &Written),
    link: &str,
) -> rusqlite::Result<u64> {
    let mut released = 0;
    if has_any(c, link)? {
        let failed: HashSet<(&str, &Key)> = written.held.iter().map(|h| (h.table.as_str(), &h.key)).collect();
        for change in &batch.changes {
            let name = &mappings[change.table].source.table;
            if !failed.contains(&(name.as_str(), &change.key)) {
                released += c
                    .prepare_cached("DELETE FROM _tidewater_held WHERE link = ?1 AND name = ?2 AND key = ?3")?
                    .execute((link, name, change.key.as_bytes()))? as u64;
            }
        }
    }
    if !written.held.is_empty() {
        meta::upgrade_target(c)?;
    }
    // A comparison does not know whether the row changed since it was discarded.
    let changed = matches!(batch.progress, Progress::Position { .. });
    for held in &written.held {
        c.prepare_cached(
            "INSERT INTO _tidewater_held(link, name, key, reason, since) VALUES (?1, ?2, ?3, ?4, datetime('now')) \
             ON CONFLICT DO UPDATE SET reason = excluded.reason, tries = tries + 1, discarded = iif(?5, NULL, discarded)",
        )?
        .execute((link, &held.table, held.key.as_bytes(), &held.reason, changed))?;
    }
    Ok(released)
}

/// Discards entries; which, or all of them: the target keeps what it has of these rows until they change at the source.
/// Needs no lease: an engine that tries one of them again finds its entry changed. Says how many.
pub fn discard(database: &Database, which: &Which, keys: &[Key], env: &Env) -> Result<u64> {
    let open = Open::new(database, Access::Read, env)?;
    open.write(|c| {
        let before = meta::cookie(c).map_err(|e| open.explain(e))?;
        let work = || -> rusqlite::Result<u64> {
            if !meta::has_table(c, "_tidewater_held")? {
                return Ok(0);
            }
            meta::upgrade_target(c)?;
            let mut gone = 0;
            for link in &which.links {
                let all = "UPDATE _tidewater_held SET discarded = datetime('now'), tries = tries + 1 \
                           WHERE link = ?1 AND discarded IS NULL AND (?2 IS NULL OR name = ?2)";
                if keys.is_empty() {
                    gone += c.execute(all, (link, &which.table))?;
                }
                for key in keys {
                    gone += c.execute(&format!("{all} AND key = ?3"), (link, &which.table, key.as_bytes()))?;
                }
            }
            own_ddl::known(c, before)?;
            Ok(gone as u64)
        };
        work().map_err(|e| open.explain(e))
    })
}

/// A page of a database's quarantine. Read only; works while an engine runs.
pub fn quarantine(database: &Database, which: &Which, env: &Env) -> Result<Vec<Quarantined>> {
    if !database.exists() {
        return Err(crate::error::missing(&database.path, &database.shown));
    }
    let open = Open::new(database, Access::Read, env)?;
    open.read(|c| match meta::has_table(c, "_tidewater_held") {
        Ok(false) => Ok(vec![]),
        _ => page(c, which).map_err(|e| open.explain(e))?,
    })
}
