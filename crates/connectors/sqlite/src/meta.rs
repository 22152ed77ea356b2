//! What we keep in a database: tables named `_tidewater_…`, beside the user's, which are not altered.
//!
//! Drawn column by column in `docs/formats/sqlite.md`. A source has the log, its table numbers and its readers;
//! a target has its links, their tables, held rows and the journal; both have the control row.

use rusqlite::{Connection, OptionalExtension};

/// The version of these tables.
pub(crate) const FORMAT: i64 = 2;

/// Everything ours begins with this.
pub(crate) const PREFIX: &str = "_tidewater_";

const CONTROL: &str = "
CREATE TABLE IF NOT EXISTS _tidewater_control(
  id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, identity TEXT NOT NULL,
  cookie INTEGER);";

// The log always keeps its newest entry, so that numbers grow for ever without AUTOINCREMENT's own bookkeeping.
const SOURCE: &str = "
CREATE TABLE IF NOT EXISTS _tidewater_log(seq INTEGER PRIMARY KEY, tab INTEGER, k1);
CREATE TABLE IF NOT EXISTS _tidewater_table(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, via TEXT NOT NULL, top INTEGER, at REAL, UNIQUE (name, via));
CREATE TABLE IF NOT EXISTS _tidewater_reader(
  link TEXT PRIMARY KEY, target TEXT NOT NULL, target_identity TEXT NOT NULL, marks TEXT NOT NULL,
  confirmed INTEGER NOT NULL, seen_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _tidewater_reader_table(
  link TEXT NOT NULL, tab INTEGER NOT NULL, void INTEGER NOT NULL, PRIMARY KEY (link, tab)) WITHOUT ROWID;";

const TARGET: &str = "
CREATE TABLE IF NOT EXISTS _tidewater_link(
  link TEXT PRIMARY KEY, source TEXT NOT NULL, source_identity TEXT NOT NULL, existing TEXT NOT NULL,
  position TEXT, cookie INTEGER, updated_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _tidewater_link_table(
  link TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL, digest TEXT NOT NULL, phase TEXT NOT NULL,
  through BLOB, reason TEXT, columns TEXT, PRIMARY KEY (link, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tidewater_held(
  link TEXT NOT NULL, name TEXT NOT NULL, key BLOB NOT NULL, reason TEXT NOT NULL, since TEXT NOT NULL,
  tries INTEGER NOT NULL DEFAULT 1, discarded TEXT, PRIMARY KEY (link, name, key)) WITHOUT ROWID;";

/// Rows that were replaced or deleted by a comparison, so that it can be undone.
pub(crate) const JOURNAL: &str = "
CREATE TABLE IF NOT EXISTS _tidewater_journal(
  id INTEGER PRIMARY KEY, run TEXT NOT NULL, link TEXT NOT NULL, target TEXT NOT NULL, columns TEXT NOT NULL,
  key_columns TEXT NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL, row BLOB NOT NULL, at TEXT NOT NULL);";

// A row's version is found by its key. The queue is only ever appended to; entries whose version has moved on are
// left behind, and pruned now and then.
const REPLICA: &str = "
CREATE TABLE IF NOT EXISTS _tidewater_replica(
  id INTEGER PRIMARY KEY CHECK (id = 1), endpoint TEXT NOT NULL, node INTEGER NOT NULL, seq INTEGER NOT NULL,
  position TEXT NOT NULL, witnessed INTEGER NOT NULL, prune_at INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS _tidewater_node(
  number INTEGER PRIMARY KEY, node BLOB NOT NULL UNIQUE, endpoint TEXT NOT NULL, counter INTEGER NOT NULL,
  own_from INTEGER, met INTEGER NOT NULL DEFAULT 0, confirmed INTEGER);
CREATE TABLE IF NOT EXISTS _tidewater_heard(
  node INTEGER NOT NULL, scope TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (node, scope)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tidewater_shared(
  tab INTEGER PRIMARY KEY, name TEXT NOT NULL, columns BLOB NOT NULL, rules BLOB NOT NULL,
  rules_before TEXT NOT NULL, reshow INTEGER NOT NULL, phase TEXT NOT NULL, through BLOB, digest BLOB NOT NULL, columns_before BLOB,
  keep_days INTEGER, part BLOB, lacking INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS _tidewater_sent(
  leaf INTEGER NOT NULL, tab INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (leaf, tab, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tidewater_version(
  tab INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL, hash BLOB, state BLOB NOT NULL,
  PRIMARY KEY (tab, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tidewater_queue(
  seq INTEGER PRIMARY KEY, via INTEGER NOT NULL, tab INTEGER NOT NULL, key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS _tidewater_parked(
  tab INTEGER NOT NULL, key BLOB NOT NULL, row BLOB NOT NULL, unfit INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (tab, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tidewater_conflict(
  id BLOB PRIMARY KEY, tab INTEGER NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL, rule TEXT NOT NULL,
  open INTEGER NOT NULL, state BLOB NOT NULL, shown BLOB, at INTEGER NOT NULL, ended INTEGER,
  run TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS _tidewater_conflict_row ON _tidewater_conflict(tab, key);
CREATE INDEX IF NOT EXISTS _tidewater_conflict_ended ON _tidewater_conflict(tab, ended) WHERE ended IS NOT NULL;";

/// The tables of the source's part, in the order in which they can be dropped.
pub(crate) const SOURCE_TABLES: [&str; 4] =
    ["_tidewater_log", "_tidewater_table", "_tidewater_reader_table", "_tidewater_reader"];

/// The tables of the target's part.
pub(crate) const TARGET_TABLES: [&str; 4] =
    ["_tidewater_link", "_tidewater_link_table", "_tidewater_held", "_tidewater_journal"];

/// The tables of the replica's part.
pub(crate) const REPLICA_TABLES: [&str; 9] = [
    "_tidewater_replica",
    "_tidewater_node",
    "_tidewater_heard",
    "_tidewater_shared",
    "_tidewater_sent",
    "_tidewater_version",
    "_tidewater_queue",
    "_tidewater_parked",
    "_tidewater_conflict",
];

/// The format and identity stored here, if any.
pub(crate) fn identity(connection: &Connection) -> rusqlite::Result<Option<(i64, String)>> {
    if !has_table(connection, "_tidewater_control")? {
        return Ok(None);
    }
    connection
        .query_row("SELECT format, identity FROM _tidewater_control", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Whether a table is there.
pub(crate) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)")?
        .query_row([name], |row| row.get(0))
}

/// Makes the source's part. Says whether anything was made.
pub(crate) fn make_source(connection: &Connection, identity: &str) -> rusqlite::Result<bool> {
    let made = !has_table(connection, "_tidewater_reader")?;
    make_control(connection, identity)?;
    connection.execute_batch(SOURCE)?;
    upgrade_source(connection)?;
    Ok(made)
}

/// Whether a source is as this format has it: in format 1 each row was logged by its key.
pub(crate) fn has_tops(connection: &Connection) -> rusqlite::Result<bool> {
    has_column(connection, "_tidewater_table", "top")
}

/// Whether a table of ours has a column, which earlier ones may lack.
pub(crate) fn has_column(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)")?
        .query_row([table, column], |row| row.get(0))
}

/// Brings what an earlier format left in a source to this one. Its triggers are made anew by `begin`.
pub(crate) fn upgrade_source(connection: &Connection) -> rusqlite::Result<()> {
    for (column, declared) in [("top", "INTEGER"), ("at", "REAL")] {
        if !has_column(connection, "_tidewater_table", column)? {
            connection.execute_batch(&format!("ALTER TABLE _tidewater_table ADD COLUMN {column} {declared}"))?;
        }
    }
    Ok(())
}

/// Makes the target's part.
pub(crate) fn make_target(connection: &Connection, identity: &str) -> rusqlite::Result<()> {
    make_control(connection, identity)?;
    connection.execute_batch(TARGET)?;
    upgrade_target(connection)
}

/// Brings what an earlier version made in a target to this one.
pub(crate) fn upgrade_target(connection: &Connection) -> rusqlite::Result<()> {
    for (column, declared) in [("tries", "INTEGER NOT NULL DEFAULT 1"), ("discarded", "TEXT")] {
        if !has_column(connection, "_tidewater_held", column)? {
            connection.execute_batch(&format!("ALTER TABLE _tidewater_held ADD COLUMN {column} {declared}"))?;
        }
    }
    Ok(())
}

/// Makes the replica's part. Says whether anything was made.
pub(crate) fn make_replica(connection: &Connection, identity: &str) -> rusqlite::Result<bool> {
    let made = !has_table(connection, "_tidewater_replica")?;
    make_source(connection, identity)?;
    connection.execute_batch(REPLICA)?;
    for (table, column, declared) in [
        ("_tidewater_log", "at", "REAL"),
        ("_tidewater_shared", "keep_days", "INTEGER"),
        ("_tidewater_shared", "part", "BLOB"),
        ("_tidewater_shared", "lacking", "INTEGER NOT NULL DEFAULT 0"),
    ] {
        if !has_column(connection, table, column)? {
            connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {declared}"))?;
        }
    }
    crate::triggers::install_ranges(connection)?;
    Ok(made)
}

/// Whether the log can say when a row was written, which replicas ask for.
pub(crate) fn log_has_time(connection: &Connection) -> rusqlite::Result<bool> {
    has_column(connection, "_tidewater_log", "at")
}

/// Whether a table is written on several sides.
pub(crate) fn is_shared(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    if !has_table(connection, "_tidewater_shared")? {
        return Ok(false);
    }
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM _tidewater_shared WHERE name = ?1 COLLATE NOCASE)")?
        .query_row([table], |row| row.get(0))
}

fn make_control(connection: &Connection, identity: &str) -> rusqlite::Result<()> {
    connection.execute_batch(CONTROL)?;
    connection.execute(
        "INSERT INTO _tidewater_control(id, format, identity) VALUES (1, ?1, ?2) ON CONFLICT DO NOTHING",
        (FORMAT, identity),
    )?;
    connection.execute("UPDATE _tidewater_control SET format = ?1 WHERE format < ?1", [FORMAT]).map(drop)
}

/// The number under which a table's writes are logged: those of other programs (`via` is empty), or what the engine
/// applies, by the link that it came through.
pub(crate) fn table_number(connection: &Connection, name: &str, via: &str) -> rusqlite::Result<i64> {
    connection
        .execute("INSERT INTO _tidewater_table(name, via) VALUES (?1, ?2) ON CONFLICT DO NOTHING", [name, via])?;
    connection.query_row("SELECT id FROM _tidewater_table WHERE name = ?1 AND via = ?2", [name, via], |row| row.get(0))
}

/// The number that changes with every change of the schema, and with VACUUM.
pub(crate) fn cookie(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}
