//! The journal of rows that a comparison replaced or deleted, and putting them back.

use crate::aside;
use crate::connection::Open;
use crate::ledger::damaged;
use crate::meta;
use crate::own_ddl;
use crate::schema;
use crate::sql::{list, quote};
use crate::types::bind;
use rusqlite::Connection;
use tidewater_core::change::{Identity, Key, Row, View, ViewColumn};
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

/// Entries forgotten in one transaction: each holds a row.
const FORGOTTEN_MAX: i64 = 500;

/// Forgets the runs that entered their last row more than so many days ago, each in short transactions. Says how many
/// rows. Of a run that is being forgotten, what is still there can be put back.
pub(crate) fn forget(open: &Open, days: u64) -> Result<u64> {
    let sqlite = |e| open.explain(e);
    let before_ms = open.days_ago_ms(days);
    let runs: Vec<(String, i64, i64)> = open.read(|c| {
        if !meta::has_table(c, "_tidewater_journal").map_err(sqlite)? {
            return Ok(vec![]);
        }
        c.prepare(
            "SELECT r.run, r.first, r.last FROM (SELECT run, min(id) AS first, max(id) AS last FROM _tidewater_journal \
             GROUP BY run) r JOIN _tidewater_journal j ON j.id = r.last WHERE strftime('%s', j.at) * 1000 < ?1",
        )
        .and_then(|mut s| s.query_map([before_ms], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
        .map_err(sqlite)
    })?;
    let mut rows = 0;
    for (run, first, last) in runs {
        let mut from = first;
        while from <= last {
            let through = from.saturating_add(FORGOTTEN_MAX - 1);
            let sql = "DELETE FROM _tidewater_journal WHERE id BETWEEN ?1 AND ?2 AND run = ?3";
            rows += open.write(|c| c.execute(sql, (from, through, &run)).map_err(sqlite))? as u64;
            from = through.saturating_add(1);
        }
    }
    Ok(rows)
}

/// Puts back, newest first, what a run replaced or deleted, and takes it out of the journal. One transaction.
pub(crate) fn restore(open: &Open, run: &str) -> Result<u64> {
    let sqlite = |e| open.explain(e);
    open.write(|c| {
        if !meta::has_table(c, "_tidewater_journal").map_err(sqlite)? {
            return Err(no_run(run, &open.database.shown));
        }
        let cookie = meta::cookie(c).map_err(sqlite)?;
        refuse_renumbered(open, c, run, cookie)?;
        // To links that read this database, a row put back is a write like any other program's.
        let made = crate::chain::refresh(c, "", &[], open.database.log_rows_max).map_err(sqlite)?;
        let appended = made.map_err(|name| Error::internal(format!("trigger {name} was not asked for")))?;
        appended.iter().try_for_each(|table| table.cut(c)).map_err(sqlite)?;
        c.execute_batch("SAVEPOINT rows").map_err(sqlite)?;
        let mut restored = put_all_back(open, c, run, false);
        if matches!(&restored, Err(error) if error.code == code::ROW_HELD) {
            // Rows of the run may stand in each other's way: they all go first.
            c.execute_batch("ROLLBACK TO rows").map_err(sqlite)?;
            restored = put_all_back(open, c, run, true);
        }
        let restored = restored?;
        c.execute_batch("RELEASE rows").map_err(sqlite)?;
        if restored == 0 {
            return Err(no_run(run, &open.database.shown));
        }
        appended.iter().try_for_each(|table| table.know(c)).map_err(sqlite)?;
        c.execute("DELETE FROM _tidewater_journal WHERE run = ?1", [run]).map_err(sqlite)?;
        let more = "SELECT EXISTS (SELECT 1 FROM _tidewater_journal)";
        if !c.query_row(more, [], |row| row.get::<_, bool>(0)).map_err(sqlite)? {
            c.execute_batch("DROP TABLE _tidewater_journal").map_err(sqlite)?;
        }
        own_ddl::known(c, cookie).map_err(sqlite)?;
        Ok(restored)
    })
}

/// Rows of a table without a key are known by their numbers, which a VACUUM since may have given to others.
fn refuse_renumbered(open: &Open, c: &Connection, run: &str, cookie: i64) -> Result<()> {
    let sqlite = |e| open.explain(e);
    // A single comparison leaves no link behind that would know.
    let known = match meta::has_table(c, "_tidewater_link").map_err(sqlite)? {
        true => "(SELECT cookie FROM _tidewater_link l WHERE l.link = j.link)",
        false => "NULL",
    };
    let tables: Vec<(String, Option<i64>)> = c
        .prepare(&format!("SELECT DISTINCT j.target, {known} FROM _tidewater_journal j WHERE j.run = ?1"))
        .and_then(|mut s| s.query_map([run], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(sqlite)?;
    for (table, known) in tables {
        let details = schema::details(c, &table).map_err(sqlite)?;
        if known != Some(cookie) && details.is_some_and(|d| d.table.identity == Identity::RowNumber) {
            let what = format!("rows of {table} cannot be put back: they have no key, and the schema changed since");
            return Err(Error::new(Kind::Data, code::ROW_HELD, what)
                .meaning("A VACUUM may have given their row numbers to other rows. Nothing was put back; the journal is as it was.")
                .remedy("The journal's rows can be read with `SELECT * FROM _tidewater_journal`. Give the table a primary key to be safe from this."));
        }
    }
    Ok(())
}

/// Puts back every row of a run; with `away`, when all of them have been taken away.
fn put_all_back(open: &Open, c: &Connection, run: &str, away: bool) -> Result<u64> {
    let fault = |error, table: &str| match crate::error::is_rows_fault(&error) {
        true => in_the_way(table, &crate::error::said(&error)),
        false => open.explain(error),
    };
    let mut taken = Vec::new();
    if away {
        each(open, c, run, |view, old| {
            let aside = aside::take(c, view, &old.pick(&view.key)).map_err(|e| open.explain(e))?;
            taken.extend(aside);
            Ok(())
        })?;
    }
    let restored = each(open, c, run, |view, old| put_back(c, view, old).map_err(|e| fault(e, &view.table)))?;
    for aside in taken {
        aside.give_back(c).map_err(|e| fault(e, aside.table()))?;
    }
    Ok(restored)
}

/// Reads a run's entries, newest first. Says how many.
fn each(open: &Open, c: &Connection, run: &str, mut entry: impl FnMut(&View, &Row) -> Result<()>) -> Result<u64> {
    let sqlite = |e| open.explain(e);
    let mut statement = c
        .prepare("SELECT target, columns, key_columns, row FROM _tidewater_journal WHERE run = ?1 ORDER BY id DESC")
        .map_err(sqlite)?;
    let mut rows = statement.query([run]).map_err(sqlite)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let names = |at: usize| {
            let list: String = row.get(at).map_err(|e| open.explain(e))?;
            let tokens = crate::sql::tokens(&list);
            Ok::<_, Error>(tokens.iter().filter(|t| t.text != ",").map(crate::sql::Token::name).collect::<Vec<_>>())
        };
        let (columns, keys) = (names(1)?, names(2)?);
        let key = keys.iter().filter_map(|key| columns.iter().position(|column| column == key)).collect();
        let columns = columns.into_iter().map(|name| ViewColumn { name, collation: "BINARY".to_owned() }).collect();
        let table = row.get(0).map_err(sqlite)?;
        let view = View { table, columns, key, filter: None, deleted_when: None, value_bytes_max: None };
        let bytes: Vec<u8> = row.get(3).map_err(sqlite)?;
        entry(&view, &Row::from_bytes(&bytes, view.columns.len()).map_err(|e| damaged(&e))?)?;
        count += 1;
    }
    Ok(count)
}

fn put_back(c: &Connection, view: &View, old: &Row) -> rusqlite::Result<()> {
    let names = || view.columns.iter().map(|column| column.name.as_str());
    let parameters: Vec<String> = (1..=view.columns.len()).map(|n| format!("?{n}")).collect();
    let set: Vec<String> = names().map(|n| format!("{0} = excluded.{0}", quote(n))).collect();
    let sql = format!(
        "INSERT OR ABORT INTO {}({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
        quote(&view.table),
        list("", names()),
        parameters.join(", "),
        list("", view.key.iter().map(|at| view.columns[*at].name.as_str())),
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
