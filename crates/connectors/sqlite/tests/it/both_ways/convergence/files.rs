//! Members' files: what they hold, and copies of them.

use super::oracle::{Holding, Item};
use super::programs::{self, SHAPES};
use crate::both_ways::group::open;
use crate::given::block_on;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use tidewater_core::change::{Key, Row, Value};
use tidewater_core::replica::Selection;
use tidewater_sqlite::Access;

pub(super) fn connect(path: &Path) -> Connection {
    let c = Connection::open(path).expect("it opens");
    c.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
    c
}

/// The columns of a table in the order of the engine: by name.
pub(super) fn columns(c: &Connection, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY lower(name)");
    let mut statement = c.prepare(&sql).expect("the schema is read");
    statement.query_map([], |row| row.get(0)).expect("columns").collect::<Result<_, _>>().expect("names")
}

/// The rows of a table by key.
pub(super) fn rows(c: &Connection, table: &str, key: &[&str]) -> BTreeMap<Key, Row> {
    let names = columns(c, table);
    let places: Vec<usize> = key.iter().filter_map(|k| names.iter().position(|name| name == k)).collect();
    let mut statement = c.prepare(&format!("SELECT {} FROM {table}", names.join(", "))).expect("a table");
    let mut found = BTreeMap::new();
    let mut rows = statement.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let values = (0..names.len()).map(|at| programs::value(row.get_ref(at).expect("a value")));
        let row = Row::new(values.collect::<Vec<_>>());
        found.insert(row.pick(&places), row);
    }
    found
}

/// A key as the engine stores it: a single integer as such, any other in the encoding of rows.
fn stored_key(from: ValueRef<'_>) -> Key {
    match from {
        ValueRef::Blob(bytes) => Row::from_bytes(bytes, 1).or_else(|_| Row::from_bytes(bytes, 2)).expect("a key"),
        other => Row::new([programs::value(other)]),
    }
}

/// The key and the content of each row that stands aside, by table.
pub(super) fn parked(c: &Connection) -> BTreeSet<(String, Key, Row)> {
    let sql = "SELECT s.name, p.key, p.row FROM _tidewater_parked p JOIN _tidewater_shared s ON s.tab = p.tab";
    let mut statement = c.prepare(sql).expect("a replica");
    let mut rows = statement.query([]).expect("rows");
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next().expect("a row") {
        let (table, content): (String, Vec<u8>) = (row.get(0).expect("a name"), row.get(2).expect("a row"));
        let content = Row::from_bytes(&content, columns(c, &table).len()).expect("a row in our encoding");
        found.insert((table, stored_key(row.get_ref(1).expect("a key")), content));
    }
    found
}

fn items(table: &str, key: &Key, columns: &[String], row: &Row) -> Vec<Item> {
    let texts = row.values().zip(columns).filter_map(|(value, column)| match value {
        Value::Text(text) => Some(((table.to_owned(), key.to_string(), column.clone()), text.into_owned())),
        _ => None,
    });
    texts.collect()
}

/// Everything that a file holds.
pub(super) fn holding(path: &Path) -> Holding {
    let c = connect(path);
    let mut held = Holding { notes: programs::notes(&c).expect("notes"), ..Holding::default() };
    held.is_leaf = programs::lacks_a_column(&c);
    held.rows.extend(programs::tokens(&c).expect("tables"));
    for (table, key, row) in parked(&c) {
        held.rows.extend(items(&table, &key, &columns(&c, &table), &row));
    }
    let entries = block_on(open(path, Access::Read).conflicts(&Selection::default())).expect("the journal is read");
    for entry in entries {
        for content in entry.sides.iter().filter_map(|side| side.content.as_ref()).chain(&entry.shown) {
            held.journal.extend(items(&entry.table, &entry.key, &entry.columns, content));
        }
    }
    held
}

/// What is wrong with a file by itself, once it is in step: a row without a version, a version without its row, or
/// another row than the version says; a row that is shown without its parent; and damage.
pub(super) fn faults(path: &Path) -> Vec<String> {
    let c = connect(path);
    let mut faults = Vec::new();
    let said: String = c.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    if said != "ok" {
        faults.push(said);
    }
    let orphans = c.prepare("SELECT DISTINCT \"table\" FROM pragma_foreign_key_check");
    let orphans =
        orphans.and_then(|mut s| s.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>());
    faults.extend(orphans.expect("a check").into_iter().map(|table| format!("{table} shows orphans")));
    for shape in &SHAPES {
        let rows = rows(&c, shape.name, shape.key);
        let sql = "SELECT v.key, v.hash FROM _tidewater_version v JOIN _tidewater_shared s ON s.tab = v.tab \
                   WHERE s.name = ?1 AND v.hash IS NOT NULL";
        let mut statement = c.prepare(sql).expect("a replica");
        let versions = statement.query_map([shape.name], |row| Ok((stored_key(row.get_ref(0)?), row.get(1)?)));
        let versions = versions.expect("versions").collect::<Result<_, _>>();
        let mut versions: BTreeMap<Key, [u8; 16]> = versions.expect("versions");
        for (key, row) in &rows {
            match versions.remove(key) {
                None => faults.push(format!("{} {key} has no version: {row}", shape.name)),
                Some(hash) if hash != row.hash().0.to_le_bytes() => {
                    faults.push(format!("{} {key} is not as its version says: {row}", shape.name));
                }
                Some(_) => {}
            }
        }
        faults.extend(versions.keys().map(|key| format!("{} {key} has a version and no row", shape.name)));
    }
    faults
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A copy of a file that nobody has open, with its witness.
pub(super) fn copy(from: &Path, to: &Path) {
    connect(from).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint");
    std::fs::copy(from, to).expect("a copy");
    let _ = std::fs::copy(beside(from, WITNESS), beside(to, WITNESS));
}

const WITNESS: &str = "-tidewater-witness";

/// How a file is put back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    /// The same file with other bytes in it, or another file under its name.
    pub(super) in_place: bool,
    pub(super) witness: WitnessBack,
}

/// What becomes of the witness.
#[derive(Debug, Clone, Copy)]
pub(super) enum WitnessBack {
    Stays,
    Goes,
    Too,
}

fn put(from: &Path, to: &Path, in_place: bool) {
    if in_place {
        let bytes = std::fs::read(from).expect("a copy");
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(to);
        file.expect("a file").write_all(&bytes).expect("it is written");
    } else {
        let other = beside(to, ".new");
        std::fs::copy(from, &other).expect("a copy");
        std::fs::rename(&other, to).expect("it is renamed");
    }
}

/// Puts a copy in the place of a file that nobody has open.
pub(super) fn put_back(copy: &Path, path: &Path, back: Back) {
    put(copy, path, back.in_place);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(path, suffix));
    }
    match back.witness {
        WitnessBack::Stays => {}
        WitnessBack::Goes => drop(std::fs::remove_file(beside(path, WITNESS))),
        WitnessBack::Too if beside(copy, WITNESS).exists() => {
            put(&beside(copy, WITNESS), &beside(path, WITNESS), back.in_place);
        }
        WitnessBack::Too => {}
    }
}
