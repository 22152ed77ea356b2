//! What capture by the log needs at a server: a publication, a slot, and that the log says which row was changed.

use crate::error::explain;
use crate::lsn::Lsn;
use crate::point::Point;
use crate::schema::{Details, cell};
use crate::session::Session;
use crate::sql::table as quoted_table;
use crate::timeline::{self, Timeline};
use crate::wire::{ServerError, quoted_name, quoted_text};
use std::collections::BTreeMap;
use std::time::Duration;
use tidewater_core::capture::{Reader, Resumed, Start};
use tidewater_core::change::{Mapping, Position};
use tidewater_core::env::Env;
use tidewater_core::{Error, Kind, Result, code};

/// The oldest release that is supported.
const OLDEST: u32 = 14;

/// The name of a link's slot and publication.
pub(crate) fn name(link: &str) -> String {
    format!("tidewater_{link}")
}

/// The link that a slot or publication is named after.
pub(crate) fn link(name: &str) -> Option<&str> {
    name.strip_prefix("tidewater_")
}

/// Stands in the place of whom the publication is for, as long as what ran when tables came to it is waited for.
const TABLES_CAME: &str = "tables came";
/// Between the names of tables.
const SEPARATOR: &str = "\u{1f}";

/// The tables that came, as they were noted.
fn names_that_came(comment: &str) -> Vec<String> {
    let (comment, _) = timeline::split(comment);
    let names = comment.strip_prefix(TABLES_CAME).unwrap_or_default().split(SEPARATOR);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Notes whom the publication is for, where `status` and `teardown` find it, and that nothing is waited for any more;
/// and on which timeline the target's position was read, which is known once the target has one.
pub(crate) async fn note_target(
    session: &mut Session,
    name: &str,
    link: &Reader,
    timeline: Option<Timeline>,
) -> Result<()> {
    let comment = format!("for {}\n{}{}", link.target, link.target_identity, timeline::noted(timeline));
    let comment = quoted_text(&comment);
    session.query(&format!("COMMENT ON PUBLICATION {} IS {comment}", quoted_name(name))).await.map(|_| ())
}

/// What was noted: the target as people know it, and its identity.
pub(crate) fn target(comment: &str) -> Option<(String, String)> {
    let (comment, _) = timeline::split(comment);
    let (target, identity) = comment.strip_prefix("for ")?.rsplit_once('\n')?;
    Some((target.to_owned(), identity.to_owned()))
}

/// Installs what is missing, and takes up `resume`.
pub(crate) async fn begin(
    (session, env): (&mut Session, &Env),
    tables: &BTreeMap<String, Details>,
    name: &str,
    mappings: &[Mapping],
    resume: Option<&Position>,
) -> Result<Start> {
    check_server(session).await?;
    for mapping in mappings {
        if let Some(details) = tables.get(&mapping.source.table) {
            check_identity(session, mapping, details)?;
        }
    }
    let slot = slot(session, name).await?;
    if slot.as_ref().is_some_and(|slot| !slot.is_ours) {
        return Err(not_ours(session, name));
    }
    let noted = comment(session, name).await?;
    let published = publish(session, name, mappings, noted.as_ref()).await?;
    let mut resumed = judge(session, slot.as_ref(), resume).await?;
    let read_on = noted.flatten().and_then(|comment| timeline::split(&comment).1);
    if let (Resumed::At, Some(point)) = (&resumed, resume.and_then(Point::read))
        && let Some(why) = timeline::left(session, read_on, point.end).await?
    {
        resumed = Resumed::Lost(why);
    }
    if resumed == Resumed::At && published.changed && resume.and_then(Point::read).is_some_and(|at| at.within.is_some())
    {
        let why =
            "its tables were changed in the middle of a large transaction, whose changes are counted otherwise now";
        resumed = Resumed::Lost(why.to_owned());
    }
    let mut installed = Vec::new();
    if resumed == Resumed::At {
        if published.came {
            wait_for_running(session).await?;
        }
        let position = resume.cloned().unwrap_or_default();
        let came = |at: &usize| published.names.contains(&mappings[*at].source.table);
        let void = (0..mappings.len()).filter(came).collect();
        return Ok(Start { position, resumed, installed, void });
    }
    if slot.is_some() {
        drop_slot(session, env, name).await?;
    }
    // Whoever runs now is finished in the log when the slot is made, but may still be invisible to readers.
    let before = session.query("SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())").await?;
    let before = cell(first(&before.rows)?, 0)?.to_owned();
    // Kept in step on standbys that are set up for it, so that reading goes on when one of them takes over.
    let failover = if session.major_version() >= 17 { ", false, false, true" } else { "" };
    let made = format!(
        "SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot({}, 'pgoutput'{failover})",
        quoted_text(name)
    );
    let made = session.query(&made).await?;
    let end: Lsn =
        cell(first(&made.rows)?, 0)?.parse().map_err(|_| Error::internal("a slot without a place in the log"))?;
    wait_until_visible(session, &before).await?;
    installed.push(format!(
        "the publication and the replication slot {name}, which keeps the server's log until it was read"
    ));
    Ok(Start { position: Point::at(end).position(), resumed, installed, void: vec![] })
}

fn first(rows: &[Vec<Option<String>>]) -> Result<&Vec<Option<String>>> {
    rows.first().ok_or_else(|| Error::internal("the server answered no row"))
}

/// Where the log ends, with everything that has committed flushed.
pub(crate) async fn end_of_log(session: &mut Session) -> Result<Lsn> {
    // Its commit flushes the log up to there.
    session.query("SELECT pg_catalog.pg_logical_emit_message(true, 'tidewater', '')").await?;
    let rows = session.query("SELECT pg_catalog.pg_current_wal_flush_lsn()").await?;
    cell(first(&rows.rows)?, 0)?.parse().map_err(|_| Error::internal("a log without an end"))
}

async fn check_server(session: &mut Session) -> Result<()> {
    let version = session.major_version();
    let shown = session.shown.clone();
    if version < OLDEST {
        let what = format!("{shown} is PostgreSQL {version}");
        return Err(Error::new(Kind::Invalid, code::SERVER_SETTING, what)
            .meaning(format!("Changes are read from the log of PostgreSQL {OLDEST} and newer. Nothing was changed."))
            .remedy("Upgrade the server, or copy once with --once."));
    }
    let level = session.query("SHOW wal_level").await?;
    let level = cell(first(&level.rows)?, 0)?;
    if level != "logical" {
        let what = format!("{shown}: wal_level is {level}");
        return Err(Error::new(Kind::Invalid, code::SERVER_SETTING, what)
            .meaning("The server's log does not hold what changed in rows. Nothing was changed.")
            .remedy("ALTER SYSTEM SET wal_level = logical; and restart the server. Or copy once with --once."));
    }
    Ok(())
}

/// Whether the log will say which row was updated or deleted.
fn check_identity(session: &Session, mapping: &Mapping, details: &Details) -> Result<()> {
    let name = &mapping.source.table;
    let refused = |why: &str, remedy: String| {
        Err(Error::new(Kind::Invalid, code::REPLICA_IDENTITY, format!("{}: {name} {why}", session.shown))
            .meaning("Updates and deletes could not be carried. Nothing was changed.")
            .remedy(remedy))
    };
    let table = quoted_table(name);
    if !details.is_logged {
        return refused(
            "is an unlogged table",
            format!("ALTER TABLE {table} SET LOGGED; or leave it out with --tables '!{name}'."),
        );
    }
    let logged = |key: &String| details.logged_key.contains(key);
    match details.replica_identity {
        'f' => Ok(()),
        'n' => refused("has no replica identity", format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT; or FULL.")),
        _ if details.table.key.iter().all(logged) => Ok(()),
        _ => refused(
            "has a key that the log does not hold",
            format!(
                "Set its unique index with ALTER TABLE {table} REPLICA IDENTITY USING INDEX …; or FULL, or give it a primary key."
            ),
        ),
    }
}

/// What became of the tables of a publication that was there.
#[derive(Default)]
struct Published {
    /// Some came to it, now or before somebody was killed who had not waited for what ran then.
    came: bool,
    /// Which. One that the target knows already is another table under the same name: it was dropped and made anew.
    names: Vec<String>,
    /// Some came to it, or went.
    changed: bool,
}

/// What is noted at the publication, where it is there.
async fn comment(session: &mut Session, name: &str) -> Result<Option<Option<String>>> {
    let sql = format!(
        "SELECT pg_catalog.obj_description(oid, 'pg_publication') FROM pg_catalog.pg_publication WHERE pubname = {}",
        quoted_text(name)
    );
    let there = session.query(&sql).await?.rows;
    Ok(there.into_iter().next().map(|row| row.into_iter().next().flatten()))
}

/// Makes the publication hold these tables. `noted` is what is noted there, where it exists.
async fn publish(
    session: &mut Session,
    name: &str,
    mappings: &[Mapping],
    noted: Option<&Option<String>>,
) -> Result<Published> {
    let (quoted, text) = (quoted_name(name), quoted_text(name));
    let tables: Vec<String> = mappings.iter().map(|mapping| quoted_table(&mapping.source.table)).collect();
    let Some(noted) = noted else {
        let sql = format!(
            "CREATE PUBLICATION {quoted} FOR TABLE {} WITH (publish_via_partition_root = true)",
            tables.join(", ")
        );
        session.query(&sql).await?;
        return Ok(Published::default());
    };
    // Who was killed, or gave up, while he waited for what ran when tables came: it is waited for again.
    let waits = noted.as_deref().is_none_or(|comment| target(comment).is_none());
    let sql = format!("SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = {text}");
    let rows = session.query(&sql).await?.rows;
    let published: Vec<String> =
        rows.iter().map(|row| Ok(crate::sql::shown(cell(row, 0)?, cell(row, 1)?))).collect::<Result<_>>()?;
    let wanted: Vec<&String> = mappings.iter().map(|mapping| &mapping.source.table).collect();
    let mut names: Vec<String> = noted.as_deref().map(names_that_came).unwrap_or_default();
    names.extend(wanted.iter().filter(|name| !published.contains(name)).map(|name| (*name).clone()));
    let came = wanted.iter().any(|name| !published.contains(name));
    let changed = came || published.iter().any(|name| !wanted.contains(&name));
    if changed {
        let sql = format!("ALTER PUBLICATION {quoted} SET TABLE {}", tables.join(", "));
        // In one transaction: that tables came is known until it has been waited for.
        let timeline = noted.as_deref().and_then(|comment| timeline::split(comment).1);
        let note = format!("{TABLES_CAME}{SEPARATOR}{}{}", names.join(SEPARATOR), timeline::noted(timeline));
        let note = format!("; COMMENT ON PUBLICATION {quoted} IS {}", quoted_text(&note));
        let note = if came { note } else { String::new() };
        session.query(&format!("{sql}{note}")).await?;
    }
    Ok(Published { came: came || waits, names, changed })
}

/// A slot as the server has it.
struct Slot {
    confirmed: Option<Lsn>,
    is_lost: bool,
    /// Made by us, for this database. Another is nobody's to drop but its owner's.
    is_ours: bool,
}

async fn slot(session: &mut Session, name: &str) -> Result<Option<Slot>> {
    let sql = format!(
        "SELECT confirmed_flush_lsn, coalesce(wal_status, 'lost') = 'lost', \
         coalesce(plugin, '') = 'pgoutput' AND database = pg_catalog.current_database() FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        quoted_text(name)
    );
    let rows = session.query(&sql).await?.rows;
    let Some(row) = rows.first() else { return Ok(None) };
    let confirmed = row[0].as_deref().and_then(|lsn| lsn.parse().ok());
    Ok(Some(Slot { confirmed, is_lost: cell(row, 1)? == "t", is_ours: cell(row, 2)? == "t" }))
}

fn not_ours(session: &Session, name: &str) -> Error {
    let what = format!("{}: the replication slot {name} is of another database or another plugin", session.shown);
    Error::new(Kind::Invalid, code::SERVER_SETTING, what)
        .meaning("Somebody else made it, and may read it. It was left alone, and no row was carried.")
        .remedy(format!("Ask whose it is. If it is nobody's: SELECT pg_drop_replication_slot('{name}');"))
}

/// Whether reading can go on after a position.
async fn judge(session: &mut Session, slot: Option<&Slot>, resume: Option<&Position>) -> Result<Resumed> {
    let Some(position) = resume else { return Ok(Resumed::Fresh) };
    let lost = |why: &str| Ok(Resumed::Lost(why.to_owned()));
    let Some(point) = Point::read(position) else { return lost("the stored position is not one of a PostgreSQL log") };
    let Some(slot) = slot else {
        return lost(
            "its replication slot is gone (dropped when a run ended without --keep-slot, or by somebody, or the server was restored)",
        );
    };
    if slot.is_lost {
        return lost(
            "its replication slot was given up by the server, which kept no more of its log (max_slot_wal_keep_size)",
        );
    }
    if slot.confirmed.is_none_or(|confirmed| confirmed > point.end) {
        return lost("its replication slot went on without the target");
    }
    let rows = session.query("SELECT pg_catalog.pg_current_wal_flush_lsn()").await?;
    let end: Lsn = cell(first(&rows.rows)?, 0)?.parse().map_err(|_| Error::internal("a log without an end"))?;
    if end < point.end {
        return lost("the server's log ends before what was already read");
    }
    Ok(Resumed::At)
}

/// How long transactions are waited for that have ended and are not visible yet, or began before a table was published.
const PATIENCE_ROUNDS: u32 = 1_500;

/// Waits until every transaction that runs now has ended: what they wrote to a table that was only just published is
/// not in the stream, and must be visible to whoever copies it.
async fn wait_for_running(session: &mut Session) -> Result<()> {
    let rows = session.query("SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())").await?;
    let before = cell(first(&rows.rows)?, 0)?.to_owned();
    wait_until_visible(session, &before).await
}

/// Waits until no transaction older than this runs: a commit that waits for a synchronous standby is in the log
/// already, while readers still see what was before.
async fn wait_until_visible(session: &mut Session, before: &str) -> Result<()> {
    let sql = format!(
        "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= '{before}'::pg_catalog.xid8 \
         OR pg_catalog.pg_sleep(0.02) IS NULL"
    );
    for _ in 0..PATIENCE_ROUNDS {
        let rows = session.query(&sql).await?;
        if cell(first(&rows.rows)?, 0)? == "t" {
            return Ok(());
        }
    }
    Err(Error::new(
        Kind::Unavailable,
        code::BUSY,
        format!("{}: transactions that began before do not end", session.shown),
    )
    .meaning("What they wrote is not visible yet, so a copy now would miss it. Nothing was copied.")
    .remedy(
        "It is tried again. Look at pg_stat_activity for transactions that are open for long, or wait for a standby.",
    ))
}

/// How often, and after which pauses, a slot is tried that is still in use.
const DROP_ROUNDS: u32 = 200;
const DROP_PAUSE: Duration = Duration::from_millis(25);

/// Drops a slot. A connection that has just ended may hold it for a moment, until the server has noticed.
pub(crate) async fn drop_slot(session: &mut Session, env: &Env, name: &str) -> Result<()> {
    let sql = format!("SELECT pg_catalog.pg_drop_replication_slot({})", quoted_text(name));
    for _ in 0..DROP_ROUNDS {
        match session.attempt(&sql).await? {
            Err(error) if error.server().is_some_and(|error| error.sqlstate == ServerError::SLOT_ACTIVE) => {
                env.clock.sleep(DROP_PAUSE).await;
            }
            answer => return answer.map(|_| ()).map_err(|error| explain(error, &session.shown)),
        }
    }
    Err(in_use(session, name))
}

/// Up to where a slot was confirmed, once nobody reads it: what its last reader said may still be on its way until then.
pub(crate) async fn kept(session: &mut Session, env: &Env, name: &str) -> Result<Option<Lsn>> {
    let sql =
        format!("SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = {} AND active", quoted_text(name));
    for _ in 0..DROP_ROUNDS {
        if session.query(&sql).await?.rows.is_empty() {
            let slot = slot(session, name).await?;
            return Ok(slot.filter(|slot| !slot.is_lost).and_then(|slot| slot.confirmed));
        }
        env.clock.sleep(DROP_PAUSE).await;
    }
    Err(in_use(session, name))
}

fn in_use(session: &Session, name: &str) -> Error {
    Error::new(Kind::Unavailable, code::BUSY, format!("{}: the replication slot {name} is in use", session.shown))
        .meaning(
            "Another Tidewater reads it, or one that was just killed: the server notices within wal_sender_timeout.",
        )
        .remedy("Stop the other one, or wait a minute, and run the command again.")
}

/// Whether the server gives a slot up before its log fills the disk.
pub(crate) async fn log_is_bounded(session: &mut Session) -> Result<bool> {
    let rows = session.query("SELECT pg_catalog.current_setting('max_slot_wal_keep_size')").await?;
    Ok(cell(first(&rows.rows)?, 0)? != "-1")
}

/// Takes out what [`begin`] installed; says what.
pub(crate) async fn leave(session: &mut Session, env: &Env, name: &str) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    if slot(session, name).await?.is_some_and(|slot| slot.is_ours) {
        drop_slot(session, env, name).await?;
        gone.push(format!("the replication slot {name}"));
    }
    let text = quoted_text(name);
    let there = session.query(&format!("SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {text}")).await?;
    if !there.rows.is_empty() {
        session.query(&format!("DROP PUBLICATION {}", quoted_name(name))).await?;
        gone.push(format!("the publication {name}"));
    }
    Ok(gone)
}
