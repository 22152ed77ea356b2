//! Triggers at a target: which of the user's run for what we write, and which of ours keep others from writing.
//!
//! We write as `session_replication_role = replica`, in which no ordinary trigger fires. A trigger that is to run is set
//! to fire in that role too, and how it was set is remembered and put back
//! (`docs/decisions/0017-triggers-at-a-server.md`). A trigger of ours that refuses writes is an ordinary one: it fires for
//! everybody but us. Tests: `tests/it/links/triggers.rs`.

use crate::meta::bytes;
use crate::schema::{cell, has_table, regclass};
use crate::session::Session;
use crate::sql::table as quoted_table;
use crate::wire::{quoted_name, quoted_text};
use tidewater_core::apply::Writer;
use tidewater_core::{Error, Kind, Result, code};

/// What ours is called on each table.
pub(crate) const PROTECTION: &str = "tidewater_protect";

/// 25006 is what a server says that takes no writes.
const REFUSE: &str = "CREATE FUNCTION tidewater.protect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     RAISE EXCEPTION '% is a protected replica of %: write there', TG_ARGV[0], TG_ARGV[1] USING ERRCODE = '25006', \
     HINT = 'tidewater sync without --protect lets others write again, and so does tidewater teardown.'; END $$";

/// Sees to the triggers of the tables that a link writes.
pub(crate) async fn prepare(
    session: &mut Session,
    writer: &Writer,
    tables: &[&str],
    without_triggers: bool,
) -> Result<()> {
    match writer.protect {
        Some(true) if !without_triggers => return Err(would_keep_us_out(&session.shown)),
        Some(true) => protect(session, &writer.source, tables).await?,
        Some(false) => unprotect(session, tables).await?,
        None => {}
    }
    if writer.protect.is_some() {
        run(session, writer, tables).await?;
    }
    Ok(())
}

/// Keeps others from writing these tables, and their partitions, which can be written by their own names.
async fn protect(session: &mut Session, source: &str, tables: &[&str]) -> Result<()> {
    if !may_be_protected(session).await? {
        session.query(REFUSE).await?;
    }
    for table in tables {
        let arguments: Vec<u8> = [table.as_bytes(), b"\0", source.as_bytes(), b"\0"].concat();
        let sql = format!(
            "SELECT n.nspname, c.relname, EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid \
             AND t.tgname = '{PROTECTION}') FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
             ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND (c.oid = {of}::regclass OR c.oid IN \
             (SELECT relid FROM pg_catalog.pg_partition_tree({of}::regclass))) AND NOT EXISTS (SELECT FROM \
             pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = '{PROTECTION}' AND t.tgenabled = 'O' \
             AND t.tgargs = {})",
            bytes(&arguments),
            of = regclass(table)
        );
        for row in session.query(&sql).await?.rows {
            let place = format!("{}.{}", quoted_name(cell(&row, 0)?), quoted_name(cell(&row, 1)?));
            let drop = match cell(&row, 2)? {
                "t" => format!("DROP TRIGGER {PROTECTION} ON {place}; "),
                _ => String::new(),
            };
            let sql = format!(
                "BEGIN; {drop}CREATE TRIGGER {PROTECTION} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {place} \
                 FOR EACH STATEMENT EXECUTE FUNCTION tidewater.protect({}, {}); COMMIT",
                quoted_text(table),
                quoted_text(source)
            );
            alter(session, &sql, table, &format!("GRANT TRIGGER ON {place} TO …; or make it the owner of the table"))
                .await?;
        }
    }
    Ok(())
}

/// Lets others write these tables again.
async fn unprotect(session: &mut Session, tables: &[&str]) -> Result<()> {
    for table in tables {
        let sql = format!(
            "SELECT t.tgrelid::regclass FROM pg_catalog.pg_trigger t WHERE t.tgname = '{PROTECTION}' AND (t.tgrelid = {of} \
             OR t.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree({of})))",
            of = format!("pg_catalog.to_regclass({})", regclass(table))
        );
        for row in session.query(&sql).await?.rows {
            let sql = format!("DROP TRIGGER IF EXISTS {PROTECTION} ON {}", cell(&row, 0)?);
            alter(session, &sql, table, "only the owner of a table may take a trigger out").await?;
        }
    }
    Ok(())
}

/// Sets the triggers that are listed to fire for what we write, and those that were listed before as they were.
async fn run(session: &mut Session, writer: &Writer, tables: &[&str]) -> Result<()> {
    put_back(session, &writer.link, &writer.run_triggers).await?;
    for name in &writer.run_triggers {
        let mut found = false;
        for table in tables {
            let sql = format!(
                "SELECT tgenabled FROM pg_catalog.pg_trigger WHERE tgrelid = {}::regclass AND tgname = {} AND NOT tgisinternal",
                regclass(table),
                quoted_text(name)
            );
            let Some(row) = session.query(&sql).await?.rows.pop() else { continue };
            found = true;
            let was = cell(&row, 0)?;
            // One that somebody switched off goes on not to fire for others.
            let mode = match was {
                "O" => "ALWAYS",
                "D" => "REPLICA",
                _ => continue,
            };
            let sql = format!(
                "BEGIN; INSERT INTO tidewater.run_trigger VALUES ({}, {}, {}, '{was}') ON CONFLICT DO NOTHING; \
                 ALTER TABLE {} ENABLE {mode} TRIGGER {}; COMMIT",
                quoted_text(&writer.link),
                quoted_text(table),
                quoted_text(name),
                quoted_table(table),
                quoted_name(name)
            );
            alter(session, &sql, table, "only the owner of a table may say when its triggers fire").await?;
        }
        if !found {
            return Err(no_trigger(name, &session.shown));
        }
    }
    Ok(())
}

/// Sets the triggers that a link had fire, but for those that it still lists, as they were.
async fn put_back(session: &mut Session, link: &str, listed: &[String]) -> Result<()> {
    if !has_table(session, "run_trigger").await? {
        return Ok(());
    }
    let link = quoted_text(link);
    let sql = format!(
        "SELECT r.target, r.name, r.was, EXISTS (SELECT FROM tidewater.run_trigger o WHERE o.link <> r.link \
         AND o.target = r.target AND o.name = r.name) FROM tidewater.run_trigger r WHERE r.link = {link}"
    );
    for row in session.query(&sql).await?.rows {
        let (table, name) = (cell(&row, 0)?.to_owned(), cell(&row, 1)?);
        if listed.iter().any(|listed| listed == name) {
            continue;
        }
        let mode = if cell(&row, 2)? == "D" { "DISABLE" } else { "ENABLE" };
        let there = format!(
            "SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = pg_catalog.to_regclass({}) AND tgname = {} AND tgenabled IN ('A', 'R')",
            regclass(&table),
            quoted_text(name)
        );
        let as_it_was = match cell(&row, 3)? == "t" || session.query(&there).await?.rows.is_empty() {
            true => String::new(),
            false => format!("ALTER TABLE {} {mode} TRIGGER {}; ", quoted_table(&table), quoted_name(name)),
        };
        let sql = format!(
            "BEGIN; {as_it_was}DELETE FROM tidewater.run_trigger WHERE link = {link} AND target = {} AND name = {}; COMMIT",
            quoted_text(&table),
            quoted_text(name)
        );
        alter(session, &sql, &table, "only the owner of a table may say when its triggers fire").await?;
    }
    Ok(())
}

/// Takes out what a link has here, but for what another one has too. Says of which tables.
pub(crate) async fn leave(session: &mut Session, link: &str) -> Result<Vec<String>> {
    put_back(session, link, &[]).await?;
    let sql = format!(
        "SELECT DISTINCT l.target FROM tidewater.link_table l WHERE l.link = {0} AND NOT EXISTS (SELECT FROM \
         tidewater.link_table o WHERE o.link <> l.link AND o.target = l.target) AND EXISTS (SELECT FROM \
         pg_catalog.pg_trigger WHERE tgname = '{PROTECTION}')",
        quoted_text(link)
    );
    let rows = session.query(&sql).await?.rows;
    let tables: Vec<String> = rows.iter().map(|row| Ok(cell(row, 0)?.to_owned())).collect::<Result<_>>()?;
    unprotect(session, &tables.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    Ok(tables)
}

/// Whether ours may be on tables here: then only who fires no triggers can write them.
pub(crate) async fn may_be_protected(session: &mut Session) -> Result<bool> {
    let sql = "SELECT pg_catalog.to_regproc('tidewater.protect') IS NOT NULL";
    Ok(session.query(sql).await?.rows.first().is_some_and(|row| row[0].as_deref() == Some("t")))
}

/// Carries out a change of a table's triggers; where the right is missing, says what would give it.
async fn alter(session: &mut Session, sql: &str, table: &str, right: &str) -> Result<()> {
    let error = match session.attempt(sql).await? {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if sql.starts_with("BEGIN") {
        session.query("ROLLBACK").await?;
    }
    match error.server().filter(|error| error.sqlstate == "42501") {
        Some(said) => Err(Error::new(
            Kind::Denied,
            code::PRIVILEGE,
            format!("{}: the triggers of {table} cannot be changed: {said}", session.shown),
        )
        .meaning("--protect makes a trigger on each table, and run_triggers says when those of the user fire. No row was written.")
        .remedy(format!("For this user: {right}. Or leave --protect (local_writes) and run_triggers out."))),
        None => Err(crate::error::explain(error, &session.shown)),
    }
}

fn would_keep_us_out(shown: &str) -> Error {
    let what = format!("{shown}: tables cannot be protected by a user who may not set session_replication_role");
    Error::new(Kind::Denied, code::PRIVILEGE, what)
        .meaning("The trigger that keeps others out would keep Tidewater out, too. Nothing was written.")
        .remedy(
            "GRANT SET ON PARAMETER session_replication_role TO …; (PostgreSQL 15 and newer), or leave --protect out.",
        )
}

fn no_trigger(name: &str, shown: &str) -> Error {
    let what = format!("no table that this sync writes at {shown} has a trigger {name}, which run_triggers names");
    Error::new(Kind::Invalid, code::SCOPE, what)
        .meaning("No row was written.")
        .remedy("Correct run_triggers; `tidewater plan` lists the triggers there are.")
}
