//! What a target knows about a link: its position, its tables' phases, the rows that are held.

use crate::meta::{self, bytes, texts, unhex};
use crate::schema::{cell, has_table};
use crate::session::Session;
use crate::wire::quoted_text;
use std::collections::BTreeMap;
use tidewater_core::apply::{Existing, Ledger, Phase, Stretch, TableLedger, Writer};
use tidewater_core::change::{DecodeError, Key, Mapping, Position, decode_value};
use tidewater_core::verify::Range;
use tidewater_core::{Error, Kind, Result, code};

/// A key has no more columns than an index.
const KEY_COLUMNS_MAX: usize = 32;

/// Reads the ledger. Writes nothing.
pub(crate) async fn read(session: &mut Session, writer: &Writer) -> Result<Ledger> {
    let mut ledger = Ledger { existing: writer.existing, ..Ledger::default() };
    if !has_table(session, "link").await? {
        return Ok(ledger);
    }
    meta::check(session).await?;
    let link = quoted_text(&writer.link);
    let found = session.query(&format!("SELECT position, existing FROM tidewater.link WHERE link = {link}")).await?;
    let Some(row) = found.rows.first() else { return Ok(ledger) };
    ledger.position = row[0].clone().map(Position);
    ledger.existing = Existing::from_word(cell(row, 1)?).unwrap_or_default();
    let mut stretches = stretches(session, &link).await?;
    let sql = format!("SELECT name, digest, phase, reason FROM tidewater.link_table WHERE link = {link}");
    for row in session.query(&sql).await?.rows {
        let phase = match cell(&row, 2)? {
            "copying" => Phase::Copying(stretches.remove(cell(&row, 0)?).unwrap_or_default()),
            "meeting" => Phase::Meeting,
            "following" => Phase::Following,
            "halted" => Phase::Halted(row[3].clone().unwrap_or_default()),
            // Anything else is answered by looking at every row.
            _ => Phase::Comparing,
        };
        ledger.tables.insert(cell(&row, 0)?.to_owned(), TableLedger { digest: cell(&row, 1)?.to_owned(), phase });
    }
    ledger.held = crate::held::count(session, &writer.link).await?.0;
    Ok(ledger)
}

/// How far first copies have come, by table.
async fn stretches(session: &mut Session, link: &str) -> Result<BTreeMap<String, Vec<Stretch>>> {
    let sql =
        format!("SELECT name, number, after, through FROM tidewater.stretch WHERE link = {link} ORDER BY name, number");
    let mut stretches: BTreeMap<String, Vec<Stretch>> = BTreeMap::new();
    for row in session.query(&sql).await?.rows {
        let number = cell(&row, 1)?.parse().map_err(|_| damaged(&DecodeError::Truncated))?;
        let range =
            Range { after: row[2].as_deref().map(key).transpose()?, through: row[3].as_deref().map(key).transpose()? };
        stretches.entry(cell(&row, 0)?.to_owned()).or_default().push(Stretch { number, range });
    }
    Ok(stretches)
}

/// Stores that a stretch of a first copy is there; answers with a row, unless the table is not being copied any more.
/// Several lanes do so at once: each has a row of its own, and none holds up another.
pub(crate) fn copied_sql(link: &str, name: &str, stretch: &Stretch) -> String {
    let bound = |key: &Option<Key>| key.as_ref().map_or("NULL".to_owned(), |key| bytes(key.as_bytes()));
    format!(
        "INSERT INTO tidewater.stretch AS s SELECT {link}, t.name, {}, {}, {} FROM (SELECT name FROM tidewater.link_table \
         WHERE link = {link} AND name = {} AND phase = 'copying' FOR KEY SHARE) t \
         ON CONFLICT (link, name, number) DO UPDATE SET through = excluded.through \
         WHERE s.through IS NOT DISTINCT FROM excluded.after RETURNING 1",
        stretch.number,
        bound(&stretch.range.after),
        bound(&stretch.range.through),
        quoted_text(name)
    )
}

/// The columns that each table of a link carried the last time.
pub(crate) async fn columns(session: &mut Session, link: &str) -> Result<BTreeMap<String, Vec<String>>> {
    if !has_table(session, "link_table").await? {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT name, array_to_string(columns, E'\\x1f') FROM tidewater.link_table WHERE link = {}",
        quoted_text(link)
    );
    let rows = session.query(&sql).await?.rows;
    let one = |row: &Vec<Option<String>>| {
        Ok((cell(row, 0)?.to_owned(), cell(row, 1)?.split('\u{1f}').map(str::to_owned).collect()))
    };
    rows.iter().map(one).collect()
}

/// A stored key; how many values it has is known by reading it.
pub(crate) fn key(cell: &str) -> Result<Key> {
    let bytes = unhex(cell).ok_or_else(|| damaged(&DecodeError::Truncated))?;
    let (mut rest, mut count) = (&bytes[..], 0);
    while !rest.is_empty() && count < KEY_COLUMNS_MAX {
        decode_value(&mut rest).map_err(|error| damaged(&error))?;
        count += 1;
    }
    Key::from_bytes(&bytes, count).map_err(|error| damaged(&error))
}

pub(crate) fn damaged(error: &DecodeError) -> Error {
    Error::new(Kind::Data, code::DECODE, format!("a stored key or row cannot be read: {error}"))
        .meaning("Somebody changed a table in the schema tidewater, or the database is damaged.")
        .remedy("Run `tidewater teardown` and sync again; rows that are equal are not sent again.")
}

/// Records the position (where given) and the phases of tables, in one transaction.
pub(crate) async fn record(
    session: &mut Session,
    writer: &Writer,
    mappings: &[Mapping],
    position: Option<&Position>,
    tables: &BTreeMap<String, TableLedger>,
) -> Result<()> {
    meta::make(session).await?;
    let link = quoted_text(&writer.link);
    let position = position.map_or("NULL".to_owned(), |position| quoted_text(&position.0));
    let mut sql = format!(
        "BEGIN; INSERT INTO tidewater.link VALUES ({link}, {}, {}, {}, {position}, now()) ON CONFLICT (link) DO UPDATE \
         SET source = excluded.source, position = coalesce(excluded.position, tidewater.link.position), \
         updated_at = now();",
        quoted_text(&writer.source),
        quoted_text(&writer.source_identity),
        quoted_text(writer.existing.word()),
    );
    for (name, table) in tables {
        let mapping = mappings.iter().find(|mapping| &mapping.source.table == name);
        let target = mapping.map_or(name, |mapping| &mapping.target.table);
        let (phase, reason) = words(&table.phase);
        let columns = mapping.map(|mapping| texts(mapping.source.columns.iter().map(|column| column.name.as_str())));
        sql += &format!(
            "INSERT INTO tidewater.link_table(link, name, target, digest, phase, reason, columns) VALUES ({link}, {}, {}, {}, '{phase}', {}, {}) \
             ON CONFLICT (link, name) DO UPDATE SET target = excluded.target, digest = excluded.digest, \
             phase = excluded.phase, reason = excluded.reason, columns = \
             CASE excluded.phase WHEN 'halted' THEN tidewater.link_table.columns ELSE excluded.columns END;",
            quoted_text(name),
            quoted_text(target),
            quoted_text(&table.digest),
            reason.map_or("NULL".to_owned(), quoted_text),
            columns.unwrap_or_else(|| texts([])),
        );
        if !matches!(&table.phase, Phase::Copying(done) if !done.is_empty()) {
            sql += &format!("DELETE FROM tidewater.stretch WHERE link = {link} AND name = {};", quoted_text(name));
        }
    }
    sql += "COMMIT";
    session.query(&sql).await.map(|_| ())
}

/// A phase as it is stored.
fn words(phase: &Phase) -> (&'static str, Option<&str>) {
    match phase {
        Phase::Copying(_) => ("copying", None),
        Phase::Meeting => ("meeting", None),
        Phase::Comparing => ("comparing", None),
        Phase::Following => ("following", None),
        Phase::Halted(why) => ("halted", Some(why)),
    }
}
