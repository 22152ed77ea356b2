//! The engine's own triggers: what it applies is logged for the links that read this database further on, under
//! the link it came through; and the user's triggers that were asked for do run.
//!
//! All triggers of the database are off on our connection, so these are temporary ones: they are seen by nobody
//! else, and go with the connection.

use crate::appended::Appended;
use crate::meta::{self, PREFIX};
use crate::schema;
use crate::sql::{as_temporary, quote};
use crate::triggers::{self, Writer};
use rusqlite::{Connection, OptionalExtension};

/// Makes the temporary triggers anew. An error names a trigger that is not there.
///
/// Says of which tables the appended rows are logged by range: what other programs appended is to be cut before the
/// first write, and what is there after the last is known, since these triggers log all of our rows one by one.
pub(crate) fn refresh(
    c: &Connection,
    link: &str,
    run_triggers: &[String],
    log_rows_max: u64,
) -> rusqlite::Result<Result<Vec<Appended>, String>> {
    let old: Vec<String> = c
        .prepare("SELECT name FROM sqlite_temp_schema WHERE type = 'trigger'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in old {
        c.execute_batch(&format!("DROP TRIGGER temp.{}", quote(&name)))?;
    }
    let mut appended = Vec::new();
    if meta::has_table(c, "_tidewater_reader")? {
        meta::upgrade_source(c)?;
        appended = Appended::all(c)?;
        c.execute_batch(&triggers::cap(log_rows_max, Writer::Engine).1)?;
        // Also tables that no link follows now: one may again, and nothing else would tell us.
        let followed: Vec<String> = c
            .prepare("SELECT name FROM _tidewater_table WHERE via = ''")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for name in followed {
            let Some(details) = schema::details(c, &name)? else { continue };
            let tab = meta::table_number(c, &name, link)?;
            for (_, sql) in triggers::triggers(&details, tab, Writer::Engine, false) {
                c.execute_batch(&sql)?;
            }
        }
    }
    for name in run_triggers {
        let sql: Option<String> = c
            .query_row(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1 COLLATE NOCASE",
                [name],
                |row| row.get(0),
            )
            .optional()?;
        let Some(temporary) = sql.and_then(|sql| as_temporary(&sql, &format!("{PREFIX}run_{name}"))) else {
            return Ok(Err(name.clone()));
        };
        c.execute_batch(&temporary)?;
    }
    Ok(Ok(appended))
}
