//! What we keep in a target: the schema `tidewater`, beside the user's tables, which are not altered.
//!
//! Drawn column by column in `docs/formats/postgres.md`.

use crate::session::Session;
use tidewater_core::{Error, Kind, Result, code};

/// The version of these tables.
pub(crate) const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS tidewater;
CREATE TABLE IF NOT EXISTS tidewater.control(id integer PRIMARY KEY CHECK (id = 1), format integer NOT NULL);
CREATE TABLE IF NOT EXISTS tidewater.link(
  link text PRIMARY KEY, source text NOT NULL, source_identity text NOT NULL, existing text NOT NULL,
  position text, updated_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS tidewater.link_table(
  link text NOT NULL, name text NOT NULL, target text NOT NULL, digest text NOT NULL, phase text NOT NULL,
  reason text, columns text[] NOT NULL DEFAULT '{}', PRIMARY KEY (link, name));
CREATE TABLE IF NOT EXISTS tidewater.stretch(
  link text NOT NULL, name text NOT NULL, number integer NOT NULL, after bytea, through bytea,
  PRIMARY KEY (link, name, number));
CREATE TABLE IF NOT EXISTS tidewater.later(
  target text NOT NULL, number integer NOT NULL, statement text NOT NULL, key text[] NOT NULL,
  PRIMARY KEY (target, number));
CREATE TABLE IF NOT EXISTS tidewater.held(
  link text NOT NULL, name text NOT NULL, key bytea NOT NULL, reason text NOT NULL, since timestamptz NOT NULL,
  tries bigint NOT NULL DEFAULT 1, discarded timestamptz, PRIMARY KEY (link, name, key));
CREATE TABLE IF NOT EXISTS tidewater.run_trigger(
  link text NOT NULL, target text NOT NULL, name text NOT NULL, was text NOT NULL, PRIMARY KEY (link, target, name));
CREATE TABLE IF NOT EXISTS tidewater.journal(
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL, link text NOT NULL, target text NOT NULL,
  columns text[] NOT NULL, key_columns text[] NOT NULL, key bytea NOT NULL, kind text NOT NULL, row bytea NOT NULL,
  at timestamptz NOT NULL);
CREATE INDEX IF NOT EXISTS journal_run ON tidewater.journal(run);
INSERT INTO tidewater.control VALUES (1, 1) ON CONFLICT DO NOTHING;";

/// Makes what is missing of ours.
pub(crate) async fn make(session: &mut Session) -> Result<()> {
    debug_assert!(TABLES.contains(&format!("VALUES (1, {FORMAT})")), "the format is written where the tables are");
    session.query(TABLES).await?;
    if !has_discarded(session).await? {
        session.query(UPGRADE).await?;
    }
    Ok(())
}

/// What an earlier version made is brought to this one.
const UPGRADE: &str = "ALTER TABLE tidewater.held ADD COLUMN IF NOT EXISTS tries bigint NOT NULL DEFAULT 1, \
                       ADD COLUMN IF NOT EXISTS discarded timestamptz";

/// Whether the quarantine can say that a row was discarded: an earlier version made it without.
pub(crate) async fn has_discarded(session: &mut Session) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attname = 'discarded' \
               AND attrelid = pg_catalog.to_regclass('tidewater.held'))";
    Ok(session.query(sql).await?.rows.first().is_some_and(|row| row[0].as_deref() == Some("t")))
}

/// Refuses tables of ours that a newer version wrote.
pub(crate) async fn check(session: &mut Session) -> Result<()> {
    let rows = session.query("SELECT format FROM tidewater.control").await?;
    let format = rows.rows.first().and_then(|row| row.first()?.as_deref()?.parse::<i64>().ok()).unwrap_or(FORMAT);
    if format <= FORMAT {
        return Ok(());
    }
    Err(Error::new(
        Kind::Invalid,
        code::FORMAT,
        format!("{}: the schema tidewater is of format {format}", session.shown),
    )
    .meaning(format!("A newer version wrote it; this one knows {FORMAT}. Nothing was changed."))
    .remedy("Use the newer version."))
}

/// Bytes as a literal.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{hex}'::bytea")
}

/// A list of texts as a literal.
pub(crate) fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(crate::wire::quoted_text).collect();
    format!("ARRAY[{}]::text[]", texts.join(", "))
}

/// The bytes of a `bytea` cell.
pub(crate) fn unhex(cell: &str) -> Option<Vec<u8>> {
    match crate::text::Carried::Bytes.value(cell.as_bytes()) {
        tidewater_core::change::Value::Bytes(bytes) => Some(bytes.into_owned()),
        _ => None,
    }
}
