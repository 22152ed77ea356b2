//! SQLite alone: what a user would write, and the comparison that every measurement ends with.

use crate::Result;
use crate::rows::SCHEMA;
use rusqlite::Connection;
use rusqlite::types::ToSqlOutput;
use std::path::{Path, PathBuf};

/// Opens a file as most applications do: WAL, `synchronous=NORMAL`, everything else as it comes.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let c = Connection::open(path)?;
    c.pragma_update(None, "journal_mode", "WAL")?;
    c.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(c)
}

/// Brings the log into the file.
pub(crate) fn checkpoint(c: &Connection) -> Result<()> {
    c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Copies a table row by row with one prepared statement, in one transaction.
pub(crate) fn copy_row_by_row(source: &Path, target: &Path) -> Result<()> {
    let (source, target) = (open(source)?, open(target)?);
    target.execute_batch(SCHEMA)?;
    target.execute_batch("BEGIN")?;
    let mut select = source.prepare("SELECT id, name, doc, at, amount FROM items")?;
    let mut insert = target.prepare("INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        for at in 0..5 {
            insert.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(row.get_ref(at)?))?;
        }
        insert.raw_execute()?;
    }
    target.execute_batch("COMMIT")?;
    checkpoint(&target)
}

/// Copies a table inside SQLite.
pub(crate) fn copy_attached(source: &Path, target: &Path) -> Result<()> {
    let c = open(target)?;
    c.execute_batch(SCHEMA)?;
    attach(&c, source)?;
    c.execute_batch("BEGIN; INSERT INTO main.items SELECT * FROM other.items; COMMIT")?;
    checkpoint(&c)
}

/// Compares two tables as people do by hand: what is in one and not in the other, both ways.
pub(crate) fn differences_by_except(one: &Path, other: &Path) -> Result<u64> {
    let c = open(one)?;
    attach(&c, other)?;
    Ok(c.query_row(
        "SELECT (SELECT count(*) FROM (SELECT * FROM main.items EXCEPT SELECT * FROM other.items)) + \
         (SELECT count(*) FROM (SELECT * FROM other.items EXCEPT SELECT * FROM main.items))",
        [],
        |row| row.get(0),
    )?)
}

/// Compares two tables as somebody does who knows their key: side by side in its order.
pub(crate) fn differences_by_join(one: &Path, other: &Path) -> Result<u64> {
    let c = open(one)?;
    attach(&c, other)?;
    Ok(c.query_row(
        "SELECT (SELECT count(*) FROM main.items) + (SELECT count(*) FROM other.items) - 2 * \
         (SELECT count(*) FROM main.items a JOIN other.items b ON a.id = b.id \
          WHERE a.name IS b.name AND a.doc IS b.doc AND a.at IS b.at AND a.amount IS b.amount)",
        [],
        |row| row.get(0),
    )?)
}

/// Both databases hold the same rows, or the run ends here.
pub(crate) fn check_equal(one: &Path, other: &Path, rows: Option<u64>) -> Result<()> {
    let differ = differences_by_join(one, other)?;
    if differ > 0 {
        return Err(format!("{} and {} differ in {differ} rows", one.display(), other.display()).into());
    }
    let count: u64 = open(one)?.query_row("SELECT count(*) FROM items", [], |row| row.get(0))?;
    match rows {
        Some(rows) if rows != count => {
            Err(format!("{} holds {count} rows and should hold {rows}", one.display()).into())
        }
        _ => Ok(()),
    }
}

fn attach(c: &Connection, other: &Path) -> Result<()> {
    c.execute("ATTACH ?1 AS other", [other.to_str().ok_or("a path that is not text")?])?;
    Ok(())
}

/// Copies a closed database, over whatever was there.
pub(crate) fn clone_file(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    std::fs::copy(from, to)?;
    Ok(())
}

/// Takes a database away.
pub(crate) fn remove(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        if file.exists() {
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}
