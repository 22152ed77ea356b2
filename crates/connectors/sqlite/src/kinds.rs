//! What columns are for: SQLite's declared types are wishes, so where they say little, some rows are looked at; and
//! how a table of another kind of database is declared here. Tests: `tests/it/kinds.rs`.

use crate::create::{Affinity, affinity};
use crate::sql::{list, quote};
use rusqlite::Connection;
use std::collections::BTreeSet;
use tidewater_core::change::{Column, ColumnKind, Table};

/// So many rows are looked at.
const ROWS_LOOKED_AT: u32 = 1_000;

/// Fills in what the columns of a table are for.
pub(crate) fn tell(connection: &Connection, table: &mut Table) -> rusqlite::Result<()> {
    for column in &mut table.columns {
        column.kind = declared(&column.declared).unwrap_or_default();
    }
    let unsure: Vec<String> = table
        .columns
        .iter()
        .filter(|column| !column.generated && declared(&column.declared).is_none())
        .map(|column| column.name.clone())
        .collect();
    if unsure.is_empty() {
        return Ok(());
    }
    let found = contents(connection, &table.name, &unsure)?;
    for (name, found) in unsure.iter().zip(found) {
        if let Some(column) = table.columns.iter_mut().find(|column| column.name == *name) {
            column.kind = of_contents(&column.declared, &found);
        }
    }
    Ok(())
}

/// What a declared type says by itself; `None` where it says that anything may stand there.
fn declared(text: &str) -> Option<ColumnKind> {
    match affinity(text) {
        Affinity::Text => Some(ColumnKind::Text),
        Affinity::Real => Some(ColumnKind::Float(8)),
        Affinity::Number if text.to_ascii_uppercase().contains("INT") => Some(ColumnKind::Integer(8)),
        Affinity::Number | Affinity::None => None,
    }
}

/// What stands in some columns, by the first rows: storage classes, and `boolean` where numbers are only 0 and 1.
fn contents(connection: &Connection, table: &str, columns: &[String]) -> rusqlite::Result<Vec<BTreeSet<String>>> {
    let types: Vec<String> = columns
        .iter()
        .map(|name| {
            format!(
                "CASE WHEN typeof({0}) = 'integer' AND {0} IN (0, 1) THEN 'boolean' ELSE typeof({0}) END",
                quote(name)
            )
        })
        .collect();
    let names = list("", columns.iter().map(String::as_str));
    let sql = format!("SELECT {} FROM (SELECT {names} FROM {} LIMIT {ROWS_LOOKED_AT})", types.join(", "), quote(table));
    let mut found = vec![BTreeSet::new(); columns.len()];
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for (at, found) in found.iter_mut().enumerate() {
            found.insert(row.get(at)?);
        }
    }
    Ok(found)
}

fn of_contents(declared: &str, found: &BTreeSet<String>) -> ColumnKind {
    let only = |classes: &[&str]| found.iter().all(|class| class == "null" || classes.contains(&class.as_str()));
    let is_empty = found.iter().all(|class| class == "null");
    match declared.to_ascii_uppercase() {
        name if name.starts_with("BOOL") && only(&["boolean"]) => ColumnKind::Bool,
        name if name.contains("BLOB") && only(&["blob"]) => ColumnKind::Bytes,
        _ if is_empty => ColumnKind::Text,
        _ if only(&["boolean", "integer"]) => ColumnKind::Integer(8),
        _ if only(&["boolean", "integer", "real"]) => ColumnKind::Float(8),
        _ if only(&["blob"]) => ColumnKind::Bytes,
        _ => ColumnKind::Text,
    }
}

/// The table of another kind of database, as it is declared here.
pub(crate) fn declared_here(table: &Table) -> Table {
    let column = |column: &Column| {
        let declared = match column.kind {
            ColumnKind::Bool => "BOOLEAN",
            ColumnKind::Integer(_) => "INTEGER",
            ColumnKind::Float(_) => "REAL",
            ColumnKind::Bytes => "BLOB",
            _ => "TEXT",
        };
        Column { declared: declared.to_owned(), ..column.clone() }
    };
    Table { columns: table.columns.iter().map(column).collect(), ..table.clone() }
}
