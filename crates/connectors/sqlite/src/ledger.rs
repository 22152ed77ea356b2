//! What a target keeps about a link: its position, where each table stands, and the rows it holds back.

use crate::meta;
use crate::own_ddl;
use crate::sql::list;
use crate::target::State;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use tidewater_core::apply::{Existing, Ledger, Phase, Stretch, TableLedger, Writer};
use tidewater_core::change::{Key, Position};
use tidewater_core::{Error, Kind, Result, code};

/// Reads the ledger of a link, and remembers who writes.
pub(crate) fn read(state: &mut State, writer: Writer) -> Result<Ledger> {
    let open = &state.open;
    let (ledger, cookie) = open.read(|c| {
        let sqlite = |e| open.explain(e);
        let cookie = meta::cookie(c).map_err(sqlite)?;
        let ledger = match meta::has_table(c, "_tidewater_link").map_err(sqlite)? {
            true => stored(c, &writer, cookie).map_err(sqlite)??,
            false => Ledger { existing: writer.existing, ..Ledger::default() },
        };
        Ok((ledger, cookie))
    })?;
    state.writer = Some(writer);
    // Read again by the same session, it must not hide what happened since.
    state.seen.get_or_insert(cookie);
    Ok(ledger)
}

fn stored(c: &Connection, writer: &Writer, now: i64) -> rusqlite::Result<Result<Ledger>> {
    let mut ledger = Ledger { existing: writer.existing, ..Ledger::default() };
    let row: Option<(Option<String>, String, Option<i64>)> = c
        .query_row("SELECT position, existing, cookie FROM _tidewater_link WHERE link = ?1", [&writer.link], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((position, existing, cookie)) = row else { return Ok(Ok(ledger)) };
    let vacuumed = cookie != Some(now);
    ledger.position = position.map(Position);
    ledger.existing = Existing::from_word(&existing).unwrap_or_default();
    let mut statement =
        c.prepare("SELECT name, digest, phase, through, reason, target FROM _tidewater_link_table WHERE link = ?1")?;
    let mut rows = statement.query([&writer.link])?;
    while let Some(row) = rows.next()? {
        let (name, word): (String, String) = (row.get(0)?, row.get(2)?);
        let through = match row.get::<_, Option<Vec<u8>>>(3)? {
            None => None,
            Some(bytes) => match key(&bytes) {
                Ok(key) => Some(key),
                Err(error) => return Ok(Err(error)),
            },
        };
        let phase = match word.as_str() {
            // Row numbers may not be what they were.
            "copying" | "following" if vacuumed && !has_key(c, &row.get::<_, String>(5)?)? => Phase::Comparing,
            "copying" => Phase::Copying(through.map(Stretch::up_to).unwrap_or_default()),
            "meeting" => Phase::Meeting,
            "following" => Phase::Following,
            "halted" => Phase::Halted(row.get::<_, Option<String>>(4)?.unwrap_or_default()),
            // Anything else is answered by looking at every row.
            _ => Phase::Comparing,
        };
        ledger.tables.insert(name, TableLedger { digest: row.get(1)?, phase });
    }
    ledger.held = crate::held::count(c, &writer.link, false)?;
    Ok(Ok(ledger))
}

/// Whether a link is recorded here: without that its held rows would belong to nobody.
pub(crate) fn knows(c: &Connection, link: &str) -> rusqlite::Result<bool> {
    if !meta::has_table(c, "_tidewater_link")? {
        return Ok(false);
    }
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM _tidewater_link WHERE link = ?1)")?
        .query_row([link], |row| row.get(0))
}

/// Whether a table has a primary key.
fn has_key(c: &Connection, table: &str) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE pk > 0)")?
        .query_row([table], |row| row.get(0))
}

/// A stored key; how many values it has is known by reading it.
pub(crate) fn key(bytes: &[u8]) -> Result<Key> {
    const KEY_COLUMNS_MAX: usize = 2_000;
    let mut rest = bytes;
    let mut count = 0;
    while !rest.is_empty() && count < KEY_COLUMNS_MAX {
        tidewater_core::change::decode_value(&mut rest).map_err(|e| damaged(&e))?;
        count += 1;
    }
    Key::from_bytes(bytes, count).map_err(|e| damaged(&e))
}

pub(crate) fn damaged(error: &tidewater_core::change::DecodeError) -> Error {
    Error::new(Kind::Data, code::DECODE, format!("a stored key or row cannot be read: {error}"))
        .meaning("Somebody changed a _tidewater_ table, or the database is damaged.")
        .remedy("Run `tidewater teardown` and sync again; rows that are equal are not sent again.")
}

/// Records the position (where given) and the phases of tables.
pub(crate) fn record(
    state: &mut State,
    position: Option<&Position>,
    tables: &BTreeMap<String, TableLedger>,
) -> Result<()> {
    let Some(writer) = &state.writer else { return Err(Error::internal("record before ledger")) };
    let (open, mappings) = (&state.open, &state.mappings);
    let seen = open.write(|c| {
        let before = meta::cookie(c).map_err(|e| open.explain(e))?;
        state.refuse_renumbered(before, mappings)?;
        let work = || -> rusqlite::Result<i64> {
            meta::make_target(c, &open.identity)?;
            let cookie = own_ddl::known(c, before)?;
            c.execute(
                "INSERT INTO _tidewater_link(link, source, source_identity, existing, position, updated_at, cookie) \
                 VALUES (?1, ?2, ?3, ?4, ?5, datetime('now'), ?6) ON CONFLICT (link) DO UPDATE SET \
                 source = excluded.source, position = coalesce(excluded.position, position), \
                 updated_at = excluded.updated_at, cookie = excluded.cookie",
                (
                    &writer.link,
                    &writer.source,
                    &writer.source_identity,
                    writer.existing.word(),
                    position.map(|p| &p.0),
                    cookie,
                ),
            )?;
            for (name, table) in tables {
                let mapping = mappings.iter().find(|m| &m.source.table == name);
                let target = mapping.map_or(name, |m| &m.target.table);
                let columns = mapping.map(|m| list("", m.source.columns.iter().map(|c| c.name.as_str())));
                let (phase, through, reason) = phase_words(&table.phase);
                c.execute(
                    "INSERT INTO _tidewater_link_table(link, name, target, digest, phase, through, reason, columns) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (link, name) DO UPDATE SET \
                     target = excluded.target, digest = excluded.digest, phase = excluded.phase, \
                     through = excluded.through, reason = excluded.reason, \
                     columns = iif(excluded.phase = 'halted', columns, excluded.columns)",
                    (&writer.link, name, target, &table.digest, phase, through, reason, columns),
                )?;
            }
            Ok(cookie)
        };
        work().map_err(|e| open.explain(e))
    })?;
    state.seen = Some(seen);
    Ok(())
}

/// A phase as it is stored.
fn phase_words(phase: &Phase) -> (&'static str, Option<&[u8]>, Option<&str>) {
    match phase {
        Phase::Copying(done) => ("copying", Stretch::reach(done).map(|key| key.as_bytes()), None),
        Phase::Meeting => ("meeting", None, None),
        Phase::Comparing => ("comparing", None, None),
        Phase::Following => ("following", None, None),
        Phase::Halted(why) => ("halted", None, Some(why)),
    }
}
