//! The triggers that capture installs: plain SQL that any SQLite library knows, since the application's own runs it.
//!
//! They append keys to the log, never values, and name only key and unique columns, so that dropping any other
//! column does not break on them. They call no function, and look up only what a unique index demands: each look would
//! cost the application as much as the log entry does. What is appended beyond the highest row number known is not
//! logged (`appended`). Only where a table is written on several sides do entries carry the time, by which concurrent
//! writes are ranked, and then appended rows are logged one by one until there are many. Past its cap the log forgets its oldest entries; the engine sees the gap and compares.
//! Tests: each trap by name in `tests/it/traps.rs`.

use crate::meta::PREFIX;
use crate::probes::{Probe, of_columns, probes};
use crate::schema::Details;
use crate::sql::{list, quote};
use rusqlite::{Connection, OptionalExtension};
use tidewater_core::change::Identity;

/// The log is cut to its cap once in so many entries, or in an eighth of the cap. A power of two: the test is one
/// bit operation.
const CUT_EVERY_MAX: u64 = 1024;

/// The time, as a Julian day number: what any SQLite library can tell to the millisecond. Asked for without `'now'`,
/// which it would have to read first.
const NOW: &str = "julianday()";

/// The view that rows with a time are handed to.
pub(crate) const APPENDED: &str = "_tidewater_appended";

/// Rows that were appended within this part of a day, 86 ms, may be logged by one entry, with the time of the first.
const RANGE_DAYS: &str = "0.000001";

/// One in so many appended rows that are logged by their keys begins a range: a range touches one page more than an
/// entry does, which is not worth it for rows that come one at a time. A power of two.
const RANGE_EVERY: i64 = 16;

/// The trigger on the log that keeps it bounded.
const CAP: &str = "_tidewater_cap";

/// A trigger: its name and the statement that makes it.
pub(crate) type Trigger = (String, String);

/// On whose connections triggers fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Any program's.
    Application,
    /// The engine's own, where the user's triggers are off: temporary triggers, which go with the connection.
    Engine,
}

impl Writer {
    /// `TEMP` or nothing, and the table as such a trigger names it.
    fn on(self, table: &str) -> (&'static str, String) {
        match self {
            Writer::Application => ("", quote(table)),
            Writer::Engine => ("TEMP ", format!("main.{}", quote(table))),
        }
    }
}

/// The triggers of one table, which log under the number `tab`; with the time where they are `timed`.
pub(crate) fn triggers(details: &Details, tab: i64, writer: Writer, timed: bool) -> Vec<Trigger> {
    let table = &details.table;
    let keys: Vec<&str> = table.key.iter().map(String::as_str).collect();
    let columns: Vec<String> = (1..=keys.len()).map(|n| format!("k{n}")).collect();
    let (at, tab_now) = if timed { ("at, ", format!("{tab}, {NOW}")) } else { ("", tab.to_string()) };
    let into = format!("INSERT INTO _tidewater_log(tab, {at}{})", columns.join(", "));
    let log = |row: &str| format!("{into} VALUES ({tab_now}, {});", list(&format!("{row}."), keys.iter().copied()));
    let probes = probes(details);
    let from = quote(&table.name);
    let found = |besides: &str| {
        let one = |p: &Probe| format!("EXISTS (SELECT 1 FROM {from} WHERE {}{besides})", p.condition);
        format!(" WHEN {}", probes.iter().map(one).collect::<Vec<_>>().join(" OR "))
    };
    let probed = |besides: &str| -> String {
        let key = list("", keys.iter().copied());
        let one = |p: &Probe| format!("{into} SELECT {tab_now}, {key} FROM {from} WHERE {}{besides};", p.condition);
        probes.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let moved: Vec<String> =
        keys.iter().map(|k| format!("OLD.{0} COLLATE BINARY IS NOT NEW.{0} COLLATE BINARY", quote(k))).collect();
    // A row number can be set under any of its names, and `UPDATE OF` goes by the name that was used.
    let aliases = if details.key_is_row_number { &["rowid", "oid", "_rowid_"][..] } else { &[] };
    let mut key_columns: Vec<&str> = if table.identity == Identity::RowNumber { vec![] } else { keys.clone() };
    key_columns.extend(aliases);
    let key_columns = list("", key_columns);
    let (unknown, appended) = inserts(details, tab, writer, timed);
    let mut parts = vec![
        ("i", "AFTER INSERT".to_owned(), unknown, appended.unwrap_or_else(|| log("NEW"))),
        ("u", "AFTER UPDATE".to_owned(), String::new(), log("NEW")),
        ("d", "AFTER DELETE".to_owned(), String::new(), log("OLD")),
        ("k", format!("AFTER UPDATE OF {key_columns}"), format!(" WHEN {}", moved.join(" OR ")), log("OLD")),
    ];
    if !probes.is_empty() {
        let same: Vec<String> = keys.iter().map(|k| format!("{0} = OLD.{0}", quote(k))).collect();
        let others = format!(" AND NOT ({})", same.join(" AND "));
        parts.push(("bi", "BEFORE INSERT".to_owned(), found(""), probed("")));
        parts.push(("bu", format!("BEFORE UPDATE{}", of_columns(&probes)), found(&others), probed(&others)));
    }
    let (temp, on) = writer.on(&table.name);
    let make = |(suffix, event, when, body): (&str, String, String, String)| {
        let name = format!("{PREFIX}{tab}_{suffix}");
        let sql = format!("CREATE {temp}TRIGGER {} {event} ON {on}{when} BEGIN {body} END", quote(&name));
        (name, sql)
    };
    parts.into_iter().map(make).collect()
}

/// Which of other programs' inserts are logged, and how. Where the highest row number known is gone, all are. The
/// engine's own are logged one by one, under its link.
fn inserts(details: &Details, tab: i64, writer: Writer, timed: bool) -> (String, Option<String>) {
    let (Writer::Application, Some(key)) = (writer, details.named_row_number()) else { return Default::default() };
    let (key, table) = (quote(key), quote(&details.table.name));
    if !timed {
        let top = format!("(SELECT top FROM _tidewater_table WHERE id = {tab})");
        return (format!(" WHEN (NEW.{key} > {top}) IS NOT 1"), None);
    }
    let in_range = format!("top < NEW.{key} AND {NOW} - at BETWEEN 0 AND {RANGE_DAYS}");
    let when = format!(" WHEN NOT EXISTS (SELECT 1 FROM _tidewater_table WHERE id = {tab} AND {in_range})");
    let body = format!("INSERT INTO {APPENDED} VALUES ({tab}, NEW.{key}, (SELECT max({key}) FROM {table}));");
    (when, Some(body))
}

/// Makes what the triggers with ranges hand their rows to: a view that holds nothing, with a trigger that logs the row by
/// its key, makes the entry for a range that is over, and now and then begins one.
///
/// It is apart because SQLite sets up all that a trigger could do for each row, whether it does it or not.
pub(crate) fn install_ranges(connection: &Connection) -> rusqlite::Result<()> {
    let turn = format!("(SELECT max(seq) FROM _tidewater_log) & {} = 0", RANGE_EVERY - 1);
    // Only the last row ends a range, or begins one: so rows beyond it are of later times.
    let last = "id = NEW.tab AND top < NEW.k AND NEW.k = NEW.last";
    connection.execute_batch(&format!(
        "CREATE VIEW IF NOT EXISTS {APPENDED} AS SELECT 0 AS tab, 0 AS k, 0 AS last;
         CREATE TRIGGER IF NOT EXISTS {APPENDED}_i INSTEAD OF INSERT ON {APPENDED} BEGIN
         INSERT INTO _tidewater_log(tab, at, k1) VALUES (NEW.tab, {NOW}, NEW.k);
         INSERT INTO _tidewater_log(tab, at, k1, k2) SELECT -id, at, top, NEW.k - 1 FROM _tidewater_table
         WHERE at IS NOT NULL AND {last};
         UPDATE _tidewater_table SET top = NEW.k, at = CASE WHEN at IS NULL THEN {NOW} END
         WHERE (at IS NOT NULL OR {turn}) AND {last};
         END;"
    ))
}

/// The trigger that bounds the log at about `rows_max` entries.
pub(crate) fn cap(rows_max: u64, writer: Writer) -> Trigger {
    let (temp, on) = writer.on("_tidewater_log");
    let mask = (rows_max.next_power_of_two() / 8).clamp(1, CUT_EVERY_MAX) - 1;
    let sql = format!(
        "CREATE {temp}TRIGGER {CAP} AFTER INSERT ON {on} WHEN NEW.seq & {mask} = 0 \
         BEGIN DELETE FROM _tidewater_log WHERE seq BETWEEN 1 AND NEW.seq - {rows_max}; END"
    );
    (CAP.to_owned(), sql)
}

/// Brings the log's own trigger to what it should be. Where other links read the log, the cap that is there stands:
/// two that disagree would otherwise change it for ever.
pub(crate) fn install_cap(connection: &Connection, rows_max: u64, shared: bool) -> rusqlite::Result<()> {
    let (name, sql) = cap(rows_max, Writer::Application);
    let there: Option<String> = connection
        .query_row("SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1", [&name], |row| row.get(0))
        .optional()?;
    if there.is_none() || (!shared && there.as_ref() != Some(&sql)) {
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {name}; {sql}"))?;
    }
    Ok(())
}

/// Brings the triggers on a table to what they should be. Says whether they were not.
pub(crate) fn install(connection: &Connection, details: &Details, tab: i64) -> rusqlite::Result<bool> {
    let timed = crate::meta::is_shared(connection, &details.table.name)?;
    let wanted = triggers(details, tab, Writer::Application, timed);
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
