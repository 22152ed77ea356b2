//! Writing a batch: its rows, what could not be written, and its progress, in one transaction.
//!
//! At first straight: deletes, which free unique values, then the rest, as sets. Where the server refuses a row, all
//! of that is taken back and done again in parts, each behind a savepoint and halved until the row is found; rows that
//! stand in each other's way are taken away together and written again. What cannot be written even so is held.

use crate::error::{explain, is_rows_fault};
use crate::held;
use crate::meta::{self, bytes, texts};
use crate::target::PostgresTarget;
use crate::wire::{Rows, WireError, quoted_text};
use crate::writer::{Put, TableWriter};
use std::collections::{BTreeMap, HashSet};
use tidewater_core::apply::{Durability, Held, Written};
use tidewater_core::change::{Change, Key, Op, Row, Value};
use tidewater_core::transport::{Batch, Mode, Progress};
use tidewater_core::{Error, Kind, Result, code};

/// Up to so many rows go as literals: a COPY costs two more round trips.
const LITERALS_MAX: usize = 40;

/// So many batches are written without waiting for the disk.
const UNFLUSHED_MAX: u32 = 64;

/// Why a part of a batch was not written.
enum Refused {
    /// A row is at fault.
    Row(String),
    /// Something else.
    Other(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Other(error)
    }
}

/// Changes of one table that one statement can carry out.
struct Group<'b> {
    table: usize,
    /// `None` deletes.
    put: Option<Put>,
    changes: Vec<&'b Change>,
}

impl PostgresTarget {
    pub(crate) async fn write_batch(&mut self, batch: &Batch) -> Result<Written> {
        if matches!(batch.progress, Progress::Retried { .. }) {
            // Who tries again without a run before may find tables that an earlier version made.
            meta::make(&mut self.reader.session).await?;
        }
        let mut held = self.unfit(batch);
        let mut written = match self.attempt(batch, &mut held, false).await {
            Ok(written) => written,
            Err(Refused::Row(_)) => match self.attempt(batch, &mut held, true).await {
                Ok(written) => written,
                Err(Refused::Row(why)) => {
                    return Err(Error::internal(format!("a batch was neither written nor refused: {why}")));
                }
                Err(Refused::Other(error)) => return Err(error),
            },
            Err(Refused::Other(error)) => return Err(error),
        };
        self.has_held |= self.has_ledger && !held.is_empty();
        written.held = held;
        written.durability = if self.is_flushed(&batch.progress) { Durability::Durable } else { Durability::Accepted };
        self.unflushed = if written.durability == Durability::Durable { 0 } else { self.unflushed + 1 };
        Ok(written)
    }

    /// Whether a batch is answered when it survives a crash. While changes are followed only now and then: what a crash
    /// takes back comes again, since its position goes with it.
    fn is_flushed(&self, progress: &Progress) -> bool {
        !matches!(progress, Progress::Position { .. }) || self.unflushed >= UNFLUSHED_MAX
    }

    /// Whether the change is of a row that can stand here. Where `all_rows` can, only keys that are deleted are looked at.
    fn fits(&self, change: &Change, all_rows: bool) -> bool {
        let Some(Some(table)) = self.tables.get(change.table) else { return true };
        match row(&change.op) {
            Some(row) => all_rows || table.unfit(row).is_none(),
            None => table.can_have(&change.key),
        }
    }

    /// Rows that cannot stand here as they are.
    fn unfit(&self, batch: &Batch) -> Vec<Held> {
        let unfit = |change: &Change| self.tables.get(change.table)?.as_ref()?.unfit(row(&change.op)?);
        let held = |change: &Change| unfit(change).map(|reason| self.hold(change, reason));
        batch.changes.iter().filter_map(held).collect()
    }

    fn hold(&self, change: &Change, reason: String) -> Held {
        Held { table: self.mappings[change.table].source.table.clone(), key: change.key.clone(), reason }
    }

    /// Everything that a batch does, in one transaction; on any error it is taken back.
    async fn attempt(&mut self, batch: &Batch, held: &mut Vec<Held>, resolve: bool) -> Result<Written, Refused> {
        let done = self.transaction(batch, held, resolve).await;
        if done.is_err() {
            let ended = self.reader.session.attempt("ROLLBACK").await;
            if !matches!(ended, Ok(Ok(_))) {
                self.reader.session.give_up();
            }
        }
        done
    }

    async fn transaction(&mut self, batch: &Batch, held: &mut Vec<Held>, resolve: bool) -> Result<Written, Refused> {
        self.begin(&batch.progress).await?;
        let alone = self.left_alone(batch).await?;
        let rest = (!alone.is_empty()).then(|| batch.without(&alone));
        let batch = rest.as_ref().unwrap_or(batch);
        if rest.is_some() {
            *held = self.unfit(batch);
        }
        let mut written = Written::default();
        for at in &batch.emptied {
            if let Some(sql) = self.table(*at)?.empty_sql() {
                written.deletes += self.run(&sql).await?;
            }
        }
        // Rows that cannot stand here are held, and were never here to be deleted.
        let all_rows = held.is_empty();
        let changes: Vec<&Change> = batch.changes.iter().filter(|change| self.fits(change, all_rows)).collect();
        if let Mode::Journal { run } = &batch.mode {
            // Where nothing is in the way of an insert, it replaces nothing; where something is, all of this is done again.
            let replaces = |change: &&&Change| resolve || !matches!(change.op, Op::Insert(_));
            let replacing: Vec<&Change> = changes.iter().filter(replaces).copied().collect();
            written.journaled = self.journal(run, &replacing).await?;
        }
        let groups = groups(&changes, &batch.mode, resolve);
        let mut failed: Vec<(&Change, String)> = Vec::new();
        for group in &groups {
            let rows = match resolve {
                false => self.put(group).await?,
                true => self.resolve(group, &mut failed).await?,
            };
            count(&mut written, group, rows, batch);
        }
        if !failed.is_empty() {
            self.again(&mut failed, &mut written).await?;
            held.extend(failed.iter().map(|(change, why)| self.hold(change, why.clone())));
        }
        written.released = self.keep_held(batch, held).await?;
        self.run("COMMIT").await?;
        Ok(written)
    }

    /// Begins a transaction of ours: without the user's triggers and foreign-key actions.
    pub(crate) fn begin_sql(&self) -> String {
        let role = if self.without_triggers { "SET LOCAL session_replication_role = replica; " } else { "" };
        // A trigger of the user's finds its tables where it does when others write.
        let runs_triggers = self.writer.as_ref().is_some_and(|writer| !writer.run_triggers.is_empty());
        let path = if runs_triggers { "SET LOCAL search_path TO DEFAULT; " } else { "" };
        format!("BEGIN; {role}{path}SET CONSTRAINTS ALL DEFERRED; ")
    }

    /// Begins, and stores the progress; refuses one that does not follow what is stored.
    async fn begin(&mut self, progress: &Progress) -> Result<(), Refused> {
        let Some(writer) = &self.writer else { return Err(Error::internal("write before ledger").into()) };
        let link = quoted_text(&writer.link);
        let advance = match progress {
            Progress::None | Progress::Retried { .. } => "SELECT 1".to_owned(),
            Progress::Position { before, after } => format!(
                "UPDATE tidewater.link SET position = {}, updated_at = now() WHERE link = {link} AND position = {} RETURNING 1",
                quoted_text(&after.0),
                quoted_text(&before.0)
            ),
            Progress::Copied { table, stretch } => {
                crate::ledger::copied_sql(&link, &self.mappings[*table].source.table, stretch)
            }
        };
        let later = if self.is_flushed(progress) { "" } else { "SET LOCAL synchronous_commit = off; " };
        let rows = self.ask(&format!("{}{later}{advance}", self.begin_sql())).await?;
        if rows.rows.len() == 1 { Ok(()) } else { Err(elsewhere(&self.reader.session.shown).into()) }
    }

    /// Carries out one group. Says how many rows that touched.
    async fn put(&mut self, group: &Group<'_>) -> Result<u64, Refused> {
        let writer = self.table(group.table)?.clone();
        let rows: Vec<&Row> = group.changes.iter().filter_map(|change| row(&change.op)).collect();
        if group.changes.len() <= LITERALS_MAX {
            let keys: Vec<&Key> = group.changes.iter().map(|change| &change.key).collect();
            let sql = match &group.put {
                Some(put) => Some(writer.put_sql(put, &rows)),
                None => writer.delete_sql(&keys),
            };
            return match sql {
                Some(sql) => self.run(&sql).await,
                None => Ok(0),
            };
        }
        match &group.put {
            Some(Put::Insert) => self.copy(&writer.copy_sql(), rows.into_iter()).await,
            Some(put) => {
                self.run(&writer.stage_sql()).await?;
                self.copy(&writer.copy_to_stage_sql(false), rows.into_iter()).await?;
                self.as_a_set(&writer.put_staged_sql(put)).await
            }
            None => {
                let Some(sql) = writer.delete_staged_sql() else { return Ok(0) };
                self.run(&writer.stage_sql()).await?;
                let keys = group.changes.iter().map(|change| &change.key as &Row);
                self.copy(&writer.copy_to_stage_sql(true), keys).await?;
                self.as_a_set(&sql).await
            }
        }
    }

    /// The rows gathered are few beside the table's: each is looked up by its key. The planner, which has no
    /// statistics of them, may think otherwise and read the whole table.
    async fn as_a_set(&mut self, sql: &str) -> Result<u64, Refused> {
        self.run("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off").await?;
        self.run(sql).await
    }

    /// Carries out as much of a group as can be, and finds the rows that cannot.
    async fn resolve<'b>(&mut self, group: &Group<'b>, failed: &mut Vec<(&'b Change, String)>) -> Result<u64, Refused> {
        let mut open = vec![group.changes.clone()];
        let mut touched = 0;
        while let Some(changes) = open.pop() {
            let part = Group { table: group.table, put: group.put.clone(), changes };
            self.run("SAVEPOINT part").await?;
            match self.put(&part).await {
                Ok(rows) => {
                    touched += rows;
                    self.run("RELEASE part").await?;
                }
                Err(Refused::Row(why)) => {
                    self.run("ROLLBACK TO part").await?;
                    let (left, right) = part.changes.split_at(part.changes.len() / 2);
                    match part.changes.as_slice() {
                        [only] => failed.push((only, why)),
                        _ => open.extend([right.to_vec(), left.to_vec()]),
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(touched)
    }

    /// Rows that failed are tried again, since what stood in their way may be gone: one by one, and then all together,
    /// taken away first, because they may stand in each other's.
    async fn again(&mut self, failed: &mut Vec<(&Change, String)>, written: &mut Written) -> Result<(), Refused> {
        loop {
            let before = failed.len();
            for (change, _) in std::mem::take(failed) {
                for group in &groups(&[change], &Mode::Replace, true) {
                    written.upserts += self.resolve(group, failed).await?;
                }
            }
            if failed.len() == before || failed.is_empty() {
                break;
            }
        }
        if failed.len() < 2 {
            return Ok(());
        }
        let changes: Vec<&Change> = failed.iter().map(|(change, _)| *change).collect();
        let mut groups = groups(&changes, &Mode::Replace, true);
        let own_columns =
            groups.iter().any(|group| self.tables[group.table].as_ref().is_none_or(|table| table.has_own_columns));
        if own_columns || groups.iter().any(|group| matches!(group.put, Some(Put::Update(_)))) {
            return Ok(());
        }
        for group in &mut groups {
            group.put = group.put.as_ref().map(|_| Put::Upsert);
        }
        self.run("SAVEPOINT together").await?;
        match self.together(&groups).await {
            Ok(()) => {
                written.upserts += failed.len() as u64;
                failed.clear();
                self.run("RELEASE together").await?;
                Ok(())
            }
            Err(Refused::Row(_)) => self.run("ROLLBACK TO together").await.map(|_| ()),
            Err(other) => Err(other),
        }
    }

    async fn together(&mut self, groups: &[Group<'_>]) -> Result<(), Refused> {
        for group in groups {
            let taken = Group { table: group.table, put: None, changes: group.changes.clone() };
            self.put(&taken).await?;
        }
        for group in groups.iter().filter(|group| group.put.is_some()) {
            self.put(group).await?;
        }
        Ok(())
    }

    /// Enters what will be replaced or deleted into the journal. Says how many rows that are.
    async fn journal(&mut self, run: &str, changes: &[&Change]) -> Result<u64, Refused> {
        let mut by_table: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            by_table.entry(change.table).or_default().push(change);
        }
        let link = self.writer.as_ref().map(|writer| writer.link.clone()).unwrap_or_default();
        let mut entered = 0;
        for (at, changes) in by_table {
            let writer = self.table(at)?.clone();
            let keys: Vec<Key> = changes.iter().map(|change| change.key.clone()).collect();
            let mut old = Vec::with_capacity(keys.len());
            while old.len() < keys.len() {
                old.extend(self.reader.fetch(&writer.whole, &keys[old.len()..], usize::MAX).await?);
            }
            let mut entries = Vec::new();
            for (change, old) in changes.iter().zip(old) {
                let Some(old) = old else { continue };
                let kind = match row(&change.op) {
                    None => "deleted",
                    Some(new) if same(&old, new) => continue,
                    Some(_) => "replaced",
                };
                entries.push(entry(&writer, (run, &link), &change.key, kind, &old));
            }
            entered += entries.len() as u64;
            for entries in entries.chunks(LITERALS_MAX * 10) {
                self.run(&format!(
                    "INSERT INTO tidewater.journal(run, link, target, columns, key_columns, key, kind, row, at) VALUES {}",
                    entries.join(", ")
                ))
                .await?;
            }
        }
        Ok(entered)
    }

    /// The changes that are not to be written now.
    async fn left_alone(&mut self, batch: &Batch) -> Result<HashSet<usize>, Refused> {
        let link = self.writer.as_ref().map(|writer| writer.link.clone()).unwrap_or_default();
        let retried = matches!(batch.progress, Progress::Retried { .. });
        if !(self.has_held || retried && self.has_ledger) {
            return Ok(HashSet::new());
        }
        let Some(sql) = held::left_alone_sql(&self.mappings, batch, &link) else { return Ok(HashSet::new()) };
        let answer = self.ask(&sql).await?;
        Ok(held::left_alone(&self.mappings, batch, &answer.rows)?)
    }

    /// Stores which rows are held, and forgets those that were written. Says how many of these.
    async fn keep_held(&mut self, batch: &Batch, held: &[Held]) -> Result<u64, Refused> {
        let Some(writer) = &self.writer else { return Ok(0) };
        // A single comparison has no ledger: its caller says what could not be written.
        if !self.has_ledger {
            return Ok(0);
        }
        let link = writer.link.clone();
        let mut gone = 0;
        if self.has_held {
            let failed: HashSet<(&str, &Key)> = held.iter().map(|held| (held.table.as_str(), &held.key)).collect();
            let name = |change: &Change| self.mappings[change.table].source.table.as_str();
            let written = batch.changes.iter().filter(|change| !failed.contains(&(name(change), &change.key)));
            if let Some(sql) = held::release_sql(&self.mappings, written, &link) {
                gone = self.run(&sql).await?;
            }
        }
        let changed = matches!(batch.progress, Progress::Position { .. });
        if let Some(sql) = held::enter_sql(held, changed, &link) {
            self.run(&sql).await?;
        }
        Ok(gone)
    }

    fn table(&self, at: usize) -> Result<&TableWriter> {
        let table = self.tables.get(at).and_then(Option::as_ref);
        table.ok_or_else(|| Error::internal("a table is written before it was prepared"))
    }

    async fn ask(&mut self, sql: &str) -> Result<Rows, Refused> {
        let answer = self.reader.session.attempt(sql).await?;
        answer.map_err(|error| self.refused(error))
    }

    async fn run(&mut self, sql: &str) -> Result<u64, Refused> {
        self.ask(sql).await.map(|rows| rows.affected)
    }

    async fn copy(&mut self, sql: &str, rows: impl Iterator<Item = &Row> + Send) -> Result<u64, Refused> {
        let answer = self.reader.session.copy_in(sql, rows).await?;
        answer.map_err(|error| self.refused(error))
    }

    fn refused(&self, error: WireError) -> Refused {
        match error.server() {
            // Without the detail, which may repeat the row's values.
            Some(error) if is_rows_fault(error) => Refused::Row(error.to_string()),
            _ => Refused::Other(explain(error, &self.reader.session.shown)),
        }
    }
}

fn row(op: &Op) -> Option<&Row> {
    match op {
        Op::Insert(row) | Op::Update(row) | Op::Upsert(row) => Some(row),
        Op::Delete => None,
    }
}

/// Whether writing `new` over `old`, which has more columns, changes nothing.
fn same(old: &Row, new: &Row) -> bool {
    new.values().zip(old.values()).all(|(new, old)| new == Value::Unchanged || new == old)
}

fn entry(writer: &TableWriter, (run, link): (&str, &str), key: &Key, kind: &str, old: &Row) -> String {
    let view = &writer.whole;
    format!(
        "({}, {}, {}, {}, {}, {}, '{kind}', {}, now())",
        quoted_text(run),
        quoted_text(link),
        quoted_text(&view.table),
        texts(view.columns.iter().map(|column| column.name.as_str())),
        texts(view.key.iter().map(|at| view.columns[*at].name.as_str())),
        bytes(key.as_bytes()),
        bytes(old.as_bytes())
    )
}

/// Sorts changes into groups: deletes first, children before parents; then writes, parents before children.
fn groups<'b>(changes: &[&'b Change], mode: &Mode, resolve: bool) -> Vec<Group<'b>> {
    let mut deletes: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
    let mut puts: BTreeMap<(usize, Put), Vec<&Change>> = BTreeMap::new();
    for change in changes {
        let Some(row) = row(&change.op) else {
            deletes.entry(change.table).or_default().push(change);
            continue;
        };
        let put = match (&change.op, mode) {
            (Op::Update(_), _) if !row.absent().is_empty() => {
                let absent = row.absent();
                Put::Update((0..row.values().count()).filter(|at| !absent.contains(at)).collect())
            }
            (_, Mode::KeepExisting) => Put::Missing,
            (Op::Insert(_), _) if !resolve => Put::Insert,
            _ => Put::Upsert,
        };
        puts.entry((change.table, put)).or_default().push(change);
    }
    let deletes = deletes.into_iter().rev().map(|(table, changes)| Group { table, put: None, changes });
    let puts = puts.into_iter().map(|((table, put), changes)| Group { table, put: Some(put), changes });
    deletes.chain(puts).collect()
}

fn count(written: &mut Written, group: &Group<'_>, rows: u64, batch: &Batch) {
    match &group.put {
        None => written.deletes += rows,
        Some(_) => {
            written.upserts += rows;
            if batch.mode == Mode::KeepExisting {
                written.kept += (group.changes.len() as u64).saturating_sub(rows);
            }
        }
    }
}

pub(crate) fn elsewhere(shown: &str) -> Error {
    Error::new(Kind::Unavailable, code::LEASE, format!("{shown}: another Tidewater went on with this link"))
        .meaning("Its progress is not what this one stored last. Nothing was written.")
        .remedy("Run one at a time. It is taken up again from what is stored.")
}
