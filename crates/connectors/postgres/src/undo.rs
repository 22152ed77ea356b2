//! The journal of what comparisons replaced or deleted, and how it is put back.

use crate::ledger::damaged;
use crate::meta::unhex;
use crate::scan::Reader;
use crate::schema::{cell, has_table};
use crate::session::Session;
use crate::sql::{list, table as quoted_table};
use crate::text::literal;
use crate::triggers;
use crate::wire::{quoted_name, quoted_text};
use tidewater_core::change::Row;
use tidewater_core::{Error, Kind, Result, code};

/// Puts back, newest first, what a run replaced or deleted, and takes it out of the journal. One transaction.
pub(crate) async fn restore(reader: &mut Reader, run: &str) -> Result<u64> {
    let session = &mut reader.session;
    if !has_table(session, "journal").await? {
        return Err(no_run(run, &session.shown));
    }
    let sql = format!(
        "SELECT target, array_to_string(columns, E'\\x1f'), array_to_string(key_columns, E'\\x1f'), row \
         FROM tidewater.journal WHERE run = {} ORDER BY id DESC",
        quoted_text(run)
    );
    let entries = session.query(&sql).await?.rows;
    if entries.is_empty() {
        return Err(no_run(run, &session.shown));
    }
    let mut statements = Vec::new();
    for entry in &entries {
        statements.push(put_back(entry)?);
    }
    let forget = format!("DELETE FROM tidewater.journal WHERE run = {}", quoted_text(run));
    let role = match triggers::may_be_protected(session).await? {
        true => "SET LOCAL session_replication_role = replica; ",
        false => "",
    };
    let sql = format!("BEGIN; {role}SET CONSTRAINTS ALL DEFERRED; {}; {forget}; COMMIT", statements.join("; "));
    if let Err(error) = session.attempt(&sql).await? {
        session.query("ROLLBACK").await?;
        let what = format!("the rows of run {run} cannot be put back: {error}");
        return Err(Error::new(Kind::Data, code::ROW_HELD, what)
            .meaning("Another row has a place by now that one of them needs. Nothing was put back; the journal is as it was.")
            .remedy("Delete or change the row in the way, and run the command again."));
    }
    Ok(entries.len() as u64)
}

fn put_back(entry: &[Option<String>]) -> Result<String> {
    let names = |at: usize| Ok::<_, Error>(cell(entry, at)?.split('\u{1f}').map(str::to_owned).collect::<Vec<_>>());
    let (columns, keys) = (names(1)?, names(2)?);
    let bytes = unhex(cell(entry, 3)?).ok_or_else(|| Error::internal("a journal row that is no bytea"))?;
    let row = Row::from_bytes(&bytes, columns.len()).map_err(|error| damaged(&error))?;
    let values: Vec<String> = row.raw().map(|value| literal(&value)).collect();
    let others = columns.iter().filter(|name| !keys.contains(name));
    let set: Vec<String> = others.map(|name| format!("{0} = excluded.{0}", quoted_name(name))).collect();
    let update = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
    Ok(format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) ON CONFLICT ({}) DO {update}",
        quoted_table(cell(entry, 0)?),
        list("", columns.iter().map(String::as_str)),
        values.join(", "),
        list("", keys.iter().map(String::as_str))
    ))
}

/// Forgets what runs entered that ended more than so many days ago. Says how many rows.
pub(crate) async fn forget(session: &mut Session, older_than_days: u64) -> Result<u64> {
    if !has_table(session, "journal").await? {
        return Ok(0);
    }
    let sql = format!(
        "DELETE FROM tidewater.journal WHERE run IN (SELECT run FROM tidewater.journal GROUP BY run \
         HAVING max(at) < now() - make_interval(days => {older_than_days}))"
    );
    Ok(session.query(&sql).await?.affected)
}

fn no_run(run: &str, shown: &str) -> Error {
    Error::new(Kind::Invalid, code::USAGE, format!("the journal of {shown} has no run {run}"))
        .meaning("Nothing was changed.")
        .remedy(format!("`tidewater status {shown}` lists the runs that can be undone."))
}
