//! Writing a batch: its rows, what could not be written, and its progress, in one transaction.

use crate::appended::Appended;
use crate::aside;
use crate::collisions;
use crate::meta;
use crate::own_ddl;
use crate::scan::One;
use crate::sql::{list, quote, visible};
use crate::target::State;
use crate::types::bind;
use rusqlite::{CachedStatement, Connection};
use std::collections::HashSet;
use std::sync::Arc;
use tidewater_core::apply::{Durability, Held, Stretch, Writer, Written};
use tidewater_core::change::{Change, Deletes, ForeignKey, Identity, Key, Mapping, Op, Raw, Row, Value, View};
use tidewater_core::transport::{Batch, Mode, Progress};
use tidewater_core::{Error, Kind, Result, code};

/// What writing one table needs to know.
#[derive(Debug, Clone)]
pub(crate) struct TableWriter {
    upsert: String,
    insert: String,
    insert_missing: String,
    delete: String,
    /// The target's view without its filter: rows that stand in the way may be ones that the filter hides.
    pub(crate) unfiltered: View,
    /// Each finds the row with a key if it refers to a parent that is not there.
    dangling: Vec<String>,
}

/// More rows without their parents are not remembered: a source that writes them has no use for a greater count.
const DANGLING_MAX: usize = 10_000;

/// A batch that was carried out.
struct Done {
    written: Written,
    /// The schema version now.
    cookie: i64,
    /// The tables here whose appended rows are logged by range.
    appended: Arc<[Appended]>,
    /// The rows to look at again when the source is consistent.
    dangling: HashSet<(usize, Key)>,
}

/// The statement of the row before, and what it is: looking it up again costs as much as a small row.
type Kept<'c> = Option<((usize, Put), CachedStatement<'c>)>;

/// How a whole row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    /// It is not there; if it is, the statement fails.
    Insert,
    /// Over whatever is there.
    Upsert,
}

/// What became of the rows of a batch so far.
#[derive(Default)]
pub(crate) struct Outcome<'c> {
    pub(crate) written: Written,
    pub(crate) failed: Vec<Failed>,
    /// Inserts that turn out to be none are taken as upserts.
    resolving: bool,
    kept: Kept<'c>,
}

impl Outcome<'_> {
    /// Nothing yet, where inserts are taken as upserts.
    pub(crate) fn resolving() -> Self {
        Self { resolving: true, ..Self::default() }
    }
}

/// A row that could not be written: its place in the batch, and what SQLite said.
pub(crate) type Failed = (usize, String);

impl TableWriter {
    /// The statements for a mapping. `set_key` where an equal key may be spelled otherwise.
    pub(crate) fn new(mapping: &Mapping, set_key: bool, foreign_keys: &[ForeignKey]) -> Self {
        let view = &mapping.target;
        let names: Vec<&str> = view.columns.iter().map(|c| c.name.as_str()).collect();
        let keys: Vec<&str> = view.key.iter().map(|at| names[*at]).collect();
        let table = quote(&view.table);
        let columns = list("", names.iter().copied());
        let parameters: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        let key = list("", keys.iter().copied());
        // The table's own ON CONFLICT clauses must not delete rows unseen.
        let insert = format!("INSERT OR ABORT INTO {table}({columns}) VALUES ({})", parameters.join(", "));
        let mut set: Vec<String> = names
            .iter()
            .filter(|name| set_key || !keys.contains(name))
            .map(|name| format!("{0} = excluded.{0}", quote(name)))
            .collect();
        let mark = match &mapping.deletes {
            Deletes::Mark { column, value } => Some((column, value)),
            Deletes::Apply | Deletes::Ignore => None,
        };
        // A row that comes back is not deleted any more, unless the source itself fills that column.
        set.extend(
            mark.filter(|(column, _)| !names.iter().any(|n| n.eq_ignore_ascii_case(column)))
                .map(|(column, _)| format!("{} = NULL", quote(column))),
        );
        let update = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
        let matches: Vec<String> =
            keys.iter().enumerate().map(|(at, k)| format!("{} = ?{}", quote(k), at + 1)).collect();
        let matches = matches.join(" AND ");
        Self {
            upsert: format!("{insert} ON CONFLICT ({key}) DO {update}"),
            insert_missing: format!("{insert} ON CONFLICT ({key}) DO NOTHING"),
            insert,
            delete: match mark {
                Some((column, value)) => {
                    let value = value.as_ref().map_or("datetime('now')".to_owned(), |v| crate::sql::literal(v));
                    format!("UPDATE OR ABORT {table} SET {} = {value} WHERE {matches}", quote(column))
                }
                None => format!("DELETE FROM {table} WHERE {matches}"),
            },
            dangling: foreign_keys.iter().map(|fk| dangling_sql(view, fk)).collect(),
            unfiltered: View { filter: None, deleted_when: None, value_bytes_max: None, ..view.clone() },
        }
    }

    /// Deletes a row, or marks it. Says how many rows that were.
    pub(crate) fn delete(&self, c: &Connection, key: &Key) -> rusqlite::Result<u64> {
        let mut statement = c.prepare_cached(&self.delete)?;
        bind(&mut statement, 1, key.raw())?;
        Ok(statement.raw_execute()? as u64)
    }

    /// Deletes or marks every row that the mapping sees. Says how many that were.
    fn empty(&self, c: &Connection, mapping: &Mapping) -> rusqlite::Result<u64> {
        if mapping.deletes == Deletes::Ignore {
            return Ok(0);
        }
        let seen = visible(mapping.target.filter.as_ref(), mapping.target.deleted_when.as_ref());
        let (all, _) = self.delete.split_once(" WHERE ").unwrap_or((&self.delete, ""));
        c.execute(&format!("{all} WHERE {seen}"), []).map(|rows| rows as u64)
    }

    /// Inserts a row that is not there; fails if it is.
    pub(crate) fn insert(&self, c: &Connection, row: &Row) -> rusqlite::Result<()> {
        self.run(c, &self.insert, row)
    }

    /// Writes a row over what is there.
    pub(crate) fn upsert(&self, c: &Connection, row: &Row) -> rusqlite::Result<()> {
        self.run(c, &self.upsert, row)
    }

    fn run(&self, c: &Connection, sql: &str, row: &Row) -> rusqlite::Result<()> {
        let mut statement = c.prepare_cached(sql)?;
        bind(&mut statement, 1, row.raw())?;
        statement.raw_execute().map(drop)
    }

    /// Writes a whole row. The statement is kept between the rows of a table.
    fn put<'c>(&self, c: &'c Connection, what: (usize, Put), row: &Row, kept: &mut Kept<'c>) -> rusqlite::Result<()> {
        if kept.as_ref().is_none_or(|(of, _)| *of != what) {
            let sql = if what.1 == Put::Insert { &self.insert } else { &self.upsert };
            *kept = Some((what, c.prepare_cached(sql)?));
        }
        let Some((_, statement)) = kept else { return Ok(()) };
        bind(statement, 1, row.raw())?;
        statement.raw_execute().map(drop)
    }

    /// Writes the columns that changed. A row that is not there has been deleted since, and its delete follows.
    fn update(&self, c: &Connection, key: &Key, row: &Row) -> rusqlite::Result<()> {
        let changed: Vec<(usize, Raw<'_>)> =
            row.raw().enumerate().filter(|(_, value)| *value != Raw::Other(Value::Unchanged)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let view = &self.unfiltered;
        let name = |at: usize| quote(&view.columns[at].name);
        let set: Vec<String> =
            changed.iter().enumerate().map(|(n, (at, _))| format!("{} = ?{}", name(*at), n + 1)).collect();
        let parameter = changed.len() + 1;
        let matches: Vec<String> =
            view.key.iter().enumerate().map(|(n, at)| format!("{} = ?{}", name(*at), parameter + n)).collect();
        let sql =
            format!("UPDATE OR ABORT {} SET {} WHERE {}", quote(&view.table), set.join(", "), matches.join(" AND "));
        let mut statement = c.prepare_cached(&sql)?;
        let next = bind(&mut statement, 1, changed.into_iter().map(|(_, value)| value))?;
        bind(&mut statement, next, key.raw())?;
        statement.raw_execute().map(drop)
    }
}

impl State {
    /// Writes a batch and its progress in one transaction.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<Written> {
        if !self.open.is_same_file() {
            return Err(Error::new(
                Kind::Unavailable,
                code::MISSING,
                format!("{} was replaced", self.open.database.shown),
            )
            .meaning("The file that was open is not the one at this path any more. Nothing was written.")
            .remedy("Nothing to do: it is opened again."));
        }
        let Some(writer) = self.writer.clone() else { return Err(Error::internal("write before ledger")) };
        let durability = self.flush_at_commit(batch)?;
        // Straight at first, without a savepoint: one would copy every page that is touched.
        let mut done = self.open.write_or_not(|c| self.attempt(c, batch, &writer, false))?;
        if done.is_none() {
            done = self.open.write_or_not(|c| self.attempt(c, batch, &writer, true))?;
        }
        let done = done.ok_or_else(|| Error::internal("a batch was neither written nor refused"))?;
        (self.chained_at, self.seen, self.dangling) = (Some(done.cookie), Some(done.cookie), done.dangling);
        self.appended = done.appended;
        Ok(Written { durability, ..done.written })
    }

    /// Whether the commit of this batch is flushed to disk. All are, but for chunks within a first copy into a
    /// write-ahead log: the log keeps their order, so a crash of the machine takes the last of them back whole, with
    /// their progress, and the copy goes on from there. The flush of the last chunk covers them all.
    fn flush_at_commit(&mut self, batch: &Batch) -> Result<Durability> {
        let goes_on = |stretch: &Stretch| stretch.range.through.is_some();
        let later = matches!(&batch.progress, Progress::Copied { stretch, .. } if goes_on(stretch)) && self.write_ahead;
        if self.flushed == later {
            self.open.flush_each(!later)?;
            self.flushed = !later;
        }
        Ok(if later { Durability::Accepted } else { Durability::Durable })
    }

    /// Everything that a batch does. `None` where rows failed that were not to be resolved.
    fn attempt(&self, c: &Connection, batch: &Batch, writer: &Writer, resolve: bool) -> Result<Option<Done>> {
        let sqlite = |e| self.open.explain(e);
        let cookie = meta::cookie(c).map_err(sqlite)?;
        self.refuse_renumbered(cookie, &self.mappings)?;
        let appended = self.chained(c, cookie, writer)?;
        appended.iter().try_for_each(|table| table.cut(c)).map_err(sqlite)?;
        self.advance(c, writer, &batch.progress)?;
        let has_ledger = crate::ledger::knows(c, &writer.link).map_err(sqlite)?;
        let alone = match has_ledger {
            true => crate::held::left_alone(c, &self.mappings, batch, &writer.link).map_err(sqlite)?,
            false => HashSet::new(),
        };
        let rest = (!alone.is_empty()).then(|| batch.without(&alone));
        let batch = rest.as_ref().unwrap_or(batch);
        let mut written = match resolve {
            true => self.resolved(c, batch, writer)?,
            false => match self.straight(c, batch, &writer.link).map_err(sqlite)? {
                Some(written) => written,
                None => return Ok(None),
            },
        };
        if has_ledger {
            let released = crate::held::keep(c, &self.mappings, (batch, &written), &writer.link);
            written.released = released.map_err(sqlite)?;
        }
        let follows = batch.settled || matches!(batch.progress, Progress::Position { .. });
        let mut dangling = if follows { self.dangling(c, batch).map_err(sqlite)? } else { self.dangling.clone() };
        if batch.settled {
            written.dangling = dangling.len() as u64;
            dangling.clear();
        }
        appended.iter().try_for_each(|table| table.know(c)).map_err(sqlite)?;
        // The first entry of a journal makes its table.
        let cookie = own_ddl::known(c, cookie).map_err(sqlite)?;
        Ok(Some(Done { written, cookie, appended, dangling }))
    }

    /// Sees to the engine's own triggers. Says of which tables the appended rows are logged by range.
    fn chained(&self, c: &Connection, cookie: i64, writer: &Writer) -> Result<Arc<[Appended]>> {
        if self.chained_at == Some(cookie) {
            return Ok(self.appended.clone());
        }
        crate::chain::refresh(c, &writer.link, &writer.run_triggers, self.open.database.log_rows_max)
            .map_err(|e| self.open.explain(e))?
            .map(Arc::from)
            .map_err(|name| no_trigger(&name, &self.open.database.shown))
    }

    /// Tables without a key are written by row number, and a VACUUM of the target gives rows new ones.
    pub(crate) fn refuse_renumbered(&self, cookie: i64, mappings: &[Mapping]) -> Result<()> {
        if self.seen == Some(cookie) || mappings.iter().all(|m| m.identity == Identity::PrimaryKey) {
            return Ok(());
        }
        Err(elsewhere(&self.open.database.shown))
    }

    /// Stores the batch's progress; refuses one that does not follow what is stored.
    fn advance(&self, c: &Connection, writer: &Writer, progress: &Progress) -> Result<()> {
        let advanced = match progress {
            Progress::None | Progress::Retried { .. } => return Ok(()),
            Progress::Position { before, after } => c
                .prepare_cached(
                    "UPDATE _tidewater_link SET position = ?3, updated_at = datetime('now') \
                     WHERE link = ?1 AND position = ?2",
                )
                .and_then(|mut s| s.execute((&writer.link, &before.0, &after.0))),
            Progress::Copied { table, stretch } => c
                .prepare_cached(
                    "UPDATE _tidewater_link_table SET phase = ?3, through = ?4 WHERE link = ?1 AND name = ?2 \
                     AND phase = 'copying'",
                )
                .and_then(|mut s| {
                    let name = &self.mappings[*table].source.table;
                    let through = stretch.range.through.as_ref().map(Key::as_bytes);
                    let phase = if through.is_some() { "copying" } else { "following" };
                    s.execute((&writer.link, name, phase, through))
                }),
        };
        match advanced.map_err(|e| self.open.explain(e))? {
            1 => Ok(()),
            _ => Err(elsewhere(&self.open.database.shown)),
        }
    }

    /// Writes the rows by way of `collisions`; what cannot be written even so is held.
    fn resolved(&self, c: &Connection, batch: &Batch, writer: &Writer) -> Result<Written> {
        let sqlite = |e| self.open.explain(e);
        c.execute_batch("SAVEPOINT rows").map_err(sqlite)?;
        let emptied = self.empty(c, batch).map_err(sqlite)?;
        let (mut written, held) = collisions::resolve(self, c, batch, &writer.link).map_err(sqlite)?;
        written.deletes += emptied;
        c.execute_batch("RELEASE rows").map_err(sqlite)?;
        let held = held.into_iter().map(|(at, reason)| {
            let change = &batch.changes[at];
            Held { table: self.mappings[change.table].source.table.clone(), key: change.key.clone(), reason }
        });
        Ok(Written { held: held.collect(), ..written })
    }

    /// Takes away all rows of the tables that were emptied at the source. Says how many.
    fn empty(&self, c: &Connection, batch: &Batch) -> rusqlite::Result<u64> {
        let emptied = batch.emptied.iter().filter_map(|at| self.tables.get(*at).zip(self.mappings.get(*at)));
        emptied.map(|(table, mapping)| table.empty(c, mapping)).sum()
    }

    /// Deletes first, which frees unique values, then writes. `None` as soon as a row fails.
    fn straight(&self, c: &Connection, batch: &Batch, link: &str) -> rusqlite::Result<Option<Written>> {
        let mut outcome = Outcome::default();
        outcome.written.deletes = self.empty(c, batch)?;
        for deletes in [true, false] {
            for (at, change) in batch.changes.iter().enumerate() {
                if matches!(change.op, Op::Delete) == deletes {
                    self.one(c, batch, at, link, &mut outcome)?;
                    if !outcome.failed.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(outcome.written))
    }

    /// Carries out one change.
    pub(crate) fn one<'c>(
        &self,
        c: &'c Connection,
        batch: &Batch,
        at: usize,
        link: &str,
        outcome: &mut Outcome<'c>,
    ) -> rusqlite::Result<()> {
        let Outcome { written, failed, resolving, kept } = outcome;
        let change = &batch.changes[at];
        let (mapping, table) = (&self.mappings[change.table], &self.tables[change.table]);
        if matches!(change.op, Op::Delete) && mapping.deletes == Deletes::Ignore {
            return Ok(());
        }
        // What is inserted straight replaces nothing: where a row is there, the insert fails.
        if *resolving || !matches!(change.op, Op::Insert(_)) {
            written.journaled += self.journal(c, batch, change, link)?;
        }
        let done = match &change.op {
            Op::Delete => table.delete(c, &change.key).map(|rows| written.deletes += rows),
            Op::Insert(row) | Op::Upsert(row) if batch.mode == Mode::KeepExisting => {
                let mut statement = c.prepare_cached(&table.insert_missing)?;
                bind(&mut statement, 1, row.raw())?;
                statement.raw_execute().map(|rows| match rows {
                    0 => written.kept += 1,
                    _ => written.upserts += 1,
                })
            }
            Op::Insert(row) if !*resolving => {
                table.put(c, (change.table, Put::Insert), row, kept).map(|()| written.upserts += 1)
            }
            Op::Insert(row) | Op::Upsert(row) => {
                table.put(c, (change.table, Put::Upsert), row, kept).map(|()| written.upserts += 1)
            }
            Op::Update(row) => table.update(c, &change.key, row).map(|()| written.upserts += 1),
        };
        match done {
            Err(error) if crate::error::is_rows_fault(&error) => {
                failed.push((at, crate::error::said(&error)));
                Ok(())
            }
            done => done,
        }
    }

    /// What is about to be replaced or deleted enters the journal first, where the batch has one.
    pub(crate) fn journal(&self, c: &Connection, batch: &Batch, change: &Change, link: &str) -> rusqlite::Result<u64> {
        let Mode::Journal { run } = &batch.mode else { return Ok(0) };
        let view = &self.tables[change.table].unfiltered;
        let Some(old) = One::new(c, view)?.get(&change.key)? else { return Ok(0) };
        let kind = match &change.op {
            Op::Delete => "deleted",
            Op::Insert(row) | Op::Upsert(row) | Op::Update(row) if *row == old => return Ok(0),
            _ => "replaced",
        };
        // The whole row, also what is the target's own: it is to come back as it was.
        let whole = aside::whole(c, view)?;
        let Some(old) = One::new(c, &whole)?.get(&change.key)? else { return Ok(0) };
        crate::undo::enter(c, run, link, &whole, &change.key, kind, &old)?;
        Ok(1)
    }

    /// The rows written, by this batch and those before, that refer to a parent that is not there.
    fn dangling(&self, c: &Connection, batch: &Batch) -> rusqlite::Result<HashSet<(usize, Key)>> {
        let written = batch.changes.iter().filter(|change| !matches!(change.op, Op::Delete));
        let written = written.map(|change| (change.table, &change.key));
        let mut dangling = HashSet::new();
        for (table, key) in self.dangling.iter().map(|(table, key)| (*table, key)).chain(written) {
            for sql in &self.tables[table].dangling {
                let mut statement = c.prepare_cached(sql)?;
                bind(&mut statement, 1, key.raw())?;
                if dangling.len() < DANGLING_MAX && statement.raw_query().next()?.is_some() {
                    dangling.insert((table, key.clone()));
                }
            }
        }
        Ok(dangling)
    }
}

/// Finds the row with this key if it refers to a parent that is not there.
fn dangling_sql(view: &View, fk: &ForeignKey) -> String {
    let key = view.key.iter().enumerate();
    let mut conditions: Vec<String> =
        key.map(|(n, at)| format!("c.{} = ?{}", quote(&view.columns[*at].name), n + 1)).collect();
    conditions.extend(fk.columns.iter().map(|column| format!("c.{} IS NOT NULL", quote(column))));
    let pairs = fk.columns.iter().zip(&fk.parent_columns);
    let joined: Vec<String> = pairs.map(|(c, p)| format!("p.{} = c.{}", quote(p), quote(c))).collect();
    format!(
        "SELECT 1 FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
        quote(&view.table),
        conditions.join(" AND "),
        quote(&fk.parent),
        joined.join(" AND ")
    )
}

/// The target is not as this link left it.
fn elsewhere(shown: &str) -> Error {
    Error::new(Kind::Lost, code::POSITION_LOST, format!("{shown} does not stand where this link left it"))
        .meaning("It was restored, replaced or vacuumed, or another engine wrote to it. Nothing was written.")
        .remedy("Nothing to do: the link takes up what it finds, and compares where it must.")
}

fn no_trigger(name: &str, shown: &str) -> Error {
    Error::new(Kind::Invalid, code::SCOPE, format!("{shown} has no trigger {name}, which run_triggers names"))
        .meaning("Nothing was written.")
        .remedy("Correct run_triggers; `tidewater plan` lists the triggers there are.")
}
