//! Taking out what we put into a database. The user's rows stay.

use crate::meta::{self, PREFIX, SOURCE_TABLES, TARGET_TABLES};
use crate::own_ddl;
use crate::sql::quote;
use crate::triggers;
use rusqlite::Connection;

/// Takes out one link's part at its source; with the last link, everything.
pub(crate) fn source(c: &Connection, link: &str) -> rusqlite::Result<Vec<String>> {
    let mut gone = Vec::new();
    if !meta::has_table(c, "_tidewater_reader")? {
        return Ok(gone);
    }
    let cookie = meta::cookie(c)?;
    c.execute("DELETE FROM _tidewater_reader_table WHERE link = ?1", [link])?;
    c.execute("DELETE FROM _tidewater_reader WHERE link = ?1", [link])?;
    let unread: Vec<(i64, String)> = c
        .prepare("SELECT id, name FROM _tidewater_table WHERE via = '' AND id NOT IN (SELECT tab FROM _tidewater_reader_table)")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (tab, name) in unread {
        // Its number stays: entries with it may be unread, and must not be taken for those of another table.
        if triggers::on_table(c, &name)?.is_empty() {
            continue;
        }
        for suffix in ["i", "u", "d", "k", "bi", "bu"] {
            c.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote(&format!("{PREFIX}{tab}_{suffix}"))))?;
        }
        gone.push(format!("triggers on {name}"));
    }
    let readers: i64 = c.query_row("SELECT count(*) FROM _tidewater_reader", [], |row| row.get(0))?;
    if readers == 0 {
        // Not before: triggers that hand rows to it stay until the last reader goes, or has others made.
        c.execute_batch(&format!("DROP VIEW IF EXISTS {}", crate::triggers::APPENDED))?;
        drop_tables(c, &SOURCE_TABLES)?;
        gone.push("the change log".to_owned());
    } else {
        gone.push("its place in the change log".to_owned());
    }
    last_leaves(c)?;
    own_ddl::known(c, cookie)?;
    Ok(gone)
}

/// Takes out one link's part at its target; with the last link, everything.
pub(crate) fn target(c: &Connection, link: &str) -> rusqlite::Result<Vec<String>> {
    let mut gone = Vec::new();
    let cookie = meta::cookie(c)?;
    if !meta::has_table(c, "_tidewater_link")? {
        if meta::has_table(c, "_tidewater_journal")? {
            drop_tables(c, &["_tidewater_journal"])?;
            own_ddl::known(c, cookie)?;
        }
        return Ok(gone);
    }
    // What another link writes, too, stays protected.
    let tables: Vec<String> = c
        .prepare(
            "SELECT target FROM _tidewater_link_table t WHERE link = ?1 AND NOT EXISTS (SELECT 1 FROM \
             _tidewater_link_table o WHERE o.link <> t.link AND o.target = t.target COLLATE NOCASE)",
        )?
        .query_map([link], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in tables {
        for name in protection_names(&table) {
            c.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote(&name)))?;
        }
    }
    for part in ["_tidewater_link_table", "_tidewater_held", "_tidewater_link"] {
        c.execute(&format!("DELETE FROM {part} WHERE link = ?1"), [link])?;
    }
    let links: i64 = c.query_row("SELECT count(*) FROM _tidewater_link", [], |row| row.get(0))?;
    if links == 0 {
        drop_tables(c, &TARGET_TABLES)?;
        gone.push("positions, held rows and journal".to_owned());
    } else {
        gone.push("its position and held rows".to_owned());
    }
    last_leaves(c)?;
    own_ddl::known(c, cookie)?;
    Ok(gone)
}

/// Takes out what makes a replica.
pub(crate) fn replica(c: &Connection) -> rusqlite::Result<Vec<String>> {
    if !meta::has_table(c, "_tidewater_replica")? {
        return Ok(vec![]);
    }
    let cookie = meta::cookie(c)?;
    drop_tables(c, &meta::REPLICA_TABLES)?;
    own_ddl::known(c, cookie)?;
    let mut gone = vec!["versions of rows, and the journal of conflicts".to_owned()];
    gone.extend(source(c, crate::replica::READER)?);
    Ok(gone)
}

/// The triggers that keep other programs from writing a table.
pub(crate) fn protection_names(table: &str) -> [String; 3] {
    ["i", "u", "d"].map(|event| format!("{PREFIX}protect_{event}_{table}"))
}

/// The control row goes when neither part is left.
fn last_leaves(c: &Connection) -> rusqlite::Result<()> {
    let parts = ["_tidewater_reader", "_tidewater_link", "_tidewater_replica"];
    let left = parts.iter().map(|part| meta::has_table(c, part)).collect::<rusqlite::Result<Vec<_>>>()?;
    if !left.contains(&true) {
        drop_tables(c, &["_tidewater_control"])?;
    }
    Ok(())
}

fn drop_tables(c: &Connection, names: &[&str]) -> rusqlite::Result<()> {
    for name in names {
        c.execute_batch(&format!("DROP TABLE IF EXISTS {name}"))?;
    }
    Ok(())
}
