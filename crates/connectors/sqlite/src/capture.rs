//! A SQLite database as a source: installing capture, handing out positions, and noticing when one is not ours.
//!
//! A position is a log number and a mark, `123@9f3c…`; where the entry after it stands for a range of appended rows of
//! which some were handed out, also the number of the last of them, `123:4567@9f3c…`. Before a read is handed out a new
//! mark is stored in the source, and the target stores it with the rows. A source that was restored from an older copy
//! does not know the mark, even when its log has since grown past the number: the position is lost, nothing is skipped.

use crate::appended::{Appended, Beyond};
use crate::connection::{Access, Database, Open};
use crate::meta;
use crate::own_ddl;
use crate::read::{Ends, Found, Look, Place};
use crate::schema;
use crate::sql::literal;
use crate::triggers::{self, Writer};
use crate::worker::Worker;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tidewater_core::capture::{Read, Reader, Resumed, Source, Start};
use tidewater_core::change::{Identity, Mapping, Origin, Position, Transaction};
use tidewater_core::env::Env;
use tidewater_core::transport::Budget;
use tidewater_core::{Error, Kind, Result, code};

/// Marks that are still accepted: the target may lag behind by what is in flight.
const MARKS_KEPT: usize = 4;

/// Log entries deleted in one transaction; more would hold the lock for long.
const PRUNED_MAX: i64 = 20_000;

/// The log is looked at this often at first, and less often while nothing comes.
const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_LAST: Duration = Duration::from_millis(20);

/// A place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    /// The entries through this one are covered.
    pub(crate) seq: i64,
    /// The entry after it is a range, of which the rows through this number are covered, too.
    pub(crate) within: Option<i64>,
    pub(crate) mark: String,
}

impl At {
    pub(crate) fn parse(position: &Position) -> Option<Self> {
        let (place, mark) = position.0.split_once('@')?;
        let (seq, within) = match place.split_once(':') {
            Some((seq, within)) => (seq, Some(within.parse().ok()?)),
            None => (place, None),
        };
        Some(Self { seq: seq.parse().ok()?, within, mark: mark.to_owned() })
    }

    pub(crate) fn position(&self) -> Position {
        let within = self.within.map_or(String::new(), |within| format!(":{within}"));
        Position(format!("{}{within}@{}", self.seq, self.mark))
    }
}

/// What this source follows, once begun.
pub(crate) struct Following {
    pub(crate) link: String,
    pub(crate) mappings: Arc<[Mapping]>,
    /// The mapping of each table number in the log, as far as met; none where the entries are not for this link.
    pub(crate) tabs: HashMap<i64, Option<usize>>,
    /// By the number of other programs' writes: the tables whose appended rows are logged by range.
    pub(crate) appended: BTreeMap<i64, Appended>,
    pub(crate) cookie: i64,
    /// The newest mark, ours if nobody interfered.
    mark: String,
    /// Durable at the target, and not yet written down here.
    confirmed: i64,
    /// Whether the log's entries have a time.
    pub(crate) timed: bool,
    /// Whether whoever reads is to be told where each change comes from.
    origins: bool,
    /// The number that changes when somebody else commits, as last seen with nothing to read.
    idle_at: Option<i64>,
    /// When the log was last seen with nothing more to read: what comes next was written after that.
    clear_ms: Option<i64>,
}

impl Following {
    /// Somebody who reads nothing of the log.
    pub(crate) fn nowhere(link: &str) -> Self {
        Self {
            link: link.to_owned(),
            mappings: Arc::new([]),
            tabs: HashMap::new(),
            cookie: 0,
            mark: String::new(),
            confirmed: 0,
            timed: false,
            origins: false,
            appended: BTreeMap::new(),
            idle_at: None,
            clear_ms: None,
        }
    }

    /// Whether rows are there that the log does not know of.
    pub(crate) fn has_beyond(&self, c: &Connection) -> rusqlite::Result<bool> {
        for table in self.appended.values() {
            if table.beyond(c)? != Beyond::Nothing {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether nobody knows any more which rows of a table were appended since the last look.
    pub(crate) fn has_lost_appended(&self, c: &Connection) -> rusqlite::Result<bool> {
        for table in self.appended.values() {
            if matches!(table.beyond(c)?, Beyond::Unknown) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Cuts what was appended. Under another schema the next look has to say what becomes of it.
    pub(crate) fn cut(&self, c: &Connection) -> rusqlite::Result<()> {
        match meta::cookie(c)? == self.cookie {
            true => self.appended.values().try_for_each(|table| table.cut(c)),
            false => Ok(()),
        }
    }
}

struct State {
    open: Open,
    following: Option<Following>,
}

/// A SQLite database as a source.
pub struct SqliteSource {
    worker: Worker<State>,
    env: Env,
}

impl SqliteSource {
    /// Opens it. With [`Access::Read`] it can be scanned, but not followed.
    pub fn open(database: &Database, access: Access, env: &Env) -> Result<Self> {
        if !database.exists() {
            return Err(crate::error::missing(&database.path, &database.shown));
        }
        let open = Open::new(database, access, env)?;
        Ok(Self { worker: Worker::start("source", State { open, following: None })?, env: env.clone() })
    }
}

/// The source is not the one that the position came from.
pub(crate) fn restored(shown: &str) -> Error {
    Error::new(Kind::Lost, code::POSITION_LOST, format!("{shown} is not as it was left: restored or replaced"))
        .meaning("Its change log does not continue from where this link stood.")
        .remedy("Nothing to do: the tables are compared, and only what differs is sent.")
}

crate::scan::scan_on_its_thread!(SqliteSource);

#[async_trait]
impl Source for SqliteSource {
    async fn begin(&mut self, reader: &Reader, mappings: Arc<[Mapping]>, resume: Option<&Position>) -> Result<Start> {
        let (reader, resume) = (reader.clone(), resume.cloned());
        self.worker.call(move |s| s.begin(&reader, mappings, resume.as_ref())).await
    }

    async fn read(&mut self, after: &Position, budget: Budget, wait: Duration) -> Result<Read> {
        let deadline = self.env.clock.monotonic() + wait;
        let mut poll = POLL_FIRST;
        loop {
            let after = after.clone();
            let read = self.worker.call(move |s| s.read(&after, budget)).await?;
            let left = deadline.saturating_sub(self.env.clock.monotonic());
            if read != Read::Nothing || left.is_zero() {
                return Ok(read);
            }
            self.env.clock.sleep(poll.min(left)).await;
            poll = (poll * 2).min(POLL_LAST);
        }
    }

    async fn confirm(&mut self, position: &Position, flush: bool) -> Result<()> {
        let position = position.clone();
        self.worker.call(move |s| s.confirm(&position, flush)).await
    }

    async fn leave(&mut self, link: &str) -> Result<Vec<String>> {
        let link = link.to_owned();
        self.worker
            .call(move |s| s.open.write(|c| crate::teardown::source(c, &link).map_err(|e| s.open.explain(e))))
            .await
    }
}

impl State {
    fn begin(&mut self, reader: &Reader, mappings: Arc<[Mapping]>, resume: Option<&Position>) -> Result<Start> {
        let resume = resume.and_then(At::parse);
        let mark = self.open.env.token()[..16].to_owned();
        let open = &self.open;
        let begun =
            open.write(|c| begin(open, c, reader, &mappings, resume.as_ref(), &mark).map_err(|e| open.explain(e)))?;
        let (start, following) = begun;
        self.following = Some(following);
        Ok(start)
    }

    fn read(&mut self, after: &Position, budget: Budget) -> Result<Read> {
        let Some(following) = &mut self.following else { return Err(Error::internal("read before begin")) };
        let shown = &self.open.database.shown;
        if !self.open.is_same_file() {
            return Err(restored(shown));
        }
        let at = At::parse(after).ok_or_else(|| restored(shown))?;
        let version: i64 = self
            .open
            .connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .map_err(|e| self.open.explain(e))?;
        let now_ms = self.open.env.clock.now_ms();
        if following.idle_at == Some(version) {
            following.clear_ms = Some(now_ms);
            return Ok(Read::Nothing);
        }
        match self.open.look(following, &at, budget)? {
            Look::SchemaChanged => Ok(Read::SchemaChanged),
            Look::Nothing => {
                following.idle_at = Some(version);
                following.clear_ms = Some(now_ms);
                Ok(Read::Nothing)
            }
            Look::Found(found) => {
                following.idle_at = None;
                let after_ms = following.clear_ms;
                if found.settled {
                    following.clear_ms = Some(now_ms);
                }
                let mark = self.open.env.token()[..16].to_owned();
                mark_new(&self.open, following, &mark)?;
                Ok(Read::Changes(Transaction {
                    emptied: vec![],
                    origins: if following.origins { origins(&found) } else { vec![] },
                    changes: found.changes,
                    position: At { seq: found.through, within: found.within, mark }.position(),
                    settled: found.settled,
                    folded: true,
                    after_ms,
                    left_out: found.left_out,
                }))
            }
        }
    }

    fn confirm(&mut self, position: &Position, flush: bool) -> Result<()> {
        let Some(following) = &mut self.following else { return Err(Error::internal("confirm before begin")) };
        let at = At::parse(position).ok_or_else(|| restored(&self.open.database.shown))?;
        following.confirmed = following.confirmed.max(at.seq);
        if !flush {
            return Ok(());
        }
        loop {
            let open = &self.open;
            let pruned = open.write(|c| store_confirmed(c, following).map_err(|e| open.explain(e)))?;
            if pruned < PRUNED_MAX {
                return Ok(());
            }
        }
    }
}

/// Where each change comes from: the last entry of the log that speaks of its row. Who reads it again, and more of the
/// log with it, may find a later one, and then its row as that left it.
fn origins(found: &Found) -> Vec<Origin> {
    let written_ms = found.written_ms.iter().copied();
    let origin = |((seq, ordinal), at_ms): (Place, Option<i64>)| Origin {
        place: seq.to_string().into(),
        ordinal,
        at_ms,
        verb: None,
    };
    found.places.iter().copied().zip(written_ms).map(origin).collect()
}

/// Stores a new mark, and with it what is confirmed, in one short write. What was appended meanwhile is cut, too:
/// appended rows wait for their turn, and not for the end of the log.
fn mark_new(open: &Open, following: &mut Following, mark: &str) -> Result<()> {
    let marks = open.write(|c| {
        let sqlite = |e| open.explain(e);
        let stored = marks(c, &following.link).map_err(sqlite)?;
        let mut kept = match stored {
            Some(kept) if kept.first() == Some(&following.mark) => kept,
            _ => return Err(restored(&open.database.shown)),
        };
        kept.insert(0, mark.to_owned());
        kept.truncate(MARKS_KEPT);
        c.prepare_cached("UPDATE _tidewater_reader SET marks = ?2 WHERE link = ?1")
            .and_then(|mut s| s.execute((&following.link, kept.join(" "))))
            .map_err(sqlite)?;
        store_confirmed(c, following).map_err(sqlite)?;
        following.cut(c).map_err(sqlite)?;
        Ok(kept)
    })?;
    following.mark.clone_from(&marks[0]);
    Ok(())
}

fn marks(c: &Connection, link: &str) -> rusqlite::Result<Option<Vec<String>>> {
    let found: Option<String> = c
        .prepare_cached("SELECT marks FROM _tidewater_reader WHERE link = ?1")?
        .query_row([link], |row| row.get(0))
        .optional()?;
    Ok(found.map(|marks| marks.split(' ').map(str::to_owned).collect()))
}

/// A reader whose progress lies in the same database: it is confirmed in the transaction that makes it. Says whether
/// there may be more to prune.
pub(crate) fn confirm_here(c: &Connection, following: &mut Following, at: &At) -> rusqlite::Result<bool> {
    following.confirmed = at.seq;
    Ok(store_confirmed(c, following)? >= PRUNED_MAX)
}

/// Stores what is confirmed and forgets what every reader has. Says how much was pruned.
fn store_confirmed(c: &Connection, following: &Following) -> rusqlite::Result<i64> {
    c.prepare_cached("UPDATE _tidewater_reader SET confirmed = ?2, seen_at = datetime('now') WHERE link = ?1")?
        .execute((&following.link, following.confirmed))?;
    // The target knows by now which tables were void at the beginning. What became void since then, which takes a
    // change of the schema, it does not know.
    if meta::cookie(c)? == following.cookie {
        c.prepare_cached("UPDATE _tidewater_reader_table SET void = 0 WHERE link = ?1 AND void")?
            .execute([&following.link])?;
    }
    let pruned = c
        .prepare_cached(&format!(
            "DELETE FROM _tidewater_log WHERE seq IN (SELECT seq FROM _tidewater_log \
             WHERE seq BETWEEN 1 AND (SELECT min(confirmed) FROM _tidewater_reader) \
             AND seq < (SELECT max(seq) FROM _tidewater_log) ORDER BY seq LIMIT {PRUNED_MAX})"
        ))?
        .execute([])?;
    Ok(i64::try_from(pruned).unwrap_or(PRUNED_MAX))
}

/// The mappings by their tables' numbers, and the tables whose appended rows are logged by range.
type Installed = (BTreeMap<i64, usize>, BTreeMap<i64, Appended>);

/// Installs capture and takes up a position of the log, in the caller's transaction. `mark` is for a new one.
pub(crate) fn begin(
    open: &Open,
    c: &Connection,
    reader: &Reader,
    mappings: &Arc<[Mapping]>,
    resume: Option<&At>,
    mark: &str,
) -> rusqlite::Result<(Start, Following)> {
    Begin { open, c, reader, mappings }.run(resume, mark)
}

/// Everything that `begin` does.
struct Begin<'a> {
    open: &'a Open,
    c: &'a Connection,
    reader: &'a Reader,
    mappings: &'a Arc<[Mapping]>,
}

impl Begin<'_> {
    fn run(&self, resume: Option<&At>, mark: &str) -> rusqlite::Result<(Start, Following)> {
        let (c, link) = (self.c, &self.reader.link);
        let before = meta::cookie(c)?;
        let mut installed = Vec::new();
        if meta::make_source(c, &self.open.identity)? {
            installed.push("a change log and its bookkeeping: tables _tidewater_…".to_owned());
        }
        self.keep_log_open()?;
        let (tabs, appended) = self.install(before, &mut installed)?;
        let stored = marks(c, link)?;
        let Ends { first, last, .. } = Ends::of(c)?;
        let resumed = match (resume, &stored) {
            (None, _) => Resumed::Fresh,
            (Some(at), Some(marks)) if !marks.contains(&at.mark) || at.seq > last => {
                Resumed::Lost("its change log does not continue from where this link stood".to_owned())
            }
            (Some(at), Some(_)) if first > at.seq + 1 => {
                let limit = self.open.database.log_rows_max;
                Resumed::Lost(format!("its change log reached its limit of {limit} entries"))
            }
            (Some(_), Some(_)) => Resumed::At,
            (Some(_), None) => Resumed::Lost("its change log does not know this link".to_owned()),
        };
        let (at, marks) = match (&resumed, resume, stored) {
            // Later marks were never adopted by the target: batches that failed must not use up those that are kept.
            (Resumed::At, Some(at), Some(_)) => (at.clone(), vec![at.mark.clone()]),
            _ => (At { seq: last, within: None, mark: mark.to_owned() }, vec![mark.to_owned()]),
        };
        let cookie = own_ddl::known(c, before)?;
        let following = Following { appended, ..self.follow(&tabs, &at, &marks, cookie)? };
        let void = self.void(&tabs)?;
        Ok((Start { position: at.position(), resumed, installed, void }, following))
    }

    /// Entry 0 is never forgotten: where it is missing, the log is new, or was emptied by hand, and then no position
    /// of any reader means anything.
    fn keep_log_open(&self) -> rusqlite::Result<()> {
        let shared: bool = self.c.query_row(
            "SELECT EXISTS (SELECT 1 FROM _tidewater_reader WHERE link <> ?1)",
            [&self.reader.link],
            |row| row.get(0),
        )?;
        triggers::install_cap(self.c, self.open.database.log_rows_max, shared)?;
        // Cuts are entries, too, and the triggers of the database are off on our connection.
        let (name, sql) = triggers::cap(self.open.database.log_rows_max, Writer::Engine);
        self.c.execute_batch(&format!("DROP TRIGGER IF EXISTS temp.{name}; {sql}"))?;
        let made = self.c.execute("INSERT INTO _tidewater_log(seq, tab) VALUES (0, 0) ON CONFLICT DO NOTHING", [])?;
        if made > 0 {
            self.c.execute("UPDATE _tidewater_reader SET marks = ''", [])?;
        }
        Ok(())
    }

    /// Installs triggers where they are missing, and notes which tables may have changed unseen. Says which mapping
    /// each number means, and which tables have their appended rows logged by range.
    fn install(&self, cookie: i64, installed: &mut Vec<String>) -> rusqlite::Result<Installed> {
        let c = self.c;
        let stored_cookie: Option<i64> = c.query_row("SELECT cookie FROM _tidewater_control", [], |row| row.get(0))?;
        let vacuumed = stored_cookie.is_some_and(|stored| stored != cookie);
        if vacuumed {
            self.void_renumbered()?;
        }
        let (mut tabs, mut appended) = (BTreeMap::new(), BTreeMap::new());
        for (at, mapping) in self.mappings.iter().enumerate() {
            let name = &mapping.source.table;
            let Some(details) = schema::details(c, name)? else { continue };
            let ends = if details.named_row_number().is_some() { 2 } else { 1 };
            self.widen(mapping.source.key.len().max(ends))?;
            let tab = meta::table_number(c, name, "")?;
            let table = Appended::of(c, &details, tab)?;
            match &table {
                Some(table) => table.prepare(c)?,
                None => drop(c.execute("UPDATE _tidewater_table SET top = NULL WHERE id = ?1", [tab])?),
            }
            let made = triggers::install(c, &details, tab)?;
            if made {
                installed.push(format!("triggers on {name}"));
            }
            if made {
                c.execute("UPDATE _tidewater_reader_table SET void = 1 WHERE tab = ?1", [tab])?;
            }
            appended.extend(table.map(|table| (tab, table)));
            tabs.insert(tab, at);
        }
        Ok((tabs, appended))
    }

    /// Row numbers may be others now: of every table that goes by them, also those that only other links follow, since
    /// the schema version that showed it is the known one from here on.
    fn void_renumbered(&self) -> rusqlite::Result<()> {
        let tables: Vec<(i64, String)> = self
            .c
            .prepare("SELECT id, name FROM _tidewater_table WHERE via = ''")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (tab, name) in tables {
            let keyless = schema::details(self.c, &name)?.is_none_or(|d| d.table.identity == Identity::RowNumber);
            if keyless {
                self.c.execute("UPDATE _tidewater_reader_table SET void = 1 WHERE tab = ?1", [tab])?;
            }
        }
        Ok(())
    }

    /// The log has as many key columns as the widest key.
    fn widen(&self, keys: usize) -> rusqlite::Result<()> {
        let there: usize = self.c.query_row(
            "SELECT count(*) FROM pragma_table_info('_tidewater_log') WHERE name GLOB 'k[0-9]*'",
            [],
            |row| row.get(0),
        )?;
        for n in there + 1..=keys {
            self.c.execute_batch(&format!("ALTER TABLE _tidewater_log ADD COLUMN k{n}"))?;
        }
        Ok(())
    }

    fn follow(
        &self,
        tabs: &BTreeMap<i64, usize>,
        at: &At,
        marks: &[String],
        cookie: i64,
    ) -> rusqlite::Result<Following> {
        let (c, reader) = (self.c, self.reader);
        c.execute(
            "INSERT INTO _tidewater_reader(link, target, target_identity, marks, confirmed, seen_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, datetime('now')) \
             ON CONFLICT (link) DO UPDATE SET target = excluded.target, marks = excluded.marks, \
             confirmed = excluded.confirmed, seen_at = excluded.seen_at",
            (&reader.link, &reader.target, &reader.target_identity, marks.join(" "), at.seq),
        )?;
        let followed: Vec<String> = tabs.keys().map(ToString::to_string).collect();
        c.execute_batch(&format!(
            "DELETE FROM _tidewater_reader_table WHERE link = {} AND tab NOT IN ({})",
            literal(&reader.link),
            followed.join(", ")
        ))?;
        for tab in tabs.keys() {
            c.execute(
                // What happened to a table before this link followed it, the link has not seen.
                "INSERT INTO _tidewater_reader_table(link, tab, void) VALUES (?1, ?2, 1) ON CONFLICT DO NOTHING",
                (&reader.link, tab),
            )?;
        }
        c.execute("UPDATE _tidewater_control SET cookie = ?1", [cookie])?;
        Ok(Following {
            link: reader.link.clone(),
            mappings: self.mappings.clone(),
            tabs: HashMap::new(),
            appended: BTreeMap::new(),
            cookie,
            mark: marks[0].clone(),
            confirmed: at.seq,
            timed: meta::log_has_time(c)?,
            origins: reader.origins,
            idle_at: None,
            clear_ms: None,
        })
    }

    fn void(&self, tabs: &BTreeMap<i64, usize>) -> rusqlite::Result<Vec<usize>> {
        let mut statement =
            self.c.prepare("SELECT tab FROM _tidewater_reader_table WHERE link = ?1 AND void ORDER BY tab")?;
        let void = statement.query_map([&self.reader.link], |row| row.get::<_, i64>(0))?;
        void.filter_map(|tab| tab.map(|tab| tabs.get(&tab).copied()).transpose()).collect()
    }
}
