//! The triggers that capture installs: plain SQL that any SQLite library knows, since the application's own runs it.
//!
//! They append keys to the log, never values, and name only key and unique columns, so that dropping any other
//! column does not break on them. Past its cap the log takes no more entries; the engine sees that and compares.
//! Tests: each trap by name in `tests/it/traps.rs`.

use crate::meta::PREFIX;
use crate::probes::{of_columns, probes};
use crate::schema::Details;
use crate::sql::{list, literal, quote};
use rusqlite::Connection;
use tidewater_core::change::Identity;

/// True while the log may grow. The newest entry is found by one seek.
const OPEN: &str =
    "(SELECT seq_max FROM _tidewater_control) > (SELECT seq FROM _tidewater_log ORDER BY seq DESC LIMIT 1)";

/// A trigger: its name and the statement that makes it.
pub(crate) type Trigger = (String, String);

/// The triggers of one table. With `via`, temporary ones for the engine's own connection, which log what the
/// engine applies under the link that it came through.
pub(crate) fn triggers(details: &Details, tab: i64, via: Option<&str>) -> Vec<Trigger> {
    let table = &details.table;
    let keys: Vec<&str> = table.key.iter().map(String::as_str).collect();
    let into = format!(
        "INSERT INTO _tidewater_log(tab, {}at, {})",
        if via.is_some() { "via, " } else { "" },
        (1..=keys.len()).map(|n| format!("k{n}")).collect::<Vec<_>>().join(", ")
    );
    let fixed = match via {
        Some(link) => format!("{tab}, {}, julianday('now')", literal(link)),
        None => format!("{tab}, julianday('now')"),
    };
    let log = |row: &str| format!("{into} VALUES ({fixed}, {});", list(&format!("{row}."), keys.iter().copied()));
    let probes = probes(details);
    let probed = |besides: &str| -> String {
        let key = list("", keys.iter().copied());
        let from = quote(&table.name);
        let one = |p: &crate::probes::Probe| {
            format!("{into} SELECT {fixed}, {key} FROM {from} WHERE {}{besides};", p.condition)
        };
        probes.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let moved: Vec<String> =
        keys.iter().map(|k| format!("OLD.{0} COLLATE BINARY IS NOT NEW.{0} COLLATE BINARY", quote(k))).collect();
    // A row number can be set under any of its names, and `UPDATE OF` goes by the name that was used.
    let aliases = if details.key_is_row_number { &["rowid", "oid", "_rowid_"][..] } else { &[] };
    let mut key_columns: Vec<&str> = if table.identity == Identity::RowNumber { vec![] } else { keys.clone() };
    key_columns.extend(aliases);
    let key_columns = list("", key_columns);
    let mut parts = vec![
        ("i", "AFTER INSERT".to_owned(), OPEN.to_owned(), log("NEW")),
        ("u", "AFTER UPDATE".to_owned(), OPEN.to_owned(), log("NEW")),
        ("d", "AFTER DELETE".to_owned(), OPEN.to_owned(), log("OLD")),
        ("k", format!("AFTER UPDATE OF {key_columns}"), format!("({}) AND {OPEN}", moved.join(" OR ")), log("OLD")),
    ];
    if !probes.is_empty() {
        let same: Vec<String> = keys.iter().map(|k| format!("{0} = OLD.{0}", quote(k))).collect();
        let others = format!(" AND NOT ({})", same.join(" AND "));
        parts.push(("bi", "BEFORE INSERT".to_owned(), OPEN.to_owned(), probed("")));
        parts.push(("bu", format!("BEFORE UPDATE{}", of_columns(&probes)), OPEN.to_owned(), probed(&others)));
    }
    let (temp, on) = match via {
        Some(_) => ("TEMP ", format!("main.{}", quote(&table.name))),
        None => ("", quote(&table.name)),
    };
    let make = |(suffix, event, when, body): (&str, String, String, String)| {
        let name = format!("{PREFIX}{tab}_{suffix}");
        let sql = format!("CREATE {temp}TRIGGER {} {event} ON {on} WHEN {when} BEGIN {body} END", quote(&name));
        (name, sql)
    };
    parts.into_iter().map(make).collect()
}

/// Brings the triggers on a table to what they should be. Says whether they were not.
pub(crate) fn install(connection: &Connection, details: &Details, tab: i64) -> rusqlite::Result<bool> {
    let wanted = triggers(details, tab, None);
    let mut there = on_table(connection, &details.table.name)?;
    there.sort();
    let mut sorted = wanted.clone();
    sorted.sort();
    if there == sorted {
        return Ok(false);
    }
    for (name, _) in &there {
        connection.execute_batch(&format!("DROP TRIGGER {}", quote(name)))?;
    }
    for (name, sql) in &wanted {
        // Left behind on another table, after a rename.
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote(name)))?;
        connection.execute_batch(sql)?;
    }
    Ok(true)
}

/// Our triggers on a table.
pub(crate) fn on_table(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Trigger>> {
    connection
        .prepare_cached(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE \
             AND substr(name, 1, 11) = '_tidewater_' AND name NOT LIKE '%protect%'",
        )?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
