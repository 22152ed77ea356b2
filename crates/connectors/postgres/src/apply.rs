//! Writing a batch: its rows, what could not be written, and its progress, in one transaction.
//!
//! At first straight: deletes, which free unique values, then the rest, as sets. Where the server refuses a row, all
//! of that is taken back and done again in parts, each behind a savepoint and halved until the row is found; rows that
//! stand in each other's way are taken away together and written again. What cannot be written even so is held.

use crate::error::{explain, is_rows_fault};
use crate::held;
use crate::meta::{self, bytes, texts};
use crate::script::{Counts, Script};
use crate::target::PostgresTarget;
use crate::wire::{Rows, WireError, quoted_text};
use crate::writer::{Put, TableWriter};
use std::collections::{BTreeMap, HashSet};
use tidewater_core::apply::{Durability, Held, Written};
use tidewater_core::change::{Change, Key, Op, Row, Value};
use tidewater_core::transport::{Batch, Mode, Progress};
use tidewater_core::{Error, Kind, Result, code};

/// Up to so many rows go as literals: a COPY costs a round trip, and a table beside.
const LITERALS_MAX: usize = 40;

/// What a progress that does not follow what is stored is refused with.
const DIVISION_BY_ZERO: &str = "22012";

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
        let mut written = Written::default();
        let mut script = self.begin(&batch.progress)?;
        let is_journaled = matches!(batch.mode, Mode::Journal { .. });
        // Where the server has to be asked something first, it is begun first. Otherwise all is sent together.
        if resolve || is_journaled || self.may_leave_alone(batch) {
            self.run_begin(&std::mem::take(&mut script)).await?;
        }
        let alone = self.left_alone(batch).await?;
        let rest = (!alone.is_empty()).then(|| batch.without(&alone));
        let batch = rest.as_ref().unwrap_or(batch);
        if rest.is_some() {
            *held = self.unfit(batch);
        }
        for at in &batch.emptied {
            if let Some(sql) = self.table(*at)?.empty_sql() {
                script.then(&sql, Counts::Deletes);
            }
        }
        // Rows that cannot stand here are held, and were never here to be deleted.
        let all_rows = held.is_empty();
        let changes: Vec<&Change> = batch.changes.iter().filter(|change| self.fits(change, all_rows)).collect();
        if let Mode::Journal { run } = &batch.mode {
            self.run_on(&mut script, &mut written).await?;
            // Where nothing is in the way of an insert, it replaces nothing; where something is, all of this is done again.
            let replaces = |change: &&&Change| resolve || !matches!(change.op, Op::Insert(_));
            let replacing: Vec<&Change> = changes.iter().filter(replaces).copied().collect();
            written.journaled = self.journal(run, &replacing).await?;
        }
        let groups = groups(&changes, &batch.mode, resolve);
        if resolve {
            self.run_on(&mut script, &mut written).await?;
            let mut failed: Vec<(&Change, String)> = Vec::new();
            for group in &groups {
                self.resolve(group, &mut failed, &mut written).await?;
            }
            self.again(&mut failed, &mut written).await?;
            held.extend(failed.iter().map(|(change, why)| self.hold(change, why.clone())));
        } else {
            for group in &groups {
                self.put(group, &mut script)?;
            }
        }
        self.keep_held(batch, held, &mut script);
        script.then("COMMIT", Counts::Nothing);
        self.run_on(&mut script, &mut written).await?;
        Ok(written)
    }

    /// Begins a transaction of ours: without the user's triggers and foreign-key actions.
    pub(crate) fn begin_sql(&self) -> Vec<&'static str> {
        let mut begin = vec!["BEGIN"];
        if self.without_triggers {
            begin.push("SET LOCAL session_replication_role = replica");
        }
        // A trigger of the user's finds its tables where it does when others write.
        if self.writer.as_ref().is_some_and(|writer| !writer.run_triggers.is_empty()) {
            begin.push("SET LOCAL search_path TO DEFAULT");
        }
        begin.push("SET CONSTRAINTS ALL DEFERRED");
        begin
    }

    /// Begins, and stores the progress. One that does not follow what is stored divides by zero: so whatever is sent
    /// along with it is not carried out either.
    fn begin<'b>(&self, progress: &Progress) -> Result<Script<'b>> {
        let Some(writer) = &self.writer else { return Err(Error::internal("write before ledger")) };
        let link = quoted_text(&writer.link);
        let mut script = Script::default();
        for sql in self.begin_sql() {
            script.then(sql, Counts::Nothing);
        }
        if !self.is_flushed(progress) {
            script.then("SET LOCAL synchronous_commit = off", Counts::Nothing);
        }
        let advance = match progress {
            Progress::None | Progress::Retried { .. } => return Ok(script),
            Progress::Position { before, after } => format!(
                "UPDATE tidewater.link SET position = {}, updated_at = now() WHERE link = {link} AND position = {} RETURNING 1",
                quoted_text(&after.0),
                quoted_text(&before.0)
            ),
            Progress::Copied { table, stretch } => {
                crate::ledger::copied_sql(&link, &self.mappings[*table].source.table, stretch)
            }
        };
        script.then(&format!("WITH advanced AS ({advance}) SELECT 1 / count(*) FROM advanced"), Counts::Nothing);
        Ok(script)
    }

    /// Runs a beginning alone, where it is seen whether the progress follows what is stored.
    async fn run_begin(&mut self, script: &Script<'_>) -> Result<(), Refused> {
        let answer = self.reader.session.script(script).await?;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.server().is_some_and(|error| error.sqlstate == DIVISION_BY_ZERO) => {
                Err(elsewhere(&self.reader.session.shown).into())
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Runs what has gathered, and counts it.
    async fn run_on(&mut self, script: &mut Script<'_>, written: &mut Written) -> Result<(), Refused> {
        let script = std::mem::take(script);
        if script.is_empty() {
            return Ok(());
        }
        let answer = self.reader.session.script(&script).await?;
        script.count(&answer.map_err(|error| self.refused(error))?, written);
        Ok(())
    }

    /// Adds what carries out one group.
    fn put<'b>(&self, group: &Group<'b>, script: &mut Script<'b>) -> Result<()> {
        let writer = self.table(group.table)?;
        let rows = group.changes.iter().filter_map(|change| row(&change.op));
        let counts = match &group.put {
            None => Counts::Deletes,
            Some(Put::Missing) => Counts::Missing(group.changes.len() as u64),
            Some(_) => Counts::Upserts,
        };
        if group.changes.len() <= LITERALS_MAX {
            let keys: Vec<&Key> = group.changes.iter().map(|change| &change.key).collect();
            let sql = match &group.put {
                Some(put) => Some(writer.put_sql(put, &rows.collect::<Vec<_>>())),
                None => writer.delete_sql(&keys),
            };
            if let Some(sql) = sql {
                script.then(&sql, counts);
            }
            return Ok(());
        }
        let staged = match &group.put {
            Some(Put::Insert) => {
                script.copy(&writer.copy_sql(), rows, counts);
                return Ok(());
            }
            Some(put) => Some(writer.put_staged_sql(put)),
            None => writer.delete_staged_sql(),
        };
        let Some(staged) = staged else { return Ok(()) };
        for sql in writer.stage_sql() {
            script.then(&sql, Counts::Nothing);
        }
        let keys = group.changes.iter().map(|change| &change.key as &Row);
        match &group.put {
            Some(_) => script.copy(&writer.copy_to_stage_sql(false), rows, Counts::Nothing),
            None => script.copy(&writer.copy_to_stage_sql(true), keys, Counts::Nothing),
        }
        // The rows gathered are few beside the table's: each is looked up by its key. The planner, which has no
        // statistics of them, may think otherwise and read the whole table.
        script.then("SET LOCAL enable_hashjoin = off", Counts::Nothing);
        script.then("SET LOCAL enable_mergejoin = off", Counts::Nothing);
        script.then(&staged, counts);
        Ok(())
    }

    /// Carries out as much of a group as can be, and finds the rows that cannot.
    async fn resolve<'b>(
        &mut self,
        group: &Group<'b>,
        failed: &mut Vec<(&'b Change, String)>,
        written: &mut Written,
    ) -> Result<(), Refused> {
        let mut open = vec![group.changes.clone()];
        while let Some(changes) = open.pop() {
            let part = Group { table: group.table, put: group.put.clone(), changes };
            if let Err(why) = self.attempt_part(std::slice::from_ref(&part), written).await? {
                let (left, right) = part.changes.split_at(part.changes.len() / 2);
                match part.changes.as_slice() {
                    [only] => failed.push((only, why)),
                    _ => open.extend([right.to_vec(), left.to_vec()]),
                }
            }
        }
        Ok(())
    }

    /// Carries out groups all or none; says why none.
    async fn attempt_part(
        &mut self,
        groups: &[Group<'_>],
        written: &mut Written,
    ) -> Result<Result<(), String>, Refused> {
        let mut script = Script::default();
        script.then("SAVEPOINT part", Counts::Nothing);
        for group in groups {
            self.put(group, &mut script)?;
        }
        script.then("RELEASE part", Counts::Nothing);
        match self.run_on(&mut script, written).await {
            Ok(()) => Ok(Ok(())),
            Err(Refused::Row(why)) => {
                self.run("ROLLBACK TO part").await?;
                Ok(Err(why))
            }
            Err(other) => Err(other),
        }
    }

    /// Rows that failed are tried again, since what stood in their way may be gone: one by one, and then all together,
    /// taken away first, because they may stand in each other's.
    async fn again<'b>(
        &mut self,
        failed: &mut Vec<(&'b Change, String)>,
        written: &mut Written,
    ) -> Result<(), Refused> {
        loop {
            let before = failed.len();
            for (change, _) in std::mem::take(failed) {
                for group in &groups(&[change], &Mode::Replace, true) {
                    self.resolve(group, failed, written).await?;
                }
            }
            if failed.len() == before || failed.is_empty() {
                break;
            }
        }
        if failed.len() < 2 {
            return Ok(());
        }
        let changes: Vec<&'b Change> = failed.iter().map(|(change, _)| *change).collect();
        let mut groups = groups(&changes, &Mode::Replace, true);
        let own_columns =
            groups.iter().any(|group| self.tables[group.table].as_ref().is_none_or(|table| table.has_own_columns));
        if own_columns || groups.iter().any(|group| matches!(group.put, Some(Put::Update(_)))) {
            return Ok(());
        }
        for group in &mut groups {
            group.put = group.put.as_ref().map(|_| Put::Upsert);
        }
        let taken = |group: &Group<'b>| Group { table: group.table, put: None, changes: group.changes.clone() };
        let mut parts: Vec<Group<'b>> = groups.iter().map(taken).collect();
        parts.extend(groups.into_iter().filter(|group| group.put.is_some()));
        // What is taken away and comes again was not deleted.
        let mut touched = Written::default();
        if self.attempt_part(&parts, &mut touched).await?.is_ok() {
            written.upserts += failed.len() as u64;
            failed.clear();
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

    fn may_leave_alone(&self, batch: &Batch) -> bool {
        self.has_held || self.has_ledger && matches!(batch.progress, Progress::Retried { .. })
    }

    /// The changes that are not to be written now.
    async fn left_alone(&mut self, batch: &Batch) -> Result<HashSet<usize>, Refused> {
        if !self.may_leave_alone(batch) {
            return Ok(HashSet::new());
        }
        let link = self.writer.as_ref().map(|writer| writer.link.clone()).unwrap_or_default();
        let Some(sql) = held::left_alone_sql(&self.mappings, batch, &link) else { return Ok(HashSet::new()) };
        let answer = self.ask(&sql).await?;
        Ok(held::left_alone(&self.mappings, batch, &answer.rows)?)
    }

    /// Adds what stores which rows are held, and forgets those that were written.
    fn keep_held(&self, batch: &Batch, held: &[Held], script: &mut Script<'_>) {
        let Some(writer) = &self.writer else { return };
        // A single comparison has no ledger: its caller says what could not be written.
        if !self.has_ledger {
            return;
        }
        if self.has_held {
            let failed: HashSet<(&str, &Key)> = held.iter().map(|held| (held.table.as_str(), &held.key)).collect();
            let name = |change: &Change| self.mappings[change.table].source.table.as_str();
            let written = batch.changes.iter().filter(|change| !failed.contains(&(name(change), &change.key)));
            if let Some(sql) = held::release_sql(&self.mappings, written, &writer.link) {
                script.then(&sql, Counts::Released);
            }
        }
        let changed = matches!(batch.progress, Progress::Position { .. });
        if let Some(sql) = held::enter_sql(held, changed, &writer.link) {
            script.then(&sql, Counts::Nothing);
        }
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

pub(crate) fn elsewhere(shown: &str) -> Error {
    Error::new(Kind::Unavailable, code::LEASE, format!("{shown}: another Tidewater went on with this link"))
        .meaning("Its progress is not what this one stored last. Nothing was written.")
        .remedy("Run one at a time. It is taken up again from what is stored.")
}
