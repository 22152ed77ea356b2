//! The journal of rows that a comparison replaced or deleted, and putting them back.

use crate::connection::Open;
use crate::ledger::damaged;
use crate::meta;
use crate::sql::{list, quote};
use crate::types::bind;
use rusqlite::Connection;
use tidewater_core::change::{Key, Row, View};
use tidewater_core::{Error, Kind, Result, code};

/// Enters a row, in the transaction that replaces or deletes it.
pub(crate) fn enter(
    c: &Connection,
    run: &str,
    link: &str,
    view: &View,
    key: &Key,
    kind: &str,
    old: &Row,
) -> rusqlite::Result<()> {
    if !meta::has_table(c, "_tidewater_journal")? {
        c.execute_batch(meta::JOURNAL)?;
    }
    let names = |at: &mut dyn Iterator<Item = usize>| list("", at.map(|at| view.columns[at].name.as_str()));
    c.prepare_cached(
        "INSERT INTO _tidewater_journal(run, link, target, columns, key_columns, key, kind, row, at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, datetime('now'))",
    )?
    .execute((
        run,
        link,
        &view.table,
        names(&mut (0..view.columns.len())),
        names(&mut view.key.iter().copied()),
        key.as_bytes(),
        kind,
        old.as_bytes(),
    ))?;
    Ok(())
}

/// Puts back, newest first, what a run replaced or deleted, and takes it out of the journal. One transaction.
pub(crate) fn restore(open: &Open, run: &str) -> Result<u64> {
    let sqlite = |e| open.explain(e);
    open.write(|c| {
        if !meta::has_table(c, "_tidewater_journal").map_err(sqlite)? {
            return Err(no_run(run, &open.database.shown));
        }
        let mut statement = c
            .prepare("SELECT target, columns, key_columns, row FROM _tidewater_journal WHERE run = ?1 ORDER BY id DESC")
            .map_err(sqlite)?;
        let mut rows = statement.query([run]).map_err(sqlite)?;
        let mut restored = 0;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let text = |at: usize| row.get::<_, String>(at).map_err(|e| open.explain(e));
            let (target, columns, key_columns) = (text(0)?, text(1)?, text(2)?);
            let bytes: Vec<u8> = row.get(3).map_err(sqlite)?;
            let names = crate::sql::tokens(&columns);
            let names: Vec<String> = names.iter().filter(|t| t.text != ",").map(crate::sql::Token::name).collect();
            let old = Row::from_bytes(&bytes, names.len()).map_err(|e| damaged(&e))?;
            put_back(c, &target, &names, &key_columns, &old).map_err(|error| {
                match crate::error::is_rows_fault(&error) {
                    true => in_the_way(&target, &crate::error::said(&error)),
                    false => open.explain(error),
                }
            })?;
            restored += 1;
        }
        if restored == 0 {
            return Err(no_run(run, &open.database.shown));
        }
        drop(rows);
        drop(statement);
        c.execute("DELETE FROM _tidewater_journal WHERE run = ?1", [run]).map_err(sqlite)?;
        let more = "SELECT EXISTS (SELECT 1 FROM _tidewater_journal)";
        if !c.query_row(more, [], |row| row.get::<_, bool>(0)).map_err(sqlite)? {
            c.execute_batch("DROP TABLE _tidewater_journal").map_err(sqlite)?;
        }
        Ok(restored)
    })
}

fn put_back(c: &Connection, table: &str, names: &[String], keys: &str, old: &Row) -> rusqlite::Result<()> {
    let parameters: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
    let set: Vec<String> = names.iter().map(|n| format!("{0} = excluded.{0}", quote(n))).collect();
    let sql = format!(
        "INSERT INTO {}({}) VALUES ({}) ON CONFLICT ({keys}) DO UPDATE SET {}",
        quote(table),
        list("", names.iter().map(String::as_str)),
        parameters.join(", "),
        set.join(", ")
    );
    let mut statement = c.prepare_cached(&sql)?;
    bind(&mut statement, 1, old.raw())?;
    statement.raw_execute().map(drop)
}

fn in_the_way(table: &str, said: &str) -> Error {
    Error::new(Kind::Data, code::ROW_HELD, format!("a row of {table} cannot be put back: {said}"))
        .meaning("Another row has its place by now. Nothing was put back; the journal is as it was.")
        .remedy("Delete or change the row in the way, and run the command again.")
}

fn no_run(run: &str, shown: &str) -> Error {
    Error::new(Kind::Invalid, code::USAGE, format!("the journal of {shown} has no run {run}"))
        .meaning("Nothing was changed.")
        .remedy(format!("`tidewater status sqlite:{shown}` lists the runs that can be undone."))
}
